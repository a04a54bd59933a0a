"""Masking at the door: what is planted in a response or a request is in nothing that a proxy writes.

Every document is answered by a real upstream and read by a real client; its masked form is known byte by byte. When
the module is done, all that its proxy has shown or kept is searched for every value in every spelling (`planted.py`).
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import brotli
import pytest
import zstandard
from tests.e2e.asking import ask, chunked
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import Start
from tests.e2e.documents import DOCUMENTS, FLOWING, JSON, deltas, person, table
from tests.e2e.http2 import Client, Fields
from tests.e2e.planted import (
    CARD,
    DETECTED,
    EMAIL,
    IBAN,
    KEY,
    MASKED,
    NAME,
    PHONE,
    RAW,
    SSN,
    VALUES,
    Planted,
    compressed,
    escaped,
    found_in,
    in_lines,
    percent,
)
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.streams import Http2Upstream
from tests.e2e.upstream import Reply, Upstream

OPERATORS = ("redact", "token", "last4", "hash", "null", "drop")
WHAT = {
    "fields": ["$..legal_name", "header:X-Legal-Name", "query:legal_name"],
    "detect": list(DETECTED),
    "pass_types": ["text/event-stream", "text/html", "text/plain"],
}
MASKS: dict[str, dict[str, Any]] = {
    "/formats/{rest...}": WHAT,
    "/encoded": {**WHAT, "fields": ["$.payload | base64", "$..legal_name"]},
    "/keys": {**WHAT, "keys": True},
    "/excepted/{rest...}": {**WHAT, "except": {"principal": {"groups": ["privacy"]}}},
    "/purpose": {**WHAT, "except": {"principal": {"groups": ["support"]}, "body": {"$.purpose": "audit"}}},
    "/sent/{rest...}": {**WHAT, "request": True},
    **{f"/as/{each}": {**WHAT, "as": {"default": each}} for each in OPERATORS},
}
MASKING = {
    "masks": [{"id": f"mask-{at}", "match": {"path": path}, **mask} for at, (path, mask) in enumerate(MASKS.items())],
    "token_key": "env:TOKEN_KEY_OF_TESTS",
}
"""As JSON, which is YAML as well."""

POLICY = """
rules:
  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}}
  - id: clerks-may-speak-of-her
    effect: allow
    match: {principal: {groups: [clerks]}, target: api, body: {"$.legal_name": {regex: "^Quillon Ostrav[a-z]+$"}}}
"""
TOKEN_KEY = {"TOKEN_KEY_OF_TESTS": "0123456789abcdef0123456789abcdef"}


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Shared by all tests here; what it has shown and kept is searched when they are done."""
    upstream.forget()
    rules = write_rules(tmp_path_factory.mktemp("masks") / "rules", masking=json.dumps(MASKING), policy=POLICY)
    mode = f"reverse:{upstream.url}"
    proxy = proxies(mode=mode, door="mitmweb", rules=rules, environment=TOKEN_KEY).warm("/formats/warm")
    yield proxy
    proxy.settle()
    shown = proxy.everything_shown()
    assert b"REDACTED" in shown, "what it has masked can be seen"
    assert not found_in(shown)


def recorded(proxy: Proxy) -> dict[str, Any]:
    """The last exchange, as it was recorded."""
    shown: dict[str, Any] = proxy.flows("show", proxy.flows("list")[0]["decision_id"])
    return shown


def text_of(proxy: Proxy, side: str = "response") -> str:
    return str(recorded(proxy)["recorded"][side]["body"]["text"])


# -------------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("name", [*DOCUMENTS, *FLOWING])
def test_what_is_planted_in_a_document_would_be_found(name: str) -> None:
    document = {**DOCUMENTS, **FLOWING}[name]
    hits = "\n".join(found_in(document.raw))
    assert VALUES[CARD] in hits or VALUES[CARD].replace(" ", "") in hits
    assert VALUES[EMAIL] in hits or name == "numbers of json"
    assert not found_in(document.masked)


def test_what_is_planted_and_compressed_would_be_found() -> None:
    """As it was sent, that is: the capture, which compresses what it keeps, is searched decompressed."""
    body = gzip.compress(b"nobody sends this" * 99)
    assert not found_in(b"..." + body)
    compressed(body)
    assert found_in(b"..." + body)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_masked_and_the_rest_of_it_as_it_was(proxy: Proxy, upstream: Upstream, name: str) -> None:
    document = DOCUMENTS[name]
    upstream.replies["/formats/whole"] = Reply(document.raw, headers={"Content-Type": document.kind})
    got = ask(proxy, "/formats/whole")
    assert (got.status, got.body) == (200, document.masked)
    assert got.header("content-type") == [document.kind]
    assert got.header("content-length") == [str(len(document.masked))]
    assert not found_in(got.raw)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", FLOWING)
