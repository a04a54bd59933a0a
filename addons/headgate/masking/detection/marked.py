"""A YAML file that rules name, as plain values, with the line and column at which each of them stands.

Read like the rules themselves: no anchors, no aliases, no tags, one document, a bounded depth, no key twice; dates stay
text. So what is checked is what was written, and a file cannot grow when read.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.constructor import SafeConstructor

MAX_DEPTH = 16
MAX_NUMBER = 100
"""Characters: numbers of thousands of digits take time without end."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_READ = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}
_BEGINS = (yaml.SequenceStartEvent, yaml.MappingStartEvent)

Location = tuple[str | int, ...]


class Fault(NamedTuple):
    """`line` and `column` count from 1."""

    line: int
    column: int
    message: str


class Unreadable(Exception):
    """The file cannot be read to its end, and why."""

    def __init__(self, mark: Any, message: str) -> None:
        self.fault = Fault(mark.line + 1, mark.column + 1, message) if mark else Fault(1, 1, message)
        super().__init__(message)


class Marked:
    """The document as dicts, lists and scalars; `faults` are duplicate keys and the like. Raises Unreadable."""

    def __init__(self, data: bytes) -> None:
        self.faults: list[Fault] = []
        self._places: dict[Location, Any] = {}
        try:
            text = data.decode("utf-8-sig")
            _refuse_growth(text)
            node = yaml.compose(text, Loader=_LOADER)
        except UnicodeDecodeError:
            raise Unreadable(None, "not UTF-8; accepted: UTF-8") from None
        except yaml.YAMLError as error:
            what = getattr(error, "problem", None) or "unreadable"  # without the excerpt: a line may hold anything
            raise Unreadable(getattr(error, "problem_mark", None), f"not YAML: {what}") from None
        if node is None:
            raise Unreadable(None, "the file is empty; accepted: a mapping")
        self._places[()] = node.start_mark
        self.value = self._plain(node, ())

    def fault(self, where: Location, message: str) -> Fault:
        """A problem at a location, or at the nearest thing around it that is there."""
        around = (where[:depth] for depth in range(len(where), -1, -1))
        mark = next(self._places[step] for step in around if step in self._places)
        return Fault(mark.line + 1, mark.column + 1, message)

    def _plain(self, node: yaml.Node, where: Location) -> Any:
        if isinstance(node, yaml.MappingNode):
            return dict(self._members(node, where))
        if isinstance(node, yaml.SequenceNode):
            self._places.update({(*where, at): item.start_mark for at, item in enumerate(node.value)})
            return [self._plain(item, (*where, at)) for at, item in enumerate(node.value)]
        return self._scalar(node, where)

    def _members(self, node: yaml.MappingNode, where: Location) -> Iterator[tuple[str, Any]]:
        """The place of a member is that of its key."""
        for key, value in node.value:
            there = (*where, key.value) if isinstance(key, yaml.ScalarNode) else ()
            if key.tag != f"{_TAG}str":
                message = "a key is not text; accepted: text, in quotes where YAML would take it for something else"
                self.faults.append(Fault(key.start_mark.line + 1, key.start_mark.column + 1, message))
            elif there in self._places:
                message = f"`{key.value[:80]}` is given twice; accepted: each key once"
                self.faults.append(Fault(key.start_mark.line + 1, key.start_mark.column + 1, message))
            else:
                self._places[there] = key.start_mark
                yield key.value, self._plain(value, there)

    def _scalar(self, node: yaml.Node, where: Location) -> Any:
        if node.tag not in _READ:
            return node.value
        try:
            if len(node.value) > MAX_NUMBER:
                raise ValueError
            return SafeConstructor().construct_object(node)
        except ValueError:
            self.faults.append(self.fault(where, "a number cannot be read; accepted: text in quotes"))
            return node.value


def _refuse_growth(text: str) -> None:
    """What makes a file say more than it shows, or take more memory than it has bytes."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, _BEGINS) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise Unreadable(event.start_mark, "a second document begins; accepted: one document in a file")
        if depth > MAX_DEPTH:
            raise Unreadable(event.start_mark, f"nested deeper than {MAX_DEPTH} levels; accepted: up to {MAX_DEPTH}")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            what = "an anchor or alias stands here; accepted: none, and text that begins with `&` or `*` in quotes"
            raise Unreadable(event.start_mark, what)
        if getattr(event, "tag", None) is not None:
            what = "a tag stands here; accepted: none, and text that begins with `!` in quotes"
            raise Unreadable(event.start_mark, what)
