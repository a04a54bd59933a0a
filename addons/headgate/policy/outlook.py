"""What rules could say of a request of which not everything is known: of every way that it could turn out.

The decision itself is the one that live traffic would get if what is not known could not be evaluated. It is certain
only if each unknown condition, being true, false or not to be evaluated, would leave effect, reason and rules as they
are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.match import Facts, Subject
from headgate.model import Decision, Effect
from headgate.policy.engine import Policy, Rule, Verdicts, weigh
from headgate.policy.judgement import decided


@dataclass(frozen=True, slots=True)
class Known:
    """A policy as far as a record lets it be asked (`policy/unrecorded.py`): `open` are the places of its rules that
    ask for something that is not recorded."""

    policy: Policy
    open: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Outlook:
    """`effects` are all that the answer could be; `applying` the places of the rules that apply, and `possible` of
    those that may or may not."""

    decision: Decision
    effects: frozenset[Effect]
    certain: bool = True
    applying: frozenset[int] = frozenset()
    possible: frozenset[int] = frozenset()


def outlook(known: Known, subject: Subject) -> Outlook:
    """The decision on a request that may enter, and what else it could be."""
    decision = decided(known.policy, subject)
    if not known.open:
        return Outlook(decision, frozenset({decision.effect}))
    facts = Facts(subject)
    unknown = _unknown(known, facts)
    if not unknown:
        return Outlook(decision, frozenset({decision.effect}))
    rules = [known.policy.rules[at] for at in unknown]
    found = _certain(known.policy, facts, {rule.ref.id for rule in rules})
    could = {rule.ref.effect for rule in rules if not rule.shadow}
    names = {rule.ref.id for rule in (*found.denies, *found.unsure, *found.approves, *found.allows, *found.shadow)}
    applying = frozenset(at for at, rule in enumerate(known.policy.rules) if rule.ref.id in names)
    return Outlook(decision, _effects(found, could), _is_certain(found, could), applying, frozenset(unknown))


def _unknown(known: Known, facts: Facts) -> Sequence[int]:
    """The rules of which it is not known whether they apply, for want of a record."""
    rules = known.policy.rules
    among = known.open & known.policy.index.candidates(facts)
    return [at for at in sorted(among) if rules[at].matcher.test(facts) is None]


def _certain(policy: Policy, facts: Facts, unknown: set[str]) -> Verdicts:
    """The rules that apply however the unknown ones turn out."""
    found = weigh(policy, facts)
    for rule in found.open:
        found.add(rule, None)

    def sure(rules: list[Rule]) -> list[Rule]:
        return [rule for rule in rules if rule.ref.id not in unknown]

    return Verdicts(
        sure(found.denies), sure(found.unsure), sure(found.approves), sure(found.allows), sure(found.shadow)
    )


def _effects(found: Verdicts, could: set[Effect]) -> frozenset[Effect]:
    if found.denies or found.unsure:
        return frozenset({Effect.DENY})
    effects = could & {Effect.DENY}
    if found.approves:
        return frozenset(effects | {Effect.APPROVE})
    effects |= could & {Effect.APPROVE}
    if found.allows:
        return frozenset(effects | {Effect.ALLOW})
    return frozenset(effects | (could & {Effect.ALLOW}) | {Effect.DENY})


def _is_certain(found: Verdicts, could: set[Effect]) -> bool:
    """Whether nothing that is unknown could name another rule as the one that decides."""
    if Effect.DENY in could:
        return False
    if found.denies or found.unsure:
        return True
    if Effect.APPROVE in could:
        return False
    return bool(found.approves) or Effect.ALLOW not in could
