"""A whole response: what its headers become, and when it has to be withheld."""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence

import brotli
import pytest
import zstandard

from headgate.masking.detection.detector import Detector
from headgate.masking.headers import mask_headers
from headgate.masking.plan import CannotMask, Detect, Fields, Leaf, Plan, Span, detect_nothing
from headgate.masking.response import MaskedResponse, Received, mask_response, without_stray_body

JSON = (b"Content-Type", b"application/json")
BODY = b'{"to": "find me"}'
MASKED = b'{"to": "[EMAIL_ADDRESS]"}'


@pytest.fixture
def mask(plan_of: Callable[..., Plan], find_words: Callable[..., Detect]) -> Callable[..., MaskedResponse]:
    """Mask a response, by default one in which detection finds `find me`."""

    def run(
        *headers: tuple[bytes, bytes],
        body: bytes = BODY,
        status: int = 200,
        method: str = "GET",
        trailers: Fields = (),
        **mask: object,
    ) -> MaskedResponse:
        plan = plan_of(**(mask or {"detect": ["EMAIL_ADDRESS"]}))
        return mask_response(plan, Received(method, status, headers, body, trailers), find_words("find me"))

    return run


def test_a_masked_body_has_its_headers_repaired(mask: Callable[..., MaskedResponse]) -> None:
    stale = ("ETag", "Content-MD5", "Digest", "Repr-Digest", "Content-Digest", "Signature", "Signature-Input")
    vouching = tuple((name.encode(), b"x") for name in (*stale, "Accept-Ranges"))
    masked = mask(JSON, (b"Last-Modified", b"then"), (b"content-length", b"17"), *vouching)
    assert masked.body == MASKED
    assert masked.headers == (JSON, (b"Last-Modified", b"then"), (b"Content-Length", b"25"))


def test_a_body_in_chunks_gets_no_length(mask: Callable[..., MaskedResponse]) -> None:
    masked = mask(JSON, (b"Transfer-Encoding", b"chunked"))
    assert masked.headers == (JSON, (b"Transfer-Encoding", b"chunked"))


def test_where_nothing_is_found_nothing_changes(mask: Callable[..., MaskedResponse]) -> None:
    headers = (JSON, (b"ETag", b"x"), (b"Content-Length", b"2"))
    assert mask(*headers, body=b"{}") == (headers, None, {}, (), ())


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstandard.compress)],
)
def test_a_coded_body_is_sent_without_its_coding_once_masked(
    mask: Callable[..., MaskedResponse], coding: str, encode: Callable[[bytes], bytes]
) -> None:
    coded = (b"Content-Encoding", coding.encode())
    masked = mask(JSON, coded, body=encode(BODY))
    assert masked.body == MASKED
    assert coded not in masked.headers
    untouched = mask(JSON, coded, body=encode(b"{}"))
    assert untouched.body is None
    assert coded in untouched.headers


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (206, (JSON,), b"{}", "partial-response"),
        (304, (), b"", "not-modified-response"),
        (103, (), b"", "interim-response"),
        (200, ((b"Content-Type", b"multipart/byteranges; boundary=x"),), b"x", "partial-response"),
        (200, (JSON, (b"Content-Encoding", b"gzip")), b"{}", "content-coding-damaged"),
        (200, (JSON, (b"Content-Encoding", b"br, gzip")), b"{}", "content-coding-stacked"),
        (200, (JSON, (b"Content-Encoding", b"compress")), b"{}", "content-coding-unknown"),
        (500, ((b"Content-Type", b"image/png"),), b"<p>oops", "content-type-not-maskable"),
        (200, (), b"x", "content-type-missing"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(
    mask: Callable[..., MaskedResponse], status: int, headers: Fields, body: bytes, reason: str
) -> None:
    with pytest.raises(CannotMask, match=reason):
        mask(*headers, status=status, body=body)


def test_a_mask_of_headers_alone_lets_any_body_pass(mask: Callable[..., MaskedResponse]) -> None:
    masked = mask((b"X-Name", b"Ana"), status=206, body=b"\xff", fields=["header:x-name"])
    assert masked.headers == ((b"X-Name", b"[REDACTED]"),)
    assert masked.body is None


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("HEAD", 304), ("GET", 204), ("GET", 101)])
def test_headers_are_masked_where_there_is_no_body(
    mask: Callable[..., MaskedResponse], method: str, status: int
) -> None:
    headers = (JSON, (b"X-To", b"find me"), (b"ETag", b"x"), (b"Content-Length", b"17"))
    masked = mask(*headers, method=method, status=status, body=b"")
    assert masked.headers == (JSON, (b"X-To", b"[EMAIL_ADDRESS]"))
    assert masked.body is None


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, b"17"), ("HEAD", 204, b"17"), ("GET", 204, None), ("GET", 205, b"0")],
)
def test_a_body_that_may_not_be_there_is_taken_away(
    mask: Callable[..., MaskedResponse], method: str, status: int, length: bytes | None
) -> None:
    received = Received(method, status, (JSON, (b"Content-Length", b"17")), BODY)
    emptied = without_stray_body(received)
    assert emptied.body == b""
    assert dict(emptied.headers).get(b"Content-Length") == length
    assert mask(*received.headers, method=method, status=status).body == b""


