"""The stage on flows: what it takes from them, what it writes back, and whom it lets on."""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mitmproxy import certs, http
from mitmproxy.connection import Client
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers.http import HttpConnectHook, HttpRequestHeadersHook
from mitmproxy.test import tflow
from tests.identity import pki
from tests.identity.conftest import identity
from tests.identity.endpoint import Endpoint, running
from tests.identity.virtual_time import clock, now, run

from headgate.errors import HeadgateError
from headgate.identity.addon import KEY_PATIENCE, Identity, Sources
from headgate.identity.assertion import AssertionKey
from headgate.identity.development import DevelopmentKey
from headgate.identity.keys import KeyRing
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocation, Revocations
from headgate.model import STRICT, BundleRef, Exchange, Kind, PathRules, Target, denied
from headgate.proxy.guard import Guard
from headgate.proxy.stages import Stages

REVERSE = "reverse:http://10.0.0.9:9000"
PEER = "127.0.0.1"
"""Where mitmproxy's own test flows come from."""


class Stage:
    """An Identity with everything it needs, and flows to hand it."""

    def __init__(self, issuer: Any, folder: Path) -> None:
        self.issuer, self.folder = issuer, folder
        self.exchanges: dict[str, Exchange] = {}
        self.rules: IdentityRules = issuer.rules(folder)
        self.now = issuer.now
        self.loopback = True
        self.key: DevelopmentKey | None = None
        self.signer: AssertionKey | None = None
        self.revocations: Revocations | None = Revocations.of(())
        self.chains: dict[str, tuple[bytes, ...]] = {}
        self.names: set[str] = set()
        self.path_rules: dict[tuple[str, str, int], PathRules] = {}
        self.own_ports: frozenset[int] = frozenset()
        self.ring = KeyRing(lambda: self.now)
        self.identity = self.made(self.ring)

    def made(self, ring: KeyRing, exchanges: Any = None) -> Identity:
        sources = Sources(
            rules=lambda _: self.rules,
            accepts_host=lambda exchange, host: exchange.request is not None and host in self.names,
            path_rules=lambda _exchange, scheme, host, port: self.path_rules.get((scheme, host, port), STRICT),
            loopback_only=lambda: self.loopback,
            own_ports=lambda: self.own_ports,
            development_key=lambda: self.key,
            revocations=lambda: self.revocations,
            signer=lambda _: self.signer,
            certificates=lambda client_id: self.chains.get(client_id, ()),
            randomness=lambda size: b"\x07" * size,
        )
        exchanges = self.exchanges if exchanges is None else exchanges
        return Identity(exchanges, sources, ring, Replays(started=0.0), lambda: self.now)

    def flow(
        self, *headers: tuple[str, str], mode: str = REVERSE, client: Client | None = None, **changes: Any
    ) -> http.HTTPFlow:
        flow = tflow.tflow(resp=False)
        flow.live = True
        flow.client_conn = client or flow.client_conn
        flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse(mode)
        flow.client_conn.sni = None
        given = {"host": "10.0.0.9", "port": 9000, "method": b"GET", "scheme": b"http", "authority": b""}
        given |= {"path": b"/v1/x", "http_version": b"HTTP/1.1", **changes}
        flow.client_conn.alpn = b"h2" if given["http_version"] == b"HTTP/2.0" else None
        fields = [(name.encode(), value.encode()) for name, value in headers]
        if not any(name.lower() == b"host" for name, _ in fields):
            fields.insert(0, (b"Host", b"10.0.0.9:9000"))
        flow.request = http.Request(
            headers=http.Headers(fields), content=b"body", trailers=None, timestamp_start=0, timestamp_end=0, **given
        )
        self.exchanges[flow.id] = Exchange("id", self.now)
        return flow

    def judge(self, flow: http.HTTPFlow) -> Exchange:
        """What becomes of a request for which nothing has to be waited for."""
        assert self.identity.requestheaders(flow) is None
        return self.exchanges[flow.id]

    def tunnel(self, *headers: tuple[str, str], client: Client | None = None, **changes: Any) -> http.HTTPFlow:
        given = {"method": b"CONNECT", "scheme": b"", "authority": b"10.0.0.9:9000", "path": b"", **changes}
        return self.flow(*headers, mode="regular", client=client, **given)

    def connect(self, *headers: tuple[str, str], client: Client | None = None, **changes: Any) -> http.HTTPFlow:
        flow = self.tunnel(*headers, client=client, **changes)
        assert self.identity.http_connect(flow) is None
        return flow

    def inner(self, opened: http.HTTPFlow, *headers: tuple[str, str]) -> http.HTTPFlow:
        """A request in the tunnel that was opened."""
        return self.flow(*headers, mode="regular", client=opened.client_conn)

    def client(self, *holders: pki.Holder, peer: str = PEER) -> Client:
        """A connection that began with these certificates."""
        made = tflow.tclient_conn()
        made.peername = (peer, 4711)
        self.chains[made.id] = tuple(holder.der for holder in holders)
        return made

    def exchange(self, flow: http.HTTPFlow) -> Exchange:
        return self.exchanges[flow.id]


@pytest.fixture
def stage(issuer: Any, tmp_path: Path) -> Stage:
    return Stage(issuer, tmp_path)


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def proxy_bearer(token: str) -> tuple[str, str]:
    return ("Proxy-Authorization", f"Bearer {token}")


def refusal(exchange: Exchange) -> tuple[int, str]:
    assert exchange.refusal is not None
    return exchange.refusal.status, exchange.refusal.reason


