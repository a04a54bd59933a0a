"""Refuse malformed requests and callers that prove nothing; say who calls with the others, and tell the upstream.

This file translates between flows and values and decides nothing itself. What it writes back to a flow is what hygiene
says goes on: one canonical path, one host, no credentials of the caller, no header that this proxy itself asserts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from mitmproxy import connection, http
from mitmproxy.proxy import mode_specs

from headgate.errors import HeadgateError
from headgate.identity.assertion import AssertionKey
from headgate.identity.callers import Callers, Made
from headgate.identity.credentials import Presented, presented
from headgate.identity.development import DevelopmentKey
from headgate.identity.hygiene import NOTHING_TAKEN, Clean, Mode, RawRequest, check
from headgate.identity.jwks import KeySet
from headgate.identity.keys import Clock, KeyRing
from headgate.identity.memory import KeyWanted, Memory
from headgate.identity.overrides import body_refusal
from headgate.identity.presets import DEVELOPMENT
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Malformed, Reason, Rejected
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.identity.tracing import continue_or_start, traced_fields
from headgate.model import Exchange, PathRules, Principal, Refusal, Request, guard_error, malformed, unauthenticated

BRIEF = 64 * 1024
BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "DELETE", "CONNECT"))
"""A request waits for a key only if its body is of no more bytes than this, or if its method has none as a rule."""

KEY_PATIENCE = 4.0
"""Seconds a request waits for a key that its token names and that has not been fetched yet."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the CONNECT of a client connection presented, and where it leads; void if its exchange was refused."""

    exchange: Exchange
    presented: Presented
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is well formed, and what was shown with it."""

    flow: http.HTTPFlow
    exchange: Exchange
    mode: Mode
    request: Request
    shown: Presented
    rules: IdentityRules
    path_rules: PathRules


@dataclass(frozen=True, slots=True)
class Sources:
    """What identity takes from outside: each is asked anew for every request.

    `accepts_host(exchange, host)` says whether `host` is a name of the target of `exchange.request`, and
    `path_rules(exchange, scheme, host, port)` how paths are read at the target of such a place; `signer` gives the
    key for what the upstream is told under these rules, None where nothing is; `own_ports` are all at which this
    process listens. `certificates(client_id)` are those with which a connection began (DER, the caller's own first).
    """

    rules: Callable[[Exchange], IdentityRules]
    accepts_host: Callable[[Exchange, str], bool]
    path_rules: Callable[[Exchange, str, str, int], PathRules]
    loopback_only: Callable[[], bool]
    own_ports: Callable[[], frozenset[int]]
    development_key: Callable[[], DevelopmentKey | None]
    revocations: Callable[[], Revocations | None]
    signer: Callable[[IdentityRules], AssertionKey | None]
    certificates: Callable[[str], tuple[bytes, ...]]
    randomness: Callable[[int], bytes]


class Identity:
    """The stage that says who calls; `request` on an exchange is set by it alone."""

    def __init__(
        self, exchanges: Mapping[str, Exchange], sources: Sources, keys: KeyRing, replays: Replays, clock: Clock
    ) -> None:
        self._exchanges, self._sources, self._keys, self._clock = exchanges, sources, keys, clock
        self._callers = Callers(self._keys_of, sources.revocations, replays, Memory())
        self._tunnels: dict[str, Tunnel] = {}

    def http_connect(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        exchange = self._exchanges[flow.id]
        self._tunnels.pop(flow.client_conn.id, None)
        return self._judge(flow, exchange, Mode.CONNECT, self._open)

    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        exchange = self._exchanges[flow.id]
        mode = self._mode(flow)
        if mode is None:
            exchange.refusal = malformed(Malformed.UNSUPPORTED_LISTENER.value)
            return None
        return self._judge(flow, exchange, mode, _lead)

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        if exchange.request is None:
            raise HeadgateError("a request was read to its end without having been judged at its headers")
        flow.request.trailers = None
        body = flow.request.raw_content or b""
        exchange.request = replace(exchange.request, body=body)
        if int(flow.request.headers.get("content-length", len(body))) != len(body):
            exchange.refusal = malformed(Malformed.LENGTH_MISMATCH.value)
        elif misread := body_refusal(flow.request.headers.fields, body):
            exchange.refusal = malformed(misread.value)

    def vouch(self, flow: http.HTTPFlow) -> None:
        """Tell the upstream who calls, in a header that this proxy signs, and which trace this is part of: the last
        things done to an allowed request."""
        exchange = self._exchanges[flow.id]
        rules = self._sources.rules(exchange)
        if exchange.trace is not None:
            flow.request.headers = http.Headers(traced_fields(flow.request.headers.fields, exchange.trace))
        if rules.forward is None:
            return
        signer = self._sources.signer(rules)
        if signer is None or exchange.principal is None or exchange.target is None:
            exchange.refusal = guard_error("assertion-unavailable")
            return
        flow.request.headers[rules.forward.header] = signer.sign(
            exchange.principal,
            audience=exchange.target.name,
            issuer=rules.forward.issuer,
            now=self._clock(),
            ttl=rules.forward.ttl,
            token_id=exchange.decision_id,
        )

    def again(self, exchange: Exchange) -> Refusal | None:
        """Say who calls by what was shown with a request that has long been let pass, or why nobody is believed any
        more. `exchange` is made for this, with the rules in force now. A proof of possession has been used up."""
        if exchange.shown is None:
            raise HeadgateError("an exchange is judged again in which nothing was shown")
        mode, shown = exchange.shown
        caller = self._callers.identify(shown, None, self._sources.rules(exchange), self._clock())
        if isinstance(caller, Rejected):
            return _refused(caller.reason, mode)
        exchange.principal = caller
        return None

    def client_disconnected(self, client: connection.Client) -> None:
        self._tunnels.pop(client.id, None)

    # -- hygiene, then who calls --------------------------------------------------------------------------------------

    def _judge(self, flow: http.HTTPFlow, exchange: Exchange, mode: Mode, accept: "Accept") -> Awaitable[None] | None:
        rules, tunnel = self._sources.rules(exchange), self._tunnel(flow)
        believed = tunnel is None and rules.trusted_proxies.trusts(flow.client_conn.peername[0])
        self._trace(flow, exchange, trusted=believed)
        source = self._source(flow, rules, tunnel)
        if isinstance(source, Malformed):
            exchange.refusal = malformed(source.value)
            return None
        exchange.source = source
        taken = rules.taken if mode is Mode.REVERSE else NOTHING_TAKEN
        own_ports = frozenset() if mode is Mode.REVERSE else self._sources.own_ports()
        raw = _raw(flow, mode, tunnel.address if tunnel else None, source, own_ports)
        clean = check(
            raw,
            lambda request, host: self._names(exchange, request, host),
            taken,
            lambda scheme, host, port: self._sources.path_rules(exchange, scheme, host, port),
        )
        if isinstance(clean, Refusal):
            exchange.request, exchange.refusal = None, clean
            return None
        exchange.request = clean.request
        _rewrite(flow.request, clean)
        shown = presented(
            mode,
            clean,
            rules,
            certificates=self._sources.certificates(flow.client_conn.id),
            peer_trusted=rules.trusted_proxies.trusts(flow.client_conn.peername[0]),
            bound=tunnel.presented if tunnel else None,
        )
        if isinstance(shown, Rejected):
            exchange.refusal = _refused(shown.reason, mode)
            return None
        exchange.shown = (mode, shown)
        return self._identify(Call(flow, exchange, mode, clean.request, shown, rules, clean.path_rules), accept)

    def _identify(self, call: Call, accept: "Accept") -> Awaitable[None] | None:
        caller = self._caller(call)
        if isinstance(caller, KeyWanted):
            arrival = self._keys.arrival(caller.provider, caller.kid)
            if arrival is not None and _is_brief(call.request):
                return self._identify_later(arrival, call, accept)
        _settle(call, caller, accept)
        return None

    async def _identify_later(self, arrival: Awaitable[None], call: Call, accept: "Accept") -> None:
        """A key that the token names is being fetched: a rotation, or the first moments after the start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(KEY_PATIENCE):
                await arrival
        _settle(call, self._caller(call), accept)

    def _caller(self, call: Call) -> Principal | Rejected:
        made = Made(call.request.method, call.request.path if call.mode is Mode.REVERSE else None, call.path_rules)
        return self._callers.identify(call.shown, made, call.rules, self._clock())

    def _open(self, call: Call) -> None:
        """Bind what the CONNECT showed to its connection, unless that has ended while a key was awaited."""
        data, client = call.flow.request.data, call.flow.client_conn
        data.host = call.request.host.strip("[]")
        if client.connected:
            self._tunnels[client.id] = Tunnel(call.exchange, call.shown, (data.host, data.port))

    # -- what is asked on the way -------------------------------------------------------------------------------------

    def _keys_of(self, provider: Provider) -> KeySet | Rejected:
        if provider.preset != DEVELOPMENT:
            return self._keys.keys(provider)
        if not self._sources.loopback_only():
            return Rejected(Reason.DEVELOPMENT_OFF_LOOPBACK)
        key = self._sources.development_key()
        return key.keys if key else Rejected(Reason.KEYS_UNAVAILABLE)

    def _names(self, exchange: Exchange, request: Request, host: str) -> bool:
        exchange.request = request
        return self._sources.accepts_host(exchange, host)

    def _trace(self, flow: http.HTTPFlow, exchange: Exchange, *, trusted: bool) -> None:
        """Which trace the request belongs to: known before anything can refuse it."""
        named, state = (flow.request.headers.get_all(name) for name in ("traceparent", "tracestate"))
        trace = continue_or_start(named, state, trusted=trusted, randomness=self._sources.randomness)
        exchange.trace, exchange.trace_id = trace, trace.trace_id
        exchange.trace_link = trace.link.trace_id if trace.link else None

    def _source(self, flow: http.HTTPFlow, rules: IdentityRules, tunnel: Tunnel | None) -> str | Malformed:
        """Where the caller is; inside a tunnel, headers are the caller's own and no trusted peer's."""
        peer: str = flow.client_conn.peername[0]
        if tunnel:
            return tunnel.exchange.source
        if not rules.trusted_proxies.trusts(peer):
            return peer
        values = [value for name, value in flow.request.headers.fields if name.lower() == b"x-forwarded-for"]
        return rules.trusted_proxies.source(peer, values)

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


Accept = Callable[[Call], None]
"""What is done about a call whose caller is believed."""


def _settle(call: Call, caller: Principal | Rejected, accept: Accept) -> None:
    if isinstance(caller, Rejected):
        call.exchange.refusal = _refused(caller.reason, call.mode)
        return
    call.exchange.principal = caller
    accept(call)


def _is_brief(request: Request) -> bool:
    """Whether little would pile up while the request waits: nothing has been proven yet."""
    lengths = request.values("content-length")
    if lengths:
        return int(lengths[0]) <= BRIEF
    return not request.values("transfer-encoding") and request.method in BODILESS


def _lead(call: Call) -> None:
    """Make the connection lead to the host that was judged, by its TLS name too: where this proxy knows beforehand
    where requests go, mitmproxy would ask the upstream for the name that the caller asked for. An address becomes no
    server name: mitmproxy then compares the certificate with it, and sends none."""
    host = call.request.host.strip("[]")
    if call.mode is Mode.FORWARD:
        call.flow.request.data.host = host
    elif call.request.scheme == "https":
        call.flow.server_conn.sni = host


def _raw(
    flow: http.HTTPFlow, mode: Mode, connected: tuple[str, int] | None, source: str, own_ports: frozenset[int]
) -> RawRequest:
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
        own_ports=own_ports,
        source=source,
    )


def _rewrite(request: http.Request, clean: Clean) -> None:
    """Make the request what was judged. A CONNECT has no path, and its line says where it leads."""
    request.headers = http.Headers(clean.fields)
    if request.data.method != b"CONNECT":
        request.data.path, request.data.authority = clean.target, clean.authority


def _refused(reason: Reason, mode: Mode) -> Refusal:
    """401, or from a forward proxy 407: the caller has to prove itself to the proxy, not to the upstream."""
    refusal = unauthenticated(reason.value)
    return refusal if mode is Mode.REVERSE else replace(refusal, status=407)
