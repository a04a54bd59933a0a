"""The index of a capture: made on request, brought up to date in steps, and without what has been deleted.

It is an FTS5 table without content, under the numbers of the flows, which `vacuum` does not change. Flows are
numbered as they are recorded, so that all up to one number are in it (`meta`: `search_upto`) and none beyond. A step
reads and writes in one transaction: nobody deletes or masks again a flow meanwhile whose words it is about to add.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from headgate.capture.reading import unpacked
from headgate.capture.search import (
    MOST_MESSAGES,
    MOST_TEXT,
    VERSION,
    Decode,
    Fields,
    Message,
    Searched,
    Words,
    words_of,
)
from headgate.capture.upkeep.schema import INDEX, has_index, opened, rows
from headgate.errors import HeadgateError
from headgate.schema import immediate

STEP = 100
"""Flows that are added at once, at most."""

STEP_TEXT = 2 * 1024 * 1024
"""Characters after which a step ends, so that the writer of the capture gets its turn."""

MERGED = 500
"""Pages of the index that are merged at once."""

COLUMNS = ", ".join(Words._fields)
_MARKS = ", ".join("?" * len(Words._fields))

CREATE = f"""
create virtual table {INDEX} using fts5(
  {COLUMNS}, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
)
"""
ADD = f"insert into {INDEX} (rowid, {COLUMNS}) values (?, {_MARKS})"  # noqa: S608 - our own names, as below
REMOVE = f"insert into {INDEX} ({INDEX}, rowid, {COLUMNS}) values ('delete', ?, {_MARKS})"  # noqa: S608
MERGE = f"insert into {INDEX} ({INDEX}, rank) values ('merge', ?)"  # noqa: S608

FLOWS = """
select f.id, f.method, f.host, f.path, f.query, f.error, f.req_headers, f.req_body, f.resp_headers, f.resp_body,
  f.principal, p.owner, p.person, p.email, d.id as decision, d.reason, d.refusal_reason, d.rule
