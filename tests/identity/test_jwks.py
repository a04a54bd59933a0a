"""Which published keys may verify what."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from headgate.identity.jwks import ALGORITHMS, Key, KeysError, KeySet, parse_jwks, parse_pem_key, safe_kid
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


def test_only_keys_of_the_uses_that_count_are_read(issuer: Any) -> None:
    keys = [
        issuer.jwk("ec", use="jwt-svid"),
        issuer.jwk("rsa", use="sig"),
        issuer.jwk("ed"),
        issuer.jwk("ec384", use="enc"),
    ]
    data = json.dumps({"keys": keys}).encode()
    for uses, expected in (
        ({"sig"}, ["rsa", "ed"]),
        ({"jwt-svid"}, ["ec"]),
        ({"jwt-svid", "sig"}, ["ec", "rsa", "ed"]),
    ):
        assert [key.kid for key in parse_jwks(data, frozenset(uses)).keys] == expected
    with pytest.raises(KeysError, match="no usable key"):
        parse_jwks(data, frozenset(("x509-svid",)))


@pytest.mark.parametrize("use", [None, "", "SIG", "sig ", "sign", ["sig"], {"sig": 1}, True, 0, "enc", "jwt-svid"])
def test_a_use_is_compared_exactly(issuer: Any, use: object) -> None:
    assert usable(issuer.jwk("ed"), issuer.jwk("ec", use=use)) == ["ed"]


def test_a_spiffe_bundle_brings_its_token_keys_and_not_its_certificates(issuer: Any) -> None:
    """SPIFFE Trust Domain and Bundle, section 4: authorities of X509-SVIDs have no key id, and their certificate."""
    authority = issuer.jwk("ec", use="x509-svid", x5c=["MIIB"])
    del authority["kid"]
    bundle = {
        "spiffe_sequence": 12,
        "spiffe_refresh_hint": 300,
        "keys": [
            authority,
            {**authority, "x": "AAAA"},
            issuer.jwk("ec384", use="jwt-svid"),
            issuer.jwk("rsa", use="jwt-svid"),
        ],
    }
    found = parse_jwks(json.dumps(bundle).encode(), frozenset(("jwt-svid", "sig")))
    assert [key.kid for key in found.keys] == ["ec384", "rsa"]
    with pytest.raises(KeysError, match="no usable key"):
        parse_jwks(json.dumps({**bundle, "keys": [authority]}).encode(), frozenset(("jwt-svid", "sig")))


def test_a_key_never_fits_an_algorithm_of_another_type(issuer: Any) -> None:
    """Confusion of RS with HS, ES with HS, and of one curve with another: no key set knows such a pair."""
    fitting = {
        "ec": {"ES256"}, "ec384": {"ES384"}, "ec521": {"ES512"}, "ed": {"EdDSA"},
        "rsa": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    }  # fmt: skip
    offered = {
        *ALGORITHMS,
        "HS256",
        "HS384",
        "HS512",
        "none",
        "None",
        "NONE",
        "",
        "es256",
        "ES256K",
        "RSA-OAEP",
        "A128KW",
    }
    for kid, algorithms in fitting.items():
        assert {name for name in offered if isinstance(issuer.keys.find(kid, name), Key)} == algorithms


@pytest.mark.parametrize(
    "members", [{"kty": "RSA"}, {"kty": "OKP"}, {"kty": "oct"}, {"crv": "P-521"}, {"crv": "Ed25519"}]
)
def test_a_key_that_claims_to_be_of_another_type_verifies_nothing(issuer: Any, members: dict[str, str]) -> None:
    with pytest.raises(KeysError):
        published(issuer.jwk("ec", **members))


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


# ------------------------------------------------------------------------------------------------------------------ PEM


def pem(public: Any) -> bytes:
    data: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def test_a_pem_verifies_with_the_algorithms_of_its_type_and_curve(issuer: Any) -> None:
    for name in ("ec", "ec384", "rsa"):
        (same,) = published(issuer.jwk(name)).keys
        assert parse_pem_key(name, pem(issuer.private[name].public_key())) == same


def test_a_pem_may_have_either_ending_of_lines_and_blanks_around_it(issuer: Any) -> None:
    data = pem(issuer.private["ec"].public_key())
    for same in (data.rstrip(), b"\n " + data + b"\r\n\n", data.replace(b"\n", b"\r\n")):
        assert parse_pem_key("ec", same).algorithms == {"ES256"}


def test_a_pem_of_a_key_of_another_kind_is_refused(issuer: Any) -> None:
    others = [
        issuer.private["ec521"].public_key(),
        issuer.private["ed"].public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ec.generate_private_key(ec.BrainpoolP256R1()).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 - refused
        dsa.generate_private_key(2048).public_key(),
    ]
    for public in others:
        with pytest.raises(KeysError, match="not a key of a kind that may sign"):
            parse_pem_key("a", pem(public))


def certificate(private: Any) -> bytes:
    name, now = x509.Name([x509.NameAttribute(x509.OID_COMMON_NAME, "a")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_anything_but_one_public_key_is_refused(issuer: Any) -> None:
    private, rsa_key = issuer.private["ec"], issuer.private["rsa"]
    data = pem(private.public_key())
    others = [
        b"",
        data + data,
        data + pem(rsa_key.public_key()),
        b"kid: a\n" + data,
        data + b"trailing",
        b"\xef\xbb\xbf" + data,
        data.decode().encode("utf-16"),
        data.replace(b"\n", b""),
        data.replace(b"PUBLIC KEY-----\n", b"PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n", 1),
        data.replace(b"PUBLIC", b"RSA PUBLIC"),
        private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        certificate(private),
        issuer.jwks("ec"),
        b"<html>" + data + b"</html>",
    ]
    for other in others:
        with pytest.raises(KeysError, match="not one public key in PEM") as caught:
            parse_pem_key("a", other)
        assert "MF" not in str(caught.value)


def test_a_pem_that_holds_no_key_is_refused(issuer: Any) -> None:
    data = pem(issuer.private["ec"].public_key())
    for broken in (
        data.replace(b"MF", b"MG", 1),
        data.replace(b"\n-----END", b"AAAA\n-----END"),
        data[:60] + data[64:],
    ):
        with pytest.raises(KeysError, match="does not hold a public key"):
            parse_pem_key("a", broken)


def test_a_pem_needs_a_safe_id(issuer: Any) -> None:
    for kid in ("", "../x", "a b", "x" * 201):
        with pytest.raises(KeysError, match="id"):
            parse_pem_key(kid, pem(issuer.private["ec"].public_key()))


@given(position=st.integers(0, 177), byte=st.binary(min_size=1, max_size=3))
def test_any_bytes_are_a_pem_key_or_one_error(issuer: Any, position: int, byte: bytes) -> None:
    data = pem(issuer.private["ec"].public_key())
    try:
        key = parse_pem_key("a", data[:position] + byte + data[position + len(byte) :])
    except KeysError:
        return
    assert key.algorithms == {"ES256"}
