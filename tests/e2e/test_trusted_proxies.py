"""What a peer says of the client behind it, at the door: believed of a listed one, and kept from the upstream."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.agent import basic
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import Start
from tests.e2e.holders import ANA_ID, context
from tests.e2e.proxy import Proxy, free_port, write_rules
from tests.e2e.upstream import Upstream
from tests.e2e.wire import answer_on

PROVIDERS = [
    {"name": "envoy", "preset": "forwarded-client-cert", "environment": "dev"},
    {"name": "dev", "preset": "development", "audiences": ["headgate-dev"]},
]
POLICY = "rules:\n  - {id: all-may, effect: allow, match: {target: api, method: [GET, POST]}}\n"
XFCC = "X-Forwarded-Client-Cert"
SAID = f"By=spiffe://prod.example/edge;URI={ANA_ID}"
SPELLINGS = (XFCC, XFCC.lower(), XFCC.upper())
ALIASES = ("X_Forwarded_Client_Cert", "X.Forwarded.Client.Cert", "X-Forwarded_Client-Cert", "x-forwarded-client!cert")


def rules_of(folder: Path, *trusted: str) -> Path:
    """Rules under which these peers are believed."""
    identity = json.dumps({"providers": PROVIDERS, "trusted_proxies": trusted})
    return write_rules(folder / "rules", identity=identity, policy=POLICY, masking="masks: []\n")


@pytest.fixture(scope="module")
def both(
    proxies: Start, upstream: Upstream, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    """In front of the upstream, and as a forward proxy."""
    rules = rules_of(tmp_path_factory.mktemp("believing"), "127.0.0.1/32")
    options = ("--mode", f"regular@{free_port()}", "--set", f"ssl_verify_upstream_trusted_ca={certificates.authority}")
    return proxies(*options, mode=f"reverse:{upstream.url}", rules=rules).ready()


@pytest.fixture(scope="module")
def believing(both: Proxy) -> Proxy:
    return both.by("reverse proxy")


@pytest.fixture(scope="module")
def forward(both: Proxy) -> Proxy:
    return both.by(r"HTTP\(S\) proxy")


@pytest.fixture(scope="module")
def doubting(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    rules = rules_of(tmp_path_factory.mktemp("doubting"), "192.0.2.0/24")
    return proxies(mode=f"reverse:{upstream.url}", rules=rules).ready()


def ask(proxy: Proxy, *headers: tuple[str, str], token: str | None = None) -> httpx.Response:
    """A request with these headers and, with `token=""`, a good token."""
    given = [*headers, ("Authorization", f"Bearer {token or proxy.token()}")] if token is not None else headers
    with httpx.Client(trust_env=False) as agent:
        return agent.get(f"{proxy.url}/v1/things", headers=[*given])


def last(proxy: Proxy) -> Any:
    return proxy.flows("show", proxy.flows("list")[0]["decision_id"])


def told_of_certificates(upstream: Upstream) -> bool:
    names = [name.lower() for seen in upstream.seen for name, _ in seen.headers]
    return any("client" in name and "cert" in name for name in names)


def reason(answered: httpx.Response) -> tuple[int, str]:
    return answered.status_code, answered.json()["reason"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_listed_peer_says_whose_certificate_it_saw(believing: Proxy, upstream: Upstream, name: str) -> None:
    assert ask(believing, (name, SAID)).status_code == 200
    caller = last(believing)["principal"]
    assert (caller["provider"], caller["kind"], caller["id"]) == ("envoy", "service", ANA_ID)
    assert upstream.paths() == ["GET /v1/things"]
    assert not told_of_certificates(upstream)


@pytest.mark.parametrize("name", SPELLINGS)
def test_from_any_other_it_means_nothing(doubting: Proxy, upstream: Upstream, name: str) -> None:
    assert reason(ask(doubting, (name, SAID))) == (401, "no-token")
    assert upstream.connections == 0
    assert ask(doubting, (name, SAID), token="").status_code == 200
    assert last(doubting)["principal"]["id"] == "ana"
    assert not told_of_certificates(upstream)


@pytest.mark.parametrize("name", ALIASES)
def test_another_spelling_is_refused_from_anybody(
    believing: Proxy, doubting: Proxy, upstream: Upstream, name: str
) -> None:
    for proxy in (believing, doubting):
        assert reason(ask(proxy, (name, SAID), token="")) == (400, "aliased-header")
        assert reason(ask(proxy, (name, SAID), (XFCC, SAID))) == (400, "aliased-header")
    assert upstream.connections == 0


def test_of_two_hops_none_is_surely_the_caller(believing: Proxy, upstream: Upstream) -> None:
    hops = f"URI=spiffe://prod.example/edge,{SAID}"
    assert reason(ask(believing, (XFCC, hops))) == (401, "forwarded-several")
    assert reason(ask(believing, (XFCC, SAID), (XFCC, SAID))) == (400, "duplicate-header")
    assert reason(ask(believing, (XFCC, SAID), token="")) == (401, "two-tokens")
    assert upstream.connections == 0


# ------------------------------------------------------------------------------------------------- where a caller is


FOR = ("X-Forwarded-For", "198.51.100.7, 203.0.113.9")


def test_a_listed_peer_says_where_its_client_is(believing: Proxy, upstream: Upstream) -> None:
    assert ask(believing, FOR, token="").status_code == 200
    assert last(believing)["source"] == "203.0.113.9"
    assert reason(ask(believing, ("X-Forwarded-For", "somewhere"), token="")) == (400, "forwarded-for")
    assert [seen.header("x-forwarded-for") for seen in upstream.seen] == [[]]


def test_any_other_is_where_it_is(doubting: Proxy, upstream: Upstream) -> None:
    assert ask(doubting, FOR, token="").status_code == 200
    assert last(doubting)["source"] == "127.0.0.1"
    assert [seen.header("x-forwarded-for") for seen in upstream.seen] == [[]]


@pytest.mark.parametrize(("outside", "source"), [((), "127.0.0.1"), (FOR, "203.0.113.9")], ids=["silent", "told"])
def test_inside_a_tunnel_callers_speak_for_themselves(
    forward: Proxy, tls_upstream: Upstream, outside: tuple[str, ...], source: str
) -> None:
    """The peer wrote the header of the CONNECT; whoever is inside wrote the others."""
    target = f"127.0.0.1:{tls_upstream.port}"
    said = [": ".join(outside)] if outside else []
    with forward.connect() as plain:
        plain.sendall(forward.written("CONNECT", target, f"Host: {target}", basic(forward.token()), *said, token=None))
        assert answer_on(plain, "CONNECT").status == 200
        with context().wrap_socket(plain) as inside:
            forged = ("X-Forwarded-For: 198.51.100.1", f"{XFCC}: {SAID}")
            inside.sendall(forward.written("GET", "/v1/things", f"Host: {target}", *forged, token=None))
            assert answer_on(inside).status == 200
    shown = last(forward)
    assert (shown["source"], shown["principal"]["id"]) == (source, "ana")
    assert [seen.header("x-forwarded-for") for seen in tls_upstream.seen] == [[]]
    assert not told_of_certificates(tls_upstream)
