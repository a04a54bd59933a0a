"""Deleting from a capture what is due, a little at a time, beside its writer.

A step is one short transaction: the oldest flows with all that is theirs (decisions, masks, messages, originals, words
in the index), then what they shared with others (bodies, principals, rulesets) if nobody refers to it any more. How
much a step takes depends on what it finds: a WebSocket may have a million messages, most of which go before it does.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from headgate.capture.fulltext.writer import forget, step_back
from headgate.capture.record import MAX_BODY
from headgate.capture.retention import Pruned, Retention, Room, Step, next_step
from headgate.capture.search import MOST_MESSAGES, Decode
from headgate.capture.upkeep.schema import PATIENCE, opened, room, rows, run, truncate_log
from headgate.model import ulid
from headgate.schema import immediate

STEP = 100
STEP_BYTES = 8 * 1024 * 1024
STEP_MESSAGES = 2000
STEP_PAGES = 500
"""What one step deletes at most: flows, bytes of their bodies, messages; and pages that it gives back."""

ROW_BYTES = 1000
"""What a flow takes in the file beside its bodies, about."""

ENDED = "ts_start < :before and coalesce(ts_end, ts_start) < :before"
FLOWS = f"""
select id, ts_start, min(req_size, {MAX_BODY}) + min(coalesce(resp_size, 0), {MAX_BODY}) as bytes from flows
"""  # noqa: S608 - a number
OLDEST = f"{FLOWS} order by ts_start limit :most"
DUE = f"{FLOWS} where {ENDED} order by ts_start limit :most"
LONELY = """
with recursive spoken (decision) as (
  select min(decision) from messages
  union all
  select (select min(decision) from messages where decision > spoken.decision)
  from spoken where spoken.decision < :last
)
select decision from spoken
where decision < :last and not exists (select 1 from decisions d where d.id = decision)
  and (select time from messages m where m.decision = spoken.decision order by n limit 1) < :before
limit 20
"""
"""Decisions, older than `:last`, of which messages are recorded and nothing else: they are still open, or came to their
end with the process. It goes from one to the next in the index."""

OF_A_BODY = (
    "exists (select 1 from flows where req_body = bodies.key)",
    "exists (select 1 from flows where resp_body = bodies.key)",
    "exists (select 1 from messages where body = bodies.key)",
)


class Pruner:
    """The capture at `path`; every step opens it for itself, so that one that was replaced is noticed, and raises
    `HeadgateError`: then nothing of the step has happened. `decode` is for the words of the index."""

    def __init__(self, path: Path, decode: Decode, patience: float = PATIENCE) -> None:
        self._path, self._decode, self._patience = path, decode, patience

    def room(self) -> Room:
        with opened(self._path, self._patience) as connection:
            return room(connection)

    def due(self, before: float) -> int:
        """How many flows ended before."""
        with opened(self._path, self._patience) as connection:
            sql = f"select count(*) from flows where {ENDED}"  # noqa: S608 - our own condition
            return int(connection.execute(sql, {"before": before}).fetchone()[0])

    def flows(self) -> int:
        """About how many flows there are: they are numbered, and it is the oldest that go."""
        with opened(self._path, self._patience) as connection:
            (count,) = connection.execute("select coalesce(max(id) - min(id) + 1, 0) from flows").fetchone()
            return int(count)

    def step(self, retention: Retention, now: float, most: int = STEP) -> Pruned | None:
        """Do what is due next; None when nothing is. Space that cannot be given back is not due."""
        with opened(self._path, self._patience) as connection:
            before = None if retention.age is None else now - retention.age
            aged = before is not None and _aged(connection, before)
            step = next_step(retention, now, room(connection), most, aged=aged)
            if step is None:
                return None
            if step.most:
                return self._delete(connection, step) or None
            return _give_back(connection)

    def settle(self) -> bool:
        """Cut off the write-ahead log, in which the file's former contents may stand; False while somebody reads."""
        with opened(self._path, self._patience) as connection:
            return truncate_log(connection)

    def _delete(self, connection: sqlite3.Connection, step: Step) -> Pruned:
        with immediate(connection):
            flows, before = _chosen(connection, step)
            if gone := _delete_lonely(connection, before):
                return gone
            decisions = [row["id"] for row in rows(connection, "select id from decisions where flow in ({})", flows)]
            if gone := _delete_messages(connection, decisions, f"and n >= {MOST_MESSAGES} limit {STEP_MESSAGES}"):
                return gone
            forget(connection, flows, self._decode)
            pruned = _delete_flows(connection, flows, decisions)
            step_back(connection)
            return pruned


