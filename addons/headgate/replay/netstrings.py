"""mitmproxy's file as pieces, one for each flow, before anything is made of them.

The file is a row of typed netstrings (tnetstrings.info). How long a piece is, how much it holds and how deep it goes
is known before it is parsed: a file from elsewhere cannot make that take more memory, or a deeper stack, than a flow
has need of.
"""

from collections.abc import Iterator
from typing import BinaryIO

from headgate.replay.foreign import Damaged

LARGEST = 128 * 1024 * 1024
"""Bytes of one flow: mitmproxy may keep a second copy of one that somebody has changed."""

MOST = 500_000
DEEPEST = 24
"""Values in one flow, and how deep they may lie."""

DIGITS = 10
CONTAINERS = b"]}"


def pieces(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The type and the content of each netstring of the file; `Damaged` for what is none."""
    while (length := _length(file)) is not None:
        data = file.read(length + 1)
        if len(data) != length + 1:
            raise Damaged("it ends in the middle of a flow")
        kind, content = data[-1], data[:-1]
        if kind in CONTAINERS:
            _measure(content)
        yield kind, content


def _length(file: BinaryIO) -> int | None:
    """What the next prefix says; None at the end of the file."""
    prefix = b""
    while (byte := file.read(1)) != b":":
        prefix += byte
        if not byte and not prefix:
            return None
        if not byte.isdigit() or len(prefix) > DIGITS:
            raise Damaged("something that is no flow")
    if not prefix or int(prefix) > LARGEST:
        raise Damaged(f"a flow of more than {LARGEST >> 20} MB" if prefix else "something that is no flow")
    return int(prefix)


def _measure(content: bytes) -> None:
    """Walk over all values without making any; each container that is open is one entry of the stack."""
    stack, found = [(0, len(content))], 0
    while stack:
        at, end = stack.pop()
        if at == end:
            continue
        colon = content.find(b":", at, min(at + DIGITS + 1, end))
        if colon <= at or not content[at:colon].isdigit():
            raise Damaged("a flow that is no netstring")
        stop = colon + 1 + int(content[at:colon])
        found += 1
        if stop >= end:
            raise Damaged("a flow that is no netstring")
        if found > MOST or len(stack) >= DEEPEST:
            raise Damaged("a flow that holds more than any has need of")
        stack.append((stop + 1, end))
        if content[stop] in CONTAINERS:
            stack.append((colon + 1, stop))
