"""Putting into a capture what was masked again, so that nothing is left of what stood there.

A record is changed only if it still holds what was masked: another command may have been faster, and is not undone. At
the end the file is written anew (`vacuum`): what was moved within it by whoever wrote it before leaves copies in pages
that are in use, which no deletion reaches. Until that has succeeded the file says that it is due.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from headgate.capture.entries import Entry
from headgate.capture.fulltext.writer import forget, remember
from headgate.capture.key import keyed
from headgate.capture.rows import SMALL, to_json
from headgate.capture.search import Decode
from headgate.capture.tables import BodyRow
from headgate.capture.upkeep.schema import opened, room, rows, truncate_log
from headgate.capture.upkeep.writer import delete_bodies
from headgate.errors import HeadgateError
from headgate.masking.formats import Counts
from headgate.replay.rescrub.masks import Scrubbed, Side, untouched
from headgate.replay.rescrub.spoken import Change
from headgate.schema import immediate

PRESENT = """
select f.id, f.path, f.query, f.query_names, f.req_headers, f.req_body, f.resp_headers, f.resp_body
from decisions d join flows f on f.id = d.flow where d.id = ?
"""
UPDATE = """
update flows set path = ?, query = ?, query_names = ?, req_headers = ?, req_body = ?, req_size = ?, req_truncated = ?,
  resp_headers = ?, resp_body = ?, resp_size = ?, resp_truncated = ?
