"""Where a telephone number may stand in a text, and which parts of such a place may be one.

What counts is libphonenumber's: its patterns are taken from `phonenumbermatcher`, and a candidate here is a candidate
there. Two ways lead to it. `by_pattern` is libphonenumber's own search. `Alphabet.by_digits` looks for digits first and
passes over places with too few of them; it is right in a text in which no digit is followed by an extension, for there
a candidate is what digits with little between them make, with brackets or a plus before it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from phonenumbers import phonenumbermatcher as matcher
from phonenumbers import phonenumberutil as util

FLAGS = re.UNICODE | re.IGNORECASE

LONGEST_LEAD = 10
"""Characters a candidate may have before its first digit: twice a bracket or plus with four of punctuation."""

LONGEST_BOUNDED = 600
"""No candidate is longer but for the space and dashes around the label of an extension, which have no limit."""

TRIES_EACH = 4
"""Tries that a character of a candidate that is no digit brings about at most: two for the space beside a dash, and
two for what stands before the first such piece. A candidate counts as one more."""

SHORT = 12_000
"""Characters of a text whose tries need no counting: they are fewer than libphonenumber makes."""

LITTLE = 30
"""Characters of a piece for which no pattern takes long."""

_DASHES, _SPACE = 2, 5
"""Of the patterns at which libphonenumber breaks a candidate: dashes beside space, and space."""

_DASHES_ONLY = re.compile(matcher._INNER_MATCHES[_DASHES].pattern.removesuffix("(.+)"))
_BREAKS = re.compile("[/(.\\s\u2012-\u2015\uff0d]")
"""Each pattern at which a candidate is broken needs one of these."""

_BREAKS_AND_DASHES = re.compile(_BREAKS.pattern.replace("[", "[-"))
_BRACKET = re.compile(r"[()\[\]\uff08\uff09\uff3b\uff3d]")
_BESIDE_BRACKETS = re.compile(rf"[^{_BRACKET.pattern[1:-1]}]+")

_DIGIT = re.compile(r"\d")
_EXTENSION = re.compile(rf"\d(?!\d)(?:{util._EXTN_PATTERNS_FOR_MATCHING})", FLAGS)
_ASCII_EXTENSION = r"(?=[ \t,;#~xXeEiIaA])(?:[ \t,]*+(?:[#~xX]|[eE][xX]|[iI][nN][tT]|[aA][nN][eE])|;[eE][xX])"
"""What of an extension stands behind a digit in ASCII, as far as it takes to tell most texts without one."""


class Part(NamedTuple):
    """A piece of a candidate that may be a number; `tries` is how often libphonenumber would try it.

    With `counted`, libphonenumber looks before it whether it has tries left.
    """

    start: int
    end: int
    tries: int
    counted: bool


class Alphabet:
    """What finds candidates in texts of some characters, given the fewest digits that a number has."""

    def __init__(self, fewest: int, digit: str, punctuation: str, leading: str, extension: str) -> None:
        gap, most = f"[{punctuation}]{matcher._PUNCTUATION_LIMIT}", matcher._DIGIT_BLOCK_LIMIT
        block = f"{digit}{{1,{most}}}"
        more = f"(?:{gap}{digit}){{{fewest - 1}}}"
        self.gate = re.compile(f"{digit}(?:{more}|{extension})")
        self.chain = re.compile(f"{digit}(?={more}){digit}{{0,{most - 1}}}(?:{gap}{block}){matcher._BLOCK_LIMIT}")
        self.before = frozenset(re.findall(f"[{punctuation}{leading}]", "".join(map(chr, range(0x10000)))))
        self._extension = re.compile(digit + extension)
        self._lead = re.compile(rf"(?:[{leading}]{gap}){{1,2}}\Z")
        self._leading = re.compile(f"[{leading}]")
        self._gap = re.compile(f"{digit}({gap})(?={digit})")
        self._block = re.compile(block)

    def may_extend(self, text: str) -> bool:
        """Whether an extension stands behind a digit."""
        return self._extension.search(text) is not None and _EXTENSION.search(text) is not None

    def by_digits(self, text: str, index: int) -> tuple[int, int] | None:
        found = self.chain.search(text, index)
        if found is None:
            return None
        first, end = found.span()
        return (self.lead(text, index, first) if first > index else first), end

    def lead(self, text: str, index: int, first: int) -> int:
        """Where a candidate begins whose first digit stands there, in what is left of a text from an index on."""
        if text[first - 1] not in self.before:
            return first
        floor = max(index, first - LONGEST_LEAD)
        found = self._lead.search(text[floor:first])
        return floor + found.start() if found else first

    def tries_between(self, text: str, index: int, start: int) -> int:
        """No fewer tries than libphonenumber makes in a piece of a text that `by_digits` passes over."""
        if len(text) <= SHORT:
            return TRIES_EACH * (start - index)
        piece = text[index:start]
        blocks = len(self._block.findall(piece))
        if not blocks:
            return 0
        between, leads = sum(map(len, self._gap.findall(piece))), len(self._leading.findall(piece))
        return blocks + TRIES_EACH * (between + LONGEST_LEAD * leads)


def by_pattern(text: str, index: int) -> tuple[int, int] | None:
    """The next candidate as libphonenumber finds it."""
    digit = _DIGIT.search(text, index)
    if digit is None:
        return None
    found = matcher._PATTERN.search(text, max(index, digit.start() - LONGEST_LEAD))
    return found.span() if found else None


def _ascii_of(charset: str) -> str:
    """The ASCII characters that a character class of libphonenumber stands for, written as one."""
    members = re.compile(f"[{charset}]", FLAGS)
    return "".join(re.escape(chr(code)) for code in range(128) if members.match(chr(code)))


def alphabets(fewest: int) -> tuple[Alphabet, Alphabet]:
    """For texts in ASCII, and for all others."""
    punctuation, leading = util._VALID_PUNCTUATION, matcher._LEAD_CLASS_CHARS
    any_extension = rf"(?!\d)(?i:{util._EXTN_PATTERNS_FOR_MATCHING})"
    return (
        Alphabet(fewest, "[0-9]", _ascii_of(punctuation), _ascii_of(leading), _ASCII_EXTENSION),
        Alphabet(fewest, r"\d", f"{punctuation}X", leading, any_extension),
    )


def trimmed(text: str, start: int, end: int) -> int:
    """Where a piece ends without what libphonenumber does not want at the end of a number."""
    while end > start and not (text[end - 1].isalnum() or text[end - 1] == "#"):
        end -= 1
    return end


def parts(candidate: str) -> Iterator[Part]:
    """The pieces that libphonenumber tries, in its order, when a whole candidate is no number."""
    if _BREAKS.search(candidate) is None:
        return
    long = len(candidate) > LONGEST_BOUNDED
    for number, pattern in enumerate(matcher._INNER_MATCHES):
        if long and number == _DASHES:
            yield from _long_dashes(candidate)
        elif long and number == _SPACE:
            yield from _pieces(candidate, pattern, skip=True)
        else:
            yield from _pieces(candidate, pattern)


def _pieces(candidate: str, pattern: re.Pattern[str], *, skip: bool = False) -> Iterator[Part]:
    """With `skip`, a run of breaks before one and the same piece is passed over at once, and only its tries counted."""
    found = pattern.search(candidate)
    if found is not None:
        yield Part(0, trimmed(candidate, 0, found.start()), 1, True)
    first = True
    while found is not None:
        start, end = found.span(1)
        again = start - found.start() if skip else 1
        yield Part(start, trimmed(candidate, start, end), again, not first)
        first = False
        found = pattern.search(candidate, found.start() + again)


def _long_dashes(candidate: str) -> Iterator[Part]:
    """The same for dashes beside space, behind which a piece goes to the end: without touching what it holds."""
    found = _DASHES_ONLY.search(candidate)
    if found is not None:
        yield Part(0, trimmed(candidate, 0, found.start()), 1, True)
    first = True
    while found is not None:
        yield Part(found.end(), len(candidate), 1, not first)
        first = False
        found = _DASHES_ONLY.search(candidate, found.start() + 1)


def plain_parts(candidate: str) -> list[str] | None:
    """All parts of a candidate that is broken at dots or at spaces alone, as most are; None for any other."""
    breaks = set(_BREAKS.findall(candidate))
    if len(breaks) > 1 or not breaks <= {".", " "} or (breaks == {" "} and "-" in candidate):
        return None
    return candidate.split(*breaks) if breaks else []


def tries_within(candidate: str, readings: int = 1) -> int:
    """No fewer tries than libphonenumber makes in a candidate, reading it so often from different places."""
    return readings * (1 + TRIES_EACH * len(_BREAKS_AND_DASHES.findall(candidate)))


def shaped(piece: str) -> bool:
    """Whether the brackets of a piece may be those of a number, and it is no reference to pages.

    What stands beside a bracket counts by being there, so that one character does for it: the pattern takes time
    quadratic in a long piece.
    """
    if _BRACKET.search(piece) is None:
        return True
    shape = piece if len(piece) <= LITTLE else _BESIDE_BRACKETS.sub("1", piece)
    return matcher._MATCHING_BRACKETS.fullmatch(shape) is not None and matcher._PUB_PAGES.search(piece) is None


def dated(candidate: str, text: str, end: int) -> bool:
    """Whether a candidate that ends there looks like a date or like the start of a time."""
    if "/" in candidate and matcher._SLASH_SEPARATED_DATES.search(candidate):
        return True
    if " " not in candidate or matcher._TIME_STAMPS_SUFFIX.match(text, end) is None:
        return False
    return matcher._TIME_STAMPS.search(candidate) is not None
