"""HTTP as clients and upstreams really speak it, or should not: one request, one judgement, one answer."""

import contextlib
import gzip
import json
import re
import socket
from pathlib import Path

import httpx
import pytest
from tests.e2e.canary import CANARY, CUSTOMER, found_in
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import PERSONAL, Reply, Upstream
from tests.e2e.wire import answer_on, received

MEGABYTE = 1024 * 1024
LIMIT = 16 * MEGABYTE
CHUNK = b"%x\r\n%s\r\n" % (MEGABYTE, b"x" * MEGABYTE)


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    return proxies(mode=f"reverse:{upstream.url}").warm()


def reason(body: bytes) -> str:
    given: str = json.loads(body)["reason"]
    return given


# -- one connection, several requests ----------------------------------------------------------------------------------


def test_pipelined_requests_are_judged_one_by_one(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as connection:
        connection.sendall(
            proxy.written("GET", "/customers/7")
            + proxy.written("GET", "/customers/7", token=None)
            + proxy.written("DELETE", "/customers/7")
            + proxy.written("GET", "/orders", "Connection: close")
        )
        answers = received(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"401", b"403", b"200"]
    assert CANARY.encode() not in answers.replace(f"session={CANARY}".encode(), b""), "but for the caller's own cookie"
    assert upstream.paths() == ["GET /customers/7", "GET /orders"]


def test_a_connection_that_was_good_once_is_not_good_for_the_next_request(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as connection:
        for request, status in (
            (proxy.written("GET", "/customers/7"), 200),
            (proxy.written("GET", "/customers/7", token=None), 401),
            (proxy.written("DELETE", "/customers/7"), 403),
            (proxy.written("GET", "/customers/7", token=proxy.token(groups=["visitors"])), 403),
            (proxy.written("GET", "/customers/7"), 200),
        ):
            connection.sendall(request)
            assert answer_on(connection).status == status
    assert upstream.paths() == ["GET /customers/7"] * 2


# -- bodies ------------------------------------------------------------------------------------------------------------


def test_a_body_with_an_announced_length_over_the_limit_is_not_read(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as connection:
        connection.sendall(proxy.written("POST", "/upload", f"Content-Length: {LIMIT + 1}"))
        assert answer_on(connection).status == 413
    assert upstream.connections == 0


def test_a_body_that_turns_out_to_be_over_the_limit_is_cut_off(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as connection:
        connection.sendall(proxy.written("POST", "/upload", "Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(LIMIT // MEGABYTE + 1):
                connection.sendall(CHUNK)
        assert answer_on(connection).status in (413, 0), "closed with unread bytes, the answer may be lost"
    assert upstream.connections == 0


def test_a_body_up_to_the_limit_goes_on(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.request("PUT", "/upload", content=b"x" * LIMIT)
    assert response.status_code == 200, response.text
    assert len(upstream.seen[0].body) == LIMIT


@pytest.mark.parametrize("length", ["Content-Length: 1048577", "Transfer-Encoding: chunked"])
def test_a_refused_request_with_a_long_body_is_cut_off_before_it_is_read(
    proxy: Proxy, upstream: Upstream, length: str
) -> None:
    """Nothing of the body is sent here, so that only who does not wait for it closes the connection."""
    with proxy.connect() as connection:
        connection.sendall(proxy.written("POST", "/upload", length, token=None))
        assert answer_on(connection).status in (0, 401)
        assert connection.recv(1) == b""
    assert upstream.connections == 0


def test_a_refused_request_with_a_short_body_is_told_why(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.request("POST", "/upload", token=None, content=b"x" * MEGABYTE)
    assert (response.status_code, response.json()["reason"]) == (401, "no-token")
    assert upstream.connections == 0


def test_who_expects_100_continue_is_told_to_go_on(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as connection:
        connection.sendall(proxy.written("POST", "/upload", "Expect: 100-continue", "Content-Length: 4"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"body")
        assert answer_on(connection).status == 200
    assert (upstream.seen[0].body, upstream.seen[0].header("expect")) == (b"body", [])


def test_trailers_of_a_request_go_no_further(proxy: Proxy, upstream: Upstream) -> None:
    """mitmproxy 12.2.3 cannot read them over HTTP/1: the request hangs until its client gives up."""
    connection = proxy.connect()
    connection.sendall(
        proxy.written("POST", "/upload", "Transfer-Encoding: chunked", "Trailer: X-User")
        + b"4\r\nbody\r\n0\r\nX-User: root\r\n\r\n"
    )
    proxy.output.wait_for(r"mitmproxy has crashed!")
    proxy.hang_up(connection)
    assert b"X-User" not in upstream.received


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_a_compressed_answer_is_masked(proxy: Proxy, upstream: Upstream, coding: str) -> None:
    body = gzip.compress(CUSTOMER) if coding == "gzip" else CUSTOMER
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    upstream.replies["/customers/7"] = Reply(body, headers=headers)
    response = proxy.get("/customers/7")
    assert response.status_code == 200, response.text
    assert response.json()["ssn"] == "[REDACTED]"


MASKS = {"fields": "fields: ['$..ssn', 'header:X-Account-Email']", "none": ""}


@pytest.mark.parametrize("masks", MASKS)
def test_a_callers_cookie_is_the_callers_and_nobody_elses(
    proxies: Start, upstream: Upstream, tmp_path: Path, masks: str
) -> None:
    """Without detection nothing has to be waited for, and the answer goes out in one go."""
    masking = f"masks:\n  - {{id: m, match: {{}}, {MASKS[masks]}}}\n" if MASKS[masks] else "masks: []\n"
    proxy = proxies(door="mitmweb", mode=f"reverse:{upstream.url}", rules=write_rules(tmp_path / "r", masking=masking))
    upstream.replies["/login"] = Reply(b"{}", headers={**PERSONAL.headers, "X-Account-Email": "none"})
    proxy.ready()
    with httpx.Client(base_url=proxy.url, trust_env=False) as client:
        for _ in range(20):
            response = client.get("/login", headers={"Authorization": f"Bearer {proxy.token()}"})
            assert response.headers["set-cookie"].startswith(f"session={CANARY};"), response.text
    assert not found_in(proxy.window.everything())


# -- upstreams that answer what nobody asked for -----------------------------------------------------------------------

FINAL = f"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\n{CANARY}".encode()


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </c4n4ry>\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_an_interim_answer_is_withheld_and_the_final_one_is_nobodys(
    proxy: Proxy, upstream: Upstream, interim: bytes
) -> None:
    """What comes late on that connection must not become the answer to the next request."""
    upstream.replies["/early"] = Reply(raw=interim, then="hold", late=FINAL)
    with proxy.connect() as connection:
        connection.sendall(proxy.written("GET", "/early"))
        answer = answer_on(connection)
        assert (answer.status, reason(answer.body)) == (502, "unexpected-upgrade")
        assert CANARY.encode() not in answer.body
        connection.sendall(proxy.written("GET", "/orders"))
        upstream.release.set()
        answer = answer_on(connection)
        assert (answer.status, answer.body) == (200, b"{}")
    assert upstream.paths() == ["GET /early", "GET /orders"]


def test_an_upgrade_to_websocket_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    with proxy.connect() as connection:
        connection.sendall(proxy.written("GET", "/socket", *upgrade))
        answer = answer_on(connection)
    assert (answer.status, reason(answer.body)) == (400, "upgrade-refused")
    assert upstream.connections == 0


# -- requests that two parsers read differently ------------------------------------------------------------------------

AMBIGUOUS = {
    "two lengths": ("POST", "/x", "Content-Length: 3", "Content-Length: 4"),
    "length and chunks": ("POST", "/x", "Content-Length: 3", "Transfer-Encoding: chunked"),
    "a coding nobody knows": ("POST", "/x", "Transfer-Encoding: xchunked"),
    "a signed length": ("POST", "/x", "Content-Length: +3"),
    "two hosts": ("GET", "/x", "Host: 127.0.0.1", "Host: localhost"),
    "another host": ("GET", "/x", "Host: other.example.org"),
    "an address with another host": ("GET", "http://other.example.org/x"),
    "a folded header": ("GET", "/x", "X-Note: one\r\n two"),
    "a space before the colon": ("GET", "/x", "X-Note : one"),
    "a control character": ("GET", "/x", "X-Note: one\x01two"),
    "a NUL": ("GET", "/x", "X-Note: one\x00two"),
    "two identities": ("GET", "/x", "X-Forwarded-User: ana", "X-Forwarded-User: root"),
    "an aliased identity": ("GET", "/x", "X_Forwarded_User: root"),
    "another method inside": ("GET", "/x", "X-HTTP-Method-Override: DELETE"),
    "an encoded slash": ("GET", "/a%2fb"),
    "dots": ("GET", "/a/../b"),
    "encoded dots": ("GET", "/a/%2e%2e/b"),
    "a backslash": ("GET", "/a\\b"),
    "a double encoding": ("GET", "/a%252fb"),
    "a method in lower case": ("get", "/x"),
    "trace": ("TRACE", "/x"),
    "a fragment": ("GET", "/x#y"),
    "no path": ("OPTIONS", "*"),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_a_request_that_can_be_read_in_two_ways_is_refused(proxy: Proxy, upstream: Upstream, what: str) -> None:
    method, target, *fields = AMBIGUOUS[what]
    with proxy.connect() as connection:
        connection.sendall(proxy.written(method, target, *fields))
        connection.shutdown(socket.SHUT_WR) if "length" in what else None
        answer = answer_on(connection)
    assert answer.status in (0, 400)
    assert upstream.connections == 0
