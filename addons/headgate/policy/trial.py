"""Whether the tests of a bundle notice a mutant of it.

Only what a mutant changes is asked again. A request that more of the rule's conditions keep away than the mutant has
others of stays away; one that the rule matches as before gets the same answer. For the others the answer is decided
anew, by the rules that apply to it, which are few.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from headgate.match import Facts, Matcher
from headgate.policy.engine import ENVIRONMENT_MISMATCH, Policy, PolicyRules, Rule, entry_refused
from headgate.policy.limits import Limit
from headgate.policy.mutants import ISOLATION, Mutant
from headgate.policy.proofs import Scene, decided, is_counted, run_test, scenes

Verdict = bool | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A test with what it is asked about, and the positions of the rules that apply to it."""

    scene: Scene
    facts: Facts
    applying: tuple[int, ...]
    counted: bool  # whether limits count its request, and it says which


class _Before(NamedTuple):
    """What a matcher says of a request, and how many of its tests are false."""

    verdict: Verdict
    failing: int


class Trial:
    """All tests of a bundle; it makes sense only of a bundle that passes them."""

    def __init__(self, rules: PolicyRules) -> None:
        self._rules = rules
        self._scenes = scenes(rules)
        self._entering = [self._asked(scene) for scene in self._scenes if self._refused(scene) is None]
        self._known: tuple[Matcher, list[_Before]] | None = None

    def noticed_by(self, mutant: Mutant) -> str | None:
        """The name of a test that fails with the mutant, None if there is none."""
        kind, at = mutant.of
        found = {"rules": self._by_rule, "limits": self._by_limit, ISOLATION: self._by_isolation}[kind](mutant, at)
        return next((scene.case.name for scene in found), None)

    def _by_rule(self, mutant: Mutant, at: int) -> Iterator[Scene]:
        rule, other = self._rules.policy.rules[at], mutant.by if isinstance(mutant.by, Rule) else None
        for asked, before in self._near(rule.matcher, other.matcher if other is not None else None):
            after = other.matcher.test(asked.facts) if other is not None else False
            if _same(rule, other, before, after):
                continue
            applying = [self._rules.policy.rules[place] for place in asked.applying if place != at]
            applying += [other] if other is not None and after is not False else []
            if run_test(self._with(tuple(applying), asked.scene), asked.scene).failures:
                yield asked.scene

    def _by_limit(self, mutant: Mutant, at: int) -> Iterator[Scene]:
        """A limit counts a request or not; which ones do, a test says in full or not at all."""
        limit, other = self._rules.policy.limits[at], mutant.by if isinstance(mutant.by, Limit) else None
        for asked, before in self._near(limit.matcher, other.matcher if other is not None else None):
            after = other.matcher.test(asked.facts) if other is not None else False
            if asked.counted and (before is False) is not (after is False):
                yield asked.scene

    def _by_isolation(self, mutant: Mutant, at: int) -> Iterator[Scene]:
        del mutant, at
        open_to_all = self._rules._replace(targets=replace(self._rules.targets, isolate_environments=False))
        for scene in self._scenes:
            if self._refused(scene) == ENVIRONMENT_MISMATCH and run_test(open_to_all, scene).failures:
                yield scene

    def _near(self, matcher: Matcher, other: Matcher | None) -> Iterator[tuple[_Asked, Verdict]]:
        """The tests for which a matcher and another one in its place may say different things, with what it says."""
        differing = len(set(matcher.tests).difference(other.tests)) if other is not None else 0
        for asked, before in zip(self._entering, self._before(matcher), strict=True):
            if before.failing <= differing:
                yield asked, before.verdict

    def _before(self, matcher: Matcher) -> "list[_Before]":
        """What a matcher says of each test; kept for the mutants of one rule, which come one after the other."""
        if self._known is None or self._known[0] is not matcher:
            self._known = (matcher, [_asked_of(matcher, asked.facts) for asked in self._entering])
        return self._known[1]

    def _with(self, applying: tuple[Rule, ...], scene: Scene) -> PolicyRules:
        """The rules that apply to a request stand for all of them."""
        limits = self._rules.policy.limits if scene.case.expected.limits is not None else ()
        return self._rules._replace(policy=Policy(applying, limits))

    def _asked(self, scene: Scene) -> _Asked:
        policy, facts = self._rules.policy, scene.facts
        found = (at for at in policy.index.candidates(facts) if policy.rules[at].matcher.test(facts) is not False)
        counted = scene.case.expected.limits is not None and is_counted(decided(self._rules, scene))
        return _Asked(scene, facts, tuple(sorted(found)), counted)

    def _refused(self, scene: Scene) -> str | None:
        return entry_refused(self._rules.targets, scene.principal, scene.target)


def _asked_of(matcher: Matcher, facts: Facts) -> _Before:
    failing = sum(test(facts) is False for test in matcher.tests)
    return _Before(False if failing else matcher.test(facts), failing)


def _same(rule: Rule, other: Rule | None, before: Verdict, after: Verdict) -> bool:
    """Whether what a rule says of a request stays the same."""
    if before is False and after is False:
        return True
    if other is None or other.ref.effect is not rule.ref.effect or other.shadow is not rule.shadow:
        return False
    return before is after and rule.shaper is None
