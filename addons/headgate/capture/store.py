"""Reading a capture, also while a proxy writes it and after one has crashed.

The file is data from elsewhere: it is opened read-only, with `trusted_schema` off, only its tables are asked, and
nothing in it can make this unpack more than a record may hold.
"""

import json
import sqlite3
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from headgate.capture.entries import Entry, Filter, Recorded, Summary
from headgate.capture.faults import cause
from headgate.capture.record import MAX_BODY
from headgate.capture.schema import unapplied
from headgate.errors import HeadgateError
from headgate.model import ulid

__all__ = ["Entry", "Filter", "Recorded", "Store", "Summary", "listing"]

SUMMARY = """
select d.id as decision_id, f.flow_id, f.ts_start as time, f.ts_end as ended, f.principal, p.kind, f.method, f.scheme,
  f.host, f.port, f.path, f.query, f.status, d.effect, d.mode, d.reason, d.rule, d.refusal, d.refusal_reason, d.masked,
  f.error
from decisions d join flows f on f.id = d.flow left join principals p on p.key = f.principal_key
"""
DETAILS = """
select f.*, p.kind, p.provider, p.owner, p.person, p.email, p.groups, p.environments, p.audiences, p.workload,
  p.session_id, p.session, p.claims, d.target, d.environment, d.rules, d.stage_us,
  d.shadow, d.shadow_effect, d.errors, d.limits, d.violations, d.nearest, d.trace_id, d.trace_link,
  r.name as bundle_name, r.version as bundle_version, r.sha256 as bundle_sha256
from decisions d join flows f on f.id = d.flow left join principals p on p.key = f.principal_key
  left join rulesets r on r.sha256 = d.ruleset
where d.id = ?
"""
MATCHING = """
select id from decisions where id >= :upper and id < :upper || '~'
union select d.id from flows f join decisions d on d.flow = f.id
  where f.flow_id >= :lower and f.flow_id < :lower || '~'
limit 6
"""
ANSWERED = """
from decisions d join flows f on f.id = d.flow
where d.id > ? and (d.refusal is null or d.refusal = 'withheld') and f.status is not null and f.error is null
"""
PAGE = 500
"""Flows that are read at once: a reader that holds a capture open for long keeps its write-ahead log growing."""


class Store:
    """The capture in the folder `state`; every method opens the file for itself, and raises `HeadgateError`."""

    def __init__(self, state: Path) -> None:
        self.path = state / "capture.db"

    def summaries(self, wanted: Filter, limit: int) -> list[Summary]:
        """The newest first, at most `limit`."""
        sql, values = listing(wanted)
        with self._reading() as connection:
            return [Summary(**row) for row in connection.execute(sql, [*values, limit])]

    def entry(self, name: str) -> Entry:
        """The flow with this flow id or decision id, or the only one whose id begins so."""
        with self._reading() as connection:
            return _entry(connection, _resolve(connection, name))

    def answered(self, since: float | None = None, *, bodies: bool = False) -> Iterator[Entry]:
        """Every flow that reached its upstream and was answered, the oldest first; with bodies only if asked for them.

        What is recorded while this goes on comes, too.
        """
        last = _before(since)
        while page := self._page(last, bodies):
            yield from page
            last = page[-1].summary.decision_id

    def count_answered(self, since: float | None = None) -> int:
        with self._reading() as connection:
            return int(connection.execute(f"select count(*) {ANSWERED}", [_before(since)]).fetchone()[0])

    def _page(self, last: str, bodies: bool) -> list[Entry]:
        sql = f"select d.id {ANSWERED} order by d.id limit ?"
        with self._reading() as connection:
            ids = [row["id"] for row in connection.execute(sql, [last, PAGE]).fetchall()]
            return [_entry(connection, one, bodies=bodies) for one in ids]

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        if not self.path.is_file():
            raise HeadgateError(f"there is no capture at `{self.path}`: name the state folder of a proxy that ran")
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("pragma trusted_schema = off")
                connection.execute("pragma cell_size_check = on")
                if unapplied(connection, self.path):
                    raise HeadgateError(f"`{self.path}` is from an older Headgate: start the proxy once to bring it up")
                connection.row_factory = sqlite3.Row
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise HeadgateError(f"the capture `{self.path}` cannot be read: {cause(error)}") from None


def listing(wanted: Filter) -> tuple[str, list[object]]:
    """The query for `wanted`, whose last value is the limit; by the time that the index in question is sorted by."""
    conditions, values = _conditions(wanted)
    where = f"where {' and '.join(conditions)}" if conditions else ""
    order = "d.id" if wanted.principal is None and wanted.host is None else "f.ts_start"
    return f"{SUMMARY} {where} order by {order} desc limit ?", values


