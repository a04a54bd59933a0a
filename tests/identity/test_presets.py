"""Tokens of each preset in their exact shape, and each of their fields wrong in turn: cases/presets/*.yaml."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError
from tests.identity import pki
from tests.identity.conftest import NOW, base64url, identity, judge
from tests.identity.samples import FITTING, NAMES, Row, Sample, jwk, public_pem, rows, time_of

from headgate.errors import InvalidRules
from headgate.identity.callers import Callers, Made
from headgate.identity.credentials import Presented, Shown
from headgate.identity.jwks import KeySet, parse_jwks
from headgate.identity.memory import Memory, Verified
from headgate.identity.presets import CERTIFICATE, FORWARDED_CERTIFICATE, PRESETS
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.identity.sources import KeySource
from headgate.model import Principal

OF_CERTIFICATES = {"mtls", "forwarded-client-cert"}
ATTRIBUTES = {
    "session": lambda caller: caller.session.id,
    "scopes": lambda caller: caller.session.scopes,
    "began": lambda caller: caller.session.issued_at,
}


def at_the_proxy(
    text: str, rules: IdentityRules, keys: KeySet, places: tuple[str, ...], now: float = NOW
) -> Verified | Rejected:
    """The token as it stands in these places of a request, with nothing remembered."""
    return Memory().token(Shown(text, places), rules, lambda _: keys, now)


def attribute(caller: Principal, name: str) -> Any:
    value: Any = caller
    if name in ATTRIBUTES:
        value = ATTRIBUTES[name](caller)
    else:
        for part in name.split("."):
            value = getattr(value, part)
    return sorted(value) if isinstance(value, frozenset) else value


@pytest.mark.parametrize("row", list(rows()), ids=str)
def test_the_table(row: Row, tmp_path: Path) -> None:
    sample, changes = Sample(row.preset), row.changes
    rules = sample.rules(tmp_path, changes.get("provider"))
    (provider,) = rules.providers
    keys, token = sample.keys(provider), sample.token(changes)
    found = at_the_proxy(token, rules, keys, sample.places)
    alone = judge(token, provider, keys, NOW)
    if "reason" in changes:
        assert isinstance(found, Rejected), found
        assert found.reason == Reason(changes["reason"])
        assert alone == Rejected(Reason(changes.get("alone", changes["reason"])))
        return
    assert isinstance(found, Verified), found
    assert not isinstance(alone, Rejected)
    assert alone.principal == found.principal
    for name, expected in changes.get("expect", {}).items():
        assert attribute(found.principal, name) == time_of(expected), name


def test_every_preset_has_a_table() -> None:
    assert set(NAMES) | OF_CERTIFICATES == set(PRESETS)


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_that_is_read_is_in_the_table(name: str) -> None:
    """What a preset maps, requires or has in one form is wrong in turn, in `reads` or in a row."""
    preset, case = PRESETS[name], Sample(name).case
    read = {path for paths in preset.claims.values() for path in paths} | set(preset.exact) | set(preset.forms)
    wrong = set(case["reads"]) | {path for row in case["rows"] for path in row.get("claims", {})}
    assert {path.removeprefix("/") for path in read} <= {path.removeprefix("/") for path in wrong} | {"user/user_id"}


# --------------------------------------------------------------------------------------------------------- algorithms


@pytest.mark.parametrize("algorithm", [name for names in FITTING.values() for name in names])
@pytest.mark.parametrize("name", NAMES)
def test_only_its_own_algorithms_count(name: str, algorithm: str, tmp_path: Path) -> None:
    """A published key of the right type signs; whether the provider ever signs so is what decides."""
    sample = Sample(name)
    rules = sample.rules(tmp_path)
    kind = next(kind for kind, fitting in FITTING.items() if algorithm in fitting)
    kid = sample.kid if sample.pem and kind not in ("ec", "ec384", "rsa") else sample.kid_of(kind)
    token = sample.token({"header": {"alg": algorithm, "kid": kid}, "signer": kind})
    found = at_the_proxy(token, rules, sample.keys(rules.providers[0]), sample.places)
    if algorithm in sample.case["algorithms"]:
        assert isinstance(found, Verified), found
    else:
        assert found == Rejected(Reason.ALGORITHM_REFUSED)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "hs256", "dir"])
@pytest.mark.parametrize("name", NAMES)
def test_a_token_without_a_key_pair_is_none(name: str, algorithm: str, tmp_path: Path) -> None:
    """Unsigned, or signed with the published key as if it were a secret, in each form it is published in."""
    sample = Sample(name)
    rules = sample.rules(tmp_path)
    keys, padded = sample.keys(rules.providers[0]), sample.case.get("padded", False)
    signed = sample.token({"header": {"alg": algorithm}}).rpartition(".")[0]
    kind = sample.case["key"]
    pem = public_pem(kind, "provider")
    for secret in (b"", pem, pem.strip(), json.dumps(jwk(kind, sample.kid)).encode()):
        signature = base64url(hmac.digest(secret, signed.encode(), hashlib.sha256), padded=padded)
        found = at_the_proxy(f"{signed}.{signature}", rules, keys, sample.places)
        assert found == Rejected(Reason.ALGORITHM_REFUSED)
    assert at_the_proxy(f"{signed}.", rules, keys, sample.places) == Rejected(Reason.TOKEN_ENCODING)


@pytest.mark.parametrize("name", NAMES)
def test_a_list_of_algorithms_is_none(name: str, tmp_path: Path) -> None:
    sample = Sample(name)
    rules = sample.rules(tmp_path)
    for declared in (None, 7, True, [sample.case["header"]["alg"]], {"alg": sample.case["header"]["alg"]}):
        token = sample.token({"header": {"alg": declared}})
        found = at_the_proxy(token, rules, sample.keys(rules.providers[0]), sample.places)
        assert found == Rejected(Reason.ALGORITHM_REFUSED), declared


# -------------------------------------------------------------------------------------------------------------- places


def everybody(folder: Path) -> IdentityRules:
    """Rules with a provider of every preset that reads tokens."""
    return identity(folder, *(Sample(name).written() for name in NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_a_token_counts_in_its_own_places_only(name: str, tmp_path: Path) -> None:
    sample, rules = Sample(name), everybody(tmp_path)
    keys = sample.keys(sample.provider(tmp_path))
    token = sample.token()
    assert set(sample.places) == set(PRESETS[name].places)
    for place in rules.places:
        found = at_the_proxy(token, rules, keys, (place,))
        if place in sample.places:
            assert isinstance(found, Verified), found
            assert found.provider.name == name
        else:
            assert isinstance(found, Rejected), place


@pytest.mark.parametrize("other", NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_one_provider_s_key_signs_nothing_for_another(name: str, other: str, tmp_path: Path) -> None:
    """A token in the shape of one, at its place, signed by another with a key of the same id."""
    if name == other:
        return
    sample, rules = Sample(name), everybody(tmp_path)

    def keys_of(provider: Provider) -> KeySet:
        return Sample(provider.name).keys(provider, owner=provider.name)

    token = Shown(sample.token(owner=other), sample.places)
    assert Memory().token(token, rules, keys_of, NOW) == Rejected(Reason.SIGNATURE_INVALID)
    own = Shown(sample.token(owner=name), sample.places)
    assert isinstance(Memory().token(own, rules, keys_of, NOW), Verified)


@pytest.mark.parametrize("name", NAMES)
def test_who_pads_a_token_must_and_no_other_may(name: str, tmp_path: Path) -> None:
    """Load balancers pad; whether Verified Access does is not documented; nobody else does."""
    sample = Sample(name)
    must, may = name == "aws-alb", name in ("aws-alb", "aws-verified-access")
    rules = sample.rules(tmp_path)
    keys = sample.keys(rules.providers[0])
    tokens = {
        padded: [sample.token({"padded": padded, "claims": {"pad": "x" * length}}) for length in range(3)]
        for padded in (True, False)
    }
    padded = [token for token in tokens[True] if "=" in token]
    assert len(padded) >= 2
    for token in padded:
        found = at_the_proxy(token, rules, keys, sample.places)
        assert isinstance(found, Verified) if may else found == Rejected(Reason.TOKEN_ENCODING), found
    for token in tokens[False]:
        found = at_the_proxy(token, rules, keys, sample.places)
        assert found == Rejected(Reason.TOKEN_ENCODING) if must else isinstance(found, Verified), found


@pytest.mark.parametrize("name", ["aws-alb", "aws-verified-access"])
def test_a_signer_in_a_list_is_none(name: str, tmp_path: Path) -> None:
    sample = Sample(name)
    rules = sample.rules(tmp_path)
    token = sample.token({"header": {"signer": [sample.case["header"]["signer"]]}})
    found = at_the_proxy(token, rules, sample.keys(rules.providers[0]), sample.places)
    assert found == Rejected(Reason.ISSUER_INVALID)


# ---------------------------------------------------------------------------------------------------------------- keys


def source(of: dict[str, str], provider: Provider) -> KeySource:
    kid = provider.keys.kid if "pem" in of else None
    return KeySource(**of, kid=kid, uses=provider.keys.uses)  # type: ignore[arg-type]


def endpoints() -> list[Any]:
    cases = [(name, {"note": "by itself", "keys": Sample(name).case["keys"]}) for name in NAMES]
    cases += [(name, row) for name in NAMES for row in Sample(name).case.get("other_keys", ())]
    return [pytest.param(name, row, id=f"{name}: {row['note']}") for name, row in cases]


@pytest.mark.parametrize(("name", "row"), endpoints())
def test_keys_are_where_the_preset_says(name: str, row: dict[str, Any], tmp_path: Path) -> None:
    provider = Sample(name).provider(tmp_path, row.get("provider"))
    assert provider.keys == source(row["keys"], provider)
    assert provider.keys.uses == ({"sig", "jwt-svid"} if name == "spiffe-jwt" else {"sig"})


@pytest.mark.parametrize("name", [name for name in NAMES if Sample(name).pem])
def test_no_key_of_another_form_is_ever_asked_for(name: str, tmp_path: Path) -> None:
    sample = Sample(name)
    keys = sample.provider(tmp_path).keys
    assert keys.accepts(sample.kid)
    for kid in (
        None, "", sample.kid.upper(), f"{sample.kid}/", f"/{sample.kid}", f"x/{sample.kid}", f"{sample.kid}0",
        sample.kid[:-1], f"{sample.kid}?", f"{sample.kid}%2f", f"../{sample.kid}", f"{sample.kid}\n", "x" * 36,
        f"{sample.kid}#", sample.kid.replace("-", ""), f"https://evil.example/{sample.kid}",
    ):  # fmt: skip
        assert not keys.accepts(kid), kid


def test_keys_of_a_trust_bundle_that_are_for_certificates_verify_no_token(tmp_path: Path) -> None:
    sample = Sample("spiffe-jwt")
    rules = sample.rules(tmp_path)
    bundle = {
        "spiffe_sequence": 12,
        "spiffe_refresh_hint": 300,
        "keys": [jwk("ec", "x509", use="x509-svid", x5c=["MIIB"]), jwk("rsa", sample.kid, use="jwt-svid")],
    }
    keys = parse_jwks(json.dumps(bundle).encode(), rules.providers[0].keys.uses)
    assert [key.kid for key in keys.keys] == [sample.kid]
    for kid, reason in (("x509", Reason.UNKNOWN_KEY), (sample.kid, Reason.KEY_UNFIT)):
        found = at_the_proxy(sample.token({"header": {"kid": kid}}), rules, keys, sample.places)
        assert isinstance(found, Rejected)
        assert found.reason is reason
    svid = sample.token({"header": {"alg": "RS256"}, "signer": "rsa"})
    assert isinstance(at_the_proxy(svid, rules, keys, sample.places), Verified)


def test_a_key_id_is_no_must_for_a_svid(tmp_path: Path) -> None:
    sample = Sample("spiffe-jwt")
    rules = sample.rules(tmp_path)
    keys = parse_jwks(
        json.dumps({"keys": [jwk("ec", sample.kid, use="jwt-svid")]}).encode(), rules.providers[0].keys.uses
    )
    assert isinstance(at_the_proxy(sample.token({"header": {"kid": "absent"}}), rules, keys, sample.places), Verified)


# --------------------------------------------------------------------------------------------------------------- rules


def unwritable() -> list[Any]:
    cases = [(name, row) for name in NAMES for row in Sample(name).case["refused_rules"]]
    return [pytest.param(name, row, id=f"{name}: {row['note']}") for name, row in cases]


@pytest.mark.parametrize(("name", "row"), unwritable())
def test_rules_narrow_a_preset_and_never_widen_it(name: str, row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises((InvalidRules, ValidationError)) as caught:
        Sample(name).provider(tmp_path, row["provider"])
    problems = caught.value.problems if isinstance(caught.value, InvalidRules) else caught.value.errors()
    assert row["problem"] in str(problems)


# -------------------------------------------------------------------------------------------------------- certificates

SPIFFE_ID = "spiffe://prod.example/ns/payments/sa/till"
ROOT = pki.spire_authority("prod.example")
TILL = pki.svid(SPIFFE_ID, ROOT)
BATCH = pki.issue("batch", ROOT, pki.dns("batch.corp.example"))
PAYROLL = pki.issue("payroll", ROOT)
STRANGER = pki.svid(SPIFFE_ID, pki.spire_authority("prod.example"))
MTLS = {"name": "mesh", "preset": "mtls", "ca": "file:ca.pem"}


@pytest.fixture
def mesh(tmp_path: Path) -> IdentityRules:
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    return identity(tmp_path, MTLS)


@pytest.mark.parametrize(
    ("holder", "caller"),
    [(TILL, SPIFFE_ID), (BATCH, "batch.corp.example"), (PAYROLL, "CN=payroll")],
    ids=["SPIFFE ID", "DNS name", "subject"],
)
def test_a_client_certificate_names_its_holder(mesh: IdentityRules, holder: pki.Holder, caller: str) -> None:
    found = Memory().certificates(holder.chain, mesh, NOW)
    assert isinstance(found, Verified), found
    principal = found.principal
    assert (principal.id, principal.kind, principal.workload.name) == (caller, "service", caller)
    assert (principal.provider, principal.expires_at) == ("mesh", NOW + 86400)
    assert found.thumbprint is None


@pytest.mark.parametrize(
    ("chain", "now", "reason"),
    [
        (STRANGER.chain, NOW, Reason.CERTIFICATE_UNTRUSTED),
        (TILL.chain, NOW + 86401, Reason.CERTIFICATE_EXPIRED),
        (TILL.chain, NOW - 86401, Reason.CERTIFICATE_NOT_YET_VALID),
        ([ROOT.der], NOW, Reason.CERTIFICATE_UNFIT),
        ([b"\0"], NOW, Reason.CERTIFICATE_MALFORMED),
        ([], NOW, Reason.CERTIFICATE_MALFORMED),
    ],
    ids=["another authority", "expired", "not yet valid", "the authority's own", "no certificate", "none"],
)
def test_a_client_certificate_that_proves_nothing(
    mesh: IdentityRules, chain: list[bytes], now: float, reason: Reason
) -> None:
    assert Memory().certificates(chain, mesh, now) == Rejected(reason)


def test_a_certificate_may_stand_for_an_environment_and_a_kind(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    domain = {"claims": {"/spiffe/trust_domain": "prod.example"}, "is": "prod"}
    rules = identity(tmp_path, {**MTLS, "environment": [domain], "kind": "agent"})
    found = Memory().certificates(TILL.chain, rules, NOW)
    assert isinstance(found, Verified)
    assert (found.principal.environments, found.principal.kind) == ({"prod"}, "agent")
    unnamed = Memory().certificates(BATCH.chain, rules, NOW)
    assert isinstance(unnamed, Verified)
    assert unnamed.principal.environments == frozenset()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ca": None}, "`ca` is missing"),
        ({"ca": "file:none.pem"}, "cannot be read"),
        ({"ca": "https://ca.example/ca.pem"}, "not a bundle of authorities"),
        ({"jwks": "https://ca.example/jwks"}, "`jwks` is fixed"),
        ({"audiences": ["x"]}, "`audiences` is fixed"),
        ({"issuer": "x"}, "`issuer` is fixed"),
        ({"algorithms": ["ES256"]}, "`algorithms` is fixed"),
    ],
)
def test_a_provider_of_certificates_has_authorities_and_nothing_of_tokens(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    written = {name: value for name, value in {**MTLS, **changes}.items() if value is not None}
    with pytest.raises(InvalidRules) as caught:
        identity(tmp_path, written)
    assert problem in str(caught.value.problems)


XFCC = {"name": "edge", "preset": "forwarded-client-cert"}


@pytest.fixture
def edge(tmp_path: Path) -> IdentityRules:
    return identity(tmp_path, XFCC, trusted_proxies=["10.0.0.0/8"])


def forwarded(value: str, rules: IdentityRules) -> Principal | Rejected:
    callers = Callers(lambda _: KeySet(()), lambda: Revocations({}), Replays(NOW), Memory())
    return callers.identify(Presented(forwarded=value.encode()), Made("GET", "/"), rules, NOW)


@pytest.mark.parametrize(
    ("value", "caller"),
    [
        (f'By=spiffe://prod.example/edge;Hash={"0a" * 32};Subject="";URI={SPIFFE_ID}', SPIFFE_ID),
        ('Subject="CN=batch";DNS=batch.corp.example', "batch.corp.example"),
        ('Subject="CN=payroll,O=Corp"', "CN=payroll,O=Corp"),
    ],
)
def test_a_trusted_peer_says_whose_certificate_it_saw(edge: IdentityRules, value: str, caller: str) -> None:
    found = forwarded(value, edge)
    assert isinstance(found, Principal), found
    assert (found.id, found.kind, found.provider) == (caller, "service", "edge")
    assert (found.workload.name, found.expires_at) == (caller, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (f"URI={SPIFFE_ID},URI=spiffe://prod.example/other", Reason.FORWARDED_SEVERAL),
        ("URI=spiffe://prod.example/../admin", Reason.CERTIFICATE_NAMES),
        (f"URI={SPIFFE_ID};URI=https://x.example", Reason.CERTIFICATE_NAMES),
        (f"URI={SPIFFE_ID};Hash=x", Reason.FORWARDED_MALFORMED),
        (f"URI={SPIFFE_ID};Evil=1", Reason.FORWARDED_MALFORMED),
        (f"Hash={'0a' * 32}", Reason.ID_MISSING),
    ],
)
def test_what_a_trusted_peer_says_has_one_meaning_or_none(edge: IdentityRules, value: str, reason: Reason) -> None:
    assert forwarded(value, edge) == Rejected(reason)


def test_a_trusted_peer_s_certificate_may_be_verified_here(tmp_path: Path) -> None:
    root = pki.authority("root")
    api, stranger = pki.svid(SPIFFE_ID, root), pki.svid(SPIFFE_ID, pki.authority("root"))
    (tmp_path / "ca.pem").write_bytes(root.pem)
    rules = identity(tmp_path, {**XFCC, "ca": "file:ca.pem"}, trusted_proxies=["10.0.0.0/8"])
    found = forwarded(f'Cert="{quote(api.pem.decode())}"', rules)
    assert isinstance(found, Principal), found
    assert (found.id, found.expires_at) == (SPIFFE_ID, api.certificate.not_valid_after_utc.timestamp())
    assert forwarded(f'Cert="{quote(stranger.pem.decode())}"', rules) == Rejected(Reason.CERTIFICATE_UNTRUSTED)
    assert forwarded(f"URI={SPIFFE_ID}", rules) == Rejected(Reason.FORWARDED_UNPROVEN)
    with pytest.raises(InvalidRules, match="cannot be read"):
        identity(tmp_path, {**XFCC, "ca": "file:none.pem"}, trusted_proxies=["10.0.0.0/8"])


def test_the_header_counts_from_nobody_where_no_peer_is_listed(tmp_path: Path) -> None:
    with pytest.raises(InvalidRules, match="trusted_proxies"):
        identity(tmp_path, XFCC)


def test_certificates_are_no_tokens(mesh: IdentityRules, edge: IdentityRules) -> None:
    """No token is read where certificates are, and no certificate provider takes one."""
    for rules, place in ((mesh, CERTIFICATE), (edge, FORWARDED_CERTIFICATE)):
        assert not rules.headers
        assert not rules.cookies
        for name in NAMES:
            sample = Sample(name)
            found = Memory().token(Shown(sample.token(), (place,)), rules, lambda _: KeySet(()), NOW)
            assert isinstance(found, Rejected)
