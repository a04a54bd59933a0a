"""What masks one response while it flows, and what its record keeps of it.

The caller's bytes and the recorders' are masked by one stream where the same is due to both. Where the caller is
excepted, there are two, fed with the same bytes; that of the recorders may fail without the caller's ending, and then
the record is without the text. Each chunk has a budget of its own for detection, which runs here and now: what would
hold up everybody else ends the stream.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from headgate.masking.content import TEXT, media_type, values
from headgate.masking.credentials import without_credentials
from headgate.masking.detection.budget import OverBudget
from headgate.masking.due import Due
from headgate.masking.formats import Counts
from headgate.masking.headers import MaskedHeaders, mask_headers, not_cached
from headgate.masking.plan import CannotMask, Detect, Fields, Leaf, Plan, Span, detect_nothing
from headgate.masking.record import LARGEST, recordable
from headgate.masking.response import NO_CONTENT, NOT_MODIFIED, PARTIAL, RESET_CONTENT, Received
from headgate.masking.streams import open_stream, streamable
from headgate.model import MaskCount

EVENTS = "text/event-stream"
"""The type that is not waited for to its end where it may not flow: it may have none."""

BODILESS = frozenset({NO_CONTENT, RESET_CONTENT, NOT_MODIFIED})

MOST_COUNTS = 1000
"""Locations that are recorded one by one; a response has more only where member names are data."""

Detector = Callable[[Plan], Detect]
"""Makes what detects for a plan, with a budget for one chunk."""


def flows(received: Received) -> bool:
    """Whether a response may have a body that has to be passed on as it comes."""
    final = received.status >= 200 and received.status not in BODILESS
    return final and received.method != "HEAD" and streamable(received.headers)


def waits(due: Due, received: Received) -> bool:
    """Whether a response is to be masked as a whole after all: what is due cannot be masked on a stream.

    A plain text may turn out to be JSON, in which fields are found, or none, and then it is withheld.
    """
    plan = due.caller
    if plan is None or not plan.reads_body:
        return False
    name = media_type(values(received.headers, b"content-type")[0]).name
    if name in TEXT and name not in plan.pass_types and (plan.paths or plan.encoded):
        return True
    return name != EVENTS and not (plan.streams and not plan.needs_model)


def counted(counts: Counts) -> tuple[MaskCount, ...]:
    return tuple(MaskCount(*key, count) for key, count in sorted(counts.items())[:MOST_COUNTS])


class StreamMask:
    """`received` is the head of a response; CannotMask where what is due to its caller cannot be masked on a stream.

    `headers` are those that the caller gets. The length and the coding of a body that changes are not among them.
    """

    def __init__(self, due: Due, received: Received, detector: Detector) -> None:
        _refuse_part(due, received)
        self._due = due
        self._caller = _Masker(due.caller, received.headers, detector)
        self._same = due.record == due.caller
        self._recorder = None if self._same else _recorder(due.record, received.headers, detector)
        masked = self._caller.headers
        self.headers = not_cached(masked) if due.caller or due.varies else masked
        self._kept, self._size = bytearray(), 0

    def feed(self, data: bytes) -> bytes:
        """What may go on; CannotMask: the stream ends, and nothing more of it may go on."""
        out = self._caller.feed(data)
        self._keep(out, lambda recorder: recorder.feed(data))
        return out

    def end(self) -> bytes:
        """The rest."""
        out = self._caller.end()
        self._keep(out, _Masker.end)
        return out

    def applies(self, due: Due) -> bool:
        """Whether this is still what is due to caller and record."""
        return (due.caller, due.record) == (self._due.caller, self._due.record)

    @property
    def masks(self) -> tuple[MaskCount, ...]:
        """What has been masked for the caller so far."""
        return counted(self._caller.counts)

    @property
    def head(self) -> Fields:
        """The headers as recorders may show them."""
        known = self.headers if self._same else self._recorder.headers if self._recorder else ()
        return without_credentials(known)

    def shown(self) -> tuple[Fields, bytes, int]:
        """Headers and text as recorders may show them, and how many bytes of text are missing."""
        headers, text = recordable(self.head, bytes(self._kept))
        return headers, text, self._size - len(self._kept)

    def _keep(self, out: bytes, step: Callable[["_Masker"], bytes]) -> None:
        kept = out if self._same else self._recorded(step)
        self._size += len(out if kept is None else kept)
        if kept:
            self._kept += kept[: LARGEST - len(self._kept)]

    def _recorded(self, step: Callable[["_Masker"], bytes]) -> bytes | None:
        if self._recorder is None:
            return None
        try:
            return step(self._recorder)
        except CannotMask:
            self._recorder = None
            self._kept.clear()
            return None


class _Masker:
    """One plan on one stream."""

    def __init__(self, plan: Plan | None, headers: Fields, detector: Detector) -> None:
        self._detector = detector
        self._plan = plan if plan and plan.detect else None
        self._stream, fields = open_stream(plan, headers, self._find)
        self._renew()
        masked = mask_headers(fields, plan, self._find) if plan else MaskedHeaders(fields, Counter(), ())
        self.headers, self._counts = masked.fields, masked.counts

    def feed(self, data: bytes) -> bytes:
        self._renew()
        return self._stream.feed(data)

    def end(self) -> bytes:
        self._renew()
        return self._stream.end()

    @property
    def counts(self) -> Counts:
        return self._counts + self._stream.counts

    def _renew(self) -> None:
        self._detect = self._detector(self._plan) if self._plan else detect_nothing

    def _find(self, leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        try:
            return self._detect(leaves)
        except OverBudget as over:
            raise CannotMask(over.reason) from None


def _recorder(plan: Plan | None, headers: Fields, detector: Detector) -> _Masker | None:
    try:
        return _Masker(plan, headers, detector)
    except CannotMask:
        return None


def _refuse_part(due: Due, received: Received) -> None:
    """A part cannot be searched for what begins before it."""
    if due.caller and due.caller.reads_body and received.status == PARTIAL:
        raise CannotMask("partial-response")
