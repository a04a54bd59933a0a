"""What a change to the rules means: that they let more pass, or less. None where that depends on what comes."""

from collections.abc import Callable, Mapping
from typing import Any

from headgate.bundle.relations import MISSING, Missing, Relation, relate
from headgate.match import duration

LOOSER, STRICTER = "looser", "stricter"
OPPOSITE = {LOOSER: STRICTER, STRICTER: LOOSER, None: None}

STRICTNESS = ("allow", "approve", "deny")
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

SETS = {
    ("provider", "audiences"): LOOSER,
    ("provider", "algorithms"): LOOSER,
    ("provider", "signers"): LOOSER,
    ("target", "audiences"): LOOSER,
    ("identity", "trusted_proxies"): LOOSER,
    ("mask", "fields"): STRICTER,
    ("mask", "detect"): STRICTER,
    ("mask", "pass_types"): LOOSER,
    ("masking", "internal_domains"): STRICTER,
}
"""What more entries of a list mean."""


def _flag(default: bool, *, loose: bool) -> Callable[[Any], float | None]:
    def grade(value: Any) -> float | None:
        given = default if isinstance(value, Missing) else value
        return float(given is loose) if isinstance(given, bool) else None

    return grade


def _choice(default: str, loose: str) -> Callable[[Any], float | None]:
    return lambda value: float((default if isinstance(value, Missing) else value) == loose)


def _rate(value: Any) -> float | None:
    count, _, unit = str(value).partition("/")
    return int(count) / UNITS[unit] if count.isdecimal() and unit in UNITS else None


def _seconds(value: Any) -> float | None:
    try:
        return duration(value)
    except ValueError:
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _leniency(value: Any) -> float | None:
    return float(-STRICTNESS.index(value)) if value in STRICTNESS else None


GRADES: Mapping[tuple[str, str], Callable[[Any], float | None]] = {
    ("rule", "effect"): _leniency,
    ("limit", "rate"): _rate,
    ("limit", "burst"): _number,
    ("target", "observe"): _flag(False, loose=True),
    ("targets", "isolate_environments"): _flag(True, loose=False),
    ("targets", "unknown"): _choice("refuse", "allow"),
    ("identity", "anonymous"): _choice("refuse", "allow"),
    ("provider", "clock_skew"): _seconds,
    ("provider", "max_lifetime"): _seconds,
    ("mask", "min_score"): _number,
    ("mask", "keys"): _flag(False, loose=False),
    ("mask", "request"): _flag(False, loose=False),
    ("mask", "streams"): _choice("mask", "mask"),
}
"""How loose a value is; None where that cannot be said."""


def effect_of(kind: str, entry: Mapping[str, Any]) -> str | None:
    """What it means that there is such an entry, and so that it applies to more."""
    if entry.get("mode") == "shadow":
        return None
    if kind == "rule":
        return {"allow": LOOSER, "deny": STRICTER}.get(str(entry.get("effect")))
    return {"limit": STRICTER, "mask": STRICTER, "provider": LOOSER}.get(kind)


def meaning_of(kind: str, key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """What it means that a key of an entry differs, where it is no condition."""
    before, after = old.get(key, MISSING), new.get(key, MISSING)
    if more := SETS.get((kind, key)):
        if isinstance(before, Missing) or isinstance(after, Missing):
            return None
        return {Relation.WIDENED: more, Relation.NARROWED: OPPOSITE[more]}.get(relate((), before, after))
    if (kind, key) in (("rule", "mode"), ("limit", "mode")):
        return _enforced(kind, old, new)
    if kind == "rule" and "shadow" in (old.get("mode"), new.get("mode")):
        return None
    grade = GRADES.get((kind, key))
    levels = (grade(before), grade(after)) if grade else (None, None)
    if levels[0] is None or levels[1] is None or levels[0] == levels[1]:
        return None
    return LOOSER if levels[1] > levels[0] else STRICTER


def _enforced(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """What it means that an entry comes out of shadow mode, or goes there."""
    modes = old.get("mode", "enforce"), new.get("mode", "enforce")
    if modes[0] == modes[1] or old.get("effect") != new.get("effect"):
        return None
    effect = effect_of(kind, {**new, "mode": "enforce"})
    return effect if modes[1] == "enforce" else OPPOSITE[effect]
