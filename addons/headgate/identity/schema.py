"""The tables of state.db that identity keeps; how a file comes to have them.

The file is shared: other parts of Headgate add tables of their own, each under the name of its own set of migrations.
A migration commits with its record, so that a file has either all of it or nothing; a file from a later version is
refused, not guessed at, and so is a database of something else.
"""

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate.errors import HeadgateError

MIGRATIONS = Migrations("headgate-identity")

REVOCATIONS = """
create table if not exists revocations (
  id integer primary key autoincrement,  -- an id that was lifted never comes again
  kind text not null check (kind in ('session', 'principal', 'token')),
  provider text,  -- null: any
  value text not null,
  reason text not null,
  created real not null,  -- seconds since the epoch
  expires real not null,
  by text not null
) strict
"""
ONE_FOR_EACH = """
create unique index if not exists revocations_one_for_each on revocations (kind, coalesce(provider, ''), value)
"""
CHANGES = """
create table if not exists revocation_changes (
  id integer primary key check (id = 1),
  version integer not null  -- one more with every change, whoever makes it
) strict
"""
ACCEPTED_RELEASES = """
create table if not exists accepted_releases (
  id integer primary key check (id = 1),
  revision integer not null,
  digest text not null,
  accepted real not null
) strict
"""


TRIGGERS = (
    "create trigger if not exists revocations_inserted after insert on revocations begin "
    "update revocation_changes set version = version + 1; end",
    "create trigger if not exists revocations_updated after update on revocations begin "
    "update revocation_changes set version = version + 1; end",
    "create trigger if not exists revocations_deleted after delete on revocations begin "
    "update revocation_changes set version = version + 1; end",
)


@MIGRATIONS()
def m001_revocations_and_releases(db: Database) -> None:
    for statement in (REVOCATIONS, ONE_FOR_EACH, CHANGES, ACCEPTED_RELEASES, *TRIGGERS):
        db.execute(statement)
    db.execute("insert or ignore into revocation_changes values (1, 0)")


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
def opened(path: Path, *, mode: str, busy_timeout: float) -> Generator[sqlite3.Connection]:
    """The existing file at `path`, for reading (`ro`) or writing (`rw`); raises sqlite3.Error or OSError."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        for pragma in ("trusted_schema = off", "cell_size_check = on"):
            connection.execute(f"pragma {pragma}")
        yield connection
    finally:
        connection.close()


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Give the file what it lacks of the tables."""
    lacking = unapplied(connection, path)  # first of all: a file that is not ours stays as it is
    for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
        connection.execute(f"pragma {pragma}")
    if lacking:
        with immediate(connection):
            MIGRATIONS.apply(_database(connection))


def unapplied(connection: sqlite3.Connection, path: Path) -> frozenset[str]:
    """The migrations that the file lacks; raises HeadgateError for a file that is not ours, or a newer one."""
    db = _database(connection)
    applied = frozenset(migration.name for migration in MIGRATIONS.applied(db))
    if not applied and db.table_names() and not _is_ours(db):
        raise HeadgateError(f"`{path}` is a database of something else: the state of a proxy or no file is accepted")
    if applied - _known():
        raise HeadgateError(f"`{path}` was written by a newer Headgate: use that version, or another state folder")
    return _known() - applied


def _is_ours(db: Database) -> bool:
    """Whether any part of Headgate has made its tables here."""
    if not db.table(MIGRATIONS.migrations_table).exists():
        return False
    found = db.execute("select 1 from _sqlite_migrations where migration_set like 'headgate-%'")
    return found.fetchone() is not None


@cache
def _known() -> frozenset[str]:
    with Database(memory=True, execute_plugins=False) as empty:
        return frozenset(migration.name for migration in MIGRATIONS.pending(empty))


def _database(connection: sqlite3.Connection) -> Database:
    return Database(connection, execute_plugins=False, recursive_triggers=False, strict=True)


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
