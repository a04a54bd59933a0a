"""Refuse what no honest client sends and what lets two parsers disagree; say exactly what will be forwarded.

A request that passes has one method, one host, one path, one length and no header that a later parser could take for
an identity. What is decided on (`Clean.request`) is what goes on (`Clean.fields`, `target`, `authority`): the rules
never see a spelling that the upstream does not get.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from headgate.identity.authority import Authority, dialled_host, host_field, parse_authority
from headgate.identity.headers import (
    Fields,
    Headers,
    Name,
    Role,
    connection,
    read,
    refusal,
    without_cookies,
)
from headgate.identity.overrides import in_query
from headgate.identity.paths import canonical, query_refusal
from headgate.identity.reasons import Malformed
from headgate.identity.sources import is_loopback
from headgate.identity.upgrades import is_websocket
from headgate.model import STRICT, PathRules, Refusal, Request, malformed

VERSIONS = frozenset((b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0"))
NEVER_FORWARDED = frozenset((b"CONNECT", b"TRACE", b"TRACK", b"WEBSOCKET"))  # the last is what rules call an upgrade
LOOPBACK = frozenset(("localhost", "127.0.0.1", "[::1]"))
ANY_ADDRESS = frozenset(("0.0.0.0", "[::]"))  # noqa: S104 - compared with, not bound to
NOTHING: Mapping[bytes, bytes] = MappingProxyType({})
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}\Z")


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
    where the CONNECT of its tunnel leads; `listener` is the address this proxy was reached at, `own_ports` are all at
    which its process listens."""

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
    own_ports: frozenset[int] = frozenset()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Clean:
    """A request that only one reading fits: as rules see it, and as it is to be forwarded.

    The caller's proofs have been taken out of both; `credentials` has the last value of each field received, by its
    name's normal form, and `cookies` every `Cookie` field, for who looks for them. `path_rules` are those by which its
    path was read.
    """

    request: Request
    fields: Fields = field(repr=False)
    target: bytes
    authority: bytes
    credentials: Mapping[bytes, bytes] = field(default=NOTHING, repr=False)
    cookies: tuple[bytes, ...] = field(default=(), repr=False)
    path_rules: PathRules = STRICT


@dataclass(frozen=True, slots=True)
class Taken:
    """Fields and cookies in which callers prove who they are, by the rules in force: what rules and records see of a
    request is without them, and unless they travel, so is what goes on."""

    headers: frozenset[bytes] = frozenset()
    cookies: frozenset[bytes] = frozenset()
    travel: bool = False


NOTHING_TAKEN = Taken()

NamesTarget = Callable[[Request, str], bool]
"""Whether a host is a name of the target that this request will go to."""

PathRulesOf = Callable[[str, str, int], PathRules]
"""How paths are read at the target of a scheme, a canonical host and a port."""


def strictly(scheme: str, host: str, port: int) -> PathRules:
    """The same rules for every target: nothing is loosened."""
    del scheme, host, port
    return STRICT


def check(
    raw: RawRequest, names_target: NamesTarget, taken: Taken = NOTHING_TAKEN, path_rules: PathRulesOf = strictly
) -> Clean | Refusal:
    """The request as it will be forwarded, or why it is malformed."""
    checked = _check(raw, names_target, taken, path_rules)
    return malformed(checked.value) if isinstance(checked, Malformed) else checked


def _check(raw: RawRequest, names_target: NamesTarget, taken: Taken, path_rules: PathRulesOf) -> Clean | Malformed:
    if raw.version not in VERSIONS or (raw.version == b"HTTP/2.0") is not (raw.alpn == b"h2"):
        return Malformed.HTTP_VERSION
    if raw.mode is Mode.CONNECT and raw.version == b"HTTP/2.0":  # several tunnels on one connection, of several callers
        return Malformed.HTTP_VERSION
    if not _METHOD.match(raw.method) or (raw.method in NEVER_FORWARDED) is not (raw.mode is Mode.CONNECT):
        return Malformed.METHOD
    if raw.scheme not in ("http", "https"):
        return Malformed.SCHEME
    headers = read(raw.fields, taken.headers if taken.travel else frozenset())
    if isinstance(headers, Malformed):
        return headers
    if not is_websocket(raw.method, raw.version, headers) and (reason := refusal(headers, raw.version)):
        return reason
    host = dialled_host(raw.host)
    named = _named(raw, headers)
    if host is None or isinstance(named, Malformed):
        return named if isinstance(named, Malformed) else Malformed.HOST_MALFORMED
    clean = _clean(raw, host, headers, taken, path_rules(raw.scheme, host, raw.port))
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
    """Whether this proxy listens there, as far as a name says so: a listener on all addresses has all of 127/8, and
    systems resolve every name below `localhost` to this machine (RFC 6761, section 6.3)."""
    if request.port not in (raw.listener[1], *raw.own_ports):
        return False
    own = {dialled_host(raw.listener[0]), *ANY_ADDRESS}
    return request.host in own or request.host.endswith(".localhost") or is_loopback(request.host.strip("[]"))


def _clean(raw: RawRequest, host: str, headers: Headers, taken: Taken, path_rules: PathRules) -> Clean | Malformed:
    target = _target(raw, path_rules)
    if isinstance(target, Malformed):
        return target
    path, query = target
    place = host_field(raw.scheme, host, raw.port)
    fields: list[tuple[bytes, bytes]] = []
    seen: list[tuple[str, str]] = []
    for name, spelled, value in headers.kept:
        forwarded = None if name.plain in taken.headers else _forwarded(name, value, place, taken)
        travels = taken.travel and (name.plain in taken.headers or name.role is Role.COOKIE)
        sent = value if travels else forwarded
        if sent is None:
            continue
        fields.append((spelled, sent))
        try:
            text = sent.decode()
        except UnicodeDecodeError:
            return Malformed.HEADER_NOT_UTF8
        if forwarded is not None:
            seen.append((name.text, forwarded.decode() if travels else text))
    if b"host" not in headers.found:
        seen.insert(0, ("host", place))
        fields.insert(0, (b"Host", place.encode()))
    return Clean(
        Request(raw.method.decode(), raw.scheme, host, raw.port, path, query, tuple(seen), raw.source),
        tuple(pair for pair in fields if not (raw.version == b"HTTP/2.0" and pair[0].lower() == b"host")),
        f"{path}?{query}".encode() if b"?" in raw.target else path.encode(),
        place.encode() if raw.version == b"HTTP/2.0" or (raw.mode is Mode.FORWARD and raw.authority) else b"",
        headers.found,
        tuple(headers.listed.get(b"cookie", ())),
        path_rules,
    )


def _forwarded(name: Name, value: bytes, place: str, taken: Taken) -> bytes | None:
    """The value that goes on, or None when the field stays here."""
    match name.role:
        case Role.HOST:
            return place.encode()
        case Role.COOKIE:
            return (without_cookies(value, taken.cookies) or None) if taken.cookies else value
        case Role.CONNECTION:
            return connection(value)
        case Role.TRANSFER | Role.UPGRADE:
            return value.lower()
        case _:
            return value


def _target(raw: RawRequest, rules: PathRules) -> tuple[str, str] | Malformed:
    """Canonical path and query; a CONNECT has neither."""
    if raw.mode is Mode.CONNECT:
        return "/", ""
    path, _, query = raw.target.partition(b"?")
    spelled = canonical(path, rules)
    if isinstance(spelled, Malformed):
        return spelled
    text = query.decode("latin-1")
    return query_refusal(text) or (Malformed.METHOD_OVERRIDE if text and in_query(text) else (spelled, text))
