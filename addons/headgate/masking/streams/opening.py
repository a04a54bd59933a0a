"""Which responses are masked as they flow, and how one begins."""

from collections import Counter
from typing import Protocol

from headgate.masking.content import MediaType, media_type, values
from headgate.masking.formats import Counts
from headgate.masking.headers import repair
from headgate.masking.plan import CannotMask, Detect, Fields, Plan
from headgate.masking.streams.characters import Characters
from headgate.masking.streams.events import Events
from headgate.masking.streams.lines import Lines, Sequence
from headgate.masking.streams.plain import Plain
from headgate.masking.streams.record import Records
from headgate.masking.streams.undo import undo_for

EVENTS = "text/event-stream"
SEQUENCES = frozenset({"application/json-seq", "application/geo+json-seq"})
LINES = SEQUENCES | {
    "application/json-lines",
    "application/jsonl",
    "application/jsonlines",
    "application/ndjson",
    "application/stream+json",
    "application/x-jsonlines",
    "application/x-ndjson",
    "application/x-json-stream",
}
TEXT = frozenset({"text/markdown", "text/plain"})


class Stream(Protocol):
    """One response as it flows. Not to be used by two threads at a time.

    `counts` is what has been masked so far. `feed` gives what may go on; CannotMask: the stream ends, and nothing more
    of it may go on. `end` gives the rest.
    """

    counts: Counts

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class Framing(Protocol):
    def feed(self, text: str) -> str: ...

    def end(self) -> str: ...


def streamable(headers: Fields) -> bool:
    """Whether a response of this type flows: a plain text only where nobody knows how long it will be."""
    declared = values(headers, b"content-type")
    if len(declared) != 1:
        return False
    try:
        name = media_type(declared[0]).name
    except CannotMask:
        return False
    return name == EVENTS or name in LINES or (name in TEXT and not values(headers, b"content-length"))


def open_stream(plan: Plan | None, headers: Fields, detect: Detect) -> tuple[Stream, Fields]:
    """The stream, and the headers that it is sent with; CannotMask when what is due cannot be masked on it."""
    if plan is None or not plan.reads_body:
        return Passing(), headers
    if not plan.streams:
        raise CannotMask("streams-withheld")
    if plan.needs_model:
        raise CannotMask("language-model-on-stream")
    kind = _kind(headers)
    return Masking(plan, kind, headers, detect), repair(headers, None)


def _kind(headers: Fields) -> MediaType:
    declared = values(headers, b"content-type")
    if len(declared) != 1:
        raise CannotMask("content-type-repeated" if declared else "content-type-missing")
    kind = media_type(declared[0])
    if kind.name != EVENTS and kind.name not in LINES and kind.name not in TEXT:
        raise CannotMask("content-type-not-maskable")
    return kind


class Passing:
    """A stream on which nothing is due."""

    def __init__(self) -> None:
        self.counts: Counts = Counter()

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class Masking:
    """A stream that is masked; once it cannot be, it never again can."""

    def __init__(self, plan: Plan, kind: MediaType, headers: Fields, detect: Detect) -> None:
        self.counts: Counts = Counter()
        self._undo = undo_for(values(headers, b"content-encoding"))
        self._characters = Characters(kind, only_utf8=kind.name not in TEXT)
        self._framing = _framing(kind.name, Records(plan, detect, self.counts, kind.name))
        self._failed: str | None = None

    def feed(self, data: bytes) -> bytes:
        self._begin()
        try:
            pieces = [self._framing.feed(self._characters.decode(piece)) for piece in self._undo.feed(data)]
            out = self._characters.encode("".join(pieces))
        except CannotMask as cannot:
            self._failed = cannot.reason
            raise
        self._failed = None
        return out

    def end(self) -> bytes:
        self._begin()
        self._undo.end()
        rest = self._framing.feed(self._characters.finish())
        return self._characters.encode(rest + self._framing.end())

    def _begin(self) -> None:
        """Whatever is raised from here on, nothing more may go on."""
        if self._failed:
            raise CannotMask(self._failed)
        self._failed = "stream-ended"


def _framing(name: str, records: Records) -> Framing:
    if name == EVENTS:
        return Events(records)
    if name in SEQUENCES:
        return Sequence(records)
    return Lines(records) if name in LINES else Plain(records)
