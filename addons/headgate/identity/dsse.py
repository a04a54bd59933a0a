"""Signed envelopes: Dead Simple Signing Envelope 1.0 (github.com/secure-systems-lab/dsse, protocol.md, envelope.md).

What is signed is the payload's bytes together with their type, so neither a payload meant for something else nor
another reading of the same bytes passes. One valid signature by a pinned key is required, always: an envelope without
signatures is no weaker kind of envelope, it is refused. Which algorithm counts is decided by the pinned key alone, and
`keyid`, which nobody signs, by nobody. Accepted are Ed25519, and ECDSA on P-256 with SHA-256 and on P-384 with SHA-384,
as DER; base64 in either alphabet, as the protocol demands of who verifies, but only in its one canonical form.
"""

import base64
import binascii
import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headgate.errors import HeadgateError
from headgate.identity.strictjson import read_object

PAYLOAD_TYPE = "application/vnd.headgate.releases+json"
MAX_ENVELOPE = 16 * 1024 * 1024
MAX_SIGNATURES = 16

PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey

_HASHES: dict[str, hashes.HashAlgorithm] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}
_TYPES = "Ed25519, or ECDSA on P-256 or P-384"
_MAX_KEY_FILE = 4096
_PUBLIC_PEM = re.compile(rb"\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----\s*")


class DsseError(HeadgateError):
    """An envelope or a key that cannot be used; the text never quotes it."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that has its form; who signed it is not yet known."""

    payload: bytes = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)

    def is_signed_by(self, keys: Iterable[PublicKey]) -> bool:
        """Whether any of its signatures is valid under any of these keys."""
        signed = pae(PAYLOAD_TYPE, self.payload)
        return any(_verifies(key, signature, signed) for key in keys for signature in self.signatures)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, private: PrivateKey) -> bytes:
    """An envelope of this payload, as a JSON file."""
    signed = pae(PAYLOAD_TYPE, payload)
    if isinstance(private, Ed25519PrivateKey):
        signature = private.sign(signed)
    else:
        signature = private.sign(signed, ec.ECDSA(_HASHES[private.curve.name]))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(private.public_key()), "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, indent=1).encode() + b"\n"


def verify(envelope: bytes, keys: Iterable[PublicKey]) -> bytes:
    """The payload, which one of these keys has signed; DsseError says why there is none."""
    opened = read(envelope)
    if not opened.is_signed_by(keys):
        raise DsseError("no signature on it is valid under any of the pinned keys")
    return opened.payload


def read(envelope: bytes) -> Envelope:
    """The parts of an envelope whose signatures nobody has checked yet."""
    if len(envelope) > MAX_ENVELOPE:
        raise DsseError(f"the envelope is longer than {MAX_ENVELOPE >> 20} MiB")
    document = read_object(envelope)
    if document is None:
        raise DsseError("not a signed envelope; accepted: one JSON object in UTF-8, no member twice, nothing after it")
    if document.get("payloadType") != PAYLOAD_TYPE:
        raise DsseError(f"the envelope holds something else; accepted: `payloadType` `{PAYLOAD_TYPE}`")
    payload = _decoded(document.get("payload"))
    if payload is None:
        raise DsseError("`payload` is missing, or not base64 in its canonical form with padding")
    return Envelope(payload, tuple(_signature(entry) for entry in _signatures(document)))


def key_id(public: PublicKey) -> str:
    """The SHA-256 of the public key (DER), in hex: tells people which key it is, and decides nothing."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def public_key(pem: bytes) -> PublicKey:
    """The one public key that a PEM file holds as SubjectPublicKeyInfo (RFC 5280), and nothing beside it."""
    if b"PRIVATE KEY" in pem:
        raise DsseError("it holds a private key, with which anyone who reads it can sign; accepted: a public key")
    try:
        if len(pem) > _MAX_KEY_FILE or not _PUBLIC_PEM.fullmatch(pem):
            raise ValueError("another form")
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise DsseError("it is not one public key in PEM; accepted: `-----BEGIN PUBLIC KEY-----` and so on") from None
    if isinstance(key, Ed25519PublicKey) or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES):
        return key
    raise DsseError(f"its public key is of a type that is not accepted; accepted: {_TYPES}")


def private_key(path: Path) -> PrivateKey:
    """The key to sign with, from a PEM file that nobody but its owner can read."""
    try:
        pem = _owned(path)
    except OSError as error:
        raise DsseError(f"the key `{path}` cannot be read: {(error.strerror or 'error').lower()}") from None
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise DsseError(f"the key `{path}` is protected by a passphrase; accepted: one without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise DsseError(f"`{path}` does not hold a private key in PEM") from None
    if isinstance(key, Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _HASHES
    ):
        return key
    raise DsseError(f"the key `{path}` is of a type that is not accepted; accepted: {_TYPES}")


def _verifies(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            key.verify(signature, signed, ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        return False
    return True


def _signatures(document: dict[str, Any]) -> list[Any]:
    entries = document.get("signatures")
    if not isinstance(entries, list) or not entries:
        raise DsseError("the envelope is not signed; accepted: at least one signature by a pinned key")
    if len(entries) > MAX_SIGNATURES:
        raise DsseError(f"the envelope has more than {MAX_SIGNATURES} signatures")
    return entries


def _signature(entry: Any) -> bytes:
    signature = _decoded(entry.get("sig")) if isinstance(entry, dict) else None
    if not signature:
        raise DsseError("a signature is missing its `sig`, or it is not base64 in its canonical form with padding")
    return signature


def _decoded(value: Any) -> bytes | None:
    """The bytes behind base64 in either alphabet (RFC 4648, 4 and 5), if no other text stands for the same."""
    if not isinstance(value, str) or not value.isascii():
        return None
    for alphabet in (b"+/", b"-_"):
        try:
            data = base64.b64decode(value, altchars=alphabet, validate=True)
        except binascii.Error:
            continue
        if base64.b64encode(data, altchars=alphabet).decode() == value:
            return data
    return None


def _owned(path: Path) -> bytes:
    """The bytes of a file that is ours and closed to others; a link may lead to it, as mounted secrets have them."""
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise DsseError(f"the key `{path}` is not a file")
        if os.name == "posix" and found.st_uid != os.geteuid():
            raise DsseError(f"the key `{path}` belongs to another user; accepted: the user who runs this")
        if os.name == "posix" and found.st_mode & 0o077:
            raise DsseError(f"others may read the key `{path}`; accepted: mode 0600, for a key that nobody read")
        return file.read(_MAX_KEY_FILE)
