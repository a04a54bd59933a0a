"""Signed envelopes: one signature by a pinned key, over these bytes and this type, or nothing."""

import base64
import contextlib
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.dsse import (
    MAX_ENVELOPE,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    DsseError,
    PrivateKey,
    pae,
    private_key,
    public_key,
    sign,
    verify,
)

ED, P256, P384, STRANGER = (
    ed25519.Ed25519PrivateKey.generate(),
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(),
)
SIGNERS: dict[str, PrivateKey] = {"Ed25519": ED, "P-256": P256, "P-384": P384}
PINNED = [private.public_key() for private in SIGNERS.values()]
PAYLOAD = b'{"revision":1,"releases":[]}\xff\xfe'
SIGNED = {name: sign(PAYLOAD, private) for name, private in SIGNERS.items()}
RSA = rsa.generate_private_key(65537, 2048)


def public_pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(private: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    pem: bytes = private.private_bytes(Encoding.PEM, form, NoEncryption())
    return pem


def changed(envelope: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(envelope), **members}).encode()


def signatures(*signed: bytes) -> list[dict[str, str]]:
    return [{"sig": base64.b64encode(signature).decode()} for signature in signed]


def refused(envelope: bytes, why: str) -> None:
    with pytest.raises(DsseError, match=re.escape(why)):
        verify(envelope, PINNED)


UNSIGNED = "no signature on it is valid"
NOT_SIGNED = "the envelope is not signed"
NO_ENVELOPE = "not a signed envelope"
NO_BASE64 = "not base64 in its canonical form"


def test_what_is_signed_is_what_the_protocol_says() -> None:
    """The example of protocol.md."""
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("\u00e9", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@pytest.mark.parametrize("name", SIGNERS)
def test_a_payload_comes_back_as_it_was_signed(name: str) -> None:
    envelope = sign(PAYLOAD, SIGNERS[name])
    assert verify(envelope, [SIGNERS[name].public_key()]) == PAYLOAD
    assert verify(envelope, [STRANGER.public_key(), *PINNED]) == PAYLOAD


def test_any_one_signature_of_a_pinned_key_is_enough() -> None:
    good = ED.sign(pae(PAYLOAD_TYPE, PAYLOAD))
    envelope = changed(sign(PAYLOAD, STRANGER), signatures=signatures(b"of a kind unknown here", good))
    assert verify(envelope, PINNED) == PAYLOAD


def test_both_alphabets_of_base64_are_read_and_the_key_id_is_not() -> None:
    envelope = json.loads(sign(PAYLOAD, ED))
    for name in ("payload", "sig"):
        holder = envelope if name == "payload" else envelope["signatures"][0]
        holder[name] = holder[name].replace("+", "-").replace("/", "_")
    for key_id in ("", "another key", None, 7, ["x"]):
        envelope["signatures"][0]["keyid"] = key_id
        assert verify(json.dumps(envelope).encode(), PINNED) == PAYLOAD
    del envelope["signatures"][0]["keyid"]
    assert verify(json.dumps(envelope).encode(), PINNED) == PAYLOAD


@pytest.mark.parametrize("without", [{"signatures": []}, {"signatures": None}, {"signatures": {}}, {"signatures": "x"}])
def test_an_envelope_without_signatures_is_refused(without: dict[str, Any]) -> None:
    refused(changed(sign(PAYLOAD, ED), **without), NOT_SIGNED)
    envelope = json.loads(sign(PAYLOAD, ED))
    del envelope["signatures"]
    refused(json.dumps(envelope).encode(), NOT_SIGNED)


def test_a_signature_by_another_key_is_refused() -> None:
    refused(sign(PAYLOAD, STRANGER), UNSIGNED)
    refused(sign(PAYLOAD, ec.generate_private_key(ec.SECP256R1())), UNSIGNED)
    with pytest.raises(DsseError, match=UNSIGNED):
        verify(sign(PAYLOAD, ED), [])


def test_a_signature_does_not_move_to_another_payload() -> None:
    refused(changed(sign(PAYLOAD, ED), payload=base64.b64encode(b"other").decode()), UNSIGNED)
    refused(changed(sign(PAYLOAD, ED), signatures=json.loads(sign(b"other", ED))["signatures"]), UNSIGNED)


def test_a_signature_over_another_type_is_refused() -> None:
    other = "application/vnd.in-toto+json"
    refused(changed(sign(PAYLOAD, ED), payloadType=other), "the envelope holds something else")
    refused(changed(sign(PAYLOAD, ED), signatures=signatures(ED.sign(pae(other, PAYLOAD)))), UNSIGNED)
    refused(changed(sign(PAYLOAD, ED), signatures=signatures(ED.sign(PAYLOAD))), UNSIGNED)
    for wrong in (None, "", PAYLOAD_TYPE.upper(), PAYLOAD_TYPE + " ", [PAYLOAD_TYPE]):
        refused(changed(sign(PAYLOAD, ED), payloadType=wrong), "the envelope holds something else")


def test_an_ecdsa_signature_counts_as_der_over_its_own_hash_only() -> None:
    signed = pae(PAYLOAD_TYPE, PAYLOAD)
    der = P256.sign(signed, ec.ECDSA(hashes.SHA256()))
    assert verify(changed(sign(PAYLOAD, ED), signatures=signatures(der)), PINNED) == PAYLOAD
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    zero = bytes.fromhex("3006020100020100")
    other_hash = P256.sign(signed, ec.ECDSA(hashes.SHA384()))
    for wrong in (raw, zero, der + b"\0", der[:-1], other_hash):
        refused(changed(sign(PAYLOAD, ED), signatures=signatures(wrong)), UNSIGNED)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "x",
        lambda text: text + text,
        lambda text: "[" + text + "]",
        lambda text: "\ufeff" + text,
        lambda text: text.replace('"payload":', '"payload": "", "payload":'),
        lambda text: text.replace('"sig":', '"sig": "", "sig":'),
        lambda text: text.replace('"signatures":', '"signatures": [], "signatures":'),
        lambda text: text.replace('"payloadType":', '"payloadType": "x", "payloadType":'),
        lambda text: text[:0],
    ],
    ids=["trailing", "twice", "in a list", "byte order mark", "payload", "sig", "signatures", "type", "empty"],
)
def test_what_two_parsers_would_read_differently_is_refused(spoil: Callable[[str], str]) -> None:
    refused(spoil(sign(PAYLOAD, ED).decode()).encode(), NO_ENVELOPE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:4] + "\n" + text[4:],
        lambda text: text.replace("=", "\uff1d"),
        lambda text: text[:-2] + chr(ord(text[-2]) + 1) + "=",
        lambda text: [text],
        lambda text: {text: text},
    ],
    ids=["no padding", "padding", "line end", "blank", "folded", "wide", "spare bits", "list", "object"],
)
def test_base64_in_another_form_is_refused(spoil: Callable[[str], Any]) -> None:
    envelope = json.loads(sign(b"xy", P256))
    assert envelope["payload"].endswith("=")
    refused(changed(sign(b"xy", P256), payload=spoil(envelope["payload"])), NO_BASE64)
    text = base64.b64encode(b"12").decode()
    refused(changed(sign(b"xy", P256), signatures=[{"sig": spoil(text)}]), NO_BASE64)