def test_a_document_that_flows_is_masked_wherever_it_is_cut(
    proxy: Proxy, upstream: Upstream, name: str, size: int
) -> None:
    document = FLOWING[name]
    upstream.replies["/formats/flow"] = Reply(raw=chunked(document.raw, f"Content-Type: {document.kind}", size=size))
    got = ask(proxy, "/formats/flow")
    assert (got.status, got.body) == (200, document.masked)
    assert not found_in(got.raw)


def test_what_comes_in_deltas_is_masked_as_if_it_came_at_once(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/formats/model"] = Reply(raw=chunked(deltas(RAW).encode(), "Content-Type: text/event-stream"))
    got = ask(proxy, "/formats/model")
    assert (got.status, said_in(got.body)) == (200, said_in(deltas(MASKED).encode()))
    assert got.body.endswith(b"data: [DONE]\n\n")
    assert not found_in(said_in(got.body).encode())


def said_in(body: bytes) -> str:
    events = re.findall(rb"^data: (\{.*\})$", body, re.MULTILINE)
    return "".join(json.loads(event)["choices"][0]["delta"]["content"] for event in events)


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip in two members": ("x-gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without its head": ("Deflate", lambda data: zlib.compress(data)[2:-4]),
    "brotli": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
}


@pytest.mark.parametrize("flows", [False, True], ids=["whole", "flowing"])
@pytest.mark.parametrize("name", CODINGS)
def test_what_is_compressed_is_masked_all_the_same(proxy: Proxy, upstream: Upstream, name: str, flows: bool) -> None:
    coding, compress = CODINGS[name]
    document = FLOWING["events"] if flows else DOCUMENTS["json in escapes"]
    body = compressed(compress(document.raw))
    fields = {"Content-Type": document.kind, "Content-Encoding": coding}
    raw = chunked(body, *(f"{name}: {value}" for name, value in fields.items())) if flows else None
    upstream.replies["/formats/coded"] = Reply(body, headers=fields, raw=raw)
    got = ask(proxy, "/formats/coded", "Accept-Encoding: gzip, deflate, br, zstd")
    assert (got.status, got.header("content-encoding"), got.body) == (200, [], document.masked)
    assert not found_in(got.raw)


@pytest.mark.parametrize("breaks", ["\\r\\n", ""], ids=["in lines", "in one line"])
def test_base64_is_looked_into_where_a_rule_says_so(proxy: Proxy, upstream: Upstream, breaks: str) -> None:
    def body(of: Planted) -> bytes:
        return f'{{"payload": "{in_lines(person(of)).replace("\r\n", breaks)}", "as": "base64"}}'.encode()

    upstream.replies["/encoded"] = Reply(body(RAW))
    got = ask(proxy, "/encoded")
    assert (got.status, got.body) == (200, body(MASKED))


