"""The stage: it takes what identity found out, decides, and refuses what is not allowed."""

import json
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy.test import tflow

from headgate.model import Effect, Exchange, Kind, Principal, Request, Session
from headgate.policy.addon import Policy
from headgate.policy.engine import PolicyRules
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets

TARGETS = {
    "targets": [
        {"name": "api", "hosts": ["api.internal:8443"], "environment": "prod"},
        {"name": "orders", "hosts": ["orders.internal"], "environment": "prod", "audiences": ["orders"]},
    ]
}
RULES = [
    {"id": "reads", "effect": "allow", "match": {"method": "GET"}},
    {"id": "young", "effect": "allow", "match": {"path": "/v1/refunds", "principal": {"session": {"max_age": "15m"}}}},
    {"id": "no-secrets", "effect": "deny", "match": {"path": "/secrets"}, "message": "Ask a lead."},
]
ANA = Principal("ana", Kind.HUMAN, "sso", environments=frozenset({"prod"}), audiences=frozenset({"payments"}))
NOW = 2_000_000.0
ASK = Request("GET", "https", "api.internal", 8443, "/v1/customers")


def judged(hook: str, principal: Principal | None = ANA, request: Request | None = ASK, **targets: Any) -> Exchange:
    known = compile_targets(TargetsFile.model_validate(TARGETS | targets))
    origins = [Origin(rule, "rules/policy.yaml", 1) for rule in PolicyFile.model_validate({"rules": RULES}).rules]
    rules = PolicyRules(known, compile_policy(origins, known.known_names()))
    flow, exchange = tflow.tflow(), Exchange("id", 0.0, principal=principal, request=request)
    getattr(Policy({flow.id: exchange}, lambda _exchange: rules, lambda: NOW), hook)(flow)
    return exchange


def ask(method: str = "GET", host: str = "api.internal", port: int = 8443, path: str = "/v1/customers") -> Request:
    return Request(method, "https", host, port, path)


def test_an_allowed_request_goes_on_with_its_target_and_decision() -> None:
    exchange = judged("requestheaders")
    assert exchange.refusal is None
    assert exchange.target is not None
    assert exchange.target.name == "api"
    assert exchange.decision is not None
    assert (exchange.decision.effect, exchange.decision.rules[0].id) == (Effect.ALLOW, "reads")


@pytest.mark.parametrize(("age", "reason"), [(900, "allowed-by-rule"), (901, "no-rule-allows")])
def test_the_age_of_a_session_is_that_of_the_moment(age: int, reason: str) -> None:
    """By the clock, not by when the guard first saw the request."""
    caller = replace(ANA, session=Session(issued_at=NOW - age))
    exchange = judged("requestheaders", caller, ask("POST", path="/v1/refunds"))
    assert exchange.decision is not None
    assert exchange.decision.reason == reason


def test_a_refusal_carries_reason_message_and_rule() -> None:
    refusal = judged("requestheaders", request=ask(path="/secrets")).refusal
    assert refusal is not None
    assert (refusal.status, refusal.slug) == (403, "denied")
    assert (refusal.reason, refusal.message, refusal.rule) == ("denied-by-rule", "Ask a lead.", "no-secrets")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ask(method="POST"), "no-rule-allows"),
        (ask(host="elsewhere.internal"), "unknown-target"),
        (ask(port=443), "unknown-target"),
        (ask(host="127.1"), "unknown-target"),
        (ask(host="orders.internal"), "audience-not-for-target"),
    ],
)
def test_a_refusal_by_default_names_no_rule(request_: Request, reason: str) -> None:
    exchange = judged("requestheaders", request=request_)
    assert exchange.refusal is not None
    assert (exchange.refusal.reason, exchange.refusal.message, exchange.refusal.rule) == (reason, None, None)
    assert exchange.decision is not None
    assert exchange.decision.effect is Effect.DENY


@pytest.mark.parametrize("hook", ["requestheaders", "http_connect"])
@pytest.mark.parametrize("missing", ["principal", "request"])
def test_a_request_that_identity_did_not_judge_is_refused(hook: str, missing: str) -> None:
    exchange = judged(hook, **{missing: None})
    assert exchange.refusal is not None
    assert (exchange.refusal.status, exchange.refusal.reason) == (503, "policy-without-identity")


