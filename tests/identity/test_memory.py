"""What was verified is not verified again, and what is remembered never outlives what it was judged by."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.identity import pki
from tests.identity.conftest import identity

from headgate.identity import memory as remembering
from headgate.identity import tokens
from headgate.identity.certificates import verify_certificate
from headgate.identity.credentials import Shown
from headgate.identity.jwks import KeySet
from headgate.identity.memory import BAD_FOR, CHAIN_GOOD_FOR, KeyWanted, Memory, Verified
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.model import Principal

Ask = Callable[..., Verified | Rejected]


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
def usual(issuer: Any, tmp_path: Path) -> IdentityRules:
    rules: IdentityRules = issuer.rules(tmp_path)
    return rules


@pytest.fixture
def ask(memory: Memory, issuer: Any, usual: IdentityRules) -> Ask:
    def ask(
        text: str,
        *,
        rules: IdentityRules = usual,
        keys: KeySet | Rejected = issuer.keys,
        now: float = issuer.now,
        places: tuple[str, ...] = (BEARER,),
    ) -> Verified | Rejected:
        return memory.token(Shown(text, places), rules, lambda _: keys, now)

    return ask


def forged(issuer: Any, **claims: Any) -> str:
    """A good token with the signature of another."""
    signed = issuer.token(**claims).rpartition(".")[0]
    return f"{signed}.{issuer.token(sub='eve').rpartition('.')[2]}"


def test_the_second_request_with_a_token_costs_no_signature(ask: Ask, issuer: Any, verified: list[str]) -> None:
    token = issuer.token()
    first, second = ask(token), ask(token)
    assert isinstance(first, Verified)
    assert isinstance(first.principal, Principal)
    assert second == first
    assert verified == ["ec"]


def test_a_remembered_token_expires_all_the_same(ask: Ask, issuer: Any) -> None:
    token = issuer.token(exp=issuer.now + 60)
    assert isinstance(ask(token), Verified)
    assert ask(token, now=issuer.now + 3600) == Rejected(Reason.EXPIRED)
    assert isinstance(ask(token), Verified)


def test_a_clock_set_back_makes_a_remembered_token_one_of_the_future(ask: Ask, issuer: Any) -> None:
    token = issuer.token(nbf=issuer.now - 60)
    assert isinstance(ask(token), Verified)
    assert ask(token, now=issuer.now - 3600) == Rejected(Reason.NOT_YET_VALID)
    issued = issuer.token(nbf=None)
    assert isinstance(ask(issued), Verified)
    assert ask(issued, now=issuer.now - 3600) == Rejected(Reason.ISSUED_IN_FUTURE)


def test_other_keys_of_the_provider_end_what_is_remembered(
    ask: Ask, issuer: Any, usual: IdentityRules, verified: list[str]
) -> None:
    token, (provider,) = issuer.token(), usual.providers
    assert isinstance(ask(token), Verified)
    assert ask(token, keys=issuer.key_set("rsa")) == KeyWanted(Reason.UNKNOWN_KEY, provider, "ec")
    assert ask(token, keys=Rejected(Reason.KEYS_STALE)) == KeyWanted(Reason.KEYS_STALE, provider, "ec")
    assert isinstance(ask(token, keys=issuer.key_set("ec")), Verified)
    assert verified == ["ec", "ec"]


def test_other_rules_end_what_is_remembered(ask: Ask, issuer: Any, tmp_path: Path, verified: list[str]) -> None:
    token = issuer.token()
    assert isinstance(ask(token), Verified)
    reloaded = issuer.rules(tmp_path)
    again = ask(token, rules=reloaded)
    assert isinstance(again, Verified)
    assert again.provider is reloaded.providers[0]
    assert verified == ["ec", "ec"]
    assert ask(token, rules=IdentityRules(())) == Rejected(Reason.ISSUER_UNKNOWN)


def test_a_rejected_token_is_not_remembered_and_a_changed_one_is_another(ask: Ask, issuer: Any, memory: Memory) -> None:
    token = issuer.token()
    assert isinstance(ask(token), Verified)
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
    ask(forged(issuer))
    signature = token.rsplit(".", 1)[1]
    assert signature not in repr(memory) + repr(memory._cases) + repr(memory._bad)
    assert [(case.token.text, case.token.parts.signature) for case in memory._cases.values()] == [("", b"")]


def test_a_provider_is_what_counts_not_its_name(ask: Ask, issuer: Any, tmp_path: Path) -> None:
    """Rules that name another audience refuse a token that was fine before."""
    token = issuer.token()
    assert isinstance(ask(token), Verified)
    changed: Provider = issuer.rules(tmp_path).providers[0]
    stricter = IdentityRules((replace(changed, audiences=frozenset({"other"})),))
    assert ask(token, rules=stricter) == Rejected(Reason.AUDIENCE_MISMATCH)


def test_a_token_is_remembered_with_the_places_where_it_stands(ask: Ask, issuer: Any, tmp_path: Path) -> None:
    """What counts in one header proves nothing in another that its provider does not read."""
    pomerium = {"name": "pom", "preset": "pomerium", "issuer": "app.example.com", "audiences": ["app.example.com"]}
    rules = identity(tmp_path, issuer.written(tmp_path), {**pomerium, "jwks": issuer.key_file(tmp_path)})
    token, elsewhere = issuer.token(), ("header:x-pomerium-jwt-assertion",)
    assert isinstance(ask(token, rules=rules), Verified)
    assert ask(token, rules=rules, places=elsewhere) == Rejected(Reason.ISSUER_UNKNOWN)
    assert isinstance(ask(token, rules=rules, places=(*elsewhere, BEARER)), Verified)


# --------------------------------------------------------------------------------------------------- bad signatures


def test_a_bad_signature_is_verified_once_in_a_while(ask: Ask, issuer: Any, verified: list[str]) -> None:
    bad = forged(issuer)
    for now in (0.0, 1.0, BAD_FOR - 0.1):
        assert ask(bad, now=issuer.now + now) == Rejected(Reason.SIGNATURE_INVALID)
    assert verified == ["ec"]
    assert ask(bad, now=issuer.now + BAD_FOR) == Rejected(Reason.SIGNATURE_INVALID)
    assert verified == ["ec", "ec"]


def test_other_keys_end_what_is_remembered_of_a_bad_signature(ask: Ask, issuer: Any, verified: list[str]) -> None:
    """The provider has made a new key of the same id: what the old one did not sign, the new one may have."""
    token = issuer.token(key="stranger", header={"kid": "ec"})
    assert ask(token) == Rejected(Reason.SIGNATURE_INVALID)
    replaced = KeySet([replace(issuer.key_set("stranger").keys[0], kid="ec")])
    assert isinstance(ask(token, keys=replaced), Verified)
    assert verified == ["ec", "ec"]


def test_other_rules_end_what_is_remembered_of_a_bad_signature(
    ask: Ask, issuer: Any, tmp_path: Path, verified: list[str]
) -> None:
    bad = forged(issuer)
    assert ask(bad) == Rejected(Reason.SIGNATURE_INVALID)
    assert ask(bad, rules=issuer.rules(tmp_path)) == Rejected(Reason.SIGNATURE_INVALID)
    assert verified == ["ec", "ec"]


def test_bad_signatures_drive_no_good_token_out(ask: Ask, issuer: Any, memory: Memory, verified: list[str]) -> None:
    good = [issuer.token(sub="a"), issuer.token(sub="b")]
    for token in good:
        assert isinstance(ask(token), Verified)
    for number in range(10):
        ask(forged(issuer, sub=f"caller-{number}"))
    assert (len(memory._cases), len(memory._bad)) == (2, 2)
    verified.clear()
    for token in good:
        assert isinstance(ask(token), Verified)
    assert verified == []


def test_only_what_a_signature_cost_is_remembered_as_bad(ask: Ask, issuer: Any, memory: Memory) -> None:
    for bad, reason in (
        (issuer.token(aud="web"), Reason.AUDIENCE_MISMATCH),
        (issuer.token({"kid": "other"}), Reason.UNKNOWN_KEY),
        (issuer.token({"alg": "none"}), Reason.ALGORITHM_REFUSED),
        ("x.y.z", Reason.TOKEN_ENCODING),
    ):
        found = ask(bad)
        assert isinstance(found, Rejected)
        assert found.reason is reason
    assert (len(memory._cases), len(memory._bad)) == (0, 0)


# ----------------------------------------------------------------------------------------------------- certificates


CA = pki.authority("corp")
CALLER = pki.issue("billing", CA, pki.dns("billing.example"))


@pytest.fixture
def chains(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many certificates each chain that is verified has."""
    seen: list[int] = []

    def counted(chain: Any, authorities: Any, now: float) -> Any:
        seen.append(len(chain))
        return verify_certificate(chain, authorities, now)

    monkeypatch.setattr(remembering, "verify_certificate", counted)
    return seen


