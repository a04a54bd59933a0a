"""Which values of a document the JSONPaths of a plan name (RFC 9535).

Paths of names, indexes and wildcards, with or without descent, are followed all together in one walk, by an automaton
whose states are made when a document first needs them. They see every one of several members of a name. Paths with
filters, slices or indexes from the end are left to the library, which reads the document for itself.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jsonpath_rfc9535 import JSONPathError, JSONPathQuery
from jsonpath_rfc9535 import compile as compile_path

from headgate.masking.formats.scan import read_as_queried, size
from headgate.masking.plan import CannotMask, Named, Operator, Plan, strongest

_NAME = r"'(?:[^'\\]|\\.)*'"
_STEP = rf"(?:{_NAME}|\*|\d+)"
_SEGMENT = re.compile(rf"(\.\.)?\[({_STEP}(?:, {_STEP})*)\]")
_STEPS = re.compile(_STEP)
_ESCAPED = re.compile(r"\\u[0-9a-fA-F]{4}|\\.")

BRANCHES = 8
"""Segments that several steps match, or descents, below a descent: each of them may double the states there are."""

STATES = 10_000
"""States that are kept for the next document; with more, it begins with none."""

Step = str | int
"""A member's name or an array's index."""


class Mark(NamedTuple):
    """What is due for a value that paths name: an operator, and whether it is base64 of something to mask."""

    operator: Operator | None
    encoded: bool


class Segment(NamedTuple):
    """One segment of a path; `anything` is a wildcard, `descends` lets any number of steps come before it."""

    descends: bool
    steps: frozenset[Step]
    anything: bool


class Route(NamedTuple):
    segments: tuple[Segment, ...]
    mark: Mark


ROOT = Segment(descends=False, steps=frozenset(), anything=True)
"""What every route begins with: a document is walked as the one element of an array."""

Active = frozenset[tuple[int, int]]
"""Routes by their index, each with how many of its segments have been followed."""


class State:
    """How far all routes have come. `mark` is what is due here, `ends` says that none of them leads further."""

    __slots__ = ("_active", "_known", "_next", "_routes", "_steps", "ends", "mark")

    def __init__(self, routes: Sequence[Route], active: Active, known: dict[Active, "State"]) -> None:
        self.mark = combined(routes[route].mark for route, at in active if at == len(routes[route].segments))
        self._active = [(route, at) for route, at in active if at < len(routes[route].segments)]
        self.ends = not self._active
        self._routes, self._known = routes, known
        self._steps = {step for route, at in self._active for step in routes[route].segments[at].steps}
        self._next: dict[Step | None, State | None] = {}

    def after(self, step: Step) -> "State | None":
        """The state one step further down; None when no path leads there."""
        known = step if step in self._steps else None
        if known not in self._next:
            self._next[known] = self._reached(frozenset(self._follow(step)))
        return self._next[known]

    def _reached(self, active: Active) -> "State | None":
        if active and active not in self._known:
            self._known[active] = State(self._routes, active, self._known)
        return self._known[active] if active else None

    def _follow(self, step: Step) -> Iterator[tuple[int, int]]:
        for route, at in self._active:
            segment = self._routes[route].segments[at]
            if segment.anything or step in segment.steps:
                yield route, at + 1
            if segment.descends:
                yield route, at


class Paths:
    """The paths of one plan."""

    def __init__(self, given: Sequence[tuple[str, Mark]]) -> None:
        routes: list[Route] = []
        self._others: list[tuple[JSONPathQuery, Mark]] = []
        branches = 0
        for path, mark in given:
            query = compile_path(path)
            segments = _segments(str(query))
            branches += _branches(segments or ())
            if segments is None or branches > BRANCHES:
                self._others.append((query, mark))
            else:
                routes.append(Route((ROOT, *segments), mark))
        self._routes = tuple(routes)
        self._known: dict[Active, State] = {}

    def start(self) -> State | None:
        """The state above the root; None without any path that an automaton can follow."""
        if not self._routes:
            return None
        if len(self._known) > STATES:
            self._known = {}
        active = frozenset((route, 0) for route in range(len(self._routes)))
        if active not in self._known:
            self._known[active] = State(self._routes, active, self._known)
        return self._known[active]

    def found(self, text: str, value: Any) -> dict[int, Mark]:
        """What the library finds in a document, by the number of the value; `value` is the text parsed."""
        if not self._others:
            return {}
        document = read_as_queried(text)
        tree: dict[Any, Any] = {}
        for query, mark in self._others:
            try:
                for node in query.finditer(document):
                    _plant(tree, node.location, mark)
            except JSONPathError:
                raise CannotMask("path-not-evaluated") from None
        marks: dict[int, Mark] = {}
        _number(value, tree, 0, 0, marks)
        return marks


def paths_of(plan: Plan) -> Paths | None:
    """None when a plan has no paths."""
    return _compiled(plan.paths, plan.encoded) if plan.paths or plan.encoded else None


@lru_cache(maxsize=256)
def _compiled(paths: Named, encoded: tuple[str, ...]) -> Paths:
    given = [(path, Mark(operator, encoded=False)) for path, operator in paths]
    return Paths([*given, *((path, Mark(None, encoded=True)) for path in encoded)])


def combined(marks: Iterable[Mark]) -> Mark | None:
    every = list(marks)
    if not every:
        return None
    operator = strongest(mark.operator for mark in every if mark.operator)
    return Mark(operator, any(mark.encoded for mark in every))


def _segments(path: str) -> tuple[Segment, ...] | None:
    """The segments of a path as the library spells it; None when some are more than names, indexes and wildcards."""
    segments, at = [], 1
    while at < len(path):
        found = _SEGMENT.match(path, at)
        if found is None:
            return None
        steps = _STEPS.findall(found[2])
        named = frozenset(_step(step) for step in steps if step != "*")
        segments.append(Segment(found[1] is not None, named, "*" in steps))
        at = found.end()
    return tuple(segments)


def _step(spelled: str) -> Step:
    if spelled[0] != "'":
        return int(spelled)
    return _ESCAPED.sub(lambda e: "'" if e[0] == r"\'" else json.loads(f'"{e[0]}"'), spelled[1:-1])


def _branches(segments: Sequence[Segment]) -> int:
    """How many segments of a path may each double the states, as a value may match them at several depths at once."""
    first = next((at for at, segment in enumerate(segments) if segment.descends), len(segments))
    below = segments[first:]
    several = sum(segment.anything or len(segment.steps) > 1 for segment in below)
    return several + sum(segment.descends for segment in below[1:])


def _plant(tree: dict[Any, Any], location: Iterable[Step], mark: Mark) -> None:
    for step in location:
        tree = tree.setdefault(step, {})
    tree[None] = combined([mark, tree.get(None, mark)])


def _number(value: Any, tree: dict[Any, Any], at: int, depth: int, marks: dict[int, Mark]) -> int:
    """Tell the number of each value that a tree of locations has a mark for; returns how far was counted."""
    if None in tree:
        marks[at] = tree[None]
    at += 1
    for step, inner in value if type(value) is tuple else enumerate(value) if type(value) is list else ():
        below = tree.get(step)
        at = _number(inner, below, at, depth + 1, marks) if below else at + size(inner, depth + 1)
    return at
