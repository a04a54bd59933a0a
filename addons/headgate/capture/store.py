"""Reading a capture, also while a proxy writes it and after one has crashed.

The file is data from elsewhere: it is opened read-only, with `trusted_schema` off, only its tables are asked, and
nothing in it can make this unpack more than a record may hold.
"""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from headgate.capture.entries import Entry, Filter, MessageEntry, Recorded, Summary
from headgate.capture.faults import cause
from headgate.capture.listing import listed
from headgate.capture.reading import FLOWS, Row, entry_of, select, unpacked
from headgate.capture.schema import brought_up
from headgate.capture.sealing import Original, opened
from headgate.errors import HeadgateError
from headgate.model import ulid

__all__ = ["Entry", "Filter", "MessageEntry", "Original", "Recorded", "Store", "Summary"]

MATCHING = """
select id from decisions where id >= :upper and id < :upper || '~'
union select d.id from flows f join decisions d on d.flow = f.id
  where f.flow_id >= :lower and f.flow_id < :lower || '~'
limit 6
"""
ANSWERED = """
(d.refusal is null or d.refusal = 'withheld') and f.status is not null and f.error is null and d.mode <> 'imported'
"""

MASKS = "select decision, location, entity, operator, times from masks where decision in ({}) order by id"

MESSAGES = """
select m.n, m.time, m.from_client, m.kind, b.codec, b.data, m.size, m.truncated
from messages m left join bodies b on b.key = m.body
where m.decision = ? and m.n > ? order by m.n limit ?
"""
TABLES = (
    "_sqlite_migrations",
    "bodies",
    "decisions",
    "flows",
    "masks",
    "messages",
    "originals",
    "principals",
    "rulesets",
)
VIEWED = "select 1 from sqlite_master where type = 'view' and name = ? collate nocase"
PAGE = 500
"""Flows that are read at once: a reader that holds a capture open for long keeps its write-ahead log growing."""


class Store:
    """The capture in a folder; every method opens the file for itself, and raises `HeadgateError`."""

    def __init__(self, state: Path, name: str = "capture.db") -> None:
        """`name` is another's for a capture of flows that were saved elsewhere."""
        self.path = state / name

    def summaries(self, wanted: Filter, limit: int) -> list[Summary]:
        """The newest first, at most `limit`."""
        with self._reading() as connection:
            rows = listed(wanted, limit, lambda sql, values: connection.execute(sql, values).fetchall())
            return [Summary(**row) for row in rows]

    def entry(self, name: str) -> Entry:
        """The flow with this flow id or decision id, or the only one whose id begins so."""
        with self._reading() as connection:
            (entry,) = entries_where(connection, "d.id = ?", [_resolve(connection, name)], bodies=True)
            return entry

    def walk(
        self, after: str = "", *, since: float | None = None, until: float | None = None, bodies: bool = True
    ) -> Iterator[Entry]:
        """Every decision after the one with this id, the oldest first; `since` and before `until`, in seconds since
        the epoch. What is recorded while this goes on comes, too."""
        return self._pages("1", max(after, _from(since)), until, bodies=bodies)

    def count(self, after: str = "", *, since: float | None = None, until: float | None = None) -> int:
        """How many `walk` would come to, as it is now."""
        condition, values = _span("1", max(after, _from(since)), until)
        return self._count(f"decisions d where {condition}", values)

    def answered(self, since: float | None = None, *, bodies: bool = False) -> Iterator[Entry]:
        """Every flow that reached its upstream and was answered, the oldest first; with bodies only if asked for them.

        What is recorded while this goes on comes, too.
        """
        return self._pages(ANSWERED, _from(since), None, bodies=bodies)

    def count_answered(self, since: float | None = None) -> int:
        condition, values = _span(ANSWERED, _from(since), None)
        return self._count(f"{FLOWS} where {condition}", values)

    def _count(self, which: str, values: list[object]) -> int:
        with self._reading() as connection:
            sql = f"select count(*) from {which}"  # noqa: S608 (our own conditions, question marks)
            return int(connection.execute(sql, values).fetchone()[0])

    def messages(self, decision_id: str) -> Iterator[MessageEntry]:
        """What was said on a WebSocket or a TCP flow, in order, as far as it has been written."""
        last = -1
        while page := self._messages(decision_id, last):
            yield from page
            last = page[-1].n

    def original(self, decision_id: str, private_key: bytes) -> Original:
        """What travelled before masking, for the holder of the key; HeadgateError says why there is nothing to read."""
        with self._reading() as connection:
            found = connection.execute(
                "select o.data from decisions d join originals o on o.flow = d.flow where d.id = ?", [decision_id]
            ).fetchone()
        if found is None:
            raise HeadgateError(
                f"of the flow `{decision_id[:80]}` no original was kept: that takes `headgate_capture=sealed`"
            )
        return opened(found[0], private_key)

    def _messages(self, decision_id: str, last: int) -> list[MessageEntry]:
        with self._reading() as connection:
            rows = connection.execute(MESSAGES, [decision_id, last, PAGE]).fetchall()
        return [
            MessageEntry(n, time, bool(sent), kind, unpacked(codec, data) if codec else b"", size, bool(cut))
            for n, time, sent, kind, codec, data, size, cut in rows
        ]

    def _pages(self, condition: str, last: str, until: float | None, *, bodies: bool) -> Iterator[Entry]:
        while page := self._page(condition, last, until, bodies):
            yield from page
            last = page[-1].summary.decision_id

    def _page(self, condition: str, last: str, until: float | None, bodies: bool) -> list[Entry]:
        where, values = _span(condition, last, until)
        with self._reading() as connection:
            return entries_where(connection, f"{where} order by d.id limit ?", [*values, PAGE], bodies=bodies)

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        if not self.path.is_file():
            raise HeadgateError(f"there is no capture at `{self.path}`: name the state folder of a proxy that ran")
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("pragma trusted_schema = off")
                connection.execute("pragma cell_size_check = on")
                _require_tables(connection)
                with brought_up(connection, self.path) as present:
                    present.row_factory = sqlite3.Row
                    yield present
        except (sqlite3.Error, OSError) as error:
            raise HeadgateError(f"the capture `{self.path}` cannot be read: {cause(error)}") from None


