"""Text messages of a WebSocket in one direction.

Each is masked as a document where it is JSON, else as a text, and looked at together with those before it as the events
of a stream are (see `deltas`). A message is never held back. Pieces of a text can be, in part: `messages` does so, and
may make more than one message of one. `feed` gives one for each, at once: there the beginning of a value that is split
over several messages has gone on before the value could be known, and only what comes after is masked.
"""

from collections import Counter

from headgate.masking.formats import Counts
from headgate.masking.plan import CannotMask, Detect, Plan
from headgate.masking.streams.deltas import Deltas
from headgate.masking.streams.held import LARGEST
from headgate.masking.streams.record import Records, is_document
from headgate.masking.streams.texts import Texts

KIND = "text/plain"
"""What a message that is no JSON counts as where fields may be passed over."""


class SocketStream:
    """`counts` is what has been masked so far. Either `feed` or `messages` is used on one of them, never both."""

    def __init__(self, plan: Plan, detect: Detect) -> None:
        self.counts: Counts = Counter()
        self._records = Records(plan, detect, self.counts, KIND)
        self._deltas, self._texts = Deltas(self._records), Texts(self._records)
        self._failed: str | None = None

    def feed(self, message: bytes) -> bytes:
        """A message as it goes on; CannotMask: it may not, and nothing after it."""
        self._deltas.hold = self._texts.hold = False
        return self.messages(message)[-1]

    def messages(self, message: bytes) -> list[bytes]:
        """What goes on for a message, itself the last; CannotMask: it may not, and nothing after it."""
        if self._failed:
            raise CannotMask(self._failed)
        self._failed = "not-masked"
        try:
            masked = [text.encode() for text in self._masked(message)]
        except CannotMask as cannot:
            self._failed = cannot.reason
            raise
        self._failed = None
        return masked

    def end(self) -> list[bytes]:
        """What is held back."""
        return [extra.text.encode() for extra in (*self._deltas.rest(), *self._texts.rest())]

    def _masked(self, message: bytes) -> list[str]:
        if len(message) > LARGEST:
            raise CannotMask("record-too-long")
        text = _decoded(message)
        if not self._records.plan.reads_body or not text.strip():
            return [text]
        if not is_document(text):
            return [self._texts.mask(text)]
        extras, masked = self._deltas.mask(text)
        return [*(extra.text for extra in extras), masked]


def open_socket(plan: Plan, detect: Detect) -> SocketStream:
    """CannotMask when what is due cannot be masked on a WebSocket."""
    if not plan.streams:
        raise CannotMask("streams-withheld")
    if plan.needs_model:
        raise CannotMask("language-model-on-stream")
    return SocketStream(plan, detect)


def _decoded(message: bytes) -> str:
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise CannotMask("charset-wrong") from None
    if "\0" in text:
        raise CannotMask("not-text")
    return text
