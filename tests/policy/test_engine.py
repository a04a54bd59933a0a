"""Decisions: the truth table cases/policy.yaml, and what holds for all of them."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from headgate.identity.strictjson import frozen
from headgate.model import Decision, Kind, Principal, Request, Session, Workload
from headgate.policy.engine import decide
from headgate.policy.rules import Origin, PolicyFile, TargetsFile, compile_policy, compile_targets

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "policy.yaml").read_text(encoding="utf-8"))

ANA = {
    "id": "ana",
    "kind": "human",
    "provider": "sso",
    "groups": ["support"],
    "environments": ["prod"],
    "audiences": ["payments"],
    "workload": {"name": "billing", "verified": True},
    "session": {"scopes": ["refunds:read"], "issued_at": 1_999_400},
    "claims": {"tenant": "acme", "roles": ["dev", "ops"]},
}
NOW = 2_000_000.0
CUSTOMER = {"method": "GET", "url": "https://api.internal/v1/customers/42", "headers": {}}
TARGETS = {"targets": [{"name": "api", "hosts": ["api.internal"], "environment": "prod"}]}


def decision(case: dict[str, Any], order: Sequence[int] | None = None) -> Decision:
    """Decide a case; `order` puts its rules in another order, their lines with them."""
    targets = compile_targets(TargetsFile.model_validate(case.get("targets", TARGETS)))
    rules = PolicyFile.model_validate({"rules": case["rules"]}).rules
    origins = [Origin(rule, "rules/policy.yaml", line) for line, rule in enumerate(rules, start=1)]
    ordered = [origins[at] for at in order] if order else origins
    policy = compile_policy(ordered, targets.known_names())
    asked = CUSTOMER | case.get("request", {})
    url = urlsplit(asked["url"])
    host, port = url.hostname or "", url.port or 443
    request = Request(asked["method"], url.scheme, host, port, url.path, headers=tuple(asked["headers"].items()))
    return decide(policy, targets, principal(case), targets.resolve(url.scheme, host, port), request, now=NOW)


def principal(case: dict[str, Any]) -> Principal:
    values = ANA | case.get("principal", {})
    sets = {name: frozenset(values[name]) for name in ("groups", "environments", "audiences")}
    session = values["session"]
    read: dict[str, Any] = {
        "kind": Kind(values["kind"]),
        "workload": Workload(**values["workload"]),
        "session": Session(**session | {"scopes": frozenset(session.get("scopes", ()))}),
        "claims": frozen(values["claims"]),
    }
    return Principal(**values | sets | read)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_answer_with_its_reason_and_its_rules(case: dict[str, Any]) -> None:
    found, expected = decision(case), case["expect"]
    assert (found.effect, found.reason) == (expected["effect"], expected["reason"])
    assert [rule.id for rule in found.rules] == expected.get("rules", [])
    assert found.message == expected.get("message")
    assert [rule.id for rule in found.shadow] == expected.get("shadow", [])
    assert found.shadow_effect == expected.get("shadow_effect")
    assert found.observed is expected.get("observed", False)
    assert dict(found.shaping.set_headers) == expected.get("set_headers", {})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_the_order_of_the_rules_never_matters(case: dict[str, Any]) -> None:
    orders = permutations(range(len(case["rules"])))
    assert {decision(case, order) for order in orders} == {decision(case)}


def test_each_determining_rule_says_where_it_stands() -> None:
    rules = [{"id": "a", "effect": "allow", "match": {"method": "PUT"}}, {"id": "d", "effect": "deny", "match": {}}]
    (rule,) = decision({"rules": rules}).rules
    assert (rule.id, rule.effect, rule.file, rule.line) == ("d", "deny", "rules/policy.yaml", 2)
