"""A record as rows.

Runs in the writer's thread. It takes whatever bytes a peer sent: text that is not UTF-8, lone surrogates and NUL
become visible escapes in columns that people read; header fields keep every byte (surrogateescape, in JSON).
"""

import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any
from urllib.parse import unquote_plus

from headgate.capture.connection import connection_json
from headgate.capture.key import keyed
from headgate.capture.record import UNJUDGED, Fields, Message, Mode, Record
from headgate.capture.spoken import Spoken
from headgate.capture.tables import (
    BodyRow,
    DecisionRow,
    FlowRow,
    MaskRow,
    MessageRow,
    PrincipalRow,
    Rows,
    RulesetRow,
    SpokenRows,
)
from headgate.match.pointers import MAPPINGS, lookup, pointer
from headgate.model import BundleRef, Decision, Effect, Principal, RuleRef

SMALL = 1024
"""Bodies up to this size are kept as they are: the tables stay readable, little would be won, and whoever compresses
gives up the interpreter's lock each time, for which the event loop then has to wait its turn."""


NONE = "[]"

HIDDEN = "[redacted]"
_NAME = re.compile(r"[A-Za-z_.$-]{0,40}|(?!(?:[^0-9]*[0-9]){6})[A-Za-z0-9_.$-]{0,15}")
"""What no shipped detection finds anything in: words, and short names with few digits."""

UNDECIDED = Decision(Effect.DENY, UNJUDGED)


def _plainly(value: object) -> object:
    return dict(value) if isinstance(value, MAPPINGS) else str(value)


to_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), default=_plainly).encode
quoted = encode_basestring_ascii
"""A JSON string; what is written for every flow is put together from these, in a third of the time."""


def rows_of(record: Record, key: bytes, nearest: str | None = None, original: bytes | None = None) -> Rows:
    """The rows of `record`, bodies and principal under their keyed hashes; `nearest` is the nearest allow as JSON, and
    `original` is sealed."""
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
        original,
    )


def spoken_rows_of(spoken: Spoken, key: bytes) -> SpokenRows:
    body = _packed(spoken.kept, key) if spoken.kept else None
    return SpokenRows(
        body,
        MessageRow(
            spoken.decision_id,
            spoken.flow_id,
            spoken.n,
            spoken.time,
            int(spoken.from_client),
            spoken.kind,
            body.key if body else None,
            spoken.size,
            int(spoken.truncated),
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
        _list_json(query_names(readable(query))) if query else NONE,
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
        record.kind,
        connection_json(record.connection, line.host) if record.connection else None,
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
        _numbers_json(record.stage_us),
        record.mode_of_decision,
        _refs_json(said.shadow),
        said.shadow_effect,
        _list_json(said.errors),
        to_json([asdict(use) for use in said.limits]) if said.limits else NONE,
        _list_json(tuple(map(_place, said.violations))),
        plain(nearest) if nearest else None,
        record.trace_id,
        record.trace_link,
        None if record.signals is None else _list_json(tuple(map(plain, sorted(record.signals)))),
        record.approval_id,
    )


def _place(pointer_text: str) -> str:
    """Where a description was not kept to, without names that may be values: a caller chooses some of them."""
    return "/".join(step if _NAME.fullmatch(step) else HIDDEN for step in pointer_text.split("/"))


@lru_cache(maxsize=4096)
def _refs_json(rules: tuple[RuleRef, ...]) -> str:
    if not rules:
        return NONE
    return to_json([{"id": r.id, "effect": r.effect, "file": r.file, "line": r.line} for r in rules])


def _list_json(texts: Sequence[str]) -> str:
    return f"[{','.join(map(quoted, texts))}]" if texts else NONE


def _numbers_json(numbers: Mapping[str, int]) -> str:
    return f"{{{','.join([f'{quoted(name)}:{number}' for name, number in numbers.items()])}}}"


def _body_row(message: Message, key: bytes) -> BodyRow | None:
    if not message.body:
        return None
    coded = any(field.lower() == b"content-encoding" for field, _ in message.headers)
    return _packed(message.body, key, compress=not coded)


def _packed(data: bytes, key: bytes, *, compress: bool = True) -> BodyRow:
    name = keyed(key, data)
    if compress and len(data) > SMALL:
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
        to_json(recorded_claims(principal.claims, claims)),
        principal.expires_at,
    )
    return row._replace(key=keyed(key, to_json(row[1:]).encode()))


def recorded_claims(claims: Mapping[str, Any], pointers: tuple[str, ...]) -> dict[str, Any]:
    """The claims at these JSON Pointers (RFC 6901); null says that there is none. Nothing is said of what lies below
    one that is no object: it would have no place."""
    found: dict[str, Any] = {}
    for text in sorted(pointers):
        parents = (found[above] for above in found if text.startswith(f"{above}/"))
        if all(isinstance(value, MAPPINGS) for value in parents):
            found[text] = lookup(claims, pointer(text))
    return found


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
    pairs = [
        f"[{quoted(name.decode('utf-8', 'surrogateescape'))},{quoted(value.decode('utf-8', 'surrogateescape'))}]"
        for name, value in fields
    ]
    return f"[{','.join(pairs)}]"
