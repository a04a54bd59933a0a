"""An identity provider for these tests: signs what it is told to, in compact form, and publishes its keys."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms
from tests.e2e.canary import remember

ALGORITHMS = get_default_algorithms()


def base64url(data: bytes, *, padded: bool = False) -> str:
    encoded = base64.urlsafe_b64encode(data).decode()
    return encoded if padded else encoded.rstrip("=")


class Key:
    """One key pair; `algorithm` says of which type it is."""

    def __init__(self, kid: str, algorithm: str = "ES256") -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private: Any
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    @property
    def jwk(self) -> dict[str, Any]:
        kind = ECAlgorithm if self.algorithm.startswith("ES") else RSAAlgorithm
        members = kind.to_jwk(self.private.public_key(), as_dict=True)
        members.pop("key_ops", None)
        return {**members, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def thumbprint(self) -> str:
        """RFC 7638, for an EC key."""
        members = {name: self.jwk[name] for name in ("crv", "kty", "x", "y")}
        return base64url(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any], *, padded: bool = False) -> str:
        """A token of exactly these two parts, with `alg` and `kid` added where they are missing."""
        given = {"alg": self.algorithm, "kid": self.kid, **header}
        head, body = (base64url(json.dumps(part).encode(), padded=padded) for part in (given, claims))
        signature = ALGORITHMS[self.algorithm].sign(f"{head}.{body}".encode(), self.private)
        return f"{head}.{body}.{base64url(signature, padded=padded)}"

    def token(self, **claims: Any) -> str:
        """A token for ten minutes; None leaves a claim out."""
        now = int(time.time())
        given = {"iat": now, "exp": now + 600, **claims}
        return remember(self.sign({"typ": "JWT"}, {name: value for name, value in given.items() if value is not None}))

    def proof(self, method: str, url: str, token: str, **changes: Any) -> str:
        """A DPoP proof (RFC 9449); by a clock that is ahead, since just after its start a proxy takes no other."""
        public = {name: value for name, value in self.jwk.items() if name in ("kty", "crv", "x", "y")}
        ath = base64url(hashlib.sha256(token.encode()).digest())
        claims = {
            "htm": method,
            "htu": url,
            "ath": ath,
            "iat": time.time() + 4.9,
            "jti": base64url(hashlib.sha256(str(time.time_ns()).encode()).digest()),
        }
        given = {"alg": self.algorithm, "typ": "dpop+jwt", "jwk": public}
        head, body = (base64url(json.dumps(part).encode()) for part in (given, {**claims, **changes}))
        signature = ALGORITHMS[self.algorithm].sign(f"{head}.{body}".encode(), self.private)
        return f"{head}.{body}.{base64url(signature)}"


def jwks(*keys: Key) -> bytes:
    return json.dumps({"keys": [key.jwk for key in keys]}).encode()
