"""One YAML document as a tree of nodes that know their line and column."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Location = tuple[str | int, ...]
"""A path into the document, such as ("rules", 0, "match")."""


class Place(NamedTuple):
    """Counted from 1."""

    line: int
    column: int


TOP = Place(1, 1)
NOWHERE = Place(0, 0)
"""The file as a whole."""


@dataclass(slots=True)
class Scalar:
    place: Place
    value: Any
    text: str  # as written
    plain: bool  # without quotes, so that YAML may take it for something else than text


@dataclass(slots=True)
class Sequence:
    place: Place
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    place: Place
    items: "dict[str, Node]" = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


class Fault(NamedTuple):
    """Something wrong with a file, not yet with the file's name."""

    place: Place
    message: str


def plain(node: Node) -> Any:
    """The document as plain values: dicts with text keys, lists, scalars."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items.items()}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.value


def descend(node: Node, location: Location) -> Iterator[tuple[str | int, Node]]:
    """The nodes on the way to a location; steps that the document does not have are passed over."""
    for step in location:
        inner: Node | None = None
        if isinstance(node, Mapping):
            inner = node.items.get(step) if isinstance(step, str) else None
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            inner = node.items[step]
        if inner is not None:
            node = inner
            yield step, node


def place_of(node: Node, location: Location) -> Place:
    """Where a location stands, or the nearest thing around it that is there."""
    for _, inner in descend(node, location):
        node = inner
    return node.place
