"""What a recorded decision says beyond its verdict, a line each: modes, limits, the nearest allow, the trace."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgate.capture.entries import Entry

Lines = Iterator[tuple[str, str]]
"""A label and what stands behind it."""


def rules_and_modes(entry: "Entry") -> Lines:
    """Which rules determined the answer, and what of it was not enforced."""
    if entry.summary.mode == "observe":
        yield "mode", "observe: recorded, not enforced"
    for rule in entry.rules:
        yield "rule", _rule(rule)
    for rule in entry.shadow:
        yield "shadow", _rule(rule)
    if entry.shadow_effect:
        yield "shadow", f"if enforced: {entry.shadow_effect}"
    for rule_id in entry.errors:
        yield "error", f"the `when` of {rule_id} could not be evaluated"
    if entry.nearest:
        yield from _nearest(entry.nearest)


def checks(entry: "Entry") -> Lines:
    """What limits and the description of the target said."""
    for use in entry.limits:
        left = "used up" if use["exhausted"] else f"{use['remaining']:,} left"
        yield "limit", f"{use['id']}: {left}" + ("" if use["enforced"] else " (shadow)")
    for pointer in entry.violations:
        yield "invalid", pointer or "the whole body"


def trace(entry: "Entry") -> Lines:
    if entry.trace_id:
        yield "trace", entry.trace_id + (f", linked to {entry.trace_link}" if entry.trace_link else "")


def failing_text(condition: dict[str, Any]) -> str:
    """One condition that does not hold, on one line."""
    key, outcome = condition["key"], condition["outcome"]
    said = f"{key} is {outcome}" if outcome == "unknown" else f"{key} does not hold"
    if "conditions" in condition:
        said += f": it excludes {'; '.join(_asked(one) for one in condition['conditions'])}"
    else:
        said += f": expected {text_of(condition['expected'])}"
        said += f", got {text_of(condition['actual'])}" if "actual" in condition else ""
    said += f" ({condition['error']})" if condition.get("error") else ""
    return said + (f", line {condition['line']}" if condition["line"] else "")


def _asked(condition: dict[str, Any]) -> str:
    if "conditions" in condition:
        return f"not ({'; '.join(_asked(one) for one in condition['conditions'])})"
    got = f", got {text_of(condition['actual'])}" if "actual" in condition else ""
    return f"{condition['key']} {text_of(condition['expected'])}{got}"


def _nearest(found: dict[str, Any]) -> Lines:
    yield "nearest", _rule(found["rule"])
    for condition in found["failing"]:
        yield "", failing_text(condition)


def _rule(rule: dict[str, Any]) -> str:
    return f"{rule['id']} ({rule['effect']}), {rule['file']}:{rule['line']}"


def text_of(value: Any) -> str:
    """A value as people read it: a list of texts by commas, nothing as `nothing`."""
    if value is None or value == []:
        return "nothing"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
