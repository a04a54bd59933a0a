"""The values of a JSON document as a tree, each with where it stands."""

from typing import NamedTuple

from headgate.masking.formats.jsonlayout import Layout
from headgate.masking.formats.scan import DEPTH, read, unescape
from headgate.masking.plan import CannotMask


class Node(NamedTuple):
    """`spelled` stands from `start` to `end`; `name` is empty for an element, `key` the nearest name above."""

    spelled: str
    start: int
    end: int
    name: str
    key: str
    is_member: bool
    children: list["Node"]

    @property
    def kind(self) -> str:
        """The first character of a value tells what it is."""
        return self.spelled[0]

    @property
    def text(self) -> str:
        """What a string says."""
        return unescape(self.spelled)


def tree_of(text: str) -> Node:
    """CannotMask("invalid-json") when the text is no JSON; other reasons when it is too much of it."""
    read(text)
    layout = Layout(text)
    nodes: list[Node] = []
    depths: list[int] = []
    for at, parent in enumerate(layout.parents):
        above = nodes[parent] if parent >= 0 else None
        depths.append(depths[parent] + 1 if above else 0)
        if depths[at] > DEPTH:
            raise CannotMask("nested-too-deeply")
        is_member = layout.is_member(at)
        name = layout.name(at) if is_member else ""
        key = name if is_member or above is None else above.key
        start, end = layout.starts[at], layout.ends[at]
        spelled = text[start] if text[start] in "{[" else text[start:end]
        nodes.append(node := Node(spelled, start, end, name, key, is_member, []))
        if above:
            above.children.append(node)
    return nodes[0]
