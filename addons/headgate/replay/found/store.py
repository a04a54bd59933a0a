"""Recordings by what they are found by, in a temporary file that SQLite deletes with its connection.

A capture may hold millions of flows; here stand only ids, hashes of scrubbed requests, and places, none in memory.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import finalize

from headgate.errors import HeadgateError
from headgate.replay.asked import Asked

SCHEMA = """
create table recordings (
  n integer primary key, decision text not null, key blob not null,
  method text not null, host text not null, path text not null, used integer not null default 0
) strict;
create index by_key on recordings (key, used, n);
create index by_decision on recordings (decision);
create index by_place on recordings (path, host, method);
create index by_host on recordings (host, path);
"""
NEAR = (
    "decision = :own",
    "path = :path and host = :host and method = :method",
    "path = :path and host = :host",
    "path = :path",
    "host = :host and path >= :path order by path",
    "host = :host and path < :path order by path desc",
    "1",
)
"""Where the nearest recording is looked for, the likeliest place first; each can be had from an index, unsorted."""

FIRST = "select n, decision from recordings where"

MOST_COUNTED = 1000


class Found:
    """One connection, for callers who take turns."""

    def __init__(self) -> None:
        with _told():
            self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
            self._connection.executescript(SCHEMA)
            self._connection.execute("begin")  # one transaction to its end: nothing of it is ever to be kept
        self._count = 0
        self.close = finalize(self, self._connection.close)

    def __len__(self) -> int:
        return self._count

    def add(self, decision_id: str, key: bytes, asked: Asked) -> None:
        values = (decision_id, key, asked.method.upper(), asked.host, asked.path)
        with _told():
            self._connection.execute(
                "insert into recordings (decision, key, method, host, path) values (?, ?, ?, ?, ?)", values
            )
        self._count += 1

    def take(self, key: bytes, *, own: str | None, repeat: bool) -> tuple[str | None, int]:
        """One that has not been used, and how many there are in all. `own` is the flow that asks: its own recording
        answers it, else that of an earlier flow, never that of a later one. With `repeat` the last is never used up."""
        with _told():
            row = self._one("key = ? and used = 0 and (? is null or decision <= ?)", [key, own, own], own)
            if row:
                self._connection.execute("update recordings set used = 1 where n = ?", [row[0]])
                return row[1], 1
            same = "select 1 from recordings where key = ? limit ?"
            times = len(self._connection.execute(same, [key, MOST_COUNTED]).fetchall())
            if not (repeat and times):
                return None, times
            last = "select decision from recordings where key = ? order by n desc limit 1"
            return self._connection.execute(last, [key]).fetchone()[0], times

    def _one(self, where: str, values: list[object], own: str | None) -> Any:
        if own is not None:
            found = self._connection.execute(f"{FIRST} {where} and decision = ?", [*values, own]).fetchone()
            if found:
                return found
        return self._connection.execute(f"{FIRST} {where} order by n limit 1", values).fetchone()

    def near(self, asked: Asked, limit: int, own: str | None) -> list[str]:
        """Decision ids of recordings from places like this one, the likeliest first."""
        place = {"path": asked.path, "host": asked.host, "method": asked.method.upper(), "own": own, "limit": limit}
        found: dict[str, None] = {}
        with _told():
            for where in NEAR:
                sql = f"select decision from recordings where {where} limit :limit"  # noqa: S608 - one of NEAR
                found |= dict.fromkeys(row[0] for row in self._connection.execute(sql, place))
                if len(found) >= limit:
                    break
        return list(found)[:limit]


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise HeadgateError(f"recordings cannot be looked up: {type(error).__name__}; is the disk full?") from None
