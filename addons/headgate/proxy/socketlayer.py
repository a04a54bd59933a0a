"""A WebSocket as it is spoken under the guard: each message goes to the guard whole, and on from there or nowhere.

mitmproxy's own layer puts a message on its flow before anybody has judged it and sends what addons make of it; it keeps
an unfinished one without any end, passes control frames on unasked and writes them to the log. This one takes its
place. It hands everything that a peer says to the guard and to nobody else, by a hook of its own, and sends what the
guard gives back. Only then do other addons hear of a message, by mitmproxy's hook, on a flow that shows what may be
seen; what they change on it is not sent, and messages that they inject are dropped.
"""

import logging
from collections.abc import Callable
from typing import Any

import wsproto.events as said
from mitmproxy import connection, http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import websocket
from mitmproxy.proxy.layers.websocket import WebsocketEndHook, WebsocketMessageHook, WebsocketStartHook
from mitmproxy.utils import human
from wsproto.connection import Connection, ConnectionState, ConnectionType

from headgate.model import Refusal
from headgate.proxy.passing import NOT_JUDGED, Ending, Passing, PassingHook, Pausing, Sort, close_code

LONGEST_FROM_CLIENT = 1024 * 1024
"""Bytes a message from the caller may have; one to it may have as many as a response (`body_size_limit`)."""

MOST_WAITING = 16 * 1024 * 1024
"""Bytes that may arrive while the guard judges a message."""

LINGER = 2.0
"""Seconds a peer has to answer a close frame before its connection is closed."""

MAY_CLOSE = (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING)


class _End:
    """One side of it: the connection, what is said on it, and the message that is still under way."""

    def __init__(self, kind: ConnectionType, conn: connection.Connection, limit: int) -> None:
        self.speech, self.conn, self.limit = Connection(kind), conn, limit
        self.part = bytearray()
        self.over = False  # nothing more is to be said or heard

    def say(self, event: said.Event) -> commands.SendData:
        return commands.SendData(self.conn, self.speech.send(event))


