"""The nearest allow: of all rules that could have let a refused request pass, the one that came closest.

Closest is the rule with the fewest conditions that do not hold, one that is unknown counted among them. Of several the
one counts whose target, path and method hold, asked for in this order, and then the first by its id. A rule in shadow
mode lets nothing pass, so it is not near.

It is worked out after the answer has been given, from what the answer was made of. Rules share most of their tests, so
each is asked once, and a rule is put aside as soon as more of it fails than of the best so far.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.match import Facts, Matcher, Subject
from headgate.model import Effect, RuleRef
from headgate.policy.derivation import Outcome, condition_json, outcomes, ref_json
from headgate.policy.engine import Policy, Rule

TELLING = ("target", "path", "method")
"""A rule about another target, path or method than the request's is hardly the one that its caller had in mind."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The rule, and those of its conditions that do not hold."""

    rule: RuleRef
    failing: tuple[Outcome, ...]


def nearest(policy: Policy, facts: Facts) -> Nearest | None:
    """The rule that came closest; None where no rule lets anything pass, and where one lets this request."""
    known: dict[Any, bool] = {}
    closest: list[Rule] = []
    fewest = 1 << 30
    for rule in policy.rules:
        if rule.shadow or rule.ref.effect is Effect.DENY:
            continue
        failing = _failing(rule.matcher, facts, known, fewest)
        if failing < fewest:
            fewest, closest = failing, []
        if failing == fewest:
            closest.append(rule)
    if not closest or not fewest:
        return None
    best = min(closest, key=lambda rule: (_telling(rule.matcher, known), rule.ref.id))
    return Nearest(best.ref, tuple(one for one in outcomes(best, facts) if one.asked and one.holds is not True))


def _failing(matcher: Matcher, facts: Facts, known: dict[Any, bool], fewest: int) -> int:
    """How many conditions do not hold, counted up to one more than `fewest`; a `when` counts where all else holds."""
    failing = 0
    for test in matcher.tests:
        holds = known.get(test)
        if holds is None:
            holds = known[test] = test(facts) is True
        if not holds:
            failing += 1
            if failing > fewest:
                return failing
    return failing or int(matcher.when is not None and not matcher.test(facts))


def _telling(matcher: Matcher, known: Mapping[Any, bool]) -> tuple[int, ...]:
    """For each telling condition: 0 where it holds, 1 where the rule does not ask for it, 2 where it does not hold."""
    found = dict.fromkeys(TELLING, 1)
    for condition in matcher.conditions:
        kind = condition.location[0] if condition.location else ""
        if kind in found and found[kind] != 2:
            found[kind] = 0 if known.get(condition.test) else 2
    return tuple(found.values())


def as_json(found: Nearest, *, for_record: bool = False) -> dict[str, Any]:
    """As records and explanations show it; a record holds no value that a mask could be for."""
    failing = [condition_json(one, for_record=for_record) | {"file": found.rule.file} for one in found.failing]
    return {"rule": ref_json(found.rule), "failing": failing}


@dataclass(frozen=True, slots=True)
class Later:
    """The nearest allow of a decision, to be worked out when a record is written; the text is JSON."""

    policy: Policy = field(repr=False)
    subject: Subject = field(repr=False)

    def __call__(self) -> str | None:
        found = nearest(self.policy, Facts(self.subject))
        return json.dumps(as_json(found, for_record=True), separators=(",", ":")) if found else None
