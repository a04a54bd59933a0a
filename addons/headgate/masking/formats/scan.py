"""Where each value of a JSON text (RFC 8259) stands in it, so that masking replaces characters, not the document.

A text is first read by the standard library, which refuses what is not JSON; the scan then relies on its grammar.
Number spelling, white space, escapes, the order of members and repeated ones never pass through a parser's values.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from headgate.masking.plan import CannotMask

DEPTH = 100
"""Documents nested more deeply are not masked; it is also how far JSONPath descends."""

STRUCTURE = 1_000_000
"""Documents with more commas, colons and brackets are not masked: it bounds time and memory."""

CONTAINERS = frozenset("{[")

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}\[\]]|[^\s{}\[\],:"]+', re.DOTALL)
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)


_NOTHING: "list[Node]" = []


class Node:
    """One value; text[start:end] spells it, and text[outer:end] its whole member, name included.

    `kind` is its first character: `{`, `[`, `"`, `-` or a digit, `t`, `f` or `n`. `name` is the member's name, or
    the index in an array; the root has no parent. Only containers have children.
    """

    __slots__ = ("children", "end", "kind", "name", "outer", "parent", "start")

    def __init__(self, kind: str, start: int, end: int, parent: "Node | None", name: str | int, outer: int) -> None:
        self.kind, self.start, self.end, self.parent, self.name, self.outer = kind, start, end, parent, name, outer
        self.children: list[Node] = [] if kind in CONTAINERS else _NOTHING

    @property
    def is_container(self) -> bool:
        return self.kind in CONTAINERS

    @property
    def is_number(self) -> bool:
        return self.kind == "-" or self.kind.isdigit()

    @property
    def key(self) -> str:
        """The nearest member name above, empty at the root: what a value in an array is called, too."""
        node: Node | None = self
        while node is not None and node.parent is not None:
            if isinstance(node.name, str):
                return node.name
            node = node.parent
        return ""

    def pointer(self, index: str | None = None) -> str:
        """Where this is, as a JSON Pointer (RFC 6901); `index` replaces every array index."""
        steps: list[str] = []
        node = self
        while node.parent is not None:
            name = node.name if isinstance(node.name, str) else index or str(node.name)
            steps.append(name.replace("~", "~0").replace("/", "~1"))
            node = node.parent
        return "".join(f"/{step}" for step in reversed(steps))

    def descend(self) -> Iterator["Node"]:
        """This node and all below it, in the order of the text."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


def read(text: str) -> Any:
    """The value of a JSON text; CannotMask when it is not JSON, or too much of it."""
    if sum(map(text.count, ",:[{")) > STRUCTURE:
        raise CannotMask("document-too-large")
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise CannotMask("nested-too-deeply") from None
    except ValueError:
        raise CannotMask("invalid-json") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def scan(text: str) -> Node:
    """The root of a text that `read` has accepted; CannotMask when it is nested too deeply."""
    outside = container = Node("[", 0, 0, None, "", 0)
    name, outer, depth = "", 0, 0
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        first = text[start]
        if first in "}]":
            container.end = end
            container, depth = container.parent or outside, depth - 1
        elif token.start(1) >= 0:
            name, outer = unescape(text[start : token.start(1)]), start
        else:
            siblings = container.children
            in_object = container.kind == "{"
            place, begin = (name, outer) if in_object else (len(siblings), start)
            node = Node(first, start, end, container if depth else None, place, begin)
            siblings.append(node)
            if first in CONTAINERS:
                container, depth = node, depth + 1
                if depth > DEPTH:
                    raise CannotMask("nested-too-deeply")
    return outside.children[0]


def unescape(raw: str) -> str:
    """The characters of a JSON string, given with its quotes."""
    return str(json.loads(raw)) if "\\" in raw else raw[1:-1]


def offsets(raw: str) -> list[int]:
    """For each character of a JSON string without its quotes, where its spelling begins; the end comes last."""
    return [character.start() for character in _CHARACTER.finditer(raw)] + [len(raw)]