def test_a_verified_caller_goes_on_without_its_token(stage: Stage) -> None:
    token = bearer(stage.issuer.token())
    flow = stage.flow(token, ("Accept", "*/*"), ("X-Forwarded-User", "eve"), path=b"/%76%31/x?q=1")
    exchange = stage.judge(flow)
    assert exchange.refusal is None
    assert exchange.principal is not None
    assert exchange.request is not None
    assert (exchange.principal.id, exchange.source) == ("ana", flow.client_conn.peername[0])
    assert flow.request.data.path == b"/v1/x?q=1"
    assert flow.request.headers.fields == ((b"Host", b"10.0.0.9:9000"), (b"Accept", b"*/*"))
    assert exchange.request.headers == (("host", "10.0.0.9:9000"), ("accept", "*/*"))
    assert exchange.request.body is None


def test_the_body_is_seen_when_it_is_there_and_trailers_do_not_go_on(stage: Stage) -> None:
    flow = stage.flow(bearer(stage.issuer.token()))
    exchange = stage.judge(flow)
    flow.request.trailers = http.Headers([(b"X-User", b"eve")])
    stage.identity.request(flow)
    assert exchange.request is not None
    assert exchange.request.body == b"body"
    assert flow.request.trailers is None


@pytest.mark.parametrize("length", ["0", "3", "5", "50"])
def test_a_body_that_is_not_as_long_as_announced_is_refused(stage: Stage, length: str) -> None:
    flow = stage.flow(bearer(stage.issuer.token()), ("Content-Length", length))
    exchange = stage.judge(flow)
    assert exchange.refusal is None
    stage.identity.request(flow)
    assert refusal(exchange) == (400, "length-mismatch")


def test_a_body_that_is_as_long_as_announced_goes_on(stage: Stage) -> None:
    flow = stage.flow(bearer(stage.issuer.token()), ("Content-Length", "4"))
    stage.judge(flow)
    stage.identity.request(flow)
    assert stage.exchange(flow).refusal is None


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/x-www-form-urlencoded", b"a=1&_method=DELETE", "method-override"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"a=1", "form-unreadable"),
        ("application/x-www-form-urlencoded", b"a=_method", None),
    ],
)
def test_a_body_that_asks_for_another_method_is_refused(
    stage: Stage, content_type: str, body: bytes, reason: str | None
) -> None:
    flow = stage.flow(bearer(stage.issuer.token()), ("Content-Type", content_type), method=b"POST")
    flow.request.raw_content = body
    exchange = stage.judge(flow)
    assert exchange.refusal is None, "it has not been read yet"
    stage.identity.request(flow)
    assert (refusal(exchange) if exchange.refusal else None) == ((400, reason) if reason else None)


def test_the_name_that_tls_asks_the_upstream_for_is_the_host_that_was_judged(stage: Stage) -> None:
    stage.names.add("www.api.example")
    for host, name in (("API.Example.", "api.example"), ("::ffff:10.0.0.9", "10.0.0.9"), ("::1", "::1")):
        flow = stage.flow(bearer(stage.issuer.token()), ("Host", "www.api.example"), host=host, scheme=b"https")
        flow.client_conn.sni, flow.server_conn.sni = "www.api.example", None
        assert stage.judge(flow).refusal is None
        assert flow.server_conn.sni == name


def test_a_malformed_request_is_no_request(stage: Stage) -> None:
    exchange = stage.judge(stage.flow(bearer(stage.issuer.token()), path=b"/a/../b"))
    assert refusal(exchange) == (400, "path-dot-segment")
    assert (exchange.request, exchange.principal) == (None, None)


def test_the_method_is_read_as_it_was_sent(stage: Stage) -> None:
    assert refusal(stage.judge(stage.flow(bearer(stage.issuer.token()), method=b"get"))) == (400, "method")


def test_a_caller_without_a_valid_token_is_refused_and_its_token_is_gone(stage: Stage) -> None:
    flow = stage.flow(bearer(stage.issuer.token(aud="web")))
    exchange = stage.judge(flow)
    assert refusal(exchange) == (401, "audience-mismatch")
    assert exchange.principal is None
    assert "Authorization" not in flow.request.headers
    assert refusal(stage.judge(stage.flow())) == (401, "no-token")
    assert refusal(stage.judge(stage.flow(("Authorization", "Basic eDp5")))) == (401, "unsupported-scheme")


def test_an_anonymous_caller_is_one_without_a_token_and_never_one_with_a_bad_one(stage: Stage) -> None:
    stage.rules = replace(stage.rules, anonymous=True)
    exchange = stage.judge(stage.flow())
    assert exchange.refusal is None
    assert exchange.principal is not None
    assert exchange.principal.kind is Kind.ANONYMOUS
    assert refusal(stage.judge(stage.flow(bearer("x.y.z")))) == (401, "token-encoding")


def test_another_name_of_the_target_may_be_used(stage: Stage) -> None:
    token = bearer(stage.issuer.token())
    assert refusal(stage.judge(stage.flow(token, ("Host", "api.corp.example")))) == (400, "host-mismatch")
    stage.names.add("api.corp.example")
    flow = stage.flow(token, ("Host", "api.corp.example"))
    assert stage.judge(flow).refusal is None
    assert flow.request.headers["Host"] == "10.0.0.9:9000"


