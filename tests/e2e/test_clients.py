"""curl, requests, httpx and Node's fetch through the forward proxy, each as its users have it.

What is set is what README.md says to set, and nothing else. git and pip are in test_git_and_pip.py.
"""

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.canary import CANARY, remember
from tests.e2e.certificates import Certificates
from tests.e2e.clients import BEARERS, CLIENTS, Ask, curl, environment, run
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Upstream

from headgate.identity.development import DevelopmentKey

MASKED = '["$..ssn", "$.contact.email", "$.note", "header:X-Account-Email"]'
UPLOAD = 1_500_000
"""More than the megabyte from which on curl asks first, with `Expect: 100-continue`."""

SCHEMES = ("http", "https")


@pytest.fixture(scope="module")
def proxy(
    proxies: Start,
    upstream: Upstream,
    tls_upstream: Upstream,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Proxy:
    hosts = f'["127.0.0.1:{upstream.port}", "127.0.0.1:{tls_upstream.port}"]'
    rules = write_rules(
        tmp_path_factory.mktemp("clients"),
        targets=f"targets: [{{name: api, hosts: {hosts}, environment: dev}}]\nunknown: refuse\n",
        masking=f"masks: [{{id: personal-data, match: {{target: api}}, fields: {MASKED}}}]\n",
    )
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    return proxies("--set", trust, mode="regular", rules=rules).ready()


@pytest.fixture(params=SCHEMES)
def served(request: pytest.FixtureRequest, upstream: Upstream, tls_upstream: Upstream) -> Upstream:
    """The upstream of a scheme, which has seen nothing yet."""
    return tls_upstream if request.param == "https" else upstream


@pytest.fixture(scope="module")
def stranger() -> Iterator[Upstream]:
    """A service that no rule knows."""
    server = Upstream()
    yield server
    server.stop()


def expired(proxy: Proxy) -> str:
    claims = {"sub": "ana", "kind": "human", "groups": ["support"], "env": "dev", "aud": "headgate-dev"}
    return remember(DevelopmentKey.open(proxy.state).mint(claims, now=time.time() - 7200))


def assert_kept_from(upstream: Upstream, token: str) -> None:
    """The upstream has got neither the token nor any header that is for proxies."""
    for written in (token, base64.b64encode(f"token:{token}".encode()).decode()):
        assert written.encode() not in upstream.received
    assert not [name for seen in upstream.seen for name, _ in seen.headers if name.lower().startswith("proxy")]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_in_the_address_of_the_proxy_is_all_it_takes(proxy: Proxy, served: Upstream, client: str) -> None:
    token = proxy.token()
    ask = Ask("GET", f"{served.url}/customers/7", authorization=f"Bearer {CANARY}")
    (got,) = CLIENTS[client](environment(proxy, token), [ask])
    assert got.status == 200, got
    assert json.loads(got.text)["city"] == "Oslo"
    assert CANARY not in got.text
    assert served.paths() == ["GET /customers/7"]
    assert served.seen[0].header("authorization") == [f"Bearer {CANARY}"]
    assert_kept_from(served, token)


@pytest.mark.parametrize("client", BEARERS)
def test_a_token_in_a_header_for_the_proxy_does_as_well(proxy: Proxy, served: Upstream, client: str) -> None:
    token = proxy.token()
    (got,) = BEARERS[client](environment(proxy, None), [Ask("GET", f"{served.url}/customers/7")], token)
    assert (got.status, served.paths()) == (200, ["GET /customers/7"]), got
    assert served.seen[0].header("authorization") == []
    assert_kept_from(served, token)


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_token_that_verifies_the_client_says_407(proxy: Proxy, served: Upstream, client: str) -> None:
    for token in (None, expired(proxy), proxy.token(aud="another-service"), "no-token-at-all"):
        (got,) = CLIENTS[client](environment(proxy, token), [Ask("GET", f"{served.url}/customers/7")])
        assert got.says(407), got
    assert served.connections == 0


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_python_clients_show_what_was_wrong_with_the_token(proxy: Proxy, served: Upstream, client: str) -> None:
    """Of the answer to a CONNECT they show the status line, of any other all of it."""
    ask = Ask("GET", f"{served.url}/customers/7")
    assert "no-token" in CLIENTS[client](environment(proxy, None), [ask])[0].text
    assert "expired" in CLIENTS[client](environment(proxy, expired(proxy)), [ask])[0].text


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_no_rule_knows_is_out_of_reach(proxy: Proxy, stranger: Upstream, client: str, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{stranger.port}/customers/7"
    (got,) = CLIENTS[client](environment(proxy, proxy.token()), [Ask("GET", url)])
    assert got.says(403), got
    assert stranger.connections == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_keeps_its_connection_is_judged_at_each_request(
    proxy: Proxy, served: Upstream, client: str
) -> None:
    url = f"{served.url}/kept/{client}"
    asks = [Ask(method, url) for method in ("GET", "DELETE", "GET")]
    got = CLIENTS[client](environment(proxy, proxy.token()), asks)
    assert [answer.status for answer in got] == [200, 403, 200], got
    assert json.loads(got[1].text)["rule"] == "nobody-deletes"
    assert served.paths() == [f"GET /kept/{client}"] * 2
    callers = proxy.output.wait_for(rf"127\.0\.0\.1:(\d+): (?:GET|DELETE) {re.escape(url)}\b", count=3)
    most = 2 if client == "node" else 1  # it opens another one for what it may not repeat
    assert len(set(callers)) <= most, "a refusal does not end the connection"


@pytest.mark.parametrize("served", ["https"], indirect=True)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_may_be_long_or_written_with_percent_signs(proxy: Proxy, served: Upstream, client: str) -> None:
    """An address may have any character of it escaped, and must have the `=` of a padded one."""
    escaped = proxy.token().replace(".", "%2E").replace("-", "%2D")
    for token in (proxy.token(roles=["r" * 60] * 60), escaped):
        (got,) = CLIENTS[client](environment(proxy, token), [Ask("GET", f"{served.url}/customers/7")])
        assert got.status == 200, got
    assert len(served.seen) == 2


@pytest.mark.parametrize(
    ("served", "version"),
    [("http", "--http1.1"), ("https", "--http1.1"), ("https", "--http2")],
    indirect=["served"],
)
def test_an_upload_that_waits_for_leave_arrives_whole(
    proxy: Proxy, served: Upstream, version: str, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * UPLOAD)
    ask = Ask("PUT", f"{served.url}/reports/1")
    (got,) = curl(environment(proxy, proxy.token()), [ask], None, version, "-T", str(body))
    assert got.status == 200, got
    assert [len(seen.body) for seen in served.seen] == [UPLOAD]


def test_a_client_that_waits_to_be_asked_brings_its_token_on_the_same_connection(
    proxy: Proxy, served: Upstream
) -> None:
    words = ("-q", "-s", "--proxy-anyauth", "-o", os.devnull, "-w", "%{http_code} %{num_connects}")
    _, told = run("curl", *words, f"{served.url}/customers/7", environment=environment(proxy, proxy.token()))
    assert told == "200 1"
    assert len(served.seen) == 1
