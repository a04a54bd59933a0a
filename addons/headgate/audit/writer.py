"""One thread appends to the audit log; nobody waits for it but who wants to hear that his entry is on disk.

Entries are queued, and committed in groups that are on disk when they count as written: one flush of the disk serves
all who wait. The queue is bounded; when it is full, `put` says so, and the log itself tells later how many are not in
it. A write that fails is tried again until it succeeds or the proxy ends. Whoever waits is told at once that it failed:
his entry may still be written later, but nobody has claimed that it is.

A checkpoint is signed every so many entries, every so many seconds while something new is there, and at the end.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headgate.audit.backlog import Backlog, Limits, Waiting
from headgate.audit.entries import AuditUnavailable, Made, give_up, make_all, notice, refuse, tell
from headgate.audit.keys import load_key
from headgate.audit.leaf import Leaf
from headgate.audit.logfile import Connect, LogFile, Written
from headgate.audit.schema import FAULTS, cause, connect
from headgate.errors import HeadgateError

log = logging.getLogger(__name__)

Emit = Callable[[str, Mapping[str, Any] | str], None]
"""Told of each leaf (its kind, the leaf) and of each checkpoint (`checkpoint`, the note) once it is on disk.

Called in the writer's thread: it neither waits nor raises."""

__all__ = ["AuditUnavailable", "AuditWriter", "Counters", "Emit", "Limits", "nothing"]

DEFAULTS = Limits()
"""Sizes and times that do for a proxy."""


@dataclass(frozen=True, slots=True)
class Counters:
    """`dropped` were never accepted, `lost` were and could not be made; `failed` counts attempts to commit."""

    written: int = 0
    dropped: int = 0
    lost: int = 0
    failed: int = 0
    checkpoints: int = 0


def nothing(_kind: str, _what: Mapping[str, Any] | str) -> None:
    return None


