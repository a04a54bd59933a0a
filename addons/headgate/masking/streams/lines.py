"""Documents of a stream: a line each (newline-delimited JSON), or what a separator begins (RFC 7464)."""

from collections.abc import Callable

from headgate.masking.streams.deltas import Deltas, Extra
from headgate.masking.streams.held import Held
from headgate.masking.streams.record import Records, is_document

SEPARATOR = "\x1e"
"""What begins each document of a JSON text sequence."""

BLANK = " \t\r\n"

TRIES = 16
"""How often a document of several lines is tried for being whole before the next one begins."""


class Lines:
    """A document for each line that is not blank; what stands for no other is written as a line, too."""

    def __init__(self, records: Records) -> None:
        self._deltas, self._held = Deltas(records), Held()

    def feed(self, text: str) -> str:
        *lines, last = text.split("\n")
        out = []
        for line in lines:
            self._held.add(line)
            out.append(self._masked(self._held.take()) + "\n")
        self._held.add(last)
        return "".join(out)

    def end(self) -> str:
        last = self._masked(self._held.take())
        rest = "".join(map(_line, self._deltas.rest()))
        return last + ("\n" if rest and last.strip(BLANK) else "") + rest

    def _masked(self, line: str) -> str:
        return _documents(self._deltas, line, _line)


class Sequence:
    """A document for each separator: whole when its line ends, or once it can be read, or when the next one begins."""

    def __init__(self, records: Records) -> None:
        self._deltas, self._held = Deltas(records), Held()
        self._tries = 0

    def feed(self, text: str) -> str:
        out = []
        for piece in _after(text, SEPARATOR, "\n"):
            if piece.startswith(SEPARATOR):
                out.append(self._masked(self._held.take()))
                self._tries = 0
            self._held.add(piece)
            if piece.endswith("\n") and self._tries < TRIES:
                self._tries += 1
                known = self._held.take()
                if is_document(known.strip(BLANK + SEPARATOR)):
                    out.append(self._masked(known))
                else:
                    self._held.add(known)
        return "".join(out)

    def end(self) -> str:
        return self._masked(self._held.take()) + "".join(map(_text, self._deltas.rest()))

    def _masked(self, document: str) -> str:
        head = SEPARATOR if document.startswith(SEPARATOR) else ""
        return _documents(self._deltas, document.removeprefix(SEPARATOR), _text, head)


def _documents(deltas: Deltas, document: str, write: Callable[[Extra], str], head: str = "") -> str:
    if not document.strip(BLANK):
        return head + document
    extras, masked = deltas.mask(document)
    return "".join(map(write, extras)) + head + masked


def _line(extra: Extra) -> str:
    return extra.text.rstrip(BLANK) + "\n"


def _text(extra: Extra) -> str:
    return f"{SEPARATOR}{extra.text.strip(BLANK)}\n"


def _after(text: str, begins: str, ends: str) -> list[str]:
    """The text cut before each character that begins something, and after each that ends something."""
    lines = [line + ends for line in text.split(ends)]
    lines[-1] = lines[-1].removesuffix(ends)
    pieces = []
    for line in lines:
        first, *others = line.split(begins)
        pieces += [first, *(begins + other for other in others)]
    return [piece for piece in pieces if piece]
