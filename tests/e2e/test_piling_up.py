"""What nobody has proven anything for does not pile up in memory: unfinished heads, pipelined bytes, bodies that come
while a key is awaited."""

import select
import socket

import pytest
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import received

PIECE = b"x" * 65536


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    return proxies(mode=f"reverse:{upstream.url}").warm()


def pour(client: socket.socket, pieces: int) -> int:
    """Send without an end in sight; how many pieces went before the proxy hung up."""
    for sent in range(pieces):
        try:
            client.sendall(PIECE)
        except OSError:
            return sent
    return pieces


def test_a_head_without_an_end_is_cut_off(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        assert pour(client, 2000) < 1500
    assert proxy.get("/things").status_code == 200
    assert upstream.paths() == ["GET /things"]


def test_a_head_that_is_a_little_too_long_is_told_so(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + PIECE * 2)
        while not select.select([client], [], [], 0.05)[0]:
            client.sendall(b"x")
        assert received(client).startswith(b"HTTP/1.1 431 ")
    assert upstream.paths() == []


def test_what_is_sent_ahead_of_an_answer_has_an_end(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/slow"] = Reply(then="hold", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", late=b"{}")
    with proxy.connect() as client:
        client.sendall(proxy.written("GET", "/slow"))
        assert upstream.arrived.wait(10)
        assert pour(client, 2000) < 1500
    upstream.release.set()
    assert proxy.get("/things").status_code == 200


def test_two_requests_in_one_go_are_both_answered(proxy: Proxy, upstream: Upstream) -> None:
    asked = proxy.written("GET", "/one") + proxy.written("GET", "/two", "Connection: close")
    assert proxy.raw(asked).count(b"HTTP/1.1 200 OK") == 2
    assert upstream.paths() == ["GET /one", "GET /two"]