class AuditWriter:
    """Appends to audit.db in the folder `state`; raises `HeadgateError` when that cannot be done from the start.

    `put` and `put_and_wait` are called from one thread, the event loop's.
    """

    def __init__(
        self,
        state: Path,
        *,
        clock: Callable[[], float],
        randomness: Callable[[int], bytes],
        origin: str | None = None,
        every: int = 1000,
        seconds: float = 60.0,
        emit: Emit = nothing,
        limits: Limits = DEFAULTS,
        connect: Connect = connect,
    ) -> None:
        self.path = state / "audit.db"
        self._clock, self._every, self._seconds, self._emit, self._limits = clock, every, seconds, emit, limits
        self._backlog = Backlog(limits)
        self._dropped, self._told_dropped, self._overflowing = 0, 0, False
        self._counters = Counters()
        self._faults: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._busy_since: float | None = None
        self._due: float | None = None
        self._signed: float | None = None
        try:
            self.key = load_key(state, randomness, origin)
        except OSError as error:
            raise HeadgateError(
                f"the key of the audit log in `{state / 'keys'}` cannot be made: {cause(error)}"
            ) from None
        try:
            self._file = LogFile(state, self.key, clock, connect, limits.busy_timeout, self._alarmed)
            self._file.open()
        except FAULTS as error:
            raise HeadgateError(f"the audit log `{self.path}` cannot be written: {cause(error)}") from None
        self._thread = threading.Thread(target=self._run, name="headgate-audit", daemon=True)
        self._thread.start()

    # -- the event loop's side ----------------------------------------------------------------------------------------

    def put(self, make: Callable[[], Leaf], weight: int = 1024) -> bool:
        """Have an entry appended, without waiting; False when there is no room or nobody writes any more.

        The writer's thread calls `make`; `weight` is about how many bytes it keeps in memory until then.
        """
        return self._put(Waiting(make, weight))

    def put_and_wait(self, make: Callable[[], Leaf], weight: int = 1024) -> asyncio.Future[int]:
        """The number of the entry once it is on disk; `AuditUnavailable` when that fails or takes too long."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        if not self.healthy:
            self.put(make, weight)  # so that the log tells of it when it is written again
            give_up([future])
        elif not self._put(Waiting(make, weight, future)):
            give_up([future])
        else:
            timer = loop.call_later(self._limits.longest_wait, give_up, [future])
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def digest(self, data: bytes) -> str:
        """A keyed digest, in hex: it says "the same", and nothing else without the key."""
        return self.key.digest(data)

    @property
    def healthy(self) -> bool:
        """Whether what is accepted now can be expected to reach the disk."""
        since = self._busy_since
        stuck = since is not None and time.monotonic() - since > self._limits.longest_wait
        return not self._faults and not stuck and not self._stop.is_set() and self._thread.is_alive()

    @property
    def ready(self) -> bool:
        """Healthy, and with room for the requests under way."""
        return self.healthy and self._backlog.room(0.9)

    @property
    def counters(self) -> Counters:
        return replace(self._counters, dropped=self._dropped)

    def checkpoint_age(self) -> float | None:
        """Seconds since this process has signed a checkpoint; None before the first."""
        return None if self._signed is None else max(0.0, self._clock() - self._signed)

    def flush(self, timeout: float) -> bool:
        """Wait until what has been accepted so far is on disk; not for the event loop."""
        return self._backlog.mark().wait(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, sign, and end, within `timeout` seconds; False when something stays unwritten."""
        if not self._stop.is_set():
            self._stop.set()
            self._backlog.end()
        self._thread.join(timeout)
        unwritten = self._backlog.accepted - self._counters.written
        if unwritten:
            log.warning("the audit log `%s` ended with %d entries unwritten", self.path, unwritten)
        return not unwritten

    def _put(self, waiting: Waiting) -> bool:
        if self._stop.is_set() or not self._thread.is_alive() or not self._backlog.put(waiting):
            self._dropped += 1
            if not self._overflowing and not self._stop.is_set():
                self._overflowing = True
                log.warning("the queue of the audit log `%s` is full: entries are dropped and counted", self.path)
            return False
        if self._overflowing and self._backlog.room(0.5):
            self._overflowing = False
        return True

    # -- the writer's side --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._write_group():
                pass
        finally:
            self._stop.set()
            self._file.close()

    def _write_group(self) -> bool:
        """Wait for entries, write them; False when that was the end."""
        items = self._backlog.group(None if self._due is None else max(0.0, self._due - time.monotonic()))
        entries = [item for item in items if isinstance(item, Waiting)]
        last = None in items
        made = self._made(entries)
        signs = last or (self._due is not None and time.monotonic() >= self._due)
        if (made or signs) and not self._store(made, len(entries), 1 if signs else self._every):
            return False
        self._backlog.release(entries)
        for item in items:
            if isinstance(item, threading.Event):
                item.set()
        return not last

    def _made(self, entries: list[Waiting]) -> list[Made]:
        """The entries, and that some are missing if they are: a log with a gap should say so itself."""
        made, failed = make_all(entries, self._clock())
        for name in failed:
            log.warning("an entry of the audit log `%s` cannot be made: %s", self.path, name)
        self._counters = replace(self._counters, lost=self._counters.lost + len(failed))
        dropped = self._dropped
        if dropped > self._told_dropped:
            made.append(notice("entries-dropped", self._clock(), count=dropped - self._told_dropped))
            self._told_dropped = dropped
        return made

    def _store(self, made: list[Made], entries: int, every: int) -> bool:
        """Commit, trying again until it succeeds; once the proxy ends, one more attempt has to do."""
        pause = self._limits.first_pause
        bodies, hashes = [one.body for one in made], [one.hash for one in made]
        while True:
            last = self._stop.is_set()
            self._busy_since = time.monotonic()
            try:
                written = self._file.commit(bodies, hashes, every)
            except (*FAULTS, HeadgateError) as error:
                self._fail(error)
                refuse([one.waiting.told for one in made if one.waiting])
            else:
                self._recover()
                self._wrote(made, entries, written)
                return True
            finally:
                self._busy_since = None
            if last:
                return False
            self._stop.wait(pause)
            pause = min(pause * 2, self._limits.longest_pause)

    def _wrote(self, made: list[Made], entries: int, written: Written) -> None:
        """Tell whoever waits first, then whoever watches."""
        tell(made, written.first)
        counters = self._counters
        signed = int(written.note is not None)
        self._counters = replace(
            counters, written=counters.written + entries, checkpoints=counters.checkpoints + signed
        )
        for one in made:
            self._say(str(one.leaf["kind"]), one.leaf)
        if written.note:
            self._due, self._signed = None, self._clock()
            self._say("checkpoint", written.note)
        elif made and self._due is None:
            self._due = time.monotonic() + self._seconds
        elif not made:
            self._due = None  # another process has signed

    def _say(self, kind: str, what: Mapping[str, Any] | str) -> None:
        try:
            self._emit(kind, what)
        except Exception as error:  # noqa: BLE001 - the log goes on, whoever watches it
            log.warning("an event of the audit log could not be passed on: %s", type(error).__name__)

    def _alarmed(self, leaf: Leaf) -> None:
        self._due = time.monotonic() + self._seconds
        self._say(str(leaf["kind"]), leaf)

    def _fail(self, error: Exception) -> None:
        """Say so once for each cause, and start from a closed file: it may be gone, replaced or repaired next time."""
        self._file.close()
        self._counters = replace(self._counters, failed=self._counters.failed + 1)
        plain = str(error) if isinstance(error, HeadgateError) else None
        message = plain or f"the audit log `{self.path}` cannot be written: {cause(error)}"
        if message not in self._faults:
            self._faults |= {message}
            log.warning("%s; it is tried again", message)

    def _recover(self) -> None:
        if self._faults:
            self._faults = frozenset()
            log.warning("the audit log `%s` is written again", self.path)
