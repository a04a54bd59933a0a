"""Runs: texts as their readers see them, whatever markup, references and escapes stand between their characters.

A value that is split (by an inline element, a comment, a reference, a folded line) is one text in its run. What is
found there is mapped back to where it is spelled in the source: its replacement stands where the value began, and of
its other parts nothing is left.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from headgate.masking.formats.readings import Reading, ways

Write = Callable[[str], str]
"""How a text is spelled in the place where it is to stand."""

Edit = tuple[int, int, str]
"""A span of a text, and what stands there in its place."""


class Piece(NamedTuple):
    """source[start:end] reads as `text`: character for character where both are as long, else only as a whole."""

    text: str
    start: int
    end: int


class Part(NamedTuple):
    """Pieces that belong together: a text node, a cell. `key` is the name under which they stand."""

    pieces: Sequence[Piece]
    key: str
    location: str
    write: Write


class Run:
    """`parts` read as one text.

    `single`: it is one value, of which null and drop leave nothing; drop takes the source span `member` along. Where
    `rewrite` is given, the run is spelled anew by it as soon as something in it changes.
    """

    __slots__ = ("_offsets", "_owners", "_pieces", "member", "parts", "rewrite", "single", "text")

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        single: bool = False,
        member: tuple[int, int] | None = None,
        rewrite: Write | None = None,
    ) -> None:
        self.parts, self.single, self.member, self.rewrite = parts, single, member, rewrite
        if len(parts) == 1 and len(parts[0].pieces) == 1:
            self.text = parts[0].pieces[0].text
        else:
            self.text = "".join([piece.text for part in parts for piece in part.pieces])
        self._offsets: list[int] = []

    @property
    def span(self) -> tuple[int, int]:
        """Where all of it stands in the source."""
        return self.parts[0].pieces[0].start, self.parts[-1].pieces[-1].end

    def part_at(self, place: int) -> Part:
        at = self._at(place)
        return self._owners[at]

    def readings(self) -> Iterable[Reading]:
        """The whole text, and where it has several parts each of them alone: being joined could hide a value."""
        if len(self.parts) == 1:
            return ways(Reading(self.text, range(len(self.text)), self.parts[0].key))
        found, at = list[Reading](), 0
        for part in self.parts:
            text = "".join([piece.text for piece in part.pieces])
            if text and not text.isspace():
                found.append(Reading(text, range(at, at + len(text)), part.key))
            at += len(text)
        if len(found) != 1:
            found.append(Reading(self.text, range(at), found[0].key if found else ""))
        else:
            found = [Reading(self.text, range(at), found[0].key)]
        return [way for reading in found for way in ways(reading)]

    def edits(self, start: int, end: int, new: str) -> Iterator[Edit]:
        """What has to change in the source for text[start:end], which is not empty, to become `new`."""
        at = self._at(start)
        spelled = self._owners[at].write(new)
        for low, high in _adjacent(self._spelled(at, start, end)):
            yield low, high, spelled
            spelled = ""

    def _at(self, place: int) -> int:
        """The piece in which a character stands. Where pieces begin is told on demand: most runs hold nothing."""
        if not self._offsets:
            self._pieces = [piece for part in self.parts for piece in part.pieces]
            self._owners = [part for part in self.parts for _ in part.pieces]
            self._offsets = [0, *accumulate(len(piece.text) for piece in self._pieces)]
        return min(bisect_right(self._offsets, place), len(self._pieces)) - 1

    def _spelled(self, at: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where text[start:end] is spelled, beginning in piece `at`."""
        while at < len(self._pieces) and self._offsets[at] < end:
            piece, offset = self._pieces[at], self._offsets[at]
            at += 1
            if len(piece.text) == piece.end - piece.start:
                yield piece.start + max(start - offset, 0), piece.start + min(end - offset, len(piece.text))
            else:
                yield piece.start, piece.end


def _adjacent(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans as they are, but those that touch as one."""
    low, high = -1, -1
    for start, end in spans:
        if start != high:
            if low >= 0:
                yield low, high
            low = start
        high = end
    if low >= 0:
        yield low, high


def as_written(text: str) -> str:
    """For places where every character stands for itself."""
    return text