def believing(folder: Path, *holders: pki.Holder) -> IdentityRules:
    """Rules with one `mtls` provider for each of these authorities."""
    providers = []
    for number, holder in enumerate(holders):
        (folder / f"{number}.pem").write_bytes(holder.pem)
        providers.append({"name": f"mesh-{number}", "preset": "mtls", "ca": f"file:{number}.pem"})
    return identity(folder, *providers)


def test_a_chain_is_verified_once_in_a_while(memory: Memory, tmp_path: Path, chains: list[int]) -> None:
    rules = believing(tmp_path, CA)
    for now in (0.0, 1.0, CHAIN_GOOD_FOR - 1):
        found = memory.certificates(CALLER.chain, rules, pki.NOW + now)
        assert isinstance(found, Verified)
        assert (found.principal.id, found.provider.name) == ("billing.example", "mesh-0")
    assert chains == [1]
    assert isinstance(memory.certificates(CALLER.chain, rules, pki.NOW + CHAIN_GOOD_FOR), Verified)
    assert chains == [1, 1]


def test_a_remembered_chain_expires_all_the_same(memory: Memory, tmp_path: Path) -> None:
    rules, end = believing(tmp_path, CA), pki.NOW + pki.DAY.total_seconds()
    assert isinstance(memory.certificates(CALLER.chain, rules, end - 1), Verified)
    assert memory.certificates(CALLER.chain, rules, end + 1) == Rejected(Reason.CERTIFICATE_EXPIRED)


