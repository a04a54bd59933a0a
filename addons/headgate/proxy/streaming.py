"""Responses that flow, under the guard: which do, what is shown of them, and when they end.

Server-sent events and their like have no end that could be waited for. Their head is released once it is masked, and
then each piece as it comes (`streamlayer`), by what was due when the response began: when something else is due, or
the caller may not go on, the response is ended. Others see a head without a body; what recorders may keep of the body
is put on the flow when it has ended.
"""

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mitmproxy import http
from mitmproxy.net.http import status_codes

from headgate.masking.plan import CannotMask, Fields
from headgate.masking.streaming import StreamMask
from headgate.model import Refusal, guard_error, withheld
from headgate.proxy.answers import marker, verdict_line
from headgate.proxy.faults import describe
from headgate.proxy.flowing import CUT_OFF, Cutting, Flowing, Opening
from headgate.proxy.held import Held
from headgate.proxy.passage import run_out
from headgate.proxy.sockets import GRACE, Connections, no_connections
from headgate.proxy.stages import NO_STREAMS, StreamStages

log = logging.getLogger(__name__)

FRAMING = frozenset({b"trailer", b"transfer-encoding"})
CHUNKED = (b"Transfer-Encoding", b"chunked")

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset, which no client takes for the end of a body that has no other."""


class Streams:
    """`held` is what the guard knows of each flow."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held
        self._tasks: set[asyncio.Task[None]] = set()
        self.stages: StreamStages = NO_STREAMS
        self.connections: Connections = no_connections
        self.overdue: Callable[[Held], bool] = lambda _held: False

    # -- its beginning ------------------------------------------------------------------------------------------------

    def open(self, opening: Opening) -> Awaitable[bool] | bool:
        """Let it flow, refuse it at once, or leave it to be masked as a whole; no addon hears of this."""
        held = self._held.get(opening.flow.id)
        if held is None or held.flow is not opening.flow or held.withheld is None or held.refusal:
            opening.refused = True
            return False
        return self._open(held, opening)

    async def _open(self, held: Held, opening: Opening) -> bool:
        masks: list[StreamMask | None] = []

        async def find(flow: http.HTTPFlow) -> None:
            try:
                masks.append(await self.stages.mask(flow))
            except CannotMask as cannot:
                held.refusal = held.refusal or withheld(cannot.reason)

        with self._silence(held):
            await run_out(held, "masking", find)
        mask = masks[0] if masks else None
        if mask:
            await run_out(held, "capture", self.stages.keep)
        if held.refusal or not masks:
            held.refusal, opening.refused = held.refusal or withheld("not-masked"), True
        elif mask:
            self._release(held, mask)
            opening.flowing = held.flowing
        return False

    def _release(self, held: Held, mask: StreamMask) -> None:
        upstream: http.Response = held.withheld
        upstream.reason = status_codes.RESPONSES.get(upstream.status_code, "")
        held.flowing = Flowing(
            mask,
            head=_with_headers(upstream, _framed(mask.headers, held)),
            opened=time.monotonic(),
            stop=lambda: self._stop(held),
            refuse=lambda refusal: self.refuse(held, refusal),
        )
        self._show(held, held.flowing, _with_headers(upstream, _framed(mask.head, held)))
        held.seal = self.seal

    # -- while it flows -----------------------------------------------------------------------------------------------

    def _stop(self, held: Held) -> Refusal | None:
        if held.refusal is None and self.overdue(held):
            self.refuse(held, guard_error("not-judged-again"))
        return held.refusal

    def refuse(self, held: Held, refusal: Refusal) -> None:
        """Nothing more of it goes on, and its client is to see that it was cut off, whether or not it reads on."""
        held.refusal, held.error = held.refusal or refusal, held.error or CUT_OFF
        transports = list(self._of_client(held))
        if held.flow.request.data.http_version == b"HTTP/1.0":
            for transport in transports:
                _reset_when_closed(transport)
        if transports:
            asyncio.get_running_loop().call_later(GRACE, _abort, transports)

    def close(self, held: Held, refusal: Refusal) -> None:
        """End it with this refusal, though nothing may be coming of it."""
        self.refuse(held, refusal)
        handler = self.connections(held.client.id)
        if handler and not held.finishing:
            task = asyncio.get_running_loop().create_task(handler.server_event(Cutting(held.flow, None)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # -- its end ------------------------------------------------------------------------------------------------------

    async def finish(self, held: Held, error: str | None = None) -> None:
        """Mask its request and record what became of it, once."""
        flowing = held.flowing
        if flowing is None or held.finishing:
            return
        held.finishing, held.error = True, held.error or error
        held.flow._backup = None  # as the guard does for every flow
        await run_out(held, "masking", self.stages.finish)
        if not held.masked:
            held.masked, held.flow.request = True, held.stub()
            held.refusal = held.refusal or withheld("not-masked")
        try:
            self._record(held, flowing)
        except Exception as failure:  # noqa: BLE001 - it has ended; that it is not recorded must not keep it in memory
            held.refusal = held.refusal or guard_error("capture-failed")
            log.error("the end of a stream, decision %s, is not recorded: %s", held.decision_id, describe(failure))
        held.flow.marked, held.flow.comment = marker(held), verdict_line(held)
        if held.refusal:
            self.refuse(held, held.refusal)
            held.flow.comment += f" (cut off after {flowing.size} bytes)"
            log.info("a stream has ended, decision %s: %s", held.decision_id, held.flow.comment)

    async def finish_all(self, error: str) -> None:
        """The proxy ends, and with it every connection."""
        await asyncio.gather(*(self.finish(held, error) for held in list(self._held.values())))

    def _record(self, held: Held, flowing: Flowing) -> None:
        held.took("masking", flowing.nanoseconds)
        held.masks = flowing.mask.masks
        headers, text, missing = flowing.mask.shown()
        shown = _with_headers(flowing.head, _framed(headers, held))
        shown.raw_content, shown.timestamp_end = text, time.time()
        self._show(held, flowing, shown)
        self.stages.closed(held.flow, 0, missing)

    # -- what is shown of it ------------------------------------------------------------------------------------------

    def _show(self, held: Held, flowing: Flowing, shown: http.Response) -> None:
        flowing.shown = shown.get_state()
        held.flow.response = held.answer = shown

    def seal(self, flow: http.HTTPFlow) -> None:
        """What others have made of the flow does not count."""
        held = self._held.get(flow.id)
        if held is None or held.flow is not flow or held.flowing is None or held.answer is None:
            return
        if held.answer.get_state() != held.flowing.shown:
            held.answer = http.Response.from_state(held.flowing.shown)
        flow.response, flow.intercepted = held.answer, False

    # -- the connections below ----------------------------------------------------------------------------------------

    def _of_client(self, held: Held) -> Iterator[Any]:
        """The connection of its client, and what belongs to that alone; over HTTP/2 others use it, too."""
        handler = self.connections(held.client.id)
        if handler and held.client.alpn != b"h2":
            for stream in handler.transports.values():
                if (transport := getattr(stream.writer, "transport", None)) is not None:
                    yield transport

    @contextmanager
    def _silence(self, held: Held) -> Iterator[None]:
        """Nothing is read from the upstream meanwhile: what it says would wait in memory."""
        handler = self.connections(held.client.id)
        upstream = handler.transports.get(held.flow.server_conn) if handler else None
        transport = getattr(upstream.writer, "transport", None) if upstream else None
        if transport is None or not transport.is_reading():
            yield
            return
        transport.pause_reading()
        try:
            yield
        finally:
            transport.resume_reading()


def _with_headers(response: http.Response, headers: Fields) -> http.Response:
    """The head of this response, with other headers."""
    data = response.data
    begun = data.timestamp_start
    return http.Response(
        data.http_version, data.status_code, data.reason, http.Headers(headers), None, None, begun, None
    )


def _framed(headers: Fields, held: Held) -> Fields:
    """Headers that tell this client how the body ends: by its length where it is still known, else by chunks; a client
    of HTTP/1.0 knows none, and HTTP/2 needs none."""
    sized = any(name.lower() == b"content-length" for name, _ in headers)
    kept = tuple(header for header in headers if header[0].lower() not in FRAMING)
    chunked = not sized and held.flow.request.data.http_version == b"HTTP/1.1"
    return (*kept, CHUNKED) if chunked else kept


def _reset_when_closed(transport: Any) -> None:
    if (peer := transport.get_extra_info("socket")) is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _abort(transports: list[Any]) -> None:
    for transport in transports:
        transport.abort()
