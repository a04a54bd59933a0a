"""A verified token is not verified again, and what is remembered never outlives what it was judged by."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.identity import tokens
from headgate.identity.jwks import KeySet
from headgate.identity.memory import Memory
from headgate.identity.presets import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.model import Principal

Ask = Callable[..., Principal | Rejected]


@pytest.fixture
def memory() -> Memory:
    return Memory(size=2)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The key id of each signature that is verified."""
    seen: list[str] = []
    checks = tuple(
        (
            name,
            (lambda case, check=check: (seen.append(case.token.kid), check(case))[1]) if name == "signature" else check,
        )
        for name, check in tokens.JUDGING
    )
    monkeypatch.setattr(tokens, "JUDGING", checks)
    return seen


@pytest.fixture
def ask(memory: Memory, issuer: Any, tmp_path: Path) -> Ask:
    usual = issuer.rules(tmp_path)

    def ask(
        text: str, *, rules: IdentityRules = usual, keys: KeySet | Rejected = issuer.keys, now: float = issuer.now
    ) -> Principal | Rejected:
        return memory.authenticate(text, rules, lambda _: keys, now, lambda _: None)

    return ask


def test_the_second_request_with_a_token_costs_no_signature(ask: Ask, issuer: Any, verified: list[str]) -> None:
    token = issuer.token()
    first, second = ask(token), ask(token)
    assert isinstance(first, Principal)
    assert second == first
    assert verified == ["ec"]


def test_a_remembered_token_expires_all_the_same(ask: Ask, issuer: Any) -> None:
    token = issuer.token(exp=issuer.now + 60)
    assert isinstance(ask(token), Principal)
    assert ask(token, now=issuer.now + 3600) == Rejected(Reason.EXPIRED)


def test_a_clock_set_back_makes_a_remembered_token_one_of_the_future(ask: Ask, issuer: Any) -> None:
    token = issuer.token(nbf=issuer.now - 60)
    assert isinstance(ask(token), Principal)
    assert ask(token, now=issuer.now - 3600) == Rejected(Reason.NOT_YET_VALID)


def test_other_keys_of_the_provider_end_what_is_remembered(ask: Ask, issuer: Any, verified: list[str]) -> None:
    token = issuer.token()
    assert isinstance(ask(token), Principal)
    assert ask(token, keys=issuer.key_set("rsa")) == Rejected(Reason.UNKNOWN_KEY)
    assert ask(token, keys=Rejected(Reason.KEYS_STALE)) == Rejected(Reason.KEYS_STALE)
    assert isinstance(ask(token, keys=issuer.key_set("ec")), Principal)
    assert verified == ["ec", "ec"]


def test_other_rules_end_what_is_remembered(ask: Ask, issuer: Any, tmp_path: Path, verified: list[str]) -> None:
    token = issuer.token()
    assert isinstance(ask(token), Principal)
    assert isinstance(ask(token, rules=issuer.rules(tmp_path)), Principal)
    assert verified == ["ec", "ec"]
    assert ask(token, rules=IdentityRules(())) == Rejected(Reason.ISSUER_UNKNOWN)


def test_a_rejected_token_is_not_remembered_and_a_changed_one_is_another(ask: Ask, issuer: Any, memory: Memory) -> None:
    token = issuer.token()
    assert isinstance(ask(token), Principal)
    head, claims, _ = token.split(".")
    _, _, other_signature = issuer.token(key="ec", sub="eve").split(".")
    assert ask(f"{head}.{claims}.{other_signature}") == Rejected(Reason.SIGNATURE_INVALID)
    assert len(memory._cases) == 1


def test_the_longest_unused_goes_first(ask: Ask, issuer: Any, memory: Memory, verified: list[str]) -> None:
    first, second, third = (issuer.token(sub=name) for name in ("a", "b", "c"))
    for token in (first, second, first, third):
        ask(token)
    assert len(memory._cases) == 2
    verified.clear()
    ask(first)
    assert verified == []
    ask(second)
    assert verified == ["ec"]


def test_no_token_is_kept(ask: Ask, issuer: Any, memory: Memory) -> None:
    token = issuer.token()
    ask(token)
    assert token.rsplit(".", 1)[1] not in repr(memory._cases)
    assert [case.token.text for case in memory._cases.values()] == [""]


def test_a_provider_is_what_counts_not_its_name(ask: Ask, issuer: Any, tmp_path: Path) -> None:
    """Rules that name another audience refuse a token that was fine before."""
    token = issuer.token()
    assert isinstance(ask(token), Principal)
    changed: Provider = issuer.rules(tmp_path).providers[0]
    stricter = IdentityRules((changed,), by_issuer={changed.issuer: _for_other_audience(changed)})
    assert ask(token, rules=stricter) == Rejected(Reason.AUDIENCE_MISMATCH)


def _for_other_audience(provider: Provider) -> Provider:
    from dataclasses import replace

    return replace(provider, audiences=frozenset({"other"}))
