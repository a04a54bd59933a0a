"""What a finding over two values covers that follow one another as records do: nothing of either can be held back.

Two records are looked at together only as far as a value reaches, and numbers only where the finding is sure: prices,
counters and times follow one another in most streams, and any two of them may look like a telephone number.
"""

import re
from typing import NamedTuple

from headgate.masking.operators import Cut, cuts
from headgate.masking.plan import Leaf, Span
from headgate.masking.streams.record import Records

REACH = 128
"""Characters before and after the seam that are looked at."""

SURE = 0.5
"""The least score of a finding without letters, and without marks as of a telephone number."""

MARKS = frozenset("+(")
SEPARATORS = 2

WORDS = 2
"""Values with a space at one end, as the words of a text have, after which they are pieces of one text."""

_NUMBER = re.compile(r"\s*[-+]?[\d.,]+\s*%?\s*")
_WORD = re.compile(r" \S.*|.*\S ", re.DOTALL)


class Crossing(NamedTuple):
    """How many of the first characters of a value a finding covers that began before it."""

    length: int
    cut: Cut


class Seam:
    """Of the values at one place; `turned` when they have shown to be pieces of one text."""

    def __init__(self, records: Records, key: str) -> None:
        self._records, self._key = records, key
        self._last, self._words = "", 0
        self.before, self.turned = "", False

    def cross(self, value: str) -> Crossing | None:
        """Look at the next value together with those before."""
        crossing = self._crossing(value) if self._may_cross(value) else None
        if crossing and crossing.cut.start < len(self.before) - len(self._last):
            self.turned = True
        self._words = self._words + 1 if _WORD.fullmatch(value) else 0
        self.turned = self.turned or self._words >= WORDS
        self.before, self._last = (self.before + value)[-REACH:], value[-REACH:]
        return crossing

    def _may_cross(self, value: str) -> bool:
        if not self._records.plan.detect or not self.before or not value or value == self._last:
            return False
        return not (_NUMBER.fullmatch(value) and _NUMBER.fullmatch(self._last))

    def _crossing(self, value: str) -> Crossing | None:
        seam, joined = len(self.before), self.before + value[:REACH]
        found = self._records.detect([Leaf(joined, self._key)])[0]
        over = [span for span in found if span.start < seam < span.end and _is_sure(span, joined)]
        for cut in cuts(over, self._records.plan):
            return Crossing(cut.end - seam, cut)
        return None


def _is_sure(span: Span, text: str) -> bool:
    value = text[span.start : span.end]
    if span.score >= SURE or any(map(str.isalpha, value)) or not MARKS.isdisjoint(value):
        return True
    return sum(not character.isdigit() for character in value) >= SEPARATORS