from flows f join decisions d on d.flow = f.id left join principals p on p.key = f.principal_key
"""
NEXT = f"{FLOWS} where f.id in (select id from flows where id > ? order by id limit ?) order by f.id, d.id"  # noqa: S608
THESE = f"{FLOWS} where f.id in ({{}}) order by f.id, d.id"
MESSAGES = """
select b.codec, b.data from messages m join bodies b on b.key = m.body
where m.decision = ? and m.n < ? and m.kind = 'text' order by m.n
"""
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_CONSTRAINT", "SQLITE_ERROR")
"""What FTS5 reports where its own tables are not as it has left them."""

UPTO = "select cast(value as integer) from meta where key = 'search_upto'"


class Index:
    """The index of the capture at `path`; every method opens the file for itself and raises `HeadgateError`."""

    def __init__(self, path: Path, decode: Decode) -> None:
        self._path, self._decode = path, decode

    def exists(self) -> bool:
        with opened(self._path) as connection:
            return has_index(connection)

    def establish(self) -> bool:
        """Make the index unless there is one of this version; whether it was made."""
        with opened(self._path) as connection, immediate(connection):
            if has_index(connection) and _fact(connection, "search_version") == VERSION:
                return False
            drop(connection)
            connection.execute(CREATE)
            facts = (("search_version", VERSION), ("search_upto", "0"))
            connection.executemany("insert into meta values (?, ?)", facts)
            return True

    def advance(self, most: int = STEP) -> int:
        """Add the next flows; how many."""
        with opened(self._path) as connection, immediate(connection):
            if not has_index(connection):
                return 0
            return _add_next(connection, self._decode, most)

    def behind(self) -> int:
        """About how many flows it lacks."""
        with opened(self._path) as connection:
            (newest,) = connection.execute("select coalesce(max(id), 0) from flows").fetchone()
            return max(0, int(newest) - _upto(connection))

    def merge(self, *, first: bool) -> bool:
        """One step of making the index one piece, without the words that were taken out; whether it did anything."""
        with opened(self._path) as connection:
            before = connection.total_changes
            with immediate(connection):
                connection.execute(MERGE, [-MERGED if first else MERGED])
            return connection.total_changes - before > 1


def drop(connection: sqlite3.Connection) -> None:
    """Remove the index, in the transaction at hand."""
    connection.execute(f"drop table if exists {INDEX}")
    connection.execute("delete from meta where key in ('search_version', 'search_upto')")


def forget(connection: sqlite3.Connection, flows: Iterable[int], decode: Decode) -> None:
    """Take flows out of the index, in the transaction in which they will be deleted or changed, before they are.

    An index from which they cannot be taken is dropped: better none than one that holds what is gone.
    """
    if not has_index(connection):
        return
    if _fact(connection, "search_version") != VERSION:
        drop(connection)
        return
    upto = _upto(connection)
    connection.execute("savepoint whole")
    try:
        for flow, searched in _searched(connection, rows(connection, THESE, [one for one in flows if one <= upto])):
            connection.execute(REMOVE, [flow, *words_of(searched, decode)])
        connection.execute("savepoint written")  # FTS5 writes what it has gathered here, else only with the commit
    except sqlite3.DatabaseError as error:
        if not str(getattr(error, "sqlite_errorname", "")).startswith(DAMAGED):
            raise
        connection.execute("rollback to whole")
        drop(connection)


def remember(connection: sqlite3.Connection, flows: Iterable[int], decode: Decode) -> None:
    """Put flows that were taken out back, with what they hold now, in the same transaction."""
    if has_index(connection):
        upto = _upto(connection)
        for flow, searched in _searched(connection, rows(connection, THESE, [one for one in flows if one <= upto])):
            connection.execute(ADD, [flow, *words_of(searched, decode)])


def step_back(connection: sqlite3.Connection) -> None:
    """After flows were deleted: a number that is free again is not in the index."""
    connection.execute(
        "update meta set value = min(cast(value as integer), (select coalesce(max(id), 0) from flows)) "
        "where key = 'search_upto'"
    )


def _add_next(connection: sqlite3.Connection, decode: Decode, most: int) -> int:
    upto, length, count = _upto(connection), 0, 0
    found = connection.execute(NEXT, [upto, most]).fetchall()
    for flow, searched in _searched(connection, found):
        words = words_of(searched, decode)
        connection.execute(ADD, [flow, *words])
        upto, count, length = flow, count + 1, length + sum(map(len, words))
        if length > STEP_TEXT:
            break
    connection.execute("update meta set value = ? where key = 'search_upto'", [str(upto)])
    return count


def _searched(connection: sqlite3.Connection, found: list[sqlite3.Row]) -> Iterator[tuple[int, Searched]]:
    """What of each flow can be searched; of one that was decided several times, the first decision."""
    for flow, decided in groupby(found, key=lambda row: int(row["id"])):
        row = next(decided)
        yield (
            flow,
            Searched(
                row["method"],
                row["host"],
                row["path"] or "",
                row["query"],
                row["error"],
                tuple(row[name] for name in ("principal", "owner", "person", "email")),
                tuple(row[name] for name in ("reason", "refusal_reason", "rule")),
                _message(connection, row, "req"),
                _message(connection, row, "resp"),
                tuple(_messages(connection, row["decision"])),
            ),
        )


def _message(connection: sqlite3.Connection, row: sqlite3.Row, side: str) -> Message:
    key = row[f"{side}_body"]
    found = key and connection.execute("select codec, data from bodies where key = ?", [key]).fetchone()
    return Message(_fields(row[f"{side}_headers"]), _unpacked(*found) if found else b"")


def _messages(connection: sqlite3.Connection, decision: str) -> Iterator[bytes]:
    length = 0
    for codec, data in connection.execute(MESSAGES, [decision, MOST_MESSAGES]):
        yield (body := _unpacked(codec, data))
        length += len(body)
        if length > MOST_TEXT:
            return


def _fields(text: str | None) -> Fields:
    try:
        return [(str(name), str(value)) for name, value in json.loads(text or "[]")]
    except (ValueError, TypeError):
        return []


def _unpacked(codec: str, data: bytes) -> bytes:
    """A body as it was recorded; nothing of a damaged one, which `show` tells about."""
    try:
        return unpacked(codec, data)
    except HeadgateError:
        return b""


def _upto(connection: sqlite3.Connection) -> int:
    found = connection.execute(UPTO).fetchone()
    return int(found[0]) if found else 0


def _fact(connection: sqlite3.Connection, key: str) -> str | None:
    found = connection.execute("select value from meta where key = ?", [key]).fetchone()
    return found[0] if found else None
