"""The values that an expression refers to, in the form that the engine takes, and nothing beside them.

Only the members named are converted, for that takes the engine longer than to evaluate: 0.7 ms for 10 kB of JSON. The
engine holds the interpreter's lock all the while, and crashes on values that nest deeply, so there are limits to how
much is converted. What several readers may read in several ways, and what the engine would take for something else, is
`Unclear`, which makes the whole expression unknown.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from headgate.match.aliases import Name, member_key
from headgate.match.documents import Members
from headgate.match.numbers import Real, readings, stated
from headgate.match.parameters import Parameters
from headgate.match.pointers import MAPPINGS

MAX_ITEMS, MAX_COPIED = 500, 100
MAX_NODES = 2000
MAX_CHARACTERS = 64 * 1024
MAX_DEPTH = 32
MAX_INT = 1 << 63

Tree = dict[str, Any]
"""Which members of a value are used: a tree by name, with `WHOLE` or `PRESENT` at the leaves."""

WHOLE, PRESENT = "whole", "present"


class Unclear(Exception):
    """`reason` is a stable kebab-case text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Conversion:
    """The conversion of all that one evaluation needs; `names` are members that macros ask for, wherever they are."""

    def __init__(self, names: Mapping[str, str], most: int) -> None:
        self._names, self._most = names, most
        self._nodes, self._characters = MAX_NODES, MAX_CHARACTERS
        self._judged: dict[tuple[str, ...], str | None] = {}  # names of objects, most of which are alike

    def members(self, value: Any, used: Tree | str) -> Any:
        """A value with no more than the members used; where it has none because it is of another type, without."""
        if used == PRESENT:
            return True
        if isinstance(used, str):
            return self.whole(value)
        if isinstance(value, Parameters):
            return self._parameters(value, used)
        if isinstance(value, Members):
            return self._chosen(value, used)
        if isinstance(value, MAPPINGS):
            return {name: self.members(value[name], inner) for name, inner in used.items() if name in value}
        return [] if isinstance(value, list | tuple) else self.whole(value)

    def _chosen(self, value: Members, used: Tree) -> Any:
        chosen = {}
        for name, inner in used.items():
            found = value.find(Name.of(name))
            if found.unclear:
                raise Unclear(found.unclear)
            if found.values:
                chosen[name] = self.members(found.values[0], inner)
        return chosen

    def _parameters(self, form: Parameters, used: Tree) -> Any:
        """The members of a form, each a text that is there once."""
        chosen = {}
        for name, inner in used.items():
            found = form.find(Name.of(name))
            if found.unclear or len(found.values) > 1:
                raise Unclear(found.unclear or "parameter-repeated")
            if found.values:
                chosen[name] = self.members(found.values[0], inner)
        return chosen

    def whole(self, value: Any, depth: int = 0) -> Any:
        self._nodes -= 1
        if self._nodes < 0 or depth > MAX_DEPTH:
            raise Unclear("values-too-large")
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int or isinstance(value, float):
            return _number(value)
        if value is None or kind is bool:
            return value
        if isinstance(value, MAPPINGS):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple):
            return self._list(value, depth)
        if isinstance(value, str):
            return self._text(str(value))
        raise Unclear("form-by-name-only" if isinstance(value, Parameters) else "value-not-readable")

    def _text(self, value: str) -> str:
        self._characters -= len(value)
        if self._characters < 0:
            raise Unclear("values-too-large")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Unclear("text-not-readable") from None
        return value

    def _list(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        if len(value) > self._most:
            raise Unclear("list-too-long")
        if len({_KINDS.get(kind) for kind in set(map(type, value))}) > 1:
            raise Unclear("list-of-mixed-types")
        return [self.whole(item, depth + 1) for item in value]

    def _mapping(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if len(value) > self._most:
            raise Unclear("list-too-long")
        if isinstance(value, Members):
            names = tuple(value)
            if names not in self._judged:
                self._judged[names] = self._spelling(names)
            if unclear := self._judged[names] or value.everything().unclear:
                raise Unclear(unclear)
        return {self._text(name): self.whole(item, depth + 1) for name, item in value.items()}

    def _spelling(self, names: tuple[str, ...]) -> str | None:
        """What is unclear about the names of an object: two are one to some, or one is asked for in another way."""
        keys = [member_key(name) for name in names]
        if len(set(keys)) < len(keys):
            return "member-ambiguous"
        spelled = all(self._names.get(key, name) == name for key, name in zip(keys, names, strict=True))
        return None if spelled else "member-in-another-spelling"


_KINDS: Mapping[type[Any], str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    Real: "number",
    str: "text",
    list: "list",
    tuple: "list",
    **dict.fromkeys((Members, *MAPPINGS), "map"),
}


def _number(value: int | float) -> int | float:
    """A number that every reader takes for the same; the smallest int is left out, whose negative is itself."""
    if type(value) is int and -MAX_INT < value < MAX_INT:
        return value
    if type(value) is float and isfinite(value):
        return value
    if type(value) is Real:
        read = readings(value)
        if read is not None and stated(read.double).exact == read.exact:
            return read.double
    raise Unclear("number-not-exact")
