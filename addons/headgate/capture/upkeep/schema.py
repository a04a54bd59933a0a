"""How a capture is opened to keep it up: written to beside its writer, in transactions that are short.

What is deleted is overwritten (`secure_delete`), and what is free is given back, so that what is gone from the tables
is gone from the file. The file is never made here, and one of an older version is left to a proxy to bring up.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import batched
from pathlib import Path

from headgate.capture.faults import cause
from headgate.capture.retention import Room
from headgate.capture.schema import WAL_LIMIT, unapplied
from headgate.errors import HeadgateError

PATIENCE = 5.0
"""Seconds to wait for the lock of the capture that its writer holds."""

INDEX = "search"
"""The table of the full-text index, where somebody has asked for one."""

MARKS = 500
"""Values in one statement."""


@contextmanager
def opened(path: Path, patience: float = PATIENCE) -> Generator[sqlite3.Connection]:
    """The capture, to be written to; whatever SQLite has to say is a HeadgateError in plain words."""
    if not path.is_file():
        raise HeadgateError(f"there is no capture at `{path}`: name the state folder of a proxy that ran")
    with plainly(path):
        uri = f"{path.resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)) as connection:
            prepare(connection, path)
            yield connection


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """The capture, only to be read."""
    if not path.is_file():
        raise HeadgateError(f"there is no capture at `{path}`: name the state folder of a proxy that ran")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            _distrust(connection, path)
            connection.row_factory = sqlite3.Row
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise HeadgateError(f"the capture `{path}` cannot be read: {cause(error)}") from None


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    _distrust(connection, path)
    for pragma in ("synchronous = normal", "foreign_keys = on", "secure_delete = on"):
        connection.execute(f"pragma {pragma}")
    connection.execute(f"pragma journal_size_limit = {WAL_LIMIT}")
    connection.row_factory = sqlite3.Row


def _distrust(connection: sqlite3.Connection, path: Path) -> None:
    for pragma in ("trusted_schema = off", "cell_size_check = on"):
        connection.execute(f"pragma {pragma}")
    if unapplied(connection, path):
        raise HeadgateError(f"`{path}` is from an older Headgate: start the proxy once to bring it up")


@contextmanager
def plainly(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise HeadgateError(f"the capture `{path}` cannot be kept up: {cause(error)}") from None


def marked(sql: str, values: Iterable[object]) -> Iterator[tuple[str, list[object]]]:
    """Statements in which `{}` stands for some of the values each."""
    for part in batched(values, MARKS, strict=False):
        yield sql.format(", ".join("?" * len(part))), list(part)


def rows(connection: sqlite3.Connection, sql: str, values: Iterable[object]) -> list[sqlite3.Row]:
    """What `sql` finds for all the values, with `{}` for some of them each."""
    return [row for statement in marked(sql, values) for row in connection.execute(*statement)]


def run(connection: sqlite3.Connection, sql: str, values: Iterable[object]) -> int:
    """Rows that `sql` changed for all the values, with `{}` for some of them each."""
    return sum(connection.execute(*statement).rowcount for statement in marked(sql, values))


def room(connection: sqlite3.Connection) -> Room:
    size, pages, free = (_number(connection, name) for name in ("page_size", "page_count", "freelist_count"))
    return Room(size * pages, size * (pages - free))


def has_index(connection: sqlite3.Connection) -> bool:
    found = connection.execute("select 1 from sqlite_master where type = 'table' and name = ?", [INDEX])
    return found.fetchone() is not None


def truncate_log(connection: sqlite3.Connection) -> bool:
    """Put everything into the file itself and cut the write-ahead log off; False while somebody reads it."""
    busy, _, _ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    return not busy


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"pragma {pragma}").fetchone()[0])
