"""What the upstream is told of the caller: a short-lived token, signed by this proxy for one target and one request.

The caller's own token was meant for this proxy; what goes on is a fresh statement with `aud` = the target's name and
`jti` = the decision's id, so that an upstream believes no copy that was made for another, and whoever reads its log
finds the decision. Its `typ` is one that no provider here accepts: it can never come back as a caller's token. Only
attributes that the caller has are in it; its raw claims are not, nor anything of its token.

Several keys make a rotation that drops nobody: the first signs, all are published. An upstream that keeps the published
set for a while knows the next key before it signs, and the one before as long as its last signatures live.

Sources: RFC 7515 and 7519 (JWS, JWT), RFC 7638 (thumbprint as `kid`), RFC 8725 section 3.11 (explicit `typ`).
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm
from pydantic import AfterValidator, BeforeValidator, Field

from headgate.errors import HeadgateError, InvalidRules
from headgate.match import Duration, Section, listed
from headgate.model import Principal, Workload
from headgate.secret import Reference, resolve, signing_key

ALGORITHM = "ES256"
TYPE = "headgate-assertion+jwt"
MAX_LENGTH = 8 * 1024
"""Upstreams commonly refuse more than 8 KiB of headers, some in ways that are hard to tell from a failure."""

LIFETIMES = (5.0, 300.0)
MAX_KEYS = 4
_ES256 = ECDSA(hashes.SHA256())
_COMPACT = json.JSONEncoder(separators=(",", ":"))
_HEADER = re.compile(r"X-Headgate(?:-[A-Za-z0-9]{1,32}){1,4}\Z", re.IGNORECASE)


def _header(name: str) -> str:
    if not _HEADER.match(name):
        raise ValueError(
            "not a header that is taken off every request before; accepted: `X-Headgate-` and letters or digits, such "
            "as `X-Headgate-Assertion`"
        )
    return name


Keys = Annotated[
    tuple[Reference, ...],
    BeforeValidator(listed, json_schema_input_type=Reference | list[Reference]),
    Field(min_length=1, max_length=MAX_KEYS),
]


class ForwardSpec(Section):
    """The block `forward:` of identity.yaml, as written. The first key signs, all are published."""

    header: Annotated[str, AfterValidator(_header)] = "X-Headgate-Assertion"
    issuer: Annotated[str, Field(min_length=1, max_length=200)] = "headgate"
    key: Keys
    ttl: Duration = 60.0
    drop_token: bool = True


@dataclass(frozen=True, slots=True)
class Forward:
    """What goes on to the upstream: in which header, signed by which keys (references), valid for `ttl` seconds."""

    header: str
    issuer: str
    keys: tuple[str, ...]
    ttl: float
    drop_token: bool


def compile_forward(spec: ForwardSpec) -> Forward:
    """The block, checked; InvalidRules names everything that is wrong, below the block. Reads no secret."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    if not LIFETIMES[0] <= spec.ttl <= LIFETIMES[1]:
        problems.append((("ttl",), "an assertion is for one request; accepted: from `5s` to `5m`"))
    if len(set(spec.key)) != len(spec.key):
        problems.append((("key",), "a key is named twice; accepted: each once, the one that signs first"))
    if problems:
        raise InvalidRules(problems)
    return Forward(spec.header, spec.issuer, spec.key, spec.ttl, spec.drop_token)


@dataclass(frozen=True, slots=True)
class AssertionKey:
    """One signing key: `kid` is its thumbprint, `jwk` its public half as it is published."""

    private: EllipticCurvePrivateKey = field(repr=False)
    kid: str
    jwk: Mapping[str, str]
    _head: bytes = field(repr=False)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """The key in `pem`; HeadgateError, which quotes nothing of it, if it is none that can sign here."""
        private = signing_key(pem)
        if private is None:
            raise HeadgateError(
                "not an EC P-256 private key in PEM without a password; `openssl genpkey -algorithm EC -pkeyopt "
                "ec_paramgen_curve:P-256` makes one"
            )
        public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        members = {name: str(public[name]) for name in ("crv", "kty", "x", "y")}
        kid = _base64url(hashlib.sha256(_json(members)).digest()).decode()
        head = _base64url(_json({"alg": ALGORITHM, "kid": kid, "typ": TYPE}))
        return cls(private, kid, {**members, "kid": kid, "alg": ALGORITHM, "use": "sig"}, head)

    def sign(self, principal: Principal, *, audience: str, issuer: str, now: float, ttl: float, token_id: str) -> str:
        """A compact JWT from `now` (seconds since the epoch) for `ttl` seconds; HeadgateError if it gets too long.

        Put together here, since every request pays for it: with the header encoded once and cryptography's signature
        (RFC 7518, section 3.4: r and s, 32 bytes each) it takes three quarters of what `jwt.encode` does.
        """
        issued = int(now)
        times = {"iat": issued, "exp": issued + int(ttl), "jti": token_id}
        claims = {"iss": issuer, "aud": audience, **times, **_about(principal)}
        signed = b".".join((self._head, _base64url(_json(claims))))
        r, s = decode_dss_signature(self.private.sign(signed, _ES256))
        assertion = b".".join((signed, _base64url(r.to_bytes(32) + s.to_bytes(32)))).decode()
        if len(assertion) > MAX_LENGTH:
            raise HeadgateError(f"the assertion for the upstream is longer than {MAX_LENGTH // 1024} KiB")
        return assertion


@dataclass(frozen=True, slots=True)
class AssertionKeys:
    """The keys of one `forward:` block, the signing one first."""

    keys: tuple[AssertionKey, ...]

    @classmethod
    def open(cls, references: tuple[str, ...], environ: Mapping[str, str], base: Path) -> Self:
        """Resolve every reference; HeadgateError, which names the reference, for the first that cannot be used."""
        return cls(tuple(_opened(references, environ, base)))

    @property
    def signing(self) -> AssertionKey:
        return self.keys[0]

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517)."""
        return {"keys": [dict(key.jwk) for key in self.keys]}


def _opened(references: tuple[str, ...], environ: Mapping[str, str], base: Path) -> Iterator[AssertionKey]:
    seen: set[str] = set()
    for text in references:
        pem = resolve(text, environ, base)
        try:
            key = AssertionKey.from_pem(pem)
        except HeadgateError as error:
            raise HeadgateError(f"secret `{text}` cannot sign assertions: {error}") from None
        if key.kid in seen:
            raise HeadgateError(f"secret `{text}` holds a key that is named twice under `forward`")
        seen.add(key.kid)
        yield key


def _about(principal: Principal) -> dict[str, Any]:
    """The caller as claims; what it has not is left out."""
    session = principal.session
    claims: dict[str, Any] = {
        "sub": principal.id,
        "kind": principal.kind.value,
        "provider": principal.provider,
        "email": principal.email,
        "groups": sorted(principal.groups),
        "owner": principal.owner,
        "person": principal.person,
        "environments": sorted(principal.environments),
        "workload": _workload(principal.workload),
        "session_id": session.id,
        "scopes": sorted(session.scopes),
    }
    return {name: value for name, value in claims.items() if value}


def _workload(workload: Workload) -> dict[str, Any]:
    """The code that calls, and whether it is on a signed list of releases; empty when nothing is known of it."""
    names = ("name", "version", "commit", "digest", "workflow")
    known = {name: value for name in names if (value := getattr(workload, name))}
    return {**known, "verified": workload.verified} if known or workload.verified else {}


def _json(value: Mapping[str, Any]) -> bytes:
    return _COMPACT.encode(value).encode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
