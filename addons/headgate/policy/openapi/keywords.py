"""The keywords of the two schema dialects, and what each may hold.

OpenAPI 3.1 is JSON Schema 2020-12. OpenAPI 3.0 is an older subset with words of its own; a keyword of JSON Schema that
it lacks is refused in it, for readers of 3.0 ignore it and its author relies on it. Words that assert nothing
(`title`, `example`, `x-...`) are passed over. Source: OpenAPI 3.0.4 and 3.1.1, "Schema Object".
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20)
"""The engine whose time is linear in the text; it refuses what would need backtracking."""


class Keyword(NamedTuple):
    holds: Callable[[Any], bool]
    accepted: str


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def is_pattern(value: Any) -> bool:
    """Whether the text is a regex that the engine takes."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": value}, pattern_options=PATTERNS, offline=True)
    except ValueError:
        return False
    return isinstance(value, str)


COUNT = Keyword(_is_count, "a whole number from 0 on")
NUMBER = Keyword(_is_number, "a number")
POSITIVE = Keyword(lambda value: _is_number(value) and value > 0, "a number above 0")
FLAG = Keyword(lambda value: isinstance(value, bool), "`true` or `false`")
TEXT = Keyword(lambda value: isinstance(value, str), "text")
NAMES = Keyword(_are_names, "a list of names, each once")
VALUES = Keyword(lambda value: isinstance(value, list) and bool(value), "a list of at least one value")
ANYTHING = Keyword(lambda _: True, "any value")
PATTERN = Keyword(is_pattern, "a regex of at most 1 MiB when compiled, without lookaround and backreferences")
LISTS = Keyword(lambda value: isinstance(value, dict) and all(map(_are_names, value.values())), "lists of names")

TYPES = ("array", "boolean", "integer", "number", "object", "string")
ALL_TYPES = frozenset((*TYPES, "null"))
_TYPE = Keyword(lambda value: value in TYPES, f"one of {', '.join(f'`{name}`' for name in TYPES)}")
_TYPE_OR_LIST = Keyword(
    lambda value: (
        value in ALL_TYPES if isinstance(value, str) else _are_names(value) and bool(value) and set(value) <= ALL_TYPES
    ),
    f"one or a list of {', '.join(f'`{name}`' for name in (*TYPES, 'null'))}",
)

_COMMON: Mapping[str, Keyword] = {
    **dict.fromkeys(
        ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"),
        COUNT,
    ),
    "maximum": NUMBER,
    "minimum": NUMBER,
    "multipleOf": POSITIVE,
    "uniqueItems": FLAG,
    "required": NAMES,
    "enum": VALUES,
    "pattern": PATTERN,
    "format": TEXT,
}


class Dialect(NamedTuple):
    """`asserts` hold no schema; `single`, `listed` and `named` hold one, a list, and one for each name."""

    name: str
    asserts: Mapping[str, Keyword]
    single: frozenset[str]
    listed: frozenset[str]
    named: frozenset[str]
    refused: Mapping[str, str]


_ONLY_31_SINGLE = frozenset(("if", "then", "else", "contains", "propertyNames"))
_ONLY_31_SINGLE |= {"unevaluatedItems", "unevaluatedProperties"}
_ONLY_31_NAMED = frozenset(("patternProperties", "dependentSchemas"))
_ONLY_31_ASSERTS = ("const", "dependentRequired", "minContains", "maxContains")
_NAMING = dict.fromkeys(("$id", "$dynamicRef", "$recursiveRef"), "`$ref: '#/...'`")
_GONE = {"dependencies": "`dependentRequired` or `dependentSchemas`", "additionalItems": "`prefixItems` and `items`"}

DIALECT_31 = Dialect(
    "OpenAPI 3.1",
    {
        **_COMMON,
        "type": _TYPE_OR_LIST,
        "exclusiveMaximum": NUMBER,
        "exclusiveMinimum": NUMBER,
        "const": ANYTHING,
        "dependentRequired": LISTS,
        "minContains": COUNT,
        "maxContains": COUNT,
    },
    frozenset(("not", "items", "additionalProperties")) | _ONLY_31_SINGLE,
    frozenset(("allOf", "anyOf", "oneOf", "prefixItems")),
    frozenset(("properties",)) | _ONLY_31_NAMED,
    {**_NAMING, **_GONE},
)

DIALECT_30 = Dialect(
    "OpenAPI 3.0",
    {**_COMMON, "type": _TYPE, "exclusiveMaximum": FLAG, "exclusiveMinimum": FLAG, "nullable": FLAG},
    frozenset(("not", "items", "additionalProperties")),
    frozenset(("allOf", "anyOf", "oneOf")),
    frozenset(("properties",)),
    {
        **_NAMING,
        **dict.fromkeys(
            (*_ONLY_31_SINGLE, *_ONLY_31_NAMED, *_ONLY_31_ASSERTS, *_GONE, "prefixItems"),
            "a description in OpenAPI 3.1",
        ),
    },
)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


FORMATS: dict[str, Callable[[str], bool]] = {"byte": _is_base64}
"""Formats of OpenAPI that JSON Schema does not know; the others are the library's own."""

RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1)}
"""What a number of that format lies between, both ends included."""
