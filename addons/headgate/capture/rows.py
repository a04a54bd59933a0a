"""A record as rows.

Runs in the writer's thread. It takes whatever bytes a peer sent: text that is not UTF-8, lone surrogates and NUL
become visible escapes in columns that people read; header fields keep every byte (surrogateescape, in JSON).
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from headgate.capture.key import keyed
from headgate.capture.record import UNJUDGED, Fields, Message, Mode, Record
from headgate.capture.tables import BodyRow, DecisionRow, FlowRow, MaskRow, PrincipalRow, Rows, RulesetRow
from headgate.model import BundleRef, Decision, Effect, Principal, RuleRef

SMALL = 256
"""Bodies up to this size are kept as they are: the tables stay readable and little would be won."""


NONE = "[]"

UNDECIDED = Decision(Effect.DENY, UNJUDGED)

to_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), default=str).encode


def rows_of(record: Record, key: bytes, nearest: str | None = None) -> Rows:
    """The rows of `record`, bodies and principal under their keyed hashes; `nearest` is the nearest allow as JSON."""
    principal = _principal_row(record.principal, record.claims, key) if record.principal else None
    request = _body_row(record.request, key)
    response = _body_row(record.response, key) if record.response else None
    return Rows(
        principal,
        _ruleset_row(record.bundle) if record.bundle else None,
        tuple(body for body in (request, response) if body),
        _flow_row(record, principal, request, response),
        _decision_row(record, nearest),
        tuple(
            MaskRow(record.decision_id, plain(mask.location), mask.entity, mask.operator, mask.count)
            for mask in record.masks
        ),
    )


def _flow_row(
    record: Record, principal: PrincipalRow | None, request: BodyRow | None, response: BodyRow | None
) -> FlowRow:
    line, sent, got, full = record.line, record.request, record.response, record.mode is Mode.MASKED
    path, _, query = line.target.partition(b"?")
    return FlowRow(
        record.flow_id,
        record.started,
        record.ended,
        record.mode,
        record.source,
        principal.id if principal else None,
        principal.key if principal else None,
        readable(line.method),
        line.scheme,
        plain(line.host),
        line.port,
        readable(path),
        readable(query) if full else None,
        to_json(query_names(readable(query))),
        readable(line.version),
        record.status,
        _header_json(sent.headers) if full else None,
        request.key if request else None,
        sent.size,
        int(full and sent.size > len(sent.body)),
        _header_json(got.headers) if full and got else None,
        response.key if response else None,
        got.size if got else None,
        int(full and got is not None and got.size > len(got.body)),
        record.error,
    )


def _decision_row(record: Record, nearest: str | None) -> DecisionRow:
    said = record.decision or UNDECIDED
    rules, refusal, target = said.rules, record.refusal, record.target
    return DecisionRow(
        record.decision_id,
        record.bundle.sha256 if record.bundle else None,
        target.name if target else None,
        target.environment if target else None,
        record.effect,
        record.reason,
        rules[0].id if rules else None,
        _refs_json(rules),
        refusal.slug if refusal else None,
        refusal.reason if refusal else None,
        sum(mask.count for mask in record.masks),
        to_json(record.stage_us),
        record.mode_of_decision,
        _refs_json(said.shadow),
        said.shadow_effect,
        _list_json(said.errors),
        to_json([asdict(use) for use in said.limits]) if said.limits else NONE,
        _list_json(tuple(map(plain, said.violations))),
        plain(nearest) if nearest else None,
        record.trace_id,
        record.trace_link,
    )


def _refs_json(rules: tuple[RuleRef, ...]) -> str:
    if not rules:
        return NONE
    return to_json([{"id": r.id, "effect": r.effect, "file": r.file, "line": r.line} for r in rules])


def _list_json(texts: tuple[str, ...]) -> str:
    return to_json(texts) if texts else NONE


def _body_row(message: Message, key: bytes) -> BodyRow | None:
    data = message.body
    if not data:
        return None
    name = keyed(key, data)
    if len(data) > SMALL and not any(field.lower() == b"content-encoding" for field, _ in message.headers):
        packed = zlib.compress(data, 1)
        if len(packed) < len(data) * 0.9:
            return BodyRow(name, len(data), "zlib", packed)
    return BodyRow(name, len(data), "identity", data)


@lru_cache(maxsize=64)
def _ruleset_row(bundle: BundleRef) -> RulesetRow:
    return RulesetRow(bundle.sha256, bundle.name, bundle.version)


CODE = ("name", "version", "commit", "digest", "workflow", "pod", "verified")
"""What of a workload is kept."""


@lru_cache(maxsize=4096)
def _principal_row(principal: Principal, claims: tuple[str, ...], key: bytes) -> PrincipalRow:
    workload, session = principal.workload, principal.session
    code = {name: getattr(workload, name) for name in CODE}
    row = PrincipalRow(
        "",
        plain(principal.id),
        principal.kind,
        plain(principal.provider),
        _plain_or_none(principal.owner),
        _plain_or_none(principal.person),
        _plain_or_none(principal.email),
        to_json(sorted(principal.groups)),
        to_json(sorted(principal.environments)),
        to_json(sorted(principal.audiences)),
        to_json(code),
        _plain_or_none(session.id),
        to_json({"scopes": sorted(session.scopes), "issued_at": session.issued_at}),
        to_json({pointer: value for pointer in claims if (value := claim(principal.claims, pointer)) is not None}),
        principal.expires_at,
    )
    return row._replace(key=keyed(key, to_json(row[1:]).encode()))


def claim(claims: Mapping[str, Any], pointer: str) -> Any:
    """The claim at a JSON Pointer (RFC 6901) into objects; None when there is none."""
    value: Any = claims
    for part in pointer.split("/")[1:]:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value


def query_names(query: str) -> list[str]:
    """The names in a query, each once, in order."""
    return list(dict.fromkeys(plain(unquote_plus(part.partition("=")[0])) for part in query.split("&") if part))


def readable(data: bytes) -> str:
    """Bytes of a request line as text, whatever they are."""
    return plain(data.decode("utf-8", "backslashreplace"))


def plain(text: str) -> str:
    """`text` as SQLite and its tools take it: no lone surrogate, no NUL."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00") if "\0" in text else text


def _plain_or_none(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _header_json(fields: Fields) -> str:
    return to_json(
        [[name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")] for name, value in fields]
    )