def test_both_alphabets_in_one_text_are_refused() -> None:
    refused(changed(sign(PAYLOAD, ED), payload="+_+_"), NO_BASE64)


@pytest.mark.parametrize("entry", [None, "sig", [], {}, {"sig": ""}, {"keyid": "x"}])
def test_an_entry_without_a_signature_spoils_the_envelope(entry: Any) -> None:
    good = json.loads(sign(PAYLOAD, ED))["signatures"]
    refused(changed(sign(PAYLOAD, ED), signatures=[*good, entry]), "missing its `sig`")


def test_an_envelope_is_bounded() -> None:
    refused(b" " * (MAX_ENVELOPE + 1), "longer than 16 MiB")
    good = json.loads(sign(PAYLOAD, ED))["signatures"]
    assert verify(changed(sign(PAYLOAD, ED), signatures=good * MAX_SIGNATURES), PINNED) == PAYLOAD
    refused(changed(sign(PAYLOAD, ED), signatures=good * (MAX_SIGNATURES + 1)), "more than 16 signatures")


def test_the_text_of_an_error_does_not_quote_the_envelope() -> None:
    with pytest.raises(DsseError) as caught:
        verify(b'{"payloadType": "s3cret", "payload": "s3cret"}', PINNED)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", SIGNERS)
@given(place=st.integers(0, 400), mask=st.integers(1, 255))
def test_no_changed_byte_ever_yields_another_payload(name: str, place: int, mask: int) -> None:
    envelope = bytearray(SIGNED[name])
    envelope[place % len(envelope)] ^= mask
    with contextlib.suppress(DsseError):
        assert verify(bytes(envelope), PINNED) == PAYLOAD


@given(payload=st.binary(), bare=st.binary(max_size=80))
def test_no_made_up_signature_is_valid(payload: bytes, bare: bytes) -> None:
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode()}
    with pytest.raises(DsseError):
        verify(json.dumps({**envelope, "signatures": signatures(bare)}).encode(), PINNED)


@given(st.binary())
def test_any_bytes_are_refused_with_one_error(data: bytes) -> None:
    with pytest.raises(DsseError):
        verify(data, PINNED)


VALUE = st.none() | st.integers() | st.sampled_from(["", "QUFB", "QUF", PAYLOAD_TYPE, "\ud800", "\u00e9"])
JSON = VALUE | st.lists(VALUE | st.dictionaries(st.sampled_from(["sig", "keyid"]), VALUE), max_size=3)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("payload", "payloadType", "signatures"), JSON)))
def test_any_object_is_refused_with_one_error(members: dict[str, Any]) -> None:
    with pytest.raises(DsseError):
        verify(json.dumps(members).encode(), PINNED)


