"""Refuse what no honest client sends and what lets two parsers disagree; say exactly what will be forwarded.

A request that passes has one method, one host, one path, one length and no header that a later parser could take for
an identity. What is decided on (`Clean.request`) is what goes on (`Clean.fields`, `target`, `authority`): the rules
never see a spelling that the upstream does not get.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from headgate.identity.authority import Authority, dialled_host, host_field, parse_authority
from headgate.identity.headers import Fields, Headers, Name, Role, codings, connection, read, refusal
from headgate.identity.paths import canonical, query_refusal
from headgate.identity.reasons import Malformed
from headgate.model import Refusal, Request, malformed

VERSIONS = frozenset((b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0"))
NEVER_FORWARDED = frozenset((b"CONNECT", b"TRACE", b"TRACK"))
LOOPBACK = frozenset(("localhost", "127.0.0.1", "[::1]"))
ANY_ADDRESS = frozenset(("0.0.0.0", "[::]"))  # noqa: S104 - compared with, not bound to
_METHOD = re.compile(rb"[A-Z][A-Z0-9-]{0,31}\Z")


class Mode(StrEnum):
    """How the request came: to a service behind this proxy, or through a forward proxy and at which point."""

    REVERSE = "reverse"
    FORWARD = "forward"
    CONNECT = "connect"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as received. `host` and `port` are where its bytes will go; `authority` is what the request line (or
    `:authority`) said, `sni` the name that the TLS client asked for, `alpn` the protocol agreed on with it, `connected`
    where the CONNECT of its tunnel leads; `listener` is the address this proxy was reached at."""

    mode: Mode
    method: bytes
    scheme: str
    host: str
    port: int
    authority: bytes
    target: bytes
    fields: Fields = field(repr=False)
    version: bytes = b"HTTP/1.1"
    sni: str | None = None
    alpn: bytes | None = None
    connected: tuple[str, int] | None = None
    listener: tuple[str, int] = ("", 0)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Clean:
    """A request that only one reading fits: as rules see it, and as it is to be forwarded.

    The caller's credentials have been taken out of both; they are here for who looks for a token.
    """

    request: Request
    fields: Fields = field(repr=False)
    target: bytes
    authority: bytes
    authorization: bytes | None = field(default=None, repr=False)
    proxy_authorization: bytes | None = field(default=None, repr=False)


NamesTarget = Callable[[Request, str], bool]
"""Whether a host is a name of the target that this request will go to."""


def check(raw: RawRequest, names_target: NamesTarget) -> Clean | Refusal:
    """The request as it will be forwarded, or why it is malformed."""
    checked = _check(raw, names_target)
    return malformed(checked.value) if isinstance(checked, Malformed) else checked


def _check(raw: RawRequest, names_target: NamesTarget) -> Clean | Malformed:
    if raw.version not in VERSIONS or (raw.version == b"HTTP/2.0") is not (raw.alpn == b"h2"):
        return Malformed.HTTP_VERSION
    if not _METHOD.match(raw.method) or (raw.method in NEVER_FORWARDED) is not (raw.mode is Mode.CONNECT):
        return Malformed.METHOD
    if raw.scheme not in ("http", "https"):
        return Malformed.SCHEME
    headers = read(raw.fields)
    if isinstance(headers, Malformed):
        return headers
    if reason := refusal(headers, raw.version):
        return reason
    host = dialled_host(raw.host)
    named = _named(raw, headers)
    if host is None or isinstance(named, Malformed):
        return named if isinstance(named, Malformed) else Malformed.HOST_MALFORMED
    clean = _clean(raw, host, headers)
    if isinstance(clean, Malformed):
        return clean
    return _misdirected(raw, clean.request, named, names_target) or clean


def _named(raw: RawRequest, headers: Headers) -> Authority | Malformed | None:
    """The one host that the request names, by request line and Host header; HTTP/1.0 may name none."""
    given = [value for value in (raw.authority, headers.found.get(b"host")) if value]
    named = [parse_authority(value) for value in given]
    if not given:
        return None if raw.version == b"HTTP/1.0" else Malformed.HOST_MISSING
    first, last = named[0], named[-1]
    if first is None or last is None:
        return Malformed.HOST_MALFORMED
    same_port = first.port_for(raw.scheme) == last.port_for(raw.scheme)
    if first.host != last.host or not (same_port or (raw.mode is Mode.CONNECT and last.port is None)):
        return Malformed.AUTHORITY_MISMATCH
    return first


