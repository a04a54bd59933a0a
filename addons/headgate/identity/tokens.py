"""Whether a token proves who calls: every check in its order, each a line in one table with its own reason.

`read` checks the form, which needs no provider; `judge` checks one provider's token against its pinned algorithms,
keys, issuer and audiences, and makes the Principal. PyJWT does the cryptography and nothing else: what it lets by
(tokens without an expiry, repeated members, UTF-16, any `typ`, keys meant for encryption) is checked around it.
Nothing here raises, whatever the bytes are, and nothing reads a clock.

Sources: RFC 7515 and 7519 (JWS, JWT), RFC 8725 (best current practice), RFC 8693 (`act`).
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from headgate.identity.jwks import VERIFIERS, Key, KeySet, safe_kid
from headgate.identity.presets import Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.strictjson import frozen, read_object
from headgate.model import Principal

MAX_TOKEN = 8 * 1024
FORBIDDEN_MEMBERS = frozenset(("jwk", "jku", "x5u", "x5c", "crit", "zip", "b64", "cty"))
"""Header members that bring a key along or change what is signed; none is needed, and each has been used to attack."""

TYPES = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt", "jose"))
_SEGMENTS = re.compile(r"([^.]*)\.([^.]*)\.([^.]*)\Z")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_LATEST = 253402300799  # the end of the year 9999


@dataclass(slots=True)
class Token:
    """A token while it is read; nothing in it is believed yet. Its text is in no representation."""

    text: str = field(repr=False)
    signed: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict, repr=False)

    def forget(self) -> None:
        """Keep nothing of it but the claims, which the checks of its times read."""
        self.text, self.signed, self.signature = "", b"", b""

    @property
    def kid(self) -> str | None:
        return self.header.get("kid")

    @property
    def algorithm(self) -> object:
        return self.header.get("alg")


@dataclass(slots=True)
class Case:
    """A token before one provider: what the checks of `JUDGING` see, and what they find out."""

    token: Token
    provider: Provider
    keys: KeySet | Rejected
    now: float
    key: Key | None = None
    audiences: frozenset[str] = frozenset()
    principal: Principal | None = None


KeysOf = Callable[[Provider], KeySet | Rejected]


def verify(text: str, provider: Provider, keys: KeySet | Rejected, now: float) -> Principal | Rejected:
    """Whether `text` is a token of `provider`, signed by one of `keys`, and valid at `now` (epoch seconds)."""
    token = read(text)
    return token if isinstance(token, Rejected) else judge(token, provider, keys, now)


def read(text: str) -> Token | Rejected:
    """A token whose form is right; its claims are not believed yet."""
    token = Token(text)
    for _, check in READING:
        if reason := check(token):
            return Rejected(reason)
    return token


def judge(token: Token, provider: Provider, keys: KeySet | Rejected, now: float) -> Principal | Rejected:
    case = judged(token, provider, keys, now)
    return case if isinstance(case, Rejected) else case.principal or Rejected(Reason.ID_MISSING)


def judged(token: Token, provider: Provider, keys: KeySet | Rejected, now: float) -> Case | Rejected:
    """All that the checks found out about an accepted token."""
    case = Case(token, provider, keys, now)
    for _, check in JUDGING:
        if reason := check(case):
            return Rejected(reason)
    return case


def untimely(case: Case, now: float) -> Reason | None:
    """Why a token that was accepted before is not valid at `now`."""
    case.now = now
    return _expiry(case) or _not_before(case) or _issued_at(case)


# ---------------------------------------------------------------------------------------------------------------- form


def _size(token: Token) -> Reason | None:
    return Reason.TOKEN_TOO_LONG if len(token.text) > MAX_TOKEN else None


def _form(token: Token) -> Reason | None:
    """Three segments, each base64url without padding in its one canonical form (no stray bits in the last letter)."""
    segments = _SEGMENTS.match(token.text)
    if not segments:
        return Reason.TOKEN_SEGMENTS
    decoded = [_base64url(segment) for segment in segments.groups()]
    header, claims, signature = decoded
    if header is None or claims is None or signature is None:
        return Reason.TOKEN_ENCODING
    token.signed, token.signature = token.text[: segments.end(2)].encode(), signature
    header_object, claims_object = read_object(header), read_object(claims)
    if header_object is None or claims_object is None:
        return Reason.TOKEN_JSON
    token.header, token.claims = header_object, claims_object
    return None


def _base64url(segment: str) -> bytes | None:
    if not _BASE64URL.match(segment):
        return None
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        return None
    return decoded if base64.urlsafe_b64encode(decoded).rstrip(b"=") == segment.encode() else None


def _header(token: Token) -> Reason | None:
    return None if FORBIDDEN_MEMBERS.isdisjoint(token.header) else Reason.HEADER_REFUSED


def _type(token: Token) -> Reason | None:
    """A logout token or a DPoP proof is signed by the same keys and is not an access token (RFC 8725, 3.11)."""
    declared = token.header.get("typ")
    known = declared is None or (isinstance(declared, str) and declared.lower() in TYPES)
    return None if known else Reason.TYPE_REFUSED


def _kid(token: Token) -> Reason | None:
    return None if "kid" not in token.header or safe_kid(token.kid) else Reason.KID_REFUSED


def _names_issuer(token: Token) -> Reason | None:
    issuer = token.claims.get("iss")
    return None if isinstance(issuer, str) and issuer else Reason.ISSUER_INVALID


READING: tuple[tuple[str, Callable[[Token], Reason | None]], ...] = (
    ("size", _size),
    ("form", _form),
    ("header", _header),
    ("type", _type),
    ("key id", _kid),
    ("issuer named", _names_issuer),
)


# --------------------------------------------------------------------------------------------- against one provider


def _algorithm(case: Case) -> Reason | None:
    algorithm = case.token.algorithm
    return None if isinstance(algorithm, str) and algorithm in case.provider.algorithms else Reason.ALGORITHM_REFUSED


def _key(case: Case) -> Reason | None:
    if isinstance(case.keys, Rejected):
        return case.keys.reason
    found = case.keys.find(case.token.kid, str(case.token.algorithm))
    if isinstance(found, Reason):
        return found
    case.key = found
    return None


def _signature(case: Case) -> Reason | None:
    verifier = VERIFIERS[str(case.token.algorithm)]
    if case.key is None:
        return Reason.SIGNATURE_INVALID
    try:
        verified = verifier.verify(case.token.signed, verifier.prepare_key(case.key.public), case.token.signature)
    except (jwt.PyJWTError, ValueError):
        verified = False
    return None if verified is True else Reason.SIGNATURE_INVALID


def _issuer(case: Case) -> Reason | None:
    return None if case.token.claims["iss"] == case.provider.issuer else Reason.ISSUER_MISMATCH


def _purpose(case: Case) -> Reason | None:
    """No bearer token: one for the holder of a key (RFC 7800), or one that tells what happened (RFC 8417)."""
    if "cnf" in case.token.claims:
        return Reason.KEY_BOUND
    return Reason.EVENT_TOKEN if "events" in case.token.claims else None


def _audience(case: Case) -> Reason | None:
    audience = case.token.claims.get("aud")
    if audience is None:
        return Reason.AUDIENCE_MISSING
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        return Reason.AUDIENCE_INVALID
    case.audiences = frozenset(named)
    return Reason.AUDIENCE_MISMATCH if case.audiences.isdisjoint(case.provider.audiences) else None


def _expiry(case: Case) -> Reason | None:
    expiry = case.token.claims.get("exp")
    if expiry is None:
        return Reason.EXPIRY_MISSING
    if not _is_time(expiry):
        return Reason.EXPIRY_INVALID
    return Reason.EXPIRED if expiry + case.provider.clock_skew <= case.now else None


def _not_before(case: Case) -> Reason | None:
    start = case.token.claims.get("nbf", 0)
    if not _is_time(start):
        return Reason.NOT_BEFORE_INVALID
    return Reason.NOT_YET_VALID if start - case.provider.clock_skew > case.now else None


def _issued_at(case: Case) -> Reason | None:
    issued = case.token.claims.get("iat", 0)
    if not _is_time(issued):
        return Reason.ISSUED_AT_INVALID
    return Reason.ISSUED_IN_FUTURE if issued - case.provider.clock_skew > case.now else None


def _lifetime(case: Case) -> Reason | None:
    longest, claims = case.provider.max_lifetime, case.token.claims
    if longest is None:
        return None
    if "iat" not in claims:
        return Reason.ISSUED_AT_MISSING
    return Reason.LIFETIME_TOO_LONG if claims["exp"] - claims["iat"] > longest else None


def _is_time(value: object) -> bool:
    """A NumericDate (RFC 7519, section 2) between 1970 and 9999; a boolean is a number only to Python."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def _caller(case: Case) -> Reason | None:
    claims: Mapping[str, Any] = frozen(case.token.claims)
    found = case.provider.mapped.principal(claims, case.audiences)
    if isinstance(found, Reason):
        return found
    case.principal = found
    return None


JUDGING: tuple[tuple[str, Callable[[Case], Reason | None]], ...] = (
    ("algorithm", _algorithm),
    ("key", _key),
    ("signature", _signature),
    ("issuer", _issuer),
    ("purpose", _purpose),
    ("audience", _audience),
    ("expiry", _expiry),
    ("not before", _not_before),
    ("issued at", _issued_at),
    ("lifetime", _lifetime),
    ("caller", _caller),
)
