"""Where a token is looked for: one place for each way of standing in the path, and nowhere else.

In reverse mode it is `Authorization: Bearer` (RFC 6750, section 2.1; never a query parameter or a form field). As a
forward proxy it is `Proxy-Authorization`, as Bearer or, because that is all that most clients can send to a proxy, as
Basic with user `token` and the token as password; the `Authorization` inside belongs to the upstream. A tunnel has the
token that its CONNECT brought; a request inside may repeat it, but not bring another.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from headgate.identity.hygiene import Clean, Mode
from headgate.identity.reasons import Reason, Rejected

_SCHEME = re.compile(rb"([A-Za-z]+)(?: +|\Z)")
_BEARER = re.compile(rb"[A-Za-z]+ +([A-Za-z0-9._~+/=-]+)\Z")  # token68 of RFC 9110, section 11.2
PROXY_USER = b"token"


@dataclass(frozen=True, slots=True)
class Presented:
    """What the caller presents: a token, or nothing. Its text is in no representation."""

    token: str | None = field(repr=False)


def presented(mode: Mode, clean: Clean, bound: Presented | None = None) -> Presented | Rejected:
    """The token to verify; `bound` is what the CONNECT of a tunnel presented."""
    if mode is Mode.REVERSE:
        return _bearer(clean.authorization)
    found = _for_proxy(clean.proxy_authorization)
    if mode is not Mode.TUNNEL or isinstance(found, Rejected):
        return found
    if bound is None:
        return Rejected(Reason.NO_TOKEN)
    return bound if found.token in (None, bound.token) else Rejected(Reason.TWO_TOKENS)


def _bearer(value: bytes | None) -> Presented | Rejected:
    if value is None:
        return Presented(None)
    if _scheme(value) != b"bearer":
        return Rejected(Reason.UNSUPPORTED_SCHEME)
    found = _BEARER.match(value)
    return Presented(found[1].decode()) if found else Rejected(Reason.CREDENTIALS_MALFORMED)


def _for_proxy(value: bytes | None) -> Presented | Rejected:
    return _basic(value) if value is not None and _scheme(value) == b"basic" else _bearer(value)


def _basic(value: bytes) -> Presented | Rejected:
    """`token:` and the token, in base64 (RFC 7617)."""
    try:
        user, colon, password = base64.b64decode(value.partition(b" ")[2].strip(), validate=True).partition(b":")
        token = password.decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return Rejected(Reason.CREDENTIALS_MALFORMED)
    if user != PROXY_USER or not colon or not token:
        return Rejected(Reason.CREDENTIALS_MALFORMED)
    return Presented(token)


def _scheme(value: bytes) -> bytes:
    found = _SCHEME.match(value)
    return found[1].lower() if found else b""