def _misdirected(raw: RawRequest, request: Request, named: Authority | None, names: NamesTarget) -> Malformed | None:
    """Why what the request names is not where it goes."""
    if raw.mode is not Mode.REVERSE and _is_own(raw, request):
        return Malformed.PROXY_LOOP
    if raw.mode is Mode.TUNNEL and raw.connected != (raw.host, raw.port):
        return Malformed.AUTHORITY_MISMATCH
    if not _tls_fits(raw, request, named, names):
        return Malformed.SNI_MISMATCH
    if named is None:
        return None
    if raw.mode is Mode.REVERSE:
        return None if _known(raw, request, named.host, names) else Malformed.HOST_MISMATCH
    if named.host == request.host:
        return None if named.port_for(raw.scheme) == request.port else Malformed.AUTHORITY_MISMATCH
    if raw.mode is Mode.TUNNEL and names(request, named.host):
        return None
    return Malformed.AUTHORITY_MISMATCH


def _tls_fits(raw: RawRequest, request: Request, named: Authority | None, names: NamesTarget) -> bool:
    """Whether TLS that ends here was asked for the host that the request names, or names none, for where it goes."""
    ends_here = raw.mode is Mode.REVERSE or (raw.mode is Mode.TUNNEL and raw.scheme == "https")
    if not raw.sni or not ends_here:
        return True
    asked = dialled_host(raw.sni)
    if asked is None or named is not None:
        return named is not None and asked == named.host
    return _known(raw, request, asked, names)


def _known(raw: RawRequest, request: Request, host: str, names: NamesTarget) -> bool:
    """Whether `host` is where the bytes go, a name of that target, or in reverse mode this proxy."""
    own = (*LOOPBACK, dialled_host(raw.listener[0])) if raw.mode is Mode.REVERSE else ()
    return host == request.host or host in own or names(request, host)


def _is_own(raw: RawRequest, request: Request) -> bool:
    own = {dialled_host(raw.listener[0]), *LOOPBACK, *ANY_ADDRESS}
    return request.port == raw.listener[1] and request.host in own


def _clean(raw: RawRequest, host: str, headers: Headers) -> Clean | Malformed:
    target = _target(raw)
    if isinstance(target, Malformed):
        return target
    path, query = target
    place = host_field(raw.scheme, host, raw.port)
    fields: list[tuple[bytes, bytes]] = []
    seen: list[tuple[str, str]] = []
    for name, spelled, value in headers.kept:
        forwarded = _forwarded(raw, name, value, place)
        if forwarded is None:
            continue
        try:
            seen.append((name.text, forwarded.decode()))
        except UnicodeDecodeError:
            return Malformed.HEADER_NOT_UTF8
        fields.append((spelled, forwarded))
    if b"host" not in headers.found:
        seen.insert(0, ("host", place))
        fields.insert(0, (b"Host", place.encode()))
    return Clean(
        Request(raw.method.decode(), raw.scheme, host, raw.port, path, query, tuple(seen), raw.source),
        tuple(pair for pair in fields if not (raw.version == b"HTTP/2.0" and pair[0].lower() == b"host")),
        f"{path}?{query}".encode() if b"?" in raw.target else path.encode(),
        place.encode() if raw.version == b"HTTP/2.0" or (raw.mode is Mode.FORWARD and raw.authority) else b"",
        headers.found.get(b"authorization"),
        headers.found.get(b"proxy-authorization"),
    )


def _forwarded(raw: RawRequest, name: Name, value: bytes, place: str) -> bytes | None:
    """The value that goes on, or None when the field stays here."""
    match name.role:
        case Role.HOST:
            return place.encode()
        case Role.TOKEN:  # what a forward proxy is not asked to read belongs to the upstream
            return None if raw.mode is Mode.REVERSE else value
        case Role.CODINGS:
            return codings(value)
        case Role.CONNECTION:
            return connection(value)
        case _:
            return value


def _target(raw: RawRequest) -> tuple[str, str] | Malformed:
    """Canonical path and query; a CONNECT has neither."""
    if raw.mode is Mode.CONNECT:
        return "/", ""
    path, _, query = raw.target.partition(b"?")
    spelled = canonical(path)
    text = query.decode("latin-1")
    return spelled if isinstance(spelled, Malformed) else (query_refusal(text) or (spelled, text))
