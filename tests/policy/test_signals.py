"""Which signals are set, and that it is unknown when they cannot be read."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headgate.errors import HeadgateError
from headgate.match.signals import MAX_NAME, signal_name
from headgate.policy.signals import Signal, SignalBoard, Signals

NOW = 1_700_000_000.0
PATIENCE = 20.0
"""Seconds after which a thing that should happen at once counts as not happening."""

NOTHING = Signals.of([])


def signal(name: str, until: float = NOW + 60) -> Signal:
    return Signal(name, NOW, until, "", "root")


# ------------------------------------------------------------------------------------------------------------- signals


def test_a_signal_ends_by_itself() -> None:
    signals = Signals.of([signal("incident", NOW + 60), signal("month-end", NOW + 90)])
    assert signals.at(NOW) == {"incident", "month-end"}
    assert signals.at(NOW + 59.9) == {"incident", "month-end"}
    assert signals.at(NOW + 60) == {"month-end"}
    assert signals.at(NOW + 90) == frozenset()


def test_without_signals_none_is_set() -> None:
    assert NOTHING.at(NOW) == frozenset()


@pytest.mark.parametrize("name", ["incident", "a", "0", "month-end-2026", "x" * MAX_NAME])
def test_names_are_words_joined_by_dashes(name: str) -> None:
    assert signal_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-", "a-", "-a", "a--b", "A", "a_b", "a.b", "a b", "a\n", "é", "٣", "\x1b", "x" * (MAX_NAME + 1)],
    ids=ascii,
)
def test_what_is_no_name_says_what_is_accepted(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a signal; accepted: up to 64 lower-case letters"):
        signal_name(name)


# ----------------------------------------------------------------------------------------------------------- the board


class Source:
    """What is read: signals, or an error; each reading is announced on the loop that waits for it."""

    def __init__(self) -> None:
        self.result: Signals | HeadgateError = NOTHING
        self.now = 100.0
        self.thread: threading.Thread | None = None
        self._read = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> Signals:
        self.thread = threading.current_thread()
        result = self.result
        if self._loop:
            self._loop.call_soon_threadsafe(self._read.set)
        if isinstance(result, HeadgateError):
            raise result
        return result

    async def readings(self, count: int = 2) -> None:
        """Until they have been read anew; of two readings, what came of the first has been dealt with."""
        self._loop = asyncio.get_running_loop()
        for _ in range(count):
            self._read.clear()
            async with asyncio.timeout(PATIENCE):
                await self._read.wait()


def running(source: Source, scenario: Callable[[SignalBoard], Any]) -> None:
    """Play `scenario` while a board follows `source` without a pause."""

    async def play() -> None:
        board = SignalBoard(source, lambda: source.now, interval=0)
        task = asyncio.create_task(board.run())
        try:
            await scenario(board)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())


def test_before_they_were_read_it_is_unknown_what_is_set() -> None:
    board = SignalBoard(Source(), lambda: 0.0)
    assert board.current() is None
    assert board.at(NOW) is None


def test_they_can_be_read_at_once_and_then_say_what_is_wrong() -> None:
    source = Source()
    board = SignalBoard(source, lambda: source.now)
    board.read_now()
    assert board.at(NOW) == frozenset()
    source.result = HeadgateError("gone")
    with pytest.raises(HeadgateError, match="gone"):
        board.read_now()
    assert board.at(NOW) == frozenset()


def test_what_was_read_counts_for_ten_seconds_and_not_when_the_clock_has_leapt_back() -> None:
    source = Source()
    source.result = Signals.of([signal("incident")])
    board = SignalBoard(source, lambda: source.now)
    board.read_now()
    for later, known in ((10.0, True), (10.1, False), (0.0, True), (-0.1, False)):
        source.now = 100.0 + later
        assert board.at(NOW) == ({"incident"} if known else None)


def test_a_change_is_read_without_being_told_and_beside_the_event_loop() -> None:
    source = Source()

    async def scenario(board: SignalBoard) -> None:
        await source.readings()
        assert board.at(NOW) == frozenset()
        source.result = Signals.of([signal("incident")])
        await source.readings(3)
        assert board.at(NOW) == {"incident"}

    running(source, scenario)
    assert source.thread is not threading.main_thread()


def test_while_they_cannot_be_read_the_last_ones_count_for_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    source.result = known = Signals.of([signal("incident")])

    async def scenario(board: SignalBoard) -> None:
        await source.readings()
        source.result = HeadgateError("the disk is gone")
        await source.readings(3)
        assert board.at(NOW) == {"incident"}
        source.now += 10.1
        assert board.at(NOW) is None
        source.result = HeadgateError("the folder is gone")
        await source.readings(3)
        assert board.at(NOW) is None
        source.result = known
        await source.readings(3)
        assert board.at(NOW) == {"incident"}

    with caplog.at_level(logging.INFO, "headgate.policy.signals"):
        running(source, scenario)
    said = [record.message for record in caplog.records]
    assert said == [
        "the disk is gone; in 10 s, conditions on signals are unknown until it can be read",
        "the folder is gone; in 10 s, conditions on signals are unknown until it can be read",
        "the signals can be read again",
    ]


def test_a_reading_that_takes_long_is_as_old_as_its_beginning() -> None:
    source = Source()

    def slow() -> Signals:
        source.now += 11
        return NOTHING

    board = SignalBoard(slow, lambda: source.now)
    board.read_now()
    assert board.current() is None
