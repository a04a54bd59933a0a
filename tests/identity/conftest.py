"""An identity provider with real keys, that can also sign what no honest provider would."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from headgate.bundled import Files
from headgate.identity.dpop import thumbprint_of
from headgate.identity.jwks import KeySet, parse_jwks
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Rejected
from headgate.identity.rules import IdentityFile, compile_identity
from headgate.identity.tokens import Case, judged, read
from headgate.model import Principal

NOW = 1_700_000_000
ISSUER = "https://sso.example.com"
ALGORITHMS = get_default_algorithms()

FITTING = {
    "ec": ["ES256"],
    "stranger": ["ES256"],
    "ec384": ["ES384"],
    "ec521": ["ES512"],
    "rsa": ["RS256", "PS256"],
    "ed": ["EdDSA"],
}


def base64url(data: bytes, *, padded: bool = False) -> str:
    encoded = base64.urlsafe_b64encode(data).decode()
    return encoded if padded else encoded.rstrip("=")


def judge(text: str, provider: Provider, keys: KeySet | Rejected, now: float) -> Case | Rejected:
    """A token before one provider, by every check there is."""
    token = read(text, padded=provider.shape.pads(text))
    return token if isinstance(token, Rejected) else judged(token, provider, keys, now)


def verify(text: str, provider: Provider, keys: KeySet | Rejected, now: float) -> Principal | Rejected:
    """Whom a token names; whether its holder has to prove more is not asked."""
    case = judge(text, provider, keys, now)
    if isinstance(case, Rejected):
        return case
    assert case.principal is not None
    return case.principal


def identity(folder: Path, *providers: Mapping[str, Any], **file: Any) -> IdentityRules:
    """identity.yaml with these providers, compiled."""
    return compile_identity(IdentityFile.model_validate({"providers": list(providers), **file}), Files(folder))


class Issuer:
    """Signs tokens with keys named after their type; `jwks` publishes the ones that are listed."""

    now = NOW
    name = ISSUER

    def __init__(self) -> None:
        self.private: dict[str, Any] = {
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ec384": ec.generate_private_key(ec.SECP384R1()),
            "ec521": ec.generate_private_key(ec.SECP521R1()),
            "rsa": rsa.generate_private_key(65537, 2048),
            "ed": ed25519.Ed25519PrivateKey.generate(),
            "stranger": ec.generate_private_key(ec.SECP256R1()),
        }
        self.keys = self.key_set("ec", "ec384", "ec521", "rsa", "ed")

    def jwk(self, name: str, **members: Any) -> dict[str, Any]:
        public = self.private[name].public_key()
        if isinstance(public, rsa.RSAPublicKey):
            jwk = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            jwk = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
        jwk.pop("key_ops", None)
        return {**jwk, "kid": name, **members}

    def jwks(self, *names: str) -> bytes:
        return json.dumps({"keys": [self.jwk(name) for name in names]}).encode()

    def key_set(self, *names: str) -> KeySet:
        return parse_jwks(self.jwks(*names))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of an ordinary token, changed; None removes one."""
        claims = {"iss": ISSUER, "aud": "payments", "sub": "ana", "iat": NOW - 10, "exp": NOW + 600, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, header: Mapping[str, Any] | None = None, key: str = "ec", **claims: Any) -> str:
        return self.sign({"alg": "ES256", "kid": key, "typ": "JWT", **(header or {})}, self.claims(**claims), key)

    def sign(
        self,
        header: Mapping[str, Any] | bytes,
        payload: Mapping[str, Any] | bytes,
        key: str = "ec",
        *,
        padded: bool = False,
    ) -> str:
        """A token of exactly these two parts, signed with the algorithm that fits the key."""
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
        signed = ".".join(base64url(part, padded=padded) for part in parts)
        declared = header.get("alg") if isinstance(header, Mapping) else None
        fitting = FITTING[key]
        name = declared if declared in fitting else fitting[0]
        return f"{signed}.{base64url(ALGORITHMS[name].sign(signed.encode(), self.private[key]), padded=padded)}"

    def thumbprint(self, key: str = "stranger") -> str:
        """Of a caller's key; by default one that this issuer does not publish."""
        return str(thumbprint_of(self.jwk(key)))

    def bound_token(self, **claims: Any) -> str:
        """A token for the holder of that key only (RFC 9449, section 6)."""
        return self.token(cnf={"jkt": self.thumbprint()}, **claims)

    def proof(self, token: str, key: str = "stranger", **claims: Any) -> bytes:
        """What the holder of the key signs for one request, GET https://guard.example.com/v1/x."""
        digest = base64url(hashlib.sha256(token.encode()).digest())
        usual = {"htm": "GET", "htu": "https://guard.example.com/v1/x", "ath": digest, "iat": NOW, "jti": "proof-0001"}
        jwk = {name: value for name, value in self.jwk(key).items() if name != "kid"}
        return self.sign({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, {**usual, **claims}, key).encode()

    def key_file(self, folder: Path) -> str:
        """As `jwks:` names it, once it is there: the public keys of all but the stranger."""
        (folder / "keys.json").write_bytes(self.jwks("ec", "ec384", "ec521", "rsa", "ed"))
        return "file:keys.json"

    def written(self, folder: Path, **changes: Any) -> dict[str, Any]:
        """One oidc provider, as identity.yaml has it; None takes a key out."""
        provider = {
            "name": "corp-sso",
            "preset": "oidc",
            "issuer": ISSUER,
            "audiences": ["payments"],
            "jwks": self.key_file(folder),
            "algorithms": ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"],
            "kind": "human",
            **changes,
        }
        return {name: value for name, value in provider.items() if value is not None}

    def rules(self, folder: Path, **changes: Any) -> IdentityRules:
        """One oidc provider; its keys are in a file of `folder`."""
        return identity(folder, self.written(folder, **changes))

    def provider(self, folder: Path, **changes: Any) -> Provider:
        return self.rules(folder, **changes).providers[0]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def provider(issuer: Issuer, tmp_path: Path) -> Provider:
    return issuer.provider(tmp_path)


def cases(name: str) -> list[Any]:
    """The rows of a truth table, each with its note as id."""
    path = Path(__file__).parents[1] / "cases" / f"{name}.yaml"
    return [pytest.param(case, id=case["note"]) for case in yaml.safe_load(path.read_text(encoding="utf-8"))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `token_case`, `hygiene_case` or `path_case` runs once for each row of that table."""
    for fixture, table in (("token_case", "tokens"), ("hygiene_case", "hygiene"), ("path_case", "paths")):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, cases(table))
