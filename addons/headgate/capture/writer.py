"""One thread writes the capture; nobody waits for it.

What the proxy hands over is queued and committed in groups. The queue is bounded in records and in bytes: when it is
full, `put` says so and the record is counted as dropped. A write that fails is tried again, on a file opened anew,
until it succeeds or the proxy ends: so what was accepted is lost only with the process, or when no file could ever
hold it. While writing fails, `healthy` is false, and those who must not go on unrecorded can refuse.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from headgate import __version__
from headgate.capture.afterwards import Afterwards
from headgate.capture.backlog import Backlog, Kept, Limits
from headgate.capture.faults import cause
from headgate.capture.key import keep_key, load_key
from headgate.capture.rows import rows_of, spoken_rows_of
from headgate.capture.schema import connect, identity
from headgate.capture.sealing import Sealer
from headgate.capture.spoken import Spoken
from headgate.capture.tables import Rows, SpokenRows, find_decisions, inserts
from headgate.errors import HeadgateError
from headgate.schema import create, immediate

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Connect = Callable[[Path, float], sqlite3.Connection]

DEFAULTS = Limits()

UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    ArithmeticError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What says that a record itself cannot be stored: trying again would not help, and would hold up all others."""


@dataclass(frozen=True, slots=True)
class Counters:
    """`dropped` were never accepted, `lost` were and no file could hold them; `failed` counts attempts to commit."""

    written: int = 0
    dropped: int = 0
    lost: int = 0
    failed: int = 0


