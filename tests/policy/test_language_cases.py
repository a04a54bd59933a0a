"""Every key of `match:`, in rules of every effect: the truth table cases/language.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.policy.language import APPROVAL, Bundle, Written, numbered

from headgate.match import MatchSpec
from headgate.match.sections import Conditions
from headgate.match.spec import PrincipalSpec, SessionSpec, TargetSpec, WorkloadSpec
from headgate.model import Effect
from headgate.policy.cases import PrincipalCase
from headgate.policy.engine import decide
from headgate.policy.testcases import NOBODY, AskedSpec, CaseSpec

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "language.yaml").read_text(encoding="utf-8"))

ANA = {
    "kind": "human",
    "id": "ana",
    "provider": "sso",
    "groups": ["support", "eu"],
    "email": "ana@corp.example",
    "owner": "eve",
    "environment": ["prod"],
    "workload": {
        "name": "billing",
        "version": "2.1",
        "commit": "9f1c",
        "digest": "sha256:5d",
        "workflow": "acme/shop",
        "verified": True,
    },
    "session": {"scopes": ["read", "write"], "age": "10m"},
    "claims": {"tenant": "acme", "level": 3, "roles": ["dev", "ops"]},
}
GET = {"method": "GET", "url": "https://api.internal/v1/items/7", "source": "10.1.2.3"}
WEDNESDAY = "2026-03-04T12:00:00+00:00"
TARGETS = {
    "targets": [
        {"name": "api", "hosts": "api.internal", "environment": "prod", "tags": ["pci", "gdpr"]},
        {"name": "staging", "hosts": "staging.internal", "environment": "staging", "tags": ["y"]},
        {"name": "bare", "hosts": "bare.internal"},
    ],
    "unknown": "allow",
    "isolate_environments": False,
}
ANSWERS = ("holds", "fails", "unknown", "absent", "mixed")
BELOW_NOT = {"holds": "fails", "fails": "holds", "unknown": "unknown", "absent": "unknown", "mixed": "mixed"}
NOT_ALLOWED = (Effect.DENY, "no-rule-allows")
EXPECTED = {
    ("allow", "holds"): (Effect.ALLOW, "allowed-by-rule"),
    ("approve", "holds"): (Effect.APPROVE, "approval-required"),
    ("approve", "unknown"): (Effect.APPROVE, "approval-required"),
    ("approve", "mixed"): (Effect.APPROVE, "approval-required"),
    ("deny", "holds"): (Effect.DENY, "denied-by-rule"),
    ("deny", "unknown"): (Effect.DENY, "denied-by-unknown"),
    ("deny", "mixed"): (Effect.DENY, "denied-by-rule"),
}
"""What a rule makes of an answer: otherwise an allow does not help, and the others leave the request to an allow."""

ROWS = [(case, answer, asked) for case in CASES for answer in ANSWERS for asked in case.get(answer, ())]


IDS = [f"{at}-{'-'.join(case['match']) or 'when'}-{answer}" for at, (case, answer, _) in enumerate(ROWS)]


def answer_of(rule: Written, asked: dict[str, Any]) -> tuple[Effect, str]:
    everything: Written = {"effect": "allow", "match": {}}
    rules = [rule] if rule["effect"] == "allow" else [rule, everything]
    compiled = Bundle(TARGETS, numbered(rules), []).compiled()
    request = AskedSpec.model_validate(GET | asked.get("request", {})).request()
    target = compiled.targets.resolve(request.scheme, request.host, request.port)
    now = _seconds(asked.get("at", WEDNESDAY))
    signals = asked.get("signals", [])
    decision = decide(
        compiled.policy,
        compiled.targets,
        _caller(asked.get("principal", {})).principal(target, now),
        target,
        request,
        now=now,
        signals=None if signals is None else frozenset(signals),
    )
    return decision.effect, decision.reason


def _caller(said: Any) -> PrincipalCase:
    if said == "anonymous":
        return NOBODY
    return PrincipalCase.model_validate({name: value for name, value in (ANA | said).items() if value is not None})


def _seconds(at: str | float) -> float:
    if isinstance(at, float):
        return at
    case = {"name": "x", "principal": "anonymous", "request": GET, "at": at, "expect": {"effect": "deny"}}
    return CaseSpec.model_validate(case).at


@pytest.mark.parametrize(("case", "answer", "asked"), ROWS, ids=IDS)
def test_what_each_answer_makes_of_a_rule_of_each_effect(case: Any, answer: str, asked: Any) -> None:
    """And below `not:`, where what holds fails, and what is absent is unknown."""
    below = case["match"] if "when" not in case else None
    for effect in Effect:
        rule = {"effect": str(effect), "match": case["match"]} | ({"when": case["when"]} if "when" in case else {})
        rule |= {"approval": APPROVAL} if effect is Effect.APPROVE else {}
        otherwise = NOT_ALLOWED if effect is Effect.ALLOW else (Effect.ALLOW, "allowed-by-rule")
        assert answer_of(rule, asked) == EXPECTED.get((str(effect), answer), otherwise), effect
        if below is not None:
            negated = EXPECTED.get((str(effect), BELOW_NOT[answer]), otherwise)
            assert answer_of(rule | {"match": {"not": below}}, asked) == negated, f"{effect} below not"


def test_the_table_has_every_key() -> None:
    found = {key for case in CASES for key in _keys(case["match"])}
    assert found == set(_known(MatchSpec))


def _keys(match: dict[str, Any], prefix: str = "") -> Any:
    for name, asked in match.items():
        path = f"{prefix}{name}"
        yield path
        if path in SECTIONS and isinstance(asked, dict):
            yield from _keys(asked, f"{path}.")
        if name == "not":
            yield from _keys(asked)


SECTIONS: dict[str, type[Conditions]] = {
    "principal": PrincipalSpec,
    "principal.workload": WorkloadSpec,
    "principal.session": SessionSpec,
    "target": TargetSpec,
}


def _known(model: Any, prefix: str = "") -> Any:
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        yield path
        if path in SECTIONS:
            yield from _known(SECTIONS[path], f"{path}.")
