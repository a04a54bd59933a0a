"""Which responses flow, how a stream begins, and what of codings and charsets can be undone on the way."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from tests.masking.streams.chunks import EVENTS, LINES, TEXT, at_random, masked, one_by_one, typed

from headgate.masking.plan import CannotMask, Detect, Fields, Operator, Plan, Wanted, detect_nothing
from headgate.masking.streams import open_stream, streamable
from headgate.masking.streams.undo import LARGEST

LENGTH = ((b"content-length", b"3"),)
TEXTS = b"data: ana@example.com and more\n\n" * 20


def _bare(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    ("deflate", zlib.compress),
    ("deflate", _bare),
    ("br", brotli.compress),
    ("zstd", zstandard.compress),
    ("zstd", lambda data: zstandard.compress(data[:9]) + zstandard.compress(data[9:])),
    ("identity", bytes),
]


def _coded(headers: Fields, *codings: str) -> Fields:
    return (*headers, *((b"Content-Encoding", coding.encode()) for coding in codings))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (EVENTS, True),
        (EVENTS + LENGTH, True),
        (typed("Text/Event-Stream; charset=utf-8"), True),
        (LINES, True),
        (typed("application/jsonl"), True),
        (typed("application/json-seq"), True),
        (TEXT, True),
        (TEXT + LENGTH, False),
        (typed("text/markdown"), True),
        (typed("text/csv"), False),
        (typed("text/html"), False),
        (typed("application/json"), False),
        (typed("nonsense"), False),
        (TEXT + EVENTS, False),
        ((), False),
    ],
)
def test_which_responses_flow(headers: Fields, expected: bool) -> None:
    assert streamable(headers) is expected


@pytest.mark.parametrize("plan", [None, Plan(headers=(("x", Operator.DROP),))])
def test_a_stream_on_which_nothing_is_due_passes_as_it_comes(plan: Plan | None) -> None:
    headers = _coded(EVENTS + LENGTH, "nonsense")
    stream, sent = open_stream(plan, headers, detect_nothing)
    assert sent is headers
    assert stream.feed(b"\xff\0ana") == b"\xff\0ana"
    assert stream.end() == b""
    assert not stream.counts


def test_what_vouches_for_the_bytes_that_came_is_not_sent_on(plan: Plan) -> None:
    headers = _coded(EVENTS, "gzip") + LENGTH + ((b"ETag", b'"x"'), (b"Digest", b"y"), (b"X-Other", b"z"))
    _, sent = open_stream(plan, headers, detect_nothing)
    assert sent == (*EVENTS, (b"X-Other", b"z"))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "content-type-missing"),
        (EVENTS + TEXT, "content-type-repeated"),
        (typed("text"), "content-type-unreadable"),
        (typed("text/html"), "content-type-not-maskable"),
        (typed("text/event-stream; charset=latin-1"), "charset-not-maskable"),
        (typed("text/plain; charset=utf-7"), "charset-not-maskable"),
        (_coded(EVENTS, "gzip, br"), "content-coding-stacked"),
        (_coded(EVENTS, "gzip", "br"), "content-coding-stacked"),
        (_coded(EVENTS, "compress"), "content-coding-unknown"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_begins(plan: Plan, headers: Fields, reason: str) -> None:
    with pytest.raises(CannotMask, match=reason):
        open_stream(plan, headers, detect_nothing)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (Plan(detect=(Wanted("CREDIT_CARD", Operator.REDACT),), streams=False), "streams-withheld"),
        (Plan(detect=(Wanted("PERSON", Operator.REDACT),)), "language-model-on-stream"),
    ],
)
def test_what_is_due_may_not_be_for_streams(plan: Plan, reason: str) -> None:
    with pytest.raises(CannotMask, match=reason):
        open_stream(plan, EVENTS, detect_nothing)


@pytest.mark.parametrize(("coding", "encode"), CODINGS)
def test_a_coding_is_undone_piece_by_piece(
    plan: Plan, detector: Detect, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    headers, data = _coded(EVENTS, coding), encode(TEXTS)
    expected = TEXTS.replace(b"ana@example.com", b"[EMAIL_ADDRESS]")
    assert masked(plan, headers, detector, [data]) == expected
    assert masked(plan, headers, detector, one_by_one(data)) == expected
    assert masked(plan, headers, detector, at_random(data, 1)) == expected
    assert masked(plan, headers, detector, []) == b""


@pytest.mark.parametrize(("coding", "encode"), CODINGS[:-1])
def test_a_coding_that_is_cut_off_or_damaged_ends_the_stream(
    plan: Plan, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    headers, data = _coded(EVENTS, coding), encode(TEXTS)
    for damaged in (data[:-3], data[:1], data + b"\xff" * 20, b"\xff" * 40):
        with pytest.raises(CannotMask, match="content-coding-damaged"):
            masked(plan, headers, detect_nothing, one_by_one(damaged))


def test_what_goes_on_of_a_coding_goes_on_as_it_comes(plan: Plan, detector: Detect) -> None:
    squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    stream, _ = open_stream(plan, _coded(EVENTS, "gzip"), detector)
    for _ in range(3):
        piece = squeeze.compress(b"data: now\n\n") + squeeze.flush(zlib.Z_SYNC_FLUSH)
        assert stream.feed(piece) == b"data: now\n\n"


@pytest.mark.parametrize(("coding", "encode"), CODINGS[:-1])
def test_a_piece_that_becomes_too_much_ends_the_stream(
    plan: Plan, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    line = b": " + b"x" * 1000 + b"\n"
    data = encode(line * (LARGEST // len(line) + 10))
    with pytest.raises(CannotMask, match="body-too-large"):
        masked(plan, _coded(EVENTS, coding), detect_nothing, [data])


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("utf-8", "utf-8"), ("iso-8859-1", "latin-1"), ("windows-1252", "cp1252"), ("us-ascii", "ascii")],
)
def test_a_text_keeps_its_charset(plan: Plan, detector: Detect, charset: str, codec: str) -> None:
    said = "caf\u00e9 " if codec != "ascii" else "cafe "
    data = f"{said}ana@example.com {said}".encode(codec)
    out = masked(plan, typed(f"text/plain; charset={charset}"), detector, one_by_one(data))
    assert out.decode(codec) == f"{said}[EMAIL_ADDRESS] {said}"


def test_a_byte_order_mark_says_more_than_the_header(plan: Plan, detector: Detect) -> None:
    data = "\ufeffcaf\u00e9 ana@example.com".encode()
    out = masked(plan, typed("text/plain; charset=iso-8859-1"), detector, one_by_one(data))
    assert out.decode() == "\ufeffcaf\u00e9 [EMAIL_ADDRESS]"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a\xff", "charset-wrong"),
        (b"\xc3", "charset-wrong"),
        (b"a\0", "not-text"),
        ("\ufeffab".encode("utf-16-le"), "charset-not-maskable"),
        ("\ufeffab".encode("utf-16-be"), "charset-not-maskable"),
    ],
)
@pytest.mark.parametrize("headers", [EVENTS, LINES, TEXT])
def test_what_is_no_text_ends_the_stream(plan: Plan, headers: Fields, data: bytes, reason: str) -> None:
    for chunks in ([data], one_by_one(data)):
        with pytest.raises(CannotMask, match=reason):
            masked(plan, headers, detect_nothing, chunks)


def test_a_stream_that_has_failed_stays_so(plan: Plan) -> None:
    stream, _ = open_stream(plan, EVENTS, detect_nothing)
    with pytest.raises(CannotMask, match="charset-wrong"):
        stream.feed(b"\xffx")
    with pytest.raises(CannotMask, match="charset-wrong"):
        stream.feed(b"data: x\n\n")
    with pytest.raises(CannotMask, match="charset-wrong"):
        stream.end()


def test_a_detector_that_fails_leaves_nothing_to_go_on(plan: Plan) -> None:
    def fail(_leaves: object) -> list[list[object]]:
        raise ZeroDivisionError

    stream, _ = open_stream(plan, TEXT, fail)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        stream.feed(b"4111 1111 1111 1111 and ")
    with pytest.raises(CannotMask):
        stream.feed(b"hello ")
