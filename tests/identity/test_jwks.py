"""Which published keys may verify what."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from headgate.identity.jwks import KeysError, KeySet, parse_jwks, safe_kid
from headgate.identity.reasons import Reason


def published(*entries: object) -> KeySet:
    return parse_jwks(json.dumps({"keys": entries}).encode())


def usable(*entries: object) -> list[str | None]:
    return [key.kid for key in published(*entries).keys]


def test_a_key_verifies_with_the_algorithms_of_its_type_and_curve(issuer: Any) -> None:
    algorithms = {key.kid: key.algorithms for key in issuer.keys.keys}
    assert algorithms == {
        "ec": {"ES256"},
        "ec384": {"ES384"},
        "ec521": {"ES512"},
        "rsa": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        "ed": {"EdDSA"},
    }


def test_a_declared_algorithm_narrows_and_never_widens(issuer: Any) -> None:
    (key,) = published(issuer.jwk("rsa", alg="PS256")).keys
    assert key.algorithms == {"PS256"}
    for name, algorithm in (
        ("rsa", "ES256"),
        ("rsa", "HS256"),
        ("ec", "ES384"),
        ("ec", "none"),
        ("ec", 7),
        ("ec", ["ES256"]),
    ):
        assert usable(issuer.jwk("ed"), issuer.jwk(name, alg=algorithm)) == ["ed"]


def test_a_key_for_anything_but_verifying_is_skipped(issuer: Any) -> None:
    for members in ({"use": "enc"}, {"use": 7}, {"key_ops": ["sign"]}, {"key_ops": []}, {"key_ops": "verify"}):
        assert usable(issuer.jwk("ed"), issuer.jwk("ec", **members)) == ["ed"]
    assert usable(issuer.jwk("ec", use="sig", key_ops=["verify"])) == ["ec"]


def test_a_key_that_cannot_be_read_is_skipped(issuer: Any) -> None:
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)  # noqa: S505 - refused
    bitcoin = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True)
    goldilocks = OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True)
    unusable = [
        weak, bitcoin, goldilocks, {}, {"kty": "EC"}, {"kty": ["EC"]}, {"kty": "future"},
        issuer.jwk("ec", x=7), issuer.jwk("ec", x="AAAA"), issuer.jwk("ec", y="A" * 43), issuer.jwk("ec", crv="P-384"),
        issuer.jwk("ec", kid=7), issuer.jwk("ec", kid="../x"), issuer.jwk("rsa", n=""), issuer.jwk("rsa", e="AA"),
        issuer.jwk("ed", x="AA"), issuer.jwk("ed", crv="X25519"), "text", 7, None, [],
    ]  # fmt: skip
    assert usable(*unusable, issuer.jwk("ed")) == ["ed"]


def test_a_set_with_a_secret_key_is_refused_whole(issuer: Any) -> None:
    private_ec = ECAlgorithm.to_jwk(issuer.private["ec"], as_dict=True)
    private_rsa = RSAAlgorithm.to_jwk(issuer.private["rsa"], as_dict=True)
    for entry in ({"kty": "oct", "k": "c2VjcmV0"}, {"kty": "oct"}, {"d": "x"}, private_ec, private_rsa):
        with pytest.raises(KeysError, match="private or symmetric keys") as caught:
            published(issuer.jwk("ec"), entry)
        assert issuer.jwk("ec")["x"] not in str(caught.value)


def test_a_set_with_two_keys_of_one_name_is_refused(issuer: Any) -> None:
    with pytest.raises(KeysError, match="same `kid`"):
        published(issuer.jwk("ec"), issuer.jwk("stranger", kid="ec"))
    assert usable(issuer.jwk("ec"), issuer.jwk("rsa", kid="ec")) == ["ec", "ec"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b"\xff",
        b"<html>",
        b'{"keys": [{}]}',
    ],
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(KeysError):
        parse_jwks(data)


def test_a_key_with_a_member_given_twice_is_refused(issuer: Any) -> None:
    twice = json.dumps({"keys": [issuer.jwk("ec")]}).replace('"kty"', '"kid": "other", "kty"')
    with pytest.raises(KeysError):
        parse_jwks(twice.encode())


def test_more_than_a_hundred_keys_are_refused(issuer: Any) -> None:
    assert len(published(*(issuer.jwk("ec", kid=str(number)) for number in range(100))).keys) == 100
    with pytest.raises(KeysError, match="more than 100"):
        published(*(issuer.jwk("ec", kid=str(number)) for number in range(101)))


def test_a_key_is_found_by_its_name_and_its_fit(issuer: Any) -> None:
    keys = published(issuer.jwk("ec"), issuer.jwk("rsa", kid="ec"), issuer.jwk("ed", kid="ed"))
    for algorithm, kty in (("ES256", "EC"), ("PS256", "RSA")):
        found = keys.find("ec", algorithm)
        assert not isinstance(found, Reason)
        assert found.kty == kty
    assert keys.find("ec", "EdDSA") is Reason.KEY_UNFIT
    assert keys.find("other", "ES256") is Reason.UNKNOWN_KEY


def test_key_ids_in_use_are_safe_ones() -> None:
    for kid in ("ec", "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg", "a1b2+/c=", "urn:key:1", "2026-01-01"):
        assert safe_kid(kid)
    for kid in ("", "/etc/passwd", "../x", "a/../b", "a b", "a'b", "a\n", "a\0", "é", "x" * 201, 7, None, ["a"]):
        assert not safe_kid(kid)


@given(st.binary())
def test_any_bytes_are_a_key_set_or_one_error(data: bytes) -> None:
    with pytest.raises(KeysError):
        parse_jwks(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    changes=st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops"]),
        JSON | st.sampled_from(["EC", "RSA", "OKP", "P-256", "AQAB", "ES256", "A" * 43]),
    ),
    name=st.sampled_from(["ec", "rsa", "ed"]),
)
def test_any_key_is_usable_or_skipped(issuer: Any, changes: dict[str, Any], name: str) -> None:
    assert "stranger" in usable(issuer.jwk("stranger"), issuer.jwk(name, **{"kid": "other", **changes}))
