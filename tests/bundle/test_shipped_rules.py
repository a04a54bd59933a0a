"""The rules folder that ships: usable as it is, documented by its schemas, and meaning what its comments say."""

import json
from pathlib import Path

import pytest

from headgate.bundle.files import MODELS, schemas
from headgate.bundle.load import Bundle, load_bundle
from headgate.model import Effect, Kind, Principal, Request
from headgate.policy.engine import decide

RULES = Path(__file__).parent.parent.parent / "rules"


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return load_bundle(RULES)


@pytest.mark.parametrize("name", MODELS)
def test_each_file_tells_editors_its_schema_and_readers_its_purpose(name: str) -> None:
    first, _, rest = (RULES / name).read_text(encoding="utf-8").partition("\n")
    schema = RULES / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(schema.read_text(encoding="utf-8")) == schemas()[name], (
        "headgate rules schema --into rules/schema"
    )
    assert rest.startswith("#\n# ")


@pytest.mark.parametrize(
    ("caller", "method", "path", "effect", "reason"),
    [
        ({}, "GET", "/v1/customers/42", Effect.ALLOW, "allowed-by-rule"),
        ({}, "HEAD", "/", Effect.ALLOW, "allowed-by-rule"),
        ({}, "POST", "/v1/refunds", Effect.DENY, "no-rule-allows"),
        ({"groups": frozenset()}, "GET", "/v1/customers/42", Effect.DENY, "no-rule-allows"),
        ({"groups": frozenset({"operators"})}, "DELETE", "/v1/customers/42", Effect.ALLOW, "allowed-by-rule"),
        ({"kind": Kind.CI}, "POST", "/v1/deployments/api", Effect.ALLOW, "allowed-by-rule"),
        ({"kind": Kind.AGENT}, "GET", "/v1/customers/42", Effect.ALLOW, "allowed-by-rule"),
        ({"kind": Kind.AGENT}, "DELETE", "/v1/customers/42", Effect.DENY, "denied-by-rule"),
        ({"environments": frozenset({"prod"})}, "GET", "/", Effect.DENY, "environment-mismatch"),
        ({"environments": frozenset()}, "GET", "/", Effect.DENY, "environment-mismatch"),
    ],
)
def test_who_may_do_what(
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


def test_personal_data_is_masked_for_everybody(shipped: Bundle) -> None:
    assert [mask.id for mask in shipped.masking.masks] == ["personal-data"]
