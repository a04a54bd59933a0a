"""Reading a regular expression as the positions of an automaton: each a character that it may read next.

It is read for more than it matches, never for less: anchors always hold, a back reference is any text of its group, a
large count is any count. Of an expression that reads no white space, nothing but its characters counts where it
branches: such a match ends at the next space anyway. What a look-ahead reads is part of the match, up to `FAR`
characters; one that reads further is looked at only as far as the text that detection is given.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from headgate.masking.streams.alphabet import Element, reads

FAR = 64
COPIES = 256
"""Positions that a count may take before it is read as any count."""

FEWER_COPIES = 4
"""The same for an expression that reads no white space."""

LEVELS = 100
"""Branches in one another that count; of an expression that reads no white space only the outermost do."""

BRANCHES = 64
"""Alternatives that are kept apart; with more, any sequence of their characters counts."""

_OTHERS = re.compile(r"\[:\^?\w+:\]|\{[^{}\[\]]*[eids]\s*(?:<[^{}]*)?\}")
"""Classes of POSIX and approximate matches, which `regex` has and `re` takes for plain characters."""

_INLINE_FLAGS = re.compile(r"\(\?[aiLmsu]+\)")


class Unreadable(Exception):
    """The pattern cannot be turned into an automaton."""


class Part(NamedTuple):
    """A piece of a pattern: the positions it may begin and end with, as bits, and whether it may be empty."""

    first: int
    last: int
    empty: bool


NOTHING = Part(0, 0, empty=True)


class Reading:
    """Of one pattern: it adds its positions to those of all; what stops a loop, and the loop, to `stops`."""

    def __init__(self, follow: list[int], classes: dict[Element, int], stops: list[tuple[int, int]]) -> None:
        self._follow, self._classes, self._stops = follow, classes, stops
        self._groups: dict[int, Any] = {}
        self._copies, self._levels = COPIES, LEVELS

    def whole(self, pattern: str) -> tuple[Part, bool]:
        """The pattern, and whether it begins at the edge of a word only."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                tree = parser.parse(_INLINE_FLAGS.sub("", pattern), re.DOTALL)
        except (re.error, OverflowError, RecursionError):
            raise Unreadable from None
        if tree.state.flags & re.VERBOSE or _OTHERS.search(pattern):
            raise Unreadable
        spaced = any(reads(element, " ") or reads(element, "\n") for element in _elements(tree))
        self._copies = COPIES if spaced else FEWER_COPIES
        self._levels = LEVELS if spaced else 1
        return self._sequence(tree), len(tree) > 0 and tree[0] == (codes.AT, codes.AT_BOUNDARY)

    def _sequence(self, items: Iterable[Any]) -> Part:
        part = NOTHING
        for code, argument in items:
            part = self._joined(part, self._item(code, argument))
        return part

    def _joined(self, one: Part, other: Part) -> Part:
        self._link(one.last, other.first)
        first = one.first | other.first if one.empty else one.first
        last = one.last | other.last if other.empty else other.last
        return Part(first, last, one.empty and other.empty)

    def _link(self, lasts: int, firsts: int) -> None:
        while lasts:
            lowest = lasts & -lasts
            self._follow[lowest.bit_length() - 1] |= firsts
            lasts ^= lowest

    def _item(self, code: Any, argument: Any) -> Part:
        if code in _STRUCTURES:
            return _STRUCTURES[code](self, argument)
        return self._position(_element(code, argument))

    def _position(self, key: Element) -> Part:
        bit = 1 << len(self._follow)
        self._follow.append(0)
        self._classes[key] = self._classes.get(key, 0) | bit
        return Part(bit, bit, empty=False)

    def _group(self, argument: Any) -> Part:
        number, _, _, tree = argument
        if number is not None:
            self._groups[number] = tree
        return self._sequence(tree)

    def _reference(self, number: int) -> Part:
        tree = self._groups.get(number)
        if tree is None:
            raise Unreadable
        return self._sequence(tree)

    def _condition(self, argument: Any) -> Part:
        _, yes, no = argument
        return self._branches([yes, no or []])

    def _branch(self, argument: Any) -> Part:
        trees = argument[1]
        if not self._levels or len(trees) > BRANCHES:
            return self._any_of(trees)
        self._levels -= 1
        part = self._branches(trees)
        self._levels += 1
        return part

    def _branches(self, trees: Iterable[Any]) -> Part:
        parts = [self._sequence(tree) for tree in trees]
        first = last = 0
        for part in parts:
            first, last = first | part.first, last | part.last
        return Part(first, last, any(part.empty for part in parts))

    def _any_of(self, trees: Iterable[Any]) -> Part:
        """Any characters that occur in the alternatives, in any order and number."""
        part = NOTHING
        for element in dict.fromkeys(element for tree in trees for element in _elements(tree)):
            place = self._position(element)
            part = Part(part.first | place.first, part.last | place.last, empty=True)
        return self._looped(part)

    def _until(self, argument: Any) -> Part | None:
        """Anything up to where something else begins, `(?:(?!END).)*`: it goes on no longer once that has been read."""
        least, most, tree = argument
        if most is not codes.MAXREPEAT or least or not len(tree) or tree[0][0] is not codes.ASSERT_NOT:
            return None
        direction, looked = tree[0][1]
        if direction < 0:
            return None
        end = self._sequence(looked)
        begin = len(self._follow)
        loop = self._sequence(tree[1:])
        self._link(loop.last, loop.first | end.first)
        self._stops.append((end.last, (1 << len(self._follow)) - (1 << begin)))
        return Part(loop.first | end.first, loop.last, empty=True)

    def _repeat(self, argument: Any) -> Part:
        if (part := self._until(argument)) is not None:
            return part
        least, most, tree = argument
        width = max(_positions(tree), 1)
        if most is codes.MAXREPEAT or most * width > self._copies:
            if least * width > self._copies:
                least = 1
            part = self._looped(self._sequence(tree)) if least else self._optional(self._looped(self._sequence(tree)))
            for _ in range(least - 1):
                part = self._joined(self._sequence(tree), part)
            return part
        return self._counted([self._sequence(tree) for _ in range(most)], least)

    def _counted(self, copies: list[Part], least: int) -> Part:
        """One copy after the other; the text may end with any from the last that is needed on."""
        part, before = NOTHING, NOTHING
        for number, copy in enumerate(copies):
            if number <= least or copy.empty:
                part = self._joined(part, copy if number < least else self._optional(copy))
            else:
                self._link(before.last, copy.first)
                part = part._replace(last=part.last | copy.last)
            before = copy
        return part

    def _looped(self, part: Part) -> Part:
        self._link(part.last, part.first)
        return part

    def _optional(self, part: Part) -> Part:
        return part._replace(empty=True)

    def _ahead(self, argument: Any) -> Part:
        """What is read ahead ends nowhere. What is read behind may just have been read, or come before the match."""
        direction, tree = argument
        if direction < 0:
            return self._optional(self._sequence(tree))
        if tree.getwidth()[1] > FAR:
            return NOTHING
        return Part(self._sequence(tree).first, 0, empty=True)

    def _not_ahead(self, argument: Any) -> Part:
        return NOTHING if argument[0] < 0 else self._ahead(argument)


