"""Events for those who watch: each entry and checkpoint of the audit log, told after it is committed.

A sink has a thread and a bounded queue of its own, so that neither the event loop nor the log's writer ever waits for
a pipe, a network or a receiver. When the queue is full an entry is dropped and counted, and the receiver is told how
many are missing; a checkpoint takes an entry's place, for it vouches for all entries before it. What is told is a copy:
the log itself loses nothing. Nothing is logged from `emit`, since a log line may wait for the very pipe that is full.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from headgate.errors import HeadgateError

log = logging.getLogger(__name__)

CHECKPOINT, DROPPED = "checkpoint", "events-dropped"

_json = json.JSONEncoder(separators=(",", ":"), default=str).encode  # ASCII: no line ends within a line


class Event(NamedTuple):
    """What is told: `line` is JSON in ASCII on one line, `time` as in ISO 8601."""

    kind: str
    time: str
    line: bytes


class UndeliveredError(HeadgateError):
    """It did not arrive; trying again may help. The text quotes nothing of what was sent or answered."""


class RejectedError(HeadgateError):
    """It never will arrive."""


class Outlet(Protocol):
    """Where events go. `send` may block, within limits of its own; it is called from one thread."""

    name: str
    batch: int

    def send(self, events: Sequence[Event]) -> None:
        """Deliver all, or raise UndeliveredError, RejectedError or OSError."""

    def close(self) -> None:
        """Nothing follows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in events and bytes, pauses in seconds."""

    capacity: int = 10_000
    capacity_bytes: int = 32 * 1024 * 1024
    first_pause: float = 0.5
    longest_pause: float = 30.0


DEFAULTS = Limits()


class Sink:
    """One outlet behind its queue; `now` gives the time of what the sink itself has to tell."""

    def __init__(self, outlet: Outlet, now: Callable[[], str], limits: Limits = DEFAULTS) -> None:
        self._outlet, self._now, self._limits = outlet, now, limits
        self._waiting: deque[Event] = deque()
        self._bytes = self._untold = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._failing = False
        self.delivered = self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"headgate-events-{outlet.name[:20]}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Accept it if there is room; never waits."""
        with self._changed:
            if self._stop.is_set() or not self._has_room(event):
                self._drop(1)
                return
            self._waiting.append(event)
            self._bytes += len(event.line)
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Deliver what waits, within `timeout` seconds, and end; what is left is counted and said."""
        self._stop.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            left = self.dropped + len(self._waiting)
        if left:
            log.warning("%d events were not delivered to %s", left, self._outlet.name)

    # -- what waits (with the lock) -----------------------------------------------------------------------------------

    def _has_room(self, event: Event) -> bool:
        """Whether it may be queued; for a checkpoint another makes room."""
        while self._is_full():
            if event.kind != CHECKPOINT:
                return False
            oldest = next((at for at, waiting in enumerate(self._waiting) if waiting.kind != CHECKPOINT), 0)
            self._bytes -= len(self._waiting[oldest].line)
            del self._waiting[oldest]
            self._drop(1)
        return True

    def _is_full(self) -> bool:
        full = len(self._waiting) >= self._limits.capacity or self._bytes >= self._limits.capacity_bytes
        return full and bool(self._waiting)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._untold += count

    # -- the sink's own thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._deliver(batch)
        finally:
            self._outlet.close()

    def _take(self) -> list[Event]:
        """The next events, after a word on those that are missing before them; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stop.is_set())
            missing, self._untold = self._untold, 0
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._outlet.batch))]
            self._bytes -= sum(len(event.line) for event in batch)
        if missing and batch:
            batch.insert(0, self._missing(missing))
        return batch

    def _missing(self, count: int) -> Event:
        time = self._now()
        line = _json({"kind": DROPPED, "time": time, "count": count}).encode()
        return Event(DROPPED, time, line)

    def _deliver(self, batch: list[Event]) -> None:
        """Try until it is delivered, or cannot be; at the end once more."""
        pause = self._limits.first_pause
        while True:
            last = self._stop.is_set()
            try:
                self._outlet.send(batch)
            except RejectedError as error:
                return self._lose(batch, error)
            except (UndeliveredError, OSError) as error:
                self._fail(error)
                if last:
                    return self._lose(batch, error)
            else:
                return self._succeed(batch)
            self._stop.wait(pause)
            pause = min(pause * 2, self._limits.longest_pause)

    def _succeed(self, batch: list[Event]) -> None:
        self.delivered += sum(event.kind != DROPPED for event in batch)
        if self._failing:
            self._failing = False
            log.warning("events are delivered to %s again", self._outlet.name)

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning("events cannot be delivered to %s: %s; it is tried again", self._outlet.name, _told(error))

    def _lose(self, batch: list[Event], error: Exception) -> None:
        with self._changed:
            self._drop(sum(event.kind != DROPPED for event in batch))
        if not self._failing:
            self._failing = True
            log.warning("events are not delivered to %s: %s", self._outlet.name, _told(error))


class Sinks:
    """All of them; `emit` is what the log's writer calls for each entry (a mapping) and checkpoint (a signed note)."""

    def __init__(
        self, outlets: Sequence[Outlet], clock: Callable[[], float], limits: Limits = DEFAULTS, grace: float = 3.0
    ) -> None:
        self._clock, self._grace = clock, grace
        self._sinks = [Sink(outlet, self._now, limits) for outlet in outlets]

    def emit(self, kind: str, what: Mapping[str, Any] | str) -> None:
        if not self._sinks:
            return
        fields = {"kind": kind, "time": self._now(), "note": what} if isinstance(what, str) else {"kind": kind, **what}
        event = Event(kind, str(fields.get("time", "")), _json(fields).encode())
        for sink in self._sinks:
            sink.put(event)

    @property
    def dropped(self) -> int:
        return sum(sink.dropped for sink in self._sinks)

    def close(self) -> None:
        """End all at the same time; waits no longer than the grace of one."""
        threads = [threading.Thread(target=sink.close, args=(self._grace,), daemon=True) for sink in self._sinks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self._grace + 1.0)

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(error: Exception) -> str:
    """Why, without what the system's words may quote."""
    if isinstance(error, HeadgateError):
        return str(error)
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
