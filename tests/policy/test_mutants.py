"""Mutants: every small mistake is made, none that is no mistake, and the tests that notice one are told."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.policy.random_rules import (
    CALLERS,
    NOW,
    REQUESTS,
    asked,
    compiled,
    facts,
    matches,
    rule_lists,
)

from headgate.match import Matcher, compile_match
from headgate.policy.cases import PrincipalCase
from headgate.policy.engine import PolicyRules, entry_refused
from headgate.policy.mutants import ISOLATION, Mutant, mutants, name_of
from headgate.policy.proofs import Scene, decided, limits_due, run_tests, scene_of
from headgate.policy.reductions import GONE, reductions
from headgate.policy.testcases import Case, ExpectSpec
from headgate.policy.trial import Trial

THOROUGH = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
ANA = {"id": "ana", "kind": "human", "groups": ["x"], "environment": "prod"}
READ = {
    "name": "ana reads",
    "principal": ANA,
    "request": {"url": "https://pay.internal/a"},
    "expect": {"effect": "allow", "rule": "r"},
}


def told(match: dict[str, Any], more: dict[str, Any] | None = None) -> list[str]:
    """What is done to the conditions of one allow, without the rule's name."""
    rules = compiled([{"id": "r", "effect": "allow", "match": match, **(more or {})}])
    words = (mutant.what.replace(" of r ", " ") for mutant in mutants(rules))
    return [text for text in words if text.startswith(("condition", "value", "`when`"))]


