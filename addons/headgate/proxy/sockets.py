"""WebSockets under the guard: what may be said on them, what of it is shown, and when they end.

A message to the caller is masked like the body of a response, and one from it like that of a request, in order, before
anybody sees it or it goes on. What is due and cannot be masked ends the connection, as does a refusal that comes later
(see `rejudge`). What has been said stays on the flow only as far as it may be shown, and not for long.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mitmproxy import http
from mitmproxy.proxy.server import ConnectionHandler

from headgate.masking.messages import showable
from headgate.masking.plan import CannotMask, Plan
from headgate.model import Refusal, guard_error, malformed, withheld
from headgate.proxy import layers
from headgate.proxy.answers import marker, verdict_line
from headgate.proxy.faults import describe
from headgate.proxy.held import Held
from headgate.proxy.kept import Socket
from headgate.proxy.passing import TOO_LONG, Ending, Passing, Sort, close_code
from headgate.proxy.stages import NO_SOCKETS, SocketStages

log = logging.getLogger(__name__)

DEADLINE = 30.0
"""Seconds that masking one message may take; it has a shorter limit of its own for each job."""

GRACE = 5.0
"""Seconds after which a connection that was to end is cut, whatever its peers do."""


Connections = Callable[[str], ConnectionHandler | None]
"""Finds what mitmproxy serves a client connection with, by that connection's id."""


def no_connections(_client: str) -> None:
    """For when there is no proxy."""