def test_over_http2_the_authority_says_where_the_bytes_go(stage: Stage) -> None:
    flow = stage.flow(bearer(stage.issuer.token()), http_version=b"HTTP/2.0", authority=b"10.0.0.9:9000")
    assert stage.judge(flow).refusal is None
    assert (flow.request.data.authority, flow.request.headers.fields) == (b"10.0.0.9:9000", ())


def test_other_listeners_are_refused(stage: Stage) -> None:
    for mode in ("transparent", "socks5"):
        assert refusal(stage.judge(stage.flow(mode=mode))) == (400, "unsupported-listener")


def test_an_unknown_key_is_asked_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[tuple[str, str | None]] = []

    def arrival(_ring: KeyRing, provider: Provider, kid: str | None) -> Awaitable[None] | None:
        wanted.append((provider.name, kid))
        return None

    monkeypatch.setattr(KeyRing, "arrival", arrival)
    assert refusal(stage.judge(stage.flow(bearer(stage.issuer.token({"kid": "new"}))))) == (401, "unknown-key")
    assert wanted == [("corp-sso", "new")]
    stage.judge(stage.flow(bearer(stage.issuer.token())))
    stage.judge(stage.flow(bearer("x.y.z")))
    assert wanted == [("corp-sso", "new")]


def test_keys_that_have_not_been_fetched_let_nobody_in(stage: Stage) -> None:
    stage.rules = stage.issuer.rules(stage.folder, jwks="https://sso.example.com/jwks.json")
    assert refusal(stage.judge(stage.flow(bearer(stage.issuer.token())))) == (401, "keys-unavailable")


def test_development_tokens_count_on_loopback_only(stage: Stage) -> None:
    stage.rules = identity(stage.folder, {"name": "dev", "preset": "development", "audiences": ["headgate-dev"]})
    key = DevelopmentKey.open(stage.folder)
    token = bearer(key.mint({"sub": "dev", "aud": "headgate-dev", "kind": "human"}, now=stage.now))
    assert refusal(stage.judge(stage.flow(token))) == (401, "keys-unavailable")
    stage.key = key
    assert stage.judge(stage.flow(token)).refusal is None
    stage.loopback = False
    assert refusal(stage.judge(stage.flow(token))) == (401, "development-off-loopback")


# ---------------------------------------------------------------------------------------------------- forward proxies


def test_a_forward_request_is_refused_with_407(stage: Stage) -> None:
    token = stage.issuer.token()
    assert refusal(stage.judge(stage.flow(bearer(token), mode="regular"))) == (407, "no-token")
    flow = stage.flow(bearer("upstream"), proxy_bearer(token), mode="regular")
    exchange = stage.judge(flow)
    assert exchange.refusal is None
    assert flow.request.headers.fields == ((b"Host", b"10.0.0.9:9000"), (b"Authorization", b"Bearer upstream"))


def test_a_forward_request_goes_to_the_host_in_its_one_spelling(stage: Stage) -> None:
    token, named = proxy_bearer(stage.issuer.token()), {"mode": "regular", "port": 80}
    flow = stage.flow(token, ("Host", "API.Example."), host="API.Example.", **named)
    assert stage.judge(flow).refusal is None
    assert (flow.request.data.host, flow.request.headers["Host"]) == ("api.example", "api.example")
    flow = stage.flow(token, ("Host", "[::ffff:10.0.0.9]"), host="::ffff:10.0.0.9", **named)
    assert stage.judge(flow).refusal is None
    assert flow.request.data.host == "10.0.0.9"


def test_a_tunnel_is_bound_to_the_token_of_its_connect(stage: Stage) -> None:
    opened = stage.connect(proxy_bearer(stage.issuer.token()), ("Host", "10.0.0.9:9000"))
    assert stage.exchange(opened).refusal is None
    assert "Proxy-Authorization" not in opened.request.headers
    assert opened.request.data.authority == b"10.0.0.9:9000"
    flow = stage.flow(bearer("upstream"), mode="regular", client=opened.client_conn)
    exchange = stage.judge(flow)
    assert exchange.refusal is None
    assert exchange.principal is not None
    assert exchange.principal.id == "ana"
    assert flow.request.headers["Authorization"] == "Bearer upstream"


def test_each_request_in_a_tunnel_is_judged_anew(stage: Stage) -> None:
    opened = stage.connect(proxy_bearer(stage.issuer.token()))
    client = opened.client_conn
    assert stage.judge(stage.flow(mode="regular", client=client)).refusal is None
    other = proxy_bearer(stage.issuer.token(sub="eve"))
    assert refusal(stage.judge(stage.flow(other, mode="regular", client=client))) == (407, "other-token")
    stage.now += 3600
    assert refusal(stage.judge(stage.flow(mode="regular", client=client))) == (407, "expired")
    stage.now -= 3600
    stage.rules = IdentityRules(())
    assert refusal(stage.judge(stage.flow(mode="regular", client=client))) == (407, "issuer-unknown")


def test_a_connect_without_a_valid_token_opens_nothing(stage: Stage) -> None:
    for header, reason in ((("X-A", "b"), "no-token"), (proxy_bearer("x"), "token-segments")):
        opened = stage.connect(header)
        assert refusal(stage.exchange(opened)) == (407, reason)
        inner = stage.flow(mode="regular", client=opened.client_conn)
        assert refusal(stage.judge(inner)) == (407, "no-token")
    assert refusal(stage.exchange(stage.connect(("Host", "evil.example")))) == (400, "authority-mismatch")