@pytest.mark.parametrize(
    ("request_", "targets", "reason"),
    [
        (ask("CONNECT", path="/"), {}, None),
        (ask("CONNECT", "elsewhere.internal", path="/"), {}, "unknown-target"),
        (ask("CONNECT", "orders.internal", path="/"), {}, "audience-not-for-target"),
        (ask("CONNECT", "elsewhere.internal", path="/"), {"unknown": "allow"}, "environment-mismatch"),
        (
            ask("CONNECT", "elsewhere.internal", path="/"),
            {"unknown": "allow", "isolate_environments": False},
            None,
        ),
    ],
)
def test_a_tunnel_has_to_lead_to_a_target_the_caller_may_reach(
    request_: Request, targets: dict[str, Any], reason: str | None
) -> None:
    """No rule allows CONNECT here: the requests inside are decided one by one."""
    exchange = judged("http_connect", request=request_, **targets)
    assert (exchange.refusal.reason if exchange.refusal else None) == reason
    assert exchange.decision is not None
    assert exchange.decision.reason == (reason or "tunnel-may-open")


@pytest.mark.parametrize("observe", [False, True])
def test_a_refusal_by_default_leaves_word_of_what_came_nearest(observe: bool) -> None:
    """Observed ones too, and no other answer does."""
    entry = TARGETS["targets"][0] | {"observe": observe}
    exchange = judged("requestheaders", request=ask(method="POST"), targets=[entry])
    assert exchange.nearest is not None
    found = json.loads(exchange.nearest() or "null")
    assert (found["rule"]["id"], [one["key"] for one in found["failing"]]) == ("reads", ["method"])
    for other in (ask(), ask(path="/secrets"), ask(host="elsewhere.internal")):
        assert judged("requestheaders", request=other).nearest is None


# -- limits -----------------------------------------------------------------------------------------------------------


def limited(**limit: Any) -> Policy:
    """A stage whose rules allow everything within limits."""
    known = compile_targets(TargetsFile.model_validate(TARGETS))
    written = {"rules": [{"id": "all", "effect": "allow", "match": {}}], "limits": [{"match": {}, **limit}]}
    file = PolicyFile.model_validate(written)
    entries = {part: [Origin(entry, "rules/policy.yaml", 1) for entry in getattr(file, part)] for part in written}
    rules = PolicyRules(known, compile_policy(entries["rules"], known.known_names(), entries["limits"]))
    return Policy(EXCHANGES, lambda _exchange: rules, lambda: NOW, ticks=lambda: 7.0)


EXCHANGES: dict[str, Exchange] = {}


def asked(
    policy: Policy, request: Request = ASK, *, hooks: tuple[str, ...] = ("requestheaders", "request")
) -> Exchange:
    flow, exchange = tflow.tflow(), Exchange("id", 0.0, principal=ANA, request=replace(request, body=b""))
    EXCHANGES[flow.id] = exchange
    for hook in hooks:
        if exchange.refusal is None:
            getattr(policy, hook)(flow)
    return exchange


def test_a_request_that_goes_on_is_counted_once() -> None:
    policy = limited(id="two", rate="2/minute")
    found = [asked(policy) for _ in range(3)]
    assert [exchange.refusal and exchange.refusal.status for exchange in found] == [None, None, 429]
    assert [exchange.decision and exchange.decision.limits[0].remaining for exchange in found] == [1, 0, 0]


def test_a_request_with_a_body_is_refused_before_that_is_read_and_takes_nothing() -> None:
    policy = limited(id="one", rate="1/minute")
    upload = replace(ASK, method="POST", headers=(("content-length", "9"),))
    assert asked(policy, upload, hooks=("requestheaders",)).refusal is None
    assert asked(policy, upload).refusal is None
    late = asked(policy, upload, hooks=("requestheaders",))
    assert late.refusal is not None
    assert (late.refusal.slug, late.refusal.rule, late.refusal.message) == ("rate-limited", "one", None)


def test_a_limit_in_shadow_mode_only_says_that_it_is_exhausted() -> None:
    policy = limited(id="one", rate="1/minute", mode="shadow")
    _, second = asked(policy), asked(policy)
    assert second.refusal is None
    assert second.decision is not None
    assert [(use.id, use.exhausted, use.enforced) for use in second.decision.limits] == [("one", True, False)]


def test_a_refused_request_takes_nothing() -> None:
    policy = limited(id="one", rate="1/minute")
    assert asked(policy, replace(ASK, host="nowhere.internal")).refusal is not None
    assert asked(policy).refusal is None
