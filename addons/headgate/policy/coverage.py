"""Which rules and limits the tests of a bundle are about, and whether they show each condition from both sides.

A rule is covered once a test has it determine an answer (in shadow mode: has it apply), and one that allows needs a
near miss besides: a request that it would allow but for one of its conditions.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headgate.match import Facts, Matcher
from headgate.match.conditions import Condition, Test
from headgate.model import Effect, RuleRef
from headgate.policy.engine import PolicyRules, Rule
from headgate.policy.mutants import Location, name_of
from headgate.policy.proofs import decided, limits_due, scenes


@dataclass(frozen=True, slots=True)
class ConditionCover:
    """Whether some test has a condition hold, and some other fail; unknown is neither."""

    name: str
    line: int
    held: bool
    failed: bool


@dataclass(frozen=True, slots=True)
class Cover:
    """What the tests show of one rule. `near_miss` is None where it is not asked for."""

    ref: RuleRef
    shadow: bool
    tests: tuple[str, ...]  # those in which it determined the answer, or applied in shadow mode
    near_miss: bool | None
    conditions: tuple[ConditionCover, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """What no test shows, in words."""
        what = "applies" if self.shadow else "allows" if self.ref.effect is Effect.ALLOW else "determines the answer"
        lacking = () if self.tests else (f"no test in which it {what}",)
        return (*lacking, "no test that misses it by one condition") if self.near_miss is False else lacking


@dataclass(frozen=True, slots=True)
class LimitCover:
    id: str
    file: str
    line: int
    tests: tuple[str, ...]  # those whose request it counts


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of all rules and limits, in order of file and line."""

    rules: tuple[Cover, ...]
    limits: tuple[LimitCover, ...]

    @property
    def covered(self) -> int:
        return sum(not cover.missing for cover in self.rules)

    def as_json(self) -> dict[str, Any]:
        return {
            "rules": [_rule_json(cover) for cover in self.rules],
            "limits": [
                {"id": cover.id, "file": cover.file, "line": cover.line, "tests": list(cover.tests)}
                for cover in self.limits
            ],
        }


def coverage(rules: PolicyRules) -> Coverage:
    """What the bundle's tests show, whether or not they pass."""
    policy = rules.policy
    by_rule: dict[str, list[str]] = defaultdict(list)
    by_limit: dict[str, list[str]] = defaultdict(list)
    facts: list[Facts] = []
    for scene in scenes(rules):
        decision = decided(rules, scene)
        for name in {ref.id for ref in (*decision.rules, *decision.shadow)}:
            by_rule[name].append(scene.case.name)
        for name in limits_due(policy, scene, decision):
            by_limit[name].append(scene.case.name)
        facts.append(scene.facts)
    sides = _Sides(facts)
    ordered = sorted(policy.rules, key=lambda rule: (rule.ref.file, rule.ref.line, rule.ref.id))
    limits = sorted(policy.limits, key=lambda limit: (limit.file, limit.line, limit.id))
    return Coverage(
        tuple(_cover(rule, tuple(by_rule[rule.ref.id]), sides) for rule in ordered),
        tuple(LimitCover(limit.id, limit.file, limit.line, tuple(by_limit[limit.id])) for limit in limits),
    )


class _Sides:
    """What tests of conditions came to on all requests; conditions that rules share are asked once."""

    def __init__(self, facts: list[Facts]) -> None:
        self.facts = facts
        self._known: dict[Test, list[bool | None]] = {}

    def of(self, test: Test) -> list[bool | None]:
        if test not in self._known:
            self._known[test] = [test(facts) for facts in self.facts]
        return self._known[test]

    def of_when(self, matcher: Matcher) -> list[bool | None]:
        """Only where all else holds is `when` asked: elsewhere it counts as unknown."""
        met = [all(row) for row in self.rows(matcher)]
        return [matcher.test(facts) if holds else None for facts, holds in zip(self.facts, met, strict=True)]

    def rows(self, matcher: Matcher) -> list[tuple[bool | None, ...]]:
        """For each request, what each condition came to."""
        columns = [self.of(condition.test) for condition in matcher.conditions]
        return list(zip(*columns, strict=True)) if columns else [()] * len(self.facts)


def _cover(rule: Rule, tests: tuple[str, ...], sides: _Sides) -> Cover:
    found = tuple(_conditions(rule, rule.matcher.conditions, (), sides))
    if rule.matcher.when is not None:
        found += (_side("when", rule.line_of(("when",)), sides.of_when(rule.matcher)),)
    asked = bool(found) and rule.ref.effect is Effect.ALLOW and not rule.shadow
    return Cover(rule.ref, rule.shadow, tests, _near_miss(rule.matcher, sides) if asked else None, found)


def _near_miss(matcher: Matcher, sides: _Sides) -> bool:
    """Whether some request fails at one condition only; `when` counts as one."""
    all_but_one = len(matcher.conditions) - 1
    if any(row.count(True) == all_but_one for row in sides.rows(matcher)):
        return True
    return matcher.when is not None and False in sides.of_when(matcher)


def _conditions(
    rule: Rule, conditions: tuple[Condition, ...], above: Location, sides: _Sides
) -> Iterator[ConditionCover]:
    for condition in conditions:
        where = (*above, *condition.location)
        if condition.inner is not None:
            yield from _conditions(rule, condition.inner.conditions, where, sides)
        else:
            yield _side(name_of(where), rule.line_of(("match", *where)), sides.of(condition.test))


def _side(name: str, line: int, results: list[bool | None]) -> ConditionCover:
    return ConditionCover(name, line, True in results, False in results)


def _rule_json(cover: Cover) -> dict[str, Any]:
    return {
        "id": cover.ref.id,
        "effect": str(cover.ref.effect),
        "file": cover.ref.file,
        "line": cover.ref.line,
        "mode": "shadow" if cover.shadow else "enforce",
        "tests": list(cover.tests),
        "near_miss": cover.near_miss,
        "missing": list(cover.missing),
        "conditions": [
            {"condition": one.name, "line": one.line, "held": one.held, "failed": one.failed}
            for one in cover.conditions
        ],
    }
