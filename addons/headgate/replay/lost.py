"""What of a request its record does not have, or not as it was.

A value counts as masked where it holds a mark that masking leaves, and everything does where a mask was due that leaves
none, or where what is left of a body is nothing though its headers tell of one.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from headgate.masking.headers import OF_THE_BODY

if TYPE_CHECKING:
    from headgate.capture.entries import Entry
    from headgate.masking.plan import Plan

_STAR = r"\*[ \-./:@_()+,]*"  # `last4` leaves separators
MARK = re.compile(rf"\[[A-Z][A-Z0-9_]*\]|\[redacted\]|(?:{_STAR}){{3}}|hash_[a-p]{{32}}|\[SECRET:")
_BYTES_MARK = re.compile(MARK.pattern.encode())
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
LENGTHS = frozenset({"content-length", "transfer-encoding"})
ABOUT_BODIES = frozenset({"content-length", *(name.decode() for name in OF_THE_BODY)})
"""Headers that are changed, or left out, with a body."""

_SHOWN = frozenset({"redact", "last4", "hash"})
"""Operators that leave a mark."""


class _Operators(NamedTuple):
    """Those that leave no mark on what is `found`; whether one of the `fields` of a body, or of the `query`, has such
    an operator; `stars`: values may have become stars, few as these may be."""

    found: frozenset[str]
    fields: bool
    query: bool
    stars: bool


def lost_parts(entry: "Entry", plan: "Plan | None") -> set[str]:
    """The parts of a request that were masked, changed or not kept, where `plan` is what was due of its record."""
    summary, sent = entry.summary, entry.request
    lost = {"path"} if MARK.search(unquote(summary.path)) else set[str]()
    if sent.headers is None:
        return lost | {"headers", "query", "body"}
    if any(MARK.search(unquote(pair.partition("=")[0])) for pair in (summary.query or "").split("&")):
        lost.add("query")
    if _is_absent(entry, plan) or sent.truncated or _is_marked(sent.body, plan):
        lost.add("body")
    return lost | (_unmarked(entry, plan) if plan else set())


def marked_headers(entry: "Entry", plan: "Plan | None") -> frozenset[str]:
    """The headers whose value is masked; one that was nulled is there and empty."""
    stars = plan is not None and _operators(plan).stars
    headers = entry.request.headers or ()
    return frozenset(
        name.lower() for name, value in headers if not value or MARK.search(value) or (stars and "*" in value)
    )


def marked_parameters(entry: "Entry", plan: "Plan | None") -> frozenset[str]:
    """The parameters of the query whose value is masked."""
    stars = plan is not None and _operators(plan).stars
    pairs = (pair.partition("=") for pair in (entry.summary.query or "").split("&") if "=" in pair)
    values = ((name, unquote(value)) for name, _, value in pairs)
    return frozenset(unquote_plus(name) for name, value in values if MARK.search(value) or (stars and "*" in value))


def _is_absent(entry: "Entry", plan: "Plan | None") -> bool:
    """Whether there was a body, or may have been, of which nothing is kept: one that could not be masked or read."""
    sent = entry.request
    if sent.body:
        return False
    could = plan is not None and plan.reads_body and entry.summary.method not in BODILESS
    return sent.size > 0 or could or any(name.lower() in LENGTHS for name, _ in sent.headers or ())


def _is_marked(body: bytes, plan: "Plan | None") -> bool:
    if plan is not None and ((plan.reads_body and b"null" in body) or (_operators(plan).stars and b"*" in body)):
        return True  # `null` is what stands for a number that was masked
    forms = [body, unquote_to_bytes(body)] if b"%" in body else [body]
    return any(_BYTES_MARK.search(form) for form in (*forms, body.replace(b"\0", b"")))


def _unmarked(entry: "Entry", plan: "Plan") -> set[str]:
    """The parts in which a mask may have changed a value so that nothing shows it. What is left of one that was nulled
    or dropped, and is no member or header of its own, is an empty value."""
    found, fields, query, _ = _operators(plan)
    lost = {"headers"} if "drop" in found else set()
    if found & {"token"}:
        lost |= {"headers", "query", "path"}
    if found and ("" in entry.summary.path.split("/")[1:-1] or _has_empty(entry.summary.query or "")):
        lost |= {"query", "path"}
    if query:
        lost.add("query")
    if (found or fields) and entry.request.body:
        lost.add("body")
    return lost


def _has_empty(query: str) -> bool:
    return any(not pair.partition("=")[2] for pair in query.split("&") if pair)


@lru_cache(maxsize=256)
def _operators(plan: "Plan") -> _Operators:
    """A header that is asked for by its name is counted elsewhere."""
    body = (*plan.paths, *plan.columns, *plan.form)
    operators = {by.value for _, by in (*body, *plan.query)} | {wanted.operator.value for wanted in plan.detect}
    return _Operators(
        frozenset(wanted.operator.value for wanted in plan.detect) - _SHOWN,
        bool(plan.encoded) or any(by.value not in _SHOWN for _, by in body),
        any(by.value not in _SHOWN for _, by in plan.query),
        "last4" in operators,
    )
