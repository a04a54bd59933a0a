"""The tables of audit.db, and how it is opened.

`entries` holds what the log says, by number from 1; `body` is its canonical JSON (null: pruned), `leaf` the hash of it
in the tree. `tree` is one row: how long the log is and the frontier of its tree, which each append carries on in the
same transaction. `checkpoints` has what was signed, with the frontier of that moment, so that the log can be checked
from there. Triggers keep an honest program from changing entries; against anybody else there are the signatures.
"""

import errno
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlite_utils import Database, Migrations

from headgate import schema
from headgate.errors import HeadgateError
from headgate.schema import CAUSES, READ_PATIENCE, create

Connection = sqlite3.Connection
Row = sqlite3.Row
Shape = tuple[tuple[tuple[Any, ...], ...], ...]

MIGRATIONS = Migrations("headgate-audit")
APPLIED = "_sqlite_migrations"

WAL_LIMIT = 64 * 1024 * 1024
LONGEST = 2 * 1024 * 1024
"""Bytes of one row: what is longer in a file from elsewhere is not read, and no entry is half as long."""

FAULTS = (sqlite3.Error, OSError)
READ_FAULTS = (*FAULTS, ValueError)
"""The last for names in a damaged file, which Python's sqlite3 takes for UTF-8."""

DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
SYSTEM_CAUSES = {errno.EDQUOT: "the disk quota is used up", errno.ENOSPC: "the disk is full"}

TABLES = (
    """
create table entries (
  seq integer primary key,
  body text,  -- canonical JSON (RFC 8785); null: pruned
  leaf blob not null check (length(leaf) = 32)  -- SHA-256 of a zero byte and the body
) strict
""",
    """
create table checkpoints (
  size integer primary key,
  root blob not null,
  note text not null,  -- c2sp.org/tlog-checkpoint
  time text not null,  -- when; nobody signs this
  frontier blob not null  -- of the tree at that size: its root is what was signed
) strict
""",
    """
create table tree (
  id integer primary key check (id = 1),
  size integer not null,
  frontier blob not null,
  checkpoints integer not null,  -- how many there are
  origin text not null  -- of the key that signs
) strict
""",
    "insert into tree values (1, 0, x'', 0, '')",
)
TRIGGERS = (
    """
create trigger entries_only_pruned before update on entries
when new.seq is not old.seq or new.leaf is not old.leaf or new.body is not null begin
  select raise(abort, 'the log only grows');
end
""",
    "create trigger entries_not_deleted before delete on entries begin select raise(abort, 'the log only grows'); end",
    "create trigger checkpoints_not_updated before update on checkpoints begin "
    "select raise(abort, 'the log only grows'); end",
    "create trigger checkpoints_not_deleted before delete on checkpoints begin "
    "select raise(abort, 'the log only grows'); end",
)
READABLE = """
select
  seq,
  json_extract(body, '$.time') as time,
  json_extract(body, '$.kind') as kind,
  json_extract(body, '$.decision_id') as decision_id,
  json_extract(body, '$.principal.id') as principal,
  json_extract(body, '$.request.method') || ' ' || json_extract(body, '$.request.host') ||
    json_extract(body, '$.request.path') as request,
  json_extract(body, '$.effect') as effect,
  coalesce(json_extract(body, '$.reason'), json_extract(body, '$.act')) as reason,
  json_extract(body, '$.status') as status,
  lower(hex(leaf)) as leaf
from entries
"""


@MIGRATIONS()
def m001_log(db: Database) -> None:
    for statement in (*TABLES, *TRIGGERS):
        db.execute(statement)
    db.create_view("entries_readable", READABLE)


