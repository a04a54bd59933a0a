"""Attacks on tokens, one family after the other: each broke some verifier once, none may ever be believed here.

The table (tests/cases/attacks.yaml) has the strange tokens that one row can describe; here are those that have to be
computed. That what is attacked is good while nobody meddles with it is asserted too, or a refusal would prove little.
"""

import base64
import gzip
import hashlib
import hmac
import itertools
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.conftest import ALGORITHMS, NOW, base64url, cases, judge, verify
from tests.identity.test_tokens import shown, token_of

from headgate.errors import InvalidRules
from headgate.identity.credentials import Shown
from headgate.identity.jwks import KeySet, parse_jwks
from headgate.identity.memory import Memory, Verified
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.tokens import Case, read
from headgate.model import Principal

CURVES = {"ec": ec.SECP256R1(), "ec384": ec.SECP384R1(), "ec521": ec.SECP521R1()}
NAMES = {"ec": "ES256", "ec384": "ES384", "ec521": "ES512", "rsa": "RS256", "ed": "EdDSA"}


def refused(text: str, provider: Provider, keys: KeySet | Rejected) -> Reason:
    result = verify(text, provider, keys, NOW)
    assert isinstance(result, Rejected), result
    return result.reason


@pytest.mark.parametrize("case", cases("attacks"))
def test_the_table(case: dict[str, Any], issuer: Any, tmp_path: Path) -> None:
    rules: IdentityRules = issuer.rules(tmp_path, **case.get("provider", {}))
    text, provider = token_of(case, issuer), rules.providers[0]
    result = judge(text, provider, issuer.keys, NOW)
    found = Memory().token(Shown(text, (BEARER,)), rules, lambda _: issuer.keys, NOW)
    if "reason" in case:
        assert result == Rejected(Reason(case["reason"]))
        assert isinstance(found, Rejected)
        assert found.reason == case.get("by_rules", case["reason"])
    else:
        assert isinstance(result, Case), result
        assert {name: shown(result, name) for name in case["expect"]} == case["expect"]
        assert isinstance(found, Verified)


# --------------------------------------------------------------------------------------------------------- no algorithm

CASES_OF_NONE = ["".join(letters) for letters in itertools.product(*((letter, letter.upper()) for letter in "none"))]
LIKE_NONE = [
    " none",
    "none ",
    "none\0",
    "n\u043ene",
    "\uff4e\uff4f\uff4e\uff45",
    "none\u200b",
    "",
    "null",
    "NoneType",
    "plain",
    "ES256,none",
]


@pytest.mark.parametrize("algorithm", [*CASES_OF_NONE, *LIKE_NONE, None, 0, False, [], {}, ["none"], {"none": True}])
def test_no_spelling_of_none_is_an_algorithm(issuer: Any, provider: Provider, algorithm: object) -> None:
    signed, _, good = issuer.sign({"alg": algorithm, "kid": "ec"}, issuer.claims()).rpartition(".")
    assert refused(f"{signed}.{good}", provider, issuer.keys) is Reason.ALGORITHM_REFUSED
    assert refused(f"{signed}.AAAA", provider, issuer.keys) is Reason.ALGORITHM_REFUSED
    assert refused(f"{signed}.", provider, issuer.keys) is Reason.TOKEN_ENCODING
    assert refused(signed, provider, issuer.keys) is Reason.TOKEN_SEGMENTS


# -------------------------------------------------------------------------------------- a public key taken for a secret


