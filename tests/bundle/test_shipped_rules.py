"""The rules folder that ships: usable as it is, documented by its schemas, held in place by its own tests, and good for
the first steps of README.md."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headgate.bundle.files import rules_files, schemas
from headgate.bundle.load import Bundle, load_bundle
from headgate.cli.main import main
from headgate.match import Facts, Subject
from headgate.model import Effect, Kind, Principal, Request
from headgate.policy.engine import decide

RULES = Path(__file__).parent.parent.parent / "rules"
NAMES = [path.relative_to(RULES).as_posix() for path in rules_files(RULES)]


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return load_bundle(RULES)


@pytest.fixture(scope="module")
def proofs() -> Any:
    """What `headgate rules test` says of it, with everything that it can tell."""
    done = CliRunner().invoke(main, ["rules", "test", str(RULES), "--mutate", "--coverage", "--json"])
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_tells_editors_its_schema_and_readers_its_purpose(name: str) -> None:
    first, _, rest = (RULES / name).read_text(encoding="utf-8").partition("\n")
    schema = (RULES / name).parent / first.removeprefix("# yaml-language-server: $schema=")
    known = schemas()["policy.yaml" if name.startswith("policy/") else name]
    assert json.loads(schema.read_text(encoding="utf-8")) == known, "headgate rules schema --into rules/schema"
    assert rest.startswith("#\n# ")


# -- it proves itself -------------------------------------------------------------------------------------------------


def test_its_own_tests_pass(proofs: Any) -> None:
    assert proofs["passed"] > 50
    assert [test for test in proofs["tests"] if not test["passed"]] == []


def test_its_tests_notice_every_small_mistake(proofs: Any) -> None:
    assert proofs["mutants"]["made"] > 100
    assert proofs["mutants"]["survivors"] == []


def test_its_tests_are_about_every_rule_limit_and_condition(proofs: Any) -> None:
    cover = proofs["coverage"]
    assert [rule["id"] for rule in cover["rules"] if rule["missing"]] == []
    assert [limit["id"] for limit in cover["limits"] if not limit["tests"]] == []
    conditions = [(rule["id"], asked) for rule in cover["rules"] for asked in rule["conditions"]]
    assert [one for one in conditions if not (one[1]["held"] and one[1]["failed"])] == []


def test_lint_finds_nothing_not_even_for_information() -> None:
    done = CliRunner().invoke(main, ["rules", "lint", str(RULES), "--strict", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["findings"]) == (0, [])


def test_what_must_never_go_away_is_pinned(shipped: Bundle) -> None:
    assert [rule.ref.id for rule in shipped.policy.rules if rule.pinned] == ["agents-never-delete"]


# -- the first steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "method", "path", "effect", "reason"),
    [
        ({}, "GET", "/v1/customers/42", Effect.ALLOW, "allowed-by-rule"),
        ({}, "HEAD", "/", Effect.ALLOW, "allowed-by-rule"),
        ({}, "POST", "/v1/refunds", Effect.DENY, "no-rule-allows"),
        ({}, "DELETE", "/ana.json", Effect.DENY, "no-rule-allows"),
        ({"groups": frozenset()}, "GET", "/v1/customers/42", Effect.DENY, "no-rule-allows"),
        ({"groups": frozenset({"operators"})}, "DELETE", "/v1/customers/42", Effect.ALLOW, "allowed-by-rule"),
        ({"kind": Kind.AGENT}, "GET", "/v1/customers/42", Effect.ALLOW, "allowed-by-rule"),
        ({"kind": Kind.AGENT}, "DELETE", "/v1/customers/42", Effect.DENY, "denied-by-rule"),
        ({"environments": frozenset({"prod"})}, "GET", "/", Effect.DENY, "environment-mismatch"),
        ({"environments": frozenset()}, "GET", "/", Effect.DENY, "environment-mismatch"),
    ],
)
def test_who_may_do_what_on_this_machine(
    shipped: Bundle, caller: dict[str, object], method: str, path: str, effect: Effect, reason: str
) -> None:
    """Unless said otherwise by `dev`: a human of the group support in the environment dev, at any loopback upstream."""
    values = {"kind": Kind.HUMAN, "groups": frozenset({"support"}), "environments": frozenset({"dev"})}
    principal = Principal(**{"id": "dev", "provider": "development"} | values | caller)  # type: ignore[arg-type]
    for host in ("localhost", "127.0.0.1", "[::1]"):
        target = shipped.targets.resolve("http", host, 9000)
        request = Request(method, "http", host, 9000, path)
        decision = decide(shipped.policy, shipped.targets, principal, target, request, now=0.0)
        assert (decision.effect, decision.reason) == (effect, reason)


def test_other_systems_are_refused(shipped: Bundle) -> None:
    assert shipped.targets.resolve("https", "example.com", 443) is None


@pytest.mark.parametrize(
    ("host", "port", "masks"),
    [
        ("127.0.0.1", 9000, ["personal-data"]),
        ("payments.internal", 443, ["personal-data", "card-data"]),
        ("ledger.internal", 8443, ["personal-data", "card-data", "bank-accounts"]),
    ],
)
def test_personal_data_is_masked_for_everybody_and_what_cards_are_used_with_where_there_are_cards(
    shipped: Bundle, host: str, port: int, masks: list[str]
) -> None:
    target = shipped.targets.resolve("https", host, port)
    facts = Facts(Subject(None, Request("GET", "https", host, port, "/"), target, 0.0))
    assert [mask.id for mask in shipped.masking.masks if mask.matcher.test(facts)] == masks
