"""An expectation and what the rules say now: whether they differ, and in which direction.

What is not known counts by all that it could be, so that an answer that became uncertain never counts as unchanged, nor
as harmless: what may let pass now what it did not before is loosened.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from headgate.replay.expectations import text_of

ABOUT = frozenset({"who", "what"})
"""For those who read the file; the name says the same."""


UNCOUNTED = ("request_masks", "record_masks")
"""What is hidden of what goes on to the upstream, and from recorders of what an excepted caller gets, by name."""


class Direction(StrEnum):
    LOOSENED = "loosened"
    MASK_LOST = "mask lost"
    UNKNOWN = "unknown"
    TIGHTENED = "tightened"
    MASK_GAINED = "mask gained"
    RULE_CHANGED = "rule changed"


LOOSER = frozenset({Direction.LOOSENED, Direction.MASK_LOST, Direction.UNKNOWN})
"""What is written only if somebody says that it is meant."""

_PERMISSION = {"deny": 0, "approve": 1, "allow": 2, "refused": 0, "approval": 1, "passes": 2}
"""What an effect, or an outcome, lets pass."""


def agree(expected: Mapping[str, Any], came: Mapping[str, Any]) -> bool:
    return _counting(expected) == _counting(came)


def directions(expected: Mapping[str, Any], came: Mapping[str, Any]) -> list[Direction]:
    """Every direction in which `came` differs, the graver first; empty if they agree."""
    if agree(expected, came):
        return []
    found = set(_effects(_permitted(expected), _permitted(came)))
    if _permitted(came)[1] and _permitted(expected)[1]:
        found |= set(_masks(expected, came))
    if (expected.get("certain") is not came.get("certain") and came.get("certain") is not True) or (
        came.get("masks_certain") is False and expected.get("masks_certain") is not False
    ):
        found.add(Direction.UNKNOWN)
    return sorted(found or {Direction.RULE_CHANGED}, key=list(Direction).index)


def _permitted(said: Mapping[str, Any]) -> tuple[int, int]:
    """The least and the most that this lets pass, 0 being nothing."""
    if said.get("certain") is not True and (could := said.get("could_be")):
        ranks = [_PERMISSION.get(str(one), 2) for one in could]
        return min(ranks), max(ranks)
    if said.get("refused") or said.get("withheld"):
        return 0, 0
    rank = 2 if said.get("mode") == "observe" else _PERMISSION.get(str(said.get("effect")), 2)
    return rank, rank


def _effects(before: tuple[int, int], after: tuple[int, int]) -> Iterator[Direction]:
    pairs = list(zip(before, after, strict=True))
    if any(then < now for then, now in pairs):
        yield Direction.LOOSENED
    if any(then > now for then, now in pairs):
        yield Direction.TIGHTENED


def _masks(expected: Mapping[str, Any], came: Mapping[str, Any]) -> Iterator[Direction]:
    before, after = _counts(expected.get("masks")), _counts(came.get("masks"))
    if before - after:
        yield Direction.MASK_LOST
    if after - before:
        yield Direction.MASK_GAINED
    for name in UNCOUNTED:
        hidden, hides = (frozenset(map(str, one.get(name) or ())) for one in (expected, came))
        if hidden - hides:
            yield Direction.MASK_LOST
        if hides - hidden:
            yield Direction.MASK_GAINED


def _counts(masks: Any) -> Counter[tuple[str, ...]]:
    counted: Counter[tuple[str, ...]] = Counter()
    for mask in masks if isinstance(masks, list) else ():
        if isinstance(mask, dict) and isinstance(mask.get("count"), int):
            counted[tuple(str(mask.get(name)) for name in ("location", "entity", "operator"))] += mask["count"]
    return counted


def _counting(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in ABOUT}


def difference(expected: Mapping[str, Any], came: Mapping[str, Any]) -> list[str]:
    """What has to change in the file, line by line: `-` was expected, `+` came."""
    before, after = (text_of(_counting(said)).splitlines() for said in (expected, came))
    return [line for line in difflib.ndiff(before, after) if not line.startswith("?")]


def in_words(found: Iterable[Direction], expected: Mapping[str, Any], came: Mapping[str, Any]) -> str:
    """The change in one line: `loosened: deny (no-rule-allows) -> allow (allowed-by-rule)`."""
    before, after = _short(expected), _short(came)
    said = ", ".join(found)
    return f"{said}: {before} -> {after}" if before != after else f"{said}: {after}, but not in all else"


def _short(said: Mapping[str, Any]) -> str:
    refused = said.get("withheld") or said.get("refused")
    rules = said.get("rules")
    why = ", ".join(map(str, rules)) if isinstance(rules, list) and rules else said.get("reason")
    could = "" if said.get("certain") is True else ", uncertain"
    return f"{refused or said.get('effect')} ({why}{could})"
