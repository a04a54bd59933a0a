"""The sample identity provider: a key of its own, made when it starts, and tokens for whoever the demo has call."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from headgate.demo.listener import Answer, Call, Listener

ISSUER = "https://login.shop.example"
AUDIENCE = "shop"
ALGORITHM = "ES256"
LIFETIME = 3600
KEY_ID = "shop-1"

Clock = Callable[[], float]


class Signer:
    """A private key, and tokens signed with it; `kid` is what the tokens say about their key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())

    def mint(self, claims: Mapping[str, Any], *, issued: int = 0) -> str:
        """A token with these claims for an hour, from `issued` seconds from now; what `claims` says goes first."""
        start = int(self._clock()) + issued
        given = {"iss": ISSUER, "aud": AUDIENCE, "iat": start, "exp": start + LIFETIME, **claims}
        return jwt.encode(given, self._key, ALGORITHM, headers={"kid": KEY_ID})

    def jwks(self) -> bytes:
        """The public key as a JWK Set."""
        key = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**key, "kid": KEY_ID, "alg": ALGORITHM, "use": "sig"}]}).encode()


class SampleProvider:
    """Serves `/jwks.json`, and at `/token/NAME` a token for one of `callers`: this one asks for no password."""

    def __init__(self, clock: Clock, callers: Mapping[str, Mapping[str, Any]], port: int = 0) -> None:
        self.asked = threading.Event()
        self._signer, self._callers = Signer(clock), callers
        self._listener = Listener(self._answer, port)
        self.url = self._listener.url
        self.jwks_url = f"{self.url}/jwks.json"
        self.mint, self.close = self._signer.mint, self._listener.close

    def _answer(self, call: Call) -> Answer:
        if call.target == "/jwks.json":
            self.asked.set()
            return Answer(self._signer.jwks())
        claims = self._callers.get(call.target.removeprefix("/token/"))
        if claims is None:
            return Answer(b"accepted: " + ", ".join(f"/token/{name}" for name in self._callers).encode() + b"\n", 404)
        return Answer(self.mint(claims).encode(), content_type="text/plain")
