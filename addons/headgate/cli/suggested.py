"""What `headgate rules suggest` tells: rules as YAML or JSON, how much they would allow, and what is refused still."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.cli.screen import visible

if TYPE_CHECKING:
    from headgate.policy.suggest.checks import Outcome, Tested
    from headgate.policy.suggest.proposals import Left
    from headgate.policy.suggest.sightings import Sightings

MOST_LEFT = 20
"""Kinds of requests that are refused still and listed for people; JSON has all."""

Row = tuple[str, str, str, str, str, int]
"""A kind of request that is refused still: why, target, method, path, kind of callers, how many."""


def report(sightings: "Sightings", outcome: "Outcome", rules: Path) -> Iterator[str]:
    """How much of it would be allowed, and what would not be."""
    allowed = sightings.allowed + outcome.allowed
    number = len(outcome.suggestions)
    counted = f"{number} rule{'' if number == 1 else 's'} from {sightings.requests:,} answered requests"
    yield f"{counted}, {sightings.allowed:,} of which the rules in `{visible(str(rules))}` allow already"
    if sightings.requests:
        yield f"together they allow {allowed:,} of {sightings.requests:,} ({share(allowed, sightings.requests)})"
    left = _left(outcome)
    if left or sightings.left_out:
        yield "still refused:"
    for why, target, method, path, kind, requests in left[:MOST_LEFT]:
        yield f"  {requests:,} {visible(f'{method} {path}')} at {target}, {kind}: {why}"
    if len(left) > MOST_LEFT:
        yield f"  and {len(left) - MOST_LEFT:,} more kinds of requests, see --json"
    for reason, requests in sorted(sightings.left_out.items()):
        yield f"  {requests:,} not looked at: {reason}"


def share(part: int, whole: int) -> str:
    """A percentage that says 100 only of everything, and 0 only of nothing."""
    percent = 100 * part / whole
    return f"{min(max(round(percent), 1), 99) if 0 < part < whole else round(percent)} %"


def _left(outcome: "Outcome") -> list[Row]:
    """Each kind of request that is refused still once, the most frequent first."""
    found: dict[tuple[str, str, str, str, str], int] = {}
    for one in outcome.left:
        key = (_why(one), one.target, one.method, one.path, str(one.kind))
        found[key] = found.get(key, 0) + one.requests
    return sorted(((*key, requests) for key, requests in found.items()), key=lambda row: (-row[-1], row))


def _why(left: "Left") -> str:
    return left.why.reason + (f" ({', '.join(left.why.rules)})" if left.why.rules else "")


def as_yaml(sightings: "Sightings", outcome: "Outcome", rules: Path) -> str:
    from headgate.policy.suggest.written import yaml_text

    head = ["Suggested by `headgate rules suggest`: read each rule before you keep it, for what was done is not"]
    head += ["always what should be allowed.", "", *report(sightings, outcome, rules)]
    return yaml_text(outcome.suggestions, head)


def as_json(sightings: "Sightings", outcome: "Outcome") -> dict[str, Any]:
    allowed = sightings.allowed + outcome.allowed
    columns = ("reason", "target", "method", "path", "kind", "requests")
    return {
        "requests": sightings.requests,
        "first": _iso(sightings.first),
        "last": _iso(sightings.last),
        "allowed_already": sightings.allowed,
        "allowed_together": allowed,
        "share": round(allowed / sightings.requests, 4) if sightings.requests else None,
        "suggestions": [_suggestion_json(tested) for tested in outcome.suggestions],
        "still_refused": [dict(zip(columns, row, strict=True)) for row in _left(outcome)],
        "left_out": dict(sorted(sightings.left_out.items())),
    }


def _suggestion_json(tested: "Tested") -> dict[str, Any]:
    suggestion, seen = tested.suggestion, tested.suggestion.seen
    return {
        "rule": suggestion.rule(),
        "tests": list(tested.tests),
        "requests": seen.well,
        "errors": seen.badly,
        "callers": len(seen.callers),
        "first": _iso(seen.first),
        "last": _iso(seen.last),
        "flows": seen.flows,
        "destructive": suggestion.destructive,
        "lets_in_others": suggestion.who.others,
    }


def _iso(seconds: float) -> str | None:
    from headgate.capture.layout import iso

    return iso(seconds) if seconds else None
