"""Rules for a request of which not everything is known, such as a recorded one: a value that was masked or left out.

A condition on such a value is unknown, whatever a record shows in its place; what follows from that is up to the rules,
which are otherwise the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from headgate.match import Facts, Matcher
from headgate.match.conditions import Condition, shown
from headgate.policy.derivation import WHEN
from headgate.policy.engine import Policy

Unrecorded = Callable[[tuple[str | int, ...]], bool]
"""Whether what the condition at this location, below `match:`, is about is not recorded."""

NOT_RECORDED = "not recorded"

_PLACES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("request", "headers"): ("headers",),
    ("request", "query"): ("query",),
    ("request", "body"): ("body",),
    ("request", "size"): ("body",),
    ("request", "path"): ("path",),
    ("request", "segments"): ("path",),
    ("path_params",): ("path",),
}
"""Where a condition on what a `when` refers to would stand."""


def without(policy: Policy, unrecorded: Unrecorded) -> Policy:
    """The same rules, every condition unknown that is about what is not recorded. How they would change the request is
    left out: it may be made of what is not recorded, too."""
    rules = (replace(rule, matcher=matcher_without(rule.matcher, unrecorded), shaper=None) for rule in policy.rules)
    limits = (replace(limit, matcher=matcher_without(limit.matcher, unrecorded)) for limit in policy.limits)
    return replace(policy, rules=tuple(rules), limits=tuple(limits))


def asked(matchers: Iterator[Matcher]) -> frozenset[tuple[str | int, ...]]:
    """Every place that any of their conditions is about: what of it is not recorded is all that `without` goes by."""
    return frozenset(place for matcher in matchers for place in _places(matcher))


def _places(matcher: Matcher) -> Iterator[tuple[str | int, ...]]:
    for condition in matcher.conditions:
        yield from _places(condition.inner) if condition.inner is not None else (condition.location,)
    if matcher.when is not None:
        yield from map(_place, matcher.when.uses)


def matcher_without(matcher: Matcher, unrecorded: Unrecorded) -> Matcher:
    """A `when` on what is not recorded becomes a condition like others, which nobody can ask."""
    conditions = tuple(_condition_without(condition, unrecorded) for condition in matcher.conditions)
    when = matcher.when
    if when is not None and any(unrecorded(_place(path)) for path in when.uses):
        conditions = (*conditions, Condition(_unknown, WHEN, when.text, _not_recorded, location=(WHEN,)))
        when = None
    if conditions == matcher.conditions:
        return matcher
    tests = tuple(condition.test for condition in conditions)
    known = {condition.dimension for condition in conditions}  # by the others an index still tells rules apart
    segments = not unrecorded(("path",))
    fixed = {at: values for at, values in matcher.fixed.items() if at in known or (segments and isinstance(at, int))}
    return replace(matcher, tests=tests, conditions=conditions, when=when, fixed=fixed)


def _place(path: tuple[str, ...]) -> tuple[str, ...]:
    """Where a condition on the same value would stand."""
    if path[:2] == ("principal", "claims"):
        return (*path[:2], shown(path[2:])) if path[2:] else path
    for known, place in _PLACES.items():
        if path[: len(known)] == known:
            return (*place, *path[len(known) :])
    return path


def _condition_without(condition: Condition, unrecorded: Unrecorded) -> Condition:
    if condition.inner is not None:
        inner: Matcher = matcher_without(condition.inner, unrecorded)
        return condition if inner is condition.inner else condition._replace(test=_negated(inner), inner=inner)
    if not unrecorded(condition.location):
        return condition
    return condition._replace(test=_unknown, actual=_not_recorded, dimension=None, values=None)


def _negated(inner: Matcher) -> Callable[[Facts], bool | None]:
    def test(facts: Facts) -> bool | None:
        holds = inner.test(facts)
        return None if holds is None else not holds

    return test


def _unknown(facts: Facts) -> None:
    del facts


def _not_recorded(facts: Facts) -> str:
    del facts
    return NOT_RECORDED
