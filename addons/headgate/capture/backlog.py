"""What is accepted and not yet written: a queue bounded in records and in bytes, at which the event loop never waits.

One thread puts, one takes. Each total is counted up by one of the two only, so that no lock is needed; the taker
sleeps until there is a first record, and then until a group is full or the interval over: it is not woken for each.
"""

import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from headgate.capture.record import Record
from headgate.capture.spoken import Spoken

Kept = Record | Spoken

Item = Kept | threading.Event | None
"""What is queued: a record or a message, a wish to know when everything before it is written, or the end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in records and bytes, times in seconds."""

    capacity: int = 10_000
    capacity_bytes: int = 128 * 1024 * 1024
    group: int = 500
    interval: float = 0.25
    busy_timeout: float = 5.0
    first_pause: float = 0.1
    longest_pause: float = 5.0


class Backlog:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._hurry = threading.Event()
        self._bytes_in = self._bytes_out = 0
        self.accepted = 0

    def put(self, record: Kept) -> bool:
        """Accept `record` if there is room."""
        if not self.room():
            return False
        self._bytes_in += record.weight
        self.accepted += 1
        self._queue.put(record)
        if self._queue.qsize() >= self._limits.group and not self._hurry.is_set():
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

    def group(self) -> list[Item]:
        """The next group, when it is full, or the interval after its first record, or at once if somebody waits."""
        items = [self._queue.get()]
        self._hurry.clear()  # first clear, then look: what is queued after the look finds this thread waiting
        self._take(items)
        if len(items) < self._limits.group and all(isinstance(item, Kept) for item in items):
            self._hurry.wait(self._limits.interval)
            self._take(items)
        return items

    def release(self, records: list[Kept]) -> None:
        """Count `records` as dealt with."""
        self._bytes_out += sum(record.weight for record in records)

    def _take(self, items: list[Item]) -> None:
        try:
            while len(items) < self._limits.group:
                items.append(self._queue.get_nowait())
        except Empty:
            return
