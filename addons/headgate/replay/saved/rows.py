"""Flows for the test suite as rows: nothing of the machine, of the day, or of whom nobody needs to know.

What the rules can read stays: who called, from where, when, with which claims, signals and limits. What they cannot is
left out, or replaced by what is the same for the same content: ids, names of sessions, hashes that a key was part of,
times that something took, ports, traces.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from headgate.capture.record import Fields, Message
from headgate.capture.rows import plain, query_names, spoken_rows_of
from headgate.capture.spoken import Spoken
from headgate.capture.tables import BodyRow, DecisionRow, FlowRow, MaskRow, PrincipalRow, Rows, SpokenRows
from headgate.masking.scrub import shown_method
from headgate.model import ulid
from headgate.replay.foreign import stand_in
from headgate.replay.imported.scrubbing import Masked
from headgate.replay.saved.store import Copied

IDENTITY = "identity"
"""Bodies are kept as they are: what packs them differs from one zlib to the next."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A flow that is to be saved: its rows, what may be kept of what travelled, and what was masked when it did."""

    copied: Copied
    masked: Masked
    masks: tuple[tuple[str, str, str, int], ...]


def rows_of(chosen: Iterable[Chosen]) -> tuple[list[Rows], list[SpokenRows]]:
    """All rows, in the order in which they are written."""
    sessions: dict[str, str] = {}
    rows, spoken, met = list[Rows](), list[SpokenRows](), dict[str, int]()
    ordered = sorted(chosen, key=lambda one: (one.copied.flow.ts_start, _content(one)))
    for number, one in enumerate(ordered, 1):
        digest = _content(one)
        met[digest] = met.get(digest, 0) + 1
        flow_id = stand_in(f"{digest} {met[digest]}".encode())
        decision_id = ulid(max(0, int(one.copied.flow.ts_start * 1000)), number)
        rows.append(_rows(one, flow_id, decision_id, sessions))
        spoken += [_said(said, flow_id, decision_id) for said in one.masked.spoken]
    return rows, spoken


def _rows(one: Chosen, flow_id: str, decision_id: str, sessions: dict[str, str]) -> Rows:
    principal = _principal(one.copied.principal, sessions) if one.copied.principal else None
    request = _body(one.masked.request)
    response = _body(one.masked.response) if one.masked.response else None
    path, _, query = one.masked.target.decode("utf-8", "backslashreplace").partition("?")
    flow = one.copied.flow
    kept, sent = flow.req_headers is not None, one.masked.request
    return Rows(
        principal,
        one.copied.ruleset,
        tuple(body for body in (request, response) if body),
        flow._replace(
            flow_id=flow_id,
            ts_end=None,
            principal_key=principal.key if principal else None,
            method=plain(shown_method(flow.method.encode("utf-8", "backslashreplace")).decode()),
            path=path,
            query=query if kept and flow.query is not None else None,
            query_names=json.dumps(query_names(query), separators=(",", ":")),
            req_headers=_fields(one.masked.request.headers) if kept else None,
            req_body=request.key if request else None,
            req_truncated=int(kept and (bool(flow.req_truncated) or sent.size > len(sent.body))),
            resp_headers=_answered(one, flow),
            resp_body=response.key if response else None,
            connection=None,
        ),
        _decision(one.copied.decision, decision_id),
        tuple(MaskRow(decision_id, *mask) for mask in sorted(one.masks)),
    )


def _answered(one: Chosen, flow: FlowRow) -> str | None:
    answered = one.masked.response
    return _fields(answered.headers) if answered and flow.resp_headers is not None else None


def _decision(decision: DecisionRow, decision_id: str) -> DecisionRow:
    return decision._replace(
        id=decision_id, stage_us="{}", nearest=None, trace_id=None, trace_link=None, approval_id=None
    )


def _principal(principal: PrincipalRow, sessions: dict[str, str]) -> PrincipalRow:
    """With its session by number, in the order in which they come."""
    session = principal.session_id
    if session is not None:
        session = sessions.setdefault(f"{principal.provider} {session}", f"session-{len(sessions) + 1}")
    row = principal._replace(key="", session_id=session, expires_at=None)
    return row._replace(key=hashlib.sha256(json.dumps(row[1:]).encode()).hexdigest())


def _body(message: Message) -> BodyRow | None:
    if not message.body:
        return None
    return BodyRow(hashlib.sha256(message.body).hexdigest(), len(message.body), IDENTITY, message.body)


def _said(said: Spoken, flow_id: str, decision_id: str) -> SpokenRows:
    _, row = spoken_rows_of(said, b"")
    body = _body(Message(body=said.kept)) if said.kept else None
    return SpokenRows(body, row._replace(decision=decision_id, flow_id=flow_id, body=body.key if body else None))


def _fields(fields: Fields) -> str:
    pairs = [
        [name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")] for name, value in fields
    ]
    return json.dumps(pairs, separators=(",", ":"))


def _content(one: Chosen) -> str:
    """The hash of what travelled: of everything that is no id."""
    flow, masked = one.copied.flow, one.masked
    parts = [flow.ts_start, flow.method, flow.scheme, flow.host, flow.port, flow.principal, flow.status]
    parts += [masked.target.decode("latin-1"), _fields(masked.request.headers)]
    bodies = [masked.request.body, masked.response.body if masked.response else b""]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for body in bodies:
        digest.update(hashlib.sha256(body).digest())
    return digest.hexdigest()
