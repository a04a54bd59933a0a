"""An explanation says what was decided, and of every condition what it asked for and what there was."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.derived import ANA, API, ASK, NOW, Said, When, allow, deny, facts, line_of, rules, with_when
from tests.policy.test_index import EFFECTS, MATCHES, PRINCIPALS, REQUESTS
from tests.policy.test_index import TARGETS as SOME_TARGETS

from headgate.match import Facts, Matcher, MatchSpec, Subject, compile_match
from headgate.match.conditions import Condition
from headgate.match.expressions import parse_expression
from headgate.model import Effect, Kind, Principal, Request, RuleRef, Target
from headgate.policy.derivation import RuleOutcome, outcomes
from headgate.policy.engine import Policy, PolicyRules, Rule, decide
from headgate.policy.explain import Explanation, as_json, explain
from headgate.policy.limits import LimitOrigin, LimitSpec, compile_limits
from headgate.policy.targets import Targets


def explained(found: PolicyRules, principal: Principal = ANA, request: Request = ASK, **more: Any) -> Explanation:
    target = found.targets.resolve(request.scheme, request.host, request.port)
    return explain(found, principal, target, request, now=NOW, **more)


def rule(found: Explanation, name: str) -> RuleOutcome:
    return next(one for one in found.rules if one.ref.id == name)


# -- it is what was decided --------------------------------------------------------------------------------------------

RULES = st.lists(st.tuples(MATCHES, EFFECTS, st.booleans()), max_size=12)


def compiled(written: Any) -> Policy:
    return Policy(
        tuple(
            Rule(
                RuleRef(f"r{at}", effect, "rules/policy.yaml", 1 + (at * 7) % 5),
                compile_match(MatchSpec.model_validate(match), widen=effect is not Effect.ALLOW),
                shadow=shadow,
            )
            for at, (match, effect, shadow) in enumerate(written)
        )
    )


@settings(max_examples=150, deadline=None)
@given(RULES, PRINCIPALS, REQUESTS, SOME_TARGETS, st.booleans())
def test_the_decision_and_each_rule_are_those_of_the_engine(
    written: Any, principal: Principal, request: Request, target: Target | None, isolated: bool
) -> None:
    found = PolicyRules(Targets({}, {}, allow_unknown=False, isolate_environments=isolated), compiled(written))
    explanation = explain(found, principal, target, request, now=NOW)
    assert explanation.decision == decide(found.policy, found.targets, principal, target, request, now=NOW)
    facts = Facts(Subject(principal, request, target, NOW))
    by_id = {one.ref.id: one for one in found.policy.rules}
    assert {one.ref.id: one.holds for one in explanation.rules} == {
        name: one.matcher.test(facts) for name, one in by_id.items()
    }
    for one in explanation.rules:
        outcomes = [condition.holds for condition in one.conditions]
        joined = False if False in outcomes else None if None in outcomes else True
        assert one.holds is joined, "the conditions add up to what the rule comes to"
    assert json.loads(json.dumps(as_json(explanation)))["decision"]["reason"] == explanation.decision.reason


CONTENTS = [
    {"headers": {"x-a": "1"}},
    {"headers": {"x-b": {"present": True}}},
    {"query": {"force": {"regex": "^(yes|no)$"}}},
    {"body": {"$.amount": {"gt": 10}}},
    {"not": {"body": {"$.kind": ["a", 1]}}},
    {"signal": "incident"},
    {"source": ["10.0.0.0/8"]},
]
WHENS = [
    None,
    "request.body.amount > 10",
    'has(request.query.force) || "1" in request.headers["x-a"]',
    'principal.id == "a"',
]
ASKED = st.builds(
    Request,
    st.sampled_from(["GET", "POST"]),
    st.just("https"),
    st.just("a.x"),
    st.just(443),
    st.just("/a"),
    st.sampled_from(["", "force=yes", "force=1&force=2", "force"]),
    st.lists(st.tuples(st.sampled_from(["x-a", "x-b", "X_A"]), st.sampled_from(["1", "2", ""])), max_size=3).map(
        lambda fields: (("content-type", "application/json"), *fields)
    ),
    st.sampled_from(["", "10.0.0.1", "nonsense"]),
    st.sampled_from([None, b"", b"{", b'{"amount": 11, "kind": "a"}', b'{"amount": "11"}', b'{"kind": 1, "kind": 2}']),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CONTENTS), st.sampled_from(WHENS), EFFECTS), max_size=8),
    PRINCIPALS,
    ASKED,
    st.sampled_from([None, frozenset[str](), frozenset({"incident"})]),
)
def test_the_same_holds_for_what_a_request_contains(
    written: Any, principal: Principal, request: Request, signals: frozenset[str] | None
) -> None:
    policy = Policy(
        tuple(
            Rule(
                RuleRef(f"r{at}", effect, "f", at),
                compile_match(
                    MatchSpec.model_validate(match),
                    widen=effect is not Effect.ALLOW,
                    when=when,
                ),
            )
            for at, (match, when, effect) in enumerate(written)
        )
    )
    found = PolicyRules(Targets({}, {}, allow_unknown=False, isolate_environments=False), policy)
    explanation = explain(found, principal, API, request, now=NOW, signals=signals)
    assert explanation.decision == decide(
        found.policy, found.targets, principal, API, request, now=NOW, signals=signals
    )
    facts = Facts(Subject(principal, request, API, NOW, signals))
    assert [one.holds for one in explanation.rules] == [one.matcher.test(facts) for one in policy.rules]
    assert json.dumps(as_json(explanation))


@settings(max_examples=60, deadline=None)
@given(RULES, PRINCIPALS, REQUESTS, SOME_TARGETS.filter(bool), st.randoms(use_true_random=False))
def test_the_order_of_the_rules_changes_nothing(
    written: Any, principal: Principal, request: Request, target: Target, chance: Any
) -> None:
    ordered = list(compiled(written).rules)
    targets = Targets({}, {}, allow_unknown=False, isolate_environments=False)
    first = explain(PolicyRules(targets, Policy(tuple(ordered))), principal, target, request, now=NOW)
    chance.shuffle(ordered)
    assert explain(PolicyRules(targets, Policy(tuple(ordered))), principal, target, request, now=NOW) == first


def test_rules_come_in_order_of_file_and_line_with_those_the_index_would_not_ask() -> None:
    found = rules(allow("c", {"host": "elsewhere"}), allow("a", {}), deny("b", {"method": "PUT"}))
    assert [one.ref.id for one in explained(found).rules] == ["c", "a", "b"]


# -- conditions --------------------------------------------------------------------------------------------------------


def test_a_condition_says_what_was_asked_for_what_there_was_and_where_it_stands() -> None:
    written = {"principal": {"groups": ["admins", "leads"]}, "path": "/v1/{rest...}"}
    groups, path = sorted(rule(explained(rules(allow("a", written))), "a").conditions, key=lambda one: one.key)[::-1]
    assert (groups.key, groups.holds, groups.expected, groups.actual) == (
        "principal.groups",
        False,
        ["admins", "leads"],
        ["support"],
    )
    assert groups.line == line_of(("match", "principal", "groups"))
    assert (path.key, path.holds, path.expected, path.actual) == ("path", True, ["/v1/{rest...}"], "/v1/customers/42")


def test_what_stands_below_not_is_shown_with_its_own_outcome() -> None:
    written = {"not": {"principal": {"owner": "bob"}, "method": "GET"}}
    (condition,) = rule(explained(rules(deny("d", written))), "d").conditions
    assert (condition.key, condition.holds) == ("not", None)
    assert {one.key: one.holds for one in condition.inner} == {"principal.owner": None, "method": True}
    owner = next(one for one in condition.inner if one.key == "principal.owner")
    assert owner.line == line_of(("match", "not", "principal", "owner"))


@pytest.mark.parametrize(
    ("effect", "applies"), [("allow", False), ("deny", True), ("approve", True)], ids=["allow", "deny", "approve"]
)
def test_what_is_unknown_applies_to_all_but_an_allow(effect: str, applies: bool) -> None:
    found = rule(
        explained(rules({"id": "x", "effect": effect, "match": {"not": {"principal": {"owner": "bob"}}}})), "x"
    )
    assert (found.holds, found.applies) == (None, applies)


def test_long_values_are_cut() -> None:
    many = replace(ANA, groups=frozenset(f"g{n:02}" for n in range(30)), email="a" * 200)
    written = {"principal": {"groups": "g00", "email": "b"}}
    found = {one.key: one.actual for one in rule(explained(rules(allow("a", written)), many), "a").conditions}
    assert found["principal.groups"] == [f"g{n:02}" for n in range(20)] + ["... 10 more"]
    assert found["principal.email"] == ["a" * 77 + "..."]


def test_no_token_is_shown_wherever_it_stands() -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    request = replace(ASK, path=f"/v1/{token}")
    found = explained(rules(allow("a", {"path": "/v2"})), replace(ANA, email=token), request)
    (path,) = rule(found, "a").conditions
    assert path.actual == "[redacted]"


@pytest.mark.parametrize(
    ("place", "redacted"),
    [
        (("headers", "authorization"), True),
        (("headers", "x-api-key"), True),
        (("headers", "cookie"), True),
        (("query", "access_token"), True),
        (("body", "$.user.password"), True),
        (("headers", "x-tenant"), False),
        (("body", "$.author"), False),
        (("principal", "session", "scopes"), False),
        (("principal", "claims", "/token_use"), False),
    ],
)
@pytest.mark.parametrize("value", ["v4lue", ["v4lue"]], ids=["text", "list"])
def test_no_value_is_shown_whose_name_says_that_it_is_a_credential(
    place: tuple[str, ...], redacted: bool, value: Any
) -> None:
    condition = Condition(lambda _facts: False, " ".join(place), "x", lambda _facts: value, location=place)
    one = Rule(RuleRef("a", Effect.DENY, "f", 1), Matcher((condition.test,), {}, (condition,)))
    (outcome,) = outcomes(one, facts())
    assert outcome.actual == ("[redacted]" if redacted else value)


def test_that_a_credential_is_absent_is_shown() -> None:
    condition = Condition(lambda _facts: False, "headers cookie", {"present": True}, location=("headers", "cookie"))
    one = Rule(RuleRef("a", Effect.DENY, "f", 1), Matcher((condition.test,), {}, (condition,)))
    assert [outcome.actual for outcome in outcomes(one, facts())] == [None]


# -- when --------------------------------------------------------------------------------------------------------------


def when_of(when: Any, match: dict[str, Any]) -> Any:
    found = rules(allow("a", match))
    return rule(explained(found._replace(policy=with_when(found.policy, "a", when))), "a").conditions[-1]


def test_a_when_shows_its_text_its_values_and_its_answer() -> None:
    found = when_of(When(Said(False)), {})
    assert (found.key, found.holds, found.asked, found.expected) == ("when", False, True, "request.body.amount > 100")
    assert found.actual == {"request.body.amount": 50}
    assert found.line == line_of(("when",))


def test_a_compiled_when() -> None:
    found = when_of(parse_expression('principal.email.endsWith("@corp.example") && request.method == "PUT"'), {})
    assert (found.holds, found.error) == (False, None)
    assert found.actual == {"principal.email": "ana@corp.example", "request.method": "GET"}
    failed = when_of(parse_expression('principal.owner == "bob"'), {})
    assert (failed.holds, failed.error, failed.actual) == (None, "a value is absent", {"principal.owner": None})


def test_a_when_that_fails_says_why() -> None:
    assert when_of(When(Said(None, "no such key")), {}).error == "no such key"


def test_a_when_is_not_asked_where_something_else_does_not_hold() -> None:
    found = when_of(When(Said(True)), {"method": "PUT"})
    assert (found.holds, found.asked) == (None, False)


def test_no_credential_that_a_when_refers_to_is_shown() -> None:
    values = {"request.headers.authorization": "Basic abc", "request.query.api_key": "k", "principal.id": "ana"}
    values |= {"request.body": {"password": "p", "n": 1}, "request.query": '{"token": ["t"]}'}
    assert when_of(When(Said(True), values=values), {}).actual == {
        "request.headers.authorization": "[redacted]",
        "request.query.api_key": "[redacted]",
        "principal.id": "ana",
        "request.body": {"password": "[redacted]", "n": 1},
        "request.query": "[redacted]",
    }


# -- before any rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "target", "checks"),
    [
        (ANA, {}, [True, True, True]),
        (ANA, {"environment": "staging"}, [True, False, None]),
        (ANA, {"audiences": ["payments"]}, [True, True, False]),
        (replace(ANA, audiences=frozenset({"payments"})), {"audiences": ["payments"]}, [True, True, True]),
        (ANA, {"hosts": ["elsewhere"]}, [False, None, None]),
    ],
    ids=["fits", "environment", "audience", "meant", "unknown"],
)
def test_the_checks_before_any_rule(principal: Principal, target: dict[str, Any], checks: list[bool | None]) -> None:
    entry = {"name": "api", "hosts": ["api.internal"], "environment": "prod"} | target
    found = explained(rules(allow("a", {}), targets=[entry]), principal)
    assert [check.holds for check in found.entry] == checks
    assert (found.decision.effect is Effect.ALLOW) is (checks == [True] * 3)
    assert found.rules[0].holds is True, "the rules are explained all the same"


def test_a_check_says_what_was_expected_and_what_there_was() -> None:
    found = explained(rules(), replace(ANA, environments=frozenset({"staging"})))
    assert found.entry[1][2:] == ("prod", ["staging"])


# -- what else is due --------------------------------------------------------------------------------------------------


def test_a_refusal_by_default_names_the_nearest_allow_and_no_other_answer_does() -> None:
    by_default = explained(rules(allow("a", {"method": "PUT"})))
    assert by_default.nearest is not None
    assert by_default.nearest.rule.id == "a"
    assert explained(rules(allow("a", {}))).nearest is None
    assert explained(rules(allow("a", {"method": "PUT"}), deny("d", {}))).nearest is None


def test_limits_that_the_request_would_take_from() -> None:
    specs = [
        {"id": "b", "match": {"method": "GET"}, "key": ["principal.id", "principal.owner"], "rate": "5/minute"},
        {"id": "a", "match": {}, "key": "target", "rate": "10/second", "mode": "shadow"},
        {"id": "other", "match": {"method": "PUT"}, "rate": "1/day"},
    ]
    origins = [LimitOrigin(LimitSpec.model_validate(spec), "f", at) for at, spec in enumerate(specs)]
    found = rules(allow("x", {}))
    policy = replace(found.policy, limits=compile_limits(origins, frozenset()))
    limits = as_json(explained(found._replace(policy=policy)))["limits"]
    assert limits == [
        {
            "id": "b",
            "requests": 5,
            "seconds": 60,
            "counted_for": ["sso:ana", "nobody in particular"],
            "shadow": False,
            "file": "f",
            "line": 0,
        },
        {"id": "a", "requests": 10, "seconds": 1, "counted_for": ["api"], "shadow": True, "file": "f", "line": 1},
    ]


def test_as_json() -> None:
    found = rules(allow("a", {"method": "PUT"}), deny("d", {"method": "GET"}, mode="shadow", message="No."))
    shown = json.loads(json.dumps(as_json(explained(found))))
    assert shown["decision"] == {
        "effect": "deny",
        "reason": "no-rule-allows",
        "mode": "enforce",
        "message": None,
        "rules": [],
        "shadow": [{"id": "d", "effect": "deny", "file": "rules/policy.yaml", "line": 20}],
        "shadow_effect": None,
        "errors": [],
    }
    assert shown["rules"][0] == {
        "id": "a",
        "effect": "allow",
        "file": "rules/policy.yaml",
        "line": 10,
        "mode": "enforce",
        "outcome": "false",
        "applies": False,
        "conditions": [
            {"key": "method", "outcome": "false", "line": 11, "expected": ["PUT"], "actual": "GET"},
        ],
    }
    assert (shown["rules"][1]["mode"], shown["rules"][1]["outcome"]) == ("shadow", "true")
    assert shown["target"] == {"name": "api", "environment": "prod"}
    assert shown["principal"]["id"] == "ana"
    assert shown["nearest"]["rule"]["id"] == "a"


def test_the_json_has_no_body_and_no_header_that_no_rule_asks_for() -> None:
    request = replace(ASK, headers=(("x-note", "s3cr3t"),), query="a=s3cr3t", body=b"s3cr3t")
    assert "s3cr3t" not in json.dumps(as_json(explained(rules(allow("a", {})), request=request)))


def test_an_anonymous_caller_is_explained_too() -> None:
    nobody = Principal("anonymous", Kind.ANONYMOUS, "anonymous")
    found = explain(rules(allow("a", {"principal": {"id": "anonymous"}})), nobody, API, ASK, now=NOW)
    assert (found.decision.reason, found.rules[0].holds) == ("environment-mismatch", False)