def _aged(connection: sqlite3.Connection, before: float) -> bool:
    flow = connection.execute(DUE, {"before": before, "most": 1}).fetchone()
    return flow is not None or bool(_lonely(connection, before))


def _chosen(connection: sqlite3.Connection, step: Step) -> tuple[list[int], float | None]:
    """The flows that a step takes, no more than are enough for one, and the time before which anything else goes."""
    sql, values = (OLDEST if step.before is None else DUE), {"before": step.before, "most": step.most}
    flows, size, messages, before = list[int](), 0, 0, step.before
    for row in connection.execute(sql, values).fetchall():
        if step.before is None and size >= step.excess:
            break
        size += row["bytes"] + ROW_BYTES
        messages += _count_messages(connection, row["id"])
        if flows and (size > STEP_BYTES or messages > STEP_MESSAGES):
            break
        flows.append(row["id"])
        before = before or row["ts_start"]
    return flows, before


def _count_messages(connection: sqlite3.Connection, flow: int) -> int:
    sql = "select 1 from decisions d join messages m on m.decision = d.id where d.flow = ? limit ?"
    return len(connection.execute(sql, [flow, STEP_MESSAGES]).fetchall())


def _lonely(connection: sqlite3.Connection, before: float | None) -> list[str]:
    """Decisions with messages from before and nothing else; `before`: None for any time."""
    last = "~" if before is None else ulid(max(0, int(before * 1000)), 0)
    values = {"before": before if before is not None else float("inf"), "last": last}
    return [row["decision"] for row in connection.execute(LONELY, values)]


def _delete_lonely(connection: sqlite3.Connection, before: float | None) -> Pruned:
    time = "" if before is None else f"and time < {before!r}"
    return _delete_messages(connection, _lonely(connection, before), f"{time} limit {STEP_MESSAGES}")


def _delete_messages(connection: sqlite3.Connection, decisions: Iterable[str], rest: str = "") -> Pruned:
    """Delete the messages of these decisions of which `rest` holds, and their bodies."""
    sql = f"select id, body from messages where decision in ({{}}) {rest}"  # noqa: S608 - `rest` holds numbers
    found = rows(connection, sql, decisions)
    run(connection, "delete from messages where id in ({})", [row["id"] for row in found])
    bodies = delete_bodies(connection, (row["body"] for row in found))
    return Pruned(messages=len(found), bodies=bodies)


def _delete_flows(connection: sqlite3.Connection, flows: list[int], decisions: list[str]) -> Pruned:
    shared = rows(connection, "select req_body, resp_body, principal_key from flows where id in ({})", flows)
    rulesets = {
        row["ruleset"] for row in rows(connection, "select distinct ruleset from decisions where flow in ({})", flows)
    }
    pruned = _delete_messages(connection, decisions)
    run(connection, "delete from masks where decision in ({})", decisions)
    run(connection, "delete from decisions where flow in ({})", flows)
    run(connection, "delete from rescrubbed where flow in ({})", flows)
    run(connection, "delete from originals where flow in ({})", flows)
    count = run(connection, "delete from flows where id in ({})", flows)
    bodies = delete_bodies(connection, (row[name] for row in shared for name in ("req_body", "resp_body")))
    run(
        connection,
        "delete from principals where key in ({}) "
        "and not exists (select 1 from flows where principal_key = principals.key)",
        {row["principal_key"] for row in shared} - {None},
    )
    run(
        connection,
        "delete from rulesets where sha256 in ({}) "
        "and not exists (select 1 from decisions where ruleset = rulesets.sha256)",
        rulesets - {None},
    )
    return pruned + Pruned(count, 0, bodies)


def delete_bodies(connection: sqlite3.Connection, keys: Iterable[str | None]) -> int:
    """Delete those of these bodies to which nothing refers, in the transaction at hand."""
    unused = " and ".join(f"not {used}" for used in OF_A_BODY)
    sql = f"delete from bodies where key in ({{}}) and {unused}"  # noqa: S608 - our own conditions
    return run(connection, sql, {key for key in keys if key})


def _give_back(connection: sqlite3.Connection) -> Pruned | None:
    """Give free pages back to the system; None when that does not make the file smaller."""
    before = room(connection).file
    connection.execute(f"pragma incremental_vacuum({STEP_PAGES})").fetchall()
    after = room(connection).file
    connection.execute("pragma wal_checkpoint(passive)").fetchall()
    return Pruned() if after < before else None
