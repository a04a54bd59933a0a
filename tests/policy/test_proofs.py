"""The tests of a bundle: how they are written, what is said of one that fails, and what they cover."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.bundle.desk import loaded
from tests.policy.random_rules import compiled

from headgate.errors import InvalidRules
from headgate.policy.coverage import Cover, coverage
from headgate.policy.proofs import prove, run_tests
from headgate.policy.testcases import NOON, CaseSpec

ANA = {"id": "ana", "kind": "human", "groups": ["x"], "email": "ana@corp.example", "environment": "prod"}
ASK = {"url": "https://pay.internal/v1/customers/42"}
TARGETS = [
    {"name": "pay", "hosts": ["pay.internal"], "environment": "prod", "audiences": ["payments"]},
    {"name": "loose", "hosts": ["loose.internal"], "environment": "prod", "paths": {"case": "insensitive"}},
    {
        "name": "kept",
        "hosts": ["kept.internal"],
        "environment": "prod",
        "paths": {"parameters": "keep", "encoded_slash": "keep"},
    },
]
READS = {
    "id": "reads",
    "effect": "allow",
    "match": {"principal": {"groups": "x"}, "method": ["GET", "HEAD"]},
    "set_headers": {"X-Who": "{principal.email}"},
}
DELETES = {"id": "no-deletes", "effect": "deny", "match": {"method": "DELETE"}, "message": "ask somebody"}
REFUNDS = {
    "id": "refunds",
    "effect": "approve",
    "match": {"method": "POST", "body": {"$.amount": {"gt": 1000}}},
    "approval": {"by": {"groups": "leads"}},
}
SMALL = {"id": "small", "effect": "allow", "match": {"method": "POST", "body": {"$.amount": {"lte": 1000}}}}
TRIED = {"id": "tried", "effect": "deny", "mode": "shadow", "match": {"path": "/v1/customers/{id}"}}
RULES = [READS, DELETES, REFUNDS, SMALL, TRIED]
LIMITS = [
    {"id": "each", "match": {}, "rate": "5/second"},
    {"id": "posts", "match": {"method": "POST"}, "rate": "1/second"},
]


def case(expect: dict[str, Any], request: dict[str, Any] = ASK, **more: Any) -> dict[str, Any]:
    return {"name": "t", "principal": ANA, "request": ASK | request, "expect": expect, **more}


def failures(written: dict[str, Any], rules: list[dict[str, Any]] = RULES) -> list[str]:
    (proof,) = run_tests(compiled(rules, TARGETS, LIMITS, [written])).proofs
    return list(proof.failures)


# -- what is expected -------------------------------------------------------------------------------------------------

SAID = [
    ({"effect": "allow"}, {}, []),
    ({"effect": "allow", "rule": "reads"}, {}, []),
    ({"reason": "allowed-by-rule"}, {}, []),
    ({"effect": "deny"}, {}, ["expected effect deny, got allow by reads: allowed-by-rule"]),
    ({"effect": "allow", "rule": "small"}, {}, ["expected effect allow by small, got allow by reads: allowed-by-rule"]),
    ({"reason": "denied-by-rule"}, {}, ["expected reason denied-by-rule, got allow by reads: allowed-by-rule"]),
    (
        {"effect": "allow", "rule": "reads"},
        {"method": "PUT"},
        ["expected effect allow by reads, got deny: no-rule-allows"],
    ),
    ({"effect": "allow", "rules": ["reads"]}, {}, []),
    ({"effect": "allow", "rules": []}, {}, ["expected rules none, got reads"]),
    ({"effect": "deny", "message": "ask somebody"}, {"method": "DELETE"}, []),
    (
        {"effect": "deny", "message": "go away"},
        {"method": "DELETE"},
        ["expected message `go away`, got `ask somebody`"],
    ),
    ({"effect": "allow", "message": "go away"}, {}, ["expected message `go away`, got none"]),
    ({"effect": "allow", "shadow": "tried", "shadow_effect": "deny"}, {}, []),
    ({"effect": "allow", "shadow": []}, {}, ["expected shadow rules none, got tried"]),
    ({"effect": "allow", "shadow_effect": "same"}, {}, ["expected shadow effect same, got deny"]),
    ({"effect": "deny", "shadow_effect": "same"}, {"method": "DELETE"}, []),
    ({"effect": "allow", "set_headers": {"X-WHO": "ana@corp.example"}}, {}, []),
    (
        {"effect": "allow", "set_headers": {"x-other": "1"}},
        {},
        ["expected header x-other `1`, got none", "expected header x-who none, got `ana@corp.example`"],
    ),
    ({"effect": "allow", "limits": ["each"]}, {}, []),
    ({"effect": "approve", "limits": ["posts", "each"]}, {"method": "POST", "body": {"amount": 2000}}, []),
    ({"effect": "deny", "limits": []}, {"method": "DELETE"}, []),
    ({"effect": "allow", "limits": ["posts"]}, {}, ["expected limits posts, got each"]),
    ({"effect": "allow", "violations": ["/body/x"]}, {}, ["expected violations /body/x, got none"]),
]


@pytest.mark.parametrize(("expect", "request_", "said"), SAID, ids=str)
def test_what_is_said_of_a_test(expect: dict[str, Any], request_: dict[str, Any], said: list[str]) -> None:
    assert failures(case(expect, request_)) == said


def test_a_bundle_proves_itself_by_a_line_for_each_test_that_fails() -> None:
    tests = [case({"effect": "allow"}) | {"name": "fine"}, case({"effect": "deny"}) | {"name": "wrong"}]
    assert prove(compiled(RULES, TARGETS, LIMITS, tests)) == [
        "rules/policy.yaml:2: test `wrong`: expected effect deny, got allow by reads: allowed-by-rule"
    ]


def test_a_bundle_without_tests_has_nothing_to_prove() -> None:
    assert prove(compiled(RULES, TARGETS)) == []


# -- who asks, for what, and when -------------------------------------------------------------------------------------


def test_nobody_in_particular_asks() -> None:
    rules = [{"id": "a", "effect": "allow", "match": {"principal": {"kind": "anonymous"}}}]
    for written in ("anonymous", {"kind": "anonymous"}):
        tests = [case({"effect": "allow"}) | {"principal": written, "request": {"url": "https://loose.internal/"}}]
        assert prove(compiled(rules, TARGETS, tests=tests, isolate_environments=False)) == []


@pytest.mark.parametrize(
    ("request_", "effect"),
    [
        ({"method": "POST", "body": {"amount": 1000}}, "allow"),
        ({"method": "POST", "body": {"amount": 1000.5}}, "approve"),
        ({"method": "POST", "body": {"amount": "2000"}}, "approve"),
        ({"method": "POST", "body": '{"amount": 5, "amount": 2000}'}, "approve"),
        ({"method": "POST", "body": '{"amount": 5}'}, "approve"),
        ({"method": "POST", "body": '{"amount": 5}', "headers": {"Content-Type": "application/json"}}, "allow"),
        (
            {"method": "POST", "body": "amount=5", "headers": {"content-type": "application/x-www-form-urlencoded"}},
            "allow",
        ),
        ({"method": "POST"}, "deny"),
    ],
    ids=str,
)
def test_a_body_is_sent_as_json_unless_it_is_text(request_: dict[str, Any], effect: str) -> None:
    assert failures(case({"effect": effect}, request_), [REFUNDS, SMALL]) == []


@pytest.mark.parametrize(
    ("match", "more"),
    [
        ({"method": "WEBSOCKET"}, {"request": {"method": "WEBSOCKET"}}),
        ({"headers": {"x-a": ["1", "2"]}}, {"request": {"headers": {"X-A": ["1", "2"]}}}),
        ({"headers": {"host": "pay.internal:8443"}}, {"request": {"url": "https://pay.internal:8443/"}}),
        ({"query": {"q": "1"}}, {"request": {"url": "https://pay.internal/?q=1"}}),
        ({"path": "/"}, {"request": {"url": "https://pay.internal"}}),
        ({"host": "pay.internal"}, {"request": {"url": "http://PAY.internal./v1"}}),
        ({"source": "10.0.0.0/8"}, {"request": {"source": "10.1.2.3"}}),
        ({"signal": "incident"}, {"signals": "incident"}),
        ({"time": {"days": "wed", "hours": "12:00-12:01", "zone": "UTC"}}, {}),
        ({"time": {"days": "sun", "zone": "Europe/Paris"}}, {"at": "2026-03-01T00:30:00+01:00"}),
        ({"principal": {"session": {"max_age": "5m"}}}, {"principal": ANA | {"session": {"age": "4m"}}}),
        ({"path": "/{x}/{y}"}, {"request": {"url": "https://kept.internal/a;b/c%2Fd"}}),
    ],
    ids=str,
)
def test_everything_that_rules_ask_for_can_be_said(match: dict[str, Any], more: dict[str, Any]) -> None:
    written = case({"effect": "allow"}, **{key: value for key, value in more.items() if key != "request"})
    written["request"] |= more.get("request", {})
    assert failures(written, [{"id": "a", "effect": "allow", "match": match}]) == []
    opposite = [{"id": "a", "effect": "allow", "match": {"not": match}}]
    assert failures(written, opposite) == ["expected effect allow, got deny: no-rule-allows"]


def test_a_token_is_for_the_target_unless_it_says_for_whom() -> None:
    assert failures(case({"effect": "allow"})) == []
    elsewhere = case({"reason": "audience-not-for-target"}, principal=ANA | {"audiences": "others"})
    assert failures(elsewhere) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://loose.internal/A", "paths go on to target loose in lower case, this one is not"),
        ("https://loose.internal/a;b", "a path with `;` is refused on its way to target loose"),
        ("https://pay.internal/a%2Fb", "a path with `%2F` is refused on its way to target pay"),
        ("https://kept.internal/a;b%2Fc", None),
        ("https://loose.internal/a", None),
    ],
)
def test_a_path_that_never_gets_to_the_rules_fails_the_test(url: str, said: str | None) -> None:
    assert failures(case({"effect": "allow"}, {"url": url})) == ([said] if said else [])


DESCRIPTION = """\
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /orders:
    get:
      parameters: [{name: limit, in: query, schema: {type: integer}}]
      responses: {"200": {description: ok}}