def spellings(issuer: Any, name: str) -> Iterator[bytes]:
    """A public key in every form in which somebody may have it, and so may use it as the secret of an HMAC."""
    public, jwk = issuer.private[name].public_key(), issuer.jwk(name)
    forms = [(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
    if name == "rsa":
        forms += [(Encoding.PEM, PublicFormat.PKCS1), (Encoding.DER, PublicFormat.PKCS1)]
    elif name == "ed":
        forms += [(Encoding.Raw, PublicFormat.Raw)]
    else:
        forms += [(Encoding.X962, PublicFormat.UncompressedPoint), (Encoding.X962, PublicFormat.CompressedPoint)]
    for encoding, layout in forms:
        written = public.public_bytes(encoding, layout)
        yield written
        if encoding is Encoding.PEM:
            yield from _pem_mutants(written)
        else:
            yield base64.b64encode(written)
    for indent, separators in ((None, None), (None, (",", ":")), (2, None), (4, None)):
        for members in (jwk, {key: value for key, value in jwk.items() if key != "kid"}, {"keys": [jwk]}):
            text = json.dumps(members, indent=indent, separators=separators)
            yield from (text.encode(), json.dumps(members, sort_keys=True, separators=separators).encode())
    for member in ("x", "y", "n", "e"):
        if member in jwk:
            yield from (jwk[member].encode(), base64.urlsafe_b64decode(jwk[member] + "==="))
    yield from (b"", b"\0", b"None", b"null", b"secret", name.encode())


def _pem_mutants(pem: bytes) -> Iterator[bytes]:
    body = b"".join(pem.strip().splitlines()[1:-1])
    head, foot = pem.strip().splitlines()[0], pem.strip().splitlines()[-1]
    yield from (pem.strip(), b"\n" + pem, b" " + pem, pem + b"\n", pem + b"\0", pem.replace(b"\n", b"\r\n"))
    yield from (
        pem.replace(b"\n", b"\r"),
        pem.replace(b"\n", b""),
        pem.replace(b"\n", b"\n\n"),
        pem.replace(b" ", b"  "),
    )
    yield from (pem.replace(b"\n", b"\t\n"), pem.replace(b"\n", b"\\n"), pem.lower(), b"\xef\xbb\xbf" + pem)
    yield from (body, base64.b64decode(body), head + b"\n" + body + b"\n" + foot, base64.b64encode(pem))
    yield pem.decode().encode("utf-16")


HMACS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


@pytest.mark.parametrize("name", NAMES)
def test_no_spelling_of_a_public_key_is_a_secret(issuer: Any, provider: Provider, name: str) -> None:
    """Said to be an HMAC, or said to be what the key is for (2017-11424, 2022-29217, 2026-48526, 2026-102268)."""
    secrets = list(dict.fromkeys(spellings(issuer, name)))
    assert len(secrets) > 25
    for algorithm, digest in HMACS.items():
        for said in (algorithm, algorithm.lower(), NAMES[name]):
            header = {"alg": said, "kid": name, "typ": "JWT"}
            signed = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(issuer.claims()).encode())}"
            expected = Reason.SIGNATURE_INVALID if said == NAMES[name] else Reason.ALGORITHM_REFUSED
            for secret in secrets:
                forged = f"{signed}.{base64url(hmac.digest(secret, signed.encode(), digest))}"
                assert refused(forged, provider, issuer.keys) is expected


@pytest.mark.parametrize("algorithm", [*HMACS, "none"])
def test_not_even_a_provider_that_names_it_has_a_key_for_it(
    issuer: Any, provider: Provider, tmp_path: Path, algorithm: str
) -> None:
    """The rules cannot name it; were it there all the same, no public key could verify it."""
    with pytest.raises((InvalidRules, ValueError)):
        issuer.rules(tmp_path, algorithms=[algorithm])
    widened = replace(provider, algorithms=frozenset({algorithm, "ES256"}))
    assert refused(issuer.token({"alg": algorithm}), widened, issuer.keys) is Reason.KEY_UNFIT


# --------------------------------------------------------------------------------------------- keys that a token brings


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
@pytest.mark.parametrize("kid", ["ec", "stranger", None])
def test_a_stranger_cannot_bring_a_key(issuer: Any, provider: Provider, member: str, kid: str | None) -> None:
    values = {
        "jwk": issuer.jwk("stranger"),
        "jku": "http://127.0.0.1:9/jwks.json",
        "x5u": "data:application/pkix-cert;base64,AAAA",
        "x5c": [base64.b64encode(b"certificate").decode()],
    }
    header = {"alg": "ES256", member: values[member], **({"kid": kid} if kid else {})}
    assert refused(issuer.sign(header, issuer.claims(), "stranger"), provider, issuer.keys) is Reason.HEADER_REFUSED
    assert refused(issuer.sign(header, issuer.claims(), "ec"), provider, issuer.keys) is Reason.HEADER_REFUSED


