"""The entries of an HTTP Archive one after the other, without the whole of it in memory.

The file is one JSON text, often of hundreds of megabytes. What stands in `log.entries` is cut out by brackets and
strings alone, and each entry is parsed by itself; how long, how rich and how deep one may be is known before.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from headgate.replay.foreign import Damaged

LARGEST = 128 * 1024 * 1024
MOST = 500_000
DEEPEST = 64
"""Bytes of one entry, values in it, and how deep they may lie."""

CHUNK = 256 * 1024
BOM = b"\xef\xbb\xbf"

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],]', re.DOTALL)
_NAME = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\Z', re.DOTALL)
ENTRIES = (b"log", b"entries")


def entries(file: BinaryIO) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each entry, as its text and what it says; `Damaged` where the file is no archive."""
    found = False
    for text in _Cutter(file).texts():
        found = True
        if text:
            yield text, _parsed(text)
    if not found:
        raise Damaged("it has no `log.entries`")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged("an entry that is no JSON") from None
    if not isinstance(entry, dict):
        raise Damaged("an entry that is no object")
    return entry


class _Cutter:
    """Reads piece by piece; `_text` is what has been read and is still needed, `_at` how far it has been looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._text, self._at, self._ended = b"", 0, False
        self._names: list[bytes] = []
        """For each bracket that is open, the name that it stands under."""
        self._start, self._values, self._listed = -1, 0, False

    def texts(self) -> Iterator[bytes]:
        """The text of each entry; first an empty one, when the list of them begins."""
        while (token := self._token()) is not None:
            if token in b"{[":
                yield from self._open(token)
            elif token in b"}]":
                yield from self._close()
            elif self._inside:
                self._count()
        if self._names:
            raise Damaged("it ends in the middle")

    @property
    def _inside(self) -> bool:
        return self._start >= 0

    def _open(self, token: bytes) -> Iterator[bytes]:
        name = _NAME.search(self._text, max(0, self._at - 300), self._at - 1)
        self._names.append(name[1] if name else b"")
        if len(self._names) > DEEPEST:
            raise Damaged("values within values, deeper than any archive has need of")
        if self._inside:
            self._count()
        elif self._path == ENTRIES and token == b"[":
            self._listed = True
            yield b""
        elif self._listed and self._path[:2] == ENTRIES and len(self._path) == 3:
            self._start, self._values = self._at - 1, 0

    def _close(self) -> Iterator[bytes]:
        if not self._names:
            raise Damaged("a bracket too many")
        entry = self._inside and len(self._path) == 3
        self._listed = self._listed and len(self._path) > len(ENTRIES)
        self._names.pop()
        if entry:
            yield self._text[self._start : self._at]
            self._start = -1

    @property
    def _path(self) -> tuple[bytes, ...]:
        return tuple(self._names[1:])

    def _count(self) -> None:
        self._values += 1
        if self._values > MOST:
            raise Damaged("an entry that holds more than any has need of")

    def _token(self) -> bytes | None:
        """The next bracket, comma or string; None at the end."""
        while True:
            found = _TOKEN.search(self._text, self._at)
            quote = self._text.find(b'"', self._at, found.start() if found else None)
            if found and quote < 0:
                self._at = found.end()
                if found[0][:1] == b'"':
                    continue
                return found[0]
            if not self._more(quote):
                return None

    def _more(self, quote: int) -> bool:
        """Read on, from the beginning of a string that is not complete; False at the end of the file."""
        if self._ended:
            if quote >= 0:
                raise Damaged("it ends in the middle")
            return False
        self._at = quote if quote >= 0 else len(self._text)
        keep = self._start if self._inside else max(0, self._at - 300)
        kept = self._text[keep:]
        if len(kept) > LARGEST:
            raise Damaged(f"an entry of more than {LARGEST >> 20} MB")
        read = self._file.read(max(CHUNK, len(kept)))
        self._ended = not read
        self._text, self._at = kept + read, self._at - keep
        self._start = 0 if self._inside else -1
        return True
