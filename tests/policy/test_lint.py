"""What lint finds: the truth table cases/lint.yaml, and how it is told. What holds of all findings: lint properties."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.policy.random_rules import compiled

from headgate.policy import overlaps
from headgate.policy.lint import CODES, Around, LintFinding, Severity, lint

CASES = yaml.safe_load((Path(__file__).parent.parent / "cases" / "lint.yaml").read_text(encoding="utf-8"))
TARGETS = [
    {"name": "pay", "hosts": ["pay.internal"], "environment": "prod", "tags": ["pci"]},
    {"name": "log", "hosts": ["log.internal"], "environment": "dev"},
]


def findings(case: dict[str, Any]) -> list[LintFinding]:
    rules = compiled(
        case["rules"],
        case.get("targets", TARGETS),
        case.get("limits"),
        case.get("tests"),
        unknown=case.get("unknown", "refuse"),
        isolate_environments=case.get("isolate", True),
    )
    return lint(rules, Around(case.get("anonymous", False), tuple(case.get("trusted", ()))))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_what_is_found(case: dict[str, Any]) -> None:
    asked = {text.partition(":")[0] for text in case["finds"]}
    told = [f"{one.code}: {one.message}" for one in findings(case) if one.code != "no-tests" or "no-tests" in asked]
    missing = [text for text in case["finds"] if not any(line.startswith(text) for line in told)]
    too_many = [line for line in told if not any(line.startswith(text) for text in case["finds"])]
    assert (missing, too_many) == ([], [])


def test_every_finding_there_is_has_a_case() -> None:
    shown = {text.partition(":")[0] for case in CASES for text in case["finds"]}
    assert set(CODES) - shown == {"not-compared"}


def test_a_finding_says_where_how_grave_what_and_what_to_do() -> None:
    first, *others = findings({"rules": [{"id": "a", "effect": "allow", "match": {}}]})
    said = "rule a allows everybody everything; say who may do what, and where"
    assert str(first) == f"rules/policy.yaml:1: error: {said} [allow-everything]"
    assert first.as_json() == {
        "severity": "error",
        "code": "allow-everything",
        "file": "rules/policy.yaml",
        "line": 1,
        "message": "rule a allows everybody everything",
        "advice": "say who may do what, and where",
    }
    assert [str(one) for one in others] == [
        "policy.yaml: info: nothing shows what the rules do; add `tests:`, at least one for each rule [no-tests]"
    ]


def test_the_gravest_comes_first() -> None:
    rules = [
        {"id": "a", "effect": "allow", "match": {"target": ["pay", "pay"]}},
        {"id": "b", "effect": "allow", "match": {"principal": {"groups": "x"}}},
        {"id": "c", "effect": "allow", "match": {"target": "pay", "host": "log.internal"}},
    ]
    assert [one.severity for one in findings({"rules": rules})] == [
        Severity.ERROR,
        Severity.WARNING,
        Severity.INFO,
        Severity.INFO,
    ]


def test_findings_stand_where_the_bundle_has_them() -> None:
    place = lambda file, where: (f"rules/{file}", len(where) + 40)  # noqa: E731 - a line that can be told from others
    rules = compiled([{"id": "a", "effect": "allow", "match": {"target": "pay"}}], TARGETS)
    (found,) = (one for one in lint(rules, Around(place=place)) if one.code == "target-without-allow")
    assert (found.file, found.line) == ("rules/targets.yaml", 42)


def test_more_pairs_than_can_be_compared_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "MAX_PAIRS", 50)
    rules = [{"id": f"r{at}", "effect": "allow", "match": {"target": "pay", "method": "GET"}} for at in range(20)]
    assert "not-compared" in {one.code for one in findings({"rules": rules})}


def test_rules_about_different_paths_and_callers_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a large bundle takes no longer than its rules are many."""
    monkeypatch.setattr(overlaps, "MAX_PAIRS", 2_000)
    rules = [
        {"id": f"r{at}", "effect": "allow", "match": {"target": ["pay", "log"], "path": f"/v1/{at}/{{id}}"}}
        for at in range(1_000)
    ]
    assert {one.code for one in findings({"rules": rules})} == {"no-tests"}
