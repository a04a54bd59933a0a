"""Undo the content codings of a body (RFC 9110, section 8.4.1) with a limit on what may come out.

Only what every client undoes in the same way is undone: one known coding, complete, with nothing after it. Anything
else cannot be masked. A masked body is sent without a coding, which every client accepts.
"""

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

import brotli
import zstandard

from headgate.masking.plan import CannotMask

LARGEST = 32 * 1024 * 1024
"""Bytes a decoded body may have."""

MEMBERS = 1000
"""gzip members or zstd frames that one body may have."""

PIECE = 64 * 1024
ZSTD_PIECE = 512
"""Bytes of zstd given at a time: each may become 32 kB, and the library sets no limit of its own."""

ZSTD_WINDOW = 8 * 1024 * 1024
"""The largest window that a client must support (RFC 9659)."""


def decode(body: bytes, codings: Iterable[str], largest: int = LARGEST) -> bytes:
    """The body without its coding; `codings` are the values of Content-Encoding, in order."""
    named = [name for value in codings for name in value.lower().replace(" ", "").replace("\t", "").split(",")]
    applied = [name for name in named if name not in ("identity", "")]
    if not applied:
        return _within(largest, [body])
    if len(applied) > 1:
        raise CannotMask("content-coding-stacked")
    decoder = DECODERS.get(applied[0])
    if decoder is None:
        raise CannotMask("content-coding-unknown")
    try:
        return _within(largest, decoder(body))
    except (zlib.error, brotli.error, zstandard.ZstdError):
        raise CannotMask("content-coding-damaged") from None


def _within(largest: int, pieces: Iterable[bytes]) -> bytes:
    kept, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > largest:
            raise CannotMask("body-too-large")
        kept.append(piece)
    return b"".join(kept)


def _gzip(body: bytes) -> Iterator[bytes]:
    """All members of a gzip body, one after the other (RFC 1952, section 2.2)."""
    rest = memoryview(body)
    for _ in range(MEMBERS):
        rest = yield from _inflate(rest, zlib.MAX_WBITS | 16)
        if not rest:
            return
    raise CannotMask("content-coding-damaged")


def _deflate(body: bytes) -> Iterator[bytes]:
    """zlib as it is defined, or the bare deflate that some servers send in its place."""
    headed = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
    if (yield from _inflate(memoryview(body), zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)):
        raise CannotMask("content-coding-damaged")


def _inflate(body: memoryview, window: int) -> Generator[bytes, None, memoryview]:
    """The pieces of one compressed stream; returns what comes after its end."""
    stream = zlib.decompressobj(window)
    waiting: bytes | memoryview = b""
    at = 0
    while not stream.eof:
        if not waiting:
            waiting = body[at : at + PIECE]
            at += len(waiting)
        piece = stream.decompress(waiting, PIECE)
        if not (piece or waiting or stream.eof):
            raise CannotMask("content-coding-damaged")
        waiting = stream.unconsumed_tail
        yield piece
    return body[at - len(stream.unused_data) :]


def _brotli(body: bytes) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    while not stream.is_finished():
        piece = stream.process(body, output_buffer_limit=PIECE)
        body = b""
        if not piece and not stream.is_finished():
            raise CannotMask("content-coding-damaged")
        yield piece


def _zstd(body: bytes) -> Iterator[bytes]:
    """All frames of a zstd body, one after the other, skippable ones included (RFC 8878, section 3.1)."""
    rest = memoryview(body)
    for _ in range(MEMBERS):
        stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
        at = 0
        while not stream.eof:
            if at >= len(rest):
                raise CannotMask("content-coding-damaged")
            yield stream.decompress(rest[at : at + ZSTD_PIECE])
            at += ZSTD_PIECE
        rest = rest[min(at, len(rest)) - len(stream.unused_data) :]
        if not rest:
            return
    raise CannotMask("content-coding-damaged")


DECODERS: Mapping[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
