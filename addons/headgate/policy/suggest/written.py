"""Suggested rules as YAML, ready to be pasted: each with what it is based on, and its tests.

Every text comes from a capture, and so from anybody: it is written as a scalar that says it, whatever it holds, and a
comment has nothing in it but our own words, numbers and ids.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headgate.policy.suggest.checks import Tested, Written
from headgate.policy.suggest.sightings import MOST_CALLERS

_PLAIN = re.compile(r"/?[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*\Z")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for something else, in any case."""


def yaml_text(tested: Sequence[Tested], head: Sequence[str]) -> str:
    """A policy file; `head` are lines of comment that begin it."""
    lines = [f"# {line}" if line else "#" for line in head]
    lines += ["", "rules:" if tested else "rules: []"]
    for one in tested:
        lines += _rule(one)
    tests = [test for one in tested for test in one.tests]
    lines += ["tests:"] if tests else []
    for test in tests:
        lines += _test(test)
    return "\n".join(lines).rstrip("\n") + "\n"


def _rule(tested: Tested) -> Iterator[str]:
    suggestion = tested.suggestion
    rule = suggestion.rule()
    match: Any = rule["match"]
    yield from (f"  # {line}" for line in comments(tested))
    yield f"  - id: {scalar(suggestion.id)}"
    yield "    effect: allow"
    yield "    match:"
    yield from (f"      {name}: {flow(value)}" for name, value in match.items())
    yield ""


def comments(tested: Tested) -> Iterator[str]:
    """What a person should know of a rule before keeping it."""
    suggestion, seen = tested.suggestion, tested.suggestion.seen
    callers = len(seen.callers)
    number = f"{MOST_CALLERS} callers or more" if callers >= MOST_CALLERS else _count(callers, "caller")
    yield f"{_count(seen.well, 'request')} by {number}, {_between(seen.first, seen.last)}"
    if seen.badly:
        yield f"{_count(seen.badly, 'more')} answered with an error (status 400 and above)"
    yield f"such as {', '.join(seen.flows)}"
    if suggestion.who.others:
        yield "CAUTION: these callers have no group in common, the rule lets in all of their provider"
    if suggestion.destructive:
        yield "DESTRUCTIVE: keep it only if these callers are meant to delete"


def _test(test: Written) -> Iterator[str]:
    yield f"  - name: {scalar(test['name'])}"
    yield from (f"    {name}: {flow(value)}" for name, value in test.items() if name != "name")


def flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _NOT_TEXT:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(character if character.isprintable() else _escaped(character) for character in quoted)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 or what == "more" else "s")


def _between(first: float, last: float) -> str:
    begin, end = _when(first), _when(last)
    return begin if begin == end else f"{begin} to {end}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
