"""When exchanges that last are judged again, and what becomes of them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest
from mitmproxy.test import tflow
from mitmproxy.test.tutils import tresp

from headgate.masking.due import NOTHING, Due
from headgate.masking.plan import Operator, Plan
from headgate.masking.response import Received
from headgate.masking.streaming import StreamMask
from headgate.model import (
    BundleRef,
    Decision,
    Effect,
    Exchange,
    Kind,
    Principal,
    Refusal,
    Request,
    denied,
    guard_error,
    unauthenticated,
    withheld,
)
from headgate.proxy.flowing import Flowing
from headgate.proxy.held import Held
from headgate.proxy.kept import Socket
from headgate.proxy.rejudge import AT_ONCE, LOOKS, Rejudge, judged_again
from headgate.proxy.stages import NO_STAGES, Stages

REVOKED = unauthenticated("revoked")
INTERVAL = 30.0
LOOK = INTERVAL / LOOKS
ANA = Principal("ana", Kind.HUMAN, "corp")
PLAN = Plan(paths=(("$.ssn", Operator.REDACT),))
MORE, EXCEPTED = Due(PLAN, PLAN), Due(None, PLAN)
BUNDLE = BundleRef("demo", "1.0.0", "ab" * 32)


def no_detector(_: Plan) -> NoReturn:
    raise AssertionError("no mask here detects")


def exchange(*, socket: bool = True) -> Held:
    flow = tflow.tflow()
    held = Held("01", 0.0, flow=flow, client=flow.client_conn, request=Request("GET", "http", "a", 80, "/"))
    held.principal, held.decision = ANA, Decision(Effect.ALLOW, "allowed-by-rule")
    held.passed = held.audited = True
    held.socket = Socket(NOTHING, 0.0) if socket else None
    return held


class Court:
    """Exchanges, a clock that the test moves, and what has been judged and closed."""

    def __init__(self, *held: Held, again: Callable[[Held], Refusal | None] = lambda _: None) -> None:
        self.now, self.judged = 1000.0, list[float]()
        self.closed: list[tuple[Held, Refusal]] = []
        self._again = again
        known = {str(at): one for at, one in enumerate(held)}
        self.rejudge = Rejudge(
            known, self._judge, lambda *closed: self.closed.append(closed), lambda: self.now, INTERVAL
        )

    def _judge(self, held: Held) -> Refusal | None:
        self.judged.append(self.now)
        return self._again(held)

    def run(self, seconds: float) -> None:
        """As `Rejudge.run` does, without waiting."""
        end = self.now + seconds
        while self.now < end:
            asyncio.run(self.rejudge.look())
            self.now += LOOK


def test_each_is_judged_again_within_the_interval() -> None:
    court = Court(exchange())
    court.run(5 * INTERVAL)
    assert len(court.judged) >= 5
    pauses = [later - earlier for earlier, later in zip([1000.0, *court.judged], court.judged, strict=False)]
    assert max(pauses) <= INTERVAL
    assert min(pauses) >= INTERVAL / 2
    assert court.closed == []


def test_one_that_may_not_go_on_is_closed_with_the_reason() -> None:
    held = exchange()
    court = Court(held, exchange(), again=lambda judged: REVOKED if judged is held else None)
    court.run(INTERVAL)
    assert court.closed == [(held, REVOKED)]


def test_one_that_cannot_be_judged_is_closed() -> None:
    def fail(_: Held) -> Refusal | None:
        raise ValueError("c4n4ry")

    held = exchange()
    court = Court(held, again=fail)
    court.run(INTERVAL)
    assert court.closed == [(held, guard_error("judging-again-failed"))]


def test_what_should_have_ended_is_closed_again_until_it_has() -> None:
    held = exchange()
    held.refusal = REVOKED
    court = Court(held)
    court.run(2 * INTERVAL)
    assert court.closed == [(held, REVOKED)] * 2
    assert court.judged == []
    assert held.socket
    held.socket.over = True
    court.run(2 * INTERVAL)
    assert len(court.closed) == 2


@pytest.mark.parametrize("state", ["refusal", "finishing", "ended", "decision"])
def test_only_requests_under_way_are_judged_again(state: str) -> None:
    under_way, other = exchange(socket=False), exchange(socket=False)
    values = {"refusal": REVOKED, "finishing": True, "ended": True, "decision": None}
    setattr(other, state, values[state])
    court = Court(under_way, other, again=lambda _: REVOKED)
    court.run(INTERVAL)
    assert court.closed == [(under_way, REVOKED)]


def test_others_get_a_turn_in_between() -> None:
    court = Court(*(exchange() for _ in range(3 * AT_ONCE)))
    turns: list[int] = []

    async def look() -> None:
        await court.rejudge.look()
        court.now += INTERVAL
        looking = asyncio.create_task(court.rejudge.look())
        while not looking.done():
            turns.append(len(court.judged))
            await asyncio.sleep(0)

    asyncio.run(look())
    assert len(court.judged) == 3 * AT_ONCE
    assert {AT_ONCE, 2 * AT_ONCE} <= set(turns)


def test_one_that_nobody_judges_is_overdue() -> None:
    held = exchange()
    court = Court(held)
    assert held.socket
    held.socket.opened = court.now
    assert not court.rejudge.overdue(held)
    court.now += 4 * INTERVAL
    assert court.rejudge.overdue(held)
    court.run(INTERVAL)
    assert not court.rejudge.overdue(held)


def stages(refusal: Refusal | None, due: Due = NOTHING) -> Stages:
    def again(anew: Exchange, bundle: BundleRef) -> Refusal | None:
        assert (anew.bundle, bundle, anew.shown, anew.started) == (BUNDLE, BUNDLE, "proof", 99.0)
        assert (anew.principal, anew.decision, anew.refusal) == (None, None, None)
        anew.principal = Principal("somebody else", Kind.HUMAN, "corp")
        return refusal

    sockets = replace(NO_STAGES.sockets, due=lambda _: due)
    streams = replace(NO_STAGES.streams, due=lambda _: due)
    return Stages((), (), (), (), (), lambda _: None, sockets, again, streams)


def test_it_is_judged_by_the_rules_in_force_without_a_trace_in_its_record() -> None:
    held = exchange()
    held.shown, held.bundle = "proof", BundleRef("demo", "0.9.0", "cd" * 32)
    assert judged_again(held, BUNDLE, stages(denied("no-rule-allows")), 99.0) == denied("no-rule-allows")
    assert held.bundle.version == "0.9.0"
    assert held.principal is ANA
    assert held.socket
    assert held.socket.due == NOTHING


def test_one_that_may_go_on_is_masked_as_the_rules_now_say() -> None:
    held = exchange()
    held.shown = "proof"
    assert judged_again(held, BUNDLE, stages(None, MORE), 99.0) is None
    assert held.socket
    assert held.socket.due == MORE


def flowing(due: Due) -> Held:
    """An exchange whose response flows, masked by what was due when it began."""
    held = exchange(socket=False)
    held.shown = "proof"
    mask = StreamMask(due, Received("GET", 200, ((b"content-type", b"text/event-stream"),), b""), no_detector)
    held.flowing = Flowing(mask, tresp(), 0.0, lambda: held.refusal, lambda refusal: setattr(held, "refusal", refusal))
    return held


@pytest.mark.parametrize("then", [NOTHING, MORE, EXCEPTED])
@pytest.mark.parametrize("now", [NOTHING, MORE, EXCEPTED])
def test_a_response_flows_on_only_while_the_same_masks_are_due(then: Due, now: Due) -> None:
    refusal = judged_again(flowing(then), BUNDLE, stages(None, now), 99.0)
    assert refusal == (None if then == now else withheld("masks-changed"))
    assert judged_again(flowing(then), BUNDLE, stages(REVOKED, now), 99.0) == REVOKED


def test_a_response_that_flows_and_that_nobody_judges_is_overdue() -> None:
    held = flowing(NOTHING)
    court = Court(held)
    assert held.flowing
    held.flowing.opened = court.now
    assert not court.rejudge.overdue(held)
    court.now += 4 * INTERVAL
    assert court.rejudge.overdue(held)


def test_without_rules_nothing_goes_on() -> None:
    assert judged_again(exchange(), None, NO_STAGES, 0.0) == guard_error("not-ready")
    assert judged_again(exchange(), BUNDLE, NO_STAGES, 0.0) == guard_error("not-ready")