class SocketLayer(layer.Layer):
    """Between two peers that have agreed on a WebSocket."""

    def __init__(self, context: Context, flow: http.HTTPFlow) -> None:
        super().__init__(context)
        self.flow = flow
        self._waiting = 0
        self._overrun = False
        limit = human.parse_size(context.options.body_size_limit) or LONGEST_FROM_CLIENT
        self._client = _End(ConnectionType.SERVER, context.client, LONGEST_FROM_CLIENT)
        self._server = _End(ConnectionType.CLIENT, context.server, limit)
        self._state: Callable[[events.Event], layer.CommandGenerator[None]] = self._start

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """As every layer, but that what waits while the guard judges is limited: beyond, it is lost, and so is all."""
        if self._paused and isinstance(event, events.DataReceived):
            if self._waiting + len(event.data) > MOST_WAITING:
                self._overrun = True
                return
            self._waiting += len(event.data)
        yield from super().handle_event(event)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from self._state(event)

    def _start(self, _event: events.Event) -> layer.CommandGenerator[None]:
        self._state = self._relay
        yield WebsocketStartHook(self.flow)

    # -- while it is open ---------------------------------------------------------------------------------------------

    def _relay(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, Ending):
            yield from self._refuse(event.message)
        elif isinstance(event, Pausing):
            yield from self._judge(self._client if event.message else self._server, Sort.PAUSE)
        elif isinstance(event, events.MessageInjected):
            yield commands.Log("a WebSocket message was injected: it is dropped", logging.WARNING)
        elif isinstance(event, events.ConnectionEvent):
            source = self._end_of(event)
            if isinstance(event, events.DataReceived):
                self._waiting = max(0, self._waiting - len(event.data))
                source.speech.receive_data(event.data)
            else:
                source.speech.receive_data(None)
            yield from self._hear(source)

    def _hear(self, source: _End) -> layer.CommandGenerator[None]:
        for heard in source.speech.events():
            if self._overrun:
                yield from self._judge(source, Sort.EXCESS)
            elif isinstance(heard, said.Message):
                yield from self._hear_message(source, heard)
            elif isinstance(heard, said.Ping):
                yield from self._judge(source, Sort.PING, bytes(heard.payload))
            elif isinstance(heard, said.Pong):
                yield from self._judge(source, Sort.PONG, bytes(heard.payload))
            elif isinstance(heard, said.CloseConnection):
                yield from self._hear_close(source, heard)
            if self._state != self._relay:
                return

    def _hear_message(self, source: _End, heard: said.Message[Any]) -> layer.CommandGenerator[None]:
        is_text = isinstance(heard.data, str)
        source.part += heard.data.encode() if is_text else heard.data
        if len(source.part) > source.limit:
            yield from self._judge(source, Sort.EXCESS)
        elif heard.message_finished:
            content, source.part = bytes(source.part), bytearray()
            yield from self._judge(source, Sort.TEXT if is_text else Sort.BINARY, content)

    def _judge(self, source: _End, sort: Sort, content: bytes = b"") -> layer.CommandGenerator[None]:
        passing = Passing(self.flow, sort, source is self._client, content)
        yield PassingHook(passing)
        if passing.refusal is None and (passing.before or sort in (Sort.TEXT, Sort.BINARY)):
            yield WebsocketMessageHook(self.flow)
        if passing.refusal or passing.out is None:
            yield from self._refuse(passing.refusal or NOT_JUDGED)
            return
        yield from self._say_before(source, passing)
        if sort is not Sort.PAUSE:
            yield self._other(source).say(_event(sort, passing.out))

    def _say_before(self, source: _End, passing: Passing) -> layer.CommandGenerator[None]:
        other = self._other(source)
        for content in passing.before if other.speech.state is ConnectionState.OPEN else ():
            yield other.say(_event(Sort.TEXT, content))

    def _hear_close(self, source: _End, heard: said.CloseConnection) -> layer.CommandGenerator[None]:
        """A peer says goodbye, breaks the protocol (then it still counts as open), or is gone."""
        broken = source.speech.state is ConnectionState.OPEN
        gone = source.speech.state is ConnectionState.CLOSED
        reason = b"" if broken else (heard.reason or "").encode()  # what is wrong is told with what was said
        passing = Passing(self.flow, Sort.CLOSE, source is self._client, reason, int(heard.code))
        yield PassingHook(passing)
        if passing.refusal or passing.out is None:
            yield from self._refuse(passing.refusal or NOT_JUDGED)
        else:
            yield from self._say_before(source, passing)
            farewell = None if gone else said.CloseConnection(heard.code, passing.out.decode())
            yield from self._close(farewell, farewell)

    # -- its end ------------------------------------------------------------------------------------------------------

    def _refuse(self, refusal: Refusal) -> layer.CommandGenerator[None]:
        """Tell the caller why; what the rules say is none of the upstream's business."""
        code = close_code(refusal)
        yield from self._close(said.CloseConnection(code, refusal.reason), said.CloseConnection(code))

    def _close(
        self, to_client: said.CloseConnection | None, to_server: said.CloseConnection | None
    ) -> layer.CommandGenerator[None]:
        """Say goodbye; without one, a peer is gone and the other finds its connection closed, too."""
        self._state = self._linger
        for end, farewell in ((self._client, to_client), (self._server, to_server)):
            if farewell and end.speech.state in MAY_CLOSE:
                yield end.say(farewell)
            end.over = farewell is None or end.speech.state is ConnectionState.CLOSED
        yield WebsocketEndHook(self.flow)
        self.flow.live = False
        if not (yield from self._hang_up()):
            yield commands.RequestWakeup(LINGER)

    def _linger(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Wait for the peers' own goodbyes: a connection closed before they are read could take ours along."""
        if isinstance(event, events.Wakeup):
            self._client.over = self._server.over = True
        elif isinstance(event, events.ConnectionEvent):
            end = self._end_of(event)
            end.over = end.over or not isinstance(event, events.DataReceived) or _says_goodbye(end, event.data)
        yield from self._hang_up()

    def _hang_up(self) -> layer.CommandGenerator[bool]:
        """Close both connections once nothing more is to be said on either; whether that is so."""
        if not (self._client.over and self._server.over):
            return False
        self._state = self._done
        yield commands.CloseConnection(self._server.conn)
        yield commands.CloseConnection(self._client.conn)
        return True

    def _done(self, _event: events.Event) -> layer.CommandGenerator[None]:
        yield from ()

    def _end_of(self, event: events.ConnectionEvent) -> _End:
        return self._client if event.connection == self.context.client else self._server

    def _other(self, end: _End) -> _End:
        return self._server if end is self._client else self._client


def speak_guarded() -> None:
    """Have every WebSocket of this process spoken by `SocketLayer`."""
    websocket.WebsocketLayer = SocketLayer  # type: ignore[assignment, misc]


def _event(sort: Sort, out: bytes) -> said.Event:
    if sort is Sort.TEXT:
        return said.TextMessage(out.decode())
    if sort is Sort.BINARY:
        return said.BytesMessage(out)
    return said.Ping(out) if sort is Sort.PING else said.Pong(out)


def _says_goodbye(end: _End, data: bytes) -> bool:
    if end.speech.state is not ConnectionState.LOCAL_CLOSING:
        return False
    end.speech.receive_data(data)
    return any(isinstance(heard, said.CloseConnection) for heard in end.speech.events())