# keys


@pytest.mark.parametrize("name", SIGNERS)
def test_a_public_key_is_read_from_pem(name: str) -> None:
    pem = public_pem(SIGNERS[name])
    for form in (pem, pem.replace(b"\n", b"\r\n"), b"\n" + pem + b"\n\n", pem.rstrip()):
        assert public_key(form) == SIGNERS[name].public_key()


@pytest.mark.parametrize(
    "pem",
    [private_pem(ED), private_pem(P256), private_pem(P256, PrivateFormat.TraditionalOpenSSL), private_pem(RSA)],
    ids=["Ed25519", "P-256", "P-256, SEC 1", "RSA"],
)
def test_a_private_key_among_the_rules_is_refused(pem: bytes) -> None:
    for form in (pem, public_pem(ED) + pem):
        with pytest.raises(DsseError, match="it holds a private key"):
            public_key(form)


@pytest.mark.parametrize(
    "pem",
    [
        public_pem(RSA),
        public_pem(ec.generate_private_key(ec.SECP521R1())),
        public_pem(ec.generate_private_key(ec.SECP256K1())),
        public_pem(x25519.X25519PrivateKey.generate()),
        public_pem(ed448.Ed448PrivateKey.generate()),
    ],
    ids=["RSA", "P-521", "secp256k1", "X25519", "Ed448"],
)
def test_a_public_key_of_another_type_is_refused(pem: bytes) -> None:
    with pytest.raises(DsseError, match="accepted: Ed25519, or ECDSA on P-256 or P-384"):
        public_key(pem)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"garbage",
        b"\xff" * 100,
        public_pem(ED) + public_pem(P256),
        b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 64 + b"\n-----END PUBLIC KEY-----\n",
        RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        P256.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        b"release key:\n" + public_pem(ED),
        public_pem(ED) + b"\n" * 5000,
    ],
    ids=["empty", "garbage", "bytes", "two", "no key", "RSA, PKCS 1", "raw", "DER", "OpenSSH", "text before", "long"],
)
def test_what_is_not_one_public_key_in_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(DsseError, match="not one public key in PEM"):
        public_key(pem)


@given(der=st.binary(max_size=120))
def test_any_bytes_are_no_public_key_but_one_error(der: bytes) -> None:
    for data in (der, b"-----BEGIN PUBLIC KEY-----\n%b-----END PUBLIC KEY-----\n" % base64.encodebytes(der)):
        with pytest.raises(DsseError):
            public_key(data)


@pytest.mark.parametrize("name", SIGNERS)
@given(place=st.integers(0, 400), mask=st.integers(1, 255))
def test_a_damaged_public_key_is_another_key_or_one_error(name: str, place: int, mask: int) -> None:
    pem = bytearray(public_pem(SIGNERS[name]))
    pem[place % len(pem)] ^= mask
    with contextlib.suppress(DsseError):
        public_key(bytes(pem))


def kept(folder: Path, pem: bytes, mode: int = 0o600) -> Path:
    path = folder / "release.pem"
    path.write_bytes(pem)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", SIGNERS)
def test_a_private_key_signs_for_its_public_half(tmp_path: Path, name: str) -> None:
    private = private_key(kept(tmp_path, private_pem(SIGNERS[name])))
    assert verify(sign(PAYLOAD, private), [public_key(public_pem(SIGNERS[name]))]) == PAYLOAD


def test_a_private_key_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.pem").symlink_to(kept(tmp_path, private_pem(ED), 0o400))
    assert private_key(tmp_path / "link.pem").public_key() == ED.public_key()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o622])
def test_a_private_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = kept(tmp_path, private_pem(ED), mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    with pytest.raises(DsseError, match="others may read the key"):
        private_key(path)


def test_a_private_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept(tmp_path, private_pem(ED))
    user = path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: user + 1)
    with pytest.raises(DsseError, match="belongs to another user"):
        private_key(path)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "does not hold a private key"),
        (b"s3cret garbage", "does not hold a private key"),
        (public_pem(ED), "does not hold a private key"),
        (private_pem(RSA), "accepted: Ed25519, or ECDSA on P-256 or P-384"),
        (private_pem(ec.generate_private_key(ec.SECP521R1())), "accepted: Ed25519, or ECDSA on P-256 or P-384"),
        (ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")), "by a passphrase"),
    ],
    ids=["empty", "garbage", "public", "RSA", "P-521", "passphrase"],
)
def test_what_cannot_sign_is_refused(tmp_path: Path, pem: bytes, why: str) -> None:
    with pytest.raises(DsseError, match=why) as caught:
        private_key(kept(tmp_path, pem))
    assert "s3cret" not in str(caught.value)


def test_a_key_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DsseError, match="cannot be read: no such file"):
        private_key(tmp_path / "release.pem")
    (tmp_path / "release.pem").mkdir(mode=0o700)
    with pytest.raises(DsseError):
        private_key(tmp_path / "release.pem")
