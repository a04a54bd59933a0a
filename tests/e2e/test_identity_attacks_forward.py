"""Attacks on identity at a forward proxy: tokens in Proxy-Authorization, tunnels, and ways to the proxy itself.

That no token of these attacks is in any log or record is asserted when the module ends (`Proxy.finish`).
"""

import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.agent import basic, client, opened
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client
from tests.e2e.output import PATIENCE
from tests.e2e.parties import Parties, reason_of, rules_in
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Upstream
from tests.e2e.wire import answer_on, received

Refused = tuple[int, str]


@pytest.fixture(scope="module")
def parties() -> Iterator[Parties]:
    made = Parties()
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def forward(proxies: Start, parties: Parties, tmp_path_factory: pytest.TempPathFactory, certificates: Any) -> Proxy:
    rules = rules_in(tmp_path_factory.mktemp("forward") / "rules", parties, trusted_proxies=["127.0.0.1"])
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    return proxies("--set", trust, mode="regular", rules=rules, door="mitmweb", admin="127.0.0.1:0").ready()


def place(upstream: Upstream) -> str:
    return f"127.0.0.1:{upstream.port}"


def through(proxy: Proxy, token: str, target: str, *inner: bytes) -> bytes:
    """All that comes back for requests sent at once through a tunnel, until the proxy closes."""
    with proxy.connect() as connection:
        connection.sendall(proxy.written("CONNECT", target, f"Host: {target}", basic(token), token=None))
        assert answer_on(connection, "CONNECT").status == 200
        connection.sendall(b"".join(inner))
        return received(connection)


FOR_PROXY: dict[str, tuple[str, Refused]] = {
    "nothing": ("X-A: b", (407, "no-token")),
    "a token for the upstream": ("Authorization: Bearer {ana}", (407, "no-token")),
    "a cookie": ("Cookie: Proxy-Authorization={ana}; CF_Authorization={access}", (407, "no-token")),
    "the header of a provider": ("Cf-Access-Jwt-Assertion: {access}", (407, "no-token")),
    "a token of a provider with a header of its own": ("Proxy-Authorization: Bearer {access}", (407, "issuer-unknown")),
    "no scheme": ("Proxy-Authorization: {ana}", (407, "unsupported-scheme")),
    "another scheme": ("Proxy-Authorization: Digest {ana}", (407, "unsupported-scheme")),
    "a scheme with a proof": ("Proxy-Authorization: DPoP {ana}", (407, "unsupported-scheme")),
    "a token that is not encoded": ("Proxy-Authorization: Basic token:{ana}", (407, "credentials-malformed")),
    "another user": ("Proxy-Authorization: Basic {user}", (407, "credentials-malformed")),
    "a token as the user": ("Proxy-Authorization: Basic {swapped}", (407, "credentials-malformed")),
    "a password with more in it": ("Proxy-Authorization: Basic {more}", (407, "credentials-malformed")),
    "a password with a line break": ("Proxy-Authorization: Basic {broken}", (407, "credentials-malformed")),
    "two in one field": ("Proxy-Authorization: Bearer {ana}, Bearer {eve}", (407, "credentials-malformed")),
    "two fields": (
        "Proxy-Authorization: Bearer {ana}\r\nProxy-Authorization: Bearer {eve}",
        (400, "duplicate-header"),
    ),
    "an underscore": ("Proxy_Authorization: Bearer {ana}", (400, "aliased-header")),
    "another sign": ("Proxy~Authorization: Bearer {ana}", (400, "aliased-header")),
    "a folded line": ("Proxy-Authorization: Bearer\r\n {ana}", (400, "control-character")),
    "a byte of 0xFF": ("Proxy-Authorization: Bearer {ana}\xff", (407, "credentials-malformed")),
    "named for removal": (
        "Proxy-Authorization: Bearer {ana}\r\nConnection: Proxy-Authorization",
        (400, "connection-header"),
    ),
    "a forged token": ("Proxy-Authorization: Bearer {stranger}", (407, "signature-invalid")),
    "a token without an algorithm": ("Proxy-Authorization: Bearer {none}", (407, "algorithm-refused")),
    "an expired token": ("Proxy-Authorization: Bearer {expired}", (407, "expired")),
}


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_a_forward_proxy_takes_one_token_in_one_place(
    forward: Proxy, upstream: Upstream, parties: Parties, method: str
) -> None:
    ana, target = parties.made["ana"], place(upstream)
    texts = {"user": f"ana:{ana}", "swapped": f"{ana}:token", "more": f"token:{ana}:x", "broken": f"token:{ana}\r\n"}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    found = {}
    for name, (line, _) in FOR_PROXY.items():
        written = line.format(**parties.made, **encoded)
        line_target = target if method == "CONNECT" else f"http://{target}/things"
        with forward.connect() as connection:
            connection.sendall(forward.written(method, line_target, f"Host: {target}", written, token=None))
            answer = answer_on(connection, method)
        found[name] = answer.status, reason_of(answer.body)
    assert found == {name: expected for name, (_, expected) in FOR_PROXY.items()}
    assert upstream.received == b""


