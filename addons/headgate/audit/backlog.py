"""What waits to be appended: a queue bounded in entries and in bytes, at which the event loop never waits.

One thread puts, one takes. Each total is counted up by one of the two only, so that no lock is needed. The taker
gathers a group for a moment, unless somebody waits to hear that his entry is on disk.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from headgate.audit.leaf import Leaf


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in entries and bytes, times in seconds; `longest_wait` is what an awaited entry may take."""

    capacity: int = 10_000
    capacity_bytes: int = 64 * 1024 * 1024
    group: int = 500
    interval: float = 0.1
    busy_timeout: float = 2.0
    first_pause: float = 0.1
    longest_pause: float = 5.0
    longest_wait: float = 5.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """`make` is called by the taker; `told`, if there is one, hears the number of the entry on its own loop."""

    make: Callable[[], Leaf]
    weight: int
    told: asyncio.Future[int] | None = field(default=None, repr=False)


Item = Waiting | threading.Event | None
"""What is queued: an entry, a wish to know when everything before it is dealt with, or the end."""


class Backlog:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._hurry = threading.Event()
        self._bytes_in = self._bytes_out = 0
        self.accepted = 0

    def put(self, waiting: Waiting) -> bool:
        """Accept an entry if there is room."""
        if not self.room():
            return False
        self._bytes_in += waiting.weight
        self.accepted += 1
        self._queue.put(waiting)
        full = waiting.told is not None or self._queue.qsize() >= self._limits.group
        if full and not self._hurry.is_set():
            self._hurry.set()
        return True

    def room(self, share: float = 1.0) -> bool:
        """Whether less than `share` of what may wait is waiting."""
        limits, waiting = self._limits, self._bytes_in - self._bytes_out
        return self._queue.qsize() < limits.capacity * share and waiting < limits.capacity_bytes * share

    def mark(self) -> threading.Event:
        """An event for the taker to set when all that is queued now has been dealt with."""
        event = threading.Event()
        self._queue.put(event)
        self._hurry.set()
        return event

    def end(self) -> None:
        """Tell the taker that nothing follows."""
        self._queue.put(None)
        self._hurry.set()

    def group(self, timeout: float | None) -> list[Item]:
        """The next group, at once if somebody waits for it; none when nothing came for `timeout` seconds."""
        try:
            items = [self._queue.get(timeout=timeout)]
        except Empty:
            return []
        self._hurry.clear()  # first clear, then look: what is queued after the look finds this thread waiting
        self._take(items)
        if len(items) < self._limits.group and all(_has_time(item) for item in items):
            self._hurry.wait(self._limits.interval)
            self._take(items)
        return items

    def release(self, entries: list[Waiting]) -> None:
        """Count these entries as dealt with."""
        self._bytes_out += sum(entry.weight for entry in entries)

    def _take(self, items: list[Item]) -> None:
        try:
            while len(items) < self._limits.group:
                items.append(self._queue.get_nowait())
        except Empty:
            return


def _has_time(item: Item) -> bool:
    return isinstance(item, Waiting) and item.told is None
