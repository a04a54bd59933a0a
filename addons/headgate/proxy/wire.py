"""Between the verdict and the wire: a connection leads where an allowed request goes, and carries what was judged.

A second lock behind the guard's first. Other addons hear of each connection before it is opened and while a request
waits for it: what they change there is undone or refused.
"""

import logging
from collections.abc import Mapping
from typing import Any

from mitmproxy import connection, http
from mitmproxy.proxy import server_hooks

from headgate.proxy import layers
from headgate.proxy.held import Held, request_state, restore_request

log = logging.getLogger(__name__)

Address = tuple[str, int]


class Wire:
    """Knows where each client's allowed requests go; `held` is what the guard knows of each flow."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held
        self._allowed: dict[str, set[Address]] = {}
        self._addresses: dict[str, Any] = {}  # of connections that are about to be opened
        self._tunnels: dict[str, Any] = {}  # what the upstream proxy is about to be asked for

    def __bool__(self) -> bool:
        """Whether any client is known that may have connections opened."""
        return bool(self._allowed)

    def allow(self, client: connection.Client, address: Address) -> None:
        if client.connected:
            self._allowed.setdefault(client.id, set()).add(address)

    def ended(self, client: connection.Client) -> None:
        self._allowed.pop(client.id, None)

    def dialling(self, data: server_hooks.ServerConnectionHookData) -> bool:
        self._addresses[data.server.id] = data.server.address
        return True

    def permit_dial(self, data: server_hooks.ServerConnectionHookData) -> None:
        """No connection is opened but to where an allowed request of this client goes."""
        allowed = self._allowed.get(data.client.id, set())
        via = layers.upstream_proxy(data.client)
        address = data.server.address
        redirected = self._addresses.pop(data.server.id, None) != address
        if redirected or address is None or (address[:2] not in allowed and not (allowed and address[:2] == via)):
            data.server.error = layers.REFUSED

    def tunnelling(self, flow: http.HTTPFlow) -> bool:
        self._tunnels[flow.id] = request_state(flow, read=True)
        return True

    def tunnel_as_judged(self, flow: http.HTTPFlow) -> None:
        """mitmproxy itself asks the upstream proxy for a tunnel to where an allowed request goes, and to there only."""
        restore_request(flow, self._tunnels.pop(flow.id))
        self.send_as_judged(flow.client_conn)

    def send_as_judged(self, client: connection.Client) -> None:
        """A request waits for its connection; what was done to it meanwhile is undone before it is sent."""
        for held in self._held.values():
            waiting = held.forwarded and held.withheld is None and held.client is client
            if waiting and request_state(held.flow, read=True) != held.seen:
                log.warning("a request was changed after decision %s: it is sent as it was judged", held.decision_id)
                restore_request(held.flow, held.seen)
