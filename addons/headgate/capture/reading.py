"""One row of everything, made into an entry: what a flow, its decision, its caller and its bodies come to together.

Reading a capture from end to end takes one statement for a page of rows and one for their masks; what is worked out
here is paid for each flow. The row is data from elsewhere: nothing in it can make this unpack more than a record holds.
"""

import json
import zlib
from functools import lru_cache
from typing import Any, NamedTuple, cast

from headgate.capture.entries import Entry, Recorded, Summary
from headgate.capture.record import MAX_BODY
from headgate.errors import HeadgateError
from headgate.model import Effect


class Row(NamedTuple):
    """What is asked of the tables for an entry, in order: the fields of a `Summary` first."""

    decision_id: str
    flow_id: str
    time: float
    ended: float | None
    principal: str | None
    kind: str | None
    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str | None
    status: int | None
    effect: str
    mode: str
    reason: str
    rule: str | None
    refusal: str | None
    refusal_reason: str | None
    masked: int
    error: str | None
    flow_kind: str
    recorded_mode: str
    source: str | None
    query_names: str | None
    req_headers: str | None
    req_size: int | None
    req_truncated: int | None
    resp_headers: str | None
    resp_size: int | None
    resp_truncated: int | None
    connection: str | None
    principal_key: str | None
    provider: str | None
    owner: str | None
    person: str | None
    email: str | None
    groups: str | None
    environments: str | None
    audiences: str | None
    workload: str | None
    session_id: str | None
    session: str | None
    claims: str | None
    target: str | None
    environment: str | None
    rules: str
    stage_us: str | None
    shadow: str
    shadow_effect: str | None
    errors: str
    limits: str
    violations: str
    nearest: str | None
    trace_id: str | None
    trace_link: str | None
    signals: str | None
    approval_id: str | None
    http_version: str | None
    bundle_name: str | None
    bundle_version: str | None
    bundle_sha256: str | None
    sealed: int
    req_codec: str | None = None
    req_data: bytes | None = None
    resp_codec: str | None = None
    resp_data: bytes | None = None


SUMMARY = """
d.id as decision_id, f.flow_id, f.ts_start as time, f.ts_end as ended, f.principal, p.kind, f.method, f.scheme,
f.host, f.port, f.path, f.query, f.status, d.effect, d.mode, d.reason, d.rule, d.refusal, d.refusal_reason, d.masked,
f.error, f.kind as flow_kind
"""
DETAILS = f"""
{SUMMARY}, f.mode, f.source, f.query_names, f.req_headers, f.req_size, f.req_truncated,
f.resp_headers, f.resp_size, f.resp_truncated, f.connection, f.principal_key,
p.provider, p.owner, p.person, p.email, p.groups, p.environments, p.audiences, p.workload, p.session_id, p.session,
p.claims, d.target, d.environment, d.rules, d.stage_us, d.shadow, d.shadow_effect, d.errors, d.limits, d.violations,
d.nearest, d.trace_id, d.trace_link, d.signals, d.approval_id, f.http_version, r.name, r.version, r.sha256,
o.flow is not null
"""
BODIES = ", q.codec, q.data, a.codec, a.data"

FLOWS = "decisions d join flows f on f.id = d.flow left join principals p on p.key = f.principal_key"
WHOLE = f"{FLOWS} left join rulesets r on r.sha256 = d.ruleset left join originals o on o.flow = f.id"
WITH_BODIES = f"{WHOLE} left join bodies q on q.key = f.req_body left join bodies a on a.key = f.resp_body"

EFFECTS = frozenset(map(str, Effect))
RULE = frozenset({"id", "effect", "file", "line"})
DAMAGED = "what a recorded flow says of its rules is damaged"

_SUMMARY_WIDTH = len(Summary.__dataclass_fields__)


