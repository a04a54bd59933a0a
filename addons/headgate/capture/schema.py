"""The tables of capture.db: what each holds, how a file comes to have them.

Whoever opens the file with sqlite3, sqlite-utils or Datasette finds tables with foreign keys, and views with ISO times
(readable.py). A flow is what travelled; a decision says what was decided about it and what came of it; messages are
what a WebSocket or a TCP flow said; bodies, principals and rulesets are kept once. Changes are migrations that commit
with their record, so that a file has either all of one or nothing; a file from a later version is refused, not guessed
at.
"""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database, Migrations

from headgate import schema
from headgate.capture.readable import BODIES, FLOWS, MESSAGES
from headgate.errors import HeadgateError

MIGRATIONS = Migrations("headgate-capture")

CACHE = 32 * 1024 * 1024
"""Bytes of pages kept at hand: bodies and flow ids are random, so that each group touches pages all over the file."""

CHECKPOINT = 8000
"""Pages of the write-ahead log at which it is brought into the file: one written ten times is copied once."""

WAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the write-ahead log is cut back after a reader has held it open."""

LARGEST_COPY = 256 * 1024 * 1024
"""Bytes up to which an older capture is read from a copy in memory."""

REFUSED = "(refusal is not null or (effect <> 'allow' and mode = 'enforce'))"
"""Which decisions let nothing pass; listing.py asks in the same words."""

TITLE = "method || ' ' || host || ifnull(path, '')"
"""What Datasette shows in place of a flow's number: it takes a column named `title` for the label."""


@MIGRATIONS()
def m001_flows(db: Database) -> None:
    db.table("meta").create({"key": str, "value": str}, pk="key", not_null={"value"})
    _create_parts(db)
    _create_flows(db)
    _create_decisions(db)
    db.create_view("flows_readable", "select id as flow from flows")  # until the last migration that replaces it
    db.create_view("bodies_readable", BODIES)


@MIGRATIONS()
def m002_what_decisions_say(db: Database) -> None:
    """What is decided in shadow and in observe mode, by limits and by descriptions of requests; the nearest allow."""
    decisions = db.table("decisions")
    decisions.add_column("mode", str, not_null_default="enforce")  # or observe: recorded, not enforced
    decisions.add_column("shadow", str, not_null_default="[]")  # JSON, as `rules`: those in shadow mode that apply
    decisions.add_column("shadow_effect", str)  # what the answer would be with them; null: no other
    decisions.add_column("errors", str, not_null_default="[]")  # JSON: ids of rules whose `when` failed
    decisions.add_column("limits", str, not_null_default="[]")  # JSON: [{"id", "remaining", "exhausted", "enforced"}]
    decisions.add_column("violations", str, not_null_default="[]")  # JSON: pointers to what a description refuses
    decisions.add_column("nearest", str)  # JSON: {"rule", "failing"}, for a refusal because no rule allows
    decisions.add_column("trace_id", str)
    decisions.add_column("trace_link", str)  # the trace that a caller who is not trusted has named


@MIGRATIONS()
def m003_more_than_one_exchange_says(db: Database) -> None:
    """Connections, messages, sealed originals, and what is needed to decide a recorded request again."""
    flows, decisions = db.table("flows"), db.table("decisions")
    flows.add_column("kind", str, not_null_default="http")  # or websocket, tcp
    flows.add_column("connection", str)  # JSON: {"client": {...}, "upstream": {...}, "times": {...}}
    db.execute(f"alter table flows add column title text generated always as ({TITLE}) virtual")
    decisions.add_column("signals", str)  # JSON: those set when the request came; null: unknown
    decisions.add_column("approval_id", str)
    _create_messages(db)
    originals = db.table("originals")  # only with headgate_capture=sealed
    originals.create({"flow": int, "data": bytes}, pk="flow", foreign_keys=[("flow", "flows", "id")], not_null={"data"})
    for column in ("req_body", "resp_body"):  # before a body is removed, its last flow has to be
        db.execute(f"create index idx_flows_{column} on flows({column}) where {column} is not null")
    db.execute("drop view flows_readable")
    db.create_view("flows_readable", FLOWS)
    db.create_view("messages_readable", MESSAGES)


@MIGRATIONS()
def m004_large_captures(db: Database) -> None:
    """What a million flows are listed by and cleared away along; which of them were masked again, and by what."""
    db.execute("drop index idx_flows_host_path")  # which nothing asked for, and every flow paid for
    db.execute("create index idx_flows_principal_key on flows(principal_key) where principal_key is not null")
    db.execute(
        "create index idx_decisions_refusal_reason on decisions(refusal_reason, id) where refusal_reason is not null"
    )
    db.execute(f"create index idx_decisions_refused on decisions(id) where {REFUSED}")
    db.execute("alter table principals add column title text generated always as (id || ' (' || kind || ')') virtual")
    rescrubbed = db.table("rescrubbed")
    rescrubbed.create(
        {"flow": int, "ruleset": str, "plan": str, "time": float},  # the masks that were due, as a keyed hash
        pk=("flow", "plan"),
        foreign_keys=[("flow", "flows", "id")],
        not_null={"ruleset", "time"},
    )


def _create_messages(db: Database) -> None:
    """Written while a connection is open, so that the decision they belong to may come after them, or not at all."""
    columns: dict[str, type] = {
        "id": int,
        "decision": str,
        "flow_id": str,
        "n": int,  # counts from 0 within the flow
        "time": float,
        "from_client": int,
        "kind": str,  # text or binary
        "body": str,
        "size": int,
        "truncated": int,
    }
    messages = db.table("messages")
    messages.create(columns, pk="id", foreign_keys=[("body", "bodies", "key")], not_null=set(columns) - {"id", "body"})
    messages.create_index(["decision", "n"], unique=True)
    messages.create_index(["body"])


