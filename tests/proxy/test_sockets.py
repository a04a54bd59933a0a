"""The guard of a WebSocket: what it lets go on of what is held back, and when."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest
from mitmproxy.test import tflow
from tests.proxy.test_speech import CARD, CARDS, SSN, STAGES, delta

from headgate.masking.due import NOTHING, Due
from headgate.proxy import sockets as module
from headgate.proxy.held import Held
from headgate.proxy.passing import Passing, Sort
from headgate.proxy.sockets import Sockets

BOTH = Due(caller=CARDS, record=CARDS, request=CARDS)


class Chat:
    """One WebSocket that is open, to be talked on in one event loop."""

    def __init__(self, due: Due = BOTH) -> None:
        flow = tflow.tflow()
        self.held = Held("01", 0.0, flow=flow, client=flow.client_conn)
        self.sockets = Sockets({flow.id: self.held})
        self.sockets.stages = STAGES
        self.sockets.open(self.held)
        self.due(due)

    def due(self, due: Due) -> None:
        assert self.held.socket
        self.held.socket.due = due

    async def say(self, content: bytes, sort: Sort = Sort.TEXT, *, from_client: bool = False) -> list[bytes] | str:
        """What goes on, or why nothing does."""
        passing = Passing(self.held.flow, sort, from_client, content, 1000)
        waiting = self.sockets.judge(passing)
        if not isinstance(waiting, bool):
            await waiting
        if passing.refusal or passing.out is None:
            return passing.refusal.reason if passing.refusal else "nothing said"
        return [*passing.before, passing.out]

    @property
    def shown(self) -> list[bytes]:
        assert self.held.socket
        return [message.content for message in self.held.socket.data.messages]


def run(talk: Coroutine[Any, Any, None]) -> None:
    asyncio.run(talk)


@pytest.mark.parametrize("from_client", [True, False])
def test_what_is_held_back_goes_on_before_the_goodbye_of_who_said_it(from_client: bool) -> None:
    async def talk() -> None:
        chat = Chat()
        assert await chat.say(delta("hello there"), from_client=from_client) == [delta("hello ")]
        assert await chat.say(b"", Sort.PING, from_client=from_client) == [b"1"]
        assert await chat.say(b"bye", Sort.CLOSE, from_client=from_client) == [delta("there"), b""]
        assert chat.shown == [delta("hello "), delta("there")]
        socket = cast(Any, chat.held.socket)
        assert ((socket.sent if from_client else socket.received).messages, socket.pings.numbers is None) == (2, False)

    run(talk())


def test_each_direction_is_a_text_of_its_own() -> None:
    async def talk() -> None:
        chat = Chat()
        assert await chat.say(delta("pay 41111111"), from_client=True) == [delta("pay ")]
        assert await chat.say(delta("11111111 or more ")) == [delta("11111111 or more ")]
        assert await chat.say(delta("11111111 now "), from_client=True) == [delta("[CREDIT_CARD] now ")]

    run(talk())


@pytest.mark.parametrize("now", [NOTHING, Due(caller=SSN, record=SSN), Due(caller=CARDS, record=SSN)])
def test_what_is_held_back_goes_on_before_the_first_message_under_other_masks(now: Due) -> None:
    async def talk() -> None:
        chat = Chat()
        await chat.say(delta("hello there"))
        chat.due(now)
        assert await chat.say(b"{}") == [delta("there"), b"{}"]
        assert await chat.say(b'{"ssn": 1}') == [b'{"ssn": null}' if now.caller is SSN else b'{"ssn": 1}']
        assert chat.shown[:2] == [delta("hello "), delta("there")]

    run(talk())


def test_masks_that_begin_hold_for_what_is_said_from_then_on() -> None:
    async def talk() -> None:
        chat = Chat(NOTHING)
        assert await chat.say(CARD.encode()) == [CARD.encode()]
        chat.due(BOTH)
        assert await chat.say(CARD.encode()) == [b"[CREDIT_CARD]"]
        assert await chat.say(b"\x00", Sort.BINARY) == "binary-message"

    run(talk())


def test_what_is_held_back_goes_on_when_nothing_has_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk() -> None:
        chat, told = Chat(), asyncio.Queue[Any]()
        monkeypatch.setattr(chat.sockets, "_tell", lambda _held, event: told.put_nowait(event))
        monkeypatch.setattr(module, "PAUSE", 0.0)
        await chat.say(delta("hello there"))
        event = await told.get()
        assert (event.flow, event.message) == (chat.held.flow, False)
        assert await chat.say(b"", Sort.PAUSE, from_client=True) == [b""]
        assert await chat.say(b"", Sort.PAUSE) == [delta("there"), b""]
        assert await chat.say(b"", Sort.PAUSE) == [b""]
        assert told.empty()

    run(talk())


def test_a_pause_that_is_over_when_it_is_heard_of_is_none() -> None:
    async def talk() -> None:
        chat = Chat()
        await chat.say(delta("hello there"))
        assert await chat.say(b"", Sort.PAUSE) == [b""]
        assert await chat.say(delta(" and")) == [delta("there ")]

    run(talk())


@pytest.mark.parametrize("sort", [Sort.CLOSE, Sort.PAUSE, Sort.TEXT])
def test_nothing_of_it_goes_on_once_it_is_refused(sort: Sort) -> None:
    async def talk() -> None:
        chat = Chat(Due(caller=SSN, record=SSN))
        assert await chat.say(b"ssn 1") == "fields-in-text"
        assert await chat.say(b"{}", sort) == "fields-in-text"
        assert chat.shown == []

    run(talk())


def test_what_is_held_back_and_cannot_be_masked_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk() -> None:
        chat = Chat()
        await chat.say(delta(CARD))
        monkeypatch.setattr("headgate.masking.socketmask.HELD_UNITS", 0)
        monkeypatch.setattr("headgate.masking.streams.record.mask_value", _costly)
        assert await chat.say(b"", Sort.CLOSE) == "detection-too-slow"

    run(talk())


def _costly(*_: object) -> Any:
    from headgate.masking.detection.budget import OverBudget

    raise OverBudget


def test_its_end_forgets_what_was_held_back() -> None:
    async def talk() -> None:
        chat = Chat()
        await chat.say(delta("hello there"))
        chat.sockets.finish(chat.held)
        assert cast(Any, chat.held.socket).speeches == {}

    run(talk())
