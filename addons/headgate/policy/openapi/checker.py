"""A compiled schema: whether a value satisfies it, and what is wrong where it does not.

The library collects every error before it gives the first, with all that each choice found: 11 microseconds each, of
which a body can cause millions. So whether a value is valid is asked first, which is cheap whatever the value; errors
are collected only for as many judgements as cannot keep anybody waiting.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from headgate.policy.openapi.closing import DECLARED, Closing
from headgate.policy.openapi.document import At
from headgate.policy.openapi.faults import DescriptionFault
from headgate.policy.openapi.growth import Endless, Growth, is_within
from headgate.policy.openapi.keywords import FORMATS, PATTERNS
from headgate.policy.openapi.schemas import ANYTHING, Schemas
from headgate.policy.openapi.shapes import Shapes
from headgate.policy.openapi.violations import MAX_VIOLATIONS, Failure, told_keyword

MAX_JUDGEMENTS = 5000
"""How many, at most, may be made to list what is wrong with one value."""

UNDECLARED = "is not declared"

DOUBTFUL = "is not declared by what applies"
"""A member that a part of the schema declares which failed or does not apply: told where nothing else is wrong."""

UNLISTED = "does not match its schema, and is too large to say where"


class _Compiled:
    """All schemas of a description in one validator, each at a name of its own: what they refer to is shared."""

    def __init__(self, roots: dict[str, Any], definitions: dict[str, Any]) -> None:
        self.document = {"properties": roots, "$defs": definitions}
        self.validator = jsonschema_rs.Draft202012Validator(
            self.document,
            formats=FORMATS,
            validate_formats=True,
            mask="the value",
            pattern_options=PATTERNS,
            offline=True,
        )


class Checker:
    """Judges values (as `json.loads` gives them, of limited depth) by one schema, once that has been compiled."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._compiled: _Compiled

    def set(self, compiled: _Compiled) -> None:
        self._compiled = compiled

    def valid(self, value: Any) -> bool:
        return self._compiled.validator.is_valid({self.name: value})

    def failures(self, value: Any) -> list[Failure]:
        """What is wrong with the value; none if it is valid. Each once, in the order of the schema."""
        if self.valid(value):
            return []
        document = self._compiled.document
        if not is_within(document["properties"][self.name], document["$defs"], value, MAX_JUDGEMENTS):
            return [((), UNLISTED)]
        found = list(dict.fromkeys(self._told(self._compiled.validator.iter_errors({self.name: value}))))
        inner = {path[:length] for path, what in found if what != DOUBTFUL for length in range(len(path) + 1)}
        kept = [(path, what) for path, what in found if what != DOUBTFUL or path[:-1] not in inner]
        certain = dict.fromkeys((path, UNDECLARED if what == DOUBTFUL else what) for path, what in kept)
        return (list(certain) or [((), UNLISTED)])[:MAX_VIOLATIONS]

    def _told(self, errors: Any) -> Iterator[Failure]:
        for error in errors:
            kind, path = error.kind, tuple(error.instance_path[1:])
            if kind.name == "additionalProperties":
                yield from (((*path, name), UNDECLARED) for name in kind.unexpected[:MAX_VIOLATIONS])
            elif kind.name == "unevaluatedProperties":
                declared = self._declared(error.schema_path)
                for name in kind.unexpected[:MAX_VIOLATIONS]:
                    yield (*path, name), DOUBTFUL if declared is None or name in declared else UNDECLARED
            elif kind.name == "falseSchema" and error.schema_path[-1] == "additionalProperties":
                yield path, "has members that are not declared"
            elif kind.name == "required":
                yield (*path, kind.property), "is missing"
            elif kind.name in ("anyOf", "oneOf") and (choice := _meant(error)):
                yield from self._told(choice)
            else:
                yield path, told_keyword(kind)

    def _declared(self, path: list[str | int]) -> list[str] | None:
        """The names that may be declared where the keyword at this path of the schema stands."""
        node: Any = self._compiled.document
        for token in path[:-1]:
            node = node[token]
        names: list[str] | None = node.get(DECLARED)
        return names


def _meant(error: Any) -> Any:
    """The errors of the one choice that the value seems to be meant for: whose type, or whose mark, it has."""
    level = len(error.instance_path)
    choices = getattr(error.kind, "context", ())
    meant = [errors for errors in choices if errors and not any(_is_of_another(one, level) for one in errors)]
    return meant[0] if len(meant) == 1 else None


def _is_of_another(error: Any, level: int) -> bool:
    depth = len(error.instance_path)
    return (error.kind.name == "type" and depth == level) or (
        error.kind.name in ("const", "enum") and depth <= level + 1
    )


class Checkers:
    """Gathers the schemas of one description, each once, and compiles them together."""

    def __init__(self, schemas: Schemas, *, closed: bool) -> None:
        self.shapes = Shapes(schemas)
        self._document = schemas.document
        self._closing, self._closed = Closing(schemas), closed
        self._made: dict[str, tuple[Checker, At, dict[str, Any]]] = {}

    def checker(self, place: At) -> Checker:
        """For values of the schema at `place`: of use once `compile` has found no fault."""
        if place.where not in self._made:
            root = self._closing.root(place.where, closed=self._closed)
            self._made[place.where] = (Checker(f"r{len(self._made)}"), place, root)
        return self._made[place.where][0]

    def anything(self) -> Checker:
        """For whatever comes."""
        return self.checker(At(self._document, True, ANYTHING))

    def compile(self) -> list[DescriptionFault]:
        """Makes all checkers ready, unless there are faults."""
        return self._closing.faults or self._endless() or self._compile()

    def _endless(self) -> list[DescriptionFault]:
        growth, faults = Growth(self._closing.definitions), []
        for _, place, root in self._made.values():
            try:
                growth.admit(root)
            except Endless as error:
                faults.append(place.fault(str(error)))
        return faults

    def _compile(self) -> list[DescriptionFault]:
        made = self._made.values()
        compiled = self._attempt({checker.name: root for checker, _, root in made})
        if compiled is None:
            culprits = [place for checker, place, root in made if self._attempt({checker.name: root}) is None]
            what = "not a schema that can be compiled; accepted: a schema of OpenAPI"
            return [place.fault(what) for place in culprits] or [DescriptionFault("", what)]
        for checker, _, _ in made:
            checker.set(compiled)
        return []

    def _attempt(self, roots: dict[str, Any]) -> _Compiled | None:
        try:
            return _Compiled(roots, self._closing.definitions)
        except (ValueError, jsonschema_rs.ReferencingError):
            return None
