"""Custom recognizers of a bundle: a file in Presidio's own YAML, checked without Presidio, run by Presidio's classes.

Languages are accepted and do not select: values in an API's responses have none, so that every recognizer looks at
every value, with the words of context of all its languages.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from headgate.errors import InvalidRules
from headgate.masking.detection.marked import Fault, Location, Marked, Unreadable
from headgate.masking.detection.recognizer_file import PatternSpec, RecognizersFile, RecognizerSpec, regex_problem

if TYPE_CHECKING:
    from presidio_analyzer import PatternRecognizer

MAX_BYTES = 1 << 20

_WORDS = {
    "missing": "missing",
    "string_type": "not text; accepted: text",
    "string_too_short": "empty; accepted: some text",
    "string_too_long": "too long; accepted: up to {max_length} characters",
    "tuple_type": "not a list; accepted: a list",
    "too_short": "empty; accepted: at least one",
    "too_long": "too long; accepted: up to {max_length} entries",
    "model_type": "not a mapping; accepted: a mapping",
    "bool_type": "neither `true` nor `false`",
    "int_type": "not a whole number",
    "float_type": "not a number",
    "greater_than": "too low; accepted: a score above 0 and up to 1, since what scores 0 is never found",
    "less_than_equal": "too high; accepted: a score above 0 and up to 1",
}

_MODELS: dict[int, type[BaseModel]] = {1: RecognizersFile, 3: RecognizerSpec, 5: PatternSpec}
"""By the number of steps that lead to one of its keys; a language has five as well, and no room for others."""


def read_recognizers(data: bytes) -> tuple[str, frozenset[str]]:
    """The recognizers as canonical JSON text, for `Plan.recognizers`, and the entities that they find.

    InvalidRules tells every problem; each message begins with its line and column in the file.
    """
    if len(data) > MAX_BYTES:
        raise _invalid([Fault(1, 1, f"the file is longer than {MAX_BYTES >> 20} MiB")])
    try:
        marked = Marked(data)
    except Unreadable as unreadable:
        raise _invalid([unreadable.fault]) from None
    try:
        file = RecognizersFile.model_validate(marked.value)
    except ValidationError as error:
        raise _invalid([*marked.faults, *_described(error, marked)]) from None
    faults = [*marked.faults, *(marked.fault(where, what) for where, what in _unusable(file))]
    if faults:
        raise _invalid(faults)
    used = [spec for spec in file.recognizers if spec.enabled]
    plain = [spec.plain(file.global_regex_flags) for spec in used]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":")) if plain else ""
    return text, frozenset(spec.entity for spec in used)


@lru_cache(maxsize=8)
def recognizers_of(text: str) -> list["PatternRecognizer"]:
    """Presidio's recognizers of a plan's `recognizers`, under the language `en`; the same list for the same text."""
    from presidio_analyzer import PatternRecognizer

    entries = json.loads(text) if text else []
    return [PatternRecognizer.from_dict({**entry, "supported_language": "en"}) for entry in entries]


def _invalid(faults: list[Fault]) -> InvalidRules:
    found = sorted(dict.fromkeys(faults))
    return InvalidRules([((), f"line {line}, column {column}: {_one_line(what)}") for line, column, what in found])


def _one_line(message: str) -> str:
    """What a file says is shown, but moves no cursor and begins no line."""
    return "".join(character if character.isprintable() else "\ufffd" for character in message)


def _described(error: ValidationError, marked: Marked) -> Iterator[Fault]:
    """One fault for each value; what is said of a whole list is passed over where something inside it is at fault."""
    found: dict[Location, Any] = {}
    for detail in error.errors(include_url=False, include_input=False):
        found.setdefault(tuple(step for step in detail["loc"] if not _is_form(step)), detail)
    around = {where[:depth] for where in found for depth in range(len(where))}
    for where, detail in found.items():
        if where not in around or detail["type"] != "too_short":
            yield marked.fault(where, _said(where, detail))


def _said(where: Location, detail: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    name = f"`{where[-1][:80]}`" if where and isinstance(where[-1], str) else "this"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return "only custom recognizers stand here, Presidio's own are named with `detect`; accepted: `custom`"
    if kind == "extra_forbidden":
        known = ", ".join(f"`{key}`" for key in _MODELS[len(where)].model_fields)
        return f"unknown key {name}; accepted: {known}"
    return f"{name} is {_WORDS.get(kind, 'not accepted here').format(**context)}"


def _is_form(step: str | int) -> bool:
    """How pydantic names one of several forms of a value."""
    return isinstance(step, str) and step.startswith("tuple[")


def _unusable(file: RecognizersFile) -> Iterator[tuple[Location, str]]:
    """Patterns that are none under the flags of their recognizer."""
    for at, spec in enumerate(file.recognizers):
        flags = spec.flags(file.global_regex_flags)
        for place, pattern in enumerate(spec.patterns):
            if wrong := regex_problem(pattern.regex, flags):
                yield ("recognizers", at, "patterns", place, "regex"), wrong
