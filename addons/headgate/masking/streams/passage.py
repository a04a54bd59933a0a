"""A text that is a document, or holds some: what is JSON in it is masked as JSON, with the names that stand in it.

As long as a text could be an object or array, it is held back, for its fields and names are known only when it is
whole: the arguments of a tool's call are, which models send in pieces. What turns out to be no JSON is a text like any
other. Between lines each may be a document of its own.
"""

from collections.abc import Callable

from headgate.masking.streams.flow import Flow
from headgate.masking.streams.held import Held
from headgate.masking.streams.prefix import Prefix, Status
from headgate.masking.streams.record import is_document

BLANK = " \t\r\n"
OPENING = ("{", "[")


class Passage:
    """`mask` is for documents, `check` hears of all that is none. With `lines`, one may begin with each line, and ends
    with it."""

    def __init__(
        self,
        flow: Flow,
        mask: Callable[[str], str],
        check: Callable[[str], None] = lambda _text: None,
        *,
        lines: bool = False,
    ) -> None:
        self._flow, self._mask, self._check, self._lines = flow, mask, check, lines
        self._held, self._prefix = Held(), Prefix()
        self._fresh = True
        self._in_document = False

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return self._in_document or self._flow.waits

    @property
    def unfinished(self) -> bool:
        """Whether a document has begun and is not whole: what has come of it says that more will."""
        return self._in_document and self._prefix.status is not Status.WHOLE

    @property
    def size(self) -> int:
        """Characters that are held back."""
        return len(self._held) + self._flow.size

    def feed(self, text: str) -> str:
        """What may go on by now; CannotMask when too much would have to be held back."""
        if not self._lines:
            return self._some(text)
        *lines, last = text.split("\n")
        out, plain = list[str](), list[str]()
        for line in lines:
            if self._in_document or (self._fresh and line.lstrip(BLANK).startswith(OPENING)):
                out.append(self._plain(plain) + self._some(line + "\n") + self._end_line())
            else:
                plain.append(line + "\n")
                self._fresh = True
        return "".join([*out, self._plain(plain), self._some(last) if last else ""])

    def _plain(self, lines: list[str]) -> str:
        """Lines of which none is a document; if nothing of them waits, a document may begin."""
        if not lines:
            return ""
        out = self._text("".join(lines))
        lines.clear()
        self._fresh = not self.waits
        return out

    def release(self) -> str:
        """What is held back, as if the text ended here; what comes after may be another."""
        out = self._document() + self._flow.release()
        self._fresh = True
        return out

    def sent(self, text: str) -> None:
        """This has gone on already."""
        self._fresh = False
        self._flow.sent(text)

    def _some(self, text: str) -> str:
        """A part of one line, or of all of the text."""
        if self._fresh and (begun := text.lstrip(BLANK)):
            self._fresh = False
            if begun.startswith(OPENING):
                blank = text[: len(text) - len(begun)]
                self._in_document, self._prefix = True, Prefix()
                return self._flow.feed(blank) + self._more(begun)
        return self._more(text) if self._in_document else self._text(text)

    def _more(self, text: str) -> str:
        """Of what may be a document."""
        self._held.add(text)
        if self._prefix.feed(text) is not Status.NEVER:
            return ""
        self._in_document = False
        return self._text(self._held.take())

    def _text(self, text: str) -> str:
        self._check(text)
        return self._flow.feed(text)

    def _end_line(self) -> str:
        """A document that is whole goes on; a text goes on as one, and if nothing of it waits, a document may begin."""
        out = self._document() if self._prefix.status is Status.WHOLE else ""
        self._fresh = not self.waits
        return out

    def _document(self) -> str:
        if not self._in_document:
            return ""
        self._in_document = False
        text = self._held.take()
        if self._prefix.status is not Status.WHOLE or not is_document(text):
            return self._text(text)
        out = self._flow.release() + self._mask(text)
        self._flow.sent(text)
        return out
