"""The decision: whether one caller may make one request to one target.

Pure: the same values give the same decision, in whatever order the rules were written. Deny wins over approve, approve
over allow; without any of them the answer is deny. A rule that cannot be evaluated applies if it is a deny or an
approve, and does not help if it is an allow. Before any rule, the target must be known, of the caller's environment,
and one the token was issued for. Rules in shadow mode say what they would have said, and change nothing.

A request is decided on as soon as nothing that is still to come can change the answer: at its headers, unless a rule
that bears on it reads the body.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from headgate.match import Facts, Matcher, Subject
from headgate.model import UNSHAPED, Decision, Effect, Principal, Request, RuleRef, Shaping, Target
from headgate.policy.index import Index
from headgate.policy.limits import Limit
from headgate.policy.shaping import Shaper, shape
from headgate.policy.targets import Targets
from headgate.policy.testcases import Case

ALLOWED_BY_RULE = "allowed-by-rule"
DENIED_BY_RULE = "denied-by-rule"
DENIED_BY_UNKNOWN = "denied-by-unknown"
"""A deny rule applies because what it asks for could not be determined."""
APPROVAL_REQUIRED = "approval-required"
NO_RULE_ALLOWS = "no-rule-allows"
UNKNOWN_TARGET = "unknown-target"
ENVIRONMENT_MISMATCH = "environment-mismatch"
AUDIENCE_NOT_FOR_TARGET = "audience-not-for-target"
NOT_AS_DESCRIBED = "not-as-described"
"""The rules let the request pass, and it does not fit the description of its target."""
TUNNEL_MAY_OPEN = "tunnel-may-open"
"""A CONNECT went through; each request inside the tunnel is decided on its own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule of policy.yaml. `shadow`: it is evaluated and recorded, never enforced; `canonical` is the rule
    as written, in one spelling; `approval` is what an `approve` asks for; `line_of` finds the line of a place in it."""

    ref: RuleRef
    matcher: Matcher
    message: str | None = None
    shadow: bool = False
    pinned: bool = False
    shaper: Shaper | None = None
    approval: Any = None
    canonical: str = field(default="", compare=False, repr=False)
    line_of: Callable[[tuple[str | int, ...]], int] = field(default=lambda _: 0, compare=False, repr=False)


class Written(NamedTuple):
    """The schema's entries that rules and limits were compiled from, in the same order, for what checks the rules."""

    rules: tuple[Any, ...] = ()
    limits: tuple[Any, ...] = ()