def test_names_are_data_where_a_rule_says_so(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/keys"] = Reply(f'{{"{VALUES[EMAIL]}": {{"{escaped(VALUES[CARD])}": 1}}}}'.encode())
    got = ask(proxy, "/keys")
    assert (got.status, got.body) == (200, b'{"[EMAIL_ADDRESS]": {"[CREDIT_CARD]": 1}}')


@pytest.mark.parametrize("status", [201, 301, 400, 401, 404, 409, 422, 500, 503])
def test_answers_of_every_status_are_masked(proxy: Proxy, upstream: Upstream, status: int) -> None:
    document = DOCUMENTS["a problem"]
    upstream.replies["/formats/error"] = Reply(document.raw, status=status, headers={"Content-Type": document.kind})
    got = ask(proxy, "/formats/error")
    assert (got.status, got.body) == (status, document.masked)
    assert not found_in(got.raw)


HEADERS = {
    "Set-Cookie": (f"contact={VALUES[EMAIL]}; Path=/; HttpOnly", "contact=[EMAIL_ADDRESS]; Path=/; HttpOnly"),
    "Location": (f"/next?mail={quote(VALUES[EMAIL])}&card={percent(VALUES[CARD])}", None),
    "Link": (f"</c?mail={VALUES[EMAIL]}>; rel=next", "</c?mail=[EMAIL_ADDRESS]>; rel=next"),
    "X-Note": (f"card {VALUES[CARD]}, iban {VALUES[IBAN]}", "card [CREDIT_CARD], iban [IBAN_CODE]"),
    "X-Customer": (json.dumps({"ssn": VALUES[SSN]}), json.dumps({"ssn": "[US_SSN]"})),
    "X-Phone": (VALUES[PHONE], "[PHONE_NUMBER]"),
    "X-Key": (VALUES[KEY], "[SECRET]"),
    "X-Legal-Name": (VALUES[NAME], "[REDACTED]"),
    "Content-Disposition": (f'attachment; filename="{VALUES[SSN]}"', 'attachment; filename="[US_SSN]"'),
}
"""Each with what is expected of it; None: any value without what was planted."""


@pytest.mark.parametrize("status", [200, 302, 304, 500])
def test_headers_are_masked_whatever_the_answer(proxy: Proxy, upstream: Upstream, status: int) -> None:
    fields = {name: raw for name, (raw, _) in HEADERS.items()}
    if status == 304:
        fields["Content-Length"] = "0"
    upstream.replies["/formats/headers"] = Reply(
        b"" if status == 304 else b"{}", status=status, headers={"Content-Type": JSON, **fields}
    )
    got = ask(proxy, "/formats/headers")
    assert got.status == (502 if status == 304 else status)
    assert not found_in(got.raw)
    if status != 304:
        expected = {name: [masked] for name, (_, masked) in HEADERS.items() if masked}
        assert {name: got.header(name) for name in expected} == expected
        assert got.header("location")[0].startswith("/next?mail=[EMAIL_ADDRESS]&card=")


@pytest.fixture(scope="module")
def http2_upstream(certificates: Certificates) -> Iterator[Http2Upstream]:
    server = Http2Upstream(certificates.server(("h2",)))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def http2_proxy(
    proxies: Start, http2_upstream: Http2Upstream, certificates: Certificates, proxy: Proxy
) -> Iterator[Proxy]:
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    mode = f"reverse:{http2_upstream.url}"
    proxy = proxies("--set", trust, mode=mode, rules=proxy.rules, environment=TOKEN_KEY).ready()
    yield proxy
    proxy.settle()
    assert not found_in(proxy.everything_shown())


def fields_of(proxy: Proxy, path: str, token: str = "") -> Fields:
    line = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"127.0.0.1:%d" % proxy.port)]
    return [*line, (b":path", path.encode()), (b"authorization", b"Bearer " + (token or proxy.token()).encode())]


@pytest.mark.parametrize("path", ["/formats/trailers", "/excepted/trailers"])
def test_trailers_are_masked(http2_proxy: Proxy, http2_upstream: Http2Upstream, path: str) -> None:
    trailers = (("x-note", f"write to {VALUES[EMAIL]}"), ("x-legal-name", VALUES[NAME]), ("x-kept", "1700000000"))
    with Client(http2_proxy.port) as client:
        stream = client.send(fields_of(http2_proxy, path))
        speaker = http2_upstream.asked()
        speaker.head(f"Content-Type: {JSON}", f"X-Note: card {VALUES[CARD]}")
        speaker.say(person(RAW))
        speaker.end(*trailers)
        assert client.answer(stream) == (200, person(MASKED).encode())
        masked = [
            (b"x-note", b"write to [EMAIL_ADDRESS]"),
            (b"x-legal-name", b"[REDACTED]"),
            (b"x-kept", b"1700000000"),
        ]
        assert client.trailers(stream) == masked
        assert dict(client.headers(stream))[b"x-note"] == b"card [CREDIT_CARD]"


@pytest.mark.parametrize(("path", "kind"), [("/formats/flow", "text/event-stream"), ("/excepted/x", JSON)])
def test_trailers_that_recorders_could_not_see_masked_are_not_sent(
    http2_proxy: Proxy, http2_upstream: Http2Upstream, path: str, kind: str
) -> None:
    """On a stream, and to who is excepted."""
    body = "" if kind == JSON else ": nothing\n\n"
    with Client(http2_proxy.port) as client:
        stream = client.send(fields_of(http2_proxy, path, privacy(http2_proxy)))
        speaker = http2_upstream.asked()
        speaker.head(f"Content-Type: {kind}")
        speaker.say(body or person(RAW))
        speaker.end(("x-note", f"write to {VALUES[EMAIL]}"))
        assert client.answer(stream) == (200, (body or person(RAW)).encode())
        assert client.trailers(stream) == []


