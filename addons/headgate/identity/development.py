"""The key for trying things out: made on this machine at first start, believed on loopback listeners only.

It is a file in the state folder that only its owner can read. Two processes that start at once end up with one key:
each writes its own under another name, and only one link to the final name succeeds. A file that others could have read
or put there is refused, not repaired: whoever had it can sign tokens.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from headgate.errors import HeadgateError
from headgate.identity.jwks import Key, KeySet
from headgate.identity.presets import DEVELOPMENT_ISSUER
from headgate.secret import read_private, signing_key

ALGORITHM = "ES256"
RESERVED = frozenset(("iss", "iat", "exp", "nbf"))


@dataclass(frozen=True, slots=True)
class DevelopmentKey:
    """The private key, and the key set that verifies what it signed."""

    private: EllipticCurvePrivateKey = field(repr=False)
    keys: KeySet

    @classmethod
    def open(cls, state: Path) -> Self:
        """The key of this state folder, made if there is none; HeadgateError says why it cannot be used."""
        path = state / "keys" / "development.pem"
        try:
            if not os.path.lexists(path):
                _create(path)
            return cls._of(_read(path))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise HeadgateError(f"the development key `{path}` cannot be used: {reason}") from None

    @classmethod
    def _of(cls, private: EllipticCurvePrivateKey) -> Self:
        public = private.public_key()
        digest = hashes.Hash(hashes.SHA256())
        digest.update(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
        kid = "dev-" + digest.finalize().hex()[:16]
        return cls(private, KeySet([Key(kid, "EC", frozenset([ALGORITHM]), public)]))

    def mint(self, claims: Mapping[str, Any], lifetime: float = 3600.0, *, now: float) -> str:
        """A token with these claims, from `now` (seconds since the epoch) for `lifetime` seconds."""
        times = {"iat": int(now), "exp": int(now + lifetime)}
        payload = {**claims, "iss": DEVELOPMENT_ISSUER, **times}
        return jwt.encode(payload, self.private, ALGORITHM, headers={"kid": self.keys.keys[0].kid})


def _create(path: Path) -> None:
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    pem = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor, draft = tempfile.mkstemp(prefix=".development-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(opened.fileno())
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first; its key is the one
    finally:
        os.unlink(draft)


def _read(path: Path) -> EllipticCurvePrivateKey:
    key = signing_key(read_private(path, f"`{path}`", "remove it, and a new key is made with mode 0600"))
    if key is None:
        raise HeadgateError(f"`{path}` does not hold an EC P-256 private key; remove it, and a new one is made")
    return key
