"""The claims that rules read are found wherever rules read them, and no others."""

from pathlib import Path

import pytest

from headgate.bundle.claims import claims_read
from headgate.bundle.load import load_bundle

BUNDLE = "name: test\nversion: 1.0.0\n"
IDENTITY = "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n"
TARGETS = "targets:\n  - {name: api, environment: dev, hosts: [api.internal], audiences: [headgate-dev]}\n"
ALLOW = "rules:\n  - {id: all, effect: allow, match: {target: api}}\n"


@pytest.fixture
def read(tmp_path: Path):
    def of(policy: str = ALLOW, masking: str = "masks: []\n") -> tuple[str, ...]:
        files = {"bundle": BUNDLE, "identity": IDENTITY, "targets": TARGETS, "policy": policy, "masking": masking}
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return claims_read(load_bundle(tmp_path))

    return of


def rule(text: str) -> str:
    return f"rules:\n  - {{id: one, {text}}}\n"


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (ALLOW, ()),
        (rule("effect: allow, match: {principal: {claims: {tenant: [7]}}}"), ("/tenant",)),
        (rule("effect: allow, match: {principal: {claims: {/org/unit: [eu], /a~1b: [1]}}}"), ("/a~1b", "/org/unit")),
        (rule("effect: deny, match: {not: {principal: {claims: {tenant: [7]}}}}"), ("/tenant",)),
        (rule("effect: allow, mode: shadow, match: {principal: {claims: {tenant: [7]}}}"), ("/tenant",)),
        (rule("effect: allow, match: {target: api}, when: \"principal.claims.org.unit == 'eu'\""), ("/org/unit",)),
        (rule('effect: allow, match: {target: api}, set_headers: {X-T: "{principal.claims./a/b}"}'), ("/a/b",)),
        (
            ALLOW + "limits:\n  - {id: l, match: {principal: {claims: {plan: [free]}}}, rate: 1/minute}\n",
            ("/plan",),
        ),
    ],
    ids=["none", "a name", "pointers", "below not", "in shadow", "when", "a header", "a limit"],
)
def test_in_policy(policy: str, found: tuple[str, ...], read) -> None:
    assert read(policy) == found


def test_in_masks_and_their_exceptions(read) -> None:
    masking = """
masks:
  - id: one
    match: {principal: {claims: {tenant: [7]}}}
    except: {principal: {claims: {/clearance/level: [5]}}}
    fields: ["$..ssn"]
"""
    assert read(masking=masking) == ("/clearance/level", "/tenant")
