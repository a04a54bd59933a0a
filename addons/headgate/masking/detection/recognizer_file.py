"""The schema of a file of custom recognizers: Presidio's own YAML, without what Presidio would pass over in silence.

That is: unknown keys, a second entity of one recognizer, a score of nothing, a pattern that matches nothing. Patterns
are those of the `regex` module, which Presidio runs them with; Presidio itself is not needed to check them.
"""

import re
import string
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Self

import regex
from pydantic import AfterValidator, Field, model_validator

from headgate.masking.tokens import FIELD
from headgate.match import Section, Text

MAX_RECOGNIZERS = 200
MAX_PATTERNS = 100
MAX_WORDS = 10_000

RESERVED = frozenset({"SECRET", FIELD.upper()})
"""What findings are called that no recognizer makes."""

DEFAULT_FLAGS = regex.DOTALL | regex.MULTILINE | regex.IGNORECASE
"""Presidio's own (PatternRecognizer)."""

FLAGS = {
    "ASCII": regex.ASCII,
    "IGNORECASE": regex.IGNORECASE,
    "MULTILINE": regex.MULTILINE,
    "DOTALL": regex.DOTALL,
    "UNICODE": regex.UNICODE,
    "VERBOSE": regex.VERBOSE,
}

SAMPLE = string.printable
PATIENCE = 1.0
"""Seconds for a pattern that is tried on it."""

_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")


def _entity(name: str) -> str:
    if not _ENTITY.match(name):
        raise ValueError(f"`{name[:40]}` is not the name of an entity; accepted: such as `EMPLOYEE_ID`")
    if name in RESERVED:
        raise ValueError(f"`{name}` is what Headgate itself calls a finding; accepted: another name")
    return name


def _flags(value: int) -> int:
    known = reduce(or_, FLAGS.values()).value
    if value < 0 or value & ~known:
        listed = ", ".join(f"`{flag.value}` ({name})" for name, flag in FLAGS.items())
        raise ValueError(f"`{str(value)[:20]}` is not a sum of flags; accepted: {listed}")
    if value & regex.ASCII and value & regex.UNICODE:
        raise ValueError(f"`{value}` is ASCII and UNICODE at once; accepted: one of them")
    return value


def regex_problem(pattern: str, flags: int) -> str | None:
    """Why Presidio could not run a pattern, or would find nothing with it."""
    try:
        return _matching_problem(regex.compile(pattern, flags))
    except TimeoutError:
        return f"the regular expression takes more than a second for {len(SAMPLE)} characters"
    except (regex.error, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, regex.error) else "it cannot be compiled"
        return f"this is not a regular expression of the `regex` module: {reason[:120]}"


def _matching_problem(compiled: Any) -> str | None:
    if any(match[0] == "" for text in ("", SAMPLE) for match in compiled.finditer(text, timeout=PATIENCE)):
        return "the regular expression matches the empty text; accepted: one that needs at least one character"
    return None


def _compiles(pattern: str) -> str:
    """Presidio compiles a pattern twice: without flags to check it, and with them."""
    if wrong := regex_problem(pattern, 0):
        raise ValueError(wrong)
    return pattern


Score = Annotated[float, Field(gt=0, le=1, strict=True)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Entity = Annotated[str, AfterValidator(_entity)]
Flags = Annotated[int, Field(strict=True), AfterValidator(_flags)]
Context = Annotated[tuple[Word, ...], Field(max_length=MAX_WORDS)]


class PatternSpec(Section):
    name: Name
    regex: Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(_compiles)]
    score: Score


class LanguageSpec(Section):
    language: Text
    context: Context = ()


class RecognizerSpec(Section):
    """One recognizer, with the keys that Presidio knows for one of the type `custom`."""

    name: Name
    type: Literal["custom"] = "custom"
    enabled: Annotated[bool, Field(strict=True)] = True
    supported_entity: Entity | None = None
    supported_entities: Annotated[tuple[Entity, ...], Field(max_length=1)] = ()
    supported_language: Text | None = None
    supported_languages: tuple[LanguageSpec, ...] | tuple[Text, ...] = ()
    patterns: Annotated[tuple[PatternSpec, ...], Field(max_length=MAX_PATTERNS)] = ()
    deny_list: Annotated[tuple[Word, ...], Field(max_length=MAX_WORDS)] = ()
    deny_list_score: Score = 1.0
    context: Context = ()
    global_regex_flags: Flags | None = None
    version: Text | None = None
    country_code: Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.supported_entity is None) == (not self.supported_entities):
            raise ValueError("the recognizer needs one entity; accepted: `supported_entity`, or a list of one")
        if not self.patterns and not self.deny_list:
            raise ValueError("the recognizer finds nothing; accepted: at least one of `patterns` and `deny_list`")
        return self

    @property
    def entity(self) -> str:
        return self.supported_entity or self.supported_entities[0]

    def flags(self, default: int) -> int:
        return default if self.global_regex_flags is None else self.global_regex_flags

    def plain(self, default_flags: int) -> dict[str, Any]:
        """The arguments of Presidio's PatternRecognizer."""
        spoken = [each for each in self.supported_languages if isinstance(each, LanguageSpec)]
        words = [*self.context, *(word for language in spoken for word in language.context)]
        return {
            "name": self.name,
            "supported_entity": self.entity,
            "patterns": [pattern.model_dump() for pattern in self.patterns],
            "deny_list": list(self.deny_list),
            "deny_list_score": self.deny_list_score,
            "context": list(dict.fromkeys(words)),
            "global_regex_flags": self.flags(default_flags),
        }


class RecognizersFile(Section):
    """The file as a whole, as Presidio's registry reads it."""

    recognizers: Annotated[tuple[RecognizerSpec, ...], Field(min_length=1, max_length=MAX_RECOGNIZERS)]
    supported_languages: tuple[Text, ...] = ()
    global_regex_flags: Flags = DEFAULT_FLAGS.value
