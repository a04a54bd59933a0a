"""How a SQLite file of Headgate comes to have its tables, and how state.db is used: what the stores do alike.

A migration commits with its record, so that a file has either all of it or nothing; a file from a later version is
refused, not guessed at, and so is a database of something else. state.db is one file for several parts of Headgate,
each of which adds tables of its own under the name of its own set of migrations; capture.db has its own ways.
"""

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate.errors import HeadgateError

READ_PATIENCE = 1.0
WRITE_PATIENCE = 5.0
"""Seconds to wait for the lock of state.db that somebody else holds."""

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


class StateError(HeadgateError):
    """state.db cannot be read or written, which is no fault of what is asked of it."""


def create(path: Path) -> None:
    """Make the file, readable by its owner only; SQLite gives its companions the same mode.

    An existing one is not touched: to close any descriptor of it would drop the locks of all connections of this
    process (POSIX, fcntl).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return


@contextmanager
def immediate(connection: sqlite3.Connection) -> Generator[None]:
    """A write transaction that has its lock from the start: waiting happens here and nowhere later."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def migrate(connection: sqlite3.Connection, migrations: Migrations) -> None:
    """Apply what is lacking, all or nothing."""
    with immediate(connection):
        migrations.apply(_database(connection))


def unapplied(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Migrations,
    accepted: str,
    is_ours: Callable[[Database], bool] = lambda _: False,
) -> frozenset[str]:
    """The migrations that the file lacks; raises HeadgateError for a newer one, or one with tables that are not ours.

    `accepted` says what would do in its place; `is_ours` whether tables without any of these migrations may be there.
    """
    db = _database(connection)
    applied = frozenset(migration.name for migration in migrations.applied(db))
    if not applied and db.table_names() and not is_ours(db):
        raise HeadgateError(f"`{path}` is a database of something else: {accepted} is accepted")
    known = _known(migrations)
    if applied - known:
        raise HeadgateError(f"`{path}` was written by a newer Headgate: use that version, or another state folder")
    return known - applied


@cache
def _known(migrations: Migrations) -> frozenset[str]:
    with Database(memory=True, execute_plugins=False) as empty:
        return frozenset(migration.name for migration in migrations.pending(empty))


def _database(connection: sqlite3.Connection) -> Database:
    return Database(connection, execute_plugins=False, recursive_triggers=False, strict=True)


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
            create(self.path)
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
                migrate(connection, self.migrations)
            with immediate(connection):
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
        return unapplied(connection, self.path, self.migrations, "the state of a proxy or no file", _is_ours)

    @contextmanager
    def _plainly(self, done: str) -> Generator[None]:
        """Say what fails in words that quote nothing; the text of an exception may hold what was being written."""
        try:
            yield
        except sqlite3.Error as error:
            name = str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))  # may be extended: SQLITE_IOERR_WRITE
            cause = CAUSES.get("_".join(name.split("_")[:2]), f"SQLite reports {name}")
            raise StateError(f"the state `{self.path}` cannot be {done}: {cause}") from None
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            raise StateError(f"the state `{self.path}` cannot be {done}: {cause}") from None


def _is_ours(db: Database) -> bool:
    """Whether any part of Headgate has made its tables here."""
    if not db.table("_sqlite_migrations").exists():
        return False
    found = db.execute("select 1 from _sqlite_migrations where migration_set like 'headgate-%'")
    return found.fetchone() is not None