class Writer:
    """Writes to capture.db in the folder `state`; raises `HeadgateError` when that cannot be done from the start.

    `put` is called from one thread, the event loop's. Originals are kept only with a `sealer`.
    """

    def __init__(
        self,
        state: Path,
        *,
        clock: Clock,
        randomness: Callable[[int], bytes],
        limits: Limits = DEFAULTS,
        connect: Connect = connect,
        sealer: Sealer | None = None,
    ) -> None:
        self.path = state / "capture.db"
        self._clock, self._limits, self._connect = clock, limits, connect
        self._backlog, self._afterwards = Backlog(limits), Afterwards(time.monotonic, sealer)
        self._dropped, self._overflowing = 0, False
        self._counters = Counters()
        self._faults: set[str] = set()
        self._stop = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        try:
            self._key = load_key(state, randomness)
        except OSError as error:
            raise HeadgateError(
                f"the key of the capture in `{state / 'keys'}` cannot be made: {cause(error)}"
            ) from None
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise HeadgateError(f"the capture `{self.path}` cannot be written: {cause(error)}") from None
        self._thread = threading.Thread(target=self._run, name="headgate-capture", daemon=True)
        self._thread.start()

    # -- the event loop's side ----------------------------------------------------------------------------------------

    def put(self, record: Kept) -> bool:
        """Hand a record or a message over, without waiting; False when there is no room or nobody writes any more."""
        if self._stop.is_set() or not self._thread.is_alive() or not self._backlog.put(record):
            self._drop()
            return False
        if self._overflowing and self._backlog.room(0.5):
            self._overflowing = False
        return True

    @property
    def healthy(self) -> bool:
        """Whether what is accepted now can be expected to reach the file."""
        return not self._faults and not self._stop.is_set() and self._thread.is_alive()

    @property
    def ready(self) -> bool:
        """Healthy, and with room for the requests under way."""
        return self.healthy and self._backlog.room(0.9)

    @property
    def counters(self) -> Counters:
        return replace(self._counters, dropped=self._dropped)

    def flush(self, timeout: float) -> bool:
        """Wait until what has been accepted so far is in the file; not for the event loop."""
        return self._backlog.mark().wait(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, within `timeout` seconds, and end; False when something stays unwritten."""
        if not self._stop.is_set():
            self._stop.set()
            self._backlog.end()
        self._thread.join(timeout)
        unwritten = self._backlog.accepted - self._counters.written
        if unwritten:
            log.warning("the capture `%s` ended with %d records unwritten", self.path, unwritten)
        return not unwritten

    def _drop(self) -> None:
        self._dropped += 1
        if not self._overflowing and not self._stop.is_set():
            self._overflowing = True
            log.warning("the queue of the capture `%s` is full: records are dropped and counted", self.path)

    # -- the writer's side --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._write_group():
                pass
        finally:
            self._stop.set()
            self._disconnect()

    def _write_group(self) -> bool:
        """Wait for records, write them; False when that was the end."""
        items = self._backlog.group()
        records = [item for item in items if isinstance(item, Kept)]
        rows = [made for record in records if (made := self._rows(record))]
        if rows and not self._store(rows):
            return False
        self._backlog.release(records)
        for item in items:
            if isinstance(item, threading.Event):
                item.set()
        return None not in items

    def _rows(self, record: Kept) -> Rows | SpokenRows | None:
        try:
            if isinstance(record, Spoken):
                return spoken_rows_of(record, self._key)
            afterwards = self._afterwards
            return rows_of(record, self._key, afterwards.nearest(record), afterwards.sealed(record))
        except UNSTORABLE as error:
            self._lose(error)
            return None

    def _store(self, rows: list[Rows | SpokenRows]) -> bool:
        """Commit, trying again until it succeeds; once the proxy ends, one more attempt has to do."""
        pause = self._limits.first_pause
        while True:
            last = self._stop.is_set()
            try:
                self._commit(rows)
            except (sqlite3.Error, OSError, HeadgateError) as error:
                self._fail(error)
            else:
                self._recover()
                return True
            if last:
                return False
            self._stop.wait(pause)
            pause = min(pause * 2, self._limits.longest_pause)

    def _commit(self, rows: list[Rows | SpokenRows]) -> None:
        connection = self._present_connection()
        try:
            with immediate(connection):
                _insert(connection, rows)
        except UNSTORABLE as error:
            if len(rows) == 1:
                self._lose(error)
                return
            for row in rows:
                self._commit([row])
            return
        self._counters = replace(self._counters, written=self._counters.written + len(rows))

    def _lose(self, error: Exception) -> None:
        self._counters = replace(self._counters, lost=self._counters.lost + 1)
        log.warning("a record cannot be stored in the capture `%s`: %s", self.path, type(error).__name__)

    def _fail(self, error: sqlite3.Error | OSError | HeadgateError) -> None:
        """Say so once for each cause, and start from a closed file: it may be gone, replaced or repaired next time."""
        self._disconnect()
        self._counters = replace(self._counters, failed=self._counters.failed + 1)
        if isinstance(error, HeadgateError):
            message = str(error)
        else:
            message = f"the capture `{self.path}` cannot be written: {cause(error)}"
        if message not in self._faults:
            self._faults = self._faults | {message}
            log.warning("%s; it is tried again", message)

    def _recover(self) -> None:
        if self._faults:
            self._faults = set()
            log.warning("the capture `%s` is written again", self.path)

    def _present_connection(self) -> sqlite3.Connection:
        """A connection to the file that stands at `path` now."""
        if self._connection and self._file != identity(self.path):
            log.warning("the capture `%s` was removed or replaced: going on with what is there now", self.path)
            self._part_with(self._connection)
        return self._connection or self._open()

    def _part_with(self, connection: sqlite3.Connection) -> None:
        """Leave a file that was moved whole, with nothing in a log that SQLite would apply to the one there now."""
        try:
            connection.execute("pragma wal_checkpoint(truncate)")
        finally:
            self._disconnect()

    def _open(self) -> sqlite3.Connection:
        keep_key(self.path.parent, self._key)
        create(self.path)
        connection = self._connect(self.path, self._limits.busy_timeout)
        self._connection, self._file = connection, identity(self.path)
        if not connection.execute("select 1 from meta").fetchone():
            born = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
            facts = (("created", born), ("headgate", __version__))
            connection.executemany("insert into meta values (?, ?) on conflict do nothing", facts)
        return connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def _insert(connection: sqlite3.Connection, group: list[Rows | SpokenRows]) -> None:
    """Insert a group; a decision that is there already (a commit that only seemed to fail) is not inserted again."""
    flows = [rows for rows in group if isinstance(rows, Rows)]
    spoken = [rows for rows in group if isinstance(rows, SpokenRows)]
    stored = {name for (name,) in connection.execute(*find_decisions([rows.decision.id for rows in flows]))}
    (first,) = connection.execute("select coalesce(max(id), 0) + 1 from flows").fetchone()
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    for statement in inserts([rows for rows in flows if rows.decision.id not in stored], spoken, first, most):
        connection.execute(*statement)