def test_a_connect_that_a_later_stage_refused_binds_nothing(stage: Stage) -> None:
    opened = stage.connect(proxy_bearer(stage.issuer.token()))
    stage.exchange(opened).refusal = denied("no-rule-allows")
    assert refusal(stage.judge(stage.flow(mode="regular", client=opened.client_conn))) == (407, "no-token")


def test_a_new_connect_replaces_the_earlier_one(stage: Stage) -> None:
    opened = stage.connect(proxy_bearer(stage.issuer.token()))
    stage.connect(proxy_bearer("x"), client=opened.client_conn)
    assert refusal(stage.judge(stage.flow(mode="regular", client=opened.client_conn))) == (407, "no-token")


def test_a_tunnel_ends_with_its_connection(stage: Stage) -> None:
    opened = stage.connect(proxy_bearer(stage.issuer.token()))
    stage.identity.client_disconnected(opened.client_conn)
    assert refusal(stage.judge(stage.flow(mode="regular", client=opened.client_conn))) == (407, "no-token")
    stage.identity.client_disconnected(opened.client_conn)


def test_a_tunnel_of_another_connection_is_not_this_one_s(stage: Stage) -> None:
    stage.connect(proxy_bearer(stage.issuer.token()))
    assert refusal(stage.judge(stage.flow(mode="regular", client=tflow.tclient_conn()))) == (407, "no-token")


def test_a_request_in_a_tunnel_goes_where_the_tunnel_leads(stage: Stage) -> None:
    opened = stage.connect(proxy_bearer(stage.issuer.token()))
    flow = stage.flow(mode="regular", client=opened.client_conn, host="10.0.0.8")
    assert refusal(stage.judge(flow)) == (400, "authority-mismatch")


def test_this_process_is_not_asked_through_itself(stage: Stage) -> None:
    token = proxy_bearer(stage.issuer.token())
    place, named = {"host": PEER, "port": 8082}, ("Host", f"{PEER}:8082")
    opened = stage.connect(token, named, authority=b"127.0.0.1:8082", **place)
    assert stage.exchange(opened).refusal is None
    stage.own_ports = frozenset((8080, 8082))
    opened = stage.connect(token, named, authority=b"127.0.0.1:8082", **place)
    assert refusal(stage.exchange(opened)) == (400, "proxy-loop")
    forward = stage.flow(token, named, mode="regular", **place)
    assert refusal(stage.judge(forward)) == (400, "proxy-loop")


# ---------------------------------------------------------------------------------------------------- what travels on


IAP = {
    "name": "iap",
    "preset": "google-iap",
    "audiences": ["/projects/123/global/backendServices/456"],
}


def iap_token(issuer: Any) -> str:
    claims = {"iss": "https://cloud.google.com/iap", "aud": IAP["audiences"][0], "sub": "ana"}
    claims |= {"iat": issuer.now - 10, "exp": issuer.now + 60}
    token: str = issuer.sign({"alg": "ES256", "kid": "ec"}, claims)
    return token


def test_an_authorization_that_no_provider_reads_goes_on_untouched(stage: Stage) -> None:
    stage.rules = identity(stage.folder, {**IAP, "jwks": stage.issuer.key_file(stage.folder)})
    own = ("Authorization", "Basic dXBzdHJlYW06c2VjcmV0")
    flow = stage.flow(
        own, ("X-Goog-Iap-Jwt-Assertion", iap_token(stage.issuer)), ("X-Goog-Authenticated-User-Id", "eve")
    )
    assert stage.judge(flow).refusal is None
    assert flow.request.headers.fields == ((b"Host", b"10.0.0.9:9000"), (b"Authorization", own[1].encode()))
    assert refusal(stage.judge(stage.flow(own))) == (401, "no-token")


@pytest.mark.parametrize("drop", [True, False])
def test_the_token_travels_on_where_the_rules_say_so_and_is_seen_by_none(stage: Stage, drop: bool) -> None:
    file = {"forward": {"key": "env:KEY", "drop_token": drop}}
    access = {**IAP, "as": "workload", "jwks": "file:keys.json"}
    stage.rules = identity(stage.folder, stage.issuer.written(stage.folder), access, **file)
    shown = (bearer(stage.issuer.token()), ("X-Goog-Iap-Jwt-Assertion", iap_token(stage.issuer)))
    flow = stage.flow(*shown, ("X-Headgate-Assertion", "forged"), ("X-Goog-Authenticated-User-Id", "eve"))
    exchange = stage.judge(flow)
    assert exchange.refusal is None
    assert exchange.request is not None
    assert exchange.request.headers == (("host", "10.0.0.9:9000"),)
    travelled = () if drop else tuple((name.encode(), value.encode()) for name, value in shown)
    assert flow.request.headers.fields == ((b"Host", b"10.0.0.9:9000"), *travelled)


def test_a_proof_of_possession_is_for_the_path_that_goes_on(stage: Stage) -> None:
    binding = {"dpop": "required", "public_url": "https://guard.example.com"}
    stage.rules = identity(stage.folder, stage.issuer.written(stage.folder), session_binding=binding)
    token = stage.issuer.bound_token()
    shown = [("Authorization", f"DPoP {token}"), ("DPoP", stage.issuer.proof(token).decode())]
    flow = stage.flow(*shown, path=b"/%76%31/x?q=1")
    assert stage.judge(flow).refusal is None
    assert [name for name, _ in flow.request.headers.fields] == [b"Host"]
    assert refusal(stage.judge(stage.flow(*shown))) == (401, "proof-replayed")
    fresh = ("DPoP", stage.issuer.proof(token, jti="proof-0002").decode())
    assert refusal(stage.judge(stage.flow(shown[0], fresh, path=b"/v1/y"))) == (401, "proof-url-mismatch")
    assert refusal(stage.judge(stage.flow(shown[0], fresh, method=b"PUT"))) == (401, "proof-method-mismatch")
    assert refusal(stage.judge(stage.flow(proxy_bearer(token), fresh, mode="regular"))) == (407, "proof-missing")


