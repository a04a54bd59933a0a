"""Requests in every form that people have them in come to the same request."""

import json
from pathlib import Path

import click
import pytest

from headgate.cli.asked import Asked, at_url, in_file, in_har
from headgate.cli.curl import in_curl

URL = "https://api.internal/v1/refunds?a=1"


def parts(asked: Asked) -> tuple[str, str, str, str, tuple[tuple[bytes, bytes], ...], bytes | None]:
    return asked.method, asked.scheme, asked.authority, asked.target, asked.fields, asked.body


# -- curl --------------------------------------------------------------------------------------------------------------

FORM = (b"Content-Type", b"application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("line", "method", "target", "fields", "body"),
    [
        (f"curl {URL}", "GET", "/v1/refunds?a=1", (), b""),
        (f"curl -XDELETE -sSkL --compressed -i '{URL}'", "DELETE", "/v1/refunds?a=1", (), b""),
        (f"curl --request PUT --url {URL} -o /dev/null", "PUT", "/v1/refunds?a=1", (), b""),
        (f"curl -I {URL}", "HEAD", "/v1/refunds?a=1", (), b""),
        (f"curl {URL} -d a=b -d c=d", "POST", "/v1/refunds?a=1", (FORM,), b"a=b&c=d"),
        (f"curl {URL} --data-raw @x", "POST", "/v1/refunds?a=1", (FORM,), b"@x"),
        (f"curl {URL} --data-urlencode 'a=b c&d'", "POST", "/v1/refunds?a=1", (FORM,), b"a=b+c%26d"),
        (f"curl {URL} -G -d b=2", "GET", "/v1/refunds?a=1&b=2", (), b""),
        ("curl -G https://api.internal -d b=2", "GET", "/?b=2", (), b""),
        (f"curl {URL}#part", "GET", "/v1/refunds?a=1", (), b""),
        (
            f"curl {URL} -H 'X-A: 1' -HX-B:2 -H 'Accept:'",
            "GET",
            "/v1/refunds?a=1",
            ((b"X-A", b"1"), (b"X-B", b"2")),
            b"",
        ),
        (f"curl {URL} -u ana:pw", "GET", "/v1/refunds?a=1", ((b"Authorization", b"Basic YW5hOnB3"),), b""),
        (f"curl {URL} -b a=b -A me", "GET", "/v1/refunds?a=1", ((b"Cookie", b"a=b"), (b"User-Agent", b"me")), b""),
        (f"curl \\\n  -X PATCH \\\n  {URL}", "PATCH", "/v1/refunds?a=1", (), b""),
        (
            f"curl {URL} --json '{{\"a\": 1}}'",
            "POST",
            "/v1/refunds?a=1",
            ((b"Content-Type", b"application/json"), (b"Accept", b"application/json")),
            b'{"a": 1}',
        ),
        (
            f"curl {URL} -d x -H 'content-type: text/plain'",
            "POST",
            "/v1/refunds?a=1",
            ((b"content-type", b"text/plain"),),
            b"x",
        ),
    ],
)
def test_a_curl_line(line: str, method: str, target: str, fields: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
    assert parts(in_curl(line)) == (method, "https", "api.internal", target, fields, body)


def test_a_host_alone_is_http() -> None:
    assert parts(in_curl("curl localhost:8080/x"))[:4] == ("GET", "http", "localhost:8080", "/x")


def test_a_body_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"a\r\nb\n")
    assert in_curl(f"curl {URL} -d @{tmp_path / 'body'}").body == b"ab"
    assert in_curl(f"curl {URL} --data-binary @{tmp_path / 'body'}").body == b"a\r\nb\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("wget x", "one that begins with `curl`"),
        ("", "one that begins with `curl`"),
        ("curl 'x", "a quote that is not closed"),
        ("curl", "has 0 URLs; accepted: one"),
        (f"curl {URL} {URL}", "has 2 URLs"),
        (f"curl {URL} -F a=@b", "`-F` sends a form of parts"),
        (f"curl {URL} --frob", "`--frob` of the curl line is not known here; accepted: -X -H -d"),
        (f"curl {URL} -Z", "`-Z` of the curl line is not known"),
        (f"curl {URL} -H", "`-H` lacks its value"),
        (f"curl {URL} -H nothing", "`-H` of the curl line is no header"),
        (f"curl {URL} -b jar.txt", "`-b` of the curl line names a file"),
        (f"curl {URL} -d @nowhere", "`nowhere` cannot be read"),
        (f"curl {URL} -d $'a'", "quotes with `$'...'`"),
        ("curl ftp://x/y", "that is not a URL"),
    ],
)
def test_a_curl_line_that_cannot_be_read(line: str, message: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        in_curl(line)
    assert message in raised.value.message


# -- files -------------------------------------------------------------------------------------------------------------

JSON_TYPE = (b"Content-Type", b"application/json")


@pytest.mark.parametrize(
    ("text", "fields", "body"),
    [
        (f'{{"method": "POST", "url": "{URL}", "body": {{"n": 1}}}}', (JSON_TYPE,), b'{"n": 1}'),
        (f"method: POST\nurl: {URL}\nbody: {{n: 1}}\n", (JSON_TYPE,), b'{"n": 1}'),
        (f"method: POST\nurl: {URL}\nheaders: {{X-A: [a, b]}}\nbody: n=1\n", ((b"X-A", b"a"), (b"X-A", b"b")), b"n=1"),
        (
            "POST /v1/refunds?a=1 HTTP/1.1\r\nHost: api.internal\r\nContent-Length: 3\r\n\r\nn=1",
            ((b"Host", b"api.internal"), (b"Content-Length", b"3")),
            b"n=1",
        ),
        (
            "POST /v1/refunds?a=1 HTTP/1.1\nHost: api.internal\nContent-Length: 3\n\nn=1\n",
            ((b"Host", b"api.internal"), (b"Content-Length", b"3")),
            b"n=1",
        ),
        (
            "POST https://api.internal/v1/refunds?a=1 HTTP/1.1\nX-A:  1 \n\n",
            ((b"X-A", b"1"),),
            b"",
        ),
    ],
    ids=["json", "yaml", "form", "raw", "raw with lf", "absolute"],
)
def test_a_file(text: str, fields: tuple[tuple[bytes, bytes], ...], body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "request"
    path.write_bytes(text.encode())
    assert parts(in_file(path, "https")) == ("POST", "https", "api.internal", "/v1/refunds?a=1", fields, body)


def test_a_raw_message_is_of_the_scheme_given(tmp_path: Path) -> None:
    path = tmp_path / "request"
    path.write_bytes(b"GET / HTTP/1.0\r\nHost: a:81\r\n\r\n")
    asked = in_file(path, "http")
    assert (asked.scheme, asked.authority, asked.version) == ("http", "a:81", b"HTTP/1.0")


def test_what_makes_a_raw_message_malformed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "request"
    path.write_bytes(b"GET /a/../b HTTP/1.1\r\nHost: a\r\nHost: b\r\n folded\r\n\r\n")
    asked = in_file(path, "https")
    assert asked.target == "/a/../b"
    assert asked.raw().fields == ((b"Host", b"a"), (b"Host", b"b"), (b" folded", b""))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("GET / HTTP/1.1\n\n", "names no host"),
        ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n", "a transfer coding is not read"),
        ("url: [", "not YAML"),
        ("method: GET\n", "`url` is missing"),
        ("url: x\n", "that is not a URL"),
        (f"url: {URL}\nurls: a\n", "unknown key `urls`, did you mean `url`?"),
        ("7", "holds something else; accepted: a mapping with `method`"),
        ('{"url": "a", "url": "b"}', "`url` is given twice"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "request").write_text(text)
    with pytest.raises(click.UsageError) as raised:
        in_file(tmp_path / "request", "https")
    assert message in raised.value.message


# -- HAR ---------------------------------------------------------------------------------------------------------------


def har(folder: Path, *requests: object) -> str:
    path = folder / "a.har"
    path.write_text(json.dumps({"log": {"entries": [{"request": request} for request in requests]}}))
    return str(path)


SENT = {
    "method": "POST",
    "url": f"{URL}#part",
    "headers": [
        {"name": ":authority", "value": "api.internal"},
        {"name": "content-type", "value": "application/json"},
        {"name": "content-length", "value": "9"},
    ],
    "postData": {"mimeType": "application/json", "text": '{"n":1}'},
}


def test_an_entry_of_a_har_file(tmp_path: Path) -> None:
    path = har(tmp_path, {"method": "GET", "url": URL, "headers": []}, SENT)
    assert parts(in_har(path)) == ("GET", "https", "api.internal", "/v1/refunds?a=1", (), b"")
    expected = (
        "POST",
        "https",
        "api.internal",
        "/v1/refunds?a=1",
        ((b"content-type", b"application/json"),),
        b'{"n":1}',
    )
    assert parts(in_har(f"{path}#1")) == expected


def test_a_body_that_the_har_file_lacks_is_not_known(tmp_path: Path) -> None:
    asked = in_har(har(tmp_path, {key: value for key, value in SENT.items() if key != "postData"}))
    assert asked.body is None
    assert asked.notes == ("the HAR file does not have the body: conditions on it are unknown",)


@pytest.mark.parametrize(
    ("content", "number", "message"),
    [
        ("{}", "", "that is not a HAR file"),
        ("[" * 100_000, "", "that is not a HAR file"),
        ('{"log": {"entries": [7]}}', "", "that is not a HAR file"),
        ('{"log": {"entries": []}}', "", "has no entry 0"),
        (json.dumps({"log": {"entries": [{"request": SENT}]}}), "#1", "has no entry 1; accepted: 0 to 0"),
    ],
)
def test_a_har_file_that_cannot_be_read(content: str, number: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.har").write_text(content)
    with pytest.raises(click.UsageError) as raised:
        in_har(f"{tmp_path / 'a.har'}{number}")
    assert message in raised.value.message


# -- on the wire -------------------------------------------------------------------------------------------------------


def test_what_every_client_adds() -> None:
    raw = at_url("POST", "http://[::1]:8080/x", ((b"X-A", b"1"),), b"abc", source="10.0.0.1").raw()
    assert raw.fields == ((b"Host", b"[::1]:8080"), (b"X-A", b"1"), (b"Content-Length", b"3"))
    assert (raw.host, raw.port, raw.target, raw.source) == ("[::1]", 8080, b"/x", "10.0.0.1")
