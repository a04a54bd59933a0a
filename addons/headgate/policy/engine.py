"""The decision: whether one caller may make one request to one target.

Pure: the same values give the same decision, in whatever order the rules were written. Deny wins over allow; without
an allow the answer is deny. A rule that cannot be evaluated forbids if it is a deny and does not help if it is an
allow. Before any rule, the target must be known, of the caller's environment, and one the token was issued for.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from headgate.match import Facts, Matcher, Subject
from headgate.model import Decision, Effect, Principal, Request, RuleRef, Target
from headgate.policy.index import Index
from headgate.policy.targets import Targets

ALLOWED_BY_RULE = "allowed-by-rule"
DENIED_BY_RULE = "denied-by-rule"
DENIED_BY_UNKNOWN = "denied-by-unknown"
"""A deny rule applies because what it asks for could not be determined."""
NO_RULE_ALLOWS = "no-rule-allows"
UNKNOWN_TARGET = "unknown-target"
ENVIRONMENT_MISMATCH = "environment-mismatch"
AUDIENCE_NOT_FOR_TARGET = "audience-not-for-target"
TUNNEL_MAY_OPEN = "tunnel-may-open"
"""A CONNECT went through; each request inside the tunnel is decided on its own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule of policy.yaml."""

    ref: RuleRef
    matcher: Matcher
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules, indexed when they are put together."""

    rules: tuple[Rule, ...]
    index: Index = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", Index([rule.matcher for rule in self.rules]))


class PolicyRules(NamedTuple):
    """What policy needs of a bundle."""

    targets: Targets
    policy: Policy


def decide(
    policy: Policy, targets: Targets, principal: Principal, target: Target | None, request: Request, *, now: float
) -> Decision:
    """The one decision; `target` is what `targets.resolve` gave for where the request will go, `now` is in seconds
    since the epoch."""
    reason = entry_refused(targets, principal, target)
    if reason is not None:
        return Decision(Effect.DENY, reason)
    facts = Facts(Subject(principal, request, target, now))
    allows: list[Rule] = []
    denies: list[Rule] = []
    unsure: list[Rule] = []
    for at in policy.index.candidates(facts):
        rule = policy.rules[at]
        holds = rule.matcher.test(facts)
        if holds is False:
            continue
        if rule.ref.effect is Effect.DENY:
            (denies if holds else unsure).append(rule)
        elif holds:
            allows.append(rule)
    if denies or unsure:
        return _denied(denies, unsure)
    if allows:
        return Decision(Effect.ALLOW, ALLOWED_BY_RULE, _refs(allows))
    return Decision(Effect.DENY, NO_RULE_ALLOWS)


def entry_refused(targets: Targets, principal: Principal, target: Target | None) -> str | None:
    """Why this caller may not reach this target at all, whatever the rules say; None when it may."""
    if target is None:
        return UNKNOWN_TARGET
    if targets.isolate_environments and target.environment not in principal.environments:
        return ENVIRONMENT_MISMATCH
    if target.audiences and target.audiences.isdisjoint(principal.audiences):
        return AUDIENCE_NOT_FOR_TARGET
    return None


def _denied(denies: list[Rule], unsure: list[Rule]) -> Decision:
    """The operator's message is that of a rule which surely holds, if there is one."""
    spoken = sorted((rule for rule in denies or unsure if rule.message), key=lambda rule: rule.ref.id)
    reason = DENIED_BY_RULE if denies else DENIED_BY_UNKNOWN
    return Decision(Effect.DENY, reason, _refs(denies) + _refs(unsure), spoken[0].message if spoken else None)


def _refs(rules: list[Rule]) -> tuple[RuleRef, ...]:
    return tuple(sorted((rule.ref for rule in rules), key=lambda ref: ref.id))
