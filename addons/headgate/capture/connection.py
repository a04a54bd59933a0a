"""What is kept of the connections that an exchange went over: who was at their other ends, how they were secured, when.

No certificate and no key: names, numbers and times. The event loop gathers references in tuples; they become JSON in
the writer's thread, where what one connection shows of itself is written out once, however many requests it carries.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple


class Peer(NamedTuple):
    """The other end of a connection: of the upstream's, `via` is the proxy before it."""

    address: str | None = None
    port: int | None = None
    tls: str | None = None
    cipher: str | None = None
    alpn: bytes | None = None
    sni: str | None = None
    via: str | None = None


TIMES = (
    *("client_connected", "client_tls", "connected", "tls"),
    *("request_start", "request_end", "response_start", "response_end"),
)
"""When the client's connection and the upstream's (`connected`, `tls`) were made and secured, when the request and the
response began and ended: in seconds since the epoch. What did not happen is left out; a connection that has carried a
request before was made before.
"""

MADE = 4
"""So many of them are the same for all that a pair of connections carries."""


class Close(NamedTuple):
    """How a WebSocket ended."""

    code: int | None
    by_client: bool | None


class Connection(NamedTuple):
    """`times` are in the order of `TIMES`."""

    client: Peer | None = None
    upstream: Peer | None = None
    times: tuple[float | None, ...] = ()
    close: Close | None = None


def connection_json(connection: Connection, host: str) -> str:
    """`{"client": {...} or null, "upstream": {...} or null, "times": {...}}`, and of a WebSocket its `close`.

    A name that the client asked for in TLS is told only where it is the `host` of the request: another may be anything.
    """
    client = connection.client
    if client is not None and client.sni is not None and client.sni.lower() != host.lower():
        client = client._replace(sni=None)
    made, used = _times_json(connection.times[:MADE]), _moments(TIMES[MADE:], connection.times[MADE:])
    times = f"{made},{used}" if made and used else made or used
    close = f',"close":{json.dumps(connection.close._asdict())}' if connection.close else ""
    return f'{{"client":{_peer_json(client)},"upstream":{_peer_json(connection.upstream)},"times":{{{times}}}{close}}}'


@lru_cache(maxsize=4096)
def _times_json(moments: tuple[float | None, ...]) -> str:
    return _moments(TIMES[:MADE], moments)


def _moments(names: tuple[str, ...], moments: tuple[float | None, ...]) -> str:
    told = zip(names, moments, strict=False)
    return ",".join([f'"{name}":{moment!r}' for name, moment in told if moment is not None])


@lru_cache(maxsize=4096)
def _peer_json(peer: Peer | None) -> str:
    if peer is None:
        return "null"
    facts: dict[str, Any] = {name: value for name, value in peer._asdict().items() if value is not None}
    if peer.alpn is not None:
        facts["alpn"] = peer.alpn.decode("ascii", "backslashreplace")
    return json.dumps(facts, separators=(",", ":"))
