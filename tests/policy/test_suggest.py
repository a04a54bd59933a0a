"""Suggested rules allow what was seen, and nothing else but what their templates add; their YAML is a policy file."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.suggest.seen import ANA, BOB, TARGETS, Desk, caller, matches, rules_of

from headgate.match import PathTemplate
from headgate.model import Effect, Kind, Principal
from headgate.policy.proofs import run_tests
from headgate.policy.rules import Origin, PolicyFile, compile_policy
from headgate.policy.suggest import callers, sightings
from headgate.policy.suggest.checks import combined
from headgate.policy.suggest.proposals import Suggestion
from headgate.policy.suggest.written import comments, scalar, yaml_text

ANYBODY = Principal("anonymous", Kind.ANONYMOUS, "anonymous")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def whys(left: Any) -> list[tuple[str, str, str]]:
    return [(one.why.reason, one.method, one.path) for one in left]


# -- grouping ---------------------------------------------------------------------------------------------------------


def test_requests_alike_are_one_rule(desk: Desk) -> None:
    for number in range(5):
        desk.see(ANA, "GET", f"/v1/customers/{number}")
    desk.see(ANA, "HEAD", "/v1/customers/9")
    suggestions, left = desk.propose()
    assert [one.rule() for one in suggestions] == [
        {
            "id": "support-reads-customer",
            "effect": "allow",
            "match": {
                "principal": {"kind": "human", "groups": ["support"]},
                "target": "pay",
                "method": ["GET", "HEAD"],
                "path": "/v1/customers/{customer_id}",
            },
        }
    ]
    assert (suggestions[0].seen.well, left) == (6, [])


def test_what_it_is_based_on_is_told(desk: Desk) -> None:
    for who in (ANA, replace(ANA, id="abe"), ANA):
        desk.see(who, "GET", "/v1/customers/1")
    desk.see(ANA, "GET", "/v1/customers/2", 404)
    seen = desk.propose()[0][0].seen
    assert (seen.well, seen.badly, seen.callers) == (3, 1, {"ana", "abe"})
    assert (seen.first, seen.last) == (desk.every[0].time, desk.every[3].time)
    assert seen.flows == [one.id for one in desk.every[:3]]


def test_reading_changing_and_deleting_are_rules_of_their_own(desk: Desk) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        desk.see(ANA, method, "/v1/customers/1")
    found = {one.id: (one.methods, one.destructive) for one in desk.propose()[0]}
    assert found == {
        "support-changes-customer": (("PATCH", "PUT"), False),
        "support-deletes-customer": (("DELETE",), True),
        "support-reads-customer": (("GET",), False),
    }


def test_methods_are_one_rule_only_for_the_same_callers(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/1")
    desk.see(BOB, "HEAD", "/v1/customers/1")
    assert [(one.methods, one.who.groups) for one in desk.propose()[0]] == [
        (("HEAD",), ("finance",)),
        (("GET",), ("support",)),
    ]


def test_targets_are_rules_of_their_own(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/accounts")
    desk.see(ANA, "GET", "/v1/accounts", host="ledger.internal")
    assert [(one.id, one.target) for one in desk.propose()[0]] == [
        ("support-reads-accounts", "ledger"),
        ("support-reads-accounts-2", "pay"),
    ]


def test_an_upgrade_is_a_websocket(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/events", 101, headers=(("upgrade", "websocket"),))
    assert [(one.id, one.methods) for one in desk.propose()[0]] == [("support-opens-events", ("WEBSOCKET",))]


# -- callers ----------------------------------------------------------------------------------------------------------


def test_kinds_of_callers_are_rules_of_their_own(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/1")
    desk.see(caller("helper", ["support"], Kind.AGENT), "GET", "/v1/customers/1")
    assert [(one.id, one.who.kind) for one in desk.propose()[0]] == [
        ("agent-support-reads-customer", Kind.AGENT),
        ("support-reads-customer", Kind.HUMAN),
    ]


def test_a_group_that_others_have_is_not_named_if_it_need_not_be(desk: Desk) -> None:
    desk.see(caller("ana", ["support", "staff"]), "GET", "/v1/customers/1")
    desk.see(caller("bob", ["finance", "staff"]), "GET", "/v1/customers/1")
    desk.see(caller("eve", ["staff"]), "GET", "/v1/menu")
    assert [(one.path, one.who.groups) for one in desk.propose()[0]] == [
        ("/v1/customers/{customer_id}", ("finance", "support")),
        ("/v1/menu", ("staff",)),
    ]


def test_callers_without_groups_are_those_of_their_provider(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.see(caller(name, kind=Kind.SERVICE, provider="mesh"), "POST", "/v1/payments", 201)
    assert matches(desk.propose()[0])[0]["principal"] == {"kind": "service", "provider": "mesh"}


def test_or_they_alone_where_others_of_it_are_known(desk: Desk) -> None:
    desk.see(caller("a", kind=Kind.SERVICE, provider="mesh"), "POST", "/v1/payments", 201)
    desk.see(caller("b", kind=Kind.SERVICE, provider="mesh"), "GET", "/v1/rates")
    assert [(one.id, one.rule()["match"]["principal"]) for one in desk.propose()[0]] == [  # type: ignore[index]
        ("service-a-changes-payments", {"kind": "service", "provider": "mesh", "id": ["a"]}),
        ("service-b-reads-rates", {"kind": "service", "provider": "mesh", "id": ["b"]}),
    ]


@pytest.mark.parametrize("name", ["*", "x" * 200])
def test_an_id_that_a_rule_cannot_name_stands_for_its_provider_which_is_said(desk: Desk, name: str) -> None:
    desk.see(caller(name, kind=Kind.CI), "GET", "/v1/builds")
    desk.see(caller("other", ["x"], Kind.CI), "GET", "/v1/else")
    found = {one.path: one for one in desk.propose()[0]}["/v1/builds"]
    assert (found.who.ids, found.who.others) == ((), True)
    assert any(line.startswith("CAUTION") for line in comments(desk.outcome().suggestions[0]))


def test_too_many_callers_to_list_stand_for_their_provider(desk: Desk) -> None:
    for number in range(callers.MOST_IDS + 1):
        desk.see(caller(f"job-{number}", kind=Kind.CI), "GET", "/v1/builds")
    desk.see(caller("elsewhere", kind=Kind.CI), "GET", "/v1/else")
    found = {one.path: one.who for one in desk.propose()[0]}
    assert (found["/v1/builds"].ids, found["/v1/builds"].others) == ((), True)
    assert found["/v1/else"].ids == ("elsewhere",)


def test_nobody_is_suggested_only_when_asked_for(desk: Desk) -> None:
    targets = {**TARGETS, "isolate_environments": False}
    desk.rules = rules_of(targets=targets)
    desk.see(ANYBODY, "GET", "/v1/health")
    suggestions, left = desk.propose()
    assert (suggestions, whys(left)) == ([], [("anonymous-caller", "GET", "/v1/health")])
    assert matches(desk.propose(anonymous=True)[0])[0]["principal"] == {"kind": "anonymous"}


# -- what is left -----------------------------------------------------------------------------------------------------


def test_what_only_went_wrong_is_no_rule(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/1", 404)
    desk.see(BOB, "GET", "/v1/customers/1", 500)
    suggestions, left = desk.propose()
    assert suggestions == []
    assert whys(left) == [("never-answered-well", "GET", "/v1/customers/{customer_id}")] * 2


def test_who_only_failed_lends_no_group(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/1")
    desk.see(BOB, "GET", "/v1/customers/1", 403)
    suggestions, left = desk.propose()
    assert [one.who.groups for one in suggestions] == [("support",)]
    assert [(one.requests, one.sample and one.sample.principal.id) for one in left] == [(1, "bob")]


def test_a_failure_of_one_who_is_not_named_counts_as_refused(desk: Desk) -> None:
    a, b = (caller(name, kind=Kind.SERVICE) for name in "ab")
    desk.see(a, "POST", "/v1/payments")
    desk.see(b, "POST", "/v1/payments", 403)
    suggestions, left = desk.propose()
    assert [(one.who.ids, one.seen.well, one.seen.badly) for one in suggestions] == [(("a",), 1, 0)]
    assert whys(left) == [("never-answered-well", "POST", "/v1/payments")]


def test_what_is_rare_can_be_left_away(desk: Desk) -> None:
    for number in (2, 3):
        for _ in range(number):
            desk.see(ANA, "GET", f"/v1/{'a' * number}")
    suggestions, left = desk.propose(least=3)
    assert [one.path for one in suggestions] == ["/v1/aaa"]
    assert whys(left) == [("seen-too-seldom", "GET", "/v1/aa")]


def test_what_rules_allow_already_needs_none() -> None:
    desk = Desk(rules_of("rules: [{id: a, effect: allow, match: {target: pay, path: '/v1/customers/{id}'}}]"))
    desk.see(ANA, "GET", "/v1/customers/1")
    desk.see(ANA, "GET", "/v1/refunds")
    assert [one.path for one in desk.propose()[0]] == ["/v1/refunds"]
    assert (desk.sightings.requests, desk.sightings.allowed) == (2, 1)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("{id: never, effect: deny, match: {method: DELETE}}", "denied-by-rule"),
        (
            "{id: never, effect: approve, match: {method: DELETE}, approval: {by: {groups: [leads]}}}",
            "approval-required",
        ),
    ],
)
def test_nothing_is_suggested_against_a_rule(rule: str, reason: str) -> None:
    desk = Desk(rules_of(f"rules: [{rule}]"))
    desk.see(ANA, "DELETE", "/v1/customers/1")
    suggestions, left = desk.propose()
    assert (suggestions, left[0].why) == ([], (reason, ("never",)))


def test_nor_against_what_is_asked_before_any_rule(desk: Desk) -> None:
    desk.see(replace(ANA, environments=frozenset({"staging"})), "GET", "/v1/customers/1")
    desk.see(replace(ANA, audiences=frozenset()), "GET", "/v1/accounts", host="ledger.internal")
    suggestions, left = desk.propose()
    assert suggestions == []
    assert [one.why.reason for one in left] == ["audience-not-for-target", "environment-mismatch"]


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [("get", "/v1/a", "method-not-expressible"), ("GET", "*", "path-not-expressible")],
)
def test_what_no_rule_can_say_is_counted(desk: Desk, method: str, path: str, reason: str) -> None:
    desk.see(ANA, method, path)
    assert (desk.propose(), desk.sightings.left_out) == (([], []), {reason: 1})


def test_memory_is_bounded_and_what_has_no_room_is_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "MOST_TALLIES", 10)
    monkeypatch.setattr(sightings, "MOST_CALLERS", 5)
    for number in range(12):
        desk.see(replace(ANA, id=f"ana-{number}"), "GET", "/v1/customers")
        desk.see(caller("x", [f"group-{number}"]), "GET", "/v1/refunds")
    assert desk.sightings.left_out == {"too-many-different": 3}
    found = {one.path: one for one in desk.outcome().suggestions[0:1] for one in (one.suggestion,)}
    assert len(found["/v1/customers"].seen.callers) == 5


# -- put to the test --------------------------------------------------------------------------------------------------


def test_each_rule_brings_a_test_that_it_passes_and_a_near_miss(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/[EMAIL_ADDRESS]")
    desk.see(ANA, "GET", "/v1/customers/7")
    assert desk.outcome().suggestions[0].tests == (
        {
            "name": "support-reads-customer, as recorded",
            "principal": {
                "id": "ana",
                "kind": "human",
                "provider": "sso",
                "groups": ["support"],
                "environment": ["prod"],
            },
            "request": {"method": "GET", "url": "https://pay.internal/v1/customers/7"},
            "expect": {"effect": "allow", "rule": "support-reads-customer"},
        },
        {
            "name": "support-reads-customer, not without the group",
            "principal": {"id": "ana", "kind": "human", "provider": "sso", "groups": [], "environment": ["prod"]},
            "request": {"method": "GET", "url": "https://pay.internal/v1/customers/7"},
            "expect": {"effect": "deny", "reason": "no-rule-allows"},
        },
    )


def test_what_was_masked_stands_as_an_example_in_tests(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/[EMAIL_ADDRESS]")
    assert desk.outcome().suggestions[0].tests[0]["request"]["url"] == "https://pay.internal/v1/customers/example"


def test_a_test_says_when_if_it_depends_on_that() -> None:
    at_noon = "{days: [wed], hours: '11:00-13:00', zone: UTC}"
    desk = Desk(rules_of(f"rules: [{{id: lunch, effect: deny, match: {{time: {at_noon}}}}}]"))
    desk.numbers = iter([7200, 7201])
    desk.see(ANA, "GET", "/v1/menu")
    assert desk.outcome().suggestions[0].tests[0]["at"] == "2026-01-07T14:00:00+00:00"


def test_what_a_rule_turns_out_to_allow_besides_is_not_said_to_be_refused(desk: Desk) -> None:
    for _ in range(3):
        desk.see(ANA, "GET", "/v1/customers/7")
    desk.see(ANA, "GET", "/v1/customers/search")
    desk.see(ANA, "GET", "/v1/refunds")
    outcome = desk.outcome(least=2)
    assert whys(outcome.left) == [("seen-too-seldom", "GET", "/v1/refunds")]
    assert outcome.allowed == 4


def test_a_rule_that_would_not_allow_after_all_is_not_suggested(desk: Desk) -> None:
    desk.see(ANA, "GET", "/v1/customers/7")
    suggestions, left = desk.propose()
    never = rules_of("rules: [{id: never, effect: deny, match: {target: pay}}]")
    later = Desk(never)
    from headgate.policy.suggest.checks import check

    outcome = check(never, suggestions, left, later.again)
    assert (outcome.suggestions, outcome.allowed) == ((), 0)
    assert [one.why for one in outcome.left] == [("denied-by-rule", ("never",))]


# -- YAML -------------------------------------------------------------------------------------------------------------


def read_again(desk: Desk, text: str) -> Any:
    """The policy that a policy file makes together with the rules that exist; its tests pass."""
    file = PolicyFile.model_validate(yaml.safe_load(text))
    rules = [*desk.rules.policy.written.rules, *(Origin(rule, "suggested.yaml", 1) for rule in file.rules)]
    tests = [Origin(test, "suggested.yaml", 1) for test in file.tests]
    policy = compile_policy(rules, desk.rules.targets.known_names(), tests=tests)
    assert [str(proof) for proof in run_tests(desk.rules._replace(policy=policy)).failed] == []
    return policy


def test_the_yaml_is_a_policy_file_whose_tests_pass(desk: Desk) -> None:
    for number in range(3):
        desk.see(ANA, "GET", f"/v1/customers/{number}")
    desk.see(BOB, "DELETE", "/v1/customers/1")
    text = yaml_text(desk.outcome().suggestions, ["Suggested.", ""])
    assert text.startswith("# Suggested.\n#\n\nrules:\n")
    assert "  # DESTRUCTIVE: " in text
    assert [rule.ref.id for rule in read_again(desk, text).rules] == [
        "finance-deletes-customer",
        "support-reads-customer",
    ]


@settings(deadline=None)
@given(st.text())
def test_a_scalar_says_the_text_whatever_it_is(text: str) -> None:
    written = text.encode("utf-8", "replace").decode()
    assert yaml.safe_load(f"{{a: {scalar(written)}, b: [{scalar(written)}]}}") == {"a": written, "b": [written]}


@pytest.mark.parametrize(
    "text", ["yes", "No", "null", "~", "1", "1e3", "a: b", "a #b", "- a", "*a", "{", "\x07", "\ud7ff\u2028"]
)
def test_what_yaml_takes_for_something_else_is_quoted(text: str) -> None:
    assert yaml.safe_load(f"a: {scalar(text)}") == {"a": text}


# -- for whatever is seen ---------------------------------------------------------------------------------------------

GROUPS = st.frozensets(st.sampled_from(["support", "finance", "staff", "ops"]), max_size=3)
CALLERS = st.builds(caller, st.sampled_from("abcdefg"), GROUPS, st.sampled_from([Kind.HUMAN, Kind.SERVICE, Kind.AGENT]))
SEGMENTS = st.sampled_from(
    ["v1", "customers", "refunds", "search", "7", "42", "[EMAIL_ADDRESS]", "cus_8fj2k3l4", "ana"]
)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))
REQUESTS = st.tuples(
    CALLERS,
    st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    PATHS,
    st.sampled_from([200, 200, 200, 404]),
    st.sampled_from(["pay.internal", "ledger.internal"]),
)
DENY = "rules: [{id: never, effect: deny, match: {method: DELETE, path: '/v1/{rest...}'}}]"


def lets_in(suggestion: Suggestion, who: Principal) -> bool:
    match: Any = suggestion.rule()["match"]
    wanted = match["principal"]
    return (
        who.kind == wanted["kind"]
        and ("groups" not in wanted or not who.groups.isdisjoint(wanted["groups"]))
        and wanted.get("provider") in (None, who.provider)
        and ("id" not in wanted or who.id in wanted["id"])
    )


@settings(deadline=None, max_examples=150)
@given(st.lists(REQUESTS, max_size=30), st.lists(REQUESTS, max_size=15), st.sampled_from([1, 1, 2, 3]))
def test_what_was_seen_is_allowed_and_nothing_else(done: list[Any], others: list[Any], least: int) -> None:
    desk = Desk(rules_of(DENY))
    for who, method, path, status, host in done:
        desk.see(who, method, path, status, host)
    outcome = desk.outcome(least)
    suggestions = [tested.suggestion for tested in outcome.suggestions]
    policy = combined(desk.rules, suggestions)
    read_again(desk, yaml_text(outcome.suggestions, []))

    never = {"denied-by-rule"}
    for seen in desk.every:  # what was answered well, and is not denied, is allowed
        before = desk.again(desk.rules.policy, seen)
        after = desk.again(policy, seen)
        assert least > 1 or not seen.well or before.reason in never or after.effect is Effect.ALLOW
        assert before.reason not in never or after == before
    allowed = sum(desk.again(policy, seen).effect is Effect.ALLOW for seen in desk.every)
    assert desk.sightings.allowed + outcome.allowed <= allowed  # never more is claimed than is so

    elsewhere = Desk(desk.rules)
    for who, method, path, status, host in others:  # whatever is allowed was seen: method, template, callers
        seen = elsewhere.see(who, method, path, status, host)
        if desk.again(policy, seen).effect is Effect.ALLOW:
            assert any(
                one.target == seen.target.name
                and method in one.methods
                and PathTemplate.parse(one.path).matches(path[1:].split("/"))
                and lets_in(one, who)
                for one in suggestions
            )
    for one in suggestions:  # and each of these was done by one like those it lets in
        for method in one.methods:
            assert any(
                seen.well
                and seen.target.name == one.target
                and seen.request.method == method
                and PathTemplate.parse(one.path).matches(seen.request.path[1:].split("/"))
                and lets_in(one, seen.principal)
                for seen in desk.every
            )
