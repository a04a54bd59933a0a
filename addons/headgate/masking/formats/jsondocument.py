"""One walk through a JSON document: which values are masked as fields, and which the detector is asked about.

A string that is a document of its own is walked as one, with the whole plan, its names included: as text they would
be looked into as well. A finding that spans several of its members is none, as it is none in the document around it.
Below LEVELS it is looked at as text; where fields are due, which that would miss, it cannot be masked.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from headgate.masking.formats.embedded import MARK, OPENING, Spelling, decode, may_be_document
from headgate.masking.formats.jsonpaths import Mark, State, combined, paths_of
from headgate.masking.formats.jsonsearch import PORTION, Hit, Search
from headgate.masking.formats.scan import DEPTH, Number, read, size, written_out
from headgate.masking.plan import CannotMask, Leaf, Operator, Plan

LEVELS = 4
"""How many documents may be in one another, not counting the outermost one."""


class Content:
    """What is looked into. The document around it is told only when something is masked in it."""

    __slots__ = ("_around", "hits", "plan", "text", "touched")

    def __init__(self, text: str, plan: Plan, around: "Around | None" = None) -> None:
        self.text, self.plan, self._around = text, plan, around
        self.hits: list[Hit] = []
        self.touched = False

    def found(self, hit: Hit) -> None:
        self.hits.append(hit)
        self.touch()

    def touch(self) -> None:
        """Something is masked in it."""
        if self.touched:
            return
        self.touched = True
        if self._around:
            document, at, spelling, marked = self._around
            document.inners.append(Inner(at, self, spelling, marked))
            document.touch()


class Inner(NamedTuple):
    """What a string holds, and how it is spelled if that is base64; `marked`: a byte order mark comes before it."""

    at: int
    content: Content
    spelling: Spelling | None
    marked: bool


class Around(NamedTuple):
    """Where a content is: the number of a string in a document, and how the string holds it."""

    document: "Document"
    at: int
    spelling: Spelling | None
    marked: bool


class Prose(Content):
    """A text in base64: the detector is asked about each of its lines. A hit's place is where its line begins."""

    __slots__ = ()

    def search(self, search: Search, key: str) -> None:
        search.turn(self)
        start = 0
        for line in self.text.split("\n"):
            search.add(Leaf(line, key), start)
            start += len(line) + 1


class Document(Content):
    """A JSON text; `fields` are values that paths name. A hit's place is a value's number, inverse for a name."""

    __slots__ = ("_level", "_marks", "_names", "_search", "fields", "inners")

    def __init__(self, text: str, plan: Plan, search: Search, level: int = 0, around: Around | None = None) -> None:
        super().__init__(text, plan, around)
        self._search, self._level = search, level
        self._names = bool(plan.detect) and (plan.keys or level > 0)
        self._marks: dict[int, Mark] = {}
        self.fields: dict[int, Operator] = {}
        self.inners: list[Inner] = []

    def walk(self, value: Any, key: str = "") -> None:
        """`value` is the text parsed, `key` the name above it."""
        self._search.turn(self)
        state = None
        if paths := paths_of(self.plan):
            state, self._marks = paths.start(), paths.found(self.text, value)
        self._walk([value], 0, key, state, 0)

    def _walk(self, value: Any, at: int, key: str, state: State | None, depth: int) -> int:
        """Walk what is directly in an object or array; `at` is the number of the first, and returned is the next."""
        if depth > DEPTH:
            raise CannotMask("nested-too-deeply")
        leaves, places, below = self._search.leaves, self._search.places, None
        detects, marks = bool(self.plan.detect), self._marks
        is_object = type(value) is tuple
        names = self._names and is_object
        steps: Iterable[tuple[Any, Any]] = value if is_object else enumerate(value)
        for step, inner in steps:
            name = step if is_object else key
            if names:
                leaves.append(Leaf(step, key))
                places.append(~at)
            if state or marks:
                below = state.after(step) if state else None
                if ((below and below.mark) or at in marks) and self._mark(at, inner, name, below):
                    at += size(inner, depth)
                    continue
            kind = type(inner)
            if kind is str:
                if inner[:1] in OPENING and self._enter(at, inner, name):
                    pass
                elif detects:
                    leaves.append(Leaf(inner, name))
                    places.append(at)
                at += 1
            elif kind is tuple or kind is list:
                at = self._walk(inner, at + 1, name, below, depth + 1)
            else:
                if kind is Number and detects:
                    leaves.append(Leaf(written_out(inner), name, number=True))
                    places.append(at)
                at += 1
            if len(leaves) >= PORTION:
                self._search.flush()
        return at

    def _mark(self, at: int, value: Any, name: str, state: State | None) -> bool:
        """Do what paths ask for a value; whether nothing else remains to be done for it."""
        mark = combined(mark for mark in (state and state.mark, self._marks.get(at)) if mark)
        if mark and mark.operator:
            self.fields[at] = mark.operator
            self.touch()
            return True
        if value is None or value == "":
            return False
        if type(value) is not str:
            raise CannotMask("not-base64")
        self._decode(at, value, name)
        return True

    def _decode(self, at: int, value: str, name: str) -> None:
        text, spelling = decode(value)
        if not self._enter(at, text, name, spelling) and self.plan.detect:
            Prose(text, self.plan, Around(self, at, spelling, marked=False)).search(self._search, name)
        self._search.turn(self)

    def _enter(self, at: int, text: str, name: str, spelling: Spelling | None = None) -> bool:
        """Walk what a string holds as the document that it is; whether it is one."""
        if not may_be_document(text) or (self._level >= LEVELS and not paths_of(self.plan)):
            return False
        body = text.removeprefix(MARK)
        value = _parsed(body)
        if value is None:
            return False
        if self._level >= LEVELS:
            raise CannotMask("nested-too-deeply")
        around = Around(self, at, spelling, marked=len(body) < len(text))
        Document(body, self.plan, self._search, self._level + 1, around).walk(value, name)
        self._search.turn(self)
        return True


def _parsed(text: str) -> Any:
    """The value of a document in a string; None when it is text."""
    try:
        value = read(text)
    except CannotMask as cannot:
        if cannot.reason == "invalid-json":
            return None
        raise
    return value if type(value) is not str or may_be_document(value) else None
