"""What other rules would have done with what was captured: every exchange decided and masked again under both.

Pages of the capture are shared out to processes, each of which loads the rules for itself; what they find is counted
and nothing else is kept, so that memory does not grow with the capture. Nothing is sent, told, spent or written.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.capture.store import PAGE
from headgate.errors import HeadgateError
from headgate.replay import pagework
from headgate.replay.pages.store import Pages
from headgate.replay.tally import EXAMPLES, Tally

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle

FEW = 4
"""Pages up to which starting processes would take longer than it saves."""

AHEAD = 3
"""Pages that wait for each process."""

MOST_PROCESSES = 16


@dataclass(frozen=True, slots=True)
class Source:
    """Where rules come from: a folder, or a state that keeps them under their hash."""

    sha256: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be compared. Without `old`, each exchange's are the rules that it was recorded under, where the state
    keeps them, else those `fallback` names. `key` opens sealed originals; `text` is a filter expression."""

    state: Path
    capture: str
    new: Source
    old: Source | None = None
    fallback: Source | None = None
    since: float | None = None
    until: float | None = None
    text: str | None = None
    masks: bool = True
    examples: int = EXAMPLES
    rules_state: Path | None = None
    page: int = PAGE
    key: bytes | None = field(default=None, repr=False)


def source_of(bundle: "Bundle", folder: Path | None) -> Source:
    return Source(bundle.sha256, folder)


def measure(task: Task, advance: Callable[[int], None] = lambda _: None, *, processes: int | None = None) -> Tally:
    """Compare everything; `advance` hears of so many more flows done. HeadgateError says what went wrong."""
    store = Pages(task.state, task.capture)
    beginnings = store.beginnings(task.since, task.until, task.page)
    total, few = Tally(task.examples), len(beginnings) <= FEW
    count = 1 if few else min(processes or os.process_cpu_count() or 1, MOST_PROCESSES, len(beginnings))
    for part in _here(task, beginnings) if count == 1 else _shared(task, beginnings, count):
        total.add(part)
        advance(part.flows)
    return total


def _here(task: Task, beginnings: list[str]) -> Iterator[Tally]:
    work = pagework.Work(task)
    for beginning in beginnings:
        yield work.page(beginning)


def _shared(task: Task, beginnings: list[str], processes: int) -> Iterator[Tally]:
    """At most so many pages are under way or wait: a process that ends badly ends everything."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=pagework.begin, initargs=(task,))
    pending: set[Future[Tally]] = set()
    left = iter(beginnings)
    try:
        while True:
            while len(pending) < AHEAD * processes and (beginning := next(left, None)) is not None:
                pending.add(pool.submit(pagework.do, beginning))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for one in done:
                yield _result(one)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(done: "Future[Tally]") -> Tally:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return done.result()
    except BrokenProcessPool:
        raise HeadgateError("a process that compared the flows has ended; less may run at once: `--jobs 1`") from None