# ----------------------------------------------------------------------------------------------------- what is recorded


@pytest.mark.parametrize("coding", [None, *CODINGS])
def test_what_a_caller_sends_is_masked_in_the_record_and_goes_on_as_it_is(
    proxy: Proxy, upstream: Upstream, coding: str | None
) -> None:
    document = DOCUMENTS["json in escapes"]
    name, compress = CODINGS[coding] if coding else ("identity", bytes)
    body = compressed(compress(document.raw)) if coding else document.raw
    fields = (f"Content-Type: {JSON}", f"Content-Encoding: {name}", f"X-Note: {VALUES[EMAIL]}")
    target = f"/formats/{VALUES[EMAIL]}/x?mail={quote(VALUES[EMAIL])}&card={percent(VALUES[CARD])}"
    got = ask(proxy, target, *fields, f"Cookie: a={VALUES[EMAIL]}", method="POST", body=body)
    (seen,) = upstream.seen
    assert (got.status, seen.path, seen.body) == (200, target, body)
    assert (seen.header("x-note"), seen.header("cookie")) == ([VALUES[EMAIL]], [f"a={VALUES[EMAIL]}"])
    record = recorded(proxy)
    assert record["recorded"]["request"]["body"]["text"] == document.masked.decode()
    assert record["request"]["path"] == "/formats/[EMAIL_ADDRESS]/x"
    assert not found_in(json.dumps(record).encode())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_a_caller_sends_is_in_no_record(proxy: Proxy, upstream: Upstream, name: str) -> None:
    document = DOCUMENTS[name]
    ask(proxy, "/formats/x", f"Content-Type: {document.kind}", method="POST", body=document.raw)
    assert upstream.seen[0].body == document.raw
    assert not found_in(json.dumps(recorded(proxy)).encode())


def test_the_record_says_what_was_masked_and_where(proxy: Proxy, upstream: Upstream) -> None:
    upstream.replies["/formats/told"] = Reply(person(RAW).encode(), headers={"Content-Type": JSON})
    ask(proxy, "/formats/told")
    assert text_of(proxy) == person(MASKED)
    listed = proxy.flows("list")[0]
    assert (listed["verdict"], listed["outcome"]["masked"]) == ("allowed", 11)


def test_nothing_planted_is_told_to_the_page_that_listens(proxy: Proxy, upstream: Upstream) -> None:
    """mitmweb tells its page of every change, long before it is asked for flows."""
    for name in ("json in escapes", "parts in base64 and quoted-printable"):
        upstream.replies[f"/formats/{name[:4]}"] = Reply(
            DOCUMENTS[name].raw, headers={"Content-Type": DOCUMENTS[name].kind, "X-Note": VALUES[EMAIL]}
        )

    def call() -> None:
        ask(proxy, "/formats/json", f"X-Note: {VALUES[EMAIL]}", f"Cookie: a={VALUES[KEY]}")
        ask(proxy, "/formats/part", f"X-Note: {VALUES[EMAIL]}")

    told = proxy.window.updates_while(call, lambda message: "/formats/part" in json.dumps(message))
    assert [message for message in told if message["type"] == "flows/add"]
    assert not found_in(json.dumps(told).encode())


# ---------------------------------------------------------------------------------------------------- who is excepted


def privacy(proxy: Proxy) -> str:
    """The token of somebody to whom the masks of /excepted do not apply."""
    return proxy.token(sub="officer", groups=["support", "privacy"])


@pytest.mark.parametrize("name", ["json in escapes", "xml", "a form", "text in utf-16"])
def test_an_excepted_caller_alone_gets_the_original(proxy: Proxy, upstream: Upstream, name: str) -> None:
    document = DOCUMENTS[name]
    fields = {"Content-Type": document.kind, "ETag": '"v1"', "Cache-Control": "public, max-age=60", "X-Phone": "none"}
    upstream.replies["/excepted/x"] = Reply(document.raw, headers={**fields, "X-Note": VALUES[EMAIL]})
    excepted, other = ask(proxy, "/excepted/x", token=privacy(proxy)), ask(proxy, "/excepted/x")
    assert (excepted.status, excepted.body) == (200, document.raw)
    assert (excepted.header("etag"), excepted.header("x-note")) == (['"v1"'], [VALUES[EMAIL]])
    assert excepted.header("cache-control") == other.header("cache-control") == ["private, no-store"]
    if "text" in name:
        assert other.status == 200
    assert not found_in(other.raw)
    assert (other.body, other.header("etag"), other.header("x-note")) == (document.masked, [], ["[EMAIL_ADDRESS]"])


