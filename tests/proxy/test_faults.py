"""What is told of a failure never holds what the failing code was working on."""

import io
import logging
import tracemalloc

import pytest

from headgate.proxy.faults import LONGEST, describe, quiet_logs, without_quotes

SECRET = "tok-4711"


def test_an_exception_is_told_by_type_and_place_without_its_text() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        told = describe(error)
    assert told.startswith("ValueError at ")
    assert "test_faults.py" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "line",
    [
        f"Client closed connection before completing request headers: {f'GET /?t={SECRET} HTTP/1.1'.encode()!r}",
        f"Bad HTTP request line: {bytearray(SECRET.encode())!r}",
        f"invalid header name: {SECRET.encode() + b' it' + bytes([39]) + b's'!r}",
        f"unterminated: b'{SECRET}",
        f'in double quotes: "{SECRET}"',
    ],
)
def test_what_stands_in_quotes_is_left_out(line: str) -> None:
    assert SECRET not in without_quotes(line)
    assert without_quotes(line).startswith(line.split(":")[0])


@pytest.mark.parametrize("length", [LONGEST - 100, LONGEST, 10_000_000])
def test_a_long_quotation_is_left_out_at_no_great_cost(length: int) -> None:
    """mitmproxy quotes all that a client has sent it without ever ending its request's headers."""
    line = f"Client closed connection: {b'x' * length + SECRET.encode()!r}"
    tracemalloc.start()
    try:
        left = without_quotes(line)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left == "Client closed connection: [withheld]"
    assert most < 1_000_000


def test_words_with_an_apostrophe_stay() -> None:
    assert without_quotes("couldn't connect, the server's gone") == "couldn't connect, the server's gone"


def test_log_lines_of_the_proxy_core_lose_what_they_quote_at_every_level() -> None:
    quiet_logs()
    quiet_logs()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("mitmproxy.proxy.server")
    logger.addHandler(handler)
    try:
        logger.warning("%s", f"b'{SECRET}'")
        try:
            raise ValueError(SECRET)
        except ValueError:
            logger.exception("mitmproxy has crashed!")
    finally:
        logger.removeHandler(handler)
    assert SECRET not in stream.getvalue()
    assert "ValueError at " in stream.getvalue()


def test_what_tornado_tells_of_a_request_lacks_its_query() -> None:
    """mitmweb takes its password as `?token=`, and a refused request is logged with its address."""
    quiet_logs()
    record = logging.getLogRecordFactory()(
        "tornado.access", logging.WARNING, "", 1, "%d %s", (403, f"GET /?token={SECRET} (::1)"), None
    )
    assert record.getMessage() == "403 GET /?[withheld] (::1)"