def test_a_path_is_read_as_its_target_reads_it(stage: Stage) -> None:
    stage.path_rules["http", "10.0.0.9", 9000] = PathRules(merge_slashes=True, fold_case=True)
    token = bearer(stage.issuer.token())
    flow = stage.flow(token, path=b"//V1///%58?Q=//")
    exchange = stage.judge(flow)
    assert exchange.refusal is None
    assert exchange.request is not None
    assert (exchange.request.path, flow.request.data.path) == ("/v1/x", b"/v1/x?Q=//")
    assert refusal(stage.judge(stage.flow(token, path=b"/a;b"))) == (400, "path-parameter")
    assert refusal(stage.judge(stage.flow(token, path=b"//V1", port=9001))) == (400, "path-empty-segment")
    proxied = stage.flow(proxy_bearer(stage.issuer.token()), mode="regular", path=b"//V1")
    assert stage.judge(proxied).refusal is None
    assert proxied.request.data.path == b"/v1"


def test_a_proof_of_possession_may_spell_the_path_as_its_target_reads_it(stage: Stage) -> None:
    binding = {"dpop": "required", "public_url": "https://guard.example.com"}
    stage.rules = identity(stage.folder, stage.issuer.written(stage.folder), session_binding=binding)
    stage.path_rules["http", "10.0.0.9", 9000] = PathRules(merge_slashes=True, fold_case=True)
    token = stage.issuer.bound_token()
    proof = stage.issuer.proof(token, htu="https://guard.example.com//V1/X").decode()
    shown = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
    assert stage.judge(stage.flow(*shown, path=b"//V1/X")).refusal is None
    stage.path_rules.clear()
    assert refusal(stage.judge(stage.flow(*shown, path=b"/v1/x"))) == (401, "proof-url-mismatch")


def test_what_is_revoked_counts_for_the_next_request(stage: Stage) -> None:
    token = bearer(stage.issuer.token(sid="s1"))
    assert stage.judge(stage.flow(token)).refusal is None
    lost = Revocation(1, "session", None, "s1", "lost", stage.now, stage.now + 60, "ops")
    stage.revocations = Revocations.of([lost])
    assert refusal(stage.judge(stage.flow(token))) == (401, "revoked")
    stage.revocations = None
    assert refusal(stage.judge(stage.flow(token))) == (401, "revocations-unknown")


# ------------------------------------------------------------------------------------------------- where a caller is


def test_a_peer_that_nobody_listed_is_where_it_is(stage: Stage) -> None:
    flow = stage.flow(bearer(stage.issuer.token()), ("X-Forwarded-For", "203.0.113.9"))
    exchange = stage.judge(flow)
    assert exchange.request is not None
    assert (exchange.source, exchange.request.source) == (PEER, PEER)
    assert "X-Forwarded-For" not in flow.request.headers


def test_a_listed_peer_is_believed_about_who_is_behind_it(stage: Stage) -> None:
    rules = identity(stage.folder, stage.issuer.written(stage.folder), trusted_proxies=[PEER, "10.0.0.0/8"])
    stage.rules, token = rules, bearer(stage.issuer.token())
    for hops, source in (
        ([], PEER),
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.7", "203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["10.1.2.3"], "10.1.2.3"),
    ):
        flow = stage.flow(token, *(("X-Forwarded-For", hop) for hop in hops))
        exchange = stage.judge(flow)
        assert exchange.request is not None
        assert (exchange.source, exchange.request.source) == (source, source)
        assert "X-Forwarded-For" not in flow.request.headers
    exchange = stage.judge(stage.flow(token, ("X-Forwarded-For", "203.0.113.9, nonsense")))
    assert refusal(exchange) == (400, "forwarded-for")
    assert (exchange.request, exchange.principal) == (None, None)


