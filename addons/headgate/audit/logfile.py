"""The file that the writer has open: which one it is, and what is said when it is another one than before.

SQLite goes on writing to a file that was removed or replaced, and says nothing. So before each transaction it is
looked up which file stands at the path now; what was known of the one before is held against the one there.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headgate.audit.appending import hold, present, resume
from headgate.audit.keys import AuditKey, Known, keep_key, keep_last, last_known
from headgate.audit.leaf import Leaf
from headgate.audit.schema import FAULTS, Connection, identity
from headgate.schema import create, immediate

logger = logging.getLogger(__name__)

Connect = Callable[[Path, float], Connection]


@dataclass(frozen=True, slots=True)
class Written:
    """`first` is the number of the first entry; `note` a checkpoint that was signed with it."""

    first: int
    note: str | None


class LogFile:
    """audit.db in the folder `state`; `alarmed` hears of a leaf that says the log is not the one that was known."""

    def __init__(
        self,
        state: Path,
        key: AuditKey,
        clock: Callable[[], float],
        connect: Connect,
        busy_timeout: float,
        alarmed: Callable[[Leaf], None],
    ) -> None:
        self.path = state / "audit.db"
        self._key, self._clock, self._connect, self._busy_timeout = key, clock, connect, busy_timeout
        self._alarmed = alarmed
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._known: Known | None = last_known(state, key)
        self._tried: tuple[int, Sequence[bytes]] | None = None

    def commit(self, bodies: Sequence[bytes], hashes: Sequence[bytes], every: int) -> Written:
        """Append in one transaction, which is on disk when this returns; sign if `every` entries are not covered."""
        connection = self._present_connection()
        with immediate(connection):
            log = present(connection, self.path, self._key, self._known)
            if self._tried and self._tried[1] == hashes and log.holds(*self._tried):
                first = self._tried[0]
            else:
                self._tried = (log.tree.size + 1, hashes)
                first = log.append(bodies, hashes) if bodies else log.tree.size + 1
            note = log.sign(self._clock()) if log.since_checkpoint() >= every else None
        self._known, self._tried = log.known, None
        if note:
            self._remember(note)
        return Written(first, note)

    def open(self) -> Connection:
        """Open the file that is there now, or a new one; a log that is not the one known before says so first."""
        keep_key(self.path.parent, self._key)
        create(self.path)
        connection = self._connect(self.path, self._busy_timeout)
        try:
            self._take_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _take_up(self, connection: Connection) -> None:
        found = identity(self.path)
        with immediate(connection):
            log = present(connection, self.path, self._key)
            if self._known and found == self._file and log.tree.size:  # a new file may get the number of a removed one
                hold(log, self._known)
            alarm = resume(log, self._known, self._clock())
        self._file, self._known = found, log.known
        if alarm:
            self._tried = None
            logger.warning("the audit log `%s` is not the one that was there: %s", self.path, alarm["act"])
            self._alarmed(alarm)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _present_connection(self) -> Connection:
        """A connection to the file that stands at `path` now."""
        if self._connection and self._file != identity(self.path):
            logger.warning("the audit log `%s` was removed or replaced: going on with what is there now", self.path)
            self._file = None
            self._part_with(self._connection)
        return self._connection or self.open()

    def _part_with(self, connection: Connection) -> None:
        """Leave a file that was moved whole, with nothing in a log that SQLite would apply to the one there now."""
        try:
            connection.execute("pragma wal_checkpoint(truncate)")
        finally:
            self.close()

    def _remember(self, note: str) -> None:
        try:
            keep_last(self.path.parent, note)
        except FAULTS as error:
            logger.warning("the last checkpoint cannot be kept beside the key: %s", type(error).__name__)