@pytest.mark.parametrize("status", [101, 304])
def test_so_it_is_where_the_mask_is_of_headers_alone(mask: Callable[..., MaskedResponse], status: int) -> None:
    assert mask(JSON, status=status, fields=["header:x-name"]).body == b""


def test_an_empty_body_needs_no_type(mask: Callable[..., MaskedResponse]) -> None:
    assert mask((b"Content-Length", b"0"), body=b"").headers == ((b"Content-Length", b"0"),)


TRAILERS = ((b"Grpc-Status", b"0"), (b"X-To", b"find me"), (b"Content-Digest", b"sha-256=:x:"))


def test_trailers_are_masked_and_vouch_for_no_body_that_was_changed(mask: Callable[..., MaskedResponse]) -> None:
    masked = mask(JSON, body=BODY, trailers=TRAILERS)
    assert masked.trailers == ((b"Grpc-Status", b"0"), (b"X-To", b"[EMAIL_ADDRESS]"))
    assert masked.counts["header:x-to", "EMAIL_ADDRESS", "redact"] == 1
    assert mask(JSON, body=b"{}", trailers=TRAILERS).trailers[-1] == TRAILERS[-1]


# -- headers -----------------------------------------------------------------------------------------------------------


def _one(plan: Plan, name: bytes, value: bytes, detect: Detect) -> Fields:
    return mask_headers(((name, value),), plan, detect).fields


@pytest.mark.parametrize(
    ("operator", "fields"),
    [
        ("redact", ((b"X-Iban", b"[REDACTED]"),)),
        ("last4", ((b"X-Iban", b"**** **** 3000"),)),
        ("null", ((b"X-Iban", b""),)),
        ("drop", ()),
    ],
)
def test_a_named_header_is_masked_by_its_operator(plan_of: Callable[..., Plan], operator: str, fields: Fields) -> None:
    plan = plan_of(fields=["header:x-iban"], **{"as": {"default": operator}})
    assert _one(plan, b"X-Iban", b"DE89 3704 3000", detect_nothing) == fields