@pytest.mark.parametrize("coding", CODINGS)
def test_an_excepted_caller_gets_what_is_compressed_as_it_came(proxy: Proxy, upstream: Upstream, coding: str) -> None:
    name, compress = CODINGS[coding]
    document = DOCUMENTS["json"]
    body = compressed(compress(document.raw))
    upstream.replies["/excepted/x"] = Reply(body, headers={"Content-Type": JSON, "Content-Encoding": name})
    got = ask(proxy, "/excepted/x", "Accept-Encoding: gzip, x-any;q=0.5", token=privacy(proxy))
    assert (got.status, got.header("content-encoding"), got.body) == (200, [name], body)
    assert upstream.seen[0].header("accept-encoding") == ["gzip, x-any;q=0.5"], "his own business"
    assert text_of(proxy) == document.masked.decode()


def test_an_excepted_caller_gets_what_could_not_be_masked_and_its_record_has_none_of_it(
    proxy: Proxy, upstream: Upstream
) -> None:
    upstream.replies["/excepted/x"] = Reply(b'{"note": "%s' % VALUES[EMAIL].encode(), headers={"Content-Type": JSON})
    got = ask(proxy, "/excepted/x", token=privacy(proxy))
    assert (got.status, got.body) == (200, b'{"note": "%s' % VALUES[EMAIL].encode())
    assert recorded(proxy)["recorded"]["response"]["body"] is None
    assert ask(proxy, "/excepted/x").status == 502


PURPOSES = {
    "known": (JSON, b'{"purpose": "audit"}', True),
    "another": (JSON, b'{"purpose": "curiosity"}', False),
    "absent": (JSON, b"{}", False),
    "said twice": (JSON, b'{"purpose": "audit", "purpose": "audit"}', False),
    "of another type": (JSON, b'{"purpose": ["audit"]}', False),
    "not readable": (JSON, b'{"purpose": "audit"', False),
    "in what is no json": ("text/plain", b'{"purpose": "audit"}', False),
}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_whether_somebody_is_excepted_has_to_be_certain(proxy: Proxy, upstream: Upstream, purpose: str) -> None:
    kind, body, is_excepted = PURPOSES[purpose]
    document = DOCUMENTS["json"]
    upstream.replies["/purpose"] = Reply(document.raw, headers={"Content-Type": JSON})
    got = ask(proxy, "/purpose", f"Content-Type: {kind}", method="POST", body=body)
    assert (got.status, got.body) == (200, document.raw if is_excepted else document.masked)


# ----------------------------------------------------------------------------------------------- what is sent upstream


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_upstream_gets_a_masked_document(proxy: Proxy, upstream: Upstream, name: str) -> None:
    document = DOCUMENTS[name]
    got = ask(proxy, "/sent/x", f"Content-Type: {document.kind}", method="POST", body=document.raw)
    assert (got.status, upstream.seen[0].body) == (200, document.masked)
    assert upstream.seen[0].header("content-length") == [str(len(document.masked))]
    assert not found_in(upstream.received)


@pytest.mark.parametrize("coding", CODINGS)
def test_the_upstream_gets_a_masked_document_without_its_coding(proxy: Proxy, upstream: Upstream, coding: str) -> None:
    name, compress = CODINGS[coding]
    document = DOCUMENTS["json in escapes"]
    fields = (f"Content-Type: {JSON}", f"Content-Encoding: {name}", "Content-MD5: x", "Digest: sha-256=x")
    got = ask(proxy, "/sent/x", *fields, method="PUT", body=compressed(compress(document.raw)))
    (seen,) = upstream.seen
    assert (got.status, seen.body) == (200, document.masked)
    assert not [seen.header(name) for name in ("content-encoding", "content-md5", "digest") if seen.header(name)]
    assert not found_in(upstream.received)


