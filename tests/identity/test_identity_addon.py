"""The stage on flows: what it takes from them, what it writes back, and whom it lets on."""

from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import mode_specs
from mitmproxy.test import tflow

from headgate.identity.addon import Identity
from headgate.identity.development import DevelopmentKey
from headgate.identity.keys import KeyRing
from headgate.identity.presets import IdentityRules
from headgate.identity.rules import IdentityFile, compile_identity
from headgate.model import Exchange, Kind, denied

REVERSE = "reverse:http://10.0.0.9:9000"


class Stage:
    """An Identity with everything it needs, and flows to hand it."""

    def __init__(self, issuer: Any, folder: Path) -> None:
        self.issuer, self.folder = issuer, folder
        self.exchanges: dict[str, Exchange] = {}
        self.rules: IdentityRules = issuer.rules(folder)
        self.now = issuer.now
        self.loopback = True
        self.key: DevelopmentKey | None = None
        self.names: set[str] = set()
        self.ring = KeyRing(lambda: self.now)
        self.identity = Identity(
            self.exchanges,
            rules=lambda _: self.rules,
            keys=self.ring,
            clock=lambda: self.now,
            accepts_host=lambda exchange, host: exchange.request is not None and host in self.names,
            loopback_only=lambda: self.loopback,
            development_key=lambda: self.key,
        )

    def flow(
        self, *headers: tuple[str, str], mode: str = REVERSE, client: Client | None = None, **changes: Any
    ) -> http.HTTPFlow:
        flow = tflow.tflow(resp=False)
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
        self.identity.requestheaders(flow)
        return self.exchanges[flow.id]

    def connect(self, *headers: tuple[str, str], client: Client | None = None, **changes: Any) -> http.HTTPFlow:
        given = {"method": b"CONNECT", "scheme": b"", "authority": b"10.0.0.9:9000", "path": b"", **changes}
        flow = self.flow(*headers, mode="regular", client=client, **given)
        self.identity.http_connect(flow)
        return flow

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
    stage.rules = IdentityRules(stage.rules.providers, True, (), stage.rules.by_issuer)
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
    wanted: list[str] = []
    monkeypatch.setattr(KeyRing, "want", lambda _, provider: wanted.append(provider.name))
    assert refusal(stage.judge(stage.flow(bearer(stage.issuer.token({"kid": "new"}))))) == (401, "unknown-key")
    assert wanted == ["corp-sso"]


def test_keys_that_have_not_been_fetched_let_nobody_in(stage: Stage) -> None:
    stage.rules = stage.issuer.rules(stage.folder, jwks="https://sso.example.com/jwks.json")
    assert refusal(stage.judge(stage.flow(bearer(stage.issuer.token())))) == (401, "keys-unavailable")


def test_development_tokens_count_on_loopback_only(stage: Stage) -> None:
    file = {"providers": [{"name": "dev", "preset": "development", "audiences": ["headgate-dev"]}]}
    stage.rules = compile_identity(IdentityFile.model_validate(file), stage.folder)
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
    assert refusal(stage.judge(stage.flow(other, mode="regular", client=client))) == (407, "two-tokens")
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
