"""Text messages of a WebSocket in one direction.

Each is masked as a document where it is JSON, else as a text, and looked at together with those before it as the events
of a stream are (see `deltas`). A message is never held back. Pieces of a text can be, in part: `messages` does so, and
may make more than one message of one. `feed` gives one for each, at once: there the beginning of a value that is split
over several messages has gone on before the value could be known, and only what comes after is masked.

A long message that holds no pieces can be masked by somebody else (`aside`), who has the time.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from headgate.masking.formats import Counts
from headgate.masking.plan import CannotMask, Detect, Plan
from headgate.masking.streams.deltas import Deltas, Extra
from headgate.masking.streams.events import DONE
from headgate.masking.streams.held import LARGEST
from headgate.masking.streams.record import BEGINNINGS, Records, is_document
from headgate.masking.streams.shape import may_hold_pieces
from headgate.masking.streams.texts import Texts

KIND = "text/plain"
"""What a message that is no JSON counts as where fields may be passed over."""

LONG = 64 * 1024
"""Characters of a message that is looked at together with others; of a longer one that is no JSON, both ends are."""

MARKS = 1000
"""Commas, colons and brackets of a document that is looked into whether or not it may hold pieces."""


class Aside(NamedTuple):
    """Messages that go before one that somebody else masks, what goes on of its beginning, and what he is to mask."""

    before: list[bytes]
    head: bytes
    rest: bytes


class SocketStream:
    """`counts` is what has been masked so far. Either `feed` or `messages` is used on one of them, never both."""

    def __init__(self, plan: Plan, detect: Detect) -> None:
        self.counts: Counts = Counter()
        self._records = Records(plan, detect, self.counts, KIND)
        self._deltas, self._texts = Deltas(self._records), Texts(self._records)
        self._failed: str | None = None

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return self._deltas.waits or self._texts.waits

    def feed(self, message: bytes) -> bytes:
        """A message as it goes on; CannotMask: it may not, and nothing after it."""
        self._deltas.hold = self._texts.hold = False
        return self.messages(message)[-1]

    def messages(self, message: bytes) -> list[bytes]:
        """What goes on for a message, itself the last; CannotMask: it may not, and nothing after it."""
        self._begin()
        try:
            masked = [text.encode() for text in self._masked(message)]
        except CannotMask as cannot:
            self._failed = cannot.reason
            raise
        self._failed = None
        return masked

    def aside(self, message: bytes) -> Aside | None:
        """How somebody else masks a message by itself; None when it goes with others, and is for `messages`."""
        self._begin()
        try:
            aside = self._aside(message)
        except CannotMask as cannot:
            self._failed = cannot.reason
            raise
        self._failed = None
        return aside

    def end(self) -> list[bytes]:
        """What is held back; CannotMask: it may not go on."""
        self._begin()
        rest = _encoded((*self._deltas.rest(), *self._texts.rest()))
        self._failed = None
        return rest

    def pause(self) -> list[bytes]:
        """What is held back and could be the end, for nothing has followed; CannotMask: it may not go on."""
        self._begin()
        rest = _encoded((*self._deltas.rest(paused=True), *self._texts.rest()))
        self._failed = None
        return rest

    def _begin(self) -> None:
        """Whatever is raised from here on, nothing more may go on."""
        if self._failed:
            raise CannotMask(self._failed)
        self._failed = "not-masked"

    def _masked(self, message: bytes) -> list[str]:
        if len(message) > LARGEST:
            raise CannotMask("record-too-long")
        text = _decoded(message)
        if text == DONE:
            return [*(extra.text for extra in (*self._deltas.rest(), *self._texts.rest())), text]
        if not self._records.plan.reads_body or not text.strip():
            return [text]
        if not is_document(text):
            return [self._texts.mask(text)]
        extras, masked = self._deltas.mask(text)
        return [*(extra.text for extra in extras), masked]

    def _aside(self, message: bytes) -> Aside | None:
        text = _decoded(message)
        within = len(text) <= LONG
        if not text.lstrip().startswith(BEGINNINGS) or (within and not is_document(text)):
            if within and self._texts.pieces:
                return None
            extras, head, rest = self._texts.leave(text)
            return Aside(_encoded(extras), head.encode(), rest.encode())
        if not within or (sum(map(text.count, ",:[{")) > MARKS and not may_hold_pieces(text)):
            return Aside([], b"", message)
        left = self._deltas.leave(text)
        return Aside(_encoded(left[0]), b"", left[1].encode()) if left else None


def open_socket(plan: Plan, detect: Detect) -> SocketStream:
    """CannotMask when what is due cannot be masked on a WebSocket."""
    if not plan.streams:
        raise CannotMask("streams-withheld")
    if plan.needs_model:
        raise CannotMask("language-model-on-stream")
    return SocketStream(plan, detect)


def _encoded(extras: Iterable[Extra]) -> list[bytes]:
    return [extra.text.encode() for extra in extras]


def _decoded(message: bytes) -> str:
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise CannotMask("charset-wrong") from None
    if "\0" in text:
        raise CannotMask("not-text")
    return text