# ------------------------------------------------------------------------------------------------------------ encodings


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-8-sig", "latin-1", "cp037"]
)
@pytest.mark.parametrize("part", ["header", "claims"])
def test_another_encoding_is_refused_in_either_part(issuer: Any, provider: Provider, encoding: str, part: str) -> None:
    parts = {"header": {"alg": "ES256", "kid": "ec", "x": "\xe9"}, "claims": issuer.claims(name="\xe9")}
    plain = {name: json.dumps(value, ensure_ascii=False).encode() for name, value in parts.items()}
    assert isinstance(verify(issuer.sign(plain["header"], plain["claims"]), provider, issuer.keys, NOW), Principal)
    plain[part] = json.dumps(parts[part], ensure_ascii=False).encode(encoding)
    result = verify(issuer.sign(plain["header"], plain["claims"]), provider, issuer.keys, NOW)
    assert result == Rejected(Reason.TOKEN_JSON)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b'{"a": "\xc0\xaf"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xf5\x80\x80\x80"}',
        b'{"a": "\n"}',
        b"{}\0",
        b"\0{}",
    ],
)
def test_bytes_that_are_no_text_are_no_claims(issuer: Any, provider: Provider, data: bytes) -> None:
    """Overlong forms, halves of surrogates, bytes beyond Unicode, controls and NULs."""
    assert refused(issuer.sign({"alg": "ES256", "kid": "ec"}, data), provider, issuer.keys) is Reason.TOKEN_JSON
    assert refused(issuer.sign(data, issuer.claims()), provider, issuer.keys) is Reason.TOKEN_JSON


@pytest.mark.parametrize("press", [zlib.compress, gzip.compress, lambda data: zlib.compress(data, wbits=-15)])
def test_a_compressed_token_is_not_unpacked(issuer: Any, provider: Provider, press: Callable[[bytes], bytes]) -> None:
    packed = press(json.dumps(issuer.claims()).encode())
    assert refused(issuer.sign({"alg": "ES256", "kid": "ec"}, packed), provider, issuer.keys) is Reason.TOKEN_JSON
    said = issuer.sign({"alg": "ES256", "kid": "ec", "zip": "DEF"}, packed)
    assert refused(said, provider, issuer.keys) in (Reason.TOKEN_JSON, Reason.HEADER_REFUSED)


def test_a_token_within_a_token_is_not_taken_out(issuer: Any, provider: Provider) -> None:
    inner = issuer.token()
    for payload in (inner.encode(), json.dumps(inner).encode(), json.dumps({"jwt": inner}).encode()):
        for more in ({}, {"cty": "JWT"}):
            outer = issuer.sign({"alg": "ES256", "kid": "ec", **more}, payload)
            assert isinstance(verify(outer, provider, issuer.keys, NOW), Rejected)
    sealed = f"{base64url(json.dumps({'alg': 'ECDH-ES', 'enc': 'A128GCM', 'cty': 'JWT'}).encode())}..AAAA.AAAA.AAAA"
    assert refused(sealed, provider, issuer.keys) is Reason.TOKEN_SEGMENTS


