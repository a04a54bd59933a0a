"""Gates: what every match of a pattern has in it, as a pattern that is quick to look for in many leaves at once.

A gate is a part of the pattern's shape, the one that ordinary text is least likely to hold. It is allowed to find too
much, never too little: it only relaxes what the pattern asks for. RE2 looks for it, in time that grows with the text
alone, whatever the text and the gate.

Leaves are looked at joined by line ends, as bytes, one for each character. That hides nothing: a leaf stands there as
it is, a line's end is no part of a word, just as a leaf's edge is none, and the search goes on at the leaf after the
one in which a gate matched, wherever that match ends.
"""

from bisect import bisect
from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from math import prod
from operator import or_
from typing import Any, NamedTuple

import re2  # type: ignore[import-untyped]  # ships no types

from headgate.masking.detection.shapes import (
    ASCII,
    BOUNDARY,
    DIGITS,
    FOREIGN,
    LOWER,
    NOTHING,
    SPACE,
    UPPER,
    Absent,
    Alt,
    Chars,
    Rep,
    Seq,
    Shape,
    Unreadable,
    charset,
    shape,
    signs,
)

LONGEST = 64
"""Characters that a gate may look at from one place."""

MEMORY = 1 << 20
"""Bytes that a compiled gate may take up, with all that it remembers; with less than it wants it is slower."""

COMMON = ((DIGITS, 0.02), (LOWER, 0.018), (UPPER, 0.004), (SPACE, 0.015), (FOREIGN, 0.003))
RARE = 0.003
"""About how often a character stands at a given place in a text, by its kind, and where it is of none of these."""

_KNOWN = reduce(or_, (kind for kind, _ in COMMON))
_LINE_END = signs("\n")


class Gate(NamedTuple):
    """Patterns of RE2: for text in ASCII, and for text in which signs stand for what is not (module `foreign`)."""

    ascii: str
    foreign: str


@lru_cache(maxsize=4096)
def gate(pattern: str, flags: int) -> Gate | None:
    """The gate of a pattern of `regex`; None when it has none, and has to be tried on every text."""
    try:
        part = _rarest(shape(pattern, flags))
        if part is None:
            return None
        made = Gate(_written(_narrowed(part)), _text(_without_edges(part)))
        for text in made:
            compiled(text)
    except (Unreadable, re2.error):
        return None
    return made


