"""Recorded requests sent again, one after the other or a few at a time, and what came of each.

What cannot be replayed is said to be and counted, never passed over: WebSockets, flows of which only metadata was kept,
requests that were refused before anybody knew who called. Outcomes come in the order of the recordings, and no more of
them is held than are under way.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import h11

from headgate.errors import HeadgateError
from headgate.masking.codings import decode
from headgate.masking.plan import CannotMask
from headgate.replay.differences import Difference, Rules, differences
from headgate.replay.frozen import Frozen, frozen_of
from headgate.replay.matching import DAMAGED, Miss
from headgate.replay.responder import MARK
from headgate.replay.said import Said, of_entry, of_record
from headgate.replay.sending import NotSent, OnWire, on_wire

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry
    from headgate.capture.record import Record

LARGEST_DECODED = 4 * 1024 * 1024


class State(StrEnum):
    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"  # no recording answers what the chain sent on
    FAILED = "failed"
    SKIPPED = "skipped"


BAD = frozenset({State.DIFFERS, State.MISSING, State.FAILED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one recording; `why` says it of what was skipped, failed or is missing."""

    decision_id: str
    flow_id: str
    method: str
    host: str
    path: str
    state: State
    why: str | None = None
    differences: tuple[Difference, ...] = ()
    noise: int = 0
    notes: tuple[str, ...] = ()
    recorded: Said | None = field(default=None, repr=False)
    replayed: Said | None = field(default=None, repr=False)
    miss: Miss | None = None


class Chained(Protocol):
    """What requests are sent through (`runner.Chain`)."""

    async def replay(self, name: str, request: OnWire, frozen: Frozen, seconds: float) -> "tuple[int, Record]": ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How everything is replayed. `twice`: each request is sent once more, and what differs between the two answers is
    noise. `misses` are the responder's, offline; None with an upstream."""

    bundle: "Bundle"
    chain: Chained
    rules: Rules
    seconds: float = 30.0
    jobs: int = 1
    twice: bool = False
    misses: dict[int, Miss] | None = None


def decoded(body: bytes, codings: list[str]) -> bytes | None:
    try:
        return decode(body, codings, LARGEST_DECODED)
    except CannotMask:
        return None


async def replayed(entries: Iterable["Entry"], plan: Plan) -> AsyncIterator[Outcome]:
    """The outcome of each, in order; HeadgateError if the recordings cannot be read on."""
    under_way: deque[asyncio.Task[Outcome]] = deque()
    with ThreadPoolExecutor(1) as reader:  # one thread: a database is read by who has opened it
        read = _reading(iter(entries), reader)
        try:
            while (entry := await read()) is not None:
                under_way.append(asyncio.create_task(_one(entry, plan)))
                if len(under_way) >= plan.jobs:
                    yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


def _reading(entries: Iterator["Entry"], reader: ThreadPoolExecutor) -> Callable[[], Awaitable["Entry | None"]]:
    def following() -> "Entry | None":
        try:
            return next(entries, None)
        except DAMAGED as error:
            raise HeadgateError(f"the recordings are damaged: {type(error).__name__}") from None

    return lambda: asyncio.get_running_loop().run_in_executor(reader, following)


async def _one(entry: "Entry", plan: Plan) -> Outcome:
    try:
        frozen = frozen_of(entry, plan.bundle)
        if why := _unfit(entry, frozen):
            return _outcome(entry, State.SKIPPED, why)
        assert frozen is not None  # noqa: S101 - for who reads types: `_unfit` has said so
        forward = plan.bundle.identity.forward
        request = on_wire(entry, {forward.header.lower()} if forward else ())
        recorded = of_entry(entry)
    except NotSent as error:
        return _outcome(entry, State.SKIPPED, f"not-sendable: {error}")
    except HeadgateError as error:
        return _outcome(entry, State.FAILED, str(error))
    except DAMAGED as error:
        return _outcome(entry, State.FAILED, f"the recording is damaged: {type(error).__name__}")
    try:
        name = str(entry.summary.decision_id)
        first = await _said(name, request, frozen, plan)
        second = await _said(name, request, frozen, plan) if plan.twice else None
    except NotSent as error:
        return _outcome(entry, State.SKIPPED, f"not-sendable: {error}", notes=frozen.notes)
    except TimeoutError:
        return _outcome(entry, State.FAILED, f"no answer within {plan.seconds:g} seconds", notes=frozen.notes)
    except (OSError, h11.RemoteProtocolError):
        return _outcome(entry, State.FAILED, "the answer broke off", notes=frozen.notes)
    return _compared(entry, frozen, (recorded, first, second), plan)


def _compared(entry: "Entry", frozen: Frozen, said: tuple[Said, Said, Said | None], plan: Plan) -> Outcome:
    recorded, first, second = said
    notes = (*frozen.notes, *_uncompared(recorded, first, plan))
    outcome = replace(_outcome(entry, State.SAME), notes=notes, recorded=recorded, replayed=first)
    if (miss := _miss(first, plan)) is not None:
        return replace(outcome, state=State.MISSING, why=miss.text, miss=miss)
    found = differences(recorded, first, plan.rules)
    noisy = {one.place for one in differences(first, second, plan.rules)} if second else set()
    told = tuple(one for one in found if one.place not in noisy)
    state = State.DIFFERS if told else State.SAME
    return replace(outcome, state=state, differences=told, noise=len(found) - len(told))


async def _said(name: str, request: OnWire, frozen: Frozen, plan: Plan) -> Said:
    status, record = await plan.chain.replay(name, request, frozen, plan.seconds)
    said = of_record(record)
    if said.status not in (status, None):
        raise ConnectionResetError("the caller got another status than was recorded")
    return said


def _miss(said: Said, plan: Plan) -> Miss | None:
    """What the responder could not answer; whatever became of its answer on the way out says which."""
    if plan.misses is None:
        return None
    numbers = said.values(MARK.lower())
    return plan.misses.get(int(numbers[0])) if len(numbers) == 1 and numbers[0].isdigit() else None


def _unfit(entry: "Entry", frozen: Frozen | None) -> str | None:
    """Why a flow cannot be replayed."""
    summary, headers = entry.summary, entry.request.headers
    if entry.kind == "websocket" or summary.status == 101 or _upgrades(headers or ()):
        return "websocket"
    if entry.kind != "http" or summary.method == "CONNECT":
        return "not-http"
    if headers is None:
        return "metadata-only"
    if frozen is None:
        return "nobody-identified"
    return None


def _upgrades(headers: Iterable[tuple[str, str]]) -> bool:
    return any(name.lower() == "upgrade" and value.lower() == "websocket" for name, value in headers)


def _uncompared(recorded: Said, first: Said, plan: Plan) -> Iterator[str]:
    if recorded.status is None:
        yield "no answer was recorded: only the verdict is compared"
    elif recorded.size and not recorded.body:
        yield "the recorded answer's body was not kept: it is not compared"
    fewer = any(first.masks[mask] < times for mask, times in recorded.masks.items())
    if plan.rules.masked_upstream and fewer:
        yield "the recorded answer is masked already: whether a mask was lost cannot be told offline"


def _outcome(entry: "Entry", state: State, why: str | None = None, notes: tuple[str, ...] = ()) -> Outcome:
    summary = entry.summary
    decision_id, flow_id, method, host, path = (
        str(value) for value in (summary.decision_id, summary.flow_id, summary.method, summary.host, summary.path)
    )
    return Outcome(decision_id, flow_id, method, host, path, state, why, notes=notes)
