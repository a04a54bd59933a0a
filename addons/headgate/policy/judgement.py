"""What becomes of a request, step by step: whether its caller may go there at all, what the rules say, whether it fits
the description of its target, and what limits make of it.

Live traffic takes these steps as its headers, its body and its turn come; a bundle's own tests and recorded exchanges,
of which everything is there at once, take them all together (`judge`). There is one place for each step, so that what
is tested or decided again cannot differ from what is enforced.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from headgate.match import Facts, Subject
from headgate.model import (
    Decision,
    Effect,
    Principal,
    Refusal,
    Request,
    Target,
    approval_required,
    denied,
    invalid,
    rate_limited,
)
from headgate.policy.buckets import Outcome, header_fields
from headgate.policy.engine import (
    ALLOWED_BY_RULE,
    APPROVAL_REQUIRED,
    AUDIENCE_NOT_FOR_TARGET,
    DENIED_BY_RULE,
    DENIED_BY_UNKNOWN,
    ENVIRONMENT_MISMATCH,
    NO_RULE_ALLOWS,
    NOT_AS_DESCRIBED,
    TUNNEL_MAY_OPEN,
    UNKNOWN_TARGET,
    Policy,
    PolicyRules,
    conclude,
    entry_refused,
    settle,
)
from headgate.policy.limits import Due, due
from headgate.policy.shaping import CONFLICT, MISSING, QUERY_UNCLEAR, UNFIT
from headgate.policy.targets import Targets

RATE_LIMITED = "rate-limited"
APPROVALS_UNAVAILABLE = "approvals-unavailable"
"""A rule asks for a person's approval, and there is nobody to ask yet."""

REASONS = frozenset({ALLOWED_BY_RULE, APPROVAL_REQUIRED, DENIED_BY_RULE, DENIED_BY_UNKNOWN, NO_RULE_ALLOWS})
REASONS |= {AUDIENCE_NOT_FOR_TARGET, ENVIRONMENT_MISMATCH, TUNNEL_MAY_OPEN, UNKNOWN_TARGET}
REASONS |= {CONFLICT, MISSING, QUERY_UNCLEAR, UNFIT}
"""Of every decision; one that was made before policy was asked has another."""

Take = Callable[[Sequence[Due]], Outcome]
"""What is in the buckets from which a request would take."""


class Judgement(NamedTuple):
    """What policy says, and how the caller is refused; None for what may go on."""

    decision: Decision
    refusal: Refusal | None = None


def judge(rules: PolicyRules, subject: Subject, take: Take | None = None) -> Judgement:
    """All steps on a request whose body is known; without `take` no limit counts it."""
    entry = entered(rules.targets, subject.principal, subject.target)
    decision = entry or decided(rules.policy, subject)
    said = Judgement(decision, refusal_of(decision))
    if said.refusal is None:
        said = described(rules.targets, subject.target, subject.request, decision)
    if said.refusal is None and take is not None and (dues := counting(rules.policy, Facts(subject))):
        said = limited(said.decision, take(dues))
    return said


def entered(targets: Targets, principal: Principal | None, target: Target | None) -> Decision | None:
    """The decision on a caller who may not go there at all, whatever the rules say."""
    reason = entry_refused(targets, principal, target) if principal else None
    return Decision(Effect.DENY, reason, observed=target is not None and target.observe) if reason else None


def decided(policy: Policy, subject: Subject) -> Decision:
    """What the rules say: at the headers, if what is in the body cannot matter, as that is when it is decided live."""
    if subject.request.body is not None:
        at_headers = Facts(subject._replace(request=replace(subject.request, body=None)))
        if (decision := settle(policy, at_headers)) is not None:
            return decision
    return conclude(policy, Facts(subject))


def described(targets: Targets, target: Target | None, request: Request, decision: Decision) -> Judgement:
    """A request that may go on, by the description of its target; where that is not enforced, it only says so."""
    found = targets.misfits(target, request) if targets.described and target is not None else ()
    if not found or target is None:
        return Judgement(decision)
    said = replace(decision, violations=tuple(violation.pointer for violation in found))
    if not targets.enforces_description(target):
        return Judgement(said)
    listed = [{"pointer": violation.pointer, "detail": violation.what} for violation in found]
    return Judgement(said, invalid(NOT_AS_DESCRIBED, (("errors", listed),)))


def counting(policy: Policy, facts: Facts) -> list[Due]:
    """The limits that count a request; what its body will say is not known while it has none."""
    dues = due(policy.limits, policy.limit_index, facts) if policy.limits else ()
    return [one for one in dues if facts.request.body is not None or not one[0].matcher.reads_body]


def limited(decision: Decision, outcome: Outcome, now: float | None = None) -> Judgement:
    """What limits make of a request; one to an observed target is only said to be one too many."""
    said = replace(decision, limits=outcome.uses)
    if not outcome.refusing or decision.observed:
        return Judgement(said)
    first = outcome.refusing[0].limit
    told = header_fields(outcome, outcome.at if now is None else now)
    return Judgement(said, rate_limited(RATE_LIMITED, first.message, first.id, told))


def refusal_of(decision: Decision) -> Refusal | None:
    """What a caller is told of a decision that does not let its request pass."""
    if decision.lets_pass:
        return None
    rule = decision.rules[0].id if decision.rules else None
    if decision.effect is Effect.APPROVE:
        return approval_required(APPROVALS_UNAVAILABLE, decision.message, rule)
    return denied(decision.reason, decision.message, rule)
