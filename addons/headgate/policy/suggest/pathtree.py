"""Concrete paths grouped into templates, in bounded memory however many there are.

A segment is a word or a value (`segments.py`). Values at one place are one variable. Words stay apart, unless so many
different ones stand at a place where values are expected that they must be names of things, too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self

from headgate.match import PathTemplate
from headgate.policy.suggest.segments import is_value, may_hold_values, variable_name

MANY = 10
"""Different words behind a noun from which on they are names, as in `/users/ana`."""

MOST_WORDS = 200
"""Different words at any place from which on they are values, wherever they stand."""

MOST_NODES = 50_000
DEEPEST = 64

_SAMPLES = 3


class Mergeable(Protocol):
    def merge(self, other: Self) -> None: ...


@dataclass(slots=True)
class _Node[Leaf: Mergeable]:
    """What follows a segment: words, each by itself, and values, all together; `leaf` is what ends here."""

    words: dict[str, "_Node[Leaf]"] = field(default_factory=dict)
    values: "_Node[Leaf] | None" = None
    samples: set[str] = field(default_factory=set)
    only_values: bool = False
    leaf: Leaf | None = None

    def merge(self, other: "_Node[Leaf]") -> None:
        for word, node in other.words.items():
            mine = self.words.setdefault(word, node)
            if mine is not node:
                mine.merge(node)
        if other.values is not None:
            self.values = _merged(self.values, other.values)
        self.samples = set(sorted(self.samples | other.samples)[:_SAMPLES])
        self.only_values |= other.only_values
        if other.leaf is not None:
            if self.leaf is None:
                self.leaf = other.leaf
            else:
                self.leaf.merge(other.leaf)
        if self.only_values:
            self.fold()

    def fold(self) -> None:
        """Take every word for a value, but for the nothing behind a slash at the end."""
        self.only_values = True
        for word in [word for word in self.words if word]:
            self.samples = set(sorted({*self.samples, word})[:_SAMPLES])
            self.values = _merged(self.values, self.words.pop(word))


def _merged[Leaf: Mergeable](mine: _Node[Leaf] | None, other: _Node[Leaf]) -> _Node[Leaf]:
    if mine is None:
        return other
    mine.merge(other)
    return mine


class PathTree[Leaf: Mergeable]:
    """Things by the path where they were seen; `make` makes a new one."""

    def __init__(self, make: Callable[[], Leaf]) -> None:
        self._make, self._root, self._nodes = make, _Node[Leaf](), 0

    def at(self, path: str) -> Leaf | None:
        """What is at this path and those like it; None if it is no path of a request, or there is no room for it."""
        segments = path.split("/")[1:]
        if not path.startswith("/") or len(segments) > DEEPEST or "" in segments[:-1]:
            return None
        if self.is_full:
            return None
        node = self._root
        for segment in segments:
            node = self._below(node, segment)
        if node.leaf is None:
            node.leaf = self._make()
        return node.leaf

    @property
    def is_full(self) -> bool:
        return self._nodes > MOST_NODES - DEEPEST

    def templates(self) -> Iterator[tuple[str, Leaf]]:
        """Each template with what was seen there, in order; to be asked once, when everything has been seen."""
        _tidy(self._root, None)
        yield from _walk(self._root, "", None, ())

    def _below(self, node: _Node[Leaf], segment: str) -> _Node[Leaf]:
        known = node.words.get(segment)
        if known is not None:
            return known
        if segment and (node.only_values or is_value(segment) or not _is_literal(segment)):
            if len(node.samples) < _SAMPLES:
                node.samples.add(segment)
            if node.values is None:
                node.values, self._nodes = _Node(), self._nodes + 1
            return node.values
        if len(node.words) >= MOST_WORDS:
            node.fold()
            return self._below(node, segment)
        made = node.words[segment] = _Node[Leaf]()
        self._nodes += 1
        return made


def _is_literal(segment: str) -> bool:
    """Whether a template can have it as it is."""
    try:
        return not PathTemplate.parse(f"/{segment}").names
    except ValueError:
        return False


def _tidy[Leaf: Mergeable](node: _Node[Leaf], before: str | None) -> None:
    if len(node.words) >= MANY and may_hold_values(before):
        node.fold()
    for word, below in node.words.items():
        _tidy(below, word)
    if node.values is not None:
        _tidy(node.values, None)


def _walk[Leaf: Mergeable](
    node: _Node[Leaf], path: str, before: str | None, names: tuple[str, ...]
) -> Iterator[tuple[str, Leaf]]:
    if node.leaf is not None:
        yield path, node.leaf
    for word, below in sorted(node.words.items()):
        yield from _walk(below, f"{path}/{word}", word, names)
    if node.values is not None:
        name = variable_name(before, node.samples, names)
        yield from _walk(node.values, f"{path}/{{{name}}}", None, (*names, name))
