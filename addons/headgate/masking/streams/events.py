"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), masked event by event.

The data of an event is a document where it is JSON, else a text. What is not masked passes as it was written, comments
between events at once. `[DONE]`, which some send as the last, ends all texts.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from headgate.masking.streams.deltas import Deltas, Extra
from headgate.masking.streams.held import Held
from headgate.masking.streams.record import Records, is_document
from headgate.masking.streams.texts import Texts

DONE = "[DONE]"
MARK = "\ufeff"

_END = re.compile(r"\r\n|\r|\n")


class Line(NamedTuple):
    text: str
    end: str

    @property
    def field(self) -> str:
        return self.text.partition(":")[0]

    @property
    def value(self) -> str:
        return self.text.partition(":")[2].removeprefix(" ")


class Frame(NamedTuple):
    """What an event is written with that is a copy of another: the line of its type, and the end of each line."""

    event: str
    end: str


class Events:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._deltas, self._texts = Deltas(records), Texts(records)
        self._held, self._lines = Held(), list[Line]()
        self._begun = self._returned = False

    def feed(self, text: str) -> str:
        out, at = [], 0
        if text and not self._begun:
            self._begun = True
            if text.startswith(MARK):
                out, at = [MARK], 1
        if self._returned and text.startswith("\n"):
            out.append(self._line_feed())
            at = 1
        if text:
            self._returned = text.endswith("\r")
        for end in _END.finditer(text, at):
            self._held.add(text[at : end.start()])
            out.append(self._line(Line(self._held.take(), end[0])))
            at = end.end()
        self._held.add(text[at:])
        return "".join(out)

    def end(self) -> str:
        """What is not ended by an empty line is no event, and passes masked nevertheless."""
        last = self._held.take()
        out = self._line(Line(last, "")) if last else ""
        return out + self._dispatch() + self._rest()

    def _line_feed(self) -> str:
        """The other half of an end of line of which the first came last."""
        if not self._lines:
            return "\n"
        self._lines[-1] = self._lines[-1]._replace(end="\r\n")
        return ""

    def _line(self, line: Line) -> str:
        if line.text.startswith(":") and not self._lines:
            return self._records.mask_text(line.text) + line.end
        self._lines.append(line)
        self._held.beside += len(line.text) + 1
        return self._dispatch() if not line.text else ""

    def _dispatch(self) -> str:
        """The event whose lines are there."""
        lines, self._lines = self._lines, []
        self._held.beside = 0
        data = [line for line in lines if line.field == "data"]
        text = "\n".join(line.value for line in data)
        before, masked = self._masked(text, lines, data)
        return before + "".join(self._written(lines, data, None if masked == text else masked.split("\n")))

    def _masked(self, text: str, lines: list[Line], data: list[Line]) -> tuple[str, str]:
        """What goes before an event with this data, and its data as it goes on."""
        if text == DONE:
            return self._rest(), text
        if not text:
            return "", text
        types = [line for line in lines if line.field == "event"]
        frame = Frame(self._records.mask_text(types[-1].text) if types else "", data[0].end or "\n")
        if not is_document(text):
            return "", self._texts.mask(text, frame)
        extras, masked = self._deltas.mask(text, types[-1].value if types else "", frame)
        return "".join(map(_event, extras)), masked

    def _written(self, lines: list[Line], data: list[Line], fresh: list[str] | None) -> Iterable[str]:
        for line in lines:
            if line.field != "data":
                yield self._records.mask_text(line.text) + line.end
            elif fresh is None:
                yield line.text + line.end
            elif line is data[0]:
                yield "".join(f"data: {part}{line.end or chr(10)}" for part in fresh)

    def _rest(self) -> str:
        return "".join(map(_event, [*self._deltas.rest(), *self._texts.rest()]))


def _event(extra: Extra) -> str:
    event, end = extra.frame
    data = "".join(f"data: {part}{end}" for part in extra.text.split("\n"))
    return f"{event}{end if event else ''}{data}{end}"
