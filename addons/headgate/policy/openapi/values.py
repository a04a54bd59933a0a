"""Text that stands for a value: what a parameter or a form's member is read as before its schema judges it.

A value in a query, a path or a form has no type of its own; it is read as each type that its schema may take, and one
of them must satisfy the schema. Numbers are as JSON writes them: what only some parsers take for a number (`010`,
`+5`, `1_000`) is text.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from headgate.policy.openapi.checker import Checker
from headgate.policy.openapi.jsontext import NotStrict, read_json
from headgate.policy.openapi.violations import Failure

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,308})\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,308})(?:\.[0-9]{1,308})?(?:[eE][+-]?[0-9]{1,4})?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

TWICE: Failure = ((), "is given more than once")
UNREADABLE: Failure = ((), "is not text in UTF-8, percent-encoded")


def decoded(text: str, *, plus: bool = False) -> str | None:
    """Percent-decoded text, `+` standing for a blank where `plus` says so; None where it is not readable."""
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text.replace("+", " ") if plus else text).decode()
    except UnicodeError:
        return None


def pairs(text: str) -> list[tuple[str | None, str]]:
    """Names, decoded, and values, not yet, of a query or a form-encoded body; nothing between two `&` is no pair."""
    parts = (part.partition("=") for part in text.split("&") if part)
    return [(decoded(name, plus=True), value) for name, _, value in parts]


def readings(text: str, types: frozenset[str]) -> list[Any]:
    """What the text may stand for, the most specific first; never empty."""
    found: list[Any] = []
    if "integer" in types and _INTEGER.match(text):
        found.append(int(text))
    elif "number" in types and _NUMBER.match(text):
        number = int(text) if _INTEGER.match(text) else float(text)
        found += [] if isinstance(number, float) and math.isinf(number) else [number]
    if "boolean" in types and text in ("true", "false"):
        found.append(text == "true")
    if "string" in types or not found:
        found.append(text)
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """How the texts given for one name become a value, and what judges it.

    `types` are those its schema may take. `items` reads the items where it may be an array, `delimiter` says what
    divides them within one text (None: each is given by itself). `json` reads the text as JSON instead.
    """

    checker: Checker
    types: frozenset[str]
    decode: Callable[[str], str | None]
    items: "Reading | None" = None
    delimiter: re.Pattern[str] | None = None
    json: bool = False

    def failures(self, raw: Sequence[str]) -> list[Failure]:
        """What is wrong with what is given."""
        value, failures = self.value(raw)
        return failures or self.checker.failures(value)

    def value(self, raw: Sequence[str]) -> tuple[Any, list[Failure]]:
        """The value, valid if it has a valid reading, or why there is none."""
        if self.json:
            return self._json(raw)
        candidates: list[Any] = []
        if len(raw) == 1 and (self.types - {"array", "object", "null"} or self.items is None):
            text = self.decode(raw[0])
            if text is None:
                return None, [UNREADABLE]
            candidates += readings(text, self.types)
        if self.items is not None:
            divided = [part for text in raw for part in (self.delimiter.split(text) if self.delimiter else (text,))]
            items = [self.items.value((part,)) for part in divided]
            if wrong := [((at, *path), what) for at, (_, found) in enumerate(items) for path, what in found]:
                return None, wrong
            candidates.append([value for value, _ in items])
        if not candidates or (self.delimiter and len(raw) > 1):
            return None, [TWICE]
        return next(filter(self.checker.valid, candidates), candidates[0]), []

    def _json(self, raw: Sequence[str]) -> tuple[Any, list[Failure]]:
        text = self.decode(raw[0])
        if len(raw) > 1 or text is None:
            return None, [TWICE if len(raw) > 1 else UNREADABLE]
        try:
            return read_json(text.encode()), []
        except NotStrict as error:
            return None, [((), str(error))]


@dataclass(frozen=True, slots=True)
class Members:
    """Reads `name[member]=value`, the style `deepObject`, into an object."""

    checker: Checker
    known: Mapping[str, Reading]

    def failures(self, given: Iterable[tuple[str, str]]) -> list[Failure]:
        value, failures = self.value(given)
        return failures or self.checker.failures(value)

    def value(self, given: Iterable[tuple[str, str]]) -> tuple[dict[str, Any], list[Failure]]:
        """The object of these members, each known one read by its own schema."""
        texts: dict[str, list[str]] = {}
        for name, raw in given:
            texts.setdefault(name, []).append(raw)
        members, failures = dict[str, Any](), list[Failure]()
        for name, raws in texts.items():
            value, wrong = self._member(name, raws)
            members[name] = value
            failures += (((name, *path), what) for path, what in wrong)
        return members, failures

    def _member(self, name: str, raws: Sequence[str]) -> tuple[Any, list[Failure]]:
        known = self.known.get(name)
        if known is not None:
            return known.value(raws)
        text = decoded(raws[0], plus=True)
        if len(raws) > 1 or text is None:
            return None, [TWICE if len(raws) > 1 else UNREADABLE]
        return text, []
