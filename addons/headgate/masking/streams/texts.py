"""Texts that follow one another: the data of events that are no JSON.

They are records, each complete, and are treated as such strings of a document are (see `seams`), until they show to be
pieces of one text.
"""

import re
from typing import Any

from headgate.masking.formats.plaintext import LOCATION
from headgate.masking.streams.deltas import Extra
from headgate.masking.streams.flow import Flow
from headgate.masking.streams.reach import reach_of
from headgate.masking.streams.record import Records
from headgate.masking.streams.seams import REACH, Seam

_SCALAR = re.compile(r"\s*(?:-?[\d.eE+-]+|true|false|null)?\s*")
"""What is JSON, too, and without members."""


class Texts:
    """Without `hold`, nothing is held back: of what is found only later, the beginning has gone."""

    def __init__(self, records: Records) -> None:
        self._records, self._seam = records, Seam(records, "")
        self._flow: Flow | None = None
        self.hold = True
        self._frame: Any = None

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return self._flow is not None and self._flow.waits

    def mask(self, text: str, frame: Any = None) -> str:
        """The text as it goes on; CannotMask where fields are due that nobody can look for in it."""
        self._refuse_fields(text)
        if self._flow:
            self._frame = frame
            out = self._flow.feed(text)
            return out if self.hold else out + self._flow.release()
        head, rest = self._crossed(text)
        return head + self._records.mask_text(rest)

    def leave(self, text: str) -> tuple[list[Extra], str, str]:
        """What goes before a text that somebody else masks by itself, what goes on of its beginning, and what he is to
        mask. The next text is looked at together with its end."""
        self._refuse_fields(text)
        if self._flow:
            extras = self.rest()
            self._flow.sent(text[-REACH:])
            return extras, "", text
        return [], *self._crossed(text)

    @property
    def pieces(self) -> bool:
        """Whether they have shown to be pieces of one text."""
        return self._flow is not None

    def rest(self) -> list[Extra]:
        """What is held back."""
        return [Extra(self._flow.release(), self._frame)] if self._flow and self._flow.waits else []

    def _refuse_fields(self, text: str) -> None:
        if not _SCALAR.fullmatch(text):
            self._records.refuse_fields(text)

    def _crossed(self, text: str) -> tuple[str, str]:
        """What stands for the beginning of a text that a finding over the seam covers, and the rest of it."""
        crossing = self._seam.cross(text)
        if self._seam.turned:
            self._flow = Flow(self._records, reach_of(self._records.plan), "", LOCATION)
            self._flow.sent(self._seam.before)
        if crossing is None:
            return "", text
        return self._records.replaced(text[: crossing.length], crossing.cut, LOCATION), text[crossing.length :]