"""


@pytest.mark.parametrize(
    ("openapi", "expect"),
    [
        ("openapi/pay.yaml", "{effect: deny, reason: not-as-described, violations: [/query/limit], limits: []}"),
        ("{file: openapi/pay.yaml, mode: shadow}", "{effect: allow, violations: [/query/limit], limits: [l]}"),
    ],
    ids=["enforced", "in shadow mode"],
)
def test_a_target_may_describe_what_it_accepts(openapi: str, expect: str, tmp_path: Path) -> None:
    (tmp_path / "openapi").mkdir()
    (tmp_path / "openapi" / "pay.yaml").write_text(DESCRIPTION, encoding="utf-8")
    policy = f"""\
rules: [{{id: a, effect: allow, match: {{}}}}]
limits: [{{id: l, match: {{}}, rate: 5/second}}]
tests:
- name: as described
  principal: {{id: ana, kind: human, environment: prod}}
  request: {{url: "https://pay.internal/orders?limit=1"}}
  expect: {{effect: allow, violations: [], limits: [l]}}
- name: not as described
  principal: {{id: ana, kind: human, environment: prod}}
  request: {{url: "https://pay.internal/orders?limit=x"}}
  expect: {expect}
"""
    targets = f"targets: [{{name: pay, hosts: [pay.internal], environment: prod, openapi: {openapi}}}]\n"
    assert prove(loaded(tmp_path, policy=policy, targets=targets)) == []


# -- what is no test --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expect": {}}, "nothing is said of the answer; accepted: at least one of `effect`, `reason`"),
        ({"expect": {"rule": "a"}}, "nothing is said of the answer"),
        ({"request": {}}, "Field required"),
        ({"request": ASK | {"method": "get"}}, "`get` is never forwarded; accepted: such as `GET`, or `WEBSOCKET`"),
        ({"request": ASK | {"method": "CONNECT"}}, "`CONNECT` is never forwarded"),
        ({"request": {"url": "pay.internal/v1"}}, "`pay.internal/v1` is not a URL of a request; accepted: such as"),
        ({"request": {"url": "ftp://pay.internal/"}}, "is not a URL of a request"),
        ({"request": {"url": "https://pay.internal:0/"}}, "is not a URL of a request"),
        ({"request": {"url": "https://pay.internal:99999/"}}, "is not a URL"),
        ({"request": {"url": "https://ana@pay.internal/"}}, "is not a URL of a request"),
        ({"request": {"url": "https://127.1/"}}, "is not a URL of a request"),
        ({"request": {"url": "https://pay.internal/a#b"}}, "is not a URL of a request"),
        ({"request": {"url": "https://pay.internal/a b"}}, "is not a URL of a request"),
        *(
            (
                {"request": {"url": f"https://pay.internal{path}"}},
                f"the path `{path}` is not canonical, so that no rule",
            )
            for path in ("/a//b", "/a/../b", "/%61", "/a%2fb", "/a.", "/a%20", "/%C3", "/%2541", "/a*", "/%0A", "/{id}")
        ),
        ({"request": ASK | {"headers": {"Authorization": "Bearer x"}}}, "holds credentials, which rules do not see"),
        ({"request": ASK | {"headers": {"X-Forwarded-For": "1.2.3.4"}}}, "is taken off before rules see a request"),
        ({"request": ASK | {"headers": {"Host": "other"}}}, "`url` says which host"),
        ({"request": ASK | {"headers": {"a b": "1"}}}, "`a b` cannot be sent so"),
        ({"request": ASK | {"headers": {"x-a": "1\r\nx-b: 2"}}}, "`x-a` cannot be sent so"),
        ({"request": ASK | {"source": "somewhere"}}, "`somewhere` is not an address; accepted: such as `10.1.2.3`"),
        ({"at": "2026-03-01T09:00:00"}, "is not a time; accepted: ISO 8601 with its zone"),
        ({"at": "tomorrow"}, "`tomorrow` is not a time"),
        ({"at": 5}, "this is not a time"),
        ({"signals": ["Not A Name"]}, "is not the name of a signal"),
        ({"principal": "ana"}, "anonymous"),
        ({"principal": {"kind": "human"}}, "`id` is missing"),
        ({"more": 1}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_what_is_no_test_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        CaseSpec.model_validate(case({"effect": "allow"}) | change)
    assert said in str(error.value)


def test_a_body_that_json_cannot_say_is_no_test() -> None:
    """A number of so many digits has no text in Python; in hexadecimal YAML does read it."""
    with pytest.raises(ValidationError, match="the body holds what JSON cannot say; accepted: text, numbers"):
        CaseSpec.model_validate(case({"effect": "allow"}, {"body": {"n": 1 << 20_000}}))


def test_names_that_refer_to_nothing_and_names_given_twice_are_problems() -> None:
    expect = {"effect": "allow", "rule": "readz", "rules": ["reads", "x"], "shadow": "y", "limits": ["each", "z"]}
    with pytest.raises(InvalidRules) as error:
        compiled(RULES, TARGETS, LIMITS, [case({"effect": "allow"}), case(expect)])
    assert error.value.problems == [
        (("tests", 1, "name"), "`t` is also the name of the test at rules/policy.yaml:1; accepted: a name of its own"),
        (("tests", 1, "expect", "rule"), "`readz` is not a rule; accepted: the id of a rule of these files"),
        (("tests", 1, "expect", "rules", 1), "`x` is not a rule; accepted: the id of a rule of these files"),
        (("tests", 1, "expect", "shadow", 0), "`y` is not a rule; accepted: the id of a rule of these files"),
        (("tests", 1, "expect", "limits", 1), "`z` is not a limit; accepted: the id of a limit of these files"),
    ]


@given(st.text(max_size=30))
def test_any_url_is_a_request_or_refused(text: str) -> None:
    for url in (text, f"https://pay.internal/{text}", f"https://{text}/"):
        try:
            request = CaseSpec.model_validate(case({"effect": "allow"}, {"url": url})).request.request()
        except ValidationError:
            continue
        assert request.path.startswith("/")
        assert request.host


# -- what the tests cover ---------------------------------------------------------------------------------------------


def covers(tests: list[dict[str, Any]], rules: list[dict[str, Any]] = RULES) -> dict[str, Cover]:
    named = [test | {"name": f"t{at}"} for at, test in enumerate(tests)]
    return {cover.ref.id: cover for cover in coverage(compiled(rules, TARGETS, LIMITS, named)).rules}


def test_a_rule_is_covered_once_it_determines_an_answer() -> None:
    found = covers([case({"effect": "deny"}, {"method": "DELETE"}), case({"effect": "allow"})])
    assert found["no-deletes"].tests == ("t0",)
    assert (found["no-deletes"].missing, found["tried"].missing) == ((), ())
    assert found["refunds"].missing == ("no test in which it determines the answer",)


def test_an_allow_needs_a_near_miss_besides() -> None:
    once, nobody = (
        case({"effect": "allow"}),
        case({"effect": "deny"}, {"method": "PUT"}, principal=ANA | {"groups": []}),
    )
    assert covers([once])["reads"].missing == ("no test that misses it by one condition",)
    assert covers([once, nobody])["reads"].missing == ("no test that misses it by one condition",)
    assert covers([once, case({"effect": "deny"}, {"method": "PUT"})])["reads"].missing == ()


def test_of_a_rule_that_matches_everything_there_is_no_near_miss() -> None:
    found = covers([case({"effect": "allow"})], [{"id": "a", "effect": "allow", "match": {}}])
    assert (found["a"].near_miss, found["a"].missing) == (None, ())


def test_a_when_counts_as_a_condition() -> None:
    rules = [{"id": "a", "effect": "allow", "match": {"method": "GET"}, "when": "request.path == '/a'"}]
    near, allowed = case({"effect": "deny"}), case({"effect": "allow"}, {"url": "https://pay.internal/a"})
    found = covers([near, allowed], rules)["a"]
    assert (found.near_miss, found.missing) == (True, ())
    assert [(one.name, one.held, one.failed) for one in found.conditions] == [
        ("method", True, False),
        ("when", True, True),
    ]


def test_each_condition_is_shown_from_both_sides_or_not() -> None:
    rules = [
        {"id": "a", "effect": "allow", "match": {"method": "GET", "not": {"path": "/a", "principal": {"id": "b*"}}}}
    ]
    found = covers([case({"effect": "allow"}), case({"effect": "deny"}, {"method": "PUT"})], rules)["a"]
    assert [(one.name, one.held, one.failed) for one in found.conditions] == [
        ("method", True, True),
        ("not.principal.id", False, True),
        ("not.path", False, True),
    ]


def test_limits_are_covered_by_requests_that_they_count() -> None:
    tests = [case({"effect": "allow"}), case({"effect": "deny"}, {"method": "DELETE"}, name="d")]
    found = coverage(compiled(RULES, TARGETS, LIMITS, tests))
    assert [(limit.id, limit.tests) for limit in found.limits] == [("each", ("t",)), ("posts", ())]


@given(st.permutations(range(len(RULES))), st.permutations(range(3)))
def test_the_order_of_rules_and_tests_changes_no_report(rule_order: list[int], test_order: list[int]) -> None:
    tests = [
        case({"effect": "allow"}, name="a"),
        case({"effect": "deny"}, name="b"),
        case({"effect": "approve"}, {"method": "POST", "body": {"amount": 5000}}, name="c"),
    ]
    rules = compiled(RULES, TARGETS, LIMITS, tests)
    policy, written = rules.policy, rules.policy.written
    turned = replace(
        policy,
        rules=tuple(policy.rules[at] for at in rule_order),
        tests=tuple(policy.tests[at] for at in test_order),
        written=written._replace(rules=tuple(written.rules[at] for at in rule_order)),
    )
    other = rules._replace(policy=turned)
    assert run_tests(rules) == run_tests(other)
    assert coverage(rules).as_json() == coverage(other).as_json()


def test_without_a_time_it_is_noon_on_a_wednesday() -> None:
    (test,) = compiled(RULES, TARGETS, LIMITS, [case({"effect": "allow"})]).policy.tests
    assert test.at == NOON