def select(*, bodies: bool) -> str:
    """The statement for `Row`, up to its conditions."""
    columns, tables = (DETAILS + BODIES, WITH_BODIES) if bodies else (DETAILS, WHOLE)
    return f"select {columns} from {tables}"  # noqa: S608 (our own names)


def entry_of(row: Row, masks: list[dict[str, Any]]) -> Entry:
    """HeadgateError for what no capture holds."""
    if row.effect not in EFFECTS or row.shadow_effect not in {*EFFECTS, None}:
        raise HeadgateError(DAMAGED)
    return Entry(
        Summary(*cast(Any, row[:_SUMMARY_WIDTH])),
        row.recorded_mode,
        row.source or "",
        _principal(row) if row.principal_key else None,
        _bundle(row) if row.bundle_sha256 else None,
        row.target,
        row.environment,
        _listed(row.query_names),
        _rules(row.rules),
        masks,
        _parsed(row.stage_us, {}),
        _rules(row.shadow),
        row.shadow_effect,
        _listed(row.errors),
        _listed(row.limits),
        _listed(row.violations),
        _parsed(row.nearest, None),
        row.trace_id,
        row.trace_link,
        _parsed(row.session, {}).get("issued_at"),
        _recorded(row.req_headers, row.req_codec, row.req_data, row.req_size, row.req_truncated),
        _recorded(row.resp_headers, row.resp_codec, row.resp_data, row.resp_size, row.resp_truncated)
        if row.resp_size is not None
        else None,
        row.flow_kind,
        _parsed(row.connection, None),
        _parsed(row.signals, None),
        bool(row.sealed),
        row.approval_id,
        row.http_version,
    )


def _bundle(row: Row) -> dict[str, Any]:
    return {"name": row.bundle_name, "version": row.bundle_version, "sha256": row.bundle_sha256}


def _principal(row: Row) -> dict[str, Any]:
    session = _parsed(row.session, {})
    return {
        "id": row.principal,
        "kind": row.kind,
        "provider": row.provider,
        "owner": row.owner,
        "person": row.person,
        "email": row.email,
        "groups": _listed(row.groups),
        "environment": _listed(row.environments),
        "audiences": _listed(row.audiences),
        "workload": _parsed(row.workload, {}),
        "session_id": row.session_id,
        "scopes": session.get("scopes", []),
        "claims": _parsed(row.claims, {}),
    }


def _recorded(
    headers: str | None, codec: str | None, data: bytes | None, size: int | None, cut: int | None
) -> Recorded:
    return Recorded(
        None if headers is None else _header_fields(headers),
        unpacked(codec, data) if codec is not None and data is not None else b"",
        size or 0,
        bool(cut),
    )


@lru_cache(maxsize=1024)
def _header_fields(text: str) -> tuple[tuple[str, str], ...]:
    """What one caller sends with each of its requests is mostly the same."""
    return tuple((name, value) for name, value in _parsed(text, []))


def unpacked(codec: str, data: bytes) -> bytes:
    if codec == "identity":
        return data
    if codec != "zlib":
        raise HeadgateError("a recorded body has a codec that this version does not know")
    try:
        return zlib.decompressobj().decompress(data, MAX_BODY)
    except zlib.error:
        raise HeadgateError("a recorded body is damaged") from None


def _rules(text: str | None) -> list[dict[str, Any]]:
    """Rules as they were recorded: whoever shows or replays them counts on what each has."""
    found = _listed(text)
    if all(isinstance(rule, dict) and rule.keys() >= RULE and rule["effect"] in EFFECTS for rule in found):
        return found
    raise HeadgateError(DAMAGED)


def _listed(text: str | None) -> list[Any]:
    if text is None or text == "[]":
        return []
    found: list[Any] = _parsed(text, [])
    return found


def _parsed(text: str | None, absent: Any) -> Any:
    if text is None:
        return absent
    try:
        return json.loads(text)
    except ValueError:
        raise HeadgateError("a recorded value is damaged: it is not JSON") from None
