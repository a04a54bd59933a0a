"""One `when:`, compiled, and what it says of a request."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.match.aliases import member_key
from headgate.match.expressions.check import check
from headgate.match.expressions.engine import compiled
from headgate.match.expressions.pieces import Path
from headgate.match.expressions.reading import Checked, Use
from headgate.match.expressions.sources import Asked, Plan, path_params_in
from headgate.match.expressions.syntax import parse
from headgate.match.expressions.tree import Refused
from headgate.match.expressions.values import MAX_COPIED, MAX_INT, MAX_ITEMS, Conversion, Unclear
from headgate.match.facts import Facts

if TYPE_CHECKING:
    import cel

MAX_SHOWN = 80


class Outcome(NamedTuple):
    """`value` None is unknown: because of `unclear`, a stable kebab-case reason, or of `error`, a short stable text."""

    value: bool | None
    error: str | None = None
    unclear: str | None = None


def parse_expression(text: str, *, widen: bool = False) -> "Expression":
    """`widen` is for rules that forbid or hide. ValueError says what is wrong, where, and what is accepted."""
    try:
        tree = parse(text)
        checked = check(tree, widen=widen)
        return Expression(text, checked, _compiled(checked.code))
    except Refused as refused:
        problem = "does not parse" if refused.syntax else "is not accepted"
        accepted = "; accepted: a CEL expression that gives a boolean" if refused.syntax else ""
        why = "".join(one if one.isprintable() else " " for one in str(refused))
        raise ValueError(f"`when` {problem} at {_place(text, refused.at)}: {why}{accepted}") from None


def _place(text: str, at: int) -> str:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"line {line}, column {column}" if "\n" in text.strip() else f"column {column}"


def _compiled(code: str) -> "cel.Program":
    try:
        return compiled(code)
    except ValueError:  # what was read and checked is CEL, unless it is too much of it
        raise Refused(0, "it is too large for the engine; accepted: fewer levels and comparisons") from None


class Expression:
    """`uses` are the paths of the values that it refers to, `path_params` the variables of the path among them."""

    def __init__(self, text: str, checked: Checked, program: "cel.Program") -> None:
        self.text = text
        self.uses: Mapping[Path, Use] = checked.uses
        self.path_params = path_params_in(checked.uses)
        self._program, self._plan = program, Plan(checked.uses)
        self._names = {member_key(name): name for name in checked.names}
        self._most = MAX_COPIED if checked.copies else MAX_ITEMS
        functions = {"_finite": _finite, "_names": sorted, **checked.patterns}
        self._functions = {name: function for name, function in functions.items() if f"{name}(" in checked.code}
        self.reads_body = self._plan.reads_body

    def test(self, facts: Facts, path_params: Mapping[str, str]) -> Outcome:
        """Unknown also where it depends on whether a header with a comma in it is one value or a list."""
        outcome = self._says(Asked(facts, path_params))
        if outcome.value is None or not self._plan.has_lists(facts):
            return outcome
        as_lists = self._says(Asked(facts, path_params, lists=True))
        return outcome if as_lists.value is outcome.value else Outcome(None, unclear="header-may-be-a-list")

    def _says(self, asked: Asked) -> Outcome:
        try:
            values = self._plan.values(asked, Conversion(self._names, self._most))
        except Unclear as unclear:
            return Outcome(None, unclear=unclear.reason)
        try:
            result = self._program.execute({**values, **self._functions})
        except BaseException as error:
            why = _failure(error)
            if why is None:
                raise
            return Outcome(None, why)
        return Outcome(result) if isinstance(result, bool) else Outcome(None, "the expression gives no boolean")

    def actual(self, facts: Facts, path_params: Mapping[str, str]) -> dict[str, Any]:
        """Each value that it refers to, by how it is written, for operators to read: cut short, None where absent."""
        return {shown(path): self._shown(path, use, Asked(facts, path_params)) for path, use in self.uses.items()}

    def _shown(self, path: Path, use: Use, asked: Asked) -> Any:
        try:
            value: Any = Plan({path: use}).values(asked, Conversion(self._names, self._most))
        except Unclear as unclear:
            return f"unknown: {unclear.reason}"
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        if use is Use.PRESENCE:
            return "present"
        return _cut(value)


def shown(path: Path) -> str:
    """A path as it is written in CEL."""
    return path[0] + "".join(f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]" for name in path[1:])


def _cut(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _finite(value: Any) -> Any:
    """What arithmetic gives, if it is a number that compares as numbers do, or text; nothing compares with None."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if isinstance(value, str) or (isinstance(value, int) and -MAX_INT < value < MAX_INT) else None


_FAILURES: tuple[tuple[type[BaseException], str], ...] = (
    (KeyError, "a value is absent"),
    (IndexError, "an index is outside of its list"),
    (TypeError, "a value is not of the type that it is used as"),
    (ArithmeticError, "a number is out of range"),
    (RuntimeError, "a function does not take a value that it is given"),
    (ValueError, "a value cannot be handed to the engine"),
)


def _failure(error: BaseException) -> str | None:
    """What went wrong, without the values that the engine's own text quotes; None for what is no failure of it."""
    for kind, why in _FAILURES:
        if isinstance(error, kind):
            return why
    return "the engine failed" if type(error).__name__ == "PanicException" else None