def test_a_tunnel_belongs_to_who_opened_it(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    """Pipelined in one tunnel: its own token again counts, another's or a bad one spoils the request."""
    target, ana = place(upstream), parties.made["ana"]

    def inner(*fields: str, host: str = target, line: str = "GET") -> bytes:
        return forward.written(line, "/things", f"Host: {host}", *fields, token=None)

    answers = through(
        forward,
        ana,
        target,
        inner(),
        inner(basic(parties.made["eve"])),
        inner(f"Proxy-Authorization: Bearer {parties.made['stranger']}"),
        inner("Proxy-Authorization: Basic x"),
        inner("Proxy_Authorization: Bearer x"),
        inner(host="127.0.0.1:1"),
        inner("X-Forwarded-User: eve", "Authorization: Bearer of-the-upstream"),
        inner(basic(ana), "Connection: close"),
    )
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"407", b"407", b"407", b"400", b"400", b"200", b"200"]
    reasons = re.findall(rb'"reason": "([a-z-]+)"', answers)
    malformed = [b"credentials-malformed", b"aliased-header", b"authority-mismatch"]
    assert reasons == [b"other-token", b"other-token", *malformed]
    assert len(upstream.seen) == 3
    assert b"eve" not in upstream.received
    assert ana.encode() not in upstream.received


def test_a_tunnel_does_not_outlive_its_token(forward: Proxy, tls_upstream: Upstream, parties: Parties) -> None:
    token = parties.token(exp=time.time() + 3)
    with client(forward, token) as agent:
        assert agent.get(tls_upstream.url + "/things").status_code == 200
        deadline = time.monotonic() + PATIENCE
        while (answer := agent.get(tls_upstream.url + "/things")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (answer.status_code, answer.json()["reason"]) == (407, "expired")
        reached = len(tls_upstream.seen)
        assert agent.get(tls_upstream.url + "/things").status_code == 407
    assert len(tls_upstream.seen) == reached


def test_a_tunnel_within_a_tunnel_is_none(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    target = place(upstream)
    nested = forward.written("CONNECT", target, f"Host: {target}", basic(parties.made["eve"]), token=None)
    after = forward.written("GET", "/things", f"Host: {target}", "Connection: close", token=None)
    answers = through(forward, parties.made["ana"], target, nested, after)
    assert b"HTTP/1.1 200" not in answers
    assert upstream.received == b""


def test_where_a_caller_is_cannot_be_said_inside_a_tunnel(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    """A listed peer is believed about a request of its own; what comes through a tunnel is the caller's own word."""
    target, ana, far = place(upstream), parties.made["ana"], "X-Forwarded-For: 10.1.2.3"
    certified = 'X-Forwarded-Client-Cert: Subject="CN=eve";URI=spiffe://corp/eve'
    inner = forward.written("GET", "/things", f"Host: {target}", far, certified, "Connection: close", token=None)
    assert through(forward, ana, target, inner).startswith(b"HTTP/1.1 200 ")
    assert b"eve" not in upstream.received
    assert source_of_the_last(forward) == "127.0.0.1"
    with forward.connect() as connection:
        connection.sendall(
            forward.written("GET", f"http://{target}/things", f"Host: {target}", far, basic(ana), token=None)
        )
        assert answer_on(connection).status == 200
    assert source_of_the_last(forward) == "10.1.2.3"


def source_of_the_last(proxy: Proxy) -> str:
    return str(proxy.flows("show", proxy.flows("list")[0]["decision_id"])["source"])


OWN = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "127.0.0.2",
    "proxy.localhost",
    "0.0.0.0",  # noqa: S104 - asked for, not bound to
]


@pytest.mark.parametrize("host", OWN)
def test_a_proxy_is_no_way_to_its_own_listeners(forward: Proxy, parties: Parties, host: str) -> None:
    (admin,) = forward.output.wait_for(r"public keys on http://127\.0\.0\.1:(\d+)")
    for port in (forward.port, forward.web_port, int(admin)):
        answer = opened(forward, f"{host}:{port}", token=parties.made["ana"])
        assert (answer.status, reason_of(answer.body)) == (400, "proxy-loop"), port
        with forward.connect() as connection:
            target = f"{host}:{port}"
            connection.sendall(
                forward.written("GET", f"http://{target}/", f"Host: {target}", basic(parties.made["ana"]), token=None)
            )
            plain = answer_on(connection)
        assert (plain.status, reason_of(plain.body)) == (400, "proxy-loop"), port


def test_no_tunnel_is_opened_over_http2(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    """One connection could carry several, each with a token of its own; mitmproxy speaks it with who offers it."""
    target = place(upstream).encode()
    line = [(b":method", b"CONNECT"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", target)]
    for name in ("ana", "eve"):
        with Client(forward.port) as connection:
            status, body = connection.request(
                [*line, (b"proxy-authorization", f"Bearer {parties.made[name]}".encode())]
            )
            assert (status, reason_of(body)) == (400, "http-version")
    assert upstream.received == b""
