"""Record every flow once masking has scrubbed it, refused ones too; refuse what could not be recorded.

The hooks only gather references for the writer's thread. Where recording is a condition (`on_error` is `refuse`), a
request is refused before it goes on when the writer is failing or nearly full, a response whose record could not be
handed over does not go out either, and a WebSocket ends with the first message that cannot be kept.

With `sealed`, what travelled before masking is referred to by the exchange, never by the flow, until its record is
handed over: of callers that identity has let pass only, for it is identity that knows what their credentials are.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.connection import Client, Server

from headgate.capture.connection import Close, Connection, Peer
from headgate.capture.record import Fields, Kind, Line, Message, Mode, message_of, record_of
from headgate.capture.sealing import Original, part_of
from headgate.capture.spoken import Spoken
from headgate.capture.writer import Writer
from headgate.model import Exchange, guard_error

UNAVAILABLE = guard_error("capture-unavailable")

ERRORS = {"Client disconnected.": "client-disconnected", "Connection killed.": "killed"}
"""mitmproxy's messages that say no more than this; any other may quote what a peer sent."""

NOTHING = Message()

KEPT = {Mode.MASKED: Mode.MASKED, Mode.SEALED: Mode.MASKED, Mode.METADATA: Mode.METADATA}
"""How much is kept in clear."""


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
        exchange = self._exchanges[flow.id]
        if exchange.original is not None:
            self._take_response(exchange)
        if self._mode() != Mode.OFF and not self._writer.healthy:
            self._refuse(exchange)

    def closed(self, flow: http.HTTPFlow, sent: int, received: int) -> None:
        """A WebSocket, or a response that flowed, has ended: so many bytes went from its caller and to it that are not
        on the flow."""
        self._record(flow, sent, received)

    def said(self, exchange: Exchange, spoken: Spoken) -> None:
        """A message of a WebSocket is about to go on."""
        mode = self._mode()
        if mode == Mode.OFF or (not self._writer.healthy and self._refuse(exchange)):
            return
        if not self._writer.put(spoken if mode != Mode.METADATA else replace(spoken, full=False)):
            self._refuse(exchange)

    def refused(self, flow: flows.Flow, exchange: Exchange) -> None:
        """A flow of another type than HTTP has been refused, as all of them are."""
        if self._mode() == Mode.OFF:
            return
        host, port = flow.server_conn.address or ("", 0)
        line = Line(flow.type.upper().encode(), flow.type, host, port, b"", b"")
        exchange.recorded = self._writer.put(
            record_of(
                exchange,
                flow.id,
                line,
                NOTHING,
                None,
                mode=Mode.METADATA,
                ended=exchange.started,
                status=None,
                error=None,
                kind=flow.type,
                connection=_connection(flow, (None,) * 4),
            )
        )

    # -- originals ----------------------------------------------------------------------------------------------------

    def request(self, flow: http.HTTPFlow) -> None:
        """Refer to a request as its caller sent it, before it is changed or masked; with `sealed` only."""
        self._take_request(flow, self._exchanges[flow.id])

    def before_masking(self, flow: http.HTTPFlow) -> None:
        """Refer to what the upstream has answered, and to a request that was refused before `request` could."""
        exchange = self._exchanges[flow.id]
        self._take_request(flow, exchange)
        if exchange.original is not None:
            self._take_response(exchange)

    def _take_request(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.original is None and exchange.principal is not None and not exchange.masked:
            data = flow.request.data
            exchange.original = Original(_line(flow.request), part_of(data.headers.fields, data.content))

    def _take_response(self, exchange: Exchange) -> None:
        got: http.Response | None = exchange.withheld
        if got is not None and exchange.original.response is None:
            response = part_of(*_content(got))
            exchange.original = replace(exchange.original, status=got.status_code, response=response)

    # -- records ------------------------------------------------------------------------------------------------------

    def _record(self, flow: http.HTTPFlow, sent: int = 0, received: int = 0) -> None:
        exchange, mode = self._exchanges[flow.id], Mode(self._mode())
        original, exchange.original = exchange.original, None
        if mode is Mode.OFF or exchange.recorded:
            return
        released = flow.response
        if not self._writer.healthy and self._refuse(exchange):
            released = None
        line, shown = flow.request.data, KEPT[mode] if exchange.masked else Mode.METADATA
        record = record_of(
            exchange,
            flow.id,
            _line(flow.request),
            _with(message_of(line.headers.fields, line.content, shown), sent),
            _with(message_of(*_content(released), shown), received) if released else None,
            mode=shown,
            ended=_ended(flow),
            status=released.status_code if released else None,
            error=ERRORS.get(flow.error.msg, "connection-failed") if flow.error else None,
            claims=self._claims(exchange),
            kind=Kind.WEBSOCKET if flow.websocket else Kind.HTTP,
            connection=_connection(flow, _times(flow.request, released), _close(flow)),
            original=original,
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


def _line(request: http.Request) -> Line:
    data = request.data
    return Line(data.method, request.scheme, data.host, data.port, data.path, data.http_version)


def _connection(flow: flows.Flow, times: tuple[float | None, ...], close: Close | None = None) -> Connection:
    client, server = flow.client_conn, flow.server_conn
    made = server.timestamp_tcp_setup
    times = (client.timestamp_start, client.timestamp_tls_setup, made, server.timestamp_tls_setup, *times)
    return Connection(_peer(client), _peer(server) if made else None, times, close)


def _peer(end: Client | Server) -> Peer:
    address, port = (end.peername or (None, None))[:2]
    via = f"{end.via[0]}://{end.via[1][0]}:{end.via[1][1]}" if isinstance(end, Server) and end.via else None
    return Peer(address, port, end.tls_version, end.cipher, end.alpn, end.sni, via)


def _times(request: http.Request, response: http.Response | None) -> tuple[float | None, ...]:
    sent, got = request.data, response.data if response else None
    answered = (got.timestamp_start, got.timestamp_end) if got else (None, None)
    return (sent.timestamp_start, sent.timestamp_end, *answered)


def _close(flow: http.HTTPFlow) -> Close | None:
    socket = flow.websocket
    return Close(socket.close_code, socket.closed_by_client) if socket else None


def _with(message: Message, more: int) -> Message:
    """A message, counting what a WebSocket carried in its direction, of which nothing is kept with it."""
    return replace(message, size=message.size + more) if more else message


def _ended(flow: http.HTTPFlow) -> float | None:
    if flow.error:
        return flow.error.timestamp
    if flow.websocket and flow.websocket.timestamp_end:
        return flow.websocket.timestamp_end
    return (flow.response.timestamp_end or flow.response.timestamp_start) if flow.response else None
