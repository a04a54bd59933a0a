"""What goes wrong on the wire is not told in the words of the wire: no log line, error page or record quotes it.

Each secret here holds the canary; that it is in nothing the proxy has shown or kept is asserted when the module ends
(`Proxy.finish`). mitmproxy logs at its most talkative.
"""

import json
import os
import signal
import zlib
from pathlib import Path

import pytest
from tests.e2e.canary import CANARY, CUSTOMER, EMAIL
from tests.e2e.conftest import Start
from tests.e2e.proxy import SCRIPTS, Proxy
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import answer_on

SECRET = CANARY.encode()
JSON = b"Content-Type: application/json"
TALKATIVE = {"mitmweb": ("termlog_verbosity=debug",), "headgate run": ("termlog_verbosity=debug", "flow_detail=4")}


@pytest.fixture(scope="module", params=["mitmweb", "headgate run"])
def proxy(request: pytest.FixtureRequest, proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    script = SCRIPTS / "sabotage.py"
    options = [word for option in TALKATIVE[request.param] for word in ("--set", option)]
    return proxies(*options, door=request.param, mode=f"reverse:{upstream.url}", scripts_after=[script]).warm()


# -- clients -----------------------------------------------------------------------------------------------------------

MALFORMED = {
    "no version": b"GET /?token=c4n4ry\r\n\r\n",
    "an unknown version": b"GET /?token=c4n4ry HTTP/9.9\r\n\r\n",
    "a version that is none": b"GET / c4n4ry/1.1\r\n\r\n",
    "four words": b"GET /?token=c4n4ry c4n4ry HTTP/1.1\r\n\r\n",
    "one word": b"c4n4ry\r\n\r\n",
    "quotes": b'GET /it\'s-"c4n4ry" it\'s "c4n4ry HTTP/1.1\r\n\r\n',
    "an apostrophe first": b"GET 'c4n4ry c4n4ry' HTTP/1.1\r\n\r\n",
    "a backslash": b"GET \\'c4n4ry \\\"c4n4ry HTTP/1.1\r\n\r\n",
    "not utf-8": b"GET /\xff\xfec4n4ry\xff x HTTP/1.1\r\n\r\n",
    "a port that is none": b"GET http://127.0.0.1:c4n4ry/ HTTP/1.1\r\n\r\n",
    "a host that is none": b"GET http://c4n4ry\xff/ HTTP/1.1\r\n\r\n",
    "a scheme that is none": b"GET c4n4ry://x HTTP/1.1\r\n\r\n",
    "connect to nothing": b"CONNECT c4n4ry HTTP/1.1\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nAuthorization Bearer c4n4ry\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: c4n4ry's\r\n\r\n",
    "a name with a space": b"GET / HTTP/1.1\r\nX c4n4ry: it's\r\n\r\n",
    "a folded first line": b"GET / HTTP/1.1\r\n c4n4ry\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: c4n4ry\r\n\r\n",
    "a length with quotes": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: '\"c4n4ry\r\n\r\n",
    "a coding that is none": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: c4n4ry's\r\n\r\n",
    "both": b"POST / HTTP/1.1\r\nHost: c4n4ry\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "a chunk that is none": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nc4n4ry's\r\n",
    "an expectation": b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nCookie: c4n4ry\r\nContent-Length: 0\r\n\r\n",
    "half a request line": b"GET /?token=c4n4ry",
    "half a header": b"GET / HTTP/1.1\r\nAuthorization: Bearer c4n4ry",
    "half a body": b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"ssn": "c4n4ry',
    "half a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nc4n4ry",
    "tls that is none": b"\x16\x03\x01\x02\x00\x01c4n4ry",
    "http/2 that is none": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nc4n4ry",
    "a preface and a frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x01\x05\x00\x00\x00\x01c4n4ry",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_is_not_quoted(proxy: Proxy, upstream: Upstream, what: str) -> None:
    connection = proxy.connect()
    connection.sendall(MALFORMED[what])
    proxy.hang_up(connection)
    assert upstream.connections == 0


@pytest.mark.parametrize("what", ["half a header", "half a body", "half a chunk"])
def test_half_a_request_with_a_good_token_is_not_quoted(proxy: Proxy, upstream: Upstream, what: str) -> None:
    head, _, rest = MALFORMED[what].partition(b"\r\n")
    connection = proxy.connect()
    token = f"Authorization: Bearer {proxy.token()}\r\n".encode()
    connection.sendall(head + b"\r\n" + token + rest.replace(b"Authorization: ", b"X-Token: "))
    proxy.hang_up(connection)
    assert upstream.connections == 0


def test_what_a_caller_sends_is_masked_where_it_is_shown(proxy: Proxy, upstream: Upstream) -> None:
    """Tokens, cookies and keys by name; what a mask names or detection finds, wherever it stands."""
    headers = {
        "Cookie": f"session={CANARY}",
        "X-Api-Key": CANARY,
        "X-Account-Email": EMAIL,
        "Referer": f"https://example.org/?access_token={CANARY}",
        "Content-Type": "application/json",
    }
    path = f"/customers/{EMAIL}?token={CANARY}&mail={EMAIL}&api_key={CANARY}"
    response = proxy.request("POST", path, headers=headers, content=CUSTOMER)
    assert response.status_code == 200, response.text
    assert upstream.seen[0].body == CUSTOMER, "the upstream gets what was sent"


CREDENTIALS = (f"Basic {CANARY}", f"Bearer {CANARY}.{CANARY}.{CANARY}", CANARY, f"Digest x={CANARY}")


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_credentials_that_are_refused_are_not_quoted(proxy: Proxy, upstream: Upstream, credentials: str) -> None:
    response = proxy.get(f"/customers/7?token={CANARY}", headers={"Authorization": credentials})
    assert response.status_code == 401
    assert CANARY not in response.text
    assert CANARY not in str(response.headers)
    assert upstream.connections == 0


# -- upstreams ---------------------------------------------------------------------------------------------------------


def ok(*fields: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


BROKEN: dict[str, Reply] = {
    "nothing": Reply(raw=b"", then="close"),
    "half a status line": Reply(raw=b"HTTP/1.1 200 c4n4ry", then="close"),
    "half a head": Reply(raw=b"HTTP/1.1 200 OK\r\nX-Account-Email: c4n4ry", then="close"),
    "half a head with quotes": Reply(raw=b"HTTP/1.1 200 OK\r\nX-Name: it's \"c4n4ry", then="close"),
    "a status line that is none": Reply(raw=b"c4n4ry\r\n\r\n", then="close"),
    "a status that is none": Reply(raw=b"HTTP/1.1 c4n4ry OK\r\n\r\n", then="close"),
    "a version that is none": Reply(raw=b"c4n4ry/1.1 200 OK\r\n\r\n", then="close"),
    "a header without a colon": Reply(raw=ok(b"c4n4ry it's"), then="close"),
    "a name with a space": Reply(raw=ok(b"X c4n4ry: it's", b"Content-Length: 0"), then="close"),
    "a length that is none": Reply(raw=ok(b"Content-Length: c4n4ry"), then="close"),
    "two lengths": Reply(raw=ok(b"Content-Length: 6", b"Content-Length: 7", body=SECRET), then="close"),
    "length and chunks": Reply(raw=ok(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=SECRET), then="close"),
    "a coding that is none": Reply(raw=ok(b"Transfer-Encoding: c4n4ry", body=SECRET), then="close"),
    "a chunk that is none": Reply(raw=ok(JSON, b"Transfer-Encoding: chunked", body=b"c4n4ry\r\n"), then="close"),
    "half a body": Reply(raw=ok(JSON, b"Content-Length: 99", body=b'{"ssn": "c4n4ry'), then="close"),
    "half a body, reset": Reply(raw=ok(JSON, b"Content-Length: 99", body=b'{"ssn": "c4n4ry'), then="reset"),
    "half a chunk": Reply(raw=ok(JSON, b"Transfer-Encoding: chunked", body=b"40\r\nc4n4ry"), then="close"),
    "trailers": Reply(raw=ok(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\nX: c4n4ry\r\n\r\n"), then="close"),
    "reset": Reply(raw=b"", then="reset"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_answer_is_not_quoted(proxy: Proxy, upstream: Upstream, what: str) -> None:
    upstream.replies["/broken"] = BROKEN[what]
    response = proxy.get("/broken")
    assert response.status_code == 502
    assert CANARY not in response.text
    assert CANARY not in str(response.headers)


UNMASKABLE: dict[str, Reply] = {
    "json that is none": Reply(b'{"ssn": "c4n4ry'),
    "no type": Reply(SECRET, headers={}),
    "a type nobody reads": Reply(SECRET, headers={"Content-Type": "application/octet-stream"}),
    "an image": Reply(SECRET, headers={"Content-Type": "image/png"}),
    "html": Reply(b"<b>c4n4ry</b>", headers={"Content-Type": "text/html"}),
    "a coding nobody reads": Reply(SECRET, headers={"Content-Type": "application/json", "Content-Encoding": "rot13"}),
    "a coding that lies": Reply(CUSTOMER, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}),
    "two codings": Reply(
        zlib.compress(CUSTOMER), headers={"Content-Type": "application/json", "Content-Encoding": "deflate, rot13"}
    ),
    "a charset that lies": Reply(b'{"x": "c4n4ry\xff"}'),
    "a part": Reply(CUSTOMER, status=206),
}


@pytest.mark.parametrize("what", UNMASKABLE)
def test_what_cannot_be_masked_is_withheld(proxy: Proxy, upstream: Upstream, what: str) -> None:
    upstream.replies["/odd"] = UNMASKABLE[what]
    response = proxy.get("/odd")
    assert response.status_code == 502, response.text
    assert response.json()["type"].endswith(":withheld")
    assert CANARY not in response.text
    recorded = proxy.flows("show", response.json()["decision_id"])
    assert recorded["verdict"] == "withheld"


ELSEWHERE: dict[str, Reply] = {
    "a reason phrase": Reply(raw=b"HTTP/1.1 200 c4n4ry.mary@example.org\r\nContent-Length: 0\r\n\r\n"),
    "a location": Reply(status=302, headers={"Location": f"/login?mail={EMAIL}", "Content-Type": "application/json"}),
    "a header": Reply(headers={"X-Note": f"mail {EMAIL}", "Content-Type": "application/json"}),
    "an error": Reply(CUSTOMER, status=500),
    "a member twice": Reply(b'{"ssn": "c4n4ry", "\\u0073sn": "c4n4ry"}'),
    "a form": Reply(f"mail={EMAIL}&ssn=c4n4ry".encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}),
    "xml": Reply(f"<a ssn='c4n4ry'>{EMAIL}</a>".encode(), headers={"Content-Type": "application/xml"}),
    "after the answer": Reply(raw=ok(JSON, b"Content-Length: 2", body=b"{}" + SECRET)),
    "a body where none may be": Reply(raw=b"HTTP/1.1 204 No Content\r\n\r\n" + SECRET),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_masks_reach_all_of_an_answer(proxy: Proxy, upstream: Upstream, what: str) -> None:
    upstream.replies["/elsewhere"] = ELSEWHERE[what]
    response = proxy.get("/elsewhere")
    assert CANARY not in response.text
    assert CANARY not in str(response.headers)
    assert CANARY not in response.reason_phrase


def test_an_answer_over_the_limit_is_not_passed_on(proxy: Proxy, upstream: Upstream) -> None:
    for length in (b"Content-Length: 16777217", b"Transfer-Encoding: chunked"):
        chunk = b"100000\r\n" + SECRET + b"x" * (0x100000 - len(SECRET)) + b"\r\n"
        upstream.replies["/large"] = Reply(raw=ok(JSON, length, body=chunk * 17), then="close")
        response = proxy.get("/large")
        assert response.status_code == 502
        assert CANARY not in response.text


# -- clients that go away, maskers that fail ---------------------------------------------------------------------------


HALF = ok(JSON, b"Content-Length: 17", body=b'{"ssn": "')


@pytest.mark.parametrize("raw", [b"", HALF], ids=["nothing", "half"])
def test_a_client_that_goes_away_before_the_answer_is_there_leaves_nothing(
    proxy: Proxy, upstream: Upstream, raw: bytes
) -> None:
    upstream.replies["/slow"] = Reply(raw=raw, then="hold", late=b'c4n4ry"}')
    connection = proxy.connect()
    connection.sendall(proxy.written("GET", f"/slow?token={CANARY}"))
    assert upstream.arrived.wait(10)
    proxy.hang_up(connection)
    upstream.release.set()
    assert proxy.flows("list")[0]["outcome"]["error"] == "client-disconnected"


def test_a_client_that_goes_away_while_its_answer_is_masked_leaves_nothing(proxy: Proxy) -> None:
    before = len(proxy.output.lines)
    connection = proxy.connect()
    connection.sendall(proxy.written("GET", f"/customers/7?token={CANARY}", "X-Fault: masking response later-slow"))
    proxy.output.wait_for("masking is slow now", after=before)
    proxy.hang_up(connection)
    recorded = proxy.flows("list")[0]
    assert recorded["request"]["path"] == "/customers/7"
    assert recorded["outcome"]["masked"] > 0


def workers(proxy: Proxy) -> list[int]:
    """The processes that mask for this proxy."""
    listed = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()
    return [pid for pid in map(int, listed) if b"headgate.masking.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


LARGE = Reply(b'{"filler": [%s], "customer": %s}' % (b", ".join([b'"kept"'] * 2000), CUSTOMER))
"""A small answer is masked in the proxy's own process, this one is not."""


def test_an_answer_whose_masker_dies_is_withheld_and_the_next_one_served(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/large"] = LARGE
    for pid in workers(proxy):
        os.kill(pid, signal.SIGSTOP)
    connection = proxy.connect()
    connection.sendall(proxy.written("GET", "/large"))
    assert upstream.arrived.wait(10)
    for pid in workers(proxy):
        os.kill(pid, signal.SIGKILL)
    answer = answer_on(connection)
    connection.close()
    assert SECRET not in answer.body
    assert (answer.status, json.loads(answer.body).get("reason")) in ((502, "masking-worker-failed"), (200, None))
    assert CANARY not in proxy.warm("/large").get("/large").text


def test_an_answer_whose_masker_hangs_is_withheld(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/large"] = LARGE
    for pid in workers(proxy):
        os.kill(pid, signal.SIGSTOP)
    response = proxy.get("/large")
    assert (response.status_code, response.json()["reason"]) == (502, "masking-too-slow")
    assert CANARY not in response.text
    proxy.warm("/large")