@lru_cache(maxsize=4096)
def compiled(text: str) -> Any:
    """A gate's pattern, to be searched for in bytes."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MEMORY
    options.never_capture = True
    options.log_errors = False
    return re2.compile(text.encode("ascii"), options)


def passed(gate: Any, data: bytes, starts: Sequence[int]) -> Iterator[int]:
    """Which of the leaves joined in `data` a compiled gate lets through; the last of `starts` is past the end."""
    at, end = 0, len(data)
    search = gate.search
    while at < end and (found := search(data, at)) is not None:
        start = found.start()
        # A gate may take the character before along, which before a leaf is a line's end.
        after = bisect(starts, start + 1 if data[start] == 10 else start)
        if after >= len(starts):
            return
        yield after - 1
        at = starts[after]


def _written(part: Shape) -> str:
    """What must not stand before is asked for as what stands there, for RE2 does not look back."""
    if isinstance(part, Seq) and isinstance(part.items[0], Absent) and part.items[0].behind:
        rest = Seq(part.items[1:])
        if not _first(rest) & _LINE_END:
            return f"(?m:^|{charset(ASCII & ~part.items[0].characters)}){_text(rest)}"
    return _text(part)


def _text(part: Shape) -> str:
    match part:
        case Chars(allowed):
            return charset(allowed)
        case Seq(items):
            return "".join(map(_text, items))
        case Alt(choices):
            return f"(?:{'|'.join(map(_text, choices))})"
        case Rep(item, low, high):
            times = f"{{{low}}}" if low == high else f"{{{low},{high}}}"
            inner = _text(item)
            return (inner if isinstance(item, Chars) else f"(?:{inner})") + times
        case _:
            return r"\b" if part == BOUNDARY else ""


def _narrowed(part: Shape) -> Shape:
    """For text without characters outside ASCII."""
    match part:
        case Chars(allowed):
            return Chars(allowed & ASCII)
        case Seq(items):
            return Seq(tuple(map(_narrowed, items)))
        case Alt(choices):
            return Alt(tuple(map(_narrowed, choices)))
        case Rep(item, low, high):
            return Rep(_narrowed(item), low, high)
        case _:
            return part


def _without_edges(part: Shape) -> Shape:
    """What is a word, and so where its edges are, is not known of signs that stand for others."""
    match part:
        case Seq(items):
            return Seq(tuple(map(_without_edges, items)))
        case Alt(choices):
            return Alt(tuple(map(_without_edges, choices)))
        case Rep(item, low, high):
            return Rep(_without_edges(item), low, high)
        case Chars():
            return part
        case _:
            return NOTHING


def _rarest(given: Shape) -> Shape | None:
    """The part of a shape that is found least often by chance; None when every part may be empty.

    No part is rarer than the whole.
    """
    if _length(given) <= LONGEST and not _may_be_empty(given):
        return _trimmed(given)
    parts = [part for part in _parts(given) if not _may_be_empty(part)]
    return min(parts, key=lambda part: (_chance(part), _length(part)), default=None)


def _parts(given: Shape) -> Iterator[Shape]:
    """Shapes of limited length, of which each matches somewhere in all that the given one matches."""
    match given:
        case Alt(choices):
            rarest = [_rarest(choice) for choice in choices]
            if all(rarest):
                yield Alt(tuple(dict.fromkeys(part for part in rarest if part is not None)))
        case Rep(item, low, _) if low:
            if _length(shortest := Rep(item, low, low)) <= LONGEST:
                yield shortest
            yield from _parts(item)
        case Seq(items):
            yield from _stretches(items)
            for item in items:
                if isinstance(item, Alt | Rep):
                    yield from _parts(item)


def _stretches(items: tuple[Shape, ...]) -> Iterator[Shape]:
    """The parts that are several items in a row."""
    for start in range(len(items)):
        for end in range(start + 1, len(items) + 1):
            part = _trimmed(Seq(items[start:end]))
            if _length(part) <= LONGEST:
                yield part


def _trimmed(part: Shape) -> Shape:
    """A repetition at either end may be as short as it ever is."""
    if not isinstance(part, Seq) or len(part.items) < 2:
        return part
    first, *inner, last = part.items
    return Seq((_shortest(first), *inner, _shortest(last)))


def _shortest(item: Shape) -> Shape:
    if not isinstance(item, Rep):
        return item
    return Rep(item.item, item.low, item.low) if item.low else NOTHING


def _length(part: Shape) -> float:
    match part:
        case Chars():
            return 1
        case Seq(items):
            return sum(map(_length, items))
        case Alt(choices):
            return max(map(_length, choices))
        case Rep(item, _, high):
            return float("inf") if high is None else high * _length(item)
        case _:
            return 0


def _may_be_empty(part: Shape) -> bool:
    match part:
        case Chars():
            return False
        case Seq(items):
            return all(map(_may_be_empty, items))
        case Alt(choices):
            return any(map(_may_be_empty, choices))
        case Rep(item, low, _):
            return low == 0 or _may_be_empty(item)
        case _:
            return True


def _first(part: Shape) -> int:
    """The characters with which a match may begin."""
    match part:
        case Chars(allowed):
            return allowed
        case Seq(items):
            first = next((at for at, item in enumerate(items) if not _may_be_empty(item)), len(items))
            return reduce(or_, map(_first, items[: first + 1]), 0)
        case Alt(choices):
            return reduce(or_, map(_first, choices))
        case Rep(item):
            return _first(item)
        case _:
            return 0


def _chance(part: Shape) -> float:
    match part:
        case Chars(allowed):
            known = sum(often * (allowed & kind).bit_count() for kind, often in COMMON)
            return min(1.0, known + RARE * (allowed & ~_KNOWN).bit_count())
        case Seq(items):
            return prod(map(_chance, items))
        case Alt(choices):
            return min(1.0, sum(map(_chance, choices)))
        case Rep(item, low, _):
            return float(_chance(item) ** low)
        case _:
            return 0.5
