"""Whether a token proves who calls: every check in its order, each a line in one table with its own reason.

`read` checks the form, which needs no provider; `judged` checks one provider's token against its pinned algorithms,
keys, issuer and audiences, and against what every token of its preset has, and makes the Principal. PyJWT does the
cryptography and nothing else: what it lets by (tokens without an expiry, repeated members, UTF-16, any `typ`, keys
meant for encryption) is checked around it. Nothing here raises, whatever the bytes are, and nothing reads a clock.

Sources: RFC 7515 and 7519 (JWS, JWT), RFC 8725 (best current practice), RFC 8693 (`act`), RFC 7800 (`cnf`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.identity.claims import hold
from headgate.identity.compact import FOREIGN_MEMBERS, Compact, is_signed, split
from headgate.identity.jwks import Key, KeySet, safe_kid
from headgate.identity.provider import Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.spiffe import spiffe_trust_domain
from headgate.identity.strictjson import frozen
from headgate.match.pointers import lookup
from headgate.model import Principal

MAX_TOKEN = 8 * 1024
FORBIDDEN_MEMBERS = FOREIGN_MEMBERS | {"jwk"}
"""Header members that bring a key along or change what is signed; none is needed, and each has been used to attack."""

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_LATEST = 253402300799  # the end of the year 9999


NOTHING_READ = Compact({}, {}, b"", b"")


@dataclass(slots=True)
class Token:
    """A token while it is read; nothing in it is believed yet. Its text is in no representation.

    `padded` is for the providers whose segments end in `=` where base64 does: there the signature covers it.
    """

    text: str = field(repr=False)
    padded: bool = False
    parts: Compact = field(default=NOTHING_READ, repr=False)
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict, repr=False)

    def forget(self) -> None:
        """Keep nothing of it but header and claims, which the checks of its times read."""
        self.text, self.parts = "", NOTHING_READ

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
    thumbprint: str | None = None
    """Of the key whose holder alone may use the token (`cnf.jkt`, RFC 9449)."""
    principal: Principal | None = None

    def stated(self, name: str) -> Any:
        """A member where this provider puts it: in the header, or among the claims."""
        return (self.token.header if name in self.provider.shape.in_header else self.token.claims).get(name)


KeysOf = Callable[[Provider], KeySet | Rejected]


def read(text: str, *, padded: bool = False) -> Token | Rejected:
    """A token whose form is right; its claims are not believed yet."""
    token = Token(text, padded)
    for _, check in READING:
        if reason := check(token):
            return Rejected(reason)
    return token


def judged(token: Token, provider: Provider, keys: KeySet | Rejected, now: float) -> Case | Rejected:
    """Whether this is a token of `provider`, signed by one of `keys`, and valid at `now` (epoch seconds): all that the
    checks found out about an accepted one. A token with a `thumbprint` proves nothing by itself yet."""
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
    parts = split(token.text, padded=token.padded)
    if isinstance(parts, Reason):
        return parts
    token.parts, token.header, token.claims = parts, parts.header, parts.claims
    return None


def _header(token: Token) -> Reason | None:
    return None if FORBIDDEN_MEMBERS.isdisjoint(token.header) else Reason.HEADER_REFUSED


def _kid(token: Token) -> Reason | None:
    return None if "kid" not in token.header or safe_kid(token.kid) else Reason.KID_REFUSED


READING: tuple[tuple[str, Callable[[Token], Reason | None]], ...] = (
    ("size", _size),
    ("form", _form),
    ("header", _header),
    ("key id", _kid),
)


# --------------------------------------------------------------------------------------------- against one provider


def _type(case: Case) -> Reason | None:
    """Of a type that this provider's tokens have, and with no other header members where it allows none."""
    declared, shape = case.token.header.get("typ"), case.provider.shape
    if declared is not None and not (isinstance(declared, str) and declared.lower() in shape.types):
        return Reason.TYPE_REFUSED
    known = shape.header_members is None or case.token.header.keys() <= shape.header_members
    return None if known else Reason.HEADER_REFUSED


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
    if case.key is None or not is_signed(case.token.parts, case.key, str(case.token.algorithm)):
        return Reason.SIGNATURE_INVALID
    return None