where id = ?
"""
SCRUBBED = "select d.id, r.plan from decisions d join rescrubbed r on r.flow = d.flow where d.id in ({})"
MARK = "insert into rescrubbed (flow, plan, ruleset, time) values (?, ?, ?, ?) on conflict do nothing"
BODY = 'insert into bodies ("key", "size", "codec", "data") values (?, ?, ?, ?) on conflict ("key") do nothing'
MESSAGE = "select id, body from messages where decision = ? and n = ?"
LONELY = """
with recursive spoken (decision) as (
  select min(decision) from messages
  union all
  select (select min(decision) from messages where decision > spoken.decision) from spoken
  where spoken.decision is not null
)
select decision from spoken
where decision is not null and not exists (select 1 from decisions d where d.id = spoken.decision)
"""
SOME = "select rowid as place, key from bodies where rowid > ? order by rowid limit 1000"
UNFINISHED = "rescrub_unfinished"


class Done(NamedTuple):
    """One exchange as it was recorded, and as it is to be; `changed` are numbered messages."""

    entry: Entry
    scrubbed: Scrubbed
    masks: Counts
    changed: Sequence[Change]
    plan: str

    @property
    def same(self) -> bool:
        places = {(mask["location"], mask["entity"], mask["operator"]) for mask in self.entry.masks}
        return self.scrubbed == untouched(self.entry) and places <= self.masks.keys()


class RescrubWriter:
    """The capture at `path`, whose hashes are made with `key`; every method raises `HeadgateError`."""

    def __init__(self, path: Path, key: bytes, decode: Decode) -> None:
        self._path, self._key, self._decode = path, key, decode

    def plans(self, decisions: Iterable[str]) -> set[tuple[str, str]]:
        """Which decisions were masked again by which plans."""
        with opened(self._path) as connection:
            return {(row["id"], row["plan"]) for row in rows(connection, SCRUBBED, decisions)}

    def lonely(self) -> list[str]:
        """Decisions of which messages are recorded and nothing else."""
        with opened(self._path) as connection:
            return [row["decision"] for row in connection.execute(LONELY)]

    def originals(self) -> int:
        with opened(self._path) as connection:
            return int(connection.execute("select count(*) from originals").fetchone()[0])

    def write(self, group: Sequence[Done], ruleset: str, now: float) -> list[str]:
        """Write what was masked; the decisions whose record is another by now, which is to be masked again."""
        changed = any(done.changed or not done.same for done in group)
        with opened(self._path) as connection, immediate(connection):
            if changed:
                connection.execute("insert into meta values (?, '1') on conflict do nothing", [UNFINISHED])
            return [done.entry.summary.decision_id for done in group if not self._put(connection, done, ruleset, now)]

    def write_messages(self, decision: str, changed: Sequence[Change]) -> None:
        """Change messages that are in no index: of a decision that is not recorded, or far into one."""
        with opened(self._path) as connection, immediate(connection):
            connection.execute("insert into meta values (?, '1') on conflict do nothing", [UNFINISHED])
            self._put_messages(connection, decision, changed)

    def is_unfinished(self) -> bool:
        """Whether anything was changed in the file since it was written anew."""
        with opened(self._path) as connection:
            return _is_unfinished(connection)

    def finish(self) -> bool:
        """Write the file anew, if anything was changed in it since that was done last; whether it was done.

        HeadgateError when it cannot be, or while a reader keeps the write-ahead log: then it is still due.
        """
        with opened(self._path) as connection:
            if not _is_unfinished(connection):
                return False
            _sweep(connection)
            connection.execute("vacuum")
            if not truncate_log(connection):
                raise HeadgateError(
                    f"the capture `{self._path}` is masked, but somebody reads it, so that its log still holds what "
                    "stood there: close what has it open and run this again"
                )
            connection.execute("delete from meta where key = ?", [UNFINISHED])
            truncate_log(connection)
            return True

    def size(self) -> int:
        with opened(self._path) as connection:
            return room(connection).file

    # -- one record ---------------------------------------------------------------------------------------------------

    def _put(self, connection: sqlite3.Connection, done: Done, ruleset: str, now: float) -> bool:
        """False when the record is not what was masked; one that is gone is done with."""
        row = connection.execute(PRESENT, [done.entry.summary.decision_id]).fetchone()
        if row is None:
            return True
        if not self._holds(row, done.entry) or not self._said(connection, done):
            return False
        if done.changed or not done.same:
            forget(connection, [row["id"]], self._decode)
            if not done.same:
                self._update(connection, row, done)
            self._put_messages(connection, done.entry.summary.decision_id, done.changed)
            _put_masks(connection, done.entry.summary.decision_id, done.masks)
            remember(connection, [row["id"]], self._decode)
        connection.execute(MARK, [row["id"], done.plan, ruleset, now])
        return True

    def _holds(self, row: sqlite3.Row, entry: Entry) -> bool:
        recorded = ((entry.request, "req"), (entry.response, "resp"))
        return (row["path"], row["query"]) == (entry.summary.path, entry.summary.query) and all(
            row[f"{side}_body"] == self._name(got.body) and _fields(row[f"{side}_headers"]) == got.headers
            for got, side in recorded
            if got is not None
        )

    def _said(self, connection: sqlite3.Connection, done: Done) -> bool:
        decision = done.entry.summary.decision_id
        found = ((connection.execute(MESSAGE, [decision, one.n]).fetchone(), one.before) for one in done.changed)
        return all(row is None or row["body"] == self._name(before) for row, before in found)

    def _update(self, connection: sqlite3.Connection, row: sqlite3.Row, done: Done) -> None:
        entry, new = done.entry, done.scrubbed
        request = self._side(connection, new.request, entry.request.size, truncated=entry.request.truncated)
        response: tuple[object, ...] = (None, None, None, 0)
        if new.response is not None and entry.response is not None:
            got = entry.response
            response = self._side(connection, new.response, got.size, truncated=got.truncated)
        names = row["query_names"] if new.names is entry.query_names else to_json(list(new.names))
        connection.execute(UPDATE, [new.path, new.query, names, *request, *response, row["id"]])
        delete_bodies(connection, (row["req_body"], row["resp_body"]))

    def _side(
        self, connection: sqlite3.Connection, side: Side, size: int, *, truncated: bool
    ) -> tuple[str | None, str | None, int, int]:
        """The columns of one direction: of a body that is lost, as of one that was cut, the size is still told."""
        cut = truncated or side.lost
        headers = None if side.headers is None else to_json([list(field) for field in side.headers])
        kept = side.headers is None or cut or not side.body
        return headers, self._body(connection, side.body, side), size if kept else len(side.body), int(cut)

    def _body(self, connection: sqlite3.Connection, body: bytes, side: Side | None = None) -> str | None:
        if not body:
            return None
        coded = any(name.lower() == "content-encoding" for name, _ in (side.headers or () if side else ()))
        row = BodyRow(keyed(self._key, body), len(body), "identity", body)
        if len(body) > SMALL and not coded and len(smaller := zlib.compress(body, 1)) < len(body) * 0.9:
            row = row._replace(codec="zlib", data=smaller)
        connection.execute(BODY, row)
        return row.key

    def _name(self, body: bytes) -> str | None:
        return keyed(self._key, body) if body else None

    def _put_messages(self, connection: sqlite3.Connection, decision: str, changed: Sequence[Change]) -> None:
        for n, before, body in changed:
            row = connection.execute(MESSAGE, [decision, n]).fetchone()
            if row is None or row["body"] != self._name(before):
                continue
            values = [self._body(connection, body or b""), int(body is None), row["id"]]
            connection.execute("update messages set body = ?, truncated = max(truncated, ?) where id = ?", values)
            delete_bodies(connection, [row["body"]])


def _is_unfinished(connection: sqlite3.Connection) -> bool:
    return connection.execute("select 1 from meta where key = ?", [UNFINISHED]).fetchone() is not None


def _sweep(connection: sqlite3.Connection) -> None:
    """Delete every body to which nothing refers, however it came to be so: nobody could say what it has to hide."""
    place = 0
    while found := connection.execute(SOME, [place]).fetchall():
        with immediate(connection):
            delete_bodies(connection, (row["key"] for row in found))
        place = found[-1]["place"]


def _put_masks(connection: sqlite3.Connection, decision: str, masks: Counts) -> None:
    connection.execute("delete from masks where decision = ?", [decision])
    connection.executemany(
        "insert into masks (decision, location, entity, operator, times) values (?, ?, ?, ?, ?)",
        [(decision, *key, count) for key, count in sorted(masks.items())],
    )
    connection.execute("update decisions set masked = ? where id = ?", [masks.total(), decision])


def _fields(text: str | None) -> tuple[tuple[str, str], ...] | None:
    return None if text is None else tuple((name, value) for name, value in json.loads(text))
