"""What a caller shows to prove who it is, and where: in the places that a provider of the rules reads, nowhere else.

Behind a reverse proxy that is `Authorization` (RFC 6750, section 2.1, or with a proof of possession RFC 9449; never a
query parameter or a form field), or the header or cookie in which an access proxy in front of this one puts its token.
To a forward proxy it is `Proxy-Authorization`, as Bearer or, because that is all that most clients can send to a proxy,
as Basic with user `token` and the token as password; the `Authorization` inside belongs to the upstream. A tunnel has
what its CONNECT showed; a request inside may repeat that, but not bring another.

Everything that is shown counts: of two different tokens none is preferred.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from headgate.identity.headers import cookie_values
from headgate.identity.hygiene import Clean, Mode
from headgate.identity.presets import BEARER
from headgate.identity.provider import IdentityRules
from headgate.identity.reasons import Reason, Rejected

_SCHEME = re.compile(rb"([A-Za-z]+)(?: +|\Z)")
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+\Z")  # token68 of RFC 9110, section 11.2
PROXY_USER = b"token"
PROOF = b"dpop"


@dataclass(frozen=True, slots=True)
class Shown:
    """A token, and the places where it stands. `bound` says that it came with the scheme of RFC 9449."""

    text: str = field(repr=False)
    places: tuple[str, ...]
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Presented:
    """All that a caller shows: tokens, each once; certificates of its connection (DER, its own first); what a trusted
    peer says of the certificate it saw; a proof of possession for this one request. None of it is in a representation.
    """

    tokens: tuple[Shown, ...] = ()
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    forwarded: bytes | None = field(default=None, repr=False)
    proof: bytes | None = field(default=None, repr=False)

    @property
    def nothing(self) -> bool:
        return not (self.tokens or self.certificates or self.forwarded)


def presented(
    mode: Mode,
    clean: Clean,
    rules: IdentityRules,
    *,
    certificates: tuple[bytes, ...] = (),
    peer_trusted: bool = False,
    bound: Presented | None = None,
) -> Presented | Rejected:
    """What is to be verified; `bound` is what a tunnel's CONNECT showed, `certificates` those of the connection."""
    certificates = certificates if rules.certificates else ()
    if mode is Mode.REVERSE:
        found = _in_request(clean, rules)
        if isinstance(found, Rejected):
            return found
        forwarded = clean.credentials.get(b"x-forwarded-client-cert") if rules.forwarded_certificates else None
        return Presented(found, certificates, forwarded if peer_trusted else None, clean.credentials.get(PROOF))
    shown = _for_proxy(clean.credentials.get(b"proxy-authorization"))
    if isinstance(shown, Rejected):
        return shown
    if mode is not Mode.TUNNEL:
        return Presented(shown, certificates)
    if bound is None:
        return Rejected(Reason.NO_TOKEN)
    return bound if shown in ((), bound.tokens) else Rejected(Reason.OTHER_TOKEN)


def _in_request(clean: Clean, rules: IdentityRules) -> tuple[Shown, ...] | Rejected:
    """Every token in a place that some provider reads; one that stands in several counts once."""
    found: dict[bytes, list[str]] = {}
    bound = False
    for name, place in rules.headers.items():
        if (value := clean.credentials.get(name)) is not None:
            found.setdefault(value, []).append(place)
    for name, place in rules.cookies.items():
        for value in cookie_values(clean.cookies, name):
            found.setdefault(value, []).append(place)
    if BEARER in rules.places and (value := clean.credentials.get(b"authorization")) is not None:
        scheme, _, token = value.partition(b" ")
        bound = scheme.lower() == PROOF
        if scheme.lower() != b"bearer" and not bound:
            return Rejected(Reason.UNSUPPORTED_SCHEME)
        found.setdefault(token.strip(b" "), []).append(BEARER)
    if not all(map(_TOKEN.match, found)):
        return Rejected(Reason.CREDENTIALS_MALFORMED)
    return tuple(Shown(text.decode(), tuple(places), bound and BEARER in places) for text, places in found.items())


def _for_proxy(value: bytes | None) -> tuple[Shown, ...] | Rejected:
    if value is None:
        return ()
    scheme = _scheme(value)
    token = _password(value) if scheme == b"basic" else value.partition(b" ")[2].strip(b" ")
    if scheme not in (b"basic", b"bearer"):
        return Rejected(Reason.UNSUPPORTED_SCHEME)
    if token is None or not _TOKEN.match(token):
        return Rejected(Reason.CREDENTIALS_MALFORMED)
    return (Shown(token.decode(), (BEARER,)),)


def _password(value: bytes) -> bytes | None:
    """The token in `token:` and the token, in base64 (RFC 7617)."""
    try:
        user, _, password = base64.b64decode(value.partition(b" ")[2].strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return password if user == PROXY_USER else None


def _scheme(value: bytes) -> bytes:
    found = _SCHEME.match(value)
    return found[1].lower() if found else b""
