"""Which header fields a request may carry, which are taken off it, and which make it ambiguous.

Gateways and applications fold names differently: CGI and WSGI read `X_User` and `X.User` as `X-User`, some servers even
`X!User`, and a proxy that strips only one spelling lets the others through. So names are compared in one normal form,
and a name that matters, or that comes in two spellings, must be spelled plainly. What callers say of themselves without
a signature is dropped.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from headgate.identity.reasons import Malformed

Fields = tuple[tuple[bytes, bytes], ...]

MAX_FIELDS = 200
MAX_BYTES = 64 * 1024
MAX_NAME = 200

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")  # RFC 9110, section 5.6.2
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab may stand in a value
_LENGTH = re.compile(rb"(?:0|[1-9][0-9]{0,17})\Z")
_PLAINLY = bytes.maketrans(b"!#$%&'*+.^_`|~", b"-" * 14)  # lighttpd makes `_` of them all


class Role(Enum):
    """What happens to a field."""

    KEPT = auto()
    COOKIE = auto()  # may carry the caller's token among others
    DROPPED = auto()  # identity without a signature, or hop-by-hop
    REFUSED = auto()  # would make the upstream act on another method, host or path
    UPGRADE = auto()
    CONNECTION = auto()
    TRANSFER = auto()  # named in lower case, which every parser knows
    NEGOTIATED = auto()  # what response is asked for: where one has to be masked, masking changes it by its plain name
    EXPECT = auto()
    HOST = auto()


def _names(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


ASSERTED = _names("""
    x-forwarded-user x-forwarded-email x-forwarded-groups x-forwarded-preferred-username x-forwarded-access-token
    x-forwarded-client-cert client-cert client-cert-chain
    remote-user remote-groups remote-email remote-name x-remote-user x-remote-group x-remote-groups
    x-user x-user-id x-userinfo x-anonymous-consumer x-arr-clientcert x-ssl-cert iv-user iv-groups iv-creds
    x-goog-iap-jwt-assertion x-jwt-assertion x-apigateway-api-userinfo x-endpoint-api-userinfo
""")
"""Headers by which proxies tell applications who is calling; from a caller they mean nothing."""

ASSERTED_PREFIXES = (
    b"x-auth-request-",
    b"x-ms-client-principal",
    b"x-ms-token-",
    b"x-amzn-oidc-",
    b"x-amzn-ava-",
    b"x-amzn-mtls-",
    b"x-goog-authenticated-user-",
    b"cf-access-",
    b"cf-client-cert-",
    b"x-pomerium-",
    b"teleport-",
    b"x-headgate-",
    b"x-authentik-",
    b"x-vouch-",
    b"tailscale-",
    b"x-remote-extra-",
    b"x-webauth-",
    b"x-authenticated-",
    b"x-consumer-",
    b"x-credential-",
    b"x-appengine-user-",
    b"x-client-cert",
    b"ssl-client-",
    b"x-ssl-client-",
    b"oidc-",
    b"sm-user",
    b"impersonate-",
)
FORWARDED = _names("forwarded x-real-ip true-client-ip x-client-ip x-cluster-client-ip cf-connecting-ip")
"""What earlier hops say; of it `X-Forwarded-For` is believed, of trusted peers."""

OVERRIDES = _names("""
    x-http-method-override x-http-method x-method-override x-method http-method-override method-override -method
    x-original-method x-original-url x-original-uri x-original-path x-rewrite-url x-rewrite-uri x-override-url
    x-request-uri request-uri x-waws-unencoded-url x-ms-original-url
    x-envoy-original-path x-envoy-original-dst-host x-original-host x-host x-http-host-override
    x-sendfile-type x-accel-mapping
""")
HOP_BY_HOP = _names("keep-alive te trailer http2-settings proxy")  # `Proxy` is HTTP_PROXY to CGI (2016-5385)
EXTENSIONS = _names("sec-websocket-extensions")  # compressed messages could not be read as they travel
NEGOTIATED = _names("accept-encoding range if-range if-none-match if-modified-since")
DROPPED = FORWARDED | HOP_BY_HOP | EXTENSIONS
SINGLE = _names("""
    host authorization proxy-authorization dpop content-length content-type content-encoding transfer-encoding
    connection expect upgrade date origin referer user-agent range if-range max-forwards
    sec-websocket-key sec-websocket-version sec-websocket-protocol sec-websocket-accept
