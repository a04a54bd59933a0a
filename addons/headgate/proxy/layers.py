"""Everything that is not an HTTP request: kept from being spoken, and refused where it is spoken all the same."""

import asyncio

from mitmproxy import connection, dns, flow, http, tcp, tls, udp
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer, ServerTLSLayer
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.mode_specs import UpstreamMode

from headgate.proxy.held import Held

REFUSED = "refused by headgate"

STEPS = 8
"""Turns of the event loop within which a released response is sent."""

OTHER_HOOKS = (
    *("tcp_start", "tcp_message", "tcp_end", "tcp_error"),
    *("udp_start", "udp_message", "udp_end", "udp_error"),
    *("dns_request", "dns_response", "dns_error"),
)
"""Hooks of flow types that have no stage of their own yet."""

OTHER_STARTS = ("tcp_start", "udp_start", "dns_request")
"""Those of them with which a flow begins."""

SPOKEN = (HttpLayer, ClientTLSLayer, ServerTLSLayer, layer.NextLayer)


def http_layer(context: Context) -> HttpLayer:
    """A layer that reads HTTP or fails: whatever else arrives is a malformed request."""
    return HttpLayer(context, HTTPMode.transparent)


def only_http(next_layer: layer.NextLayer) -> None:
    """Let a connection go on as TLS or HTTP; anything else that was chosen (DNS on port 53, raw TCP) becomes HTTP."""
    chosen: layer.Layer | None = next_layer.layer
    while chosen is not None:
        if not isinstance(chosen, SPOKEN):
            next_layer.layer = http_layer(next_layer.context)
            return
        chosen = getattr(chosen, "child_layer", None)


def never_ignored(hello: tls.ClientHelloData) -> None:
    """TLS is read, whatever another addon says: what is ignored would be passed through unjudged."""
    hello.ignore_connection = False


def only_tcp(client: connection.Client) -> bool:
    """Close whatever comes over UDP (QUIC) before it is read."""
    if client.transport_protocol != "tcp":
        client.error = REFUSED
    return True


def never_held(judged: flow.Flow) -> None:
    """Have mitmproxy go on at once: it waits for a flow after the last hook, where nothing could be looked at again."""
    judged.intercepted = False
    vars(judged).pop("wait_for_resume", None)


def refuse_flow(other: flow.Flow) -> bool:
    """Empty what a flow without a stage carries, and keep it from every addon."""
    other.error = flow.Error(REFUSED)
    if isinstance(other, (tcp.TCPFlow, udp.UDPFlow)) and other.messages:
        other.messages[-1].content = b""
    if isinstance(other, dns.DNSFlow):
        other.response = None
    if isinstance(other, http.HTTPFlow) and other.websocket:
        other.websocket.messages.clear()
    return False


def upstream_proxy(client: connection.Client) -> tuple[str, int] | None:
    """The proxy that an `upstream:` listener dials instead of the target itself."""
    mode = client.proxy_mode
    return mode.address[:2] if isinstance(mode, UpstreamMode) else None


def close_after(interim: http.Response) -> None:
    """Have mitmproxy close the connection of an interim answer (1xx), which it takes for the final one.

    The final one still comes, and would be taken for the answer to the next request on that connection.
    """
    interim.status_code, interim.headers["Connection"] = 502, "close"


def keep_for_caller(masked: http.Response, held: Held) -> None:
    """Show recorders what they may see, and keep what is meant for the caller alone (cookies, tokens) for later."""
    headers, body = held.record_headers, held.record_body
    if headers is None and body is None:
        return
    held.for_caller = masked.headers, masked.raw_content
    if headers is not None:
        masked.headers = http.Headers(headers)
    if body is not None:
        masked.raw_content = body


def give_to_caller(ended: http.HTTPFlow, held: Held) -> None:
    """Put the caller's own headers and body on the response until it has been sent, which is what happens next.

    mitmproxy sends it in one step, at the latest when what it is busy with has ended, and says so in `live`.
    """
    response = ended.response
    if response is None or held.refusal or held.for_caller is None:
        return
    shown = held.for_recorders = response.headers, response.raw_content
    response.headers, response.raw_content = held.for_caller
    held.for_caller = None
    loop = asyncio.get_running_loop()

    def restore(steps: int) -> None:
        if ended.live and steps:
            loop.call_soon(restore, steps - 1)
        else:
            response.headers, response.raw_content = shown

    loop.call_soon(restore, STEPS)
