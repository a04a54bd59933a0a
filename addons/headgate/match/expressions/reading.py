"""What the names, operators and literals of an expression stand for, and of which types they are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any

from headgate.match.expressions import pieces
from headgate.match.expressions.pieces import Path, Piece, named
from headgate.match.expressions.tree import (
    Binary,
    Call,
    Choice,
    Index,
    Items,
    Literal,
    Logic,
    Member,
    Name,
    Node,
    Pairs,
    Refused,
    Unary,
    start,
)
from headgate.match.expressions.types import ANY, BOOL, DOUBLE, INT, KIND, NULL, TEXT, TYPES, VARIABLES, Type
from headgate.match.header_names import plain_name
from headgate.match.headers import CREDENTIALS, NEVER_SEEN

MAX_CODE = 10_000
"""Characters handed to the engine; comparisons within comparisons multiply."""

_TYPE_OF: dict[type[Any], Type] = {bool: BOOL, int: INT, float: DOUBLE, str: TEXT, type(None): NULL}


class Use(Enum):
    """What of a value is needed: all of it, or whether it is there."""

    WHOLE = "whole"
    PRESENCE = "presence"


@dataclass(slots=True)
class Checked:
    """`uses` are the values referred to; `names` the members asked for of any others; `copies`: lists must be short."""

    code: str = ""
    uses: dict[Path, Use] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    patterns: dict[str, Callable[[object], bool | None]] = field(default_factory=dict)
    copies: bool = False


class Reader(ABC):
    """`scope` holds the variable of the macro that is being read; there is one macro at most."""

    def __init__(self, widen: bool) -> None:
        self.found = Checked()
        self.widen, self.scope, self.macro = widen, dict[str, Type](), ""

    def value(self, node: Node) -> Piece:
        """A part whose whole value counts."""
        piece = self.piece(node)
        if piece.type.members is not None:
            members = accepted("", piece.type.members, f"{piece.code}.")
            raise Refused(start(node), f"`{piece.code}` is no value by itself; {members}")
        if len(piece.code) > MAX_CODE:
            raise Refused(node.at, "comparisons within comparisons grow too large; accepted: fewer levels of them")
        self.use(piece.path, Use.WHOLE)
        return piece._replace(path=None)

    def piece(self, node: Node) -> Piece:
        """Any part; of a value by its name nothing is used yet."""
        match node:
            case Name():
                return self._variable(node)
            case Member(at, of, name):
                return self._member(at, self.piece(of), name, f".{name}")
            case Index(_, of, Literal(at, code, str(name))):
                return self._member(at, self.piece(of), name, f"[{code}]")
            case Index():
                return self._item(node)
            case Literal(_, code, value):
                return Piece(code, _TYPE_OF[type(value)])
            case Logic(_, op, parts):
                codes = [self.boolean(part, f"`{op}`") for part in parts]
                return Piece(f"({f' {op} '.join(codes)})", BOOL)
            case Call():
                return self.call(node)
        return self._compound(node)

    def _compound(self, node: Node) -> Piece:
        match node:
            case Unary(_, "!", of):
                return Piece(f"!({self.boolean(of, '`!`')})", BOOL)
            case Unary(at, _, of):
                return pieces.negative(at, self.value(of), written=isinstance(of, Literal))
            case Binary():
                return self._binary(node)
            case Choice():
                return self._choice(node)
            case Items():
                return self._items(node)
            case Pairs():
                return self._pairs(node)
        raise TypeError(type(node).__name__)

    def use(self, path: Path | None, use: Use) -> None:
        if path is not None and self.found.uses.get(path) is not Use.WHOLE:
            self.found.uses[path] = use

    def _variable(self, node: Name) -> Piece:
        if (local := self.scope.get(node.name)) is not None:
            return Piece(node.name, local)
        if (known := VARIABLES.get(node.name)) is not None:
            return Piece(node.name, known, (node.name,))
        if node.name in TYPES:
            return Piece(node.name, KIND)
        raise Refused(node.at, f"`{node.name[:40]}` is not known; {accepted(node.name, (*VARIABLES, *self.scope))}")

    def _member(self, at: int, of: Piece, name: str, code: str) -> Piece:
        path = None if of.path is None else (*of.path, name)
        if of.type.members is not None:
            if name not in of.type.members:
                members = accepted(name, of.type.members, f"{of.code}.")
                raise Refused(at, f"`{of.code}.{name[:40]}` is not known; {members}")
            return Piece(of.code + code, of.type.members[name], path)
        if of.type.name not in ("map", "any"):
            raise Refused(at, f"`{of.code[:80]}` is {named(of.type)}, which has no members; accepted: those of a map")
        if of.path == ("request", "headers"):
            _seen(at, name)
        if path is None:
            self.found.names.add(name)
        return Piece(of.code + code, of.type.of or ANY, path)

    def _item(self, node: Index) -> Piece:
        of, key = self.value(node.of), self.value(node.key)
        if of.type.name == "values":
            if key.code != "0":
                accepted = "`[0]` where there is one, `in`, `exists` and `all` where there may be several"
                raise Refused(node.at, f"of several values of a name none may be picked; accepted: {accepted}")
            return Piece(f"(size({of.code}) == 1 ? {of.code}[0] : {of.code}[size({of.code})])", TEXT)
        by = {"list": (INT,), "map": (TEXT,), "any": (INT, TEXT)}.get(of.type.name)
        if by is None:
            raise Refused(node.at, f"{named(of.type)} has no items; accepted: a list or a map")
        if key.type not in (*by, ANY):
            raise Refused(start(node.key), f"{named(of.type)} takes no {key.type.name} here; accepted: {named(by[0])}")
        return Piece(f"{of.code}[{key.code}]", of.type.of or ANY)

    def boolean(self, node: Node, taker: str) -> str:
        piece = self.value(node)
        if piece.type not in (BOOL, ANY):
            raise Refused(start(node), f"{taker} takes booleans, not {named(piece.type)}; accepted: comparisons")
        return piece.code

    def _choice(self, node: Choice) -> Piece:
        test = self.boolean(node.test, "`?`")
        yes, no = self.value(node.yes), self.value(node.no)
        return Piece(f"({test} ? {yes.code} : {no.code})", yes.type if yes.type == no.type else ANY)

    def _binary(self, node: Binary) -> Piece:
        left, at, op = self.value(node.left), node.at, node.op
        if op == "in":
            return self._in(node, left)
        right = self.value(node.right)
        if op in ("==", "!="):
            equal = pieces.equal(at, left, right)
            return Piece(f"!{equal}" if op == "!=" else equal, BOOL)
        if op in ("<", "<=", ">", ">="):
            return pieces.ordered(at, op, left, right)
        made = pieces.arithmetic(at, op, left, right)
        if op == "+" and self.macro == "map" and not {left.type, right.type, made.type} & set(pieces.NUMBERS):
            raise Refused(at, "`map` would keep texts or lists put together for each item; accepted: numbers")
        return made

    def _in(self, node: Binary, left: Piece) -> Piece:
        if isinstance(node.right, Items):
            items = [self.value(item) for item in node.right.items]
            if not items:
                raise Refused(node.right.at, "an empty list holds nothing; accepted: at least one item")
            return pieces.one_of(node.at, left, items, written=all(isinstance(i, Literal) for i in node.right.items))
        right = self.piece(node.right)
        if right.path is not None and right.type.name == "map" and isinstance(node.left, Literal) and left.type is TEXT:
            name = self._member(node.left.at, right, node.left.value, "")
            self.use(name.path, Use.PRESENCE)
            return Piece(f"({left.code} in {right.code})", BOOL)
        return pieces.contained(node.at, left, self.value(node.right))

    def _items(self, node: Items) -> Piece:
        made = [self.value(item) for item in node.items]
        types = {piece.type for piece in made}
        if len(types) > 1 and ANY not in types:
            raise Refused(node.at, "the items are of different types; accepted: a list of values of one type")
        of = types.pop() if len(types) == 1 else ANY
        return Piece(f"[{', '.join(piece.code for piece in made)}]", Type("list", of))

    def _pairs(self, node: Pairs) -> Piece:
        keys = [key for key, _ in node.pairs if isinstance(key, Literal) and isinstance(key.value, str)]
        if len({key.value for key in keys}) < len(node.pairs):
            raise Refused(
                node.at, "the names of this map are not known; accepted: texts that are written out, each once"
            )
        made = [self.value(value) for _, value in node.pairs]
        types = {value.type for value in made}
        code = ", ".join(f"{key.code}: {value.code}" for key, value in zip(keys, made, strict=True))
        return Piece(f"{{{code}}}", Type("map", types.pop() if len(types) == 1 else ANY))

    @abstractmethod
    def call(self, node: Call) -> Piece:
        """A function, a macro or a method."""


def accepted(name: str, known: Iterable[str], prefix: str = "") -> str:
    known = sorted(known)
    near = get_close_matches(name, known, 1)
    listed = "accepted: " + ", ".join(f"`{prefix}{one}`" for one in known)
    return f"did you mean `{prefix}{near[0]}`?; {listed}" if near else listed


def _seen(at: int, name: str) -> None:
    """`Refused` for a header that rules do not see, or not under this name."""
    plain = plain_name(name.encode(errors="replace"))
    if name != name.lower():
        raise Refused(at, f"`{name[:40]}` names no header here; accepted: lower case, such as `{name.lower()[:40]}`")
    if plain in CREDENTIALS:
        raise Refused(at, f"`{name}` holds credentials, which rules do not see; accepted: `principal` says who calls")
    if plain == b"forwarded" or plain.startswith(NEVER_SEEN):
        raise Refused(at, f"`{name[:40]}` says nothing when a caller sends it; accepted: other headers")
