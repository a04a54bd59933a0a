"""What lint says of rules is certain: what it calls dead, redundant or never matching changes nothing."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.policy.random_rules import NOW, TARGETS, Asked, asked, compiled, facts, matches, rule_lists

from headgate.model import Effect
from headgate.policy.buckets import MemoryLimits
from headgate.policy.engine import Policy, PolicyRules, decide
from headgate.policy.limits import due
from headgate.policy.lint import lint
from headgate.policy.proofs import is_counted

CERTAIN = {"never-matches", "dead-rule", "always-needs-approval", "redundant-rule", "duplicate-rule"}
THOROUGH = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def world(data: st.DataObject) -> PolicyRules:
    targets = data.draw(st.sampled_from(TARGETS))
    rules = data.draw(rule_lists())
    known = {target["name"] for target in targets}
    assume(all(names_of(rule["match"]) <= known for rule in rules))
    unknown, isolated = data.draw(st.sampled_from(["refuse", "allow"])), data.draw(st.booleans())
    return compiled(rules, targets, unknown=unknown, isolate_environments=isolated)


def names_of(match: dict[str, Any]) -> set[str]:
    named = set(match["target"]) if isinstance(match.get("target"), list) else set()
    return named | (names_of(match["not"]) if "not" in match else set())


def without(rules: PolicyRules, at: int) -> PolicyRules:
    kept = rules.policy.rules[:at] + rules.policy.rules[at + 1 :]
    return rules._replace(policy=Policy(kept))


def effect(rules: PolicyRules, one: Asked) -> Effect:
    principal, target, request, signals = one
    return decide(rules.policy, rules.targets, principal, target, request, now=NOW, signals=signals).effect


@THOROUGH
@given(st.data())
def test_a_rule_that_is_dead_or_redundant_changes_no_effect(data: st.DataObject) -> None:
    rules = world(data)
    found = [finding for finding in lint(rules) if finding.code in CERTAIN]
    for _ in range(8 if found else 0):
        one = data.draw(asked(rules))
        for finding in found:
            assert effect(rules, one) is effect(without(rules, finding.line - 1), one), finding


@THOROUGH
@given(st.data())
def test_a_rule_that_never_matches_is_never_in_an_answer(data: st.DataObject) -> None:
    rules = world(data)
    never = {finding.line - 1 for finding in lint(rules) if finding.code == "never-matches"}
    for _ in range(8 if never else 0):
        principal, target, request, signals = data.draw(asked(rules))
        said = decide(rules.policy, rules.targets, principal, target, request, now=NOW, signals=signals)
        named = {ref.line - 1 for ref in (*said.rules, *said.shadow)}
        assert never.isdisjoint(named)


LIMITS = st.lists(
    st.fixed_dictionaries(
        {
            "rate": st.sampled_from(["2/minute", "120/hour", "5/second"]),
            "burst": st.integers(1, 3),
            "key": st.sampled_from([["principal.id"], ["target"]]),
        },
        optional={"mode": st.just("shadow")},
    ),
    min_size=2,
    max_size=3,
)


@THOROUGH
@given(st.data())
def test_a_limit_that_is_never_reached_is_never_used_up_alone(data: st.DataObject) -> None:
    match = data.draw(matches())
    written = [
        {**limit, "id": f"l{at}", "match": match if at else data.draw(st.sampled_from([{}, match]))}
        for at, limit in enumerate(data.draw(LIMITS))
    ]
    rules = compiled(data.draw(rule_lists(2)), limits=written, isolate_environments=False)
    codes = {"limit-never-counts", "limit-never-reached"}
    found = [(one.code, f"l{one.line - 1}") for one in lint(rules) if one.code in codes]
    store, now, policy = MemoryLimits(), 0.0, rules.policy
    for _ in range(12 if found else 0):
        one = data.draw(asked(rules))
        now += data.draw(st.sampled_from([0.0, 1.0, 20.0]))
        principal, target, request, signals = one
        said = decide(policy, rules.targets, principal, target, request, now=NOW, signals=signals)
        if not is_counted(said):
            continue
        dues = due(policy.limits, policy.limit_index, facts(one))
        uses = {use.id: use for use in store.spend(dues, now).uses}
        for code, name in found:
            if code == "limit-never-counts":
                assert name not in uses
            elif name in uses and uses[name].exhausted:
                assert any(use.exhausted and use.enforced for other, use in uses.items() if other != name)


def test_what_lint_says_does_not_depend_on_the_order_of_the_rules() -> None:
    written = [
        {"id": "a", "effect": "allow", "match": {"target": "pay", "path": "/a"}},
        {"id": "b", "effect": "allow", "match": {"target": "pay", "path": "/{x}"}},
        {"id": "c", "effect": "deny", "match": {"path": "/b"}},
        {"id": "d", "effect": "allow", "match": {"target": "pay", "path": "/b", "method": "GET"}},
        {"id": "e", "effect": "deny", "match": {"path": "/b"}},
    ]
    rules = compiled(written)
    policy, sources = rules.policy, rules.policy.written
    turned = replace(policy, rules=policy.rules[::-1], written=sources._replace(rules=sources.rules[::-1]))
    assert lint(rules) == lint(rules._replace(policy=turned))
    assert [finding.code for finding in lint(rules)].count("dead-rule") == 1
