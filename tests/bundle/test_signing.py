"""A bundle counts as signed when the required key signed this very content, whatever else stands in `bundle.sig`."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.desk import loaded, refusal, rule

from headgate.bundle.files import SIGNATURE
from headgate.bundle.load import Bundle, load_bundle
from headgate.bundle.signing import check, key_id, public_key, required_key, sign, signed_text
from headgate.errors import HeadgateError
from headgate.identity import dsse
from headgate.model import BundleRef

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
REF = BundleRef("n", "1.0.0", "ab" * 32)


def pem(public: Any) -> bytes:
    written: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return written


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return loaded(tmp_path / "rules", "1.0.0", rule("one"))


def with_signature(bundle: Bundle, written: bytes) -> Bundle:
    return replace(bundle, contents={**bundle.contents, SIGNATURE: written})


def is_signed(bundle: BundleRef, written: bytes | None, key: ed25519.Ed25519PrivateKey = KEY) -> bool:
    return not refusal(lambda: check(bundle, written, key.public_key()))


def test_what_a_key_signed_counts_for_that_key_alone(bundle: Bundle) -> None:
    written = sign(bundle, KEY)
    assert is_signed(bundle, written)
    assert not is_signed(bundle, written, OTHER)


@pytest.mark.parametrize("changed", [{"name": "m"}, {"version": "1.0.1"}, {"sha256": "cd" * 32}])
def test_a_signature_is_of_name_version_and_hash(bundle: Bundle, changed: dict[str, str]) -> None:
    assert not is_signed(replace(bundle, **changed), sign(bundle, KEY))


def test_no_two_bundles_have_the_same_text_to_sign() -> None:
    """A name that ends as a version begins, say."""
    one, other = BundleRef('n","x', "1.0.0", "ab"), BundleRef("n", 'x","1.0.0', "ab")
    assert signed_text(one) != signed_text(other)
    assert signed_text(one).startswith(b"headgate bundle signature 1\n")


def test_a_signature_made_for_something_else_does_not_count(bundle: Bundle) -> None:
    """The key of a release list may be the same; and nothing signs the text without its prefix."""
    text = signed_text(bundle)
    for signature in (KEY.sign(text.partition(b"\n")[2]), KEY.sign(dsse.pae(dsse.PAYLOAD_TYPE, text))):
        document = {"signatures": [{"keyid": "k", "sig": base64.b64encode(signature).decode()}]}
        assert not is_signed(bundle, json.dumps(document).encode())


def test_several_keys_may_sign_so_that_one_can_follow_another(bundle: Bundle) -> None:
    both = sign(with_signature(bundle, sign(bundle, KEY)), OTHER)
    assert is_signed(bundle, both, KEY)
    assert is_signed(bundle, both, OTHER)
    again = json.loads(sign(with_signature(bundle, both), KEY))
    assert [entry["keyid"] for entry in again["signatures"]] == [
        key_id(KEY.public_key()),
        key_id(OTHER.public_key()),
    ]


def test_to_sign_changed_rules_drops_the_signatures_of_what_was(bundle: Bundle, tmp_path: Path) -> None:
    changed = loaded(tmp_path / "rules", "1.0.1")
    document = json.loads(sign(with_signature(changed, sign(bundle, KEY)), OTHER))
    assert [entry["keyid"] for entry in document["signatures"]] == [key_id(OTHER.public_key())]


def test_the_file_of_signatures_is_no_part_of_what_is_signed(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "rules" / SIGNATURE).write_bytes(sign(bundle, KEY))
    signed = load_bundle(tmp_path / "rules")
    assert signed.sha256 == bundle.sha256
    assert is_signed(signed, signed.contents[SIGNATURE])


def test_a_file_of_signatures_that_cannot_be_read_is_a_problem_of_the_folder(tmp_path: Path) -> None:
    loaded(tmp_path / "rules")
    (tmp_path / "rules" / SIGNATURE).symlink_to(tmp_path / "gone")
    assert refusal(lambda: load_bundle(tmp_path / "rules")).startswith("rules/bundle.sig: the file cannot be read")


def test_what_is_missing_is_said(bundle: Bundle) -> None:
    shown, keyid = f"rules `n` 1.0.0+{bundle.sha256[:8]}", key_id(KEY.public_key())[:16]
    assert refusal(lambda: check(bundle, None, KEY.public_key())) == (
        f"{shown} are not signed; accepted: a `bundle.sig` by the required key {keyid}"
    )
    assert refusal(lambda: check(bundle, sign(bundle, OTHER), KEY.public_key())) == (
        f"{shown}: no signature is valid under the required key {keyid}"
    )
    other = sign(replace(bundle, version="2.0.0"), KEY)
    assert refusal(lambda: check(bundle, other, KEY.public_key())).endswith("it was made for other content")


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A good file of signatures for REF, changed."""
    signature = base64.b64encode(KEY.sign(signed_text(REF))).decode()
    document: dict[str, Any] = {"bundle": {}, "signatures": [{"keyid": "k", "sig": signature}]}
    change(document)
    return json.dumps(document).encode()


