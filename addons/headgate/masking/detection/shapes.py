"""What a pattern is made of, as far as it says which texts cannot hold a match.

A pattern is read with the parser of the standard library's `re` (Presidio's engine, `regex`, does not show its own) and
becomes a shape: characters, sequences, choices and repetitions that allow at least what the pattern allows. Where the
two engines could read a pattern differently, or it says what a shape cannot, there is no shape.

Characters are sets of signs, as bits of an integer: the 128 of ASCII, and three that stand for all others (`OTHER`,
`DIGIT`, `FOLDED`: see `foreign`). A set has at least the signs that the pattern lets match there; `_certain` sets are
the opposite, and serve for what must *not* stand somewhere.
"""

import importlib
import re
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

OTHER, DIGIT, FOLDED = 1 << 128, 1 << 129, 1 << 130
"""Non-ASCII characters: decimal digits, those equal to an ASCII letter when case is ignored, and the rest."""

FOREIGN = OTHER | DIGIT | FOLDED
ASCII = (1 << 128) - 1
ANY = ASCII | FOREIGN


def signs(characters: str) -> int:
    return reduce(or_, (1 << ord(character) for character in characters), 0)


UPPER, LOWER = signs("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), signs("abcdefghijklmnopqrstuvwxyz")
LETTERS = UPPER | LOWER
DIGITS = signs("0123456789")
WORD = LETTERS | DIGITS | signs("_")
SPACE = signs(" \t\n\r\f\v")
CONTROLS = signs("\x1c\x1d\x1e\x1f")
"""White space to `re`, and not to `regex`."""

FOLDING = signs("iksIKS")
"""The ASCII letters that are equal to a character outside ASCII when case is ignored."""


class Unreadable(Exception):
    """A pattern has no shape."""


class Chars(NamedTuple):
    allowed: int


class Seq(NamedTuple):
    items: "tuple[Shape, ...]"


class Alt(NamedTuple):
    choices: "tuple[Shape, ...]"


class Rep(NamedTuple):
    """`item`, `low` times or more; `high` is None where there is no limit."""

    item: "Shape"
    low: int
    high: int | None


class Absent(NamedTuple):
    """None of these characters stands here, or before; and no line's end has to."""

    characters: int
    behind: bool


class Boundary(NamedTuple):
    """The edge of a word."""


Shape = Chars | Seq | Alt | Rep | Absent | Boundary

BOUNDARY = Boundary()
NOTHING = Seq(())
ANYTHING = Rep(Chars(ANY), 0, None)

_QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
_FOLDING_GROUP = re.compile(r"\(\?[a-z]*i")
_LATE_FLAG = re.compile(r"(\A\\b)\(\?i\)")
_READ_DIFFERENTLY = re.compile(r"\[\[|--|&&|~~|\|\||\[:\^?\w+:\]")
"""Nested sets, operations on sets and named classes, which one of the engines knows, or warns of."""


def shape(pattern: str, flags: int) -> Shape:
    """The shape of a pattern of `regex` with its flags; Unreadable."""
    tree = _tree(pattern, flags)
    folding = bool(tree.state.flags & re.IGNORECASE or _FOLDING_GROUP.search(pattern))
    fuzzy = _QUANTIFIER.sub("", pattern.replace(r"\{", ""))
    return _Reader(folding, braces="{" not in fuzzy).sequence(tree, start=True)


def _tree(pattern: str, flags: int) -> Any:
    if _READ_DIFFERENTLY.search(pattern) or flags & ~(re.IGNORECASE | re.MULTILINE | re.DOTALL):
        raise Unreadable
    parser: Any = importlib.import_module("re._parser")
    # `regex` lets `(?i)` stand anywhere and means the whole pattern.
    early = _LATE_FLAG.sub(r"(?i)\1", pattern)
    try:
        tree = parser.parse(early, flags)
    except (re.error, OverflowError, RecursionError):
        raise Unreadable from None
    if tree.state.flags & (re.VERBOSE | re.LOCALE | re.ASCII):
        raise Unreadable
    return tree


def is_endless(pattern: str, flags: int) -> bool:
    """Whether a pattern repeats anything without a limit, or cannot be read."""
    try:
        return _repeats(_tree(pattern, flags))
    except Unreadable:
        return True


def _repeats(tree: Any) -> bool:
    """Whatever the parser makes of a pattern is nested lists and tuples of numbers, and of names for what they are."""
    if isinstance(tree, list | tuple) or hasattr(tree, "data"):
        return any(map(_repeats, getattr(tree, "data", tree)))
    return str(tree) == "MAXREPEAT"


class _Reader:
    """`folding`: case is ignored. `braces`: each that is not of a quantifier is escaped, and so means itself."""

    def __init__(self, folding: bool, braces: bool) -> None:
        self._folding, self._braces = folding, braces
        self._groups: dict[int, Shape] = {}

    def sequence(self, tree: Any, start: bool = False) -> Shape:
        """`start`: a match begins here."""
        items = [self._item(str(kind), value, start and at == 0) for at, (kind, value) in enumerate(tree)]
        return _joined(items)

    def _item(self, kind: str, value: Any, start: bool) -> Shape:
        match kind:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return Chars(self._chars(kind, value))
            case "BRANCH":
                return _choice([self.sequence(branch, start) for branch in value[1]])
            case "SUBPATTERN":
                content = self.sequence(value[3], start)
                if value[0]:  # what is referred to later is the group alone, without what has to stand before it
                    self._groups.setdefault(value[0], self.sequence(value[3]) if start else content)
                return content
            case "ATOMIC_GROUP":
                return self.sequence(value, start)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                return _repeated(self.sequence(value[2]), value[0], value[1])
            case "AT":
                return BOUNDARY if str(value) == "AT_BOUNDARY" else NOTHING
            case "ASSERT":
                # What has to stand before the beginning is as good as a beginning.
                return self.sequence(value[1]) if start and value[0] < 0 else NOTHING
            case "ASSERT_NOT":
                return self._absence(*value)
            case "GROUPREF":
                return self._groups.get(value, ANYTHING)
            case _:
                raise Unreadable

    def _chars(self, kind: str, value: Any) -> int:
        if kind == "LITERAL":
            if value == ord("{") and not self._braces:  # `x{e<=1}`: to `regex`, x with at most one error
                raise Unreadable
            return self._possible(value, value)
        if kind == "NOT_LITERAL":
            return ANY & ~_certain(value, value)
        return ANY if kind == "ANY" else self._in(value)

    def _in(self, members: Any) -> int:
        negated = str(members[0][0]) == "NEGATE"
        found = 0
        for kind, value in members[negated:]:
            if str(kind) == "CATEGORY":
                found |= (_CERTAIN if negated else _POSSIBLE)[str(value)]
                continue
            low, high = value if str(kind) == "RANGE" else (value, value)
            found |= _certain(low, high) if negated else self._possible(low, high)
        return ANY & ~found if negated else found

    def _possible(self, low: int, high: int) -> int:
        """All that a range of code points may match."""
        found = _certain(low, high)
        if self._folding:
            found |= (found & UPPER) << 32 | (found & LOWER) >> 32
            found |= FOLDED if found & FOLDING else 0
        if high >= 128:
            found |= FOREIGN | (LETTERS if self._folding else 0)
        return found

    def _absence(self, direction: int, content: Any) -> Shape:
        members = list(content)
        if len(members) == 1 and str(members[0][0]) == "IN":
            members = members[0][1]
        elif len(members) != 1:
            return NOTHING
        if any(str(kind) not in ("LITERAL", "RANGE", "CATEGORY") for kind, _ in members):
            return NOTHING
        absent = reduce(or_, (_certain_member(str(kind), value) for kind, value in members))
        if self._folding:
            absent |= (absent & UPPER) << 32 | (absent & LOWER) >> 32
        # At a leaf's edge nothing stands; where leaves are joined, a line's end does.
        return Absent(absent & ~signs("\n"), direction < 0)


def _certain(low: int, high: int) -> int:
    """The ASCII characters of a range, which it matches whatever the flags."""
    return ((1 << (high + 1)) - (1 << low)) & ASCII if low < 128 else 0


def _certain_member(kind: str, value: Any) -> int:
    if kind == "CATEGORY":
        return _CERTAIN[str(value)]
    return _certain(value, value) if kind == "LITERAL" else _certain(*value)


_CERTAIN = {
    "CATEGORY_DIGIT": DIGITS,
    "CATEGORY_NOT_DIGIT": ASCII & ~DIGITS,
    "CATEGORY_SPACE": SPACE,
    "CATEGORY_NOT_SPACE": ASCII & ~SPACE & ~CONTROLS,
    "CATEGORY_WORD": WORD,
    "CATEGORY_NOT_WORD": ASCII & ~WORD,
}
_POSSIBLE = {
    "CATEGORY_DIGIT": DIGITS | DIGIT,
    "CATEGORY_NOT_DIGIT": ANY & ~DIGITS,
    "CATEGORY_SPACE": SPACE | CONTROLS | OTHER,
    "CATEGORY_NOT_SPACE": ANY & ~SPACE,
    "CATEGORY_WORD": WORD | FOREIGN,
    "CATEGORY_NOT_WORD": ANY & ~WORD,
}


def charset(allowed: int) -> str:
    """A set of signs as text of a pattern; what stands for others than ASCII: `foreign.sign`."""
    members = [at for at in range(131) if allowed >> at & 1]
    if not members:
        return r"[^\x00-\xff]"  # nothing is of this set
    if len(members) == 1:
        return re.escape(chr(members[0]))
    runs: list[list[int]] = []
    for at in members:
        if runs and runs[-1][1] == at - 1:
            runs[-1][1] = at
        else:
            runs.append([at, at])
    return "[" + "".join(f"\\x{low:02x}" if low == high else f"\\x{low:02x}-\\x{high:02x}" for low, high in runs) + "]"


def _joined(items: list[Shape]) -> Shape:
    flat: list[Shape] = []
    for item in items:
        flat += item.items if isinstance(item, Seq) else [item]
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def _choice(choices: list[Shape]) -> Shape:
    distinct = tuple(dict.fromkeys(choices))
    if all(isinstance(each, Chars) for each in distinct):
        return Chars(reduce(or_, (each.allowed for each in distinct if isinstance(each, Chars))))
    return distinct[0] if len(distinct) == 1 else Alt(distinct)


def _repeated(item: Shape, low: Any, high: Any) -> Shape:
    most = None if str(high) == "MAXREPEAT" else int(high)
    if (low, most) == (1, 1) or item == NOTHING:
        return item
    return Rep(item, int(low), most)