def test_the_upstream_gets_masked_headers_and_a_masked_query(proxy: Proxy, upstream: Upstream) -> None:
    query = f"legal_name={percent(VALUES[NAME])}&mail={quote(VALUES[EMAIL])}&card={VALUES[CARD].replace(' ', '+')}"
    fields = (f"X-Legal-Name: {VALUES[NAME]}", f"X-Note: write to {VALUES[EMAIL]}", "X-Kept: 1700000000")
    got = ask(proxy, f"/sent/x?{query}&page=2&%61=1", *fields)
    (seen,) = upstream.seen
    masked = "legal_name=[REDACTED]&mail=[EMAIL_ADDRESS]&card=[CREDIT_CARD]&page=2&%61=1"
    assert (got.status, seen.path) == (200, f"/sent/x?{masked}")
    assert (seen.header("x-legal-name"), seen.header("x-note")) == (["[REDACTED]"], ["write to [EMAIL_ADDRESS]"])
    assert seen.header("x-kept") == ["1700000000"]
    assert not found_in(upstream.received)


def test_policy_sees_the_original(proxy: Proxy, upstream: Upstream) -> None:
    """A clerk may only speak of her, whose name no upstream gets to see."""
    clerk = proxy.token(sub="clerk", groups=["clerks"])
    fields = (f"Content-Type: {JSON}",)
    body = person(RAW).replace('"id":7,  ', "").encode()
    assert ask(proxy, "/sent/x", *fields, method="POST", body=body, token=clerk).status == 200
    assert upstream.seen[0].body == person(MASKED).replace('"id":7,  ', "").encode()
    other = body.replace(VALUES[NAME].encode(), b"[REDACTED]")
    assert ask(proxy, "/sent/x", *fields, method="POST", body=other, token=clerk).status == 403
    assert len(upstream.seen) == 1


def test_why_policy_refuses_quotes_nothing_of_the_body(proxy: Proxy, upstream: Upstream) -> None:
    """It tells which rule came closest, and by what it failed: what stood in its place is what masks are for."""
    clerk = proxy.token(sub="clerk", groups=["clerks"])
    body = json.dumps({NAME: f"of {VALUES[EMAIL]}"}).encode()
    got = ask(proxy, "/sent/x", f"Content-Type: {JSON}", method="POST", body=body, token=clerk)
    assert (got.status, upstream.seen) == (403, [])
    assert not found_in(got.raw)
    assert not found_in(json.dumps(recorded(proxy)).encode())


def test_nobody_is_excepted_from_what_an_upstream_may_not_see(proxy: Proxy, upstream: Upstream) -> None:
    document = DOCUMENTS["json"]
    fields = (f"Content-Type: {document.kind}",)
    ask(proxy, "/sent/x", *fields, method="POST", body=document.raw, token=privacy(proxy))
    assert upstream.seen[0].body == document.masked


SECRET = person(RAW).encode()
UNSENDABLE: dict[str, tuple[tuple[str, ...], bytes, str]] = {
    "no type": ((), SECRET, "content-type-missing"),
    "a type nobody reads": (("Content-Type: application/pdf",), SECRET, "content-type-not-maskable"),
    "json that is none": ((f"Content-Type: {JSON}",), SECRET[:-1], "invalid-json"),
    "a coding that lies": ((f"Content-Type: {JSON}", "Content-Encoding: br"), SECRET, "content-coding-damaged"),
    "a charset that lies": ((f"Content-Type: {JSON}",), SECRET + b"\xff", "charset-wrong"),
    "wide json": ((f"Content-Type: {JSON}; charset=utf-16le",), "{}".encode("utf-16-le"), "charset-not-maskable"),
    "base64 that is none": (
        ("Content-Type: multipart/mixed; boundary=x",),
        b"--x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n#!\r\n--x--\r\n",
        "transfer-encoding-damaged",
    ),
}


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_cannot_be_masked_is_not_sent(proxy: Proxy, upstream: Upstream, what: str) -> None:
    fields, body, reason = UNSENDABLE[what]
    got = ask(proxy, "/sent/x", *fields, method="POST", body=body)
    told = json.loads(got.body)
    assert (got.status, told["type"].rpartition(":")[2], told["reason"]) == (502, "withheld", reason)
    assert (upstream.seen, upstream.received) == ([], b"")
    assert recorded(proxy)["verdict"] == "withheld"
    assert not found_in(got.raw)


# ------------------------------------------------------------------------------------------------------------ operators

