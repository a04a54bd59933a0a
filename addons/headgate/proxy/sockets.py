"""WebSockets under the guard: what may be said on them, what of it is shown, and when they end.

A message to the caller is masked like the body of a response, and one from it like that of a request, in order, before
anybody sees it or it goes on. What is due and cannot be masked ends the connection, as does a refusal that comes later
(see `rejudge`). What has been said stays on the flow only as far as it may be shown, and not for long.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager

from mitmproxy import http
from mitmproxy.proxy.server import ConnectionHandler

from headgate.masking.messages import showable
from headgate.masking.plan import CannotMask
from headgate.model import Refusal, guard_error, malformed, withheld
from headgate.proxy import layers
from headgate.proxy.answers import marker, verdict_line
from headgate.proxy.faults import describe
from headgate.proxy.held import Held
from headgate.proxy.kept import Socket, spoken
from headgate.proxy.passing import TOO_LONG, Ending, Passing, Pausing, Sort, close_code
from headgate.proxy.speech import Said, Speech
from headgate.proxy.stages import NO_SOCKETS, SocketStages
from headgate.proxy.transports import cut, hang_up, silence, transports

log = logging.getLogger(__name__)

DEADLINE = 30.0
"""Seconds that masking one message may take; it has a shorter limit of its own for each job."""

PAUSE = 5.0
"""Seconds after which what is held back of a text goes on though nothing has followed. A value of which the rest comes
only then has begun to pass: that no model stalls for so long within a word is likely, not certain."""

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
            self._judge_other(held, held.socket, passing)
        return False

    def _judge_other(self, held: Held, socket: Socket, passing: Passing) -> None:
        """What is held back is flushed before the peer that said it says goodbye, and when nothing has followed."""
        speech = socket.speeches.get(passing.from_client)
        try:
            if speech and passing.sort is Sort.CLOSE:
                self._release(held, socket, passing, speech.rest())
            elif speech and passing.sort is Sort.PAUSE and speech.pauses:
                self._release(held, socket, passing, speech.rest(paused=True))
        except CannotMask as cannot:
            held.refusal = withheld(cannot.reason)
        else:
            passing.out = b"" if passing.sort is Sort.PAUSE else _control(socket, passing)

    def _judge_message(self, held: Held, socket: Socket, passing: Passing) -> Awaitable[bool] | bool:
        plan, recorded = socket.plan(from_client=passing.from_client), socket.recorded
        if plan is not None and passing.sort is Sort.BINARY:
            held.refusal = withheld("binary-message")
        elif plan or passing.from_client in socket.speeches or (recorded and not passing.from_client):
            return self._mask(held, socket, passing)
        else:
            passing.out = passing.content
            shown = showable(passing.content, readable=recorded is None)
            self._keep(held, socket, passing, Said([passing.content], [shown]), is_text=passing.sort is Sort.TEXT)
        return False

    async def _mask(self, held: Held, socket: Socket, passing: Passing) -> bool:
        is_text = passing.sort is Sort.TEXT
        try:
            with self.silence(held):
                async with asyncio.timeout(DEADLINE):
                    speech = self._speech(held, socket, passing)
                    said = await speech.message(passing.content, is_text=is_text)
            if is_text:
                [message.decode() for message in said.out]
        except CannotMask as cannot:
            held.refusal = held.refusal or withheld(cannot.reason)
        except (TimeoutError, UnicodeDecodeError):
            held.refusal = held.refusal or withheld("message-not-masked")
        else:
            *before, passing.out = said.out
            passing.before += before
            self._keep(held, socket, passing, said, is_text=is_text)
            self._pause_later(held, speech, from_client=passing.from_client)
        return False

    def _speech(self, held: Held, socket: Socket, passing: Passing) -> Speech:
        """What masks this direction by what is due now. What another has held back goes on first, as was due to it."""
        from_client = passing.from_client
        due = socket.plan(from_client=from_client), socket.recorded
        speech = socket.speeches.get(from_client)
        if speech is None or speech.due != due:
            if speech:
                speech.wait(None)
                self._release(held, socket, passing, speech.rest())
            speech = socket.speeches[from_client] = Speech(self.stages, held, *due, from_client=from_client)
        return speech

    def _pause_later(self, held: Held, speech: Speech, *, from_client: bool) -> None:
        """A text may have ended though nothing says so: its last words do not wait for the next message for ever."""
        pausing = Pausing(held.flow, from_client)
        loop = asyncio.get_running_loop()
        speech.wait(loop.call_later(PAUSE, self._tell, held, pausing) if speech.waits else None)

    def _tell(self, held: Held, event: Ending | Pausing) -> None:
        """Have the layer that speaks this WebSocket hear of something that no peer has said."""
        handler = self.connections(held.client.id)
        if handler and held.socket and not held.socket.over:
            task = asyncio.get_running_loop().create_task(handler.server_event(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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

    def _keep(self, held: Held, socket: Socket, passing: Passing, said: Said, *, is_text: bool) -> None:
        """Count what goes on, record it (without that, it may not go on), and show what may be shown of it."""
        from_client = passing.from_client
        for message in said.out:
            socket.count(len(message), from_client=from_client)
        for message in said.shown:
            now = time.time()
            kept = spoken(held, held.flow.id, socket, message, from_client=from_client, is_text=is_text, now=now)
            self.stages.said(held, kept)
            socket.show(message, from_client=from_client, is_text=is_text, now=now)

    def _release(self, held: Held, socket: Socket, passing: Passing, rest: Said) -> None:
        """Let go on what was held back."""
        passing.before += rest.out
        self._keep(held, socket, passing, rest, is_text=True)

    # -- its end ------------------------------------------------------------------------------------------------------

    def close(self, held: Held, refusal: Refusal) -> None:
        """End an exchange with this refusal; of what waits, nothing is passed on any more."""
        held.refusal = held.refusal or refusal
        handler = self.connections(held.client.id)
        if handler and not held.socket:
            if held.forwarded and not held.finishing:
                hang_up(handler, held)
        elif handler and held.socket and held.socket.started:
            self._cut_later(held)
            self._tell(held, Ending(held.flow, held.refusal))

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
        for speech in socket.speeches.values():
            speech.wait(None)
        socket.speeches.clear()
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
        asyncio.get_running_loop().call_later(GRACE, cut, list(transports(self.connections(held.client.id))))

    # -- the connections below ----------------------------------------------------------------------------------------

    def _of(self, flow: http.HTTPFlow) -> Held | None:
        held = self._held.get(flow.id)
        return held if held is not None and held.flow is flow and held.socket is not None else None

    def silence(self, held: Held) -> AbstractContextManager[None]:
        """Nothing is read from the peers meanwhile."""
        return silence(self.connections(held.client.id))


def _control(socket: Socket, passing: Passing) -> bytes:
    """What goes on of a frame that is no message; bytes that a peer is free to choose are what masks are for."""
    from_client = passing.from_client
    masked = socket.plan(from_client=from_client) is not None
    if passing.sort is Sort.CLOSE:
        socket.data.close_code, socket.data.closed_by_client = passing.code, from_client
        return b"" if masked else passing.content
    answer = socket.pings.ping if passing.sort is Sort.PING else socket.pings.pong
    return answer(passing.content, from_client=from_client, masked=masked)
