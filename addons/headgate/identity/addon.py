"""Refuse malformed requests and callers that prove nothing; say who calls with the others.

This file translates between flows and values and decides nothing itself. What it writes back to a flow is what hygiene
says goes on: one canonical path, one host, no credentials of the caller, no header that this proxy itself asserts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mitmproxy import connection, http
from mitmproxy.proxy import mode_specs

from headgate.errors import HeadgateError
from headgate.identity.credentials import Presented, presented
from headgate.identity.development import DevelopmentKey
from headgate.identity.hygiene import Clean, Mode, RawRequest, check
from headgate.identity.jwks import KeySet
from headgate.identity.keys import Clock, KeyRing
from headgate.identity.memory import Memory
from headgate.identity.presets import DEVELOPMENT, IdentityRules, Provider
from headgate.identity.reasons import Malformed, Reason, Rejected
from headgate.model import Exchange, Kind, Principal, Refusal, Request, malformed, unauthenticated

ANONYMOUS = Principal(id="anonymous", kind=Kind.ANONYMOUS, provider="anonymous")


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the CONNECT of a client connection presented, and where it leads; void if its exchange was refused."""

    exchange: Exchange
    presented: Presented
    address: tuple[str, int]


class Identity:
    """The stage that says who calls; `request` on an exchange is set by it alone."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        rules: Callable[[Exchange], IdentityRules],
        keys: KeyRing,
        clock: Clock,
        accepts_host: Callable[[Exchange, str], bool],
        loopback_only: Callable[[], bool],
        development_key: Callable[[], DevelopmentKey | None],
    ) -> None:
        """`accepts_host(exchange, host)` says whether `host` is a name of the target of `exchange.request`."""
        self._exchanges, self._rules, self._keys, self._clock = exchanges, rules, keys, clock
        self._accepts_host, self._loopback_only, self._development_key = accepts_host, loopback_only, development_key
        self._tunnels: dict[str, Tunnel] = {}
        self._verified = Memory()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        exchange.source = flow.client_conn.peername[0]
        self._tunnels.pop(flow.client_conn.id, None)
        shown = self._judge(flow, exchange, Mode.CONNECT)
        if shown is not None and exchange.request is not None:
            flow.request.data.host = exchange.request.host.strip("[]")
            address = (flow.request.data.host, flow.request.data.port)
            self._tunnels[flow.client_conn.id] = Tunnel(exchange, shown, address)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        exchange.source = flow.client_conn.peername[0]
        mode = self._mode(flow)
        if mode is None:
            exchange.refusal = malformed(Malformed.UNSUPPORTED_LISTENER.value)
        elif self._judge(flow, exchange, mode) and exchange.request is not None:
            _lead(flow, mode, exchange.request)

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        if exchange.request is None:
            raise HeadgateError("a request was read to its end without having been judged at its headers")
        flow.request.trailers = None
        body = flow.request.raw_content or b""
        exchange.request = replace(exchange.request, body=body)
        if int(flow.request.headers.get("content-length", len(body))) != len(body):
            exchange.refusal = malformed(Malformed.LENGTH_MISMATCH.value)

    def client_disconnected(self, client: connection.Client) -> None:
        self._tunnels.pop(client.id, None)

    def _judge(self, flow: http.HTTPFlow, exchange: Exchange, mode: Mode) -> Presented | None:
        """Hygiene, then who calls; what was presented, or None if the exchange is refused."""
        tunnel = self._tunnel(flow)
        raw = _raw(flow, mode, tunnel.address if tunnel else None)
        clean = check(raw, lambda request, host: self._names(exchange, request, host))
        if isinstance(clean, Refusal):
            exchange.request, exchange.refusal = None, clean
            return None
        exchange.request = clean.request
        identified = self._identify(exchange, mode, clean, tunnel)
        _rewrite(flow.request, clean)
        if isinstance(identified, Rejected):
            exchange.refusal = _refused(identified.reason, mode)
            return None
        shown, exchange.principal = identified
        return shown

    def _identify(
        self, exchange: Exchange, mode: Mode, clean: Clean, tunnel: Tunnel | None
    ) -> tuple[Presented, Principal] | Rejected:
        shown = presented(mode, clean, tunnel.presented if tunnel else None)
        if isinstance(shown, Rejected):
            return shown
        caller = self._caller(exchange, shown)
        return caller if isinstance(caller, Rejected) else (shown, caller)

    def _caller(self, exchange: Exchange, shown: Presented) -> Principal | Rejected:
        rules = self._rules(exchange)
        if shown.token is None:
            return ANONYMOUS if rules.anonymous else Rejected(Reason.NO_TOKEN)
        return self._verified.authenticate(shown.token, rules, self._keys_of, self._clock(), self._keys.want)

    def _keys_of(self, provider: Provider) -> KeySet | Rejected:
        if provider.preset != DEVELOPMENT:
            return self._keys.keys(provider)
        if not self._loopback_only():
            return Rejected(Reason.DEVELOPMENT_OFF_LOOPBACK)
        key = self._development_key()
        return key.keys if key else Rejected(Reason.KEYS_UNAVAILABLE)

    def _names(self, exchange: Exchange, request: Request, host: str) -> bool:
        exchange.request = request
        return self._accepts_host(exchange, host)

    def _mode(self, flow: http.HTTPFlow) -> Mode | None:
        listener = flow.client_conn.proxy_mode
        if isinstance(listener, mode_specs.ReverseMode):
            return Mode.REVERSE
        if not isinstance(listener, mode_specs.RegularMode | mode_specs.UpstreamMode):
            return None
        return Mode.TUNNEL if self._tunnel(flow) else Mode.FORWARD

    def _tunnel(self, flow: http.HTTPFlow) -> Tunnel | None:
        tunnel = self._tunnels.get(flow.client_conn.id)
        return tunnel if tunnel and tunnel.exchange.refusal is None else None


def _raw(flow: http.HTTPFlow, mode: Mode, connected: tuple[str, int] | None) -> RawRequest:
    """The request as it was received; mitmproxy's own attributes would tidy it up (`.method` is in upper case)."""
    data, client = flow.request.data, flow.client_conn
    scheme = "https" if mode is Mode.CONNECT else data.scheme.decode("latin-1")
    return RawRequest(
        mode=mode,
        method=data.method,
        scheme=scheme,
        host=data.host,
        port=data.port,
        authority=data.authority,
        target=data.path,
        fields=data.headers.fields,
        version=data.http_version,
        sni=client.sni,
        alpn=client.alpn,
        connected=connected,
        listener=client.sockname[:2],
        source=client.peername[0],
    )


def _rewrite(request: http.Request, clean: Clean) -> None:
    """Make the request what was judged. A CONNECT has no path, and its line says where it leads."""
    request.headers = http.Headers(clean.fields)
    if request.data.method != b"CONNECT":
        request.data.path, request.data.authority = clean.target, clean.authority


def _lead(flow: http.HTTPFlow, mode: Mode, request: Request) -> None:
    """Make the connection lead to the host that was judged, by its TLS name too: where this proxy knows beforehand
    where requests go, mitmproxy would ask the upstream for the name that the caller asked for. An address becomes no
    server name: mitmproxy then compares the certificate with it, and sends none."""
    host = request.host.strip("[]")
    if mode is Mode.FORWARD:
        flow.request.data.host = host
    elif request.scheme == "https":
        flow.server_conn.sni = host


def _refused(reason: Reason, mode: Mode) -> Refusal:
    """401, or from a forward proxy 407: the caller has to prove itself to the proxy, not to the upstream."""
    refusal = unauthenticated(reason.value)
    return refusal if mode is Mode.REVERSE else replace(refusal, status=407)
