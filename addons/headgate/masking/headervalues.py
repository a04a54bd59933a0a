"""How the value of a header field is read: with its percent-encoding undone, addresses and cookies piece by piece.

An e-mail address may hold `?`, `=` and `/` (RFC 5322, section 3.2.3), so that in `/next?mail=ana@example.com` detection
finds one that begins with `next`. In an address (RFC 3986) and in a cookie (RFC 6265) those characters part values: a
finding that is in one piece takes the place of one that reaches back over them. What is masked is spliced into the
value as it was written, so that nothing else of it changes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from headgate.masking.operators import splice
from headgate.masking.plan import Leaf, Span

PARTED = frozenset({b"content-location", b"cookie", b"link", b"location", b"referer", b"refresh", b"set-cookie"})

MOST = 100
"""Pieces that are looked at one by one; a value with more is only read as a whole, in which no less is found."""

_PIECE = re.compile(r"[^/?&#;=,<>\"'\s]+")
_ENCODED = re.compile(r"((?:%[0-9A-Fa-f]{2})+)|[^%]+|%")
_KEPT = "[]*@:,/"


class Piece(NamedTuple):
    """A part of a value; `start` counts characters of the decoded value."""

    start: int
    leaf: Leaf


def decoded(value: bytes) -> str:
    return _decoded(_text(value))


def pieces(name: bytes, value: bytes) -> list[Piece]:
    """The parts of an address or a cookie, each under the name before its `=`; none of any other header."""
    if name.lower() not in PARTED:
        return []
    found = list(_pieces(_text(value)))
    return found if len(found) <= MOST else []


def _pieces(raw: str) -> Iterator[Piece]:
    at = start = 0
    key = ""
    for match in _PIECE.finditer(raw):
        start += match.start() - at
        text = _decoded(match[0])
        yield Piece(start, Leaf(text, key if raw[match.start() - 1 : match.start()] == "=" else ""))
        at, start, key = match.end(), start + len(text), text


def united(whole: Iterable[Span], within: Sequence[Span]) -> list[Span]:
    """Findings in a value and in its pieces, without those of the value that only reach back over a piece's begin."""
    return sorted({*(span for span in whole if not any(_begins(span, inner) for inner in within)), *within})


def _begins(span: Span, inner: Span) -> bool:
    """Whether `inner` is the same finding, and counts wherever `span` does."""
    same = inner.entity == span.entity and inner.end == span.end and inner.start > span.start
    return same and inner.score >= span.score and inner.plausible >= span.plausible


def rewritten(value: bytes, edits: Iterable[tuple[int, int, str]]) -> bytes:
    """The value with characters of the decoded one replaced; what is put in is encoded if anything in it was."""
    raw = _text(value)
    if "%" in raw:
        places = _places(raw)
        edits = [(places[start], places[end], _quoted(new)) for start, end, new in edits]
    return splice(raw, edits).encode("utf-8", "surrogateescape")


def _places(raw: str) -> list[int]:
    """Where each character of the decoded value begins in the value as it is written, and where that ends."""
    places: list[int] = []
    for match in _ENCODED.finditer(raw):
        if match[1] is None:
            places += range(*match.span())
            continue
        at = match.start()
        for character in bytes.fromhex(match[1].replace("%", "")).decode("utf-8", "surrogateescape"):
            places.append(at)
            at += 3 * len(character.encode("utf-8", "surrogateescape"))
    return [*places, len(raw)]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _decoded(raw: str) -> str:
    return unquote(raw, errors="surrogateescape") if "%" in raw else raw


def _quoted(text: str) -> str:
    return quote(text, safe=_KEPT, errors="surrogateescape")