class Sockets:
    """`held` is what the guard knows of each flow."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held
        self._tasks: set[asyncio.Task[None]] = set()
        self.stages: SocketStages = NO_SOCKETS
        self.connections: Connections = no_connections
        self.overdue: Callable[[Held], bool] = lambda _held: False

    # -- its beginning ------------------------------------------------------------------------------------------------

    def open(self, held: Held) -> None:
        """The answer that opens it is about to be released."""
        held.socket = Socket(self.stages.due(held), time.monotonic())
        held.flow.websocket = held.socket.data

    def abandon(self, held: Held) -> None:
        """It is not opened after all."""
        self.finish(held)
        held.socket = held.flow.websocket = None

    def started(self, flow: http.HTTPFlow) -> bool:
        """Its answer has been sent: what was the caller's alone goes from the flow again."""
        held = self._of(flow)
        if held is None or held.socket is None:
            return layers.refuse_flow(flow)
        if held.for_recorders and flow.response:
            flow.response.headers, flow.response.raw_content = held.for_recorders
        held.seal, held.socket.started = self.seal, True
        return True

    # -- what is said -------------------------------------------------------------------------------------------------

    def judge(self, passing: Passing) -> Awaitable[bool] | bool:
        """Let it go on, or leave it; no addon hears of this."""
        held = passing.held = self._of(passing.flow)
        if held is None or held.socket is None or held.refusal:
            return False
        if self.overdue(held):
            held.refusal = guard_error("not-judged-again")
        elif passing.sort is Sort.EXCESS:
            held.refusal = malformed(TOO_LONG) if passing.from_client else withheld(TOO_LONG)
        elif passing.sort in (Sort.TEXT, Sort.BINARY):
            return self._judge_message(held, held.socket, passing)
        else:
            passing.out = _control(held.socket, passing)
        return False

    def _judge_message(self, held: Held, socket: Socket, passing: Passing) -> Awaitable[bool] | bool:
        plan = socket.plan(from_client=passing.from_client)
        if plan is None and (passing.from_client or socket.recorded is None):
            self._let_pass(socket, passing, passing.content, readable=socket.recorded is None)
        elif plan is None or passing.sort is Sort.TEXT:
            return self._mask(held, socket, plan, passing)
        else:
            held.refusal = withheld("binary-message")
        return False

    async def _mask(self, held: Held, socket: Socket, plan: Plan | None, passing: Passing) -> bool:
        """Without a plan it goes on as it is, and only its record is masked: its caller is excepted."""
        out = passing.content
        try:
            with self.silence(held):
                async with asyncio.timeout(DEADLINE):
                    out = await self.stages.message(held, plan, out, True) if plan else out
                    shown = await self._shown(held, socket, plan, passing, out)
            if passing.sort is Sort.TEXT:
                out.decode()
        except CannotMask as cannot:
            held.refusal = held.refusal or withheld(cannot.reason)
        except (TimeoutError, UnicodeDecodeError):
            held.refusal = held.refusal or withheld("message-not-masked")
        else:
            self._let_pass(socket, passing, out, shown, readable=shown is not None)
        return False

    async def _shown(self, held: Held, socket: Socket, plan: Plan | None, passing: Passing, out: bytes) -> bytes | None:
        """The message as its record is masked; None when it cannot be, which is no reason to keep it from the peer."""
        if socket.recorded in (plan, None):
            return out
        if passing.from_client or passing.sort is not Sort.TEXT:
            return None
        try:
            return await self.stages.message(held, socket.recorded, passing.content, False)
        except CannotMask:
            return None

    def _let_pass(
        self, socket: Socket, passing: Passing, out: bytes, shown: bytes | None = None, *, readable: bool
    ) -> None:
        passing.out = out
        socket.count(len(out), from_client=passing.from_client)
        content = showable(out if shown is None else shown, readable=readable)
        socket.show(content, from_client=passing.from_client, is_text=passing.sort is Sort.TEXT, now=time.time())

    def heard(self, flow: http.HTTPFlow) -> bool:
        """A message has been judged: others may look at what is shown of it."""
        return True if self._of(flow) else layers.refuse_flow(flow)

    def seal(self, flow: http.HTTPFlow) -> None:
        """What others have made of the flow does not count."""
        held = self._of(flow)
        if held is not None and held.socket is not None:
            flow.websocket, flow.response, flow.intercepted = held.socket.data, held.answer, False
            held.socket.restore()
            held.ended = held.socket.over

    # -- its end ------------------------------------------------------------------------------------------------------

    def close(self, held: Held, refusal: Refusal) -> None:
        """End an exchange with this refusal; of what waits, nothing is passed on any more."""
        held.refusal = held.refusal or refusal
        handler = self.connections(held.client.id)
        if handler and not held.socket:
            if held.forwarded and not held.finishing:
                _hang_up(handler, held)
        elif handler and held.socket and held.socket.started:
            self._cut_later(held)
            task = asyncio.get_running_loop().create_task(handler.server_event(Ending(held.flow, held.refusal)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def ended(self, flow: http.HTTPFlow) -> bool:
        held = self._of(flow)
        if held is None:
            return layers.refuse_flow(flow)
        self._cut_later(held)
        self.finish(held)
        return True

    def finish(self, held: Held, error: str | None = None) -> None:
        """Record what became of it, once."""
        socket = held.socket
        if socket is None or socket.over:
            return
        socket.over, held.error = True, held.error or error
        socket.data.timestamp_end = time.time()
        if held.refusal:
            socket.data.close_code, socket.data.closed_by_client = int(close_code(held.refusal)), False
        try:
            self.stages.closed(held.flow, socket.sent.size, socket.received.size)
        except Exception as failure:  # noqa: BLE001 - it has ended; that it is not recorded must not keep it in memory
            log.error("the end of a WebSocket, decision %s, is not recorded: %s", held.decision_id, describe(failure))
        said = f"{socket.sent.messages} messages from the caller, {socket.received.messages} to it"
        held.flow.marked, held.flow.comment = marker(held), f"{verdict_line(held)} ({said})"
        if socket.started:
            log.info("a WebSocket has ended, decision %s: %s", held.decision_id, held.flow.comment)

    def finish_all(self, error: str) -> None:
        """The proxy ends, and with it every connection."""
        for held in list(self._held.values()):
            self.finish(held, error)

    def _cut_later(self, held: Held) -> None:
        """A peer that neither reads nor answers keeps no connection open."""
        asyncio.get_running_loop().call_later(GRACE, _cut, list(self._transports(held)))

    # -- the connections below ----------------------------------------------------------------------------------------

    def _of(self, flow: http.HTTPFlow) -> Held | None:
        held = self._held.get(flow.id)
        return held if held is not None and held.flow is flow and held.socket is not None else None

    @contextmanager
    def silence(self, held: Held) -> Iterator[None]:
        """Nothing is read from the peers meanwhile: what they say would wait in memory."""
        silenced = [transport for transport in self._transports(held) if transport.is_reading()]
        for transport in silenced:
            transport.pause_reading()
        try:
            yield
        finally:
            for transport in silenced:
                transport.resume_reading()

    def _transports(self, held: Held) -> Iterator[Any]:
        """Every connection of its client: over HTTP/1.1 none of them is for anything else."""
        handler = self.connections(held.client.id)
        for stream in handler.transports.values() if handler else ():
            if (transport := getattr(stream.writer, "transport", None)) is not None:
                yield transport


def _control(socket: Socket, passing: Passing) -> bytes:
    """What goes on of a frame that is no message; bytes that a peer is free to choose are what masks are for."""
    from_client = passing.from_client
    masked = socket.plan(from_client=from_client) is not None
    if passing.sort is Sort.CLOSE:
        socket.data.close_code, socket.data.closed_by_client = passing.code, from_client
        return b"" if masked else passing.content
    answer = socket.pings.ping if passing.sort is Sort.PING else socket.pings.pong
    return answer(passing.content, from_client=from_client, masked=masked)


def _hang_up(handler: ConnectionHandler, held: Held) -> None:
    """End a request that waits for its upstream by a connection that is for nothing else, the upstream's if it can be,
    so that the client is answered. Where both speak HTTP/2, the request is refused once its answer is there."""
    server = held.flow.server_conn
    if server in handler.transports and server.alpn != b"h2":
        handler.close_connection(server)
    elif held.client in handler.transports and held.client.alpn != b"h2":
        handler.close_connection(held.client)


def _cut(transports: list[Any]) -> None:
    for transport in transports:
        transport.abort()