def test_inside_a_tunnel_nobody_says_where_the_caller_is(stage: Stage) -> None:
    """The peer wrote the header of its CONNECT; those inside are the caller's own."""
    stage.rules = identity(stage.folder, stage.issuer.written(stage.folder), trusted_proxies=[PEER])
    token, forged = proxy_bearer(stage.issuer.token()), ("X-Forwarded-For", "10.0.0.1")
    for hops, source in (([("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"), ([], PEER)):
        opened = stage.connect(token, *hops)
        assert stage.exchange(opened).source == source
        inner = stage.inner(opened, forged)
        exchange = stage.judge(inner)
        assert exchange.refusal is None
        assert exchange.request is not None
        assert (exchange.source, exchange.request.source) == (source, source)
        assert "X-Forwarded-For" not in inner.request.headers


# ------------------------------------------------------------------------------------------------------- certificates


CA = pki.authority("corp")
WEB, OTHER = (pki.issue(name, CA, pki.uri(f"spiffe://prod.example/{name}")) for name in ("web", "other"))


@pytest.fixture
def mesh(stage: Stage) -> Stage:
    (stage.folder / "ca.pem").write_bytes(CA.pem)
    mtls = {"name": "mesh", "preset": "mtls", "ca": "file:ca.pem"}
    xfcc = {"name": "envoy", "preset": "forwarded-client-cert"}
    stage.rules = identity(stage.folder, mtls, xfcc, trusted_proxies=["10.0.0.1"])
    return stage


def caller_of(exchange: Exchange) -> str:
    assert exchange.refusal is None
    assert exchange.principal is not None
    return exchange.principal.id


def test_the_certificate_of_the_connection_proves_who_calls(mesh: Stage) -> None:
    assert caller_of(mesh.judge(mesh.flow(client=mesh.client(WEB, CA)))) == "spiffe://prod.example/web"
    assert refusal(mesh.judge(mesh.flow(client=mesh.client()))) == (401, "no-token")
    assert refusal(mesh.judge(mesh.flow(client=mesh.client(CA)))) == (401, "certificate-unfit")
    stranger = pki.issue("web", pki.authority("corp"), pki.uri("spiffe://prod.example/web"))
    assert refusal(mesh.judge(mesh.flow(client=mesh.client(stranger)))) == (401, "certificate-untrusted")


def test_the_list_that_mitmproxy_keeps_proves_nothing(mesh: Stage) -> None:
    """It lacks what cannot be read, so another's certificate may come to stand first."""
    client = mesh.client()
    client.certificate_list = [certs.Cert(WEB.certificate)]
    assert refusal(mesh.judge(mesh.flow(client=client))) == (401, "no-token")


def test_a_tunnel_has_the_certificate_that_its_connect_came_with(mesh: Stage) -> None:
    opened = mesh.connect(client=mesh.client(WEB))
    assert caller_of(mesh.exchange(opened)) == "spiffe://prod.example/web"
    mesh.chains[opened.client_conn.id] = (OTHER.der,)
    assert caller_of(mesh.judge(mesh.inner(opened))) == "spiffe://prod.example/web"
    mesh.identity.client_disconnected(opened.client_conn)
    del mesh.chains[opened.client_conn.id]
    assert refusal(mesh.judge(mesh.inner(opened))) == (407, "no-token")


def test_a_tunnel_opened_without_a_certificate_gets_none_later(mesh: Stage) -> None:
    mesh.rules = replace(mesh.rules, anonymous=True)
    opened = mesh.connect(client=mesh.client())
    mesh.chains[opened.client_conn.id] = (WEB.der,)
    exchange = mesh.judge(mesh.inner(opened))
    assert exchange.principal is not None
    assert exchange.principal.kind is Kind.ANONYMOUS


def test_a_certificate_that_no_provider_asks_for_is_not_looked_at(stage: Stage) -> None:
    assert refusal(stage.judge(stage.flow(client=stage.client(WEB)))) == (401, "no-token")
    token = bearer(stage.issuer.token())
    assert caller_of(stage.judge(stage.flow(token, client=stage.client(WEB)))) == "ana"


def test_what_envoy_says_counts_from_a_listed_peer_only(mesh: Stage) -> None:
    said = ("X-Forwarded-Client-Cert", "URI=spiffe://prod.example/web")
    assert refusal(mesh.judge(mesh.flow(said))) == (401, "no-token")
    listed = mesh.client(peer="10.0.0.1")
    flow = mesh.flow(said, client=listed)
    assert caller_of(mesh.judge(flow)) == "spiffe://prod.example/web"
    assert "X-Forwarded-Client-Cert" not in flow.request.headers
    assert refusal(mesh.judge(mesh.flow(said, said, client=listed))) == (400, "duplicate-header")
    assert refusal(mesh.judge(mesh.flow(said, mode="regular", client=listed))) == (407, "no-token")


# -------------------------------------------------------------------------------------------- what the upstream is told


def assertion_key() -> AssertionKey:
    private = ec.generate_private_key(ec.SECP256R1())
    return AssertionKey.from_pem(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def vouching(stage: Stage, **forward: Any) -> None:
    stage.signer = assertion_key()
    written = {"key": "env:KEY", **forward}
    stage.rules = identity(stage.folder, stage.issuer.written(stage.folder), forward=written)


def judged_for(stage: Stage, target: str, *headers: tuple[str, str]) -> tuple[http.HTTPFlow, Exchange]:
    flow = stage.flow(bearer(stage.issuer.token(groups=["support"])), *headers)
    exchange = stage.judge(flow)
    exchange.target = Target(target)
    return flow, exchange


def test_the_upstream_is_told_who_calls_in_place_of_whatever_the_caller_said(stage: Stage) -> None:
    vouching(stage, issuer="https://guard.example.com", ttl="30s")
    assert stage.signer is not None
    flow, exchange = judged_for(stage, "payments-prod", ("X-Headgate-Assertion", "forged"))
    assert "X-Headgate-Assertion" not in flow.request.headers
    stage.identity.vouch(flow)
    assert exchange.refusal is None
    (told,) = flow.request.headers.get_all("x-headgate-assertion")
    claims = jwt.decode(
        told,
        jwt.PyJWK(dict(stage.signer.jwk)).key,
        ["ES256"],
        audience="payments-prod",
        issuer="https://guard.example.com",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["sub"], claims["kind"], claims["groups"]) == ("ana", "human", ["support"])
    assert (claims["jti"], claims["iat"], claims["exp"]) == ("id", stage.now, stage.now + 30)


def test_what_another_script_wrote_into_that_header_is_replaced(stage: Stage) -> None:
    vouching(stage, header="X-Headgate-Caller")
    flow, _ = judged_for(stage, "payments-prod")
    for name in ("X-Headgate-Caller", "x-headgate-caller"):
        flow.request.headers.add(name, "forged")
    stage.identity.vouch(flow)
    (told,) = flow.request.headers.get_all("X-Headgate-Caller")
    assert told.count(".") == 2
    assert "X-Headgate-Assertion" not in flow.request.headers


def test_where_nothing_can_be_said_the_request_does_not_go_on(stage: Stage) -> None:
    vouching(stage)
    flow, exchange = judged_for(stage, "payments-prod")
    exchange.target = None
    stage.identity.vouch(flow)
    assert refusal(exchange) == (503, "assertion-unavailable")
    stage.signer = None
    flow, exchange = judged_for(stage, "payments-prod")
    stage.identity.vouch(flow)
    assert refusal(exchange) == (503, "assertion-unavailable")
    assert "X-Headgate-Assertion" not in flow.request.headers


def test_what_would_be_too_long_for_the_upstream_is_not_cut_short(stage: Stage) -> None:
    """It fails, and the guard refuses what fails: without some of its groups the caller would be another one."""
    vouching(stage)
    claims = {**stage.issuer.claims(), "groups": ["\xe9" * 1000, "\xe8" * 900]}
    signed = stage.issuer.sign({"alg": "ES256", "kid": "ec"}, json.dumps(claims, ensure_ascii=False).encode())
    flow = stage.flow(bearer(signed))
    exchange = stage.judge(flow)
    assert caller_of(exchange) == "ana"
    exchange.target = Target("payments-prod")
    with pytest.raises(HeadgateError, match="longer than 8 KiB"):
        stage.identity.vouch(flow)
    assert "X-Headgate-Assertion" not in flow.request.headers


def test_without_forward_nothing_is_said(stage: Stage) -> None:
    stage.signer = assertion_key()
    flow, exchange = judged_for(stage, "payments-prod")
    before = flow.request.headers.fields
    stage.identity.vouch(flow)
    assert exchange.refusal is None
    assert flow.request.headers.fields[: len(before)] == before
    assert [name for name, _ in flow.request.headers.fields[len(before) :]] == [b"traceparent"]


@pytest.mark.parametrize("trusted", [True, False], ids=["of a trusted peer", "of anybody"])
def test_a_trace_is_continued_only_where_its_peer_is_trusted(stage: Stage, trusted: bool) -> None:
    peers = [PEER] if trusted else ["10.9.9.9"]
    stage.rules = identity(stage.folder, stage.issuer.written(stage.folder), trusted_proxies=peers)
    inbound = f"00-{'a' * 32}-{'b' * 16}-01"
    caller = stage.client()
    flow = stage.flow(bearer(stage.issuer.token()), ("Traceparent", inbound), ("tracestate", "vendor=1"), client=caller)
    exchange = stage.judge(flow)
    stage.identity.vouch(flow)
    sent = flow.request.headers
    assert exchange.trace_id == ("a" * 32 if trusted else "07" * 16)
    assert exchange.trace_link == (None if trusted else "a" * 32)
    assert sent.get_all("traceparent") == [f"00-{exchange.trace_id}-{'07' * 8}-{'01' if trusted else '03'}"]
    assert sent.get_all("tracestate") == (["vendor=1"] if trusted else [])


# ------------------------------------------------------------------------------------------------- waiting for a key


JWKS = "https://sso.example.com/jwks.json"


class Rotating(Stage):
    """A stage whose keys are fetched, in virtual time."""

    def __init__(self, issuer: Any, folder: Path) -> None:
        super().__init__(issuer, folder)
        self.endpoint = Endpoint()
        self.rules = issuer.rules(folder, jwks=JWKS)
        self.ring = self.endpoint.ring(*self.rules.providers)
        self.identity = self.made(self.ring)

    def publish(self, *names: str) -> None:
        self.endpoint.answers["/jwks.json"] = 200, self.issuer.jwks(*names)

    def token(self, key: str = "ec") -> str:
        self.now = clock()
        token: str = self.issuer.token(key=key)
        return token


@pytest.fixture
def rotating(issuer: Any, tmp_path: Path) -> Rotating:
    return Rotating(issuer, tmp_path)


def test_a_request_waits_for_the_key_that_its_token_names(rotating: Rotating) -> None:
    rotating.publish("ec")
    rotating.endpoint.takes = 1.0

    async def test() -> None:
        async with running(rotating.ring):
            flow = rotating.flow(bearer(rotating.token()))
            pending = rotating.identity.requestheaders(flow)
            assert pending is not None
            assert (rotating.exchange(flow).principal, rotating.exchange(flow).refusal) == (None, None)
            await pending
            assert now() == 1.0
            assert caller_of(rotating.exchange(flow)) == "ana"
            assert rotating.judge(rotating.flow(bearer(rotating.token()))).refusal is None

    run(test)


def test_a_rotation_drops_nobody(rotating: Rotating) -> None:
    rotating.publish("ec")

    async def test() -> None:
        async with running(rotating.ring):
            await asyncio.sleep(60)
            rotating.publish("ec", "stranger")
            flows = [rotating.flow(bearer(rotating.token("stranger"))) for _ in range(3)]
            waiting = [rotating.identity.requestheaders(flow) for flow in flows]
            await asyncio.gather(*filter(None, waiting))
            assert [caller_of(rotating.exchange(flow)) for flow in flows] == ["ana"] * 3
            assert now() < 60 + KEY_PATIENCE
            assert len(rotating.endpoint.asked) == 2

    run(test)


@pytest.mark.parametrize(
    ("published", "takes", "reason", "after"),
    [
        (["ec"], 60.0, "keys-unavailable", KEY_PATIENCE),
        (["rsa"], 1.0, "unknown-key", 1.0),
        ([], 1.0, "keys-unavailable", 1.0),
    ],
    ids=["too late", "without it", "unusable"],
)
def test_a_key_that_does_not_come_is_not_waited_for_any_longer(
    rotating: Rotating, published: list[str], takes: float, reason: str, after: float
) -> None:
    rotating.publish(*published)
    rotating.endpoint.takes = takes

    async def test() -> None:
        async with running(rotating.ring):
            flow = rotating.flow(bearer(rotating.token()))
            pending = rotating.identity.requestheaders(flow)
            assert pending is not None
            await pending
            assert now() == after
            assert refusal(rotating.exchange(flow)) == (401, reason)
            assert rotating.exchange(flow).principal is None

    run(test)


def test_a_tunnel_waits_for_a_key_too_and_leads_nowhere_until_then(rotating: Rotating) -> None:
    rotating.publish("ec")
    rotating.endpoint.takes = 1.0

    async def test() -> None:
        async with running(rotating.ring):
            opened = rotating.tunnel(proxy_bearer(rotating.token()))
            pending = rotating.identity.http_connect(opened)
            assert pending is not None
            assert refusal(rotating.judge(rotating.inner(opened))) == (407, "no-token")
            await pending
            assert rotating.exchange(opened).refusal is None
            assert caller_of(rotating.judge(rotating.inner(opened))) == "ana"
            rotating.publish("rsa")
            late = rotating.tunnel(proxy_bearer(rotating.token("stranger")))
            pending = rotating.identity.http_connect(late)
            assert pending is not None
            await pending
            assert refusal(rotating.exchange(late)) == (407, "unknown-key")
            assert refusal(rotating.judge(rotating.inner(late))) == (407, "no-token")

    run(test)


def test_what_expires_while_it_waits_is_refused(rotating: Rotating) -> None:
    rotating.publish("ec")
    rotating.endpoint.takes = 1.0

    async def test() -> None:
        async with running(rotating.ring):
            rotating.now = clock()
            flow = rotating.flow(bearer(rotating.issuer.token(exp=int(rotating.now) + 1)))
            pending = rotating.identity.requestheaders(flow)
            assert pending is not None
            rotating.now += 60
            await pending
            assert refusal(rotating.exchange(flow)) == (401, "expired")

    run(test)


class Guarded:
    """The guard around a stage, with another behind it that notes whom it saw."""

    def __init__(self, stage: Rotating) -> None:
        self.guard, self.seen = Guard(clock), list[str]()
        identity = stage.made(stage.ring, self.guard.exchanges)
        behind = (("policy", self.behind),)
        ways = ((("identity", identity.http_connect), *behind), (("identity", identity.requestheaders), *behind))
        self.guard.begin(Stages(*ways, (), (), (), identity.client_disconnected), lambda: BundleRef("n", "1", "0"))

    def behind(self, flow: http.HTTPFlow) -> None:
        self.seen.append(caller_of(self.guard.exchanges[flow.id]))

    def judged(self, event: HttpConnectHook | HttpRequestHeadersHook) -> asyncio.Task[bool]:
        async def judged() -> bool:
            verdict = self.guard.before(event)
            return verdict if isinstance(verdict, bool) else await verdict

        return asyncio.create_task(judged())


def test_the_stages_behind_come_after_the_key(rotating: Rotating) -> None:
    rotating.publish("ec")
    rotating.endpoint.takes = 1.0

    async def test() -> None:
        guarded = Guarded(rotating)
        async with running(rotating.ring):
            flow = rotating.flow(bearer(rotating.token()))
            task = guarded.judged(HttpRequestHeadersHook(flow))
            await asyncio.sleep(0.5)
            assert (guarded.seen, task.done()) == ([], False)
            assert await task is True
            assert guarded.seen == ["ana"]
            assert guarded.guard.exchanges[flow.id].refusal is None
            late = rotating.flow(bearer(rotating.token("stranger")))
            assert await guarded.judged(HttpRequestHeadersHook(late)) is True
            assert refusal(guarded.guard.exchanges[late.id]) == (401, "unknown-key")
            assert guarded.seen == ["ana"]

    run(test)


@pytest.mark.parametrize("hook", [HttpConnectHook, HttpRequestHeadersHook])
def test_waiting_that_is_cut_short_is_a_refusal(rotating: Rotating, hook: Any) -> None:
    """mitmproxy cancels hooks of a client that has gone, or when it ends."""
    rotating.publish("ec")
    rotating.endpoint.takes = 1.0

    async def test() -> None:
        guarded = Guarded(rotating)
        async with running(rotating.ring):
            token = rotating.token()
            flow = (
                rotating.flow(bearer(token)) if hook is HttpRequestHeadersHook else rotating.tunnel(proxy_bearer(token))
            )
            task = guarded.judged(hook(flow))
            await asyncio.sleep(0.5)
            task.cancel()
            assert await task is True
            exchange = guarded.guard.exchanges[flow.id]
            assert refusal(exchange) == (503, "identity-failed")
            assert (exchange.principal, exchange.error, guarded.seen) == (None, "CancelledError", [])
            assert flow.response is not None
            assert flow.response.status_code == 503
            inner = rotating.inner(flow)
            assert await guarded.judged(HttpRequestHeadersHook(inner)) is True
            assert refusal(guarded.guard.exchanges[inner.id]) == (407, "no-token")

    run(test)
