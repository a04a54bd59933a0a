"""What an expression refers to, whether its types can be right, and how it is put to the engine: functions and macros.

Two things are not left to the engine, beyond what pieces.py says of operators: `matches` is RE2, compiled once and
about the whole text, as in `match:`, for the engine compiles a regex at each use, which takes up to 25 ms; and macros
over a map go through its names in order, for the engine's order is one of chance.
"""

import re
from datetime import timedelta

from headgate.match.expressions.engine import constant
from headgate.match.expressions.pieces import Piece, named
from headgate.match.expressions.reading import Checked, Reader, Use, accepted
from headgate.match.expressions.tree import Call, Literal, Member, Name, Node, Refused, start
from headgate.match.expressions.types import (
    ANY,
    BOOL,
    COPYING,
    GLOBALS,
    KIND,
    MACROS,
    METHODS,
    TEXT,
    TYPES,
    VARIABLES,
    Function,
    Type,
)
from headgate.match.regexes import fits, whole_regex

MAX_DURATION = timedelta(hours=2_500_000)
_DURATION = re.compile(r"-?(?:[0-9]{1,18}(?:\.[0-9]{1,9})?(?:h|ms|us|ns|m|s))+\Z")


def check(tree: Node, *, widen: bool) -> Checked:
    """`widen`: a `.` of a regex stands for a line break, too. `Refused` says what is wrong, and where."""
    checker = _Checker(widen)
    root = checker.value(tree)
    if root.type not in (BOOL, ANY):
        raise Refused(start(tree), f"it gives {named(root.type)}; accepted: an expression that gives a boolean")
    checker.found.code = root.code
    return checker.found


class _Checker(Reader):
    def call(self, node: Call) -> Piece:
        if node.of is None and node.name == "has":
            return self._has(node)
        if node.of is None and node.name == "type" and len(node.args) == 1:
            return Piece(f"type({self.value(node.args[0]).code})", KIND)
        if node.of is not None and node.name in MACROS:
            return self._macro(node, node.of)
        functions, others = (GLOBALS, ("has", "type")) if node.of is None else (METHODS, MACROS)
        if node.name not in functions:
            what = f"`{node.name[:40]}` is not a {'function' if node.of is None else 'method'} here"
            raise Refused(node.at, f"{what}; {accepted(node.name, (*functions, *others))}")
        return self._function(node, functions[node.name])

    def _function(self, node: Call, function: Function) -> Piece:
        given = node.args if node.of is None else (node.of, *node.args)
        if len(given) != len(function.takes):
            count = len(function.takes) - (node.of is not None)
            zones = "; a `time:` condition knows time zones" if node.name.startswith("get") else ""
            raise Refused(node.at, f"`{node.name}` takes other arguments; accepted: {count or 'none'}{zones}")
        made = [self.value(one) for one in given]
        for one, piece, takes in zip(given, made, function.takes, strict=True):
            if piece.type is not ANY and piece.type.name not in takes:
                accepted = ", ".join(sorted(takes - {"values"}))
                raise Refused(start(one), f"`{node.name}` does not take {named(piece.type)}; accepted: {accepted}")
        codes = [piece.code for piece in made]
        if node.name == "matches":
            return self._matches(made[0], given[1])
        if node.of is not None:
            return Piece(f"{codes[0]}.{node.name}({', '.join(codes[1:])})", function.gives)
        code = f"{node.name}({codes[0]})"
        _written(node, given[0], code)
        return Piece(f"_finite({code})" if node.name == "double" else code, function.gives)

    def _matches(self, text: Piece, pattern: Node) -> Piece:
        if not isinstance(pattern, Literal):
            raise Refused(start(pattern), "the regex is not written out; accepted: a text, that no request can bring")
        try:
            fitting = fits(whole_regex(pattern.value), widen=self.widen)
        except ValueError as error:
            raise Refused(pattern.at, str(error)) from None
        name = f"_re{len(self.found.patterns)}"
        self.found.patterns[name] = fitting
        return Piece(f'{name}({text.code} + "")' if text.type is ANY else f"{name}({text.code})", ANY)

    def _has(self, node: Call) -> Piece:
        if len(node.args) != 1 or not isinstance(node.args[0], Member):
            raise Refused(node.at, "`has` takes one member; accepted: such as `has(principal.email)`")
        piece = self.piece(node.args[0])
        if piece.type.members is not None:
            raise Refused(start(node), f"`{piece.code}` is always there; accepted: one of its members")
        self.use(piece.path, Use.PRESENCE)
        return Piece(f"has({piece.code})", BOOL)

    def _macro(self, node: Call, of: Node) -> Piece:
        if self.macro:
            raise Refused(node.at, f"`{node.name}` stands within `{self.macro}`; accepted: one macro at a time")
        variable = _macro_variable(node)
        self.macro = node.name
        self.found.copies |= node.name in COPYING
        over, item = self._range(of)
        self.scope = {variable.name: item}
        *conditions, last = node.args[1:]
        codes = [self.boolean(condition, f"`{node.name}`") for condition in conditions]
        if node.name == "map":
            made = self.value(last)
            gives = Type("list", made.type)
            codes.append(made.code)
        else:
            codes.append(self.boolean(last, f"`{node.name}`"))
            gives = Type("list", item) if node.name in COPYING else BOOL
        self.scope, self.macro = {}, ""
        return Piece(f"{over}.{node.name}({', '.join([variable.name, *codes])})", gives)

    def _range(self, node: Node) -> tuple[str, Type]:
        """What a macro goes through, and what its items are."""
        piece = self.value(node)
        match piece.type.name:
            case "list" | "values":
                return piece.code, piece.type.of or ANY
            case "map":
                return f"_names({piece.code})", TEXT
            case "any":
                return f"({piece.code} + [])", ANY
        raise Refused(start(node), f"a macro does not go through {named(piece.type)}; accepted: a list or a map")


def _macro_variable(node: Call) -> Name:
    variable = node.args[0] if len(node.args) == 2 or (len(node.args) == 3 and node.name == "map") else None
    if not isinstance(variable, Name):
        accepted = f"`list.{node.name}(x, ...)`"
        raise Refused(node.at, f"`{node.name}` takes a variable and what is said of it; accepted: {accepted}")
    if variable.name in VARIABLES or variable.name in TYPES or variable.name.startswith("_"):
        raise Refused(variable.at, f"`{variable.name[:40]}` cannot be a variable; accepted: another name, such as `x`")
    return variable


def _written(node: Call, given: Node, code: str) -> None:
    """What is made of a text that stands in the rule is made at once; a duration always is.

    The engine takes `nans` for a duration of nothing, and cuts long ones off at 292 years.
    """
    examples = {"duration": "such as `1h30m`, up to 2,500,000 hours", "timestamp": "such as `2030-01-31T09:00:00Z`"}
    written = isinstance(given, Literal)
    if node.name == "duration" and not (isinstance(given, Literal) and _DURATION.match(given.value)):
        raise Refused(start(given), f"this is no duration that is written out; accepted: {examples['duration']}")
    try:
        value = constant(code) if written else None
    except ValueError:
        accepted = examples.get(node.name, "another value")
        raise Refused(start(given), f"`{code[:80]}` has no value; accepted: {accepted}") from None
    if isinstance(value, timedelta) and abs(value) > MAX_DURATION:
        raise Refused(start(given), f"`{code[:80]}` is too long; accepted: {examples['duration']}")
