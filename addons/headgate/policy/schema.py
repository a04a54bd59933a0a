"""The tables of state.db that policy keeps, and how any part of Headgate works on that file.

The file is shared: other parts of Headgate add tables of their own, each under the name of its own set of migrations.
The changes of signals can be added to, and nothing else.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate import schema
from headgate.errors import HeadgateError

READ_PATIENCE = 1.0
WRITE_PATIENCE = 5.0
"""Seconds to wait for a lock that somebody else holds."""

MIGRATIONS = Migrations("headgate-policy")

SIGNALS = """
create table signals (
  name text primary key,
  since real not null,  -- seconds since the epoch
  until real not null,
  reason text not null,
  by text not null
) strict
"""
CHANGES = """
create table signal_changes (
  id integer primary key autoincrement,
  time real not null,  -- seconds since the epoch
  what text not null check (what in ('set', 'clear')),
  name text not null,
  until real check ((until is null) = (what = 'clear')),
  reason text not null,
  by text not null
) strict
"""
VERSION = """
create table signal_version (
  id integer primary key check (id = 1),
  version integer not null  -- one more with every change of `signals`, whoever makes it
) strict
"""
TRIGGERS = (
    "create trigger signals_inserted after insert on signals begin "
    "update signal_version set version = version + 1; end",
    "create trigger signals_updated after update on signals begin update signal_version set version = version + 1; end",
    "create trigger signals_deleted after delete on signals begin update signal_version set version = version + 1; end",
    "create trigger signal_changes_not_updated before update on signal_changes begin "
    "select raise(abort, 'the record only grows'); end",
    "create trigger signal_changes_not_deleted before delete on signal_changes begin "
    "select raise(abort, 'the record only grows'); end",
)


@MIGRATIONS()
def m001_signals(db: Database) -> None:
    for statement in (SIGNALS, CHANGES, VERSION, *TRIGGERS):
        db.execute(statement)
    db.execute("insert into signal_version values (1, 0)")


CAUSES = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "another program keeps it locked",
    "SQLITE_LOCKED": "another program keeps it locked",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_PERM": "permission is denied",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_NOTADB": "it is not a SQLite database",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_IOERR": "reading or writing the disk failed",
}


@dataclass(frozen=True, slots=True)
class StateFile:
    """state.db as one part of Headgate sees it: with the tables of `migrations`.

    It is opened anew each time, so that one that was moved away or replaced is noticed; every failure is a
    HeadgateError in plain words. Only `prepare` makes the file.
    """

    path: Path
    migrations: Migrations

    def prepare(self) -> None:
        """Make the file and its tables, if they are missing."""
        with self._plainly("made"):
            schema.create(self.path)
        with self.writing():
            pass

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        with self._plainly("read"), self._opened("ro", READ_PATIENCE) as connection:
            if self._unapplied(connection):
                raise HeadgateError(f"`{self.path}` is from an older Headgate: start the proxy once to bring it up")
            yield connection

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """One transaction; whoever waits for the lock sees what the other has written."""
        with self._plainly("written"), self._opened("rw", WRITE_PATIENCE) as connection:
            lacking = self._unapplied(connection)  # first of all: a file that is not ours stays as it is
            for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
                connection.execute(f"pragma {pragma}")
            if lacking:
                schema.migrate(connection, self.migrations)
            with schema.immediate(connection):
                yield connection

    def identity(self) -> tuple[int, int] | None:
        """Which file is there now; None for none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @contextmanager
    def _opened(self, mode: str, busy_timeout: float) -> Generator[sqlite3.Connection]:
        if not self.path.is_file():
            raise HeadgateError(f"there is no state at `{self.path}`: name the state folder of a proxy that ran")
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in ("trusted_schema = off", "cell_size_check = on"):
                connection.execute(f"pragma {pragma}")
            yield connection
        finally:
            connection.close()

    def _unapplied(self, connection: sqlite3.Connection) -> frozenset[str]:
        """The migrations that the file lacks; raises HeadgateError for a file that is not ours, or a newer one."""
        return schema.unapplied(connection, self.path, self.migrations, "the state of a proxy or no file", _is_ours)

    @contextmanager
    def _plainly(self, done: str) -> Generator[None]:
        """Say what fails in words that quote nothing; the text of an exception may hold what was being written."""
        try:
            yield
        except sqlite3.Error as error:
            name = str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))  # may be extended: SQLITE_IOERR_WRITE
            cause = CAUSES.get("_".join(name.split("_")[:2]), f"SQLite reports {name}")
            raise HeadgateError(f"the state `{self.path}` cannot be {done}: {cause}") from None
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            raise HeadgateError(f"the state `{self.path}` cannot be {done}: {cause}") from None


def _is_ours(db: Database) -> bool:
    """Whether any part of Headgate has made its tables here."""
    if not db.table("_sqlite_migrations").exists():
        return False
    found = db.execute("select 1 from _sqlite_migrations where migration_set like 'headgate-%'")
    return found.fetchone() is not None