_STRUCTURES: dict[Any, Callable[[Reading, Any], Part]] = {
    codes.SUBPATTERN: Reading._group,
    codes.ATOMIC_GROUP: Reading._sequence,
    codes.BRANCH: Reading._branch,
    codes.MAX_REPEAT: Reading._repeat,
    codes.MIN_REPEAT: Reading._repeat,
    codes.POSSESSIVE_REPEAT: Reading._repeat,
    codes.GROUPREF: Reading._reference,
    codes.GROUPREF_EXISTS: Reading._condition,
    codes.ASSERT: Reading._ahead,
    codes.ASSERT_NOT: Reading._not_ahead,
    codes.AT: lambda _reading, _anchor: NOTHING,
    codes.FAILURE: lambda _reading, _nothing: Part(0, 0, empty=False),
}


def _element(code: Any, argument: Any) -> Element:
    if code in (codes.LITERAL, codes.NOT_LITERAL):
        return code is codes.NOT_LITERAL, ((codes.LITERAL, argument),)
    if code is codes.ANY:
        return True, ()
    if code is codes.IN:
        negated = argument[0][0] is codes.NEGATE
        return negated, tuple(argument[1:] if negated else argument)
    raise Unreadable


def _elements(tree: Any) -> Iterable[Element]:
    """Every element of a pattern that reads a character, also of what it only looks at and what is near enough."""
    for code, argument in tree:
        if code in (codes.ASSERT, codes.ASSERT_NOT):
            behind, inner = argument
            if behind > 0 or code is codes.ASSERT:
                yield from _elements(inner)
        elif code in _INNER:
            for inner in _INNER[code](argument):
                yield from _elements(inner)
        elif code not in (codes.AT, codes.FAILURE, codes.GROUPREF):
            yield _element(code, argument)


_INNER: dict[Any, Callable[[Any], Iterable[Any]]] = {
    codes.SUBPATTERN: lambda argument: [argument[3]],
    codes.ATOMIC_GROUP: lambda argument: [argument],
    codes.BRANCH: lambda argument: argument[1],
    codes.MAX_REPEAT: lambda argument: [argument[2]],
    codes.MIN_REPEAT: lambda argument: [argument[2]],
    codes.POSSESSIVE_REPEAT: lambda argument: [argument[2]],
    codes.GROUPREF_EXISTS: lambda argument: [argument[1], argument[2] or []],
}


def _positions(tree: Any) -> int:
    """About how many positions a pattern takes."""
    total = 0
    for code, argument in tree:
        if code is codes.SUBPATTERN:
            total += _positions(argument[3])
        elif code is codes.BRANCH:
            total += sum(map(_positions, argument[1]))
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            least, most, inner = argument
            count = _positions(inner)
            total += count * (most if most * count <= COPIES else max(min(least, COPIES), 1))
        else:
            total += 1
    return total
