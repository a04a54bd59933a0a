"""The tables of state.db that hold rule versions; how a file comes to have them.

The file is shared with other parts of Headgate. A bundle is kept whole, each of its files once under the hash of its
bytes: most versions differ in one file. The history of activations can be added to, and nothing else.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate import schema

MIGRATIONS = Migrations("headgate-bundle")

BUNDLES = """
create table bundles (
  sha256 text primary key,
  name text not null,
  version text not null,
  digest text not null,  -- of the names and bytes of its files, but for the signature
  stored real not null,  -- seconds since the epoch
  by text not null
) strict
"""
BLOBS = """
create table bundle_blobs (
  digest text primary key,  -- SHA-256
  data blob not null
) strict
"""
FILES = """
create table bundle_files (
  sha256 text not null references bundles,
  name text not null,  -- relative to the folder, with `/`
  digest text not null references bundle_blobs,
  primary key (sha256, name)
) strict
"""
ACTIVATIONS = """
create table activations (
  id integer primary key autoincrement,
  how text not null check (how in ('folder', 'activate', 'rollback', 'refused')),
  sha256 text check (sha256 is not null or how = 'refused'),
  name text,
  version text,
  time real not null,  -- seconds since the epoch
  by text not null,
  note text not null,
  previous text  -- the hash that was active before
) strict
"""
TRIGGERS = (
    "create trigger activations_not_updated before update on activations begin "
    "select raise(abort, 'the history only grows'); end",
    "create trigger activations_not_deleted before delete on activations begin "
    "select raise(abort, 'the history only grows'); end",
)


@MIGRATIONS()
def m001_versions(db: Database) -> None:
    for statement in (BUNDLES, BLOBS, FILES, ACTIVATIONS, *TRIGGERS):
        db.execute(statement)


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
