"""How a SQLite file of Headgate comes to have its tables: what the stores of all guardrails do alike.

A migration commits with its record, so that a file has either all of it or nothing; a file from a later version is
refused, not guessed at, and so is a database of something else.
"""

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate.errors import HeadgateError


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
