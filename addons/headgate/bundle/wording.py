"""What a schema finds wrong with a document, in words: where it stands, what it is, and what is accepted.

Values are echoed only where they are short and plain, so that a misspelt choice can be recognised, and never below a
key that names a secret.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from headgate.bundle.document import Fault, Location, Mapping, Node, Place, Scalar, Sequence, descend, place_of

_ECHOED = re.compile(r"[A-Za-z0-9_.:/*+-]{1,32}\Z")
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
_TYPES = {
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
_LENGTHS = {
    "too_short": "the list is empty; accepted: at least one",
    "string_too_short": "the text is empty; accepted: some text",
    "string_too_long": "the text is too long; accepted: up to {max_length} characters",
}
_WHOLE = {*_TYPES, "too_short"}
_KEY = "[key]"  # how pydantic marks a key of a mapping that is itself at fault


def faults(error: ValidationError, node: Node, model: type[BaseModel]) -> list[Fault]:
    """Every problem once. Where one value may have several forms, the forms are named together.

    What is said of a whole value is passed over where something inside it is at fault.
    """
    schema = model.model_json_schema(by_alias=True)
    found: dict[Location, list[Any]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        found.setdefault(_real(node, detail["loc"], detail["type"]), []).append(detail)
    around = {where[:depth] for where in found for depth in range(len(where))}
    return [
        _fault(node, where, details, schema)
        for where, details in found.items()
        if where not in around or any(detail["type"] not in _WHOLE for detail in details)
    ]


def shown(value: str, location: Location) -> str:
    """A value in backticks if it may be echoed, else a word for it."""
    secret = any(isinstance(step, str) and _SECRET.search(step) for step in location)
    return f"`{value}`" if not secret and _ECHOED.match(value) else "this"


def accepted_keys(schema: Any, path: Location) -> list[str]:
    """The keys that a JSON Schema lets a mapping at `path` have, in their order there."""
    definitions, layer = schema.get("$defs", {}), list(_forms(schema, schema.get("$defs", {})))
    for step in path:
        inner = (_step(form, step) for form in layer)
        layer = [form for part in inner if isinstance(part, dict) for form in _forms(part, definitions)]
    return list(dict.fromkeys(key for form in layer for key in form.get("properties", {})))


def unknown_key(key: str, accepted: list[str]) -> str:
    near = get_close_matches(key, accepted, 1, 0.6)
    hint = f", did you mean `{near[0]}`?" if near else ""
    return f"unknown key `{key[:80]}`{hint}; accepted: {', '.join(f'`{name}`' for name in accepted)}"


def _forms(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema itself, or what it refers to or offers as alternatives."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    alternatives = [form for key in ("anyOf", "oneOf", "allOf") for form in schema.get(key, ())]
    if not alternatives:
        yield schema
    for form in alternatives:
        yield from _forms(form, definitions)


def _step(form: dict[str, Any], step: str | int) -> Any:
    if isinstance(step, int):
        return form.get("items")
    return form.get("properties", {}).get(step) or form.get("additionalProperties")


def _real(node: Node, location: Location, kind: str) -> Location:
    """The location as the document has it: without the names of forms, and without the places of lists of one."""
    there = location[:-1] if kind == "missing" or location[-1:] == (_KEY,) else location
    return (*(step for step, _ in descend(node, there)), *location[len(there) :])


def _fault(node: Node, where: Location, details: list[Any], schema: dict[str, Any]) -> Fault:
    kind, context = details[0]["type"], details[0].get("ctx", {})
    place, there = place_of(node, where), _at(node, where)
    choices = list(dict.fromkeys(choice for detail in details for choice in _choices(detail)))
    if kind == "extra_forbidden":
        accepted = accepted_keys(schema, where[:-1])
        return Fault(_key_place(node, where), unknown_key(str(where[-1]), accepted))
    if where[-1:] == (_KEY,) and kind == "value_error":
        return Fault(_key_place(node, where[:-1]), str(context["error"]))
    if where[-1:] == (_KEY,):
        return Fault(_key_place(node, where[:-1]), unknown_key(str(where[-2]), [name.strip("`") for name in choices]))
    if kind == "missing":
        return Fault(place_of(node, where[:-1]), f"`{where[-1]}` is missing")
    if kind in _LENGTHS:
        return Fault(place, _LENGTHS[kind].format(**context))
    if choices:
        return Fault(place, f"{_is(there, where, choices)}; {_accepted(choices)}")
    if kind == "value_error":
        return Fault(place, str(context["error"]))
    subject = shown(there.text, where) if isinstance(there, Scalar) else "this"
    demand = details[0]["msg"].partition(" should ")[2]
    return Fault(place, f"{subject} must {demand.replace("'", '`')}" if demand else f"{subject} is not accepted here")


def _at(node: Node, where: Location) -> Node:
    return [node, *(inner for _, inner in descend(node, where))][-1]


def _key_place(node: Node, where: Location) -> Place:
    holder = _at(node, where[:-1])
    return holder.keys.get(str(where[-1]), holder.place) if isinstance(holder, Mapping) else holder.place


def _choices(detail: Any) -> Iterator[str]:
    """What would be accepted, as far as the kind of problem tells."""
    if detail["type"] in _TYPES:
        yield _TYPES[detail["type"]]
    elif detail["type"] in {"literal_error", "enum"}:
        yield from (f"`{name}`" for name in re.findall(r"'([^']*)'", detail["ctx"]["expected"]))


def _accepted(choices: list[str]) -> str:
    return f"accepted: {', '.join(choices)}"


def _is(node: Node, where: Location, choices: list[str]) -> str:
    """What stands there, and how YAML takes it where that may surprise."""
    if not isinstance(node, Scalar):
        return "this is a list" if isinstance(node, Sequence) else "this is a mapping"
    if node.value is None:
        return "a value is missing"
    text = shown(node.text, where)
    if isinstance(node.value, str):
        near = get_close_matches(f"`{node.value}`", choices, 1, 0.6) if text != "this" else []
        wrong = "is not accepted" if any(choice.startswith("`") for choice in choices) else "is text"
        return f"{text} {wrong}" + (f", did you mean {near[0]}?" if near else "")
    taken = "a boolean" if isinstance(node.value, bool) else "a number"
    return f"{text} is {taken}" + (" in YAML unless it stands in quotes" if _TYPES["string_type"] in choices else "")
