"""The layer that speaks WebSocket: nothing is sent that the guard has not given, whatever either peer says, and how."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import wsproto.events as said
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.websocket import WebsocketEndHook, WebsocketMessageHook
from mitmproxy.proxy.layers.websocket import WebSocketMessageInjected as Injected
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import Opcode

from headgate.model import unauthenticated, withheld
from headgate.proxy.held import Held
from headgate.proxy.passing import TOO_LONG, Ending, Passing, PassingHook, Pausing, Sort, close_code
from headgate.proxy.socketlayer import LONGEST_FROM_CLIENT, MOST_WAITING, SocketLayer

OPTIONS: Any = SimpleNamespace(body_size_limit="16m")
REVOKED = unauthenticated("revoked")
Guard = Callable[[Passing], None]


def let_pass(passing: Passing) -> None:
    passing.out = passing.content


class Line:
    """The layer between two peers, with a guard; `to[True]` is what has been sent to the client, decoded."""

    def __init__(self, guard: Guard = let_pass) -> None:
        client = connection.Client(peername=("a", 1), sockname=("b", 2), state=connection.ConnectionState.OPEN)
        whole = context.Context(client, OPTIONS)
        whole.server = connection.Server(address=("c", 3))
        whole.server.state = connection.ConnectionState.OPEN
        flow = tflow.tflow()
        self.held = Held("01", 0.0, flow=flow, client=flow.client_conn)
        self.guard, self.context, self.flow = guard, whole, flow
        self.layer = SocketLayer(whole, flow)
        self.peers = {True: Connection(ConnectionType.CLIENT), False: Connection(ConnectionType.SERVER)}
        self.to: dict[bool, list[Any]] = {True: [], False: []}
        self.raw = b""
        self.closed: list[bool] = []
        self.heard: list[str] = []
        self.waiting: list[commands.Command] = []
        self._run(events.Start())

    def _run(self, event: events.Event) -> None:
        for command in self.layer.handle_event(event):
            if isinstance(command, commands.SendData):
                self._deliver(command.connection is self.context.client, command.data)
            elif isinstance(command, commands.CloseConnection):
                self.closed.append(command.connection is self.context.client)
            elif isinstance(command, commands.StartHook | commands.RequestWakeup):
                self.waiting.append(command)
        while self.waiting and isinstance(self.waiting[0], commands.StartHook):
            self._answer(self.waiting.pop(0))

    def _answer(self, hook: Any) -> None:
        self.heard.append(type(hook).__name__)
        if isinstance(hook, PassingHook):
            hook.passing.held = self.held
            self.guard(hook.passing)
        self._run(events.HookCompleted(hook))

    def _deliver(self, to_client: bool, data: bytes) -> None:
        self.raw += data
        peer = self.peers[to_client]
        peer.receive_data(data)
        for event in peer.events():
            if isinstance(event, said.CloseConnection):
                self.to[to_client].append((int(event.code), event.reason or ""))
            else:
                self.to[to_client].append(event.payload if isinstance(event, said.Ping | said.Pong) else event.data)

    def say(self, from_client: bool, *saying: said.Event) -> None:
        self.bytes(from_client, b"".join(self.peers[from_client].send(event) for event in saying))

    def bytes(self, from_client: bool, data: bytes) -> None:
        self._run(events.DataReceived(self.context.client if from_client else self.context.server, data))

    def gone(self, from_client: bool) -> None:
        self._run(events.ConnectionClosed(self.context.client if from_client else self.context.server))

    def inject(self, event: events.MessageInjected[Any]) -> None:
        self._run(event)

    def wake(self) -> None:
        (wakeup,) = self.waiting
        self.waiting.clear()
        self._run(events.Wakeup(wakeup))


BOTH = pytest.mark.parametrize("from_client", [True, False])


@BOTH
def test_a_message_goes_on_whole_and_others_hear_of_it_after_the_guard(from_client: bool) -> None:
    line = Line()
    line.say(from_client, said.TextMessage("hello ", message_finished=False), said.Ping(b"p"))
    assert line.to[not from_client] == [b"p"]
    line.say(from_client, said.TextMessage("there"), said.BytesMessage(b"\xff"))
    assert line.to[not from_client] == [b"p", "hello there", b"\xff"]
    hooks = ["PassingHook", "WebsocketMessageHook"]
    assert line.heard == ["WebsocketStartHook", "PassingHook", *hooks, *hooks]


@BOTH
def test_what_the_guard_has_made_of_it_is_what_goes_on(from_client: bool) -> None:
    def masked(passing: Passing) -> None:
        passing.out = "☃ masked".encode()

    line = Line(masked)
    line.say(from_client, said.TextMessage("secret"))
    assert line.to[not from_client] == ["☃ masked"]


def flushing(*sorts: Sort) -> Guard:
    def flush(passing: Passing) -> None:
        passing.out = passing.content
        if passing.sort in sorts:
            passing.before = ["held ☃".encode(), b"back"]

    return flush


@BOTH
def test_what_was_held_back_goes_on_before_what_was_said(from_client: bool) -> None:
    line = Line(flushing(Sort.TEXT))
    line.say(from_client, said.TextMessage("said"), said.BytesMessage(b"\xff"))
    assert line.to == {not from_client: ["held ☃", "back", "said", b"\xff"], from_client: []}


@BOTH
def test_and_before_its_peer_says_goodbye(from_client: bool) -> None:
    line = Line(flushing(Sort.CLOSE))
    line.say(from_client, said.CloseConnection(1000, "bye"))
    assert line.to[not from_client] == ["held ☃", "back", (1000, "bye")]
    assert line.to[from_client] == [(1000, "bye")]


@BOTH
def test_and_when_its_peer_is_gone(from_client: bool) -> None:
    line = Line(flushing(Sort.CLOSE))
    line.gone(from_client)
    assert line.to == {not from_client: ["held ☃", "back"], from_client: []}


@BOTH
def test_and_when_nothing_follows(from_client: bool) -> None:
    line = Line(flushing(Sort.PAUSE))
    line.inject(Pausing(line.flow, from_client))
    assert line.to == {not from_client: ["held ☃", "back"], from_client: []}
    assert line.heard == ["WebsocketStartHook", "PassingHook", "WebsocketMessageHook"]
    line.guard = let_pass
    line.inject(Pausing(line.flow, from_client))
    assert line.heard[3:] == ["PassingHook"]
    line.say(from_client, said.TextMessage("said"))
    assert line.to[not from_client] == ["held ☃", "back", "said"]


@BOTH
@pytest.mark.parametrize("sort", [Sort.TEXT, Sort.CLOSE, Sort.PAUSE])
def test_it_does_not_when_the_guard_refuses(from_client: bool, sort: Sort) -> None:
    def refuse(passing: Passing) -> None:
        flushing(sort)(passing)
        line.held.refusal = REVOKED

    line = Line(refuse)
    if sort is Sort.PAUSE:
        line.inject(Pausing(line.flow, from_client))
    else:
        line.say(from_client, said.TextMessage("said") if sort is Sort.TEXT else said.CloseConnection(1000))
    assert line.to == {True: [(1008, "revoked")], False: [(1008, "")]}
    line.inject(Pausing(line.flow, from_client))
    assert line.to == {True: [(1008, "revoked")], False: [(1008, "")]}


@BOTH
def test_a_guard_that_says_nothing_lets_nothing_pass(from_client: bool) -> None:
    line = Line(lambda _: None)
    line.say(from_client, said.TextMessage("secret"), said.TextMessage("more"))
    assert line.to[True] == [(1011, "not-judged")]
    assert line.to[False] == [(1011, "")]
    assert WebsocketMessageHook.__name__ not in line.heard
    assert line.heard[-1] == WebsocketEndHook.__name__
    assert not line.flow.live


@BOTH
def test_a_refusal_while_others_look_on_stops_the_message(from_client: bool) -> None:
    line = Line()
    answer = line._answer

    def late(hook: Any) -> None:
        if isinstance(hook, WebsocketMessageHook):
            line.held.refusal = REVOKED
        answer(hook)

    line._answer = late  # type: ignore[method-assign]
    line.say(from_client, said.TextMessage("secret"))
    assert line.to == {True: [(1008, "revoked")], False: [(1008, "")]}


def test_the_guard_may_end_it_at_any_time() -> None:
    line = Line()
    line.inject(Ending(line.flow, REVOKED))
    assert line.to == {True: [(1008, "revoked")], False: [(1008, "")]}
    assert line.closed == []
    line.say(True, said.CloseConnection(1008))
    line.say(False, said.CloseConnection(1008))
    assert line.closed == [False, True]


def test_a_peer_that_does_not_say_goodbye_is_not_waited_for_long() -> None:
    line = Line()
    line.inject(Ending(line.flow, REVOKED))
    line.say(True, said.CloseConnection(1008))
    line.bytes(False, b"\x81\x05never")
    assert line.closed == []
    line.wake()
    assert line.closed == [False, True]


@BOTH
def test_messages_that_others_inject_are_dropped(from_client: bool) -> None:
    line = Line()
    line.inject(Injected(line.flow, WebSocketMessage(Opcode.TEXT, from_client, b"forged")))
    assert line.to == {True: [], False: []}
    line.say(from_client, said.TextMessage("hello"))
    assert line.to[not from_client] == ["hello"]


@BOTH
def test_who_goes_away_without_a_word_takes_the_other_along(from_client: bool) -> None:
    line = Line()
    line.say(from_client, said.TextMessage("unfinished", message_finished=False))
    line.gone(from_client)
    assert (line.to, line.closed) == ({True: [], False: []}, [False, True])


def test_an_unfinished_message_does_not_grow_without_end() -> None:
    sorts: list[Sort] = []

    def counted(passing: Passing) -> None:
        sorts.append(passing.sort)
        line.held.refusal = withheld(TOO_LONG)

    line = Line(counted)
    for _ in range(1000):
        line.say(True, said.TextMessage("", message_finished=False))
    assert sorts == []
    line.say(True, said.TextMessage("x" * LONGEST_FROM_CLIENT, message_finished=False))
    assert sorts == []
    line.say(True, said.TextMessage("x", message_finished=False))
    assert sorts == [Sort.EXCESS]
    assert line.to[True] == [(1009, TOO_LONG)]


def test_what_waits_for_the_guard_does_not_grow_without_end() -> None:
    line = Line()
    hooks: list[Any] = []
    line._answer = hooks.append  # type: ignore[method-assign]
    line.say(False, said.BytesMessage(b"first"))
    piece = b"x" * (MOST_WAITING // 4)
    for _ in range(10):
        line.say(False, said.BytesMessage(piece))
    waiting = sum(len(event.data) for event in line.layer._paused_event_queue if isinstance(event, events.DataReceived))
    assert waiting <= MOST_WAITING
    del line._answer

    def strict(passing: Passing) -> None:
        if passing.sort is Sort.EXCESS:
            line.held.refusal = withheld(TOO_LONG)
        else:
            let_pass(passing)

    line.guard = strict
    line._answer(hooks[0])
    assert line.to[True] in ([b"first", (1009, TOO_LONG)], [(1009, TOO_LONG)])


@pytest.mark.parametrize(("refusal", "code"), [(REVOKED, 1008), (withheld("x"), 1011), (withheld(TOO_LONG), 1009)])
def test_a_close_frame_says_what_kind_of_refusal_it_is(refusal: Any, code: int) -> None:
    assert close_code(refusal) == code


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    return [data[start:end] for start, end in pairwise(places)]


SAYING = st.one_of(
    st.builds(said.TextMessage, st.text(max_size=20), message_finished=st.booleans()),
    st.builds(said.Ping, st.binary(max_size=20)),
    st.builds(said.Pong, st.binary(max_size=20)),
)


@given(st.lists(SAYING, max_size=8), st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_how_it_is_cut_into_packets_changes_nothing(saying: list[Any], cuts: list[int], from_client: bool) -> None:
    whole, pieces = Line(), Line()
    data = b"".join(whole.peers[from_client].send(event) for event in saying)
    whole.bytes(from_client, data)
    for piece in split(data, cuts):
        pieces.bytes(from_client, piece)
    assert pieces.to == whole.to


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=10))
def test_whatever_bytes_come_nothing_passes_but_what_the_guard_gives(packets: list[tuple[bool, bytes]]) -> None:
    def give(passing: Passing) -> None:
        passing.out = b"given" if passing.sort is not Sort.CLOSE else b""

    line = Line(give)
    for from_client, data in packets:
        line.bytes(from_client, b"\x82\x07unasked" + data if not from_client else data)
    assert b"unasked" not in line.raw
    for messages in line.to.values():
        assert all(message in (b"given", "given") or isinstance(message, tuple) for message in messages)