def connect(path: Path, busy_timeout: float) -> Connection:
    """Open the log for writing, with all its tables; raises sqlite3.Error, OSError or `HeadgateError`.

    Every commit is on disk when it returns (`synchronous = full`), on macOS, too.
    """
    _beware(path)
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        lacking = unapplied(connection, path)  # first of all: a file that is not ours stays as it is
        for pragma in ("journal_mode = wal", "synchronous = full", "fullfsync = on", "trusted_schema = off"):
            connection.execute(f"pragma {pragma}")
        connection.execute(f"pragma journal_size_limit = {WAL_LIMIT}")
        if lacking:
            schema.migrate(connection, MIGRATIONS)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reading(path: Path) -> Generator[Connection]:
    """A connection that only reads, for a file from elsewhere: text comes as bytes, whatever it is."""
    if not path.is_file():
        raise HeadgateError(f"there is no audit log at `{path}`: name the state folder of a proxy that ran")
    with plainly(path, "read"), closing(_opened(path)) as connection:
        if unapplied(connection, path):
            if not any(_shape(connection, APPLIED)):
                raise HeadgateError(f"`{path}` is empty: no proxy leaves it so, unless it is killed as it begins a log")
            raise HeadgateError(f"`{path}` is from an older Headgate: start the proxy once to bring it up")
        connection.text_factory = bytes
        yield connection


def _beware(path: Path) -> None:
    """SQLite opens what stands beside its file, and would wait for ever where that is a pipe."""
    for suffix in ("-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists() and not beside.is_file():
            raise HeadgateError(f"`{beside}` is not a file: remove it")


def _opened(path: Path) -> Connection:
    _beware(path)
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=READ_PATIENCE)
    for pragma in ("trusted_schema = off", "cell_size_check = on"):
        connection.execute(f"pragma {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    return connection


@contextmanager
def writing(path: Path, busy_timeout: float = schema.WRITE_PATIENCE) -> Generator[Connection]:
    """A connection for a command that writes; the file is made if it is missing."""
    with plainly(path, "written"):
        create(path)
        with closing(connect(path, busy_timeout)) as connection:
            yield connection


@contextmanager
def plainly(path: Path, done: str) -> Generator[None]:
    """Say what fails in words that quote nothing; the text of an exception may hold what was being written."""
    try:
        yield
    except READ_FAULTS as error:
        raise HeadgateError(f"the audit log `{path}` cannot be {done}: {cause(error)}") from None


def cause(error: Exception) -> str:
    """What to tell of an OSError or an sqlite3.Error."""
    if isinstance(error, OSError):
        return SYSTEM_CAUSES.get(error.errno or 0) or (error.strerror or "the system refused it").lower()
    fallback = "SQLITE_ERROR" if isinstance(error, sqlite3.Error) else "SQLITE_CORRUPT"
    name = str(getattr(error, "sqlite_errorname", fallback))  # may be extended, as in SQLITE_IOERR_WRITE
    primary = "_".join(name.split("_")[:2])
    told = CAUSES.get(primary, f"SQLite reports {name}")
    return f"{told} (move it away to have a new one begun)" if primary in DAMAGED else told


def unapplied(connection: Connection, path: Path) -> frozenset[str]:
    """The migrations that the file lacks; raises `HeadgateError` for a file that is no log or a newer one.

    First it is seen that its tables are tables: a view of the same name could answer anything, and for ever.
    """
    if not _is_plain(_shape(connection, APPLIED)):
        raise _misshapen(path, APPLIED)
    lacking = schema.unapplied(connection, path, MIGRATIONS, "an audit log or no file")
    for name, ours in _shapes().items():
        if not lacking and _shape(connection, name) != ours:
            raise _misshapen(path, name)
    return lacking


def _misshapen(path: Path, name: str) -> HeadgateError:
    return HeadgateError(f"the audit log `{path}` is damaged: its table `{name}` is not the one that Headgate made")


@cache
def _shapes() -> dict[str, Shape]:
    with Database(memory=True, execute_plugins=False, strict=True) as empty:
        MIGRATIONS.apply(empty)
        return {name: _shape(empty.conn, name) for name in ("entries", "checkpoints", "tree")}


def _shape(connection: Connection, name: str) -> Shape:
    """What SQLite takes the name for (pragmas tell: no table can stand in their place): what kind of thing, its
    columns, its indexes; nothing if there is none."""
    return tuple(
        tuple(map(tuple, connection.execute(f"pragma main.{told}({name})").fetchall()))
        for told in ("table_list", "table_xinfo", "index_list")
    )


def _is_plain(shape: Shape) -> bool:
    """Whether it is a table, if it is anything, and computes none of its columns."""
    kinds, columns, _ = shape
    return all(row[2] == "table" for row in kinds) and not any(row[-1] for row in columns)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path`: SQLite goes on writing to one that was deleted or replaced, and says nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
