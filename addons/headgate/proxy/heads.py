"""How much of a request may pile up in memory before there is anything to judge.

mitmproxy reads on while a request head is unfinished, and while an earlier request of the connection is under way; it
keeps what it reads, without an end. Nobody has proven anything by then, so here both have one.
"""

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError

MAX_HEAD = 128 * 1024
"""Bytes of an unfinished request head; hygiene refuses half of that in a finished one."""

MAX_AHEAD = 1024 * 1024
"""Bytes that may follow a request before it has been answered (pipelining)."""

ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n"
    b"Cache-Control: no-store\r\n\r\n"
)

_handle_event = _http1.Http1Connection._handle_event


def limit_heads() -> None:
    """Have every connection of a client that goes beyond these limits closed."""
    _http1.Http1Server._handle_event = _limited  # type: ignore[method-assign, assignment]


def _limited(self: _http1.Http1Server, event: events.Event) -> layer.CommandGenerator[None]:
    if isinstance(event, events.DataReceived) and not isinstance(event, HttpEvent):
        if self.state == self.done:
            return
        if self.state == self.read_headers and len(self.buf) > MAX_HEAD:
            yield from _end(self, ANSWER)
            return
        if self.state == self.wait and len(self.buf) > MAX_AHEAD:
            yield from _end(self, b"")
            return
    yield from _handle_event(self, event)


def _end(self: _http1.Http1Server, answer: bytes) -> layer.CommandGenerator[None]:
    """Close the connection; a request that is under way on it ends as if its client had gone."""
    waiting = self.state == self.wait
    self.state = self.done
    self.buf = type(self.buf)()
    if answer:
        yield commands.SendData(self.conn, answer)
    yield commands.CloseConnection(self.conn)
    if waiting and self.stream_id:
        gone = RequestProtocolError(self.stream_id, "Client disconnected.", code=ErrorCode.CLIENT_DISCONNECTED)
        yield ReceiveHttp(gone)