# -- which mistakes are made ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, []),
        ({"path": "/a"}, ["condition path dropped", "condition path negated"]),
        (
            {"method": ["GET", "PUT"]},
            [
                "condition method dropped",
                "condition method negated",
                "value `GET` in method dropped",
                "value `PUT` in method dropped",
            ],
        ),
        (
            {"principal": {"groups": {"all": ["x", "y"]}, "workload": {"verified": True}}},
            [
                "condition principal.groups negated",
                "condition principal.groups.all dropped",
                "condition principal.workload.verified dropped",
                "condition principal.workload.verified negated",
                "value `x` in principal.groups.all dropped",
                "value `y` in principal.groups.all dropped",
            ],
        ),
        (
            {"body": {"$.amount": {"gt": 1, "lt": 9}}, "headers": {"x-a": {"present": True}}},
            [
                "condition body $.amount negated",
                "condition body $.amount.gt dropped",
                "condition body $.amount.lt dropped",
                "condition headers x-a negated",
                "condition headers x-a.present dropped",
            ],
        ),
        (
            {"principal": {"claims": {"/t": ["a", 1]}}},
            [
                "condition principal.claims /t dropped",
                "condition principal.claims /t negated",
                "value `1` in principal.claims /t dropped",
                "value `a` in principal.claims /t dropped",
            ],
        ),
        (
            {"not": {"method": "GET", "path": ["/a", "/b"]}},
            [
                "condition not negated",
                "condition not.method dropped",
                "condition not.method negated",
                "condition not.path dropped",
                "condition not.path negated",
                "value `/a` in not.path dropped",
                "value `/b` in not.path dropped",
            ],
        ),
        (
            {"time": {"days": ["mon", "tue"], "hours": "09:00-18:00", "zone": "UTC"}},
            [
                "condition time negated",
                "condition time.days dropped",
                "condition time.hours dropped",
                "value `mon` in time.days dropped",
                "value `tue` in time.days dropped",
            ],
        ),
        (
            {"time": {"days": "mon", "zone": "UTC"}},
            ["condition time negated", "condition time.days dropped"],
        ),
    ],
    ids=str,
)
def test_each_condition_is_dropped_and_negated_and_each_value_dropped(
    match: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(told(match)) == expected


def test_the_last_condition_dropped_leaves_a_rule_that_matches_everything() -> None:
    rules = compiled([{"id": "r", "effect": "allow", "match": {"principal": {"groups": ["x"]}}}])
    (dropped,) = (one for one in mutants(rules) if one.what == "condition principal.groups of r dropped")
    assert dropped.by is not None
    assert dropped.by.matcher.conditions == ()


@pytest.mark.parametrize(
    ("match", "left_out"),
    [
        ({"method": ["write", "POST"]}, "value `POST` in method dropped"),
        ({"path": ["/a/{x}", "/a/b"]}, "value `/a/b` in path dropped"),
        ({"principal": {"id": ["a*", "ana"]}}, "value `ana` in principal.id dropped"),
        ({"principal": {"groups": ["x", "x"]}}, "value `x` in principal.groups dropped"),
        ({"target": ["pay", "log", "old"]}, "condition target dropped"),
        ({"target": "pay", "host": ["*.internal"]}, "condition host dropped"),
        ({"headers": {"x-a": {"present": True, "regex": "^a$"}}}, "condition headers x-a.present dropped"),
    ],
    ids=str,
)
def test_what_would_be_the_same_rule_is_left_out(match: dict[str, Any], left_out: str) -> None:
    assert left_out not in told(match)


def test_a_when_is_replaced_by_true_and_negated() -> None:
    when = {"when": "request.method == 'GET' // a comment"}
    assert told({}, when) == ["`when` negated", "`when` replaced by true"]
    rules = compiled([{"id": "r", "effect": "allow", "match": {}, **when}], tests=[READ])
    assert noticed(rules, "`when` of r negated") == "ana reads"


def test_rules_and_limits_are_dropped_and_turned_round() -> None:
    rules = compiled(
        [
            {"id": "a", "effect": "allow", "match": {}},
            {"id": "d", "effect": "deny", "match": {}, "mode": "shadow"},
            {"id": "p", "effect": "approve", "match": {}, "approval": {"by": {"groups": "l"}}},
        ],
        limits=[{"id": "l", "match": {"method": "GET"}, "rate": "5/second"}],
    )
    assert [mutant.what for mutant in mutants(rules)] == [
        "condition method of l dropped",
        "condition method of l negated",
        "effect of a turned from allow to deny",
        "limit l dropped",
        "mode of a turned from enforce to shadow",
        "rule a dropped",
        "effect of d turned from deny to allow",
        "mode of d turned from shadow to enforce",
        "rule d dropped",
        "effect of p turned from approve to allow",
        "mode of p turned from enforce to shadow",
        "rule p dropped",
        "isolate_environments turned off",
    ]


def test_isolation_that_is_off_cannot_be_turned_off() -> None:
    assert mutants(compiled([], isolate_environments=False)) == []


def test_a_mutant_says_where() -> None:
    rules = compiled([{"id": "r", "effect": "allow", "match": {"path": "/a"}}])
    assert str(mutants(rules, ("rules/targets.yaml", 7))[-1]) == "rules/targets.yaml:7: isolate_environments turned off"
    assert "rules/policy.yaml:1: condition path of r dropped" in map(str, mutants(rules))


# -- which of them the tests notice -----------------------------------------------------------------------------------


def noticed(rules: PolicyRules, what: str) -> str | None:
    (mutant,) = (one for one in mutants(rules) if one.what == what)
    return Trial(rules).noticed_by(mutant)


def test_a_condition_is_noticed_once_a_test_misses_it() -> None:
    rule = {"id": "r", "effect": "allow", "match": {"target": "pay", "path": "/a", "principal": {"groups": "x"}}}
    elsewhere = READ | {
        "name": "elsewhere",
        "request": {"url": "https://pay.internal/b"},
        "expect": {"reason": "no-rule-allows"},
    }
    one, both = compiled([rule], tests=[READ]), compiled([rule], tests=[READ, elsewhere])
    assert noticed(one, "condition path of r dropped") is None
    assert noticed(both, "condition path of r dropped") == "elsewhere"
    assert noticed(both, "condition path of r negated") == "ana reads"
    assert noticed(both, "rule r dropped") == "ana reads"


def test_a_limit_is_noticed_by_tests_that_say_which_limits_count() -> None:
    rule, limit = {"id": "r", "effect": "allow", "match": {}}, {"id": "l", "match": {}, "rate": "5/second"}
    counted = READ | {"name": "counted", "expect": {"effect": "allow", "limits": ["l"]}}
    assert noticed(compiled([rule], limits=[limit], tests=[READ]), "limit l dropped") is None
    assert noticed(compiled([rule], limits=[limit], tests=[READ, counted]), "limit l dropped") == "counted"


def test_isolation_is_noticed_by_a_caller_of_another_environment() -> None:
    rule = {"id": "r", "effect": "allow", "match": {}}
    stranger = READ | {"name": "stranger", "principal": ANA | {"environment": "dev"}, "expect": {"effect": "deny"}}
    assert noticed(compiled([rule], tests=[READ]), "isolate_environments turned off") is None
    assert noticed(compiled([rule], tests=[READ, stranger]), "isolate_environments turned off") == "stranger"


def test_headers_that_are_set_are_noticed_where_only_the_path_variables_change() -> None:
    rule = {
        "id": "r",
        "effect": "allow",
        "match": {"path": ["/{x}/a", "/{x}"]},
        "set_headers": {"x-t": "{path_params.x}"},
    }
    test = READ | {"expect": {"effect": "allow", "set_headers": {"x-t": "a"}}}
    assert noticed(compiled([rule], tests=[test]), "condition path of r dropped") == "ana reads"


# -- what holds of all rules ------------------------------------------------------------------------------------------


def single(match: dict[str, Any], effect: str) -> PolicyRules:
    return compiled([{"id": "r", "effect": effect, "match": match}], isolate_environments=False)


@THOROUGH
@given(matches(), st.sampled_from(["allow", "deny"]))
def test_no_mutant_is_the_original(match: dict[str, Any], effect: str) -> None:
    rules = single(match, effect)
    original = rules.policy.rules[0]
    for mutant in mutants(rules):
        same_kind = mutant.by is not None and replace(mutant.by, matcher=original.matcher) == original
        if mutant.of[0] != ISOLATION and same_kind:
            assert mutant.by.matcher.conditions != original.matcher.conditions, mutant


@THOROUGH
@given(st.data(), st.sampled_from(["allow", "deny"]))
def test_what_is_left_out_is_the_same_rule_and_what_is_dropped_is_gone(data: st.DataObject, effect: str) -> None:
    match = data.draw(matches())
    rules, widen = single(match, effect), effect == "deny"
    spec = rules.policy.written.rules[0].rule.match
    original = rules.policy.rules[0].matcher
    made: dict[str, list[Matcher]] = defaultdict(list)  # `1` and `"1"` are dropped in the same words
    for mutant in mutants(rules):
        made[mutant.what] += [mutant.by.matcher] if mutant.by else []
    left = [(dropped_at(where, value), compile_match(kept, widen=widen)) for where, value, kept in reductions(spec)]
    for _ in range(6):
        one = data.draw(asked(rules))
        known = facts(one)
        for what, matcher in left if entry_refused(rules.targets, one[0], one[1]) is None else ():
            found = {other.test(known) for other in made.get(what, [original])}
            assert matcher.test(known) in found, what


def dropped_at(where: tuple[str | int, ...], value: Any) -> str:
    what = f"condition {name_of(where)}" if value is GONE else f"value `{value}` in {name_of(where[:-1])}"
    return f"{what} of r dropped"


@THOROUGH
@given(st.data())
def test_the_shortcuts_of_a_trial_find_what_running_all_tests_finds(data: st.DataObject) -> None:
    written = data.draw(rule_lists(3))
    limits = [{"id": "l", "match": data.draw(matches()), "rate": "5/second"}]
    rules = with_tests(compiled(written, limits=limits), data)
    assert not run_tests(rules).failed
    trial = Trial(rules)
    for mutant in mutants(rules):
        assert (trial.noticed_by(mutant) is not None) == bool(run_tests(mutated(rules, mutant)).failed), mutant


def with_tests(rules: PolicyRules, data: st.DataObject) -> PolicyRules:
    """Tests that say what the rules do."""
    cases: list[Case] = []
    for at in range(4):
        caller, request = PrincipalCase.model_validate(data.draw(CALLERS)), data.draw(REQUESTS)
        case = Case(f"t{at}", "f", at, caller, request, NOW, frozenset(), ExpectSpec(reason="?"))
        scene = scene_of(case, rules.targets)
        cases.append(replace(case, expected=said(rules, scene, whole=data.draw(st.booleans()))))
    return rules._replace(policy=replace(rules.policy, tests=tuple(cases)))


def said(rules: PolicyRules, scene: Scene, *, whole: bool) -> ExpectSpec:
    decision = decided(rules, scene)
    expected: dict[str, Any] = {"effect": decision.effect}
    if whole:
        expected |= {
            "reason": decision.reason,
            "rules": [ref.id for ref in decision.rules],
            "shadow": [ref.id for ref in decision.shadow],
            "set_headers": dict(decision.shaping.set_headers),
            "limits": limits_due(rules.policy, scene, decision),
        }
    return ExpectSpec.model_validate(expected)


def mutated(rules: PolicyRules, mutant: Mutant) -> PolicyRules:
    kind, at = mutant.of
    if kind == ISOLATION:
        return rules._replace(targets=replace(rules.targets, isolate_environments=False))
    entries = getattr(rules.policy, kind)
    by = () if mutant.by is None else (mutant.by,)
    return rules._replace(policy=replace(rules.policy, **{kind: (*entries[:at], *by, *entries[at + 1 :])}))


def test_the_order_of_rules_and_tests_changes_nothing_of_what_is_told() -> None:
    written = [
        {"id": "a", "effect": "allow", "match": {"path": "/a", "method": ["GET", "PUT"]}},
        {"id": "d", "effect": "deny", "match": {"method": "PUT"}},
    ]
    rules = compiled(written, tests=[READ | {"expect": {"effect": "allow"}}])
    policy, sources = rules.policy, rules.policy.written
    turned = rules._replace(
        policy=replace(policy, rules=policy.rules[::-1], written=sources._replace(rules=sources.rules[::-1]))
    )
    both = [[(str(one), Trial(some).noticed_by(one)) for one in mutants(some)] for some in (rules, turned)]
    assert both[0] == both[1]
