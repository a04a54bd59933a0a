"""The characters of a stream: bytes to text piece by piece, and back."""

import codecs

from headgate.masking.content import CHARSETS, MARK, WIDE_MARKS, MediaType
from headgate.masking.plan import CannotMask

WIDE = "utf-8"
MARKS = (MARK.encode(), *WIDE_MARKS)
"""Byte order marks, of which the first bytes may have come."""


class Characters:
    """Of one stream; where `only_utf8` a single-byte charset is refused, as the type's definition has none."""

    def __init__(self, kind: MediaType, *, only_utf8: bool) -> None:
        codec = CHARSETS.get(kind.charset or WIDE)
        if codec is None or (only_utf8 and codec not in (WIDE, "ascii")):
            raise CannotMask("charset-not-maskable")
        self._codec, self._head = codec, b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def decode(self, data: bytes) -> str:
        if self._decoder is None:
            self._head += data
            if any(len(self._head) < len(mark) and mark.startswith(self._head) for mark in MARKS):
                return ""
            data, self._head = self._head, b""
            self._decoder = self._begin(data)
        return self._checked(data, self._decoder, final=False)

    def finish(self) -> str:
        if self._decoder is None:
            self._decoder = self._begin(self._head)
        return self._checked(self._head, self._decoder, final=True)

    def encode(self, text: str) -> bytes:
        return text.encode(self._codec)

    def _begin(self, data: bytes) -> codecs.IncrementalDecoder:
        if data.startswith(WIDE_MARKS):
            raise CannotMask("charset-not-maskable")
        if data.startswith(MARK.encode()):
            self._codec = WIDE
        return codecs.getincrementaldecoder(self._codec)()

    def _checked(self, data: bytes, decoder: codecs.IncrementalDecoder, *, final: bool) -> str:
        try:
            text = decoder.decode(data, final)
        except UnicodeDecodeError:
            raise CannotMask("charset-wrong") from None
        if "\0" in text:
            raise CannotMask("not-text")
        return text