def _require_tables(connection: sqlite3.Connection) -> None:
    """A view in the place of a table of ours could ask anything, without an end."""
    if any(connection.execute(VIEWED, [name]).fetchone() for name in TABLES):
        raise sqlite3.DatabaseError("a view stands in the place of a table")


def _resolve(connection: sqlite3.Connection, name: str) -> str:
    if not name or not name.replace("-", "").isascii() or not name.replace("-", "").isalnum():
        raise HeadgateError("that is not an id: letters, digits and `-` of a flow id or a decision id are accepted")
    found = [row["id"] for row in connection.execute(MATCHING, {"upper": name.upper(), "lower": name.lower()})]
    if not found:
        raise HeadgateError(f"no recorded flow has an id that begins with `{name}`")
    if len(found) > 1:
        shown = ", ".join(f"`{decision}`" for decision in found[:5]) + (", ..." if len(found) > 5 else "")
        raise HeadgateError(f"`{name}` is several recorded flows: give one of their decision ids ({shown})")
    return str(found[0])


def _from(since: float | None) -> str:
    """What every decision id from `since` on comes after."""
    return "" if since is None else ulid(max(0, int(since * 1000)), 0)


def _span(condition: str, last: str, until: float | None) -> tuple[str, list[object]]:
    if until is None:
        return f"d.id > ? and {condition}", [last]
    return f"d.id > ? and d.id < ? and {condition}", [last, _from(until)]


def entries_where(connection: sqlite3.Connection, where: str, values: list[object], *, bodies: bool) -> list[Entry]:
    """The entries for which a condition of ours holds, in the order that it asks for."""
    found = connection.execute(f"{select(bodies=bodies)} where {where}", values)
    found.row_factory = None
    rows = [Row(*row) for row in found]
    masks: dict[str, list[dict[str, Any]]] = {row.decision_id: [] for row in rows}
    marks = ", ".join("?" * len(rows))
    for decision, location, entity, operator, count in connection.execute(MASKS.format(marks), list(masks)):
        masks[decision].append({"location": location, "entity": entity, "operator": operator, "count": count})
    return [entry_of(row, masks[row.decision_id]) for row in rows]
