"""Undo the content coding of a stream piece by piece, with a limit on what one piece may become.

The rules are those of whole bodies (`masking/codings.py`): one known coding, complete, with nothing after it.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import brotli
import zstandard

from headgate.masking.codings import MEMBERS, PIECE, ZSTD_PIECE, ZSTD_WINDOW
from headgate.masking.plan import CannotMask

LARGEST = 8 * 1024 * 1024
"""Bytes that may come out for one piece that comes in: a stream is no place for bombs."""

DAMAGED = "content-coding-damaged"


class Undo(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out, in pieces of a moderate size."""

    def end(self) -> None:
        """CannotMask when the coding is not complete."""


def undo_for(codings: Iterable[str]) -> Undo:
    """`codings` are the values of Content-Encoding, in order."""
    named = [name for value in codings for name in value.lower().replace(" ", "").replace("\t", "").split(",")]
    applied = [name for name in named if name not in ("identity", "")]
    if not applied:
        return _Nothing()
    if len(applied) > 1:
        raise CannotMask("content-coding-stacked")
    if applied[0] not in UNDOES:
        raise CannotMask("content-coding-unknown")
    return _Limited(UNDOES[applied[0]]())


class _Nothing:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def end(self) -> None:
        """There is nothing to be complete."""


class _Limited:
    """Another with a limit on its output, and one error for all that libraries raise."""

    def __init__(self, inner: Undo) -> None:
        self._inner, self._begun = inner, False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        size = 0
        try:
            for piece in self._inner.feed(data):
                size += len(piece)
                if size > LARGEST:
                    raise CannotMask("body-too-large")
                yield piece
        except (zlib.error, brotli.error, zstandard.ZstdError):
            raise CannotMask(DAMAGED) from None

    def end(self) -> None:
        if self._begun:
            self._inner.end()


class _Frames:
    """Codings whose streams may follow one another, each read by a new `object` with `eof` and `unused_data`."""

    def __init__(self, make: Callable[[], Any], inflate: Callable[[Any, bytes], Iterator[bytes]], most: int) -> None:
        self._make, self._inflate, self._most = make, inflate, most
        self._now: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._now is None:
                if self._most == 0:
                    raise CannotMask(DAMAGED)
                self._most -= 1
                self._now = self._make()
            yield from self._inflate(self._now, data)
            if not self._now.eof:
                return
            data, self._now = self._now.unused_data, None

    def end(self) -> None:
        if self._now is not None:
            raise CannotMask(DAMAGED)


def _inflate(stream: Any, data: bytes) -> Iterator[bytes]:
    while not stream.eof:
        piece = stream.decompress(data, PIECE)
        data = stream.unconsumed_tail
        yield piece
        if not data and len(piece) < PIECE:
            return


class _Zstd:
    """zstd: frames one after the other, skippable ones included (RFC 8878, section 3.1)."""

    def __init__(self) -> None:
        self._now: Any = None
        self._frames = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            if self._now is None:
                self._frames += 1
                if self._frames > MEMBERS:
                    raise CannotMask(DAMAGED)
                self._now = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
            piece = data[at : at + ZSTD_PIECE]
            at += len(piece)
            yield self._now.decompress(piece)
            if self._now.eof:
                at -= len(self._now.unused_data)
                self._now = None

    def end(self) -> None:
        if self._now is not None:
            raise CannotMask(DAMAGED)


class _Deflate:
    """zlib as it is defined, or the bare deflate that some servers send in its place: two bytes tell."""

    def __init__(self) -> None:
        self._head = b""
        self._frames: _Frames | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._frames is None:
            self._head += data
            if len(self._head) < 2:
                return
            data = self._head
            headed = data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
            window = zlib.MAX_WBITS if headed else -zlib.MAX_WBITS
            self._frames = _Frames(lambda: zlib.decompressobj(window), _inflate, 1)
        yield from self._frames.feed(data)

    def end(self) -> None:
        if self._frames is None:
            raise CannotMask(DAMAGED)
        self._frames.end()


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not self._stream.can_accept_more_data():
            if self._stream.is_finished():
                raise CannotMask(DAMAGED)
            piece = self._stream.process(data, output_buffer_limit=PIECE)
            data = b""
            yield piece

    def end(self) -> None:
        if not self._stream.is_finished():
            raise CannotMask(DAMAGED)


def _gzip() -> Undo:
    return _Frames(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), _inflate, MEMBERS)


UNDOES: Mapping[str, Callable[[], Undo]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