def test_segments_have_one_spelling(issuer: Any, provider: Provider) -> None:
    """Padding, the other alphabet, blanks, escapes, and letters that decode to the same bytes."""
    token = issuer.token(sub="ana???>>>")
    assert isinstance(verify(token, provider, issuer.keys, NOW), Principal)
    segments = token.split(".")
    for at, segment in enumerate(segments):
        others = [
            segment + "=",
            segment + "==",
            segment + "%3D",
            segment[:4] + "\n" + segment[4:],
            segment + "\t",
            " " + segment,
        ]
        others += [segment.translate(str.maketrans("-_", "+/")), segment.replace("e", "%65"), segment.swapcase()]
        others += [segment[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter != segment[-1]]
        for other in set(others) - {segment}:
            changed = ".".join([*segments[:at], other, *segments[at + 1 :]])
            assert isinstance(verify(changed, provider, issuer.keys, NOW), Rejected), (at, other[-8:])


# ----------------------------------------------------------------------------------------------------------- signatures


def with_signature(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{base64url(signature)}"


def signature_of(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")


ORDERS = {
    "ec": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ec384": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
    "ec521": int("1" + "F" * 65 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}


@pytest.mark.parametrize("name", CURVES)
def test_no_numbers_outside_their_range_are_a_signature(issuer: Any, provider: Provider, name: str) -> None:
    """Zero (2022-21449), the order of the curve, and beyond; and what two of them would make of a good signature."""
    token, order = issuer.token({"alg": NAMES[name]}, name), ORDERS[name]
    size = (CURVES[name].key_size + 7) // 8
    raw = signature_of(token)
    r, s = int.from_bytes(raw[:size]), int.from_bytes(raw[size:])
    assert isinstance(verify(token, provider, issuer.keys, NOW), Principal)
    odd = [0, 1, order - 1, order, order + 1, 2 ** (8 * size) - 1]
    pairs = [*itertools.product(odd, odd), (r, 0), (0, s), (s, r), (r, order), (order, s), (order - r, s)]
    pairs += [(r + order, s), (r, s + order)]
    for first, second in pairs:
        if max(first, second) >> (8 * size):
            continue
        forged = with_signature(token, first.to_bytes(size) + second.to_bytes(size))
        assert refused(forged, provider, issuer.keys) is Reason.SIGNATURE_INVALID, (first, second)


@pytest.mark.parametrize("name", CURVES)
def test_a_signature_is_as_long_as_its_curve_says(issuer: Any, provider: Provider, name: str) -> None:
    """DER, truncated, longer, and with numbers shortened by their zeros (RFC 7518, section 3.4)."""
    token = issuer.token({"alg": NAMES[name]}, name)
    raw = signature_of(token)
    size = len(raw) // 2
    der = encode_dss_signature(int.from_bytes(raw[:size]), int.from_bytes(raw[size:]))
    others = [
        der,
        der + b"\0",
        raw[:-1],
        raw[1:],
        raw[:size],
        raw + b"\0",
        b"\0" + raw,
        raw * 2,
        b"\0",
        b"\0" * len(raw),
    ]
    others += [b"\0" + raw[:size] + b"\0" + raw[size:], raw[:size].lstrip(b"\0") + raw[size:] + b"\0", raw[::-1]]
    for other in others:
        if other != raw:
            assert refused(with_signature(token, other), provider, issuer.keys) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("name", CURVES)
def test_a_high_s_is_a_signature_like_its_other_form(issuer: Any, provider: Provider, name: str) -> None:
    """JOSE asks for no low s; what must not count twice is never told apart by its signature (see test_dpop.py)."""
    token = issuer.token({"alg": NAMES[name]}, name)
    raw = signature_of(token)
    size = len(raw) // 2
    s = int.from_bytes(raw[size:])
    other = with_signature(token, raw[:size] + (ORDERS[name] - s).to_bytes(size))
    assert other != token
    found = verify(other, provider, issuer.keys, NOW)
    assert found == verify(token, provider, issuer.keys, NOW)
    assert isinstance(found, Principal)


@pytest.mark.parametrize("signing", CURVES)
@pytest.mark.parametrize("said", CURVES)
def test_a_signature_on_another_curve_is_none(issuer: Any, provider: Provider, signing: str, said: str) -> None:
    if signing == said:
        return
    signed = issuer.token({"alg": NAMES[said], "kid": said}, said).rpartition(".")[0]
    raw = ALGORITHMS[NAMES[signing]].sign(signed.encode(), issuer.private[signing])
    assert refused(f"{signed}.{base64url(raw)}", provider, issuer.keys) is Reason.SIGNATURE_INVALID
    for algorithm in ("ES256K", "ES256", "ES384", "ES512"):
        header = {"alg": algorithm, "kid": signing}
        if algorithm != NAMES[signing]:
            forged = issuer.sign(header, issuer.claims(), signing)
            assert refused(forged, provider, issuer.keys) in (Reason.KEY_UNFIT, Reason.ALGORITHM_REFUSED)


def test_a_key_on_a_curve_of_equal_length_is_not_mixed_up(issuer: Any, provider: Provider) -> None:
    """secp256k1 has the same key length as P-256; a set that calls its key P-256 has no such key."""
    stranger = ec.generate_private_key(ec.SECP256K1())
    signed = issuer.token().rpartition(".")[0]
    r, s = decode_dss_signature(stranger.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    forged = f"{signed}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"
    assert refused(forged, provider, issuer.keys) is Reason.SIGNATURE_INVALID
    point = stranger.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "kid": "k1",
        "x": base64url(point.x.to_bytes(32)),
        "y": base64url(point.y.to_bytes(32)),
    }
    keys = parse_jwks(json.dumps({"keys": [jwk, issuer.jwk("ec")]}).encode())
    assert [key.kid for key in keys.keys] == ["ec"]


def test_an_edwards_signature_has_one_form(issuer: Any, provider: Provider) -> None:
    """S must be below the order (RFC 8032, section 5.1.7), or every signature would have several."""
    token = issuer.token({"alg": "EdDSA"}, "ed")
    raw = signature_of(token)
    assert isinstance(verify(token, provider, issuer.keys, NOW), Principal)
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(raw[32:], "little")
    for other in (scalar + order, scalar + 2 * order, 0, order - scalar):
        forged = with_signature(token, raw[:32] + other.to_bytes(32, "little"))
        assert refused(forged, provider, issuer.keys) is Reason.SIGNATURE_INVALID
    neutral = b"\x01" + b"\0" * 31
    for forged_raw in (neutral + b"\0" * 32, b"\0" * 64, raw[:32] + b"\0" * 32, raw[:63], raw + b"\0"):
        assert refused(with_signature(token, forged_raw), provider, issuer.keys) is Reason.SIGNATURE_INVALID


def test_an_rsa_signature_has_one_form_and_one_digest(issuer: Any, provider: Provider) -> None:
    """Beyond the modulus, with zeros before it, empty; by another scheme, digest or length of salt."""
    token = issuer.token({"alg": "RS256"}, "rsa")
    raw, private = signature_of(token), issuer.private["rsa"]
    number, modulus = int.from_bytes(raw), private.public_key().public_numbers().n
    assert isinstance(verify(token, provider, issuer.keys, NOW), Principal)
    size = len(raw)
    others = [
        raw[:-1],
        b"\0" + raw,
        raw + b"\0",
        b"\0" * size,
        b"\0" * (size - 1) + b"\1",
        (modulus - 1).to_bytes(size),
    ]
    others += [(number + modulus).to_bytes(size + 1), (modulus - number).to_bytes(size), modulus.to_bytes(size)]
    for other in others:
        assert refused(with_signature(token, other), provider, issuer.keys) is Reason.SIGNATURE_INVALID
    signed = token.rpartition(".")[0].encode()
    plain = issuer.token({"alg": "PS256"}, "rsa").rpartition(".")[0].encode()
    salted = [padding.PSS(padding.MGF1(hashes.SHA256()), length) for length in (0, 20, 64)]
    salted.append(padding.PSS(padding.MGF1(hashes.SHA1()), 32))  # noqa: S303 - what is tried is that it is refused
    for message, forms in ((signed, [padding.PKCS1v15(), *salted]), (plain, [padding.PKCS1v15(), *salted])):
        for form in forms:
            for digest in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
                if message is signed and isinstance(form, padding.PKCS1v15) and isinstance(digest, hashes.SHA256):
                    continue
                forged = f"{message.decode()}.{base64url(private.sign(message, form, digest))}"
                assert refused(forged, provider, issuer.keys) is Reason.SIGNATURE_INVALID


# --------------------------------------------------------------------------------------------------- any change at all


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_no_change_of_a_token_leaves_it_good(issuer: Any, name: str, data: st.DataObject, verified: Any) -> None:
    """One letter replaced, put in or taken out; two exchanged; whatever the key is."""
    token = issuer.token({"alg": NAMES[name]}, name)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(max_codepoint=0x2FF) | st.sampled_from("=.-_AQgw"))
    swapped = list(token)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    changed = data.draw(
        st.sampled_from(
            [
                token[:place] + letter + token[place + 1 :],
                token[:place] + letter + token[place:],
                token[:place] + token[place + 1 :],
                "".join(swapped),
            ]
        )
    )
    assert changed == token or isinstance(verified(changed), Rejected)


@pytest.fixture(scope="module")
def verified(issuer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    provider = issuer.provider(tmp_path_factory.mktemp("rules"))
    return lambda text: verify(text, provider, issuer.keys, NOW)


def test_a_token_as_deep_or_wide_as_it_may_be_is_read(issuer: Any) -> None:
    """Within 8 KiB nothing takes long: wide, deep, with long numbers and with many escapes."""
    for filler in (
        '{"a":' * 900 + "1" + "}" * 900,
        "[" * 2500,
        "9" * 5000,
        '"' + "\\u0041" * 900 + '"',
        "[" + "1," * 2500 + "1]",
    ):
        text = issuer.sign({"alg": "ES256", "kid": "ec"}, f'{{"a": {filler}}}'.encode())
        assert len(text) <= 8192
        assert read(text) is not None