def test_other_rules_end_what_is_remembered_of_a_chain(memory: Memory, tmp_path: Path, chains: list[int]) -> None:
    rules = believing(tmp_path, CA)
    assert isinstance(memory.certificates(CALLER.chain, rules, pki.NOW), Verified)
    assert isinstance(memory.certificates(CALLER.chain, believing(tmp_path, CA), pki.NOW), Verified)
    assert chains == [1, 1]
    stranger = believing(tmp_path, pki.authority("corp"))
    assert memory.certificates(CALLER.chain, stranger, pki.NOW) == Rejected(Reason.CERTIFICATE_UNTRUSTED)


def test_a_chain_to_the_authorities_of_two_providers_counts_for_none(memory: Memory, tmp_path: Path) -> None:
    assert memory.certificates(CALLER.chain, believing(tmp_path, CA, CA), pki.NOW) == Rejected(Reason.ISSUER_AMBIGUOUS)
    other = pki.authority("other")
    found = memory.certificates(CALLER.chain, believing(tmp_path, other, CA), pki.NOW)
    assert isinstance(found, Verified)
    assert found.provider.name == "mesh-1"


def test_another_certificate_in_front_is_another_chain(memory: Memory, tmp_path: Path) -> None:
    """The handshake was about the first one: what another proved says nothing of it."""
    rules, stranger = believing(tmp_path, CA), pki.issue("billing", None, pki.dns("billing.example"))
    assert isinstance(memory.certificates(CALLER.chain, rules, pki.NOW), Verified)
    mixed = [stranger.der, *CALLER.chain]
    assert memory.certificates(mixed, rules, pki.NOW) == Rejected(Reason.CERTIFICATE_UNTRUSTED)
    assert memory.certificates([], rules, pki.NOW) == Rejected(Reason.CERTIFICATE_MALFORMED)
