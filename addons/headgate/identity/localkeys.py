"""Private keys in files of one's own, which stand in for a provider's while rules are tried out on one machine.

Which algorithms a key can sign with is what its public half is accepted for, by the same reading as any provider's key
set. Its id is made of its thumbprint, in the form of a UUID: the one form that every provider's key endpoint takes.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from headgate.errors import HeadgateError
from headgate.identity.dpop import thumbprint_of
from headgate.identity.jwks import VERIFIERS, Key, KeysError, KeySet, parse_jwks, safe_kid

ACCEPTED = "accepted: a private key in PEM without a password: EC on P-256, P-384 or P-521, RSA from 2048 bits, Ed25519"
CURVES: Mapping[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
RSA_BITS = 2048

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A key pair; `jwk` is the public half as a provider would publish it."""

    private: Private = field(repr=False)
    jwk: Mapping[str, Any]
    public: Key

    @classmethod
    def from_pem(cls, pem: bytes, kid: str | None = None) -> Self:
        """The key in `pem`; HeadgateError, which quotes nothing of it, where there is none that can be used."""
        private = _private(pem)
        members = _jwk(private) if private else None
        if private is None or members is None:
            raise HeadgateError(f"it holds no key that can sign tokens; {ACCEPTED}")
        kid = kid or _as_uuid(thumbprint_of(members) or "")
        if not safe_kid(kid):
            raise HeadgateError("that is no key id; accepted: up to 200 letters, digits and `_.:=+/@~-`")
        published = {**members, "kid": kid, "use": "sig"}
        try:
            (public,) = parse_jwks(json.dumps({"keys": [published]}).encode()).keys
        except KeysError:
            raise HeadgateError(f"it holds a key that nobody would believe; {ACCEPTED}") from None
        return cls(private, published, public)

    @property
    def kid(self) -> str:
        return str(self.jwk["kid"])

    @property
    def keys(self) -> KeySet:
        """The set that verifies what this key signs."""
        return KeySet([self.public])

    def algorithm(self, accepted: Iterable[str]) -> str | None:
        """The first of these that it can sign with."""
        return next((name for name in accepted if name in self.public.algorithms), None)

    def sign(self, data: bytes, algorithm: str) -> bytes:
        return VERIFIERS[algorithm].sign(data, self.private)


def new_pem(algorithm: str) -> bytes:
    """A new private key that signs with `algorithm`, as PEM without a password."""
    key: Private
    if algorithm in CURVES:
        key = ec.generate_private_key(CURVES[algorithm]())
    elif algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(65537, RSA_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _private(pem: bytes) -> Private | None:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Private) else None


def _jwk(private: Private) -> dict[str, Any] | None:
    """The public members; None for a curve that has no name there."""
    try:
        if isinstance(private, rsa.RSAPrivateKey):
            members: dict[str, Any] = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            members = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        else:
            members = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    except jwt.InvalidKeyError:
        return None
    members.pop("key_ops", None)
    return members


def _as_uuid(thumbprint: str) -> str:
    """The first 128 bits of a thumbprint, written as a UUID is."""
    digits = urlsafe_b64decode(thumbprint + "=").hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