GOOD = altered(lambda _: None)
NOT_SIGNED = {
    "empty": b"",
    "no object": b"[]",
    "no signatures": b"{}",
    "signatures that are no list": b'{"signatures": {}}',
    "none": b'{"signatures": []}',
    "not UTF-8": b"\xff\xfe",
    "two members of a name": GOOD.replace(b'"bundle": {}', b'"signatures": [], "signatures": []'),
    "more after it": GOOD + b"{}",
    "nested without end": b"[" * 60_000,
    "too long": GOOD + b" " * (64 << 10),
    "an entry that is none": altered(lambda d: d.update(signatures=["x"])),
    "no sig": altered(lambda d: d["signatures"][0].pop("sig")),
    "a sig that is a number": altered(lambda d: d["signatures"][0].update(sig=1)),
    "a sig that is not base64": altered(lambda d: d["signatures"][0].update(sig="%%%%")),
    "a sig that is not ASCII": altered(lambda d: d["signatures"][0].update(sig="\u00e9" * 88)),
    "a sig of zeros": altered(lambda d: d["signatures"][0].update(sig=base64.b64encode(b"\0" * 64).decode())),
    "a sig cut short": altered(lambda d: d["signatures"][0].update(sig=base64.b64encode(b"\1" * 63).decode())),
    "the 17th": altered(lambda d: d.update(signatures=[{}] * 16 + d["signatures"])),
}


def test_the_good_one_is_good() -> None:
    assert is_signed(REF, GOOD)
    assert is_signed(REF, altered(lambda d: d["signatures"].insert(0, {"keyid": "other", "sig": "AAAA"})))


@pytest.mark.parametrize("written", NOT_SIGNED.values(), ids=NOT_SIGNED)
def test_whatever_stands_in_the_file_it_is_signed_or_not(written: bytes) -> None:
    assert not is_signed(REF, written)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_raise_anything_else(written: bytes) -> None:
    assert not is_signed(REF, written)


@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_no_changed_byte_makes_another_bundle_signed(at: int, byte: int) -> None:
    changed = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    assert not is_signed(replace(REF, version="1.0.1"), changed)


# ---------------------------------------------------------------------------------------------------------------- keys


def test_the_required_key_is_a_public_one_outside_the_rules(tmp_path: Path, bundle: Bundle) -> None:
    outside, inside = tmp_path / "rules.pub", tmp_path / "rules" / "rules.pub"
    for path in (outside, inside):
        path.write_bytes(pem(KEY.public_key()))
    (tmp_path / "link.pub").symlink_to(inside)
    check(bundle, sign(bundle, KEY), required_key(outside, tmp_path / "rules"))
    for path in (inside, tmp_path / "link.pub", tmp_path / "x" / ".." / "rules" / "rules.pub"):
        assert "lies in the rules folder" in refusal(lambda path=path: required_key(path, tmp_path / "rules"))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not a key that rules are signed with"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "it is not a key that rules are signed with"),
        (pem(ec.generate_private_key(ec.SECP256R1()).public_key()), "it is not a key that rules are signed with"),
        (pem(KEY.public_key()) + pem(OTHER.public_key()), "it is not a key that rules are signed with"),
        (pem(KEY.public_key()) + b" " * 5000, "it is not a key that rules are signed with"),
        (KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "it holds a private key"),
    ],
)
def test_what_is_no_such_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rules.pub"
    path.write_bytes(content)
    message = refusal(lambda: required_key(path, tmp_path / "rules"))
    assert message.startswith(f"the key `{path}` cannot be used: {said}")
    assert len(message.splitlines()) == 1
    with pytest.raises(HeadgateError):
        public_key(content)


def test_a_key_that_is_not_there_is_said(tmp_path: Path) -> None:
    message = refusal(lambda: required_key(tmp_path / "gone.pub", tmp_path / "rules"))
    assert message.endswith("cannot be used: the file cannot be read: no such file or folder")