NOTHING_WRITTEN = Written()


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules and limits, indexed when they are put together; `tests` are what the bundle says of itself."""

    rules: tuple[Rule, ...]
    limits: tuple[Limit, ...] = ()
    tests: tuple[Case, ...] = field(default=(), compare=False, repr=False)
    written: Written = field(default=NOTHING_WRITTEN, compare=False, repr=False)
    index: Index = field(init=False, compare=False, repr=False)
    owned_headers: frozenset[str] = field(init=False, compare=False, repr=False)
    limit_index: Index = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", Index([rule.matcher for rule in self.rules]))
        shapers = [rule.shaper for rule in self.rules if rule.shaper and not rule.shadow]
        owned = frozenset(name for shaper in shapers for name, _ in shaper.set_headers)
        object.__setattr__(self, "owned_headers", owned)
        object.__setattr__(self, "limit_index", Index([limit.matcher for limit in self.limits]))


class PolicyRules(NamedTuple):
    """What policy needs of a bundle."""

    targets: Targets
    policy: Policy


@dataclass(slots=True)
class Verdicts:
    """The rules that apply to a request. Those in `open` wait for the body; `errors` are ids of rules whose `when`
    failed."""

    denies: list[Rule] = field(default_factory=list)
    unsure: list[Rule] = field(default_factory=list)  # denies that apply because they could not be evaluated
    approves: list[Rule] = field(default_factory=list)
    allows: list[Rule] = field(default_factory=list)
    shadow: list[Rule] = field(default_factory=list)
    open: list[Rule] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, rule: Rule, holds: bool | None) -> None:
        """Count a rule that is not false: unknown does not help an allow, and makes every other rule apply."""
        effect = rule.ref.effect
        if holds is None and effect is Effect.ALLOW:
            return
        if rule.shadow:
            self.shadow.append(rule)
        elif effect is Effect.ALLOW:
            self.allows.append(rule)
        elif effect is Effect.APPROVE:
            self.approves.append(rule)
        else:
            (self.denies if holds else self.unsure).append(rule)


def decide(
    policy: Policy,
    targets: Targets,
    principal: Principal,
    target: Target | None,
    request: Request,
    *,
    now: float,
    signals: frozenset[str] | None = frozenset(),
) -> Decision:
    """The one decision; `target` is what `targets.resolve` gave for where the request will go, `now` is in seconds
    since the epoch, `signals` are those set (None: unknown). A body that has not been read is unknown."""
    if reason := entry_refused(targets, principal, target):
        return Decision(Effect.DENY, reason, observed=_observed(target))
    return conclude(policy, Facts(Subject(principal, request, target, now, signals)))


def conclude(policy: Policy, facts: Facts) -> Decision:
    """The decision on a request that may enter, with all that is known of it."""
    found = weigh(policy, facts)
    for rule in found.open:
        found.add(rule, None)
    return _concluded(facts, found)


def settle(policy: Policy, facts: Facts) -> Decision | None:
    """The decision on a request that may enter, before its body has been read; None if it may depend on that."""
    found = weigh(policy, facts)
    return None if _may_change(found) else _concluded(facts, found)


def entry_refused(targets: Targets, principal: Principal, target: Target | None) -> str | None:
    """Why this caller may not reach this target at all, whatever the rules say; None when it may."""
    if target is None:
        return UNKNOWN_TARGET
    if targets.isolate_environments and target.environment not in principal.environments:
        return ENVIRONMENT_MISMATCH
    if target.audiences and target.audiences.isdisjoint(principal.audiences):
        return AUDIENCE_NOT_FOR_TARGET
    return None


def weigh(policy: Policy, facts: Facts) -> Verdicts:
    """Every rule that applies, by what it says."""
    found = Verdicts()
    unread = facts.request.body is None
    for at in policy.index.candidates(facts):
        rule = policy.rules[at]
        holds = rule.matcher.test(facts)
        if holds is False:
            continue
        if holds is None:
            if unread and rule.matcher.reads_body:
                found.open.append(rule)
                continue
            if rule.matcher.error(facts):
                found.errors.append(rule.ref.id)
        found.add(rule, holds)
    return found


def _may_change(found: Verdicts) -> bool:
    """Whether what the open rules turn out to say bears on the answer, or on what is recorded of a request that goes
    on. A deny is final, and where nothing could let the request pass, so is the refusal."""
    if not found.open or found.denies or found.unsure:
        return False
    passing = (rule for rule in found.open if rule.ref.effect is not Effect.DENY and not rule.shadow)
    return bool(found.allows or found.approves or any(passing))


def _concluded(facts: Facts, found: Verdicts) -> Decision:
    decision, observed = _answer(facts, found), _observed(facts.target)
    if not (found.shadow or found.errors or observed):
        return decision
    return replace(
        decision,
        shadow=_refs(found.shadow),
        shadow_effect=_shadow_effect(facts, decision.effect, found),
        errors=tuple(sorted(found.errors)),
        observed=observed,
    )


def _answer(facts: Facts, found: Verdicts) -> Decision:
    if found.denies or found.unsure:
        reason = DENIED_BY_RULE if found.denies else DENIED_BY_UNKNOWN
        refs = _refs(found.denies) + _refs(found.unsure)
        return Decision(Effect.DENY, reason, refs, _message(found.denies or found.unsure))
    rules = found.approves or found.allows
    if not rules:
        return Decision(Effect.DENY, NO_RULE_ALLOWS)
    shaping = _shaping(facts, found)
    if isinstance(shaping, str):
        return Decision(Effect.DENY, shaping, _refs(rules))
    if found.approves:
        return Decision(Effect.APPROVE, APPROVAL_REQUIRED, _refs(rules), _message(rules), shaping=shaping)
    return Decision(Effect.ALLOW, ALLOWED_BY_RULE, _refs(rules), shaping=shaping)


def _shaping(facts: Facts, found: Verdicts) -> Shaping | str:
    """How all rules that let the request go on change it, or why they cannot."""
    shapers = [(rule.shaper, rule.matcher) for rule in (*found.approves, *found.allows) if rule.shaper]
    if not shapers:
        return UNSHAPED
    return shape([(shaper, matcher.path_params(facts)) for shaper, matcher in shapers], facts)


def _shadow_effect(facts: Facts, effect: Effect, found: Verdicts) -> Effect | None:
    """What the answer would be with the rules in shadow mode enforced, if that is another."""
    if not found.shadow:
        return None
    by_effect = {one: [rule for rule in found.shadow if rule.ref.effect is one] for one in Effect}
    enforced = Verdicts(
        denies=found.denies + by_effect[Effect.DENY],
        unsure=found.unsure,
        approves=found.approves + by_effect[Effect.APPROVE],
        allows=found.allows + by_effect[Effect.ALLOW],
    )
    would = _answer(facts, enforced).effect
    return None if would is effect else would


def _observed(target: Target | None) -> bool:
    return target is not None and target.observe


def _message(rules: list[Rule]) -> str | None:
    """The operator's words: of a rule that surely holds, if there is one, and always of the same one."""
    spoken = sorted((rule.ref.id, rule.message) for rule in rules if rule.message)
    return spoken[0][1] if spoken else None


def _refs(rules: list[Rule]) -> tuple[RuleRef, ...]:
    return tuple(sorted((rule.ref for rule in rules), key=lambda ref: ref.id))
