"""Masking of header fields, and their repair after a body has changed.

A value is read as UTF-8, and with its percent-encoding undone where it has one: an e-mail address in a `Location` is
found either way.
"""

from collections import Counter
from typing import NamedTuple
from urllib.parse import quote, unquote

from headgate.masking.entities import UNREAD
from headgate.masking.formats import Counts
from headgate.masking.formats.plaintext import mask_value
from headgate.masking.operators import FIELD, cuts, replacement
from headgate.masking.plan import Detect, Fields, Leaf, Operator, Plan, Span, strongest
from headgate.model import Finding

OF_THE_BODY = frozenset(
    {b"accept-ranges", b"content-digest", b"content-encoding", b"content-md5", b"digest", b"etag", b"repr-digest"}
    | {b"signature", b"signature-input"}
)
"""Headers that vouch for the very bytes that have changed; a digest of what was masked could even be searched for."""

CACHING = frozenset({b"cache-control", b"cdn-cache-control", b"surrogate-control"})
NOT_CACHED = (b"Cache-Control", b"private, no-store")

NO_LEAF = Leaf("", "")

_KEPT = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class MaskedHeaders(NamedTuple):
    fields: Fields
    counts: Counts
    findings: tuple[Finding, ...]


def mask_headers(headers: Fields, plan: Plan, detect: Detect) -> MaskedHeaders:
    """Mask the fields that are named, then what is detected in others that hold values."""
    if not (plan.headers or plan.detect):
        return MaskedHeaders(headers, Counter(), ())
    named = [_operator(name, plan) for name, _ in headers]
    leaves = [_leaf(*header, operator, plan) for header, operator in zip(headers, named, strict=True)]
    found = detect([leaf or NO_LEAF for leaf in leaves])
    fields: list[tuple[bytes, bytes]] = []
    counts: Counts = Counter()
    findings: list[Finding] = []
    for (name, value), operator, leaf, spans in zip(headers, named, leaves, found, strict=True):
        location = f"header:{_lower(name)}"
        new: bytes | None = value
        if operator:
            new = _masked_field(value, operator)
            counts[location, FIELD, operator.value] += 1
        elif leaf and spans:
            findings += [Finding(location, *span) for span in spans]
            new, masked = _masked_value(value, leaf.text, list(spans), plan, location)
            counts += masked
        if new is not None:
            fields.append((name, new))
    return MaskedHeaders(tuple(fields), counts, tuple(findings))


def _masked_value(value: bytes, text: str, spans: list[Span], plan: Plan, location: str) -> tuple[bytes | None, Counts]:
    """A value with its findings masked; None when one of them drops it."""
    new, counts = mask_value(text, spans, plan, location)
    if any(cut.operator is Operator.DROP for cut in cuts(spans, plan)):
        return None, counts
    return _encoded(new, value) if counts else value, counts


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


def decoded(value: bytes) -> str:
    text = value.decode("utf-8", "surrogateescape")
    return unquote(text, errors="surrogateescape") if "%" in text else text


def _encoded(text: str, original: bytes) -> bytes:
    encoded = quote(text, safe=_KEPT, errors="surrogateescape") if b"%" in original else text
    return encoded.encode("utf-8", "surrogateescape")


def _masked_field(value: bytes, operator: Operator) -> bytes | None:
    if operator is Operator.DROP:
        return None
    return replacement(value.decode("utf-8", "replace"), FIELD, operator).encode()


def repair(headers: Fields, body: bytes | None) -> Fields:
    """Headers for a body that has changed; None for a response that has none but stands for one that would change."""
    gone = OF_THE_BODY | {b"content-length"}
    kept = tuple((name, value) for name, value in headers if name.lower() not in gone)
    if body is None or any(name.lower() == b"transfer-encoding" for name, _ in kept):
        return kept
    return (*kept, (b"Content-Length", str(len(body)).encode()))


def not_cached(headers: Fields) -> Fields:
    """Whether a mask is due depends on the caller, so that no cache may answer in its place."""
    return (*(header for header in headers if header[0].lower() not in CACHING), NOT_CACHED)
