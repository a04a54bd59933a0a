"""Who stands for a bundle: Ed25519 signatures (RFC 8032) in `bundle.sig`, beside the rules and not part of them.

What is signed is name, version and hash, under a prefix of its own, so that no signature made for anything else counts
here. One valid signature by the pinned key is required where a key is: which key that is stands outside the bundle, and
`keyid` and `bundle`, which nobody signs, decide nothing. Several keys may have signed, so that one can follow another.
"""

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headgate.bundle import files
from headgate.bundle.files import MAX_SIGNATURE, SIGNATURE
from headgate.bundle.load import Bundle, label
from headgate.bundled import beginning
from headgate.errors import HeadgateError
from headgate.model import BundleRef

PREFIX = b"headgate bundle signature 1\n"
MAX_SIGNATURES = 16
MAX_KEY_FILE = 4096
ACCEPTED = "accepted: one Ed25519 public key in PEM, `-----BEGIN PUBLIC KEY-----` and so on"


class UnsignedError(HeadgateError):
    """A bundle that the required key has not signed."""


def signed_text(bundle: BundleRef) -> bytes:
    """The bytes that are signed."""
    return PREFIX + json.dumps(_about(bundle), sort_keys=True, separators=(",", ":")).encode()


def sign(bundle: Bundle, private: Ed25519PrivateKey) -> bytes:
    """What `bundle.sig` holds once this key has signed, too. Signatures of other content are left out."""
    public, text = private.public_key(), signed_text(bundle)
    keyid = key_id(public)
    entries = [{"keyid": keyid, "sig": base64.b64encode(private.sign(text)).decode()}]
    document = _document(bundle.contents.get(SIGNATURE, b"")) or {}
    if document.get("bundle") == _about(bundle):
        others = (entry for entry in _entries(document) if entry.get("keyid") != keyid and _signature(entry))
        entries += [{"keyid": str(entry.get("keyid")), "sig": entry["sig"]} for entry in others]
    kept = entries[:MAX_SIGNATURES]
    return json.dumps({"bundle": _about(bundle), "signatures": kept}, indent=1).encode() + b"\n"


def check(bundle: BundleRef, written: bytes | None, key: Ed25519PublicKey) -> None:
    """UnsignedError unless `key` has signed this very bundle; `written` is its `bundle.sig`."""
    shown, keyid = f"rules `{bundle.name}` {label(bundle)}", key_id(key)[:16]
    if written is None:
        raise UnsignedError(f"{shown} are not signed; accepted: a `{SIGNATURE}` by the required key {keyid}")
    document = _document(written)
    if document is None:
        accepted = "accepted: what `headgate rules sign` writes"
        raise UnsignedError(f"{shown}: `{SIGNATURE}` is not a file of signatures; {accepted}")
    text = signed_text(bundle)
    if not any(_is_valid(key, _signature(entry), text) for entry in _entries(document)):
        about = "; it was made for other content" if document.get("bundle") != _about(bundle) else ""
        raise UnsignedError(f"{shown}: no signature is valid under the required key {keyid}{about}")


def public_key(pem: bytes) -> Ed25519PublicKey:
    """The key to check with; HeadgateError, which quotes nothing of it, for anything else."""
    if b"PRIVATE KEY" in pem:
        raise HeadgateError("it holds a private key, with which anyone who reads it can sign; accepted: a public key")
    alone = len(pem) <= MAX_KEY_FILE and pem.count(b"-----BEGIN ") == 1
    try:
        key = serialization.load_pem_public_key(pem) if alone else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise HeadgateError(f"it is not a key that rules are signed with; {ACCEPTED}")
    return key


def required_key(path: Path, rules: Path) -> Ed25519PublicKey:
    """The key in a file outside the rules folder: whoever may write the rules must not say who signs them."""
    if path.resolve().is_relative_to(rules.resolve()):
        accepted = "whose writers could replace it; accepted: a file elsewhere"
        raise HeadgateError(f"the key `{path}` lies in the rules folder, {accepted}")
    return key_in(path)


def key_in(path: Path) -> Ed25519PublicKey:
    """The public key in a file; HeadgateError names the file."""
    pem = files.contents(lambda: beginning(path, MAX_KEY_FILE + 1))
    try:
        if isinstance(pem, str):
            raise HeadgateError(pem)
        return public_key(pem)
    except HeadgateError as error:
        raise HeadgateError(f"the key `{path}` cannot be used: {error}") from None


def key_id(public: Ed25519PublicKey) -> str:
    """The SHA-256 of the public key (DER), in hex: tells people which key it is, and decides nothing."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _about(bundle: BundleRef) -> dict[str, str]:
    return {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}


def _document(data: bytes) -> dict[str, Any] | None:
    """The one JSON object in a file of signatures, no member twice; None for anything else."""
    if len(data) > MAX_SIGNATURE:
        return None
    try:
        document = json.loads(data, object_pairs_hook=_members_once)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("signatures"), list) else None


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in document["signatures"][:MAX_SIGNATURES] if isinstance(entry, dict)]


def _signature(entry: dict[str, Any]) -> bytes:
    """The bytes behind a signature in base64 (RFC 4648, 4); none where it is anything else."""
    try:
        return base64.b64decode(entry["sig"], validate=True) if isinstance(entry.get("sig"), str) else b""
    except (ValueError, binascii.Error):
        return b""


def _is_valid(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