STARS = {EMAIL: "******.*******@******e.org", CARD: "**** **** **** 5559", NAME: "******* *******nder"}
SHAPES = {
    "redact": {EMAIL: r"\[EMAIL_ADDRESS\]", CARD: r"\[CREDIT_CARD\]", NAME: r"\[REDACTED\]"},
    "last4": {name: re.escape(stars) for name, stars in STARS.items()},
    "hash": dict.fromkeys((EMAIL, CARD, NAME), "hash_[a-p]{32}"),
    "token": {
        EMAIL: r"[a-z]{6}\.[a-z]{7}@[a-z]{6}\.test",
        CARD: r"9\d{3} \d{4} \d{4} \d{4}",
        NAME: "[A-Z][a-z]{6} [A-Z][a-z]{10}",
    },
}


def customer(of: Callable[[str], str]) -> bytes:
    number = VALUES[CARD].replace(" ", "")
    return (
        f'{{"email": "{of(EMAIL)}", "card": "{of(CARD)}", "{NAME}": "{of(NAME)}", "number": {number}, "id": 7,'
        f' "note": "mail {of(EMAIL)}"}}'
    ).encode()


def operated(proxy: Proxy, upstream: Upstream, operator: str, body: bytes, kind: str = JSON) -> bytes:
    upstream.replies[f"/as/{operator}"] = Reply(body, headers={"Content-Type": kind})
    got = ask(proxy, f"/as/{operator}")
    assert got.status == 200, got.body
    return got.body


@pytest.mark.parametrize("operator", SHAPES)
def test_an_operator_says_what_becomes_of_a_value(proxy: Proxy, upstream: Upstream, operator: str) -> None:
    shapes = SHAPES[operator]
    masked = json.loads(operated(proxy, upstream, operator, customer(VALUES.__getitem__)))
    number, note = masked.pop("number"), masked.pop("note")
    assert re.fullmatch(r"9\d{15}" if operator == "token" else "None", str(number))
    assert note == f"mail {masked['email']}"
    assert all(
        re.fullmatch(shapes[name], masked[key]) for name, key in ((EMAIL, "email"), (CARD, "card"), (NAME, NAME))
    )
    assert masked["id"] == 7


@pytest.mark.parametrize("operator", ["redact", "hash", "token"])
def test_what_is_masked_is_never_masked_again(proxy: Proxy, upstream: Upstream, operator: str) -> None:
    masked = operated(proxy, upstream, operator, customer(VALUES.__getitem__)).replace(b'"legal_name"', b'"name"')
    assert operated(proxy, upstream, operator, masked) == masked


def test_null_and_drop_leave_nothing_of_it(proxy: Proxy, upstream: Upstream) -> None:
    body = customer(VALUES.__getitem__)
    nothing = {"email": None, "card": None, NAME: None, "number": None, "id": 7, "note": None}
    assert json.loads(operated(proxy, upstream, "null", body)) == nothing
    assert operated(proxy, upstream, "drop", body) == b'{"id": 7}'
    assert operated(proxy, upstream, "null", b"a %s b" % VALUES[EMAIL].encode(), "text/plain") == b"a  b"


@pytest.mark.parametrize("operator", ["token", "hash"])
def test_the_same_value_is_the_same_wherever_it_stands(proxy: Proxy, upstream: Upstream, operator: str) -> None:
    """So that what is masked can still be joined: across formats, spellings, requests, callers and messages."""
    masked = json.loads(operated(proxy, upstream, operator, customer(VALUES.__getitem__)))
    assert (
        json.loads(operated(proxy, upstream, operator, customer(lambda name: escaped(VALUES[name]))))["email"]
        == (masked["email"])
    )
    texts = [
        operated(proxy, upstream, operator, table(";")(RAW).encode(), "text/csv"),
        operated(proxy, upstream, operator, DOCUMENTS["xml, decimal"].raw, "text/xml"),
        operated(proxy, upstream, operator, f"To: {VALUES[EMAIL]} {VALUES[CARD]}".encode(), "text/plain"),
    ]
    for text in texts:
        assert masked["email"].encode() in text
        assert masked["card"].encode() in text
    assert all(masked[NAME].encode() in text for text in texts[:2])
    upstream.replies[f"/as/{operator}"] = Reply(headers={"Content-Type": JSON, "X-Note": f"to {VALUES[EMAIL]}"})
    got = ask(proxy, f"/as/{operator}", token=proxy.token(sub="bob"))
    assert got.header("x-note") == [f"to {masked['email']}"]
