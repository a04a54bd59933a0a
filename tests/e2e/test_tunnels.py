"""As a forward proxy: a tunnel leads only where the caller may go, and only HTTP inside it comes through."""

import json
import shutil
import ssl
from pathlib import Path

import httpx
import pytest
from tests.e2e.agent import basic, client, opened, speak
from tests.e2e.canary import CANARY, found_in
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import Start
from tests.e2e.proxy import SCRIPTS, Proxy, write_rules
from tests.e2e.upstream import Upstream
from tests.e2e.wire import answer_on

DNS_QUERY = (
    bytes.fromhex("001d") + bytes.fromhex("abcd01000001000000000000") + b"\x06c4n4ry\x07example\x00\x00\x01\x00\x01"
)
"""A question about a name, as DNS over TCP has it."""


@pytest.fixture(scope="module")
def proxy(
    proxies: Start,
    upstream: Upstream,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Proxy:
    upstream.forget()
    folder = tmp_path_factory.mktemp("tunnels")
    meddler = shutil.copy(SCRIPTS / "meddler.py", folder / "after.py")
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    proxy = proxies("--set", trust, mode="regular", scripts_after=[meddler], door="mitmweb").ready()
    proxy.output.wait_for("Loading script .*after.py")
    with client(proxy) as through:
        while through.get(upstream.url + "/customers/7").status_code == 502:
            pass  # the first answer may come before a masker is there
    return proxy


def test_a_tunnel_with_a_token_serves_masked_answers(proxy: Proxy, tls_upstream: Upstream) -> None:
    with client(proxy) as through:
        response = through.get(tls_upstream.url + f"/customers/7?token={CANARY}")
    assert response.status_code == 200, response.text
    assert response.json()["city"] == "Oslo"
    assert CANARY not in response.text
    (seen,) = tls_upstream.seen
    assert seen.path == f"/customers/7?token={CANARY}"
    assert seen.header("proxy-authorization") == []


def test_the_authorization_inside_is_the_upstreams(proxy: Proxy, tls_upstream: Upstream) -> None:
    with client(proxy) as through:
        through.get(tls_upstream.url + "/customers/7", headers={"Authorization": f"Bearer {CANARY}"})
    assert tls_upstream.seen[0].header("authorization") == [f"Bearer {CANARY}"]


def test_plain_http_is_proxied_too(proxy: Proxy, upstream: Upstream) -> None:
    with client(proxy) as through:
        response = through.get(upstream.url + "/customers/7")
    assert response.status_code == 200, response.text
    assert CANARY not in response.text
    assert upstream.paths() == ["GET /customers/7"]
    assert upstream.seen[0].header("proxy-authorization") == []


def test_each_request_in_a_tunnel_is_judged_anew(proxy: Proxy, tls_upstream: Upstream) -> None:
    with client(proxy) as through:
        assert through.get(tls_upstream.url + "/customers/7").status_code == 200
        refused = through.delete(tls_upstream.url + "/customers/7")
    assert (refused.status_code, refused.json()["rule"]) == (403, "nobody-deletes")
    assert tls_upstream.paths() == ["GET /customers/7"]


def test_what_was_refused_in_a_tunnel_is_not_dialled(proxy: Proxy, tls_upstream: Upstream) -> None:
    with client(proxy) as through:
        assert through.delete(tls_upstream.url + "/customers/7").status_code == 403
    assert tls_upstream.connections == 0


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_without_a_token_the_proxy_asks_for_one(proxy: Proxy, upstream: Upstream, method: str) -> None:
    host = f"127.0.0.1:{upstream.port}"
    target = host if method == "CONNECT" else f"http://{host}/customers/7"
    with proxy.connect() as connection:
        connection.sendall(proxy.written(method, target, f"Host: {host}", token=None))
        answer = answer_on(connection, method)
    assert answer.status == 407
    assert answer.headers["Proxy-Authenticate"] == 'Basic realm="headgate"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    details = json.loads(answer.body)
    assert details["reason"] == "no-token"
    assert proxy.flows("show", details["decision_id"])["outcome"]["status"] == 407
    assert upstream.connections == 0


@pytest.mark.parametrize("target", ["unknown.example.org:443", "127.0.0.2:443", "169.254.169.254:80"])
def test_a_tunnel_to_what_is_no_target_is_refused(proxy: Proxy, target: str) -> None:
    answer = opened(proxy, target)
    assert (answer.status, json.loads(answer.body)["reason"]) == (403, "unknown-target")


def test_a_token_that_does_not_verify_opens_nothing(proxy: Proxy, upstream: Upstream) -> None:
    with client(proxy, proxy.token(aud="another-service")) as through:
        assert through.get(upstream.url + "/customers/7").status_code == 407
    with client(proxy, proxy.token(aud="another-service")) as through, pytest.raises(httpx.ProxyError, match="407"):
        through.get(f"https://127.0.0.1:{upstream.port}/customers/7")
    assert upstream.connections == 0


NOT_HTTP = {
    "dns": DNS_QUERY,
    "ssh": b"SSH-2.0-OpenSSH_9.9 c4n4ry\r\n",
    "smtp": b"EHLO c4n4ry.example.org\r\n",
    "postgresql": b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + b"c4n4ry",
    "zeros": b"\x00" * 64,
    "half a line": b"c4n4ry",
    "raw": b"RAW c4n4ry and more\r\n\r\n",
    "http/2 without tls": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "tls that is none": b"\x16\x03\x01\x00\x10" + b"c4n4ry" * 4,
    "an empty line": b"\r\n\r\n",
}


@pytest.mark.parametrize("protocol", NOT_HTTP)
def test_what_is_not_http_does_not_leave_a_tunnel(proxy: Proxy, upstream: Upstream, protocol: str) -> None:
    speak(proxy, f"127.0.0.1:{upstream.port}", NOT_HTTP[protocol])
    assert upstream.connections == 0
    assert upstream.received == b""


def test_dns_on_its_own_port_does_not_leave_a_tunnel(proxies: Start, tmp_path: Path) -> None:
    """mitmproxy takes whatever goes to port 53 or 5353 for DNS, whose payload no `request` hook sees."""
    served = Upstream(port=5353)
    proxy = proxies(mode="regular", rules=write_rules(tmp_path / "rules")).ready()
    try:
        speak(proxy, "127.0.0.1:5353", DNS_QUERY)
        assert (served.connections, served.received) == (0, b"")
    finally:
        served.stop()


def test_tls_that_asks_to_be_left_alone_is_read_all_the_same(proxy: Proxy, tls_upstream: Upstream) -> None:
    """Another script says `ignore_connection`; the tunnel is opened on a connection that has dialled already."""
    with proxy.connect() as plain:
        target = f"127.0.0.1:{tls_upstream.port}"
        plain.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{basic(proxy.token())}\r\n\r\n".encode())
        assert plain.recv(4096).startswith(b"HTTP/1.1 200 ")
        context = ssl.create_default_context(cafile=str(proxy.folder / "conf/mitmproxy-ca-cert.pem"))
        with context.wrap_socket(plain, server_hostname="ignored.example.org") as inner:
            presented = inner.getpeercert()
    assert presented
    assert "mitmproxy" in str(presented["issuer"])
    assert tls_upstream.connections == 0


def test_a_name_in_tls_that_is_not_the_targets_is_refused(proxy: Proxy, tls_upstream: Upstream) -> None:
    with client(proxy) as through:
        response = through.get(
            f"https://127.0.0.1:{tls_upstream.port}/customers/7", headers={"Host": "other.example.org"}
        )
    assert response.status_code in (400, 403)
    assert tls_upstream.connections == 0


def test_a_refused_tunnel_stays_refused_whatever_is_made_of_its_answer(proxy: Proxy, upstream: Upstream) -> None:
    target = f"127.0.0.1:{upstream.port}"
    inner = proxy.written("GET", "/customers/7", f"Host: {target}", token=None)
    for trick in ("tunnels", "approves", "unsets-everywhere", "unsets-last", "answers-last", "kills-last"):
        answer = opened(proxy, target, f"X-Meddler-after: {trick}", then=inner, token=None)
        assert answer.status in (0, 407, 503), trick
    assert upstream.connections == 0


def test_an_opened_tunnel_leads_where_it_was_judged_to(proxy: Proxy, upstream: Upstream) -> None:
    for trick in ("path", "host", "port", "path-last"):
        opened(proxy, f"127.0.0.1:{upstream.port}", f"X-Meddler-after: {trick}", then=b"GET / HTTP/1.1\r\n\r\n")
    assert upstream.connections == 0


@pytest.mark.parametrize("origin", ["127.0.0.1", "localhost"])
def test_the_proxy_does_not_call_itself(proxy: Proxy, origin: str) -> None:
    with client(proxy) as through:
        response = through.get(f"http://{origin}:{proxy.port}/")
    assert (response.status_code, response.json()["reason"]) == (400, "proxy-loop")


def test_neither_token_nor_body_of_a_connect_is_kept(proxy: Proxy, upstream: Upstream) -> None:
    for target in (f"127.0.0.1:{upstream.port}", "unknown.example.org:443"):
        opened(proxy, target, f"Cookie: session={CANARY}")
    assert not found_in(proxy.window.everything())
