"""A response as it flows under the guard: each piece goes through the guard, and on from there or nowhere.

mitmproxy asks an attribute of the flow, where every addon can put what it likes, whether a response is streamed and by
what; it takes an empty piece for the end, and goes on after a failure with a client that waits. Here the guard alone
is asked, once, when the head has come, and what it gives is kept where no addon has it. What is ended by the guard
looks cut off to the client: a connection closed before the last chunk (HTTP/1), a stream reset (HTTP/2).
"""

from collections.abc import Iterator

from mitmproxy.flow import Error
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import (
    DropStream,
    HttpLayer,
    HttpStream,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHeadersHook, HttpResponseHook
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Server

from headgate.masking.streams import streamable
from headgate.model import withheld
from headgate.proxy.flowing import CUT_OFF, Cutting, Flowing, Opening, OpeningHook

MOST_WAITING = 4 * 1024 * 1024
"""Bytes that may wait for a client that speaks HTTP/2 and opens no window: mitmproxy keeps them all."""

_route = HttpLayer._handle_event
_read_body = Http1Client.read_body


class Cut(HttpEvent):
    """`Cutting`, arrived at the stream that it is for."""


def stream_guarded() -> None:
    """Have the guard asked about every response of this process that could flow."""
    HttpStream.state_wait_for_response_headers = _head_has_come  # type: ignore[method-assign]
    HttpLayer._handle_event = _routed  # type: ignore[method-assign]
    Http1Client.read_body = _without_trailers  # type: ignore[method-assign, assignment]


def _without_trailers(self: Http1Client, event: events.Event) -> layer.CommandGenerator[None]:
    """mitmproxy cannot read trailers after chunks, which end a body all the same, and no trailer goes on here."""
    try:
        yield from _read_body(self, event)
    except NotImplementedError:
        if self.stream_id is not None:
            yield ReceiveHttp(ResponseEndOfMessage(self.stream_id))
            yield from self.mark_done(response=True)


def _head_has_come(self: HttpStream, event: ResponseHeaders) -> layer.CommandGenerator[None]:
    """In place of mitmproxy's own; a body that may flow is held to a size only when it does not."""
    self.flow.response = event.response
    may_flow = not event.end_stream and streamable(event.response.headers.fields)
    if not event.end_stream and not may_flow and (yield from self.check_body_size(False)):
        return
    if (yield from self.check_invalid(False)):
        return
    yield HttpResponseHeadersHook(self.flow)
    if (yield from self.check_killed(True)):
        return
    self.server_state = self.state_consume_response_body
    if may_flow:
        yield from _open(self)


def _open(stream: HttpStream) -> layer.CommandGenerator[None]:
    opening = Opening(stream.flow)
    yield OpeningHook(opening)
    if (yield from stream.check_killed(True)):
        return
    if opening.refused:
        yield from _answer(stream)
    elif opening.flowing:
        stream.server_state = Relay(stream, opening.flowing)
        yield SendHttp(ResponseHeaders(stream.stream_id, opening.flowing.head), stream.context.client)


def _answer(stream: HttpStream) -> layer.CommandGenerator[None]:
    """Give the client what the guard has put in the place of a response that has no end, and the upstream none."""
    number, client = stream.stream_id, stream.context.client
    stream.client_state = stream.server_state = stream.state_errored  # whatever the upstream still says
    yield SendHttp(RequestProtocolError(number, CUT_OFF, ErrorCode.CANCEL), stream.context.server)
    yield HttpResponseHook(stream.flow)
    if (yield from stream.check_killed(False)):
        return
    answer = stream.flow.response
    assert answer  # noqa: S101 - the guard's own
    yield SendHttp(ResponseHeaders(number, answer, end_stream=not answer.raw_content), client)
    if answer.raw_content:
        yield SendHttp(ResponseData(number, answer.raw_content), client)
    yield from _end(stream)


def _end(stream: HttpStream) -> layer.CommandGenerator[None]:
    stream.client_state = stream.server_state = stream.state_errored
    stream.flow.live = False
    yield DropStream(stream.stream_id)
    yield SendHttp(ResponseEndOfMessage(stream.stream_id), stream.context.client)


class Relay:
    """The state of a stream whose response flows: it is called with each event from the upstream."""

    __name__ = "state_relay"  # as HttpStream shows its states

    def __init__(self, stream: HttpStream, flowing: Flowing) -> None:
        self.stream, self._flowing = stream, flowing

    def __call__(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Trailers are left out: nobody has masked them."""
        if isinstance(event, ResponseData):
            yield from self._pass_on(self._flowing.feed(event.data))
        elif isinstance(event, ResponseEndOfMessage):
            if (yield from self._pass_on(self._flowing.end())):
                yield from self._finish()
        elif isinstance(event, Cut):
            yield from self._cut()

    def _pass_on(self, out: bytes) -> layer.CommandGenerator[bool]:
        """Whether it goes on; an empty piece would be the end of a chunked body."""
        stream = self.stream
        if out and not self._flowing.stop():
            yield SendHttp(ResponseData(stream.stream_id, out), stream.context.client)
            if _waiting(stream) > MOST_WAITING:
                self._flowing.refuse(withheld("caller-too-slow"))
        if self._flowing.stop():
            yield from self._cut()
            return False
        return True

    def _finish(self) -> layer.CommandGenerator[None]:
        """The upstream has said all. The client is told so when that has been recorded."""
        stream = self.stream
        yield HttpResponseHook(stream.flow)
        stream.server_state = stream.state_done
        if (yield from stream.check_killed(False)):
            return
        if self._flowing.stop():
            yield from self._abort()
            yield from self._drop()
        else:
            yield from _end(stream)

    def _cut(self) -> layer.CommandGenerator[None]:
        stream = self.stream
        gone = RequestProtocolError(stream.stream_id, CUT_OFF, ErrorCode.CANCEL)
        yield from self._abort()
        yield SendHttp(gone, stream.context.server)
        stream.flow.error = Error(CUT_OFF)
        yield HttpErrorHook(stream.flow)
        yield from self._drop()

    def _abort(self) -> layer.CommandGenerator[None]:
        stream = self.stream
        stream.client_state = stream.server_state = stream.state_errored
        cut = ResponseProtocolError(stream.stream_id, CUT_OFF, ErrorCode.KILL)
        yield SendHttp(cut, stream.context.client)

    def _drop(self) -> layer.CommandGenerator[None]:
        self.stream.flow.live = False
        yield DropStream(self.stream.stream_id)


def _routed(self: HttpLayer, event: events.Event) -> layer.CommandGenerator[None]:
    """mitmproxy finds the stream of an injected message for WebSockets alone; here it is found by its flow."""
    if not isinstance(event, Cutting):
        yield from _route(self, event)
        return
    for stream in list(self.streams.values()):
        state = stream.server_state
        if isinstance(state, Relay) and stream.flow is event.flow:
            yield from self.event_to_child(stream, Cut(stream.stream_id))
        elif stream.child_layer is not None and stream.flow.request.method == "CONNECT":
            yield from self.event_to_child(stream, event)


def _waiting(stream: HttpStream) -> int:
    """How many bytes mitmproxy keeps for the client of a stream because it has not opened its window."""
    return sum(map(len, _pieces(stream)))


def _pieces(stream: HttpStream) -> Iterator[bytes]:
    above = stream.context.layers[stream.context.layers.index(stream) - 1]
    if isinstance(above, HttpLayer):
        client = above.connections.get(stream.context.client)
        if isinstance(client, Http2Server):
            yield from (piece.data for piece in client.h2_conn.stream_buffers.get(stream.stream_id, ()))
