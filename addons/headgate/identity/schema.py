"""The tables of state.db that identity keeps; how a file comes to have them.

The file is shared: other parts of Headgate add tables of their own, each under the name of its own set of migrations.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate import schema

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
        schema.migrate(connection, MIGRATIONS)


def unapplied(connection: sqlite3.Connection, path: Path) -> frozenset[str]:
    """The migrations that the file lacks; raises HeadgateError for a file that is not ours, or a newer one."""
    return schema.unapplied(connection, path, MIGRATIONS, "the state of a proxy or no file", _is_ours)


def _is_ours(db: Database) -> bool:
    """Whether any part of Headgate has made its tables here."""
    if not db.table(MIGRATIONS.migrations_table).exists():
        return False
    found = db.execute("select 1 from _sqlite_migrations where migration_set like 'headgate-%'")
    return found.fetchone() is not None