def test_detection_looks_into_values_of_other_headers(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    plan, detect = plan_of(detect=["EMAIL_ADDRESS"]), find_words("a b\u00e9", "a@b")
    assert _one(plan, b"X-A", "to a b\u00e9!".encode(), detect) == ((b"X-A", b"to [EMAIL_ADDRESS]!"),)
    assert _one(plan, b"Set-Cookie", b"u=a@b; Path=/", detect) == ((b"Set-Cookie", b"u=[EMAIL_ADDRESS]; Path=/"),)
    assert _one(plan, b"Location", b"/%7Ex?u=a%40b&v=%25", detect) == ((b"Location", b"/%7Ex?u=[EMAIL_ADDRESS]&v=%25"),)
    assert _one(plan, b"X-A", b"\xff %41", detect) == ((b"X-A", b"\xff %41"),)
    assert _one(plan, b"Date", b"a@b", detect) == ((b"Date", b"a@b"),)


@pytest.mark.parametrize("name", [b"AKIAIOSFODNN7EXAMPLE", b"X-AKIAIOSFODNN7EXAMPLE-y", b"X-5500-0055-5555-5559"])
def test_a_header_whose_name_is_a_value_goes(plan_of: Callable[..., Plan], name: bytes) -> None:
    detect = Detector(plan := plan_of(detect=["SECRET", "CREDIT_CARD"]))
    masked = mask_headers(((name, b"1"), (b"X-B3-TraceId", b"2"), (b"Strict-Transport-Security", b"3")), plan, detect)
    assert [field for field, _ in masked.fields] == [b"X-B3-TraceId", b"Strict-Transport-Security"]
    assert [(place, operator) for place, _, operator in masked.counts] == [("header", "drop")]


def test_what_an_upstream_gives_the_caller_to_prove_himself_with_stays(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(detect=["SECRET"], fields=["header:X-Session"])

    def detect(leaves: Sequence[Leaf]) -> list[list[Span]]:
        return [[Span("SECRET", 0, len(leaf.text), 1.0)] if leaf.text else [] for leaf in leaves]

    for name in (b"Set-Cookie", b"Authentication-Info"):
        assert _one(plan, name, b"sid=abc", detect) == ((name, b"sid=abc"),)
    assert _one(plan, b"X-Debug", b"abc", detect) == ((b"X-Debug", b"[SECRET]"),)
    assert _one(plan, b"X-Session", b"abc", detect) == ((b"X-Session", b"[REDACTED]"),)


def test_a_finding_that_drops_takes_the_header_along(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"], **{"as": {"default": "drop"}})
    masked = mask_headers(((b"X-A", b"to a@b"), (b"X-B", b"c")), plan, find_words("a@b"))
    assert masked.fields == ((b"X-B", b"c"),)
    assert dict(masked.counts) == {("header:x-a", "EMAIL_ADDRESS", "drop"): 1}


def test_no_line_end_comes_out_of_a_percent_encoding(
    plan_of: Callable[..., Plan], find_words: Callable[..., Detect]
) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"])
    assert _one(plan, b"X-A", b"%0d%0aSet-Cookie: x=a%40b", find_words("a@b")) == (
        (b"X-A", b"%0d%0aSet-Cookie: x=[EMAIL_ADDRESS]"),
    )


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        (b"Location", b"/users/ana@example.com", b"/users/[EMAIL_ADDRESS]"),
        (b"Link", b"</users?email=ana@example.com>; rel=next", b"</users?email=[EMAIL_ADDRESS]>; rel=next"),
        (b"X-Next", b"/users?email=ana%2540example.com", b"[EMAIL_ADDRESS]"),
    ],
)
def test_an_address_in_a_path_is_found(plan_of: Callable[..., Plan], name: bytes, value: bytes, masked: bytes) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"])
    assert _one(plan, name, value, Detector(plan)) == ((name, masked),)


def test_the_name_of_a_header_is_context(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(detect=["US_SSN"])
    headers = ((b"X-Customer-SSN", b"536904399"), (b"X-Id", b"536904399"))
    assert mask_headers(headers, plan, Detector(plan)).fields == ((b"X-Customer-SSN", b"[US_SSN]"), headers[1])


def test_a_body_is_masked_by_fields_and_detection_at_once(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(fields=["$.name"], detect=["CREDIT_CARD"], **{"as": {"CREDIT_CARD": "last4"}})
    body = json.dumps({"name": "Ana", "card": "4111111111111111"}).encode()
    masked = mask_response(plan, Received("GET", 200, (JSON,), body), Detector(plan))
    assert masked.body == b'{"name": "[REDACTED]", "card": "************1111"}'
    assert dict(masked.counts) == {("/name", "field", "redact"): 1, ("/card", "CREDIT_CARD", "last4"): 1}