""")
LISTED = frozenset((b"cookie", b"x-forwarded-for"))
"""Fields that may come more than once and of which each value is looked at."""

SPECIAL = {
    b"host": Role.HOST,
    b"connection": Role.CONNECTION,
    b"transfer-encoding": Role.TRANSFER,
    b"upgrade": Role.UPGRADE,
    b"expect": Role.EXPECT,
    b"cookie": Role.COOKIE,
    **dict.fromkeys(NEGOTIATED, Role.NEGOTIATED),
}
MAY_BE_CONNECTION_OPTION = frozenset((b"close", b"keep-alive", b"te", b"upgrade", b"http2-settings"))


@dataclass(frozen=True, slots=True)
class Name:
    """A header name, judged once: `plain` is its normal form, `text` as rules see it."""

    plain: bytes
    text: str
    role: Role
    single: bool
    aliased: bool


@lru_cache(maxsize=4096)
def _judge(name: bytes) -> Name | None:
    """None for what is not a token."""
    if not _NAME.match(name):
        return None
    lower = name.lower()
    plain = lower.translate(_PLAINLY)
    identity = plain in ASSERTED or plain.startswith(ASSERTED_PREFIXES)
    role = SPECIAL.get(plain, Role.KEPT)
    if plain in OVERRIDES:
        role = Role.REFUSED
    elif identity or plain in DROPPED or plain.startswith((b"x-forwarded-", b"proxy-")):
        role = Role.DROPPED
    single = identity or plain in SINGLE
    return Name(plain, lower.decode(), role, single, lower != plain and (single or role is not Role.KEPT))


@dataclass(slots=True)
class Headers:
    """The fields of one request, taken apart; `kept` go on, with their names as rules see them."""

    kept: list[tuple[Name, bytes, bytes]]
    found: dict[bytes, bytes]
    """The last value of each normal form, dropped fields included."""
    listed: dict[bytes, list[bytes]]
    """All values of the fields in `LISTED`, in order."""


def read(fields: Fields, travelling: frozenset[bytes] = frozenset()) -> Headers | Malformed:
    """Every field judged, or why they make the request ambiguous; `travelling` are kept though others drop them."""
    if len(fields) > MAX_FIELDS or sum(len(name) + len(value) for name, value in fields) > MAX_BYTES:
        return Malformed.HEADERS_TOO_LARGE
    headers = Headers([], {}, {})
    spelled: dict[bytes, str] = {}
    for raw, value in fields:
        name = _judge(raw) if len(raw) <= MAX_NAME else None
        if name is None:
            return Malformed.HEADER_NAME
        if _BAD_VALUE.search(value):
            return Malformed.CONTROL_CHARACTER
        if name.aliased or spelled.setdefault(name.plain, name.text) != name.text:
            return Malformed.ALIASED_HEADER
        if name.single and name.plain in headers.found:
            return Malformed.DUPLICATE_HEADER
        headers.found[name.plain] = value
        if name.plain in LISTED:
            headers.listed.setdefault(name.plain, []).append(value)
        if name.role is Role.REFUSED:
            return Malformed.OVERRIDE_HEADER
        if name.role is not Role.DROPPED or name.plain in travelling:
            headers.kept.append((name, raw, value))
    return headers


def refusal(headers: Headers, version: bytes) -> Malformed | None:
    """What is wrong with the fields that say how the message is framed and carried."""
    found = headers.found
    if b"upgrade" in found or b"http2-settings" in found:
        return Malformed.UPGRADE_REFUSED
    options = {option.strip().lower() for option in found.get(b"connection", b"close").split(b",")}
    if not options <= MAY_BE_CONNECTION_OPTION:
        return Malformed.CONNECTION_HEADER
    if b"upgrade" in options:
        return Malformed.UPGRADE_REFUSED
    if found.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Malformed.EXPECT_REFUSED
    coding, length = found.get(b"transfer-encoding"), found.get(b"content-length")
    if coding is not None and (coding.lower() != b"chunked" or version != b"HTTP/1.1"):
        return Malformed.TRANSFER_ENCODING
    if length is not None and (coding is not None or not _LENGTH.match(length)):
        return Malformed.LENGTH_AMBIGUOUS
    return None


def connection(value: bytes) -> bytes | None:
    """`Connection` as far as it is about the connection to this proxy; None when nothing of it is left."""
    options = [option.strip() for option in value.lower().split(b",")]
    if b"upgrade" in options:  # of a WebSocket: no other upgrade gets this far
        return b"Upgrade"
    return b", ".join(option for option in options if option in (b"close", b"keep-alive")) or None


def cookie_values(fields: tuple[bytes, ...], name: bytes) -> list[bytes]:
    """Every value of one cookie; names are compared as they are (RFC 6265, section 5.4)."""
    pairs = (pair.strip(b" \t").partition(b"=") for field in fields for pair in field.split(b";"))
    return [value.strip(b" \t") for key, equals, value in pairs if equals and key.rstrip(b" \t") == name]


def without_cookies(field: bytes, names: frozenset[bytes]) -> bytes:
    """A `Cookie` field without the cookies of these names; empty when no other is left."""
    kept = (pair.strip(b" \t") for pair in field.split(b";") if pair.partition(b"=")[0].strip(b" \t") not in names)
    return b"; ".join(pair for pair in kept if pair)
