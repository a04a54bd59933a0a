"""YAML as OpenAPI means it: the subset that is JSON in another spelling.

OpenAPI rests on YAML 1.2, where `NO` is text (a country) and only `true` and `false` are booleans; PyYAML's loaders
read 1.1. So plain scalars are resolved here, by the core schema of YAML 1.2, from the parser's events. Nothing that a
file names is constructed, and a file cannot grow when read: no anchors, no aliases, no tags, a bounded depth.
"""

import math
import re
from typing import Any

import yaml

from headgate.policy.openapi.faults import DescriptionFault, shown

MAX_DEPTH = 64

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}\Z")
_OTHER_BASE = re.compile(r"0o[0-7]{1,100}\Z|0x[0-9a-fA-F]{1,100}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")


def read_yaml(text: str) -> Any:
    """The one document in `text` as JSON values; DescriptionFault names the line of what is wrong."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it holds a character that may not stand in YAML"
        raise _fault(mark.line if mark else None, f"not YAML: {what}; accepted: YAML or JSON") from None
    return builder.root


def _fault(line: int | None, what: str) -> DescriptionFault:
    return DescriptionFault("", what if line is None else f"line {line + 1}: {what}")


class _Builder:
    """Puts events together; one open container for each level of the document."""

    def __init__(self) -> None:
        self.root: Any = None
        self._documents = 0
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line if event.start_mark else None
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _fault(line, "a second document begins; accepted: one document in a file")
        elif isinstance(event, yaml.AliasEvent):
            raise _fault(line, "an alias (`*name`) stands here; accepted: `$ref`")
        elif isinstance(event, yaml.ScalarEvent):
            self._plain_node(event, line)
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._plain_node(event, line)
            self._begin({} if isinstance(event, yaml.MappingStartEvent) else [], line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._keys.pop()
            self._add(self._open.pop())

    def _plain_node(self, event: Any, line: int | None) -> None:
        if event.anchor is not None:
            raise _fault(line, "an anchor (`&name`) stands here; accepted: `$ref`")
        if event.tag is not None:
            raise _fault(line, "a tag (`!name`) stands here; accepted: YAML without tags")

    def _begin(self, container: dict[str, Any] | list[Any], line: int | None) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _fault(line, f"nested deeper than {MAX_DEPTH} levels; accepted: up to {MAX_DEPTH}")
        if self._awaits_key():
            raise _fault(line, "a key is not text; accepted: text")
        self._open.append(container)
        self._keys.append(None)

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], dict) and self._keys[-1] is None

    def _scalar(self, event: yaml.ScalarEvent, line: int | None) -> None:
        text = event.value
        if not _has_utf8(text):
            raise _fault(line, "half a surrogate pair stands here; accepted: text that has UTF-8")
        if not self._awaits_key():
            self._add(_value(text, line) if event.implicit[0] else text)
            return
        holder = self._open[-1]
        if text in holder:
            raise _fault(line, f"`{shown(text)}` is given twice; accepted: each key once")
        if text == "<<" and event.implicit[0]:
            raise _fault(line, "a merge key (`<<`) stands here; accepted: `$ref`, or `allOf` in a schema")
        self._keys[-1] = text

    def _add(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        if isinstance(parent, list):
            parent.append(value)
            return
        key, self._keys[-1] = self._keys[-1], None
        parent[str(key)] = value


def _has_utf8(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _value(text: str, line: int | None) -> Any:
    """A plain scalar by the core schema of YAML 1.2.2 (section 10.3.2); infinities and NaN stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if _OTHER_BASE.match(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if not _FLOAT.match(text):
        return text
    number = float(text)
    if math.isinf(number):
        raise _fault(line, "a number stands here that no double can hold; accepted: text in quotes")
    return number
