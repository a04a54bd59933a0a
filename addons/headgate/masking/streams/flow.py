"""One text that arrives in pieces: what can no longer be part of a value goes on, masked, and the rest is held back.

It is detected segment by segment, each once and together with a few words before it, which say what a value is; a
segment in which no pattern could match not at all. So the work is linear in the text. Where the segments end depends on
the text alone, and so does all that is masked.
"""

from headgate.masking.plan import CannotMask
from headgate.masking.streams.automaton import Automaton
from headgate.masking.streams.record import Records, Segment
from headgate.masking.streams.watch import End, Watch

LONGEST = 16 * 1024
"""Characters that may be held back: a candidate that goes on for longer is withheld."""

KEPT = 256
"""Characters of what has been sent before its time that are looked at again with what follows."""

BEFORE = 80
"""Characters before a segment that are looked at with it."""


class Flow:
    """A text under `key`; `location` is where its masks are counted. `lines`: each line of it stands by itself."""

    def __init__(self, records: Records, reach: Automaton, key: str, location: str, *, lines: bool = False) -> None:
        self._records, self._key, self._location, self._lines = records, key, location, lines
        self._watch = Watch(reach, lines=lines)
        self._always = records.names_secret(key)
        self._before, self._held, self._gone = "", "", 0

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return self.size > 0

    @property
    def size(self) -> int:
        """Characters that are held back."""
        return len(self._held) - self._gone

    def feed(self, text: str) -> str:
        """What may go on by now; CannotMask when too much would have to be held back."""
        if not self._records.plan.detect:
            return text
        segments = self._segments(text)
        if self.size > LONGEST:
            raise CannotMask("candidate-too-long")
        if self._gone > KEPT:
            self._held, self._gone = self._held[self._gone - KEPT :], KEPT
        return self._records.mask_segments(segments, self._key, self._location) if segments else ""

    def release(self) -> str:
        """What is held back, as if the text ended here. Should it go on, only what is new can still be masked."""
        if not self.waits:
            return ""
        segment = Segment(self._before, self._held, self._gone, self._watch.plain and not self._always)
        self._gone = len(self._held)
        return self._records.mask_segments([segment], self._key, self._location)

    def sent(self, text: str) -> None:
        """This has gone on already, masked or not, and may be where a value begins."""
        if self._records.plan.detect:
            self._segments(text)
            self._gone = len(self._held)

    def _segments(self, text: str) -> list[Segment]:
        """The segments that end in `text`, which is added to what is held."""
        segments: list[Segment] = []
        held, start, shift = self._held + text, 0, len(self._held)
        for end in self._watch.ends(text):
            segment = held[start : shift + end.at]
            segments.append(Segment(self._before, segment, self._gone, end.plain and not self._always))
            self._before, self._gone, start = self._after(segment, end), 0, shift + end.at
        self._held = held[start:]
        return segments

    def _after(self, segment: str, end: End) -> str:
        """What of all so far is looked at with the next segment; escapes once, for what is found in them spreads."""
        if end.odd:
            return segment[-1]
        before = (self._before + segment)[-BEFORE:]
        return before[before.rfind("\n") :] if self._lines and "\n" in before else before