def _conditions(wanted: Filter) -> tuple[list[str], list[object]]:
    chosen: list[tuple[str, list[object]]] = []
    if wanted.principal is not None:
        chosen.append(("f.principal = ?", [wanted.principal]))
    if wanted.host is not None:
        chosen.append(("f.host glob ?" if "*" in wanted.host else "f.host = ?", [_glob(wanted.host)]))
    if wanted.effect is not None:
        chosen.append(("d.effect = ?", [wanted.effect]))
    if wanted.reason is not None:
        chosen.append(("(d.reason = ? or d.refusal_reason = ?)", [wanted.reason, wanted.reason]))
    if wanted.refused:
        chosen.append(("(d.refusal is not null or (d.effect <> 'allow' and d.mode <> 'observe'))", []))
    if wanted.since is not None:
        chosen.append(("d.id >= ?", [ulid(max(0, int(wanted.since * 1000)), 0)]))
    return [condition for condition, _ in chosen], [value for _, values in chosen for value in values]


def _glob(host: str) -> str:
    """A host as SQLite's GLOB takes it: only `*` is special."""
    return host.lower().replace("[", "[[]").replace("?", "[?]") if "*" in host else host.lower()


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


def _before(since: float | None) -> str:
    """What every decision id from `since` on comes after."""
    return "" if since is None else ulid(max(0, int(since * 1000)), 0)


def _entry(connection: sqlite3.Connection, decision_id: str, *, bodies: bool = True) -> Entry:
    summary = Summary(**connection.execute(f"{SUMMARY} where d.id = ?", [decision_id]).fetchone())
    row = connection.execute(DETAILS, [decision_id]).fetchone()
    masks = connection.execute(
        "select location, entity, operator, times as count from masks where decision = ? order by id", [decision_id]
    )
    bundle = {"name": row["bundle_name"], "version": row["bundle_version"], "sha256": row["bundle_sha256"]}
    return Entry(
        summary,
        row["mode"],
        row["source"],
        _principal(row) if row["principal_key"] else None,
        bundle if row["bundle_sha256"] else None,
        row["target"],
        row["environment"],
        _parsed(row["query_names"], []),
        _parsed(row["rules"], []),
        [dict(mask) for mask in masks],
        _parsed(row["stage_us"], {}),
        _parsed(row["shadow"], []),
        row["shadow_effect"],
        _parsed(row["errors"], []),
        _parsed(row["limits"], []),
        _parsed(row["violations"], []),
        _parsed(row["nearest"], None),
        row["trace_id"],
        row["trace_link"],
        _parsed(row["session"], {}).get("issued_at"),
        _recorded(connection, row, "req", bodies=bodies),
        _recorded(connection, row, "resp", bodies=bodies) if row["resp_size"] is not None else None,
    )


def _principal(row: sqlite3.Row) -> dict[str, Any]:
    session = _parsed(row["session"], {})
    return {
        "id": row["principal"],
        **{name: row[name] for name in ("kind", "provider", "owner", "person", "email")},
        "groups": _parsed(row["groups"], []),
        "environment": _parsed(row["environments"], []),
        "audiences": _parsed(row["audiences"], []),
        "workload": _parsed(row["workload"], {}),
        "session_id": row["session_id"],
        "scopes": session.get("scopes", []),
        "claims": _parsed(row["claims"], {}),
    }


def _recorded(connection: sqlite3.Connection, row: sqlite3.Row, side: str, *, bodies: bool) -> Recorded:
    headers = _parsed(row[f"{side}_headers"], None)
    key = row[f"{side}_body"] if bodies else None
    found = key and connection.execute("select codec, data from bodies where key = ?", [key]).fetchone()
    return Recorded(
        tuple((name, value) for name, value in headers) if headers is not None else None,
        _unpacked(found["codec"], found["data"]) if found else b"",
        row[f"{side}_size"],
        bool(row[f"{side}_truncated"]),
    )


def _unpacked(codec: str, data: bytes) -> bytes:
    if codec == "identity":
        return data
    if codec != "zlib":
        raise HeadgateError("a recorded body has a codec that this version does not know")
    try:
        return zlib.decompressobj().decompress(data, MAX_BODY)
    except zlib.error:
        raise HeadgateError("a recorded body is damaged") from None


def _parsed(text: str | None, absent: Any) -> Any:
    if text is None:
        return absent
    try:
        return json.loads(text)
    except ValueError:
        raise HeadgateError("a recorded value is damaged: it is not JSON") from None
