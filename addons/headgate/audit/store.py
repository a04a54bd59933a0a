"""Reading the log: data from elsewhere, opened read-only; what it says is to be believed once `verify` has said so."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from headgate.audit.leaf import Leaf, Uncanonical, checked
from headgate.audit.schema import Connection, reading
from headgate.errors import HeadgateError

LOWEST = -(2**63)
PAGE = 500
"""Entries that are read at once: a reader that holds the log open for long keeps its write-ahead log growing."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """`leaf` is None where the body was pruned, or is nothing that a leaf may be; `hash` is the leaf hash in hex."""

    seq: int
    leaf: Leaf | None
    body: str | None
    hash: str


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """`time` is when it was signed, which nobody signs."""

    size: int
    time: str
    note: str


class AuditStore:
    """The log in a folder; every method opens the file for itself, and raises `HeadgateError`."""

    def __init__(self, state: Path, name: str = "audit.db") -> None:
        self.path = state / name

    def size(self) -> int:
        """How many entries there are; the last one's number."""
        with reading(self.path) as connection:
            return _last(connection)

    def tail(self, count: int, kinds: Collection[str] = ()) -> list[LogEntry]:
        """The last `count` entries of these kinds (none given: all), the oldest first."""
        found: list[LogEntry] = []
        last = self.size()
        while len(found) < count:
            sql = "select seq, body, leaf from entries where seq <= ? order by seq desc limit ?"
            page = self._page(sql, last, PAGE if kinds else min(PAGE, count - len(found)))
            if not page or page[-1].seq > last:  # as only a damaged file has it
                break
            found += [entry for entry in page if _wanted(entry, kinds)]
            last = page[-1].seq - 1
            if last < LOWEST:
                break
        return found[:count][::-1]

    def entries(self, after: int = 0, through: int | None = None, kinds: Collection[str] = ()) -> Iterator[LogEntry]:
        """Entries after number `after`, the oldest first; what is written while this goes on comes, too."""
        sql = "select seq, body, leaf from entries where seq > ? order by seq limit ?"
        while page := self._page(sql, after, PAGE):
            for entry in page:
                if through is not None and entry.seq > through:
                    return
                if _wanted(entry, kinds):
                    yield entry
            if page[-1].seq <= after:
                raise HeadgateError(f"the audit log `{self.path}` cannot be read: it is damaged")
            after = page[-1].seq

    def checkpoints(self, after: int = 0) -> list[StoredCheckpoint]:
        """Those of more than `after` entries."""
        with reading(self.path) as connection:
            rows = connection.execute("select size, time, note from checkpoints where size > ? order by size", [after])
            return [StoredCheckpoint(size, _text(time), _text(note)) for size, time, note in rows]

    def last_checkpoint(self) -> StoredCheckpoint | None:
        with reading(self.path) as connection:
            rows = connection.execute("select size, time, note from checkpoints order by size desc limit 1")
            return next((StoredCheckpoint(size, _text(time), _text(note)) for size, time, note in rows), None)

    def _page(self, sql: str, bound: int, limit: int) -> list[LogEntry]:
        with reading(self.path) as connection:
            return [_entry(*row) for row in connection.execute(sql, [bound, limit])]


def _last(connection: Connection) -> int:
    (last,) = connection.execute("select coalesce(max(seq), 0) from entries").fetchone()
    return int(last)


def _wanted(entry: LogEntry, kinds: Collection[str]) -> bool:
    return not kinds or (entry.leaf is not None and entry.leaf.get("kind") in kinds)


def _entry(seq: int, body: bytes | None, leaf: bytes) -> LogEntry:
    text = None if body is None else _text(body)
    return LogEntry(seq, _object(text), text, leaf.hex() if isinstance(leaf, bytes) else "")


def _object(text: str | None) -> Leaf | None:
    try:
        found = json.loads(text) if text else None
        return checked(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError, Uncanonical):
        return None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
