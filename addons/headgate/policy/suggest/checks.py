"""Suggested rules put to the test before anybody sees them: they compile together with the rules in force, they allow
what was seen, and each brings a test that it allows and one that it does not.

What they turn out not to allow is not suggested, and said to be refused still.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headgate.match import effective_method
from headgate.model import Decision, Effect, Kind
from headgate.policy.cases import ANONYMOUS
from headgate.policy.engine import NO_RULE_ALLOWS, Policy, PolicyRules
from headgate.policy.proofs import decided, scene_of
from headgate.policy.rules import Origin, RuleSpec, compile_policy
from headgate.policy.suggest.proposals import Left, Suggestion
from headgate.policy.suggest.segments import MASKED
from headgate.policy.suggest.sightings import Blocked, Seen
from headgate.policy.testcases import PORTS, CaseSpec, compile_tests

Again = Callable[[Policy, Seen], Decision]
"""Decides again on what was seen, by other rules."""

Written = dict[str, Any]
"""A test as it stands in policy.yaml."""

SUGGESTED = "suggested"
SOMEBODY_ELSE = "somebody-else"
EXAMPLE = "example"


class Tested(NamedTuple):
    suggestion: Suggestion
    tests: tuple[Written, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would be with the suggested rules in force: `left` is refused still, `allowed` counts what they allow."""

    suggestions: tuple[Tested, ...]
    left: tuple[Left, ...]
    allowed: int


def check(rules: PolicyRules, suggestions: Sequence[Suggestion], left: Sequence[Left], again: Again) -> Outcome:
    """`left` is what nothing is suggested for; some of it may come with what is."""
    together = combined(rules, suggestions)
    found = [(suggestion, again(together, suggestion.seen.sample)) for suggestion in suggestions]
    good = [suggestion for suggestion, decision in found if decision.effect is Effect.ALLOW]
    if len(good) < len(found):
        together = combined(rules, good)
        left = [*left, *(_left(one, decision) for one, decision in found if decision.effect is not Effect.ALLOW)]
    refused = [one for one in left if one.sample is None or again(together, one.sample).effect is not Effect.ALLOW]
    allowed = sum(one.seen.requests for one in good)
    allowed += sum(one.requests for one in left) - sum(one.requests for one in refused)
    trial = PolicyRules(rules.targets, together)
    tested = (Tested(suggestion, tuple(_tests(trial, suggestion))) for suggestion in good)
    return Outcome(tuple(tested), tuple(refused), allowed)


def combined(rules: PolicyRules, suggestions: Sequence[Suggestion]) -> Policy:
    """The rules in force and the suggested ones, compiled together; InvalidRules if they cannot be."""
    written = rules.policy.written
    more = [Origin(RuleSpec.model_validate(suggestion.rule()), SUGGESTED, 0) for suggestion in suggestions]
    return compile_policy([*written.rules, *more], rules.targets.known_names(), written.limits)


def _left(suggestion: Suggestion, decision: Decision) -> Left:
    why = Blocked(decision.reason, tuple(ref.id for ref in decision.rules))
    seen = suggestion.seen
    return Left(
        why, suggestion.target, suggestion.methods[0], suggestion.path, suggestion.who.kind, seen.requests, seen.sample
    )


# -- tests ------------------------------------------------------------------------------------------------------------


def _tests(rules: PolicyRules, suggestion: Suggestion) -> Iterator[Written]:
    """One that the rule allows, of a request that was recorded, and the first near miss that no rule allows."""
    sample = suggestion.seen.sample
    asked = {"method": effective_method(sample.request), "url": _url(sample)}
    caller = _caller(sample)
    allowed = {
        "name": f"{suggestion.id}, as recorded",
        "principal": caller,
        "request": asked,
        "expect": {"effect": "allow", "rule": suggestion.id},
    }
    then = datetime.fromtimestamp(sample.time, UTC).isoformat(timespec="seconds")
    for tried in (allowed, {**allowed, "at": then}):
        if (decision := _decided(rules, tried)) and decision.effect is Effect.ALLOW:
            yield tried
            break
    for what, principal, request in _near_misses(suggestion, caller, asked):
        tried = {
            "name": f"{suggestion.id}, {what}",
            "principal": principal,
            "request": request,
            "expect": {"effect": "deny", "reason": NO_RULE_ALLOWS},
        }
        if (decision := _decided(rules, tried)) and decision.reason == NO_RULE_ALLOWS:
            yield tried
            break


def _near_misses(suggestion: Suggestion, caller: Any, asked: Written) -> Iterator[tuple[str, Any, Written]]:
    who = suggestion.who
    if who.groups:
        yield "not without the group", {**caller, "groups": []}, asked
    if who.ids:
        yield "not for somebody else", {**caller, "id": SOMEBODY_ELSE}, asked
    if who.kind is not Kind.ANONYMOUS:
        yield "not by another provider", {**caller, "provider": SOMEBODY_ELSE}, asked
    for method in ("DELETE", "PUT", "GET"):
        if method not in suggestion.methods:
            yield f"not {method}", caller, {**asked, "method": method}
    yield "not what is below", caller, {**asked, "url": f"{asked['url'].rstrip('/')}/{EXAMPLE}"}


def _decided(rules: PolicyRules, written: Written) -> Decision | None:
    """What the rules say of a test; None where it cannot be written so."""
    ids = frozenset(rule.ref.id for rule in rules.policy.rules)
    try:
        spec = CaseSpec.model_validate(written)
    except ValueError:  # a ValidationError is one: what was recorded cannot be asked again
        return None
    cases, wrong = compile_tests([(spec, SUGGESTED, 0)], ids, frozenset())
    return None if wrong else decided(rules, scene_of(cases[0], rules.targets))


def _caller(sample: Seen) -> Any:
    who = sample.principal
    if who.kind is Kind.ANONYMOUS:
        return ANONYMOUS
    found = {"id": who.id, "kind": str(who.kind), "provider": who.provider, "owner": who.owner}
    lists = {"groups": sorted(who.groups), "environment": sorted(who.environments)}
    return {name: value for name, value in {**found, **lists}.items() if value}


def _url(sample: Seen) -> str:
    """Where it went, with an example for what was masked."""
    request = sample.request
    port = "" if PORTS[request.scheme] == request.port else f":{request.port}"
    segments = (EXAMPLE if MASKED.search(segment) else segment for segment in request.path.split("/"))
    host = f"[{request.host}]" if ":" in request.host and not request.host.startswith("[") else request.host
    return f"{request.scheme}://{host}{port}{'/'.join(segments)}"