def _create_parts(db: Database) -> None:
    """What many flows share: each kept once, under a hash."""
    db.table("rulesets").create({"sha256": str, "name": str, "version": str}, pk="sha256")
    db.table("bodies").create(
        {"key": str, "size": int, "codec": str, "data": bytes}, pk="key", not_null={"size", "codec", "data"}
    )
    text = ("key", "id", "kind", "provider", "owner", "person", "email", "groups", "environments", "audiences")
    more = ("workload", "session_id", "session", "claims")
    columns: dict[str, type] = dict.fromkeys(text + more, str)
    principals = db.table("principals")
    principals.create({**columns, "expires_at": float}, pk="key", not_null={"id", "kind", "provider"})
    principals.create_index(["id"])
    principals.create_index(["session_id"])


def _create_flows(db: Database) -> None:
    columns: dict[str, type] = {
        "id": int,
        "flow_id": str,  # mitmproxy's; one that is replayed comes again under the same
        "ts_start": float,  # seconds since the epoch
        "ts_end": float,
        "mode": str,  # masked or metadata: how much was to be kept
        "source": str,
        "principal": str,
        "principal_key": str,
        **dict.fromkeys(("method", "scheme", "host"), str),
        "port": int,
        **dict.fromkeys(("path", "query", "query_names", "http_version"), str),
        "status": int,  # what the caller got
        "req_headers": str,  # JSON: [[name, value], ...]
        "req_body": str,
        "req_size": int,  # of the whole body, also where it was not kept or only its beginning
        "req_truncated": int,
        "resp_headers": str,
        "resp_body": str,
        "resp_size": int,
        "resp_truncated": int,
        "error": str,
    }
    keys = [("principal_key", "principals", "key"), ("req_body", "bodies", "key"), ("resp_body", "bodies", "key")]
    flows = db.table("flows")
    flows.create(columns, pk="id", foreign_keys=keys, not_null={"flow_id", "ts_start", "mode", "method", "host"})
    for index in (["flow_id"], ["ts_start"], ["host", "path"], ["host", "ts_start"], ["principal", "ts_start"]):
        flows.create_index(index)


def _create_decisions(db: Database) -> None:
    columns: dict[str, type] = {
        "id": str,  # the decision id that the caller was told: a ULID, so that ids sort by time
        "flow": int,
        "ruleset": str,
        "target": str,
        "environment": str,
        "effect": str,  # allow, approve, deny: what policy said
        "reason": str,
        "rule": str,  # the first of `rules`
        "rules": str,  # JSON: [{"id", "effect", "file", "line"}, ...]
        "refusal": str,  # null: released; else denied, unauthenticated, withheld, ...
        "refusal_reason": str,
        "masked": int,  # how many values were masked
        "stage_us": str,  # JSON: microseconds of each stage
    }
    keys = [("flow", "flows", "id"), ("ruleset", "rulesets", "sha256")]
    decisions = db.table("decisions")
    decisions.create(columns, pk="id", foreign_keys=keys, not_null={"flow", "effect", "reason"})
    for index in (["flow"], ["effect", "id"], ["reason", "id"], ["rule", "id"]):  # by id: the newest first, unsorted
        decisions.create_index(index)
    masks = db.table("masks")
    masks.create(
        {"id": int, "decision": str, "location": str, "entity": str, "operator": str, "times": int},
        pk="id",
        foreign_keys=[("decision", "decisions", "id")],
        not_null={"decision", "location", "entity", "operator", "times"},
    )
    masks.create_index(["decision"])
    masks.create_index(["entity"])


def connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """Open the capture for writing, with all its tables; raises sqlite3.Error, OSError or `HeadgateError`."""
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    lacking = unapplied(connection, path)  # first of all: a file that is not ours stays as it is
    connection.execute("pragma auto_vacuum = incremental")  # only before the first table; retention gives space back
    for pragma in ("journal_mode = wal", "synchronous = normal", "foreign_keys = on", "trusted_schema = off"):
        connection.execute(f"pragma {pragma}")
    connection.execute(f"pragma journal_size_limit = {WAL_LIMIT}")
    connection.execute(f"pragma cache_size = -{CACHE // 1024}")
    connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT}")
    if lacking:
        schema.migrate(connection, MIGRATIONS)


def unapplied(connection: sqlite3.Connection, path: Path) -> frozenset[str]:
    """The migrations that the file lacks; raises `HeadgateError` for a file that is no capture or a newer one."""
    return schema.unapplied(connection, path, MIGRATIONS, "a capture or no file")


@contextmanager
def brought_up(connection: sqlite3.Connection, path: Path) -> Generator[sqlite3.Connection]:
    """The capture with all its tables, for reading: one that is older and small, such as flows that were saved for
    tests, is brought up as a copy in memory; HeadgateError for a large one."""
    lacking = unapplied(connection, path)
    if not lacking:
        yield connection
        return
    (size,) = connection.execute("select page_count * page_size from pragma_page_count, pragma_page_size").fetchone()
    if "m001_flows" in lacking or size > LARGEST_COPY:
        raise HeadgateError(f"`{path}` is from an older Headgate: start the proxy once to bring it up")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        copy.execute("pragma trusted_schema = off")
        connection.backup(copy)
        schema.migrate(copy, MIGRATIONS)
        yield copy


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path`: SQLite goes on writing to one that was deleted or replaced, and says nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
