"""What is wrong with a request, told without quoting it: a body, a parameter or a header may hold a secret."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from headgate.policy.openapi.faults import shown, step

MAX_VIOLATIONS = 20

Failure = tuple[tuple[str | int, ...], str]
"""Where in a value something is wrong, and what."""


@dataclass(frozen=True, slots=True)
class Violation:
    """`pointer` is a JSON Pointer into the request (`/body/amount`, `/query/limit`, `/path/id`, `/header/x-y`,
    `/cookie/c`, or `/method`); `what` holds names and keywords of the description, never a value of the request."""

    pointer: str
    what: str


def violation(where: Iterable[str | int], what: str) -> Violation:
    """Names that a caller chose are cut and made printable."""
    return Violation("".join(step(shown(token)) for token in where), what)


def told(where: tuple[str, ...], failures: Iterable[Failure]) -> Iterator[Violation]:
    return (violation((*where, *path), what) for path, what in failures)


_WORDS = {
    "const": "is not the one value accepted",
    "pattern": "does not match its pattern",
    "minimum": "is less than {kind.limit}",
    "maximum": "is more than {kind.limit}",
    "exclusiveMinimum": "is not more than {kind.limit}",
    "exclusiveMaximum": "is not less than {kind.limit}",
    "multipleOf": "is not a multiple of {kind.multiple_of}",
    "minLength": "is shorter than {kind.limit}",
    "maxLength": "is longer than {kind.limit}",
    "minItems": "has fewer than {kind.limit} items",
    "maxItems": "has more than {kind.limit} items",
    "minProperties": "has fewer than {kind.limit} members",
    "maxProperties": "has more than {kind.limit} members",
    "uniqueItems": "has an item twice",
    "anyOf": "has none of the forms accepted",
    "not": "has a form that is not accepted",
    "falseSchema": "may not be given",
    "propertyNames": "has a member whose name is not accepted",
    "contains": "lacks an item of the form asked for, or has too many",
    "unevaluatedItems": "has items that are not declared",
}


_SEVERAL = "has several of the forms accepted, of which it must have one only"


def told_keyword(kind: Any) -> str:
    """An error of the library in words; its own quote the value."""
    if kind.name == "type":
        return f"is not of type {' or '.join(f'`{name}`' for name in kind.types)}"
    if kind.name == "format":
        return f"is not in the format `{shown(kind.format)}`"
    if kind.name == "enum":
        return "is none of the values listed" if kind.options else "is read-only and may not be sent"
    if kind.name == "oneOf":
        return _SEVERAL if any(not errors for errors in kind.context) else _WORDS["anyOf"]
    return _WORDS.get(kind.name, "does not match its schema").format(kind=kind)
