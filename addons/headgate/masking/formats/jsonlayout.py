"""Where each value of a JSON text stands in it, and what it is called.

Values are numbered as they begin: the root is 0, and whatever an array or object holds comes directly after it, in the
order of the text. That is also the order in which a walk through the parsed values meets them.
"""

import re
from array import array
from collections.abc import Callable, Collection, Mapping, MutableSequence

from headgate.masking.formats.scan import escape, offsets, string_at

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BARE = r"[0-9tfn-][^\s\],}]*+"
_PIECE = re.compile(rf"{_STRING}(?:\s*+:\s*+(?:({_STRING})|([{{\[])|({_BARE})))?+|([{{\[])|([}}\]])|{_BARE}", re.DOTALL)
_OPENING, _CLOSING = frozenset({2, 4}), 5

SMALL = 256 * 1024
"""Characters of a text whose layout is kept in lists, which are quicker; in arrays it takes a fifth of the memory."""

LONGEST_NAME = 100
LONGEST_POINTER = 400
"""Characters that are told of a name, and after which a location ends: it could have any number of them."""

Edit = tuple[int, int, str]


class Layout:
    """text[starts[n]:ends[n]] spells value n, and text[outers[n]:ends[n]] its whole member, name included.

    `parents` has the number of what holds it, -1 for the root; `places` its index there. Given for a text that `read`
    has accepted.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        numbers: Callable[[], MutableSequence[int]] = list if len(text) <= SMALL else lambda: array("q")
        self.starts, self.ends, self.outers = numbers(), numbers(), numbers()
        self.parents, self.places = numbers(), numbers()
        self._scan()

    def _scan(self) -> None:
        ends, above = self.ends, list[tuple[int, int]]()
        starts, outers, parents, places = (
            numbers.append for numbers in (self.starts, self.outers, self.parents, self.places)
        )
        number, parent, place = 0, -1, 0
        for piece in _PIECE.finditer(self.text):
            kind = piece.lastindex or 0
            if kind == _CLOSING:
                ends[parent] = piece.end()
                parent, place = above.pop()
                continue
            start, end = piece.span(kind)
            starts(start)
            ends.append(end)
            outers(piece.start())
            parents(parent)
            places(place)
            place += 1
            if kind in _OPENING:
                above.append((parent, place))
                parent, place = number, 0
            number += 1

    def is_member(self, at: int) -> bool:
        """Whether this is a member of an object."""
        return self.outers[at] < self.starts[at]

    def name(self, at: int) -> str:
        """The name of a member."""
        return string_at(self.text, self.outers[at])[0]

    def name_end(self, at: int) -> int:
        """Where the name of a member ends, with its closing quote."""
        return string_at(self.text, self.outers[at])[1]

    def children(self, parents: Collection[int]) -> dict[int, list[int]]:
        """The values directly in each of some objects and arrays."""
        found: dict[int, list[int]] = {parent: [] for parent in parents}
        for at, parent in enumerate(self.parents):
            if parent in found:
                found[parent].append(at)
        return found

    def below(self, tops: Collection[int]) -> bytearray:
        """For each value, whether it is one of some values or in one of them."""
        marks = bytearray(len(self.starts))
        for at, parent in enumerate(self.parents):
            marks[at] = at in tops or (parent >= 0 and marks[parent])
        return marks

    def respelled(self, start: int, end: int, edits: Collection[Edit]) -> list[Edit]:
        """Edits of what a string says as edits of its spelling, which is text[start:end] with its quotes."""
        raw = self.text[start + 1 : end - 1]
        bounds = offsets(raw, (bound for edit in edits for bound in edit[:2]))
        return [(start + 1 + next(bounds), start + 1 + next(bounds), escape(new)) for _, _, new in edits]


class Pointers:
    """Where the values of a document are, as JSON Pointers (RFC 6901); `renamed` are names that are told in a mask.

    `index` is told in place of every array index.
    """

    def __init__(self, layout: Layout, renamed: Mapping[int, str], index: str | None = None) -> None:
        self._layout, self._renamed, self._index = layout, renamed, index
        self._known: dict[int, str] = {-1: ""}

    def at(self, number: int) -> str:
        parent = self._layout.parents[number]
        if parent < 0:
            return ""
        if parent not in self._known:
            self._known[parent] = self.at(parent)
        above = self._known[parent]
        return above if len(above) > LONGEST_POINTER else f"{above}/{self._step(number)}"

    def _step(self, number: int) -> str:
        layout = self._layout
        if not layout.is_member(number):
            return self._index or str(layout.places[number])
        name = self._renamed[number] if number in self._renamed else layout.name(number)
        return name[:LONGEST_NAME].replace("~", "~0").replace("/", "~1")
