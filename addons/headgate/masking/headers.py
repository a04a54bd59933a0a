"""Masking of header fields, and their repair after a body has changed.

A value is read as UTF-8, and with its percent-encoding undone where it has one: an e-mail address in a `Location` is
found either way (`headervalues`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from headgate.masking.entities import SECRET, UNREAD
from headgate.masking.formats import Counts
from headgate.masking.headervalues import decoded, pieces, rewritten, united
from headgate.masking.operators import cuts, replacement
from headgate.masking.plan import Detect, Fields, Leaf, Operator, Plan, Span, strongest
from headgate.masking.tokens import FIELD
from headgate.model import Finding

OF_THE_BODY = frozenset(
    {b"accept-ranges", b"content-digest", b"content-encoding", b"content-md5", b"digest", b"etag", b"repr-digest"}
    | {b"signature", b"signature-input"}
)
"""Headers that vouch for the very bytes that have changed; a digest of what was masked could even be searched for."""

OWN_CREDENTIALS = frozenset({b"authentication-info", b"proxy-authenticate", b"set-cookie", b"www-authenticate"})
"""Headers by which an upstream gives the caller what he proves himself with next time."""

CACHING = frozenset({b"cache-control", b"cdn-cache-control", b"surrogate-control"})
NOT_CACHED = (b"Cache-Control", b"private, no-store")

NO_LEAF = Leaf("", "")
NAMES = "header"
"""The place of what is found in a name."""

_ODD_NAME = re.compile(rb"(?=\w*[0-9])\w{16}|\w{20}|(?:[0-9][^0-9]*){6}", re.ASCII)
"""Names that may be a key or a number; most headers have none, so that nothing is detected in them."""


class MaskedHeaders(NamedTuple):
    fields: Fields
    counts: Counts
    findings: tuple[Finding, ...]


def mask_headers(headers: Fields, plan: Plan, detect: Detect) -> MaskedHeaders:
    """Mask the fields that are named, then what is detected in others that hold values."""
    if not (plan.headers or plan.detect):
        return MaskedHeaders(headers, Counter(), ())
    headers, counts = _well_named(headers, plan, detect)
    named = [_operator(name, plan) for name, _ in headers]
    leaves = [_leaf(*header, operator, plan) for header, operator in zip(headers, named, strict=True)]
    found = _found(headers, leaves, detect)
    fields: list[tuple[bytes, bytes]] = []
    findings: list[Finding] = []
    for (name, value), operator, leaf, spans in zip(headers, named, leaves, found, strict=True):
        location = f"header:{_lower(name)}"
        new: bytes | None = value
        if operator:
            new = _masked_field(value, operator, plan.key)
            counts[location, FIELD, operator.value] += 1
        elif leaf and (spans := _unrelated(name, spans)):
            findings += [Finding(location, *span[:4]) for span in spans]
            new, masked = _masked_value(value, leaf.text, spans, plan, location)
            counts += masked
        if new is not None:
            fields.append((name, new))
    return MaskedHeaders(tuple(fields), counts, tuple(findings))


def _well_named(headers: Fields, plan: Plan, detect: Detect) -> tuple[Fields, Counts]:
    """Without the fields whose names are values: no other name would do in place of one."""
    odd = [name for name, _ in headers if _ODD_NAME.search(name)] if plan.detect else []
    if not odd:
        return headers, Counter()
    found = detect([Leaf(name.decode("latin-1"), "") for name in odd])
    cut = {name: chosen for name, spans in zip(odd, found, strict=True) if (chosen := cuts(spans, plan))}
    counts = Counter((NAMES, each.entity, Operator.DROP.value) for chosen in cut.values() for each in chosen)
    return tuple(field for field in headers if field[0] not in cut), counts


def _found(headers: Fields, leaves: Sequence[Leaf | None], detect: Detect) -> list[Sequence[Span]]:
    """For each header what is in its value: as a whole, and in the pieces of one that has some."""
    parts = [
        (at, piece)
        for at, ((name, value), leaf) in enumerate(zip(headers, leaves, strict=True))
        if leaf
        for piece in pieces(name, value)
    ]
    seen = detect([*(leaf or NO_LEAF for leaf in leaves), *(piece.leaf for _, piece in parts)])
    found, within = list(seen[: len(leaves)]), dict[int, list[Span]]()
    for (at, piece), spans in zip(parts, seen[len(leaves) :], strict=True):
        moved = (span._replace(start=span.start + piece.start, end=span.end + piece.start) for span in spans)
        within.setdefault(at, []).extend(moved)
    for at, inner in within.items():
        found[at] = united(found[at], inner)
    return found


def _unrelated(name: bytes, spans: Sequence[Span]) -> Sequence[Span]:
    """Without credentials where they are what the header is for."""
    return [span for span in spans if span.entity != SECRET] if name.lower() in OWN_CREDENTIALS else spans


def _masked_value(
    value: bytes, text: str, spans: Sequence[Span], plan: Plan, location: str
) -> tuple[bytes | None, Counts]:
    """A value with its findings masked; None when one of them drops it."""
    chosen = cuts(spans, plan)
    counts = Counter((location, cut.entity, cut.operator.value) for cut in chosen)
    if any(cut.operator is Operator.DROP for cut in chosen):
        return None, counts
    edits = [
        (cut.start, cut.end, replacement(text[cut.start : cut.end], cut.entity, cut.operator, plan.key))
        for cut in chosen
    ]
    return rewritten(value, edits) if edits else value, counts


def _operator(name: bytes, plan: Plan) -> Operator | None:
    if not plan.headers:
        return None
    lower = _lower(name)
    return strongest(operator for known, operator in plan.headers if known == lower)


def _leaf(name: bytes, value: bytes, operator: Operator | None, plan: Plan) -> Leaf | None:
    lower = _lower(name)
    return None if operator or not plan.detect or lower in UNREAD else Leaf(decoded(value), lower)


def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _masked_field(value: bytes, operator: Operator, key: bytes) -> bytes | None:
    if operator is Operator.DROP:
        return None
    return replacement(value.decode("utf-8", "replace"), FIELD, operator, key).encode()


def repair(headers: Fields, body: bytes | None) -> Fields:
    """Headers for a body that has changed; None for a response that has none but stands for one that would change."""
    kept = without_vouchers(headers)
    if body is None or any(name.lower() == b"transfer-encoding" for name, _ in kept):
        return kept
    return (*kept, (b"Content-Length", str(len(body)).encode()))


def without_vouchers(headers: Fields) -> Fields:
    """Without what says how long a body is, or vouches for its bytes."""
    gone = OF_THE_BODY | {b"content-length"}
    return tuple((name, value) for name, value in headers if name.lower() not in gone)


def not_cached(headers: Fields) -> Fields:
    """Whether a mask is due depends on the caller, so that no cache may answer in its place."""
    return (*(header for header in headers if header[0].lower() not in CACHING), NOT_CACHED)
