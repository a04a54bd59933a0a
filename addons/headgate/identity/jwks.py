"""A provider's public keys, read strictly from a JWK Set (RFC 7517) or one PEM, each with the algorithms it may verify.

Which algorithms fit is decided here, once, from the key's type, curve, `alg`, `use` and `key_ops`: PyJWT 2.15 verifies
with keys meant for encryption, and picks the algorithm of a key that names none. A key that cannot be used is skipped,
as the RFC wants. A set that holds a private or symmetric key is refused whole: whoever can read it can sign.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import get_default_algorithms

from headgate.errors import HeadgateError
from headgate.identity.reasons import Reason
from headgate.identity.strictjson import read_object

BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = frozenset((*BY_CURVE.values(), *RSA_ALGORITHMS, "EdDSA"))
"""Signatures by a key pair only; never HS*, whose key would be a secret that the verifier shares."""

SIGNING = frozenset(("sig",))
"""The values of `use` that mark a key for verifying signatures; SPIFFE adds `jwt-svid`."""

VERIFIERS = {name: algorithm for name, algorithm in get_default_algorithms().items() if name in ALGORITHMS}

_MEMBERS = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "OKP": ("crv", "x")}
_SECRET = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_MAX_KEYS = 100
_RSA_BITS = range(2048, 8193)  # below is weak, above takes long enough to be used against us
_PEM = re.compile(rb"\s*-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----\s*\Z")
_SAFE_KID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:=+/@~-]{0,199}\Z")


class KeysError(HeadgateError):
    """A key set that cannot be used; the text never quotes it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key, and the algorithms that may be verified with it."""

    kid: str | None
    kty: str
    algorithms: frozenset[str]
    public: Any


class KeySet:
    """The keys of one provider at one time."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self._by_kid: dict[str, list[Key]] = {}
        for key in self.keys:
            if key.kid is not None:
                self._by_kid.setdefault(key.kid, []).append(key)

    def holds(self, kid: str) -> bool:
        """Whether a key has this id; whether it fits is for `find` to say."""
        return kid in self._by_kid

    def find(self, kid: str | None, algorithm: str) -> Key | Reason:
        """The one key that may have signed; without a `kid` only where a single key fits the algorithm."""
        candidates = self.keys if kid is None else self._by_kid.get(kid, ())
        fitting = [key for key in candidates if algorithm in key.algorithms]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            return Reason.KID_MISSING
        return Reason.KEY_UNFIT if candidates else Reason.UNKNOWN_KEY


def safe_kid(kid: object) -> bool:
    """A key id that is safe to look up, to log and to put into a URL path: no controls, quotes, blanks or `..`."""
    return isinstance(kid, str) and bool(_SAFE_KID.match(kid)) and ".." not in kid


def parse_jwks(data: bytes, uses: frozenset[str] = SIGNING) -> KeySet:
    """The usable keys of a JWK Set; KeysError when there are none, or when it should not be trusted at all.

    A key counts when its `use` is one of `uses`, and without a `use` when they include `sig`. Others are skipped: a
    SPIFFE bundle carries certificates marked `x509-svid` beside the keys that verify tokens.
    """
    document = read_object(data)
    entries = document.get("keys") if document else None
    if not isinstance(entries, list):
        raise KeysError("it is not a JWK Set: one JSON object with a list `keys`, no member twice")
    entries = [entry for entry in entries if isinstance(entry, dict)]
    if len(entries) > _MAX_KEYS:
        raise KeysError(f"it holds more than {_MAX_KEYS} keys")
    if any(entry.get("kty") == "oct" or not _SECRET.isdisjoint(entry) for entry in entries):
        raise KeysError("it holds private or symmetric keys; accepted: public keys only")
    keys = [key for entry in entries if (key := _key(entry, uses))]
    if not keys:
        raise KeysError("it holds no usable key; accepted: EC P-256, P-384 or P-521, RSA from 2048 bits, Ed25519")
    if len({(key.kid, key.kty) for key in keys if key.kid}) != sum(key.kid is not None for key in keys):
        raise KeysError("two of its keys have the same `kid`")
    return KeySet(keys)


def _key(entry: dict[str, Any], uses: frozenset[str]) -> Key | None:
    """The key that a JWK describes, or None if it cannot verify signatures here."""
    algorithms = _algorithms(entry)
    kid = entry.get("kid")
    if not algorithms or not _for_verifying(entry, uses) or not (kid is None or safe_kid(kid)):
        return None
    try:
        public = jwt.PyJWK(entry, algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size not in _RSA_BITS:
        return None
    return Key(kid, entry["kty"], algorithms, public)


def _algorithms(entry: dict[str, Any]) -> frozenset[str]:
    kty = entry.get("kty")
    members = _MEMBERS.get(kty, ()) if isinstance(kty, str) else ()
    if not members or not all(isinstance(entry.get(member), str) for member in members):
        return frozenset()
    if kty == "RSA":
        fitting = frozenset(RSA_ALGORITHMS)
    elif kty == "EC":
        fitting = frozenset(filter(None, [BY_CURVE.get(entry["crv"])]))
    else:
        fitting = frozenset(["EdDSA"] if entry["crv"] == "Ed25519" else [])
    declared = entry.get("alg")
    return fitting if declared is None else frozenset(name for name in fitting if name == declared)


def _for_verifying(entry: dict[str, Any], uses: frozenset[str]) -> bool:
    use, operations = entry.get("use", "sig"), entry.get("key_ops", ["verify"])
    return isinstance(use, str) and use in uses and isinstance(operations, list) and "verify" in operations


def parse_pem_key(kid: str, data: bytes) -> Key:
    """The one key of a PEM (RFC 7468, section 13) that is published under `kid`; KeysError when it cannot be used.

    Only a SubjectPublicKeyInfo, alone: a certificate, a second key or text around it may be read differently elsewhere.
    """
    if not safe_kid(kid):
        raise KeysError("its id is not text of up to 200 safe characters")
    if not _PEM.match(data):
        raise KeysError("it is not one public key in PEM (`BEGIN PUBLIC KEY`) and nothing else")
    try:
        public = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise KeysError("its PEM does not hold a public key that can be read") from None
    if isinstance(public, RSAPublicKey) and public.key_size in _RSA_BITS:
        return Key(kid, "RSA", frozenset(RSA_ALGORITHMS), public)
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1 | SECP384R1):
        return Key(kid, "EC", frozenset(["ES256" if isinstance(public.curve, SECP256R1) else "ES384"]), public)
    raise KeysError("it is not a key of a kind that may sign; accepted: EC P-256 or P-384, RSA from 2048 bits")
