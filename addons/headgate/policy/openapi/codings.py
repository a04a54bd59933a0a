"""Undo the content coding of a request's body, with a limit on what may come out."""

import zlib
from collections.abc import Iterable

LARGEST = 16 * 1024 * 1024
"""Bytes a decoded body may have."""

_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
ACCEPTED = "`gzip`, `deflate`"


class CannotDecode(ValueError):
    """Why the body cannot be read; quotes nothing of it."""


def decode(body: bytes, codings: Iterable[str]) -> bytes:
    """The body without its coding: one, complete, with nothing after it, as every upstream undoes it.

    `codings` are the values of Content-Encoding; several codings one upon the other, several members of gzip and
    deflate without its header are read differently by different upstreams, and refused.
    """
    names = [name.strip(" \t").lower() for value in codings for name in value.split(",")]
    applied = [name for name in names if name not in ("identity", "")]
    if not applied:
        return body
    if len(applied) > 1 or applied[0] not in _WINDOWS:
        raise CannotDecode(f"has a content coding that is not accepted; accepted: one of {ACCEPTED}")
    stream = zlib.decompressobj(_WINDOWS[applied[0]])
    try:
        plain = stream.decompress(body, LARGEST + 1)
    except zlib.error:
        raise CannotDecode("is not in the content coding that its header names") from None
    if len(plain) > LARGEST:
        raise CannotDecode(f"is larger than {LARGEST >> 20} MiB without its content coding")
    if not stream.eof or stream.unused_data:
        raise CannotDecode("is not in the content coding that its header names")
    return plain
