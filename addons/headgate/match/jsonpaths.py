"""JSONPath (RFC 9535) into documents of which not everything can be told.

A kept library reads the expression; it is followed here, since every step must notice what it would pass over: a
repeated member, one in another spelling, a text where an object was meant. Each makes all that the path finds unclear.
Filters are refused: they are two-valued, and would pass over whatever cannot be compared. `when` can.
"""

import json
import re
from collections.abc import Iterator
from types import EllipsisType
from typing import Any, NamedTuple, Self

from jsonpath_rfc9535 import DetailedJSONPathError, JSONPathError
from jsonpath_rfc9535 import compile as compile_path

from headgate.match.aliases import Name
from headgate.match.documents import Members
from headgate.match.found import NOTHING, Found
from headgate.match.parameters import Parameters

MAX_PATH = 1000
MAX_NODES = 10_000
"""Values that one path may visit in one document."""

_PIECE = re.compile(
    r"(?P<begin>(?:\.\.)?\[)|(?P<end>\])|(?P<comma>, )|(?P<all>\*)"
    r"|'(?P<name>(?:[^'\\]|\\.)*)'|(?P<slice>-?\d*:-?\d*:-?\d+)|(?P<index>-?\d+)",
    re.DOTALL,
)
_QUOTING = re.compile(r"\\.|\"", re.DOTALL)

Selector = Name | int | slice | EllipsisType


class Step(NamedTuple):
    """`descends`: below the node at any depth. `...` among the selectors stands for all there is."""

    descends: bool
    selectors: tuple[Selector, ...]


class JsonPath(NamedTuple):
    """`members` are the names of a path that has nothing else, as most have."""

    steps: tuple[Step, ...]
    members: tuple[Name, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError says what is wrong with it and what is accepted."""
        shown = f"`{text[:80]}`"
        if len(text) > MAX_PATH:
            raise ValueError(f"the JSONPath has {len(text)} characters; accepted: up to {MAX_PATH}")
        try:
            canonical = str(compile_path(text))
        except DetailedJSONPathError as error:
            column = error.token[1] + 1
            reason = f"{error.message} at character {column}"
            raise ValueError(f"{shown} is not a JSONPath: {reason}; accepted: such as `$.amount`") from None
        except (JSONPathError, RecursionError):
            raise ValueError(f"{shown} is nested too deeply; accepted: a JSONPath such as `$.amount`") from None
        steps = _steps(canonical)
        if steps is None:
            accepted = "no filter (`[?...]`), which `when` can do better"
            raise ValueError(f"{shown} passes over what cannot be compared; accepted: {accepted}")
        members = [step.selectors[0] for step in steps if len(step.selectors) == 1 and not step.descends]
        plain = len(members) == len(steps) and all(isinstance(selector, Name) for selector in members)
        return cls(steps, tuple(members) if plain else ())  # type: ignore[arg-type]  # all are names

    def find(self, value: Any) -> Found:
        """The values that the path leads to, or why that cannot be told."""
        if self.members and type(value) is Members:
            return self._member(value)
        walk = _Walk()
        nodes = [value]
        for step in self.steps:
            nodes = walk.follow(nodes, step)
            if walk.unclear:
                return Found(unclear=walk.unclear)
        return Found(tuple(nodes))

    def _member(self, value: Members) -> Found:
        """The same for a path of names only, in a tenth of the time."""
        *outer, last = self.members
        for name in outer:
            found = value.find(name)
            if found.unclear or not found.values:
                return found
            inner = found.values[0]
            if type(inner) is not Members:
                return NOTHING if inner is None else Found(unclear="value-of-another-type")
            value = inner
        return value.find(last)


class _Walk:
    """One path on its way through one document."""

    def __init__(self) -> None:
        self.unclear: str | None = None
        self._left = MAX_NODES

    def follow(self, nodes: list[Any], step: Step) -> list[Any]:
        """What a step finds from each of the nodes; nothing that counts once something is unclear."""
        found: list[Any] = []
        for node in nodes:
            for place in self._below(node) if step.descends else (node,):
                for selector in step.selectors:
                    selected = self._select(place, selector, strict=not step.descends)
                    self._spend(max(1, len(selected)))
                    found += selected
                if self.unclear:
                    return []
        return found

    def _spend(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            self.unclear = "too-many-values"

    def _below(self, node: Any) -> Iterator[Any]:
        """The node and every container below it; a form is searched as a whole."""
        if isinstance(node, Parameters):
            yield node
            return
        waiting = [node]
        while waiting and not self.unclear:
            place = waiting.pop()
            yield place
            children = self._select(place, ..., strict=False)
            self._spend(len(children))
            waiting += [child for child in reversed(children) if isinstance(child, dict | list)]

    def _select(self, node: Any, selector: Selector, *, strict: bool) -> tuple[Any, ...]:
        """What a selector finds; a `strict` one knows what it wants to be asked, and takes null for nothing there."""
        if isinstance(node, Parameters):
            return self._field(node, selector, strict=strict)
        if isinstance(node, Members) and not isinstance(selector, int | slice):
            return self._known(node.everything() if selector is ... else node.find(selector))
        if isinstance(node, list) and not isinstance(selector, Name):
            if isinstance(selector, int):
                return (node[selector],) if -len(node) <= selector < len(node) else ()
            return tuple(node) if selector is ... else tuple(node[selector]) if selector.step else ()
        if strict and node is not None:
            self.unclear = "value-of-another-type"
        return ()

    def _field(self, form: Parameters, selector: Selector, *, strict: bool) -> tuple[Any, ...]:
        """The same of a form; a field that is repeated has several readings."""
        if isinstance(selector, Name):
            values = self._known(form.find(selector) if strict else form.search(selector))
            if len(values) > 1:
                self.unclear = "parameter-repeated"
            return values
        values = self._known(form.everything())  # lists, too, are made of names with parts, and of repeated ones
        if selector is ...:
            return values
        if strict:
            self.unclear = "value-of-another-type"
        return ()

    def _known(self, found: Found) -> tuple[Any, ...]:
        self.unclear = self.unclear or found.unclear
        return found.values


def _steps(canonical: str) -> tuple[Step, ...] | None:
    """The steps of a path in the library's own spelling; None if it has a filter."""
    steps: list[Step] = []
    selectors: list[Selector] = []
    at = 1
    while at < len(canonical):
        piece = _PIECE.match(canonical, at)
        if piece is None:
            return None
        at, kind, text = piece.end(), piece.lastgroup, piece[piece.lastgroup or 0]
        if kind == "begin":
            selectors = []
            descends = text.startswith(".")
        elif kind == "end":
            steps.append(Step(descends, tuple(selectors)))
        elif kind != "comma":
            selectors.append(_selector(kind, text))
    return tuple(steps)


def _selector(kind: str | None, text: str) -> Selector:
    if kind == "name":
        spelled = _QUOTING.sub(lambda piece: {"\\'": "'", '"': '\\"'}.get(piece[0], piece[0]), text)
        return Name.of(json.loads(f'"{spelled}"'))
    if kind == "slice":
        return slice(*(int(part) if part else None for part in text.split(":")))
    return int(text) if kind == "index" else ...
