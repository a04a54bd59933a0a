"""Tokens minted with a local key: in the shape of their provider, accepted by its checks, and never the private key.

What the checks themselves accept is tested on tokens that are put together independently: test_presets.py.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.identity import pki
from tests.identity.conftest import NOW, identity
from tests.identity.samples import NAMES, Sample, public_pem

from headgate.errors import HeadgateError
from headgate.identity.credentials import Shown
from headgate.identity.jwks import parse_jwks
from headgate.identity.localkeys import LocalKey, new_pem
from headgate.identity.memory import Memory, Verified
from headgate.identity.minting import Minted, Wishes, mint, put
from headgate.identity.presets import PRESETS
from headgate.identity.provider import Provider
from headgate.identity.reasons import Reason
from headgate.identity.shapes import SHAPES
from headgate.model import Kind

MINTED = [name for name in NAMES if name != "development"]
ALGORITHMS = {"ec": "ES256", "ec384": "ES384", "rsa": "RS256"}
PEMS = {algorithm: new_pem(algorithm) for algorithm in ("ES256", "ES384", "ES512", "RS256", "EdDSA")}


def local(algorithm: str = "ES256", kid: str | None = None) -> LocalKey:
    return LocalKey.from_pem(PEMS[algorithm], kid)


def usual(name: str) -> LocalKey:
    return local(ALGORITHMS[Sample(name).case["key"]])


def minted(provider: Provider, key: LocalKey, /, **wishes: Any) -> Minted:
    return mint(provider, key, Wishes(**wishes), now=NOW + 0.25, token_id="t-1")


def segment(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


# --------------------------------------------------------------------------------------------------------- each preset


@pytest.mark.parametrize("name", MINTED)
def test_a_minted_token_is_believed_in_its_place(name: str, tmp_path: Path) -> None:
    rules = Sample(name).rules(tmp_path)
    key = usual(name)
    found = minted(rules.providers[0], key)
    assert found.refused is None
    shown = Shown(found.token, rules.providers[0].shape.places)
    assert isinstance(Memory().token(shown, rules, lambda _: key.keys, NOW), Verified)


@pytest.mark.parametrize("name", MINTED)
def test_a_minted_token_has_the_members_that_the_provider_s_own_have(name: str, tmp_path: Path) -> None:
    """But for those that a provider adds at times, and that nothing here reads."""
    sample = Sample(name)
    found = minted(sample.provider(tmp_path), usual(name))
    assert sample.case["header"].keys() - {"x5t", "kid"} <= found.header.keys() | {"typ"}
    read = {path.removeprefix("/").split("/")[0] for path in sample.case["reads"]} - {"sid", "scope", "roles"}
    assert read <= found.claims.keys()
    assert {"iss", "aud", "exp", "iat", "nbf"} & sample.case["claims"].keys() <= found.claims.keys()
    header, claims, _ = found.token.split(".")
    assert (segment(header), segment(claims)) == (found.header, found.claims)
    assert ("=" in found.token) == (name == "aws-alb") or len(header + claims) % 4 == 0


def test_every_preset_of_tokens_has_a_shape() -> None:
    assert set(SHAPES) == set(PRESETS) - {"development", "mtls", "forwarded-client-cert"}


@pytest.mark.parametrize("name", MINTED)
def test_it_lives_an_hour_or_as_long_as_it_may(name: str, tmp_path: Path) -> None:
    provider = Sample(name).provider(tmp_path)
    found = minted(provider, usual(name))
    expiry = (found.header if "exp" in provider.shape.in_header else found.claims)["exp"]
    assert expiry == NOW + (120 if name == "aws-verified-access" else 3600)


def test_issuer_audience_and_signer_are_those_of_the_rules(tmp_path: Path) -> None:
    alb = Sample("aws-alb")
    found = minted(alb.provider(tmp_path), local())
    header = alb.case["header"]
    assert {name: found.header[name] for name in ("iss", "client", "signer")} == {
        name: header[name] for name in ("iss", "client", "signer")
    }
    pomerium = minted(Sample("pomerium").provider(tmp_path), local())
    assert (pomerium.claims["iss"], pomerium.claims["aud"]) == ("shop.corp.example", "shop.corp.example")


def test_claims_that_the_rules_require_are_there(tmp_path: Path) -> None:
    required = {"repository": ["corp/shop", "corp/till"], "ref": "refs/tags/v1", "/nested/deep": 7, "flag": True}
    provider = Sample("github-actions").provider(tmp_path, {"require": required})
    found = minted(provider, local("RS256"))
    assert found.refused is None
    claims = found.claims
    assert (claims["repository"], claims["repository_owner"], claims["ref"]) == ("corp/shop", "corp", "refs/tags/v1")
    assert (claims["sub"], claims["nested"], claims["flag"]) == (
        "repo:corp/shop:ref:refs/tags/v1",
        {"deep": 7},
        True,
    )


@pytest.mark.parametrize(
    ("name", "wished", "subject"),
    [
        ("oidc", "ana", "ana"),
        ("kubernetes", "till", "system:serviceaccount:default:till"),
        ("kubernetes", "payments/till", "system:serviceaccount:payments:till"),
        ("kubernetes", "system:serviceaccount:payments:till", "system:serviceaccount:payments:till"),
        ("spiffe-jwt", "/ns/payments", "spiffe://prod.example/ns/payments"),
        ("spiffe-jwt", "till", "spiffe://prod.example/till"),
        ("spiffe-jwt", "spiffe://prod.example/x", "spiffe://prod.example/x"),
        ("github-actions", "repo:o/r:pull_request", "repo:o/r:pull_request"),
        ("teleport", "ana", "ana"),
    ],
)
def test_who_calls_is_who_was_asked_for(name: str, wished: str, subject: str, tmp_path: Path) -> None:
    rules = Sample(name).rules(tmp_path)
    key = usual(name)
    found = minted(rules.providers[0], key, id=wished)
    assert found.claims["sub"] == subject
    verified = Memory().token(Shown(found.token, rules.providers[0].shape.places), rules, lambda _: key.keys, NOW)
    assert isinstance(verified, Verified)
    assert verified.principal.id == subject


def test_claims_are_put_where_the_rules_read_them(tmp_path: Path) -> None:
    where = {"id": "/who/name", "groups": "/realm/roles", "environment": "env", "session.scopes": "scp"}
    rules = Sample("oidc").rules(tmp_path, {"claims": where})
    wished = {"groups": ["a", "b"], "environment": ["dev"], "session.scopes": "read write", "email": "b@c.example"}
    found = minted(rules.providers[0], local(), id="ana", attributes=wished)
    verified = Memory().token(Shown(found.token, ("authorization",)), rules, lambda _: local().keys, NOW)
    assert isinstance(verified, Verified)
    caller = verified.principal
    assert (caller.id, caller.groups, caller.environments) == ("ana", {"a", "b"}, {"dev"})
    assert (caller.session.scopes, caller.email) == ({"read", "write"}, "b@c.example")


def test_what_a_provider_does_not_read_cannot_be_wished_for(tmp_path: Path) -> None:
    provider = Sample("google-iap").provider(tmp_path)
    with pytest.raises(HeadgateError, match=r"`google-iap` reads no `groups` from its tokens; it reads: id, email"):
        minted(provider, local(), attributes={"groups": ["a"]})


def test_a_kind_is_what_the_rules_make_of_the_claims(tmp_path: Path) -> None:
    table = [{"claims": {"azp": ["batch", "cron"], "/a/b": 1}, "is": "service"}, {"is": "human"}]
    provider = Sample("oidc").provider(tmp_path, {"kind": table})
    assert minted(provider, local(), kind=Kind.HUMAN).claims.get("azp") is None
    service = minted(provider, local(), kind=Kind.SERVICE)
    assert (service.claims["azp"], service.claims["a"], service.refused) == ("batch", {"b": 1}, None)
    with pytest.raises(HeadgateError, match="no token of provider `oidc` makes a caller of kind `ci`"):
        minted(provider, local(), kind=Kind.CI)


def test_an_agent_acts_for_its_owner(tmp_path: Path) -> None:
    rules = Sample("oidc").rules(tmp_path)
    found = minted(rules.providers[0], local(), id="bot", owner="ana", kind=Kind.AGENT)
    verified = Memory().token(Shown(found.token, ("authorization",)), rules, lambda _: local().keys, NOW)
    assert isinstance(verified, Verified)
    assert (verified.principal.id, verified.principal.owner, verified.principal.kind) == ("bot", "ana", Kind.AGENT)


def test_cloudflare_has_tokens_for_people_and_for_services(tmp_path: Path) -> None:
    provider = Sample("cloudflare-access").provider(tmp_path)
    person, service = (minted(provider, local("RS256"), kind=kind) for kind in (Kind.HUMAN, Kind.SERVICE))
    assert (person.refused, service.refused) == (None, None)
    assert person.claims["email"] == "dev@example.com"
    assert (service.claims["sub"], service.claims["common_name"][-7:], "email" in service.claims) == (
        "",
        ".access",
        False,
    )


def test_any_claim_can_be_replaced_and_what_that_does_is_said(tmp_path: Path) -> None:
    alb, pods = Sample("aws-alb").provider(tmp_path), Sample("kubernetes").provider(tmp_path)
    assert minted(alb, local(), claims={"exp": NOW - 60}).refused is Reason.EXPIRED
    assert minted(alb, local(), claims={"signer": "x"}).header["signer"] == "x"
    assert minted(pods, local(), claims={"iss": "https://evil.example"}).refused is Reason.ISSUER_MISMATCH
    found = minted(pods, local(), claims={"/kubernetes.io/pod/uid": "p", "/a~1b/c": [1]})
    assert (found.claims["kubernetes.io"]["pod"]["uid"], found.claims["a/b"]) == ("p", {"c": [1]})
    assert found.claims["kubernetes.io"]["namespace"] == "default"


def test_one_audience_is_asked_for_and_other_forms_are_claims(tmp_path: Path) -> None:
    provider = Sample("oidc").provider(tmp_path, {"audiences": ["web", "payments"]})
    assert minted(provider, local()).claims["aud"] == "payments"
    assert minted(provider, local(), audiences=("web",)).claims["aud"] == "web"
    assert minted(provider, local(), audiences=("other",)).refused is Reason.AUDIENCE_MISMATCH
    assert minted(provider, local(), claims={"aud": ["web", "x"]}).refused is None
    with pytest.raises(HeadgateError, match="more than one audience"):
        minted(provider, local(), audiences=("web", "payments"))


def test_a_lifetime_is_no_longer_than_the_provider_allows(tmp_path: Path) -> None:
    provider = Sample("aws-verified-access").provider(tmp_path)
    assert minted(provider, local("ES384"), lifetime=60.0).header["exp"] == NOW + 60
    with pytest.raises(HeadgateError, match="may live 120 s"):
        minted(provider, local("ES384"), lifetime=121.0)


# ----------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("algorithm", list(PEMS))
@pytest.mark.parametrize("name", MINTED)
def test_a_key_signs_with_what_the_provider_accepts_or_not_at_all(name: str, algorithm: str, tmp_path: Path) -> None:
    sample = Sample(name)
    provider, key = sample.provider(tmp_path), local(algorithm)
    fitting = [declared for declared in sample.case["algorithms"] if declared in key.public.algorithms]
    if fitting:
        found = minted(provider, key)
        assert (found.header["alg"], found.refused) == (fitting[0], None)
    else:
        with pytest.raises(HeadgateError, match=f"none of the algorithms of provider `{name}`"):
            minted(provider, key)


def test_an_algorithm_that_the_rules_leave_out_is_not_signed_with(tmp_path: Path) -> None:
    provider = Sample("spiffe-jwt").provider(tmp_path, {"algorithms": ["PS256"]})
    assert minted(provider, local("RS256")).header["alg"] == "PS256"


@pytest.mark.parametrize("algorithm", list(PEMS))
def test_the_public_half_is_what_a_provider_would_publish(algorithm: str) -> None:
    key = local(algorithm)
    published = json.dumps({"keys": [dict(key.jwk)]})
    (read,) = parse_jwks(published.encode()).keys
    assert (read.kid, read.algorithms, key.jwk["use"]) == (key.kid, key.public.algorithms, "sig")
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.jwk.keys()
    private = load_pem_private_key(PEMS[algorithm], None)
    assert read.public == private.public_key()  # type: ignore[union-attr]  # none of these is Diffie-Hellman


def test_a_key_id_is_one_that_every_key_endpoint_takes(tmp_path: Path) -> None:
    provider = Sample("aws-alb").provider(tmp_path)
    assert provider.keys.accepts(local().kid)
    assert local().kid == LocalKey.from_pem(PEMS["ES256"]).kid
    assert local().kid != LocalKey.from_pem(new_pem("ES256")).kid
    assert local(kid="mine").jwk["kid"] == "mine"
    with pytest.raises(HeadgateError, match="no key id"):
        local(kid="../mine")


def as_pem(key: Any, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return written


UNUSABLE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"correct horse battery staple",
    "a certificate": lambda: pki.authority("root").pem,
    "a public key": lambda: public_pem("ec", "provider"),
    "under a password": lambda: as_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"),
    "another curve": lambda: as_pem(ec.generate_private_key(ec.SECP256K1())),
    "a curve without a name": lambda: as_pem(ec.generate_private_key(ec.BrainpoolP256R1())),
    "a weak RSA key": lambda: as_pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - it must be weak
    "a DSA key": lambda: as_pem(dsa.generate_private_key(1024)),  # noqa: S505 - quick to make, and no better if strong
    "an Ed448 key": lambda: as_pem(ed448.Ed448PrivateKey.generate()),
    "a key to agree on keys": lambda: as_pem(x25519.X25519PrivateKey.generate()),
}


@pytest.mark.parametrize("what", list(UNUSABLE))
def test_what_is_no_key_to_sign_with_is_refused_and_not_quoted(what: str) -> None:
    pem = UNUSABLE[what]()
    with pytest.raises(HeadgateError, match="accepted: a private key in PEM") as caught:
        LocalKey.from_pem(pem)
    assert not any(line in str(caught.value) for line in pem.decode().splitlines() if line)


def test_no_private_key_is_in_what_is_printed(tmp_path: Path) -> None:
    key = local()
    found = minted(Sample("oidc").provider(tmp_path), key)
    secret = format(key.private.private_numbers().private_value, "x")  # type: ignore[union-attr]  # it is an EC key
    for text in (repr(key), str(key), repr(found)):
        assert secret not in text
        assert "PRIVATE" not in text
        assert found.token not in text


# --------------------------------------------------------------------------------------- providers that take no tokens


def test_who_takes_certificates_is_given_none_and_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pki.authority("root").pem)
    mesh = identity(tmp_path, {"name": "mesh", "preset": "mtls", "ca": "file:ca.pem"}).providers[0]
    with pytest.raises(HeadgateError, match=r"`mesh` takes client certificates, not tokens; .*`openssl req -x509 "):
        minted(mesh, local())
    edge = {"name": "edge", "preset": "forwarded-client-cert"}
    with pytest.raises(HeadgateError, match=r"`edge` takes what a peer .*`X-Forwarded-Client-Cert: URI=spiffe://"):
        minted(identity(tmp_path, edge, trusted_proxies=["10.0.0.1"]).providers[0], local())
    dev = {"name": "dev", "preset": "development", "audiences": ["x"]}
    with pytest.raises(HeadgateError, match="`dev` believes the key in the state folder only"):
        minted(identity(tmp_path, dev).providers[0], local())


def test_a_value_is_put_at_any_depth() -> None:
    claims: dict[str, Any] = {"a": {"b": 1}, "c": "text"}
    put(claims, ("a", "d", "e"), 2)
    put(claims, ("c", "f"), 3)
    put(claims, ("g",), 4)
    assert claims == {"a": {"b": 1, "d": {"e": 2}}, "c": {"f": 3}, "g": 4}
