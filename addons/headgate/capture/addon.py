"""Record every flow once masking has scrubbed it, refused ones too; refuse what could not be recorded.

The hooks only gather references for the writer's thread. Where recording is a condition (`on_error` is `refuse`), a
request is refused before it goes on when the writer is failing or nearly full, and a response whose record could not
be handed over does not go out either.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mitmproxy import http

from headgate.capture.record import Fields, Line, Message, Mode, message_of, record_of
from headgate.capture.writer import Writer
from headgate.model import Exchange, guard_error

UNAVAILABLE = guard_error("capture-unavailable")

ERRORS = {"Client disconnected.": "client-disconnected", "Connection killed.": "killed"}
"""mitmproxy's messages that say no more than this; any other may quote what a peer sent."""


def no_claims(exchange: Exchange) -> tuple[str, ...]:  # noqa: ARG001 (the shape of `Capture`'s `claims`)
    return ()


class Capture:
    """`mode` and `on_error` give the options; `claims` the JSON Pointers of the signed claims that rules may read."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        writer: Writer,
        mode: Callable[[], str],
        on_error: Callable[[], str],
        claims: Callable[[Exchange], tuple[str, ...]] = no_claims,
    ) -> None:
        self._exchanges, self._writer = exchanges, writer
        self._mode, self._on_error, self._claims = mode, on_error, claims

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if self._mode() != Mode.OFF and not self._writer.ready:
            self._refuse(self._exchanges[flow.id])

    def response(self, flow: http.HTTPFlow) -> None:
        """A WebSocket is recorded once it has ended (`closed`); it is not opened when that could not be done."""
        exchange = self._exchanges[flow.id]
        if flow.websocket is None or exchange.refusal or (not self._writer.healthy and self._refuse(exchange)):
            self._record(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._record(flow)

    def keep(self, flow: http.HTTPFlow) -> None:
        """A response is about to flow, and recorded once it has ended (`closed`): not if that could not be done."""
        if self._mode() != Mode.OFF and not self._writer.healthy:
            self._refuse(self._exchanges[flow.id])

    def closed(self, flow: http.HTTPFlow, sent: int, received: int) -> None:
        """A WebSocket, or a response that flowed, has ended: so many bytes went from its caller and to it that are not
        on the flow."""
        self._record(flow, sent, received)

    def _record(self, flow: http.HTTPFlow, sent: int = 0, received: int = 0) -> None:
        exchange, mode = self._exchanges[flow.id], Mode(self._mode())
        if mode is Mode.OFF or exchange.recorded:
            return
        released = flow.response
        if not self._writer.healthy and self._refuse(exchange):
            released = None
        line, shown = flow.request.data, mode if exchange.masked else Mode.METADATA
        record = record_of(
            exchange,
            flow.id,
            Line(line.method, flow.request.scheme, line.host, line.port, line.path, line.http_version),
            _with(message_of(line.headers.fields, line.content, shown), sent),
            _with(message_of(*_content(released), shown), received) if released else None,
            mode=shown,
            ended=_ended(flow),
            status=released.status_code if released else None,
            error=ERRORS.get(flow.error.msg, "connection-failed") if flow.error else None,
            claims=self._claims(exchange),
        )
        exchange.recorded = self._writer.put(record)
        if not exchange.recorded:
            self._refuse(exchange)

    def _refuse(self, exchange: Exchange) -> bool:
        """Refuse when recording is a condition and nobody has refused yet."""
        if exchange.refusal or self._on_error() != "refuse":
            return False
        exchange.refusal = UNAVAILABLE
        return True


def _content(response: http.Response) -> tuple[Fields, bytes | None]:
    return response.data.headers.fields, response.data.content


def _with(message: Message, more: int) -> Message:
    """A message, counting what a WebSocket carried in its direction, of which nothing is kept."""
    return replace(message, size=message.size + more) if more else message


def _ended(flow: http.HTTPFlow) -> float | None:
    if flow.error:
        return flow.error.timestamp
    if flow.websocket and flow.websocket.timestamp_end:
        return flow.websocket.timestamp_end
    return (flow.response.timestamp_end or flow.response.timestamp_start) if flow.response else None
