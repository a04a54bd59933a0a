"""The parts of an expression as the engine gets them, and what operators make of two.

CEL compares values of different types without complaint: `["delete"] == "delete"` is false there, and so is a NaN
against anything. A caller could slip out of `request.body.action == "delete"` by another type. So each operator is
written anew, in a form in which what is not of the type that it is compared with is an error, that is unknown:

- `a == b` where only one type is known is `(a <= b && a >= b)`, for the engine orders values of one type only;
- `a in list` is asked after `a` has been compared with the first item (the values of a request come in lists of one
  type only), and never of an object whose type nothing tells, where it would ask for names;
- arithmetic goes through `_finite`, so that there is no NaN and no infinity.
"""

from typing import NamedTuple

from headgate.match.expressions.tree import Refused
from headgate.match.expressions.types import ANY, BOOL, DOUBLE, DURATION, INT, NULL, TEXT, TIMESTAMP, Type

Path = tuple[str, ...]

NUMBERS = (INT, DOUBLE)
ORDERED = (INT, DOUBLE, TEXT, TIMESTAMP, DURATION, BOOL)

_TIMES = {
    ("timestamp", "-", "timestamp"): DURATION,
    ("timestamp", "-", "duration"): TIMESTAMP,
    ("timestamp", "+", "duration"): TIMESTAMP,
    ("duration", "+", "timestamp"): TIMESTAMP,
    ("duration", "+", "duration"): DURATION,
    ("duration", "-", "duration"): DURATION,
}


class Piece(NamedTuple):
    """A part of the expression for the engine; `path` as long as it is one value of the request by its name."""

    code: str
    type: Type
    path: Path | None = None


def named(of: Type) -> str:
    """A type in words."""
    words = {"int": "an int", "values": "a list", "any": "any value", "null": "null"}
    return words.get(of.name, f"a {of.name}")


def alike(*types: Type) -> bool:
    """Whether values of these types can be equal."""
    return len(set(types)) == 1 or set(types) <= set(NUMBERS)


def equal(at: int, left: Piece, right: Piece) -> str:
    """In brackets; an error where the types differ, except that anything may be compared with a written `null`."""
    plain = f"({left.code} == {right.code})"
    if NULL in (left.type, right.type):
        other = right.type if left.type is NULL else left.type
        if other not in (ANY, NULL):
            raise Refused(at, f"{named(other)} is never null; accepted: `has()` tells whether a value is there")
        return plain
    if ANY not in (left.type, right.type):
        if not alike(left.type, right.type):
            raise Refused(at, f"{named(left.type)} is never {named(right.type)}; accepted: values of one type")
        return plain
    other = right.type if left.type is ANY else left.type
    if other not in (*ORDERED, ANY):
        accepted = "`in`, `all` and `size` say what a list holds"
        raise Refused(at, f"{named(other)} is not compared with a value of any type; accepted: {accepted}")
    return f"({left.code} <= {right.code} && {left.code} >= {right.code})"


def ordered(at: int, op: str, left: Piece, right: Piece) -> Piece:
    _one_type(at, op, left, right, ORDERED)
    return Piece(f"({left.code} {op} {right.code})", BOOL)


def one_of(at: int, left: Piece, items: list[Piece], *, written: bool) -> Piece:
    """`x in [a, b]` as `x == a || x == b`, so that each is compared by the same rules; `written`: all are literals."""
    if written and len({item.type for item in items}) == 1:
        equal(at, left, items[0])  # refuses what can never be
        found = f"{left.code} in [{', '.join(item.code for item in items)}]"
        if left.type is ANY and items[0].type is not NULL:
            found = f"{left.code} <= {items[0].code} ? {found} : {found}"
        return Piece(f"({found})", BOOL)
    return Piece(f"({' || '.join(equal(at, left, item) for item in items)})", BOOL)


def contained(at: int, left: Piece, right: Piece) -> Piece:
    """`x in list`, or `x in map` for one of its names."""
    item, code = left.code, right.code
    if right.type.name not in ("list", "values", "map", "any"):
        raise Refused(at, f"`in` does not take {named(right.type)}; accepted: a list")
    if right.type is ANY:
        found = f"({code}[0] <= {item} ? {item} in {code} : {item} in {code})"
        return Piece(f"(size({code} + []) == 0 ? false : {found})", BOOL)
    of = TEXT if right.type.name == "map" else right.type.of or ANY
    if of not in ORDERED:
        raise Refused(at, "`in` cannot compare items of any type here; accepted: `exists(x, x == ...)`")
    if left.type is ANY:
        sample = {TEXT: '""', BOOL: "true"}.get(of, "0")
        return Piece(f"({item} <= {sample} ? {item} in {code} : {item} in {code})", BOOL)
    if not alike(left.type, of):
        raise Refused(at, f"{named(left.type)} is never in this list; accepted: {named(of)}")
    return Piece(f"({item} in {code})", BOOL)


def arithmetic(at: int, op: str, left: Piece, right: Piece) -> Piece:
    code, types = f"({left.code} {op} {right.code})", {left.type, right.type}
    if (gives := _TIMES.get((left.type.name, op, right.type.name))) is not None:
        return Piece(code, gives)
    if op == "+" and TEXT in types and types <= {TEXT, ANY}:
        return Piece(code, TEXT)
    if op == "+" and left.type.name == "list" and left.type == right.type:
        return Piece(code, left.type)
    if types == set(NUMBERS):
        raise Refused(at, f"`{op}` does not mix int and double; accepted: `double(x)` or `int(x)` makes one")
    gives = _one_type(at, op, left, right, NUMBERS)
    return Piece(code, INT) if gives is INT else Piece(f"_finite{code}", ANY)


def negative(at: int, piece: Piece, *, written: bool) -> Piece:
    """`0 - x`, for the engine takes the smallest int for its own negative."""
    if piece.type not in (*NUMBERS, ANY):
        raise Refused(at, f"`-` does not take {named(piece.type)}; accepted: a number")
    if written:
        return Piece(f"(-{piece.code})", piece.type)
    return Piece(f"(0 - {piece.code})", INT) if piece.type is INT else Piece(f"_finite(-{piece.code})", ANY)


def _one_type(at: int, op: str, left: Piece, right: Piece, types: tuple[Type, ...]) -> Type:
    known = [one.type for one in (left, right) if one.type is not ANY]
    for one in known:
        if one not in types:
            raise Refused(at, f"`{op}` does not take {named(one)}; accepted: {', '.join(kind.name for kind in types)}")
    if known and not alike(*known):
        raise Refused(at, f"`{op}` does not take {named(known[0])} and {named(known[1])}; accepted: one type")
    return known[0] if len(known) == 2 else ANY
