"""The tree of an expression, and the one error of all that reads it."""

from dataclasses import dataclass
from typing import Any


class Refused(ValueError):
    """`at` is the offset of what is wrong; `syntax` says that it is no CEL at all."""

    def __init__(self, at: int, why: str, *, syntax: bool = False) -> None:
        super().__init__(why)
        self.at, self.syntax = at, syntax


@dataclass(frozen=True, slots=True)
class Node:
    """`at` is the offset of what tells it apart: its operator, its name, its first character."""

    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    code: str
    value: Any


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    of: Node | None
    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: str
    of: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`&&` or `||` of any number of parts."""

    op: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice(Node):
    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Items(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pairs(Node):
    pairs: tuple[tuple[Node, Node], ...]


def start(node: Node) -> int:
    """The offset at which a part of an expression begins, parentheses aside."""
    match node:
        case Member(_, of) | Index(_, of) | Binary(_, _, of) | Choice(_, of) | Call(_, Node() as of):
            return start(of)
        case Logic(_, _, (first, *_)):
            return start(first)
    return node.at
