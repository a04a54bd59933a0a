"""Content codings: what is undone is undone wholly, and within its limit; all else is refused."""

import gzip
import random
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.codings import DECODERS, LARGEST, MEMBERS, decode
from headgate.masking.plan import CannotMask


def _raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", _raw_deflate),
    "br": ("br", lambda data: brotli.compress(data, quality=3)),
    "zstd": ("zstd", zstandard.compress),
    "identity": ("identity", bytes),
}
COMPRESSED = [name for name in CODERS if name != "identity"]
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"


def _refused(body: bytes, *codings: str, largest: int = LARGEST) -> str:
    with pytest.raises(CannotMask) as refused:
        decode(body, codings, largest)
    return refused.value.reason


@pytest.mark.parametrize("name", CODERS)
@given(data=st.binary(max_size=2000))
def test_what_was_coded_comes_back(name: str, data: bytes) -> None:
    coding, encode = CODERS[name]
    assert decode(encode(data), [coding]) == data


@pytest.mark.parametrize("name", CODERS)
def test_large_bodies_come_back_whole(name: str) -> None:
    coding, encode = CODERS[name]
    data = random.Random(7).randbytes(300_000) + b"a" * 3_000_000  # noqa: S311 (no secret)
    assert decode(encode(data), [f" {coding.upper()}"]) == data


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_body_that_ends_early_or_late_is_refused(name: str) -> None:
    coding, encode = CODERS[name]
    body = encode(b"some text " * 100)
    for damaged in (body[:-1], body[: len(body) // 2], body + b"x", b"", b"plain text"):
        assert _refused(damaged, coding) == "content-coding-damaged"


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_bomb_is_refused_before_it_is_large(name: str) -> None:
    coding, encode = CODERS[name]
    assert _refused(encode(bytes(LARGEST + 1)), coding) == "body-too-large"
    assert decode(encode(bytes(1000)), [coding], largest=1000) == bytes(1000)
    assert _refused(encode(bytes(1001)), coding, largest=1000) == "body-too-large"


def test_no_decoder_gives_much_at_once() -> None:
    zeros = bytes(LARGEST)
    for name in COMPRESSED:
        coding, encode = CODERS[name]
        assert max(map(len, DECODERS[coding](encode(zeros)))) <= LARGEST // 2


def test_a_body_without_a_coding_has_a_limit_too() -> None:
    assert _refused(b"1234", largest=3) == "body-too-large"
    assert decode(b"1234", ["", "identity , identity"]) == b"1234"


def test_all_members_and_frames_are_read() -> None:
    assert decode(gzip.compress(b"a") + gzip.compress(b"b"), ["gzip"]) == b"ab"
    frames = SKIPPABLE + zstandard.compress(b"a") + SKIPPABLE + zstandard.compress(b"b")
    assert decode(frames, ["zstd"]) == b"ab"


def test_members_without_end_are_refused() -> None:
    assert _refused(gzip.compress(b"") * (MEMBERS + 1), "gzip") == "content-coding-damaged"
    assert _refused(SKIPPABLE * (MEMBERS + 1), "zstd") == "content-coding-damaged"


def test_a_window_larger_than_clients_must_support_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    body = zstandard.ZstdCompressor(compression_params=wide).compress(bytes(1 << 28))
    assert _refused(body, "zstd") == "content-coding-damaged"


def test_stacked_and_unknown_codings_are_refused() -> None:
    assert _refused(b"", "gzip, br") == "content-coding-stacked"
    assert _refused(b"", "gzip", "gzip") == "content-coding-stacked"
    for unknown in ("compress", "rot13", "hex", "dcb", "gzip;q=1"):
        assert _refused(b"", unknown) == "content-coding-unknown"


@pytest.mark.parametrize("coding", DECODERS)
@given(data=st.binary())
def test_garbage_ends_in_a_refusal_and_nothing_else(coding: str, data: bytes) -> None:
    try:
        decode(data, [coding])
    except CannotMask as refused:
        assert refused.reason == "content-coding-damaged"  # noqa: PT017 (both ways are right)
