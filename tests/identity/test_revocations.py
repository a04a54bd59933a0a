"""Who is cut off, and that nobody is believed when that is not known."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headgate.errors import HeadgateError
from headgate.identity.revocations import Revocation, RevocationList, Revocations
from headgate.model import Kind, Principal, Session

NOW = 1_700_000_000.0
PATIENCE = 20.0
"""Seconds after which a thing that should happen at once counts as not happening."""

NOTHING = Revocations.of([])


def entry(kind: Any, value: str, provider: str | None = None, expires: float = NOW + 60) -> Revocation:
    return Revocation(1, kind, provider, value, "", NOW, expires, "root")


def ana(**changes: Any) -> Principal:
    usual = {"session": Session("s-1"), "person": "E123", "claims": {"jti": "t-1"}}
    return Principal(**{"id": "ana", "kind": Kind.HUMAN, "provider": "corp", **usual, **changes})


def covers(principal: Principal, *entries: Revocation, now: float = NOW) -> bool:
    return Revocations.of(entries).covers(principal, now)


@pytest.mark.parametrize(
    ("kind", "value"), [("session", "s-1"), ("principal", "ana"), ("principal", "E123"), ("token", "t-1")]
)
def test_each_name_of_a_caller_can_be_revoked_of_its_provider_or_of_any(kind: str, value: str) -> None:
    assert covers(ana(), entry(kind, value))
    assert covers(ana(), entry(kind, value, "corp"))
    assert not covers(ana(), entry(kind, value, "other"))
    assert not covers(ana(), entry(kind, value + "x"))
    assert not covers(
        ana(), entry(kind, value.upper() + "x"), entry(kind, value[:-1]), entry(kind, "*"), entry(kind, "")
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [("session", "ana"), ("session", "t-1"), ("principal", "s-1"), ("token", "s-1"), ("token", "ana")],
)
def test_a_name_of_one_kind_is_none_of_another(kind: str, value: str) -> None:
    assert not covers(ana(), entry(kind, value))


def test_an_agent_goes_with_whom_it_acts_for_and_not_the_other_way_round() -> None:
    agent = ana(id="bot", kind=Kind.AGENT, owner="ana", person=None)
    assert covers(agent, entry("principal", "ana", "corp"))
    assert covers(agent, entry("principal", "bot", "corp"))
    assert not covers(ana(), entry("principal", "bot"))


def test_who_has_no_such_name_is_not_covered() -> None:
    nobody = ana(id="x", person=None, session=Session(), claims={})
    assert not covers(nobody, entry("session", "None"), entry("token", "None"), entry("principal", "None"))
    assert not covers(ana(claims={"jti": ["t-1"]}), entry("token", "t-1"))


def test_a_revocation_ends() -> None:
    assert covers(ana(), entry("session", "s-1", expires=NOW + 1))
    assert not covers(ana(), entry("session", "s-1", expires=NOW))
    assert not covers(ana(), entry("session", "s-1", expires=NOW + 1), now=NOW + 1)


def test_of_two_the_later_end_counts_whatever_their_order() -> None:
    short, long = entry("session", "s-1", expires=NOW + 1), entry("session", "s-1", expires=NOW + 100)
    for entries in ((short, long), (long, short)):
        assert covers(ana(), *entries, now=NOW + 50)


def test_an_ended_one_of_a_provider_does_not_hide_one_of_any() -> None:
    assert covers(ana(), entry("session", "s-1", "corp", expires=NOW - 1), entry("session", "s-1"))


# ------------------------------------------------------------------------------------------------------------ the list


class Source:
    """What is read: a list, or an error; each reading is announced on the loop that waits for it."""

    def __init__(self) -> None:
        self.result: Revocations | HeadgateError = NOTHING
        self.now = 100.0
        self.thread: threading.Thread | None = None
        self._read = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> Revocations:
        self.thread = threading.current_thread()
        result = self.result
        if self._loop:
            self._loop.call_soon_threadsafe(self._read.set)
        if isinstance(result, HeadgateError):
            raise result
        return result

    async def readings(self, count: int = 2) -> None:
        """Until it has been read anew; of two readings, what came of the first has been dealt with."""
        self._loop = asyncio.get_running_loop()
        for _ in range(count):
            self._read.clear()
            async with asyncio.timeout(PATIENCE):
                await self._read.wait()


def running(source: Source, scenario: Callable[[RevocationList], Any]) -> None:
    """Play `scenario` while a list follows `source` without a pause."""

    async def play() -> None:
        revoked = RevocationList(source, lambda: source.now, interval=0)
        task = asyncio.create_task(revoked.run())
        try:
            await scenario(revoked)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())


def test_before_it_was_read_there_is_no_list() -> None:
    assert RevocationList(Source(), lambda: 0.0).current() is None


def test_it_can_be_read_at_once_and_then_says_what_is_wrong() -> None:
    source = Source()
    revoked = RevocationList(source, lambda: source.now)
    revoked.read_now()
    assert revoked.current() is NOTHING
    source.result = HeadgateError("gone")
    with pytest.raises(HeadgateError, match="gone"):
        revoked.read_now()
    assert revoked.current() is NOTHING


def test_a_list_counts_for_ten_seconds_and_not_when_the_clock_has_leapt_back() -> None:
    source = Source()
    revoked = RevocationList(source, lambda: source.now)
    revoked.read_now()
    for later, known in ((10.0, True), (10.1, False), (0.0, True), (-0.1, False)):
        source.now = 100.0 + later
        assert (revoked.current() is NOTHING) is known


def test_a_change_is_read_without_being_told_and_beside_the_event_loop() -> None:
    source = Source()
    changed = Revocations.of([entry("session", "s-1")])

    async def scenario(revoked: RevocationList) -> None:
        await source.readings()
        assert revoked.current() is NOTHING
        source.result = changed
        await source.readings(3)
        assert revoked.current() is changed

    running(source, scenario)
    assert source.thread is not threading.main_thread()


def test_while_it_cannot_be_read_the_last_one_counts_for_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()

    async def scenario(revoked: RevocationList) -> None:
        await source.readings()
        source.result = HeadgateError("the disk is gone")
        await source.readings(3)
        assert revoked.current() is NOTHING
        source.now += 10.1
        assert revoked.current() is None
        source.result = HeadgateError("the folder is gone")
        await source.readings(3)
        assert revoked.current() is None
        source.result = NOTHING
        await source.readings(3)
        assert revoked.current() is NOTHING

    with caplog.at_level(logging.INFO, "headgate.identity.revocations"):
        running(source, scenario)
    said = [record.message for record in caplog.records]
    assert said == [
        "the disk is gone; in 10 s, every caller is refused until it can be read",
        "the folder is gone; in 10 s, every caller is refused until it can be read",
        "the list of revocations can be read again",
    ]


def test_a_reading_that_takes_long_is_as_old_as_its_beginning() -> None:
    source = Source()

    def slow() -> Revocations:
        source.now += 11
        return NOTHING

    revoked = RevocationList(slow, lambda: source.now)
    revoked.read_now()
    assert revoked.current() is None
