"""A curl command sends what was recorded, through a real shell, and does nothing else."""

import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.replay.exchanged import entry, recorded

from headgate.capture.entries import Recorded
from headgate.errors import HeadgateError
from headgate.replay.export import curl_command
from headgate.replay.flowfile import raw_of

SHOW = "import sys; print([a.encode('utf-8', 'surrogateescape') for a in sys.argv[1:]], list(sys.stdin.buffer.read()))"


def run(command, tmp_path):
    """What curl would get: its arguments, and its standard input if it reads that."""
    (tmp_path / "show.py").write_text(SHOW)
    stands_in = f'curl() {{ {sys.executable} {tmp_path / "show.py"} "$@"; }}\n{command}'
    done = subprocess.run(
        [shutil.which("sh") or "sh", "-c", stands_in.encode("utf-8", "surrogateescape")],
        capture_output=True, stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    text = done.stdout.decode()
    arguments, _, body = text.rpartition("] [")
    return eval(arguments + "]"), bytes(eval("[" + body))  # noqa: S307 - our own repr


NASTY = [
    b"@/etc/passwd",
    b'it\'s $(touch x) `touch x` "q"',
    b"100%d \\n",
    b"\x00\x01\xff\n\n",
    b"a=1&b=[2]",
    "ö".encode(),
]


@pytest.mark.parametrize("body", NASTY, ids=range(len(NASTY)))
def test_the_body_is_sent_as_it_is(body, tmp_path):
    arguments, piped = run(curl_command(entry(recorded((), body))), tmp_path)
    assert "-d" not in arguments
    if b"--data-raw" in arguments:
        assert arguments[arguments.index(b"--data-raw") + 1] == body
    else:
        assert (arguments[arguments.index(b"--data-binary") + 1], piped) == (b"@-", body)
    assert list(tmp_path.iterdir()) == [tmp_path / "show.py"]


@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=30))
def test_any_body_is_sent_as_it_is(tmp_path_factory, body):
    arguments, piped = run(curl_command(entry(recorded((), body))), tmp_path_factory.mktemp("c"))
    assert body == (arguments[arguments.index(b"--data-raw") + 1] if b"--data-raw" in arguments else piped)


def test_headers_are_sent_as_they_are(tmp_path):
    fields = ((b"accept", b"*/*"), (b"x-empty", b""), (b"x-odd", b"\xff' $x"), (b"x-twice", b"1"), (b"x-twice", b"2"))
    arguments, _ = run(curl_command(entry(recorded(fields, b""))), tmp_path)
    sent = [arguments[at + 1] for at, one in enumerate(arguments) if one == b"-H"]
    assert sent == [b"accept: */*", b"x-empty;", b"x-odd: \xff' $x", b"x-twice: 1", b"x-twice: 2"]


@pytest.mark.parametrize(
    "field", [(b"@/etc/passwd", b"x"), (b"a b", b"x"), (b"x", b"a\r\nb: c"), (b"host", b"api.internal:8443")]
)
def test_what_is_no_header_or_curls_own_is_left_out(field, tmp_path):
    arguments, _ = run(curl_command(entry(recorded((field,), b""))), tmp_path)
    assert b"-H" not in arguments


def test_a_host_of_its_own_is_sent(tmp_path):
    arguments, _ = run(curl_command(entry(recorded(((b"host", b"other"),), b""))), tmp_path)
    assert arguments[arguments.index(b"-H") + 1] == b"host: other"


@pytest.mark.parametrize(
    ("summary", "body", "asks"),
    [
        ({"method": "GET"}, b"", []),
        ({"method": "HEAD"}, b"", [b"-I"]),
        ({"method": "POST"}, b"", [b"-X", b"POST"]),
        ({"method": "POST"}, b"x", []),
        ({"method": "PUT"}, b"x", [b"-X", b"PUT"]),
        ({"method": "GET"}, b"x", [b"-X", b"GET"]),
    ],
)
def test_the_method_is_the_recorded_one(summary, body, asks, tmp_path):
    arguments, _ = run(curl_command(entry(recorded(((b"content-type", b"x"),), body), summary=summary)), tmp_path)
    assert arguments[2 : 2 + len(asks)] == asks
    assert arguments[:2] == [b"-g", b"--path-as-is"]
    assert (b"-X" in arguments) == (b"-X" in asks)


@pytest.mark.parametrize(
    ("summary", "url"),
    [
        ({}, b"https://api.internal:8443/v1/refunds?a=1&b"),
        ({"port": 443, "query": None}, b"https://api.internal/v1/refunds"),
        ({"host": "2001:db8::1"}, b"https://[2001:db8::1]:8443/v1/refunds?a=1&b"),
        ({"path": "/a b\n[1-9]'", "query": "{x}"}, b"https://api.internal:8443/a%20b%0A[1-9]'?{x}"),
    ],
)
def test_the_url_is_one_argument(summary, url, tmp_path):
    arguments, _ = run(curl_command(entry(recorded((), b""), summary=summary)), tmp_path)
    assert arguments[-1] == url


def test_a_tcp_flow_is_no_request_of_curls():
    with pytest.raises(HeadgateError, match="is no HTTP"):
        curl_command(entry(kind="tcp"))


def test_raw_is_what_http_1_has_on_the_wire():
    raw = raw_of(entry(recorded(((b"host", b"api.internal"),), b"hello")))
    assert raw.startswith(b"POST /v1/refunds?a=1&b HTTP/1.1\r\nhost: api.internal\r\n")
    assert b"hello\r\n\r\nHTTP/1.1 200 OK\r\n" in raw
    assert raw.endswith(b"\r\n\r\nok")


def test_raw_of_what_has_no_response_is_the_request_alone():
    raw = raw_of(entry(recorded((), b"hello"), summary={"status": None}))
    assert b"HTTP/1.1 200" not in raw
    assert raw_of(entry(Recorded(None, b"", 9, truncated=False))).startswith(b"POST ")
