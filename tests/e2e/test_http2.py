"""HTTP/2 in front of an HTTP/1 upstream: what the one can carry and the other cannot is refused, not translated."""

import json
from collections.abc import Iterator

import pytest
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client, Fields
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Reply, Upstream

FINAL = f"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\n{CANARY}".encode()


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    return proxies(mode=f"reverse:{upstream.url}").warm()


def fields(proxy: Proxy, *more: tuple[bytes, bytes], **pseudo: bytes) -> Fields:
    """The header of a good request, with pseudo headers replaced and fields added."""
    given = {"method": b"GET", "scheme": b"https", "authority": b"127.0.0.1:%d" % proxy.port, "path": b"/customers/7"}
    line = [(f":{name}".encode(), value) for name, value in {**given, **pseudo}.items() if value]
    return [*line, (b"authorization", b"Bearer " + proxy.token().encode()), *more]


@pytest.fixture
def http2(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy.port) as client:
        yield client


def test_http2_is_served_like_http1(proxy: Proxy, upstream: Upstream, http2: Client) -> None:
    status, body = http2.request(fields(proxy))
    assert (status, json.loads(body)["ssn"]) == (200, "[REDACTED]")
    refused, _ = http2.request(fields(proxy, method=b"DELETE"))
    assert refused == 403
    assert upstream.paths() == ["GET /customers/7"]


def test_streams_of_one_connection_are_judged_each_for_itself(proxy: Proxy, upstream: Upstream, http2: Client) -> None:
    good = http2.send(fields(proxy))
    bad = http2.send([field for field in fields(proxy) if field[0] != b"authorization"])
    assert http2.answer(bad)[0] == 401
    with Client(proxy.port) as another:
        assert another.request(fields(proxy))[0] == 200
    assert good < bad
    assert {seen.path for seen in upstream.seen} == {"/customers/7"}


CRAFTED: dict[str, tuple[tuple[tuple[bytes, bytes], ...], dict[str, bytes]]] = {
    "a line break in a value": (((b"x-note", b"one\r\nx-user: root"),), {}),
    "a NUL in a value": (((b"x-note", b"one\x00two"),), {}),
    "a line break in a name": (((b"x-note\r\nx-user", b"root"),), {}),
    "a colon in a name": (((b"x-note:", b"one"),), {}),
    "a name in upper case": (((b"X-Note", b"one"),), {}),
    "an empty name": (((b"", b"one"),), {}),
    "a line break in the method": ((), {"method": b"GET / HTTP/1.1\r\nX: y\r\n\r\nGET"}),
    "a space in the method": ((), {"method": b"GET /admin"}),
    "a line break in the path": ((), {"path": b"/x HTTP/1.1\r\nX-User: root\r\n\r\nGET /y"}),
    "a space in the path": ((), {"path": b"/x y"}),
    "no path": ((), {"path": b""}),
    "a path without a slash": ((), {"path": b"x"}),
    "another host": (((b"host", b"other.example.org"),), {}),
    "another authority": ((), {"authority": b"other.example.org"}),
    "an authority with a user": ((), {"authority": b"root@127.0.0.1"}),
    "a line break in the authority": ((), {"authority": b"127.0.0.1\r\nx-user: root"}),
    "another scheme": ((), {"scheme": b"gopher"}),
    "a connection header": (((b"connection", b"x-user"),), {}),
    "a coding of transfer": (((b"transfer-encoding", b"chunked"),), {}),
    "a length that lies": (((b"content-length", b"10"),), {}),
    "a pseudo header after others": (((b":path", b"/admin"),), {}),
    "an unknown pseudo header": (((b":protocol", b"websocket"),), {}),
}


@pytest.mark.parametrize("what", CRAFTED)
def test_what_http2_can_carry_and_http1_cannot_is_refused(
    proxy: Proxy, upstream: Upstream, http2: Client, what: str
) -> None:
    more, pseudo = CRAFTED[what]
    status, body = http2.request(fields(proxy, *more, **pseudo))
    assert status in (400, "stream reset", "connection terminated", "connection closed"), body
    assert upstream.connections == 0


@pytest.mark.parametrize("said", [b"3", b"5", b"0"])
def test_a_body_of_another_length_than_announced_is_refused(
    proxy: Proxy, upstream: Upstream, http2: Client, said: bytes
) -> None:
    given = fields(proxy, (b"content-length", said), method=b"POST", path=b"/upload")
    assert http2.request(given, b"body")[0] in (400, "stream reset", "connection terminated")
    assert upstream.connections == 0


def test_a_body_without_a_length_is_no_second_request(proxy: Proxy, upstream: Upstream, http2: Client) -> None:
    """Not told where it ends, an HTTP/1 upstream takes it for the next request, which nobody has judged."""
    smuggled = b"DELETE /customers/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    status, _ = http2.request(fields(proxy, method=b"POST", path=b"/upload"), smuggled)
    assert status == 200
    assert upstream.paths() == ["POST /upload"]
    assert upstream.seen[0].body == smuggled
    assert upstream.seen[0].header("content-length") == [str(len(smuggled))]


def test_trailers_over_http2_go_no_further(proxy: Proxy, upstream: Upstream, http2: Client) -> None:
    status, _ = http2.request(fields(proxy, method=b"POST", path=b"/upload"), b"body", [(b"x-user", b"root")])
    assert status == 200
    assert upstream.seen[0].body == b"body"
    assert b"x-user" not in upstream.received.lower()


def test_a_stream_that_is_reset_while_it_is_answered_leaves_nothing(
    proxy: Proxy, upstream: Upstream, http2: Client
) -> None:
    upstream.replies["/slow"] = Reply(raw=b"", then="hold", late=FINAL)
    stream = http2.send(fields(proxy, path=b"/slow"))
    assert upstream.arrived.wait(10)
    http2.reset(stream)
    assert http2.request(fields(proxy))[0] == 200
    upstream.release.set()


def test_a_refused_stream_with_a_body_of_unknown_length_is_cut_off(
    proxy: Proxy, upstream: Upstream, http2: Client
) -> None:
    given = [field for field in fields(proxy, method=b"POST") if field[0] != b"authorization"]
    assert http2.request(given, b"x" * 1000)[0] in (401, "stream reset")
    assert upstream.connections == 0
