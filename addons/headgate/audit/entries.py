"""Entries on their way into the log: made from what was queued, and told about to whoever waits for them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.audit.backlog import Waiting
from headgate.audit.leaf import Leaf, Uncanonical, act_leaf, canonical, plainly
from headgate.audit.merkle import leaf_hash
from headgate.errors import HeadgateError

LARGEST = 1024 * 1024
"""Bytes of an entry; what is larger is not one that Headgate makes."""

UNMAKEABLE = (
    Uncanonical,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What says that one entry cannot be made: it would hold up all others."""


class AuditUnavailable(HeadgateError):
    """An entry could not be put on disk in time; nobody may say that it is there."""


@dataclass(frozen=True, slots=True)
class Made:
    """An entry as it is hashed; `waiting` is None for one that the log says of itself, or in place of a lost one."""

    leaf: Leaf
    body: bytes
    hash: bytes
    waiting: Waiting | None = None


def make(leaf: Leaf, waiting: Waiting | None = None) -> Made:
    """An entry; text of a peer that UTF-8 cannot write becomes visible escapes, which few leaves need."""
    try:
        body = canonical(leaf)
    except Uncanonical:
        leaf = plainly(leaf)
        body = canonical(leaf)
    if len(body) > LARGEST:
        raise Uncanonical("a leaf is longer than 1 MiB")
    return Made(leaf, body, leaf_hash(body), waiting)


def make_all(entries: Iterable[Waiting], now: float) -> tuple[list[Made], list[str]]:
    """All of them, in order; in the place of one that cannot be made the log says so. Also what those failed with."""
    made: list[Made] = []
    failed: list[str] = []
    for entry in entries:
        try:
            made.append(make(entry.make(), entry))
        except UNMAKEABLE as error:
            failed.append(type(error).__name__)
            made.append(notice("entry-lost", now, error=type(error).__name__))
            refuse([entry.told])
    return made, failed


def notice(what: str, now: float, **facts: Any) -> Made:
    """What the log says of itself."""
    return make(act_leaf(what, "headgate", now, **facts))


def tell(made: Sequence[Made], first: int) -> None:
    """Tell all who wait the number of their entry."""
    waiting: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], int]]] = defaultdict(list)
    for seq, one in enumerate(made, first):
        if one.waiting and one.waiting.told:
            waiting[one.waiting.told.get_loop()].append((one.waiting.told, seq))
    for loop, told in waiting.items():
        _soon(loop, _resolve, told)


def refuse(waiting: Iterable[asyncio.Future[int] | None]) -> None:
    """Tell all who wait, from the writer's thread, that their entries are not on disk."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[int]]] = defaultdict(list)
    for future in waiting:
        if future:
            loops[future.get_loop()].append(future)
    for loop, futures in loops.items():
        _soon(loop, give_up, futures)


def give_up(futures: Iterable[asyncio.Future[int]]) -> None:
    """The same, on the loop of the futures."""
    for future in futures:
        if not future.done():
            future.set_exception(AuditUnavailable("the audit log cannot be written: the entry is not on disk"))


def _resolve(told: Iterable[tuple[asyncio.Future[int], int]]) -> None:
    for future, seq in told:
        if not future.done():
            future.set_result(seq)


def _soon(loop: asyncio.AbstractEventLoop, call: Any, argument: Any) -> None:
    try:
        loop.call_soon_threadsafe(call, argument)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more