def _issuer(case: Case) -> Reason | None:
    """Exactly the issuer; a SPIFFE token need not name one, its subject is in the trust domain that signs."""
    if case.provider.shape.named_by == "trust-domain":
        subject = case.token.claims.get("sub")
        ours = isinstance(subject, str) and spiffe_trust_domain(subject) == case.provider.issuer
        return None if ours else Reason.ISSUER_MISMATCH
    return None if case.stated("iss") == case.provider.issuer else Reason.ISSUER_MISMATCH


def _signer(case: Case) -> Reason | None:
    """The one load balancer: any other of the same region signs with keys from the same address (ALBeast)."""
    if case.provider.shape.named_by != "signer":
        return None
    signer = case.stated("signer")
    return None if isinstance(signer, str) and signer in case.provider.names else Reason.SIGNER_MISMATCH


def _purpose(case: Case) -> Reason | None:
    """A token that tells what happened (RFC 8417) is none to call with; one for the holder of a key needs a proof."""
    if "events" in case.token.claims:
        return Reason.EVENT_TOKEN
    if "cnf" not in case.token.claims:
        return None
    confirmation = case.token.claims["cnf"]
    thumbprint = confirmation.get("jkt") if isinstance(confirmation, dict) and len(confirmation) == 1 else None
    if not isinstance(thumbprint, str) or not _THUMBPRINT.match(thumbprint):
        return Reason.KEY_BOUND
    case.thumbprint = thumbprint
    return None


def _audience(case: Case) -> Reason | None:
    where = case.provider.shape.audience_in
    audience = case.token.claims.get("aud") if where == "claims" else case.token.header.get(where)
    if audience is None:
        return Reason.AUDIENCE_MISSING
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not named or not all(isinstance(item, str) for item in named):
        return Reason.AUDIENCE_INVALID
    if where != "claims" and len(named) != 1:
        return Reason.AUDIENCE_INVALID
    case.audiences = frozenset(named)
    accepted = case.provider.names if where == "signer" else case.provider.audiences
    return Reason.AUDIENCE_MISMATCH if case.audiences.isdisjoint(accepted) else None


def _expiry(case: Case) -> Reason | None:
    expiry = case.stated("exp")
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
    """How long it was issued for; where the provider gives no time of issue, how long it still has."""
    longest, claims = case.provider.max_lifetime, case.token.claims
    if longest is None:
        return None
    if "exp" in case.provider.shape.in_header:
        return Reason.LIFETIME_TOO_LONG if case.stated("exp") - case.now > longest + case.provider.clock_skew else None
    if "iat" not in claims:
        return Reason.ISSUED_AT_MISSING
    return Reason.LIFETIME_TOO_LONG if claims["exp"] - claims["iat"] > longest else None


def _is_time(value: object) -> bool:
    """A NumericDate (RFC 7519, section 2) between 1970 and 9999; a boolean is a number only to Python."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def _form_of_claims(case: Case) -> Reason | None:
    """What every token of this preset has, as its provider documents it."""
    claims, provider = case.token.claims, case.provider
    for path, pattern in provider.forms:
        value = lookup(claims, path)
        if not isinstance(value, str) or not pattern.match(value):
            return Reason.CLAIMS_UNLIKE_PRESET
    if provider.subject:
        template, paths = provider.subject
        if claims.get("sub") != template.format(*(lookup(claims, path) for path in paths)):
            return Reason.CLAIMS_UNLIKE_PRESET
    return None


def _required(case: Case) -> Reason | None:
    return None if hold(case.provider.exact, case.token.claims) else Reason.CLAIM_REFUSED


def _caller(case: Case) -> Reason | None:
    claims: Mapping[str, Any] = frozen(case.token.claims)
    found = case.provider.mapped.principal(claims, case.audiences, case.stated("exp"))
    if isinstance(found, Reason):
        return found
    case.principal = found
    return None


JUDGING: tuple[tuple[str, Callable[[Case], Reason | None]], ...] = (
    ("type", _type),
    ("algorithm", _algorithm),
    ("key", _key),
    ("signature", _signature),
    ("issuer", _issuer),
    ("signer", _signer),
    ("purpose", _purpose),
    ("audience", _audience),
    ("expiry", _expiry),
    ("not before", _not_before),
    ("issued at", _issued_at),
    ("lifetime", _lifetime),
    ("form of claims", _form_of_claims),
    ("required claims", _required),
    ("caller", _caller),
)
