"""The whole derivation of one decision, for people: what was checked before any rule, every rule with each of its
conditions, and what follows.

The decision is not worked out anew: it is what `decide` says. The rest is asked of the same matchers, so that what is
explained is what was decided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from headgate.match import Facts, Subject
from headgate.model import Decision, Principal, Request, Target
from headgate.policy.derivation import OUTCOMES, RuleOutcome, cut, outcome_of, ref_json, rule_json, shown
from headgate.policy.engine import NO_RULE_ALLOWS, Policy, PolicyRules, decide
from headgate.policy.limits import due
from headgate.policy.nearest import Nearest, nearest
from headgate.policy.nearest import as_json as nearest_json
from headgate.policy.openapi import Violation
from headgate.policy.targets import Targets


class Check(NamedTuple):
    """What is asked before any rule; `holds` is None where an earlier check has failed."""

    name: str
    holds: bool | None
    expected: Any
    actual: Any


class LimitDue(NamedTuple):
    """A limit that the request would take from: so many in so many seconds, and for whom or what they are counted."""

    id: str
    requests: int
    seconds: int
    counted_for: tuple[str, ...]
    shadow: bool
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rules` and `limits` are in order of file and line; `nearest` is there for a refusal by default, `violations` say
    where a request that goes on does not fit the description of its target."""

    subject: Subject
    entry: tuple[Check, ...]
    rules: tuple[RuleOutcome, ...]
    decision: Decision
    nearest: Nearest | None = None
    limits: tuple[LimitDue, ...] = ()
    violations: tuple[Violation, ...] = ()
    violations_refuse: bool = False


def explain(
    rules: PolicyRules,
    principal: Principal,
    target: Target | None,
    request: Request,
    *,
    now: float,
    signals: frozenset[str] | None = frozenset(),
) -> Explanation:
    """Arguments as of `decide`."""
    subject = Subject(principal, request, target, now, signals)
    facts = Facts(subject)
    decision = decide(rules.policy, rules.targets, principal, target, request, now=now, signals=signals)
    ordered = sorted(rules.policy.rules, key=lambda rule: (rule.ref.file, rule.ref.line, rule.ref.id))
    return Explanation(
        subject,
        tuple(_entry(rules.targets, principal, target, request)),
        tuple(outcome_of(rule, facts) for rule in ordered),
        decision,
        nearest(rules.policy, facts) if decision.reason == NO_RULE_ALLOWS else None,
        tuple(sorted(_limits(rules.policy, facts), key=lambda limit: (limit.file, limit.line, limit.id))),
        rules.targets.misfits(target, request) if decision.lets_pass else (),
        target is not None and rules.targets.enforces_description(target),
    )


def _entry(targets: Targets, principal: Principal, target: Target | None, request: Request) -> Iterable[Check]:
    """The checks of `entry_refused`, in its order."""
    where = f"{request.host}:{request.port}"
    if target is None:
        yield Check("target", False, "a host of targets.yaml", where)
        yield Check("environment", None, None, sorted(principal.environments))
        yield Check("audience", None, None, sorted(principal.audiences))
        return
    yield Check("target", True, target.name, where)
    isolated = targets.isolate_environments
    fits = not isolated or target.environment in principal.environments
    yield Check("environment", fits, target.environment if isolated else "any", sorted(principal.environments))
    meant = not target.audiences or not target.audiences.isdisjoint(principal.audiences)
    expected = sorted(target.audiences) if target.audiences else "any"
    yield Check("audience", meant if fits else None, expected, sorted(principal.audiences))


def _limits(policy: Policy, facts: Facts) -> Iterable[LimitDue]:
    for limit, key in due(policy.limits, policy.limit_index, facts):
        counted = tuple("nobody in particular" if part is None else _text(part) for part in key)
        rate = limit.rate
        yield LimitDue(limit.id, rate.count, rate.seconds, counted, not limit.enforced, limit.file, limit.line)


def _text(part: str | tuple[str, str]) -> str:
    return cut(part if isinstance(part, str) else ":".join(part))


# -- as JSON ----------------------------------------------------------------------------------------------------------


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The same object for `rules explain --json` and the admin pages. It holds no body, no header and no parameter of
    the request but those that a rule asks for, and these without credentials."""
    found = explanation.nearest
    return {
        **_subject_json(explanation.subject),
        "decision": decision_json(explanation.decision),
        "entry": [
            {
                "check": check.name,
                "outcome": "not-asked" if check.holds is None else OUTCOMES[check.holds],
                "expected": check.expected,
                "actual": shown(check.actual),
            }
            for check in explanation.entry
        ],
        "rules": [rule_json(rule) for rule in explanation.rules],
        "nearest": nearest_json(found) if found else None,
        "limits": [limit._asdict() | {"counted_for": list(limit.counted_for)} for limit in explanation.limits],
        "violations": [
            {"pointer": violation.pointer, "detail": violation.what, "refuses": explanation.violations_refuse}
            for violation in explanation.violations
        ],
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    return {
        "effect": str(decision.effect),
        "reason": decision.reason,
        "mode": "observe" if decision.observed else "enforce",
        "message": decision.message,
        "rules": [ref_json(ref) for ref in decision.rules],
        "shadow": [ref_json(ref) for ref in decision.shadow],
        "shadow_effect": str(decision.shadow_effect) if decision.shadow_effect else None,
        "errors": list(decision.errors),
    }


def _subject_json(subject: Subject) -> dict[str, Any]:
    principal, request, target = subject.principal, subject.request, subject.target
    return {
        "principal": _principal_json(principal) if principal else None,
        "request": {
            "method": request.method,
            "scheme": request.scheme,
            "host": request.host,
            "port": request.port,
            "path": cut(request.path),
        },
        "target": {"name": target.name, "environment": target.environment} if target else None,
        "source": request.source,
        "now": subject.now,
        "signals": None if subject.signals is None else sorted(subject.signals),
    }


def _principal_json(principal: Principal) -> dict[str, Any]:
    return {
        "id": cut(principal.id),
        "kind": str(principal.kind),
        "provider": principal.provider,
        "owner": shown(principal.owner),
        "groups": shown(principal.groups),
        "environment": shown(principal.environments),
    }
