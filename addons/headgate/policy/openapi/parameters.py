"""Parameters: read from where they stand in a request, in the styles that are supported, and judged.

Supported styles: `simple` in paths and headers; `form` in cookies; `form`, `spaceDelimited`, `pipeDelimited` and
`deepObject` in queries. Objects need `deepObject` or `content` with JSON. Any other makes the description unusable:
a parameter that is not understood is one that is not checked. Source: OpenAPI 3.1.1, "Parameter Object".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from headgate.policy.openapi.checker import Checker, Checkers
from headgate.policy.openapi.document import At
from headgate.policy.openapi.faults import shown
from headgate.policy.openapi.keywords import ALL_TYPES
from headgate.policy.openapi.mediatypes import media_type
from headgate.policy.openapi.values import Members, Reading, decoded

Place = Literal["query", "path", "header", "cookie"]

PLACES: tuple[Place, ...] = ("query", "path", "header", "cookie")
STYLES: dict[str, tuple[str, ...]] = {
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "path": ("simple",),
    "header": ("simple",),
    "cookie": ("form",),
}

_DELIMITERS = {"form": ",", "simple": ",", "spaceDelimited": r"%20|\+", "pipeDelimited": r"\||%7[cC]"}
_IGNORED_HEADERS = {
    "accept",
    "content-type",
    "authorization",
}  # the specification says so: they have places of their own


def _plain(text: str) -> str | None:
    """A header or a cookie is what it is; a byte that was not UTF-8 is half a surrogate pair here."""
    try:
        return (text if text.isascii() else text.encode().decode()).strip(" \t")
    except UnicodeEncodeError:
        return None


def decode_query(text: str) -> str | None:
    """Text of a query or a form, where `+` is a blank."""
    return decoded(text, plus=True)


_DECODERS = {"path": decoded, "header": _plain, "cookie": _plain, "query": decode_query, "form": decode_query}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared parameter: `reading` is for its plain name, `members` for `name[member]`; headers in lower case."""

    name: str
    place: Place
    required: bool
    reading: Reading | None
    members: Members | None = None
    may_be_empty: bool = False


def read_parameters(declared: list[At], checkers: Checkers) -> Iterator[Parameter]:
    """The parameters of one list; DescriptionFault for one that is not supported, or is there twice."""
    names: set[tuple[str, str]] = set()
    for place in declared:
        parameter = _parameter(place.followed(), checkers)
        if parameter is None:
            continue
        if (parameter.place, parameter.name) in names:
            raise place.fault(f"`{shown(parameter.name)}` is a parameter twice; accepted: each once")
        names.add((parameter.place, parameter.name))
        yield parameter


def _parameter(at: At, checkers: Checkers) -> Parameter | None:
    name, where = at.need("name").text(), at.need("in")
    place = next((place for place in PLACES if place == where.value), None)
    if place is None:
        raise where.fault("not a place of a parameter; accepted: `query`, `path`, `header`, `cookie`")
    if place == "header":
        name = name.lower()
        if name in _IGNORED_HEADERS:
            return None
    required = at.flag("required") or place == "path"
    may_be_empty = place == "query" and at.flag("allowEmptyValue")
    content = at.get("content")
    if content is not None:
        return Parameter(name, place, required, _content(content, place, checkers), None, may_be_empty)
    schema = at.need("schema")
    if place == "query" and _style(at, place) == "deepObject":
        reading, members = _deep_object(at, schema, checkers)
        return Parameter(name, place, required, reading, members, may_be_empty)
    return Parameter(name, place, required, _reading(at, schema, place, checkers), None, may_be_empty)


def _style(at: At, place: str) -> str:
    found = at.get("style")
    style = STYLES[place][0] if found is None else found.text()
    if style not in STYLES[place]:
        accepted = ", ".join(f"`{name}`" for name in STYLES[place])
        raise at.fault(f"the style `{shown(style)}` is not supported in a {place}; accepted: {accepted}")
    return style


def _content(content: At, place: Place, checkers: Checkers) -> Reading:
    """A parameter that is a document of its own: JSON, or any text."""
    media = list(content.members())
    if len(media) != 1:
        raise content.fault("not one media type; accepted: one, such as `application/json`")
    name, at = media[0]
    named = media_type(name)
    if named is None or not named.json:
        raise content.fault(f"`{shown(name)}` is not supported in a parameter; accepted: `application/json`")
    return Reading(checkers.checker(at.need("schema")), ALL_TYPES, _DECODERS[place], json=True)


def _reading(at: At, schema: At, place: Place, checkers: Checkers) -> Reading:
    style = _style(at, place)
    explode = at.flag("explode", default=style == "form")
    if style in ("spaceDelimited", "pipeDelimited") and explode:
        raise at.fault(f"the style `{style}` is not supported with `explode: true`; accepted: `form`")
    return text_reading(schema, checkers, at, style=style, explode=explode, place=place)


def text_reading(schema: At, checkers: Checkers, at: At, *, style: str, explode: bool, place: str) -> Reading:
    """How text is read for this schema; `at` is blamed where it cannot be."""
    types = checkers.shapes.types(schema.where)
    if types == {"object"} or types == {"object", "null"}:
        raise at.fault(
            f"an object is not supported in the style `{style}`; accepted: `deepObject`, or `content` with JSON"
        )
    items = None
    if "array" in types and types != ALL_TYPES:
        items = _items(schema, checkers, at, place)
    delimiter = re.compile(_DELIMITERS[style]) if items and not (style == "form" and explode) else None
    if place == "cookie" and items:
        raise at.fault("an array is not supported in a cookie; accepted: one value")
    return Reading(checkers.checker(schema), types, _DECODERS[place], items, delimiter)


def _items(schema: At, checkers: Checkers, at: At, place: str) -> Reading:
    where = checkers.shapes.items(schema.where)
    if where is None:
        return Reading(checkers.anything(), frozenset(("string",)), _DECODERS[place])
    types = checkers.shapes.types(where)
    is_json = types <= {"array", "object", "null"}
    if is_json and place != "form":
        raise at.fault("an array of arrays or objects is not supported in a parameter; accepted: `content` with JSON")
    return Reading(checkers.checker(schema.document.at(where)), types, _DECODERS[place], json=is_json)


def _deep_object(at: At, schema: At, checkers: Checkers) -> tuple[Reading | None, Members]:
    """Its members, and where the schema takes something else too, how that is read."""
    types = checkers.shapes.types(schema.where)
    if "object" not in types:
        raise at.fault("the style `deepObject` is for objects; accepted: `form`")
    known = {}
    for name, where in checkers.shapes.members(schema.where).items():
        member = schema.document.at(where)
        known[name] = text_reading(member, checkers, at, style="form", explode=True, place="query")
    checker: Checker = checkers.checker(schema)
    others = types - {"object", "array", "null"} if types != ALL_TYPES else None
    plain = Reading(checker, types - {"array"}, _DECODERS["query"]) if others else None
    return plain, Members(checker, known)
