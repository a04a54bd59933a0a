"""What is not recorded is unknown to every rule, wherever it is asked about, and nothing else changes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.derived import ASK, allow, deny, facts, policy, with_when
from tests.policy.test_explain import compiled
from tests.policy.test_index import EFFECTS, MATCHES, SUBJECTS

from headgate.match import Facts, Subject
from headgate.match.expressions import parse_expression
from headgate.policy.derivation import outcomes
from headgate.policy.engine import conclude
from headgate.policy.unrecorded import without


def path_is_lost(location: tuple[str | int, ...]) -> bool:
    return location[:1] == ("path",)


def test_a_condition_on_it_is_unknown_whatever_a_record_shows_in_its_place() -> None:
    rules = policy(allow("a", {"path": "/v1/{rest...}"}), allow("b", {"path": "/v2"}), allow("c", {"method": "GET"}))
    a, b, c = (rule.matcher for rule in without(rules, path_is_lost).rules)
    assert [matcher.test(facts()) for matcher in (a, b, c)] == [None, None, True]
    assert a.conditions[0].actual(facts()) == "not recorded"
    assert c is rules.rules[2].matcher


def test_below_not_it_is_unknown_as_well() -> None:
    (rule,) = without(policy(deny("d", {"not": {"path": "/v2", "method": "GET"}})), path_is_lost).rules
    assert rule.matcher.test(facts()) is None
    (rule,) = without(policy(deny("d", {"not": {"path": "/v2", "method": "PUT"}})), path_is_lost).rules
    assert rule.matcher.test(facts()) is True


def test_a_deny_on_it_applies_and_an_allow_does_not() -> None:
    rules = without(policy(allow("a", {}), deny("d", {"path": "/v2"})), path_is_lost)
    assert conclude(rules, facts()).reason == "denied-by-unknown"
    assert conclude(without(policy(allow("a", {"path": "/v1/{rest...}"})), path_is_lost), facts()).reason == (
        "no-rule-allows"
    )


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('request.path == "/v1"', None),
        ('path_params.id == "42"', None),
        ("request.segments.size() > 0", None),
        ('request.method == "GET"', True),
        ('request.method == "PUT"', False),
    ],
)
def test_a_when_that_refers_to_it_is_unknown(text: str, holds: bool | None) -> None:
    written = policy(allow("a", {"path": "/v1/customers/{id}"}))
    rules = without(with_when(written, "a", parse_expression(text)), lambda where: where[:2] == ("path",))
    (rule,) = rules.rules
    path, *others = rule.matcher.conditions
    assert path.test(facts()) is None
    when = others[0].test(facts()) if others else rule.matcher.when and rule.matcher.when.test(facts(), {}).value
    assert when is holds
    assert conclude(rules, facts()).errors == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('"b" in request.headers["x-a"]', ("headers", "x-a")),
        ("request.body.amount > 5", ("body", "amount")),
        ("request.size > 5", ("body",)),
        ("has(request.query.force)", ("query", "force")),
        ('principal.claims.realm.id == "7"', ("principal", "claims", "/realm/id")),
        ('principal.id == "ana"', ("principal", "id")),
    ],
)
def test_a_when_is_asked_about_by_the_places_of_what_it_refers_to(text: str, place: tuple[str, ...]) -> None:
    seen = []
    rules = with_when(policy(allow("a", {})), "a", parse_expression(text))
    without(rules, lambda where: seen.append(where) or False)  # type: ignore[func-returns-value]
    assert place in seen


def test_a_when_that_is_unknown_is_explained_in_its_own_place() -> None:
    rules = with_when(policy(allow("a", {})), "a", parse_expression('request.path == "/v1"'))
    (rule,) = without(rules, path_is_lost).rules
    (outcome,) = outcomes(rule, facts())
    assert (outcome.key, outcome.holds, outcome.actual, outcome.line) == ("when", None, "not recorded", 4)


def test_a_header_that_would_be_set_to_it_refuses_nothing() -> None:
    rules = without(policy(allow("a", {}, set_headers={"X-T": "{principal.claims.absent}"})), path_is_lost)
    assert conclude(rules, facts(request=ASK)).reason == "allowed-by-rule"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(MATCHES, EFFECTS, st.booleans()), max_size=10), SUBJECTS)
def test_rules_stay_what_they_are_where_everything_is_recorded(written: Any, subject: Subject) -> None:
    rules = compiled(written)
    assert conclude(without(rules, lambda _: False), Facts(subject)) == conclude(rules, Facts(subject))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(MATCHES, EFFECTS, st.booleans()), max_size=10), SUBJECTS, st.sampled_from(["path", "host"]))
def test_forgetting_never_makes_a_rule_certain(written: Any, subject: Subject, lost: str) -> None:
    rules = compiled(written)
    known = Facts(subject)
    for before, after in zip(rules.rules, without(rules, lambda where: where[:1] == (lost,)).rules, strict=True):
        assert after.matcher.test(known) in (before.matcher.test(known), None)
