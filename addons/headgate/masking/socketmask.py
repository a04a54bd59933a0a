"""What masks the text messages that one peer of a WebSocket says, in their order, under one plan.

A message is masked here and now, together with those before it, so that what is split over several is found (see
`streams/socket.py`). One that would hold up everybody else, and holds no pieces of a text, is masked by itself in a
worker. Each message has a budget for detection. One that needs more goes to a worker, too, unless something is held
back that would be lost with the stream: then there is more to spend, and what exceeds that ends the connection.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from headgate.masking.detection.budget import OverBudget
from headgate.masking.formats import Counts
from headgate.masking.inline import Inline
from headgate.masking.messages import job_of, masked_of
from headgate.masking.plan import CannotMask, Detect, Leaf, Plan, Span, detect_nothing
from headgate.masking.streaming import counted
from headgate.masking.streams.socket import Aside, SocketStream, open_socket
from headgate.masking.workers import TOO_SLOW, Workers
from headgate.model import Exchange

INLINE = 4 * 1024
INLINE_WORK = 600
"""Bytes, and commas, colons and brackets times passes over them, of a message that is masked at once: about 2 ms."""

UNITS = 32 * 1024
"""Units of the detector's work that a message may take here."""

HELD_UNITS = 1024 * 1024
"""And what it may take where something is held back: as a chunk of a stream."""

AT_ONCE = 32
"""Messages that are in the hands of the workers at once: others wait for their turn, as a message may and a response
may not."""

Detector = Callable[[Plan, int], Detect]
"""Makes what detects for a plan until so many units are spent."""


class SocketMask:
    """One plan on one direction; CannotMask when what is due cannot be masked on a WebSocket."""

    def __init__(self, plan: Plan, detector: Detector) -> None:
        self.plan, self._detector = plan, detector
        self._detect: Detect = detect_nothing
        self._counts: Counts = Counter()
        self._stream = self._opened()

    @property
    def waits(self) -> bool:
        """Whether something is held back."""
        return self._stream.waits

    def messages(self, message: bytes) -> list[bytes] | Aside:
        """What goes on for a message, or what is to be masked of it in a worker."""
        waits = self._stream.waits
        try:
            return self._masked(message, HELD_UNITS if waits else UNITS)
        except OverBudget as over:
            if waits:
                raise CannotMask(over.reason) from None
            self._stream = self._opened()
            return Aside([], b"", message)

    def rest(self, *, paused: bool = False) -> list[bytes]:
        """What is held back; `paused`: as far as it could be the end, for nothing has followed."""
        self._renew(HELD_UNITS)
        try:
            return self._stream.pause() if paused else self._stream.end()
        except OverBudget as over:
            raise CannotMask(over.reason) from None

    def count(self, counts: Counts) -> None:
        """This has been masked elsewhere."""
        self._counts.update(counts)

    def take_counts(self) -> Counts:
        """What has been masked since they were taken last."""
        taken = self._counts + self._stream.counts
        self._counts.clear()
        self._stream.counts.clear()
        return taken

    def _masked(self, message: bytes, units: int) -> list[bytes] | Aside:
        self._renew(units)
        if not _quick(self.plan, message):
            if aside := self._stream.aside(message):
                return aside
            self._renew(HELD_UNITS)
        return self._stream.messages(message)

    def _opened(self) -> SocketStream:
        return open_socket(self.plan, self._find)

    def _renew(self, units: int) -> None:
        self._detect = self._detector(self.plan, units)

    def _find(self, leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        return self._detect(leaves)


class SocketMasking:
    """Masks messages where that is quick, else has them masked by `workers`."""

    def __init__(self, workers: Workers, inline: Inline) -> None:
        self._workers, self._inline = workers, inline
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def open(self, plan: Plan) -> SocketMask:
        """What masks one direction from now on; CannotMask when it cannot be."""
        mask = SocketMask(plan, self._inline.detector)
        if plan.detect and not await self._inline.wait():
            raise CannotMask(TOO_SLOW)
        return mask

    async def messages(self, mask: SocketMask, message: bytes) -> list[bytes]:
        """What goes on for a message, itself the last; CannotMask: it may not, and nothing after it."""
        masked = mask.messages(message)
        if not isinstance(masked, Aside):
            return masked
        job = job_of(mask.plan, masked.rest)
        async with self._turns:
            done = await self._workers.run(job)
        rest, response = masked_of(done, masked.rest)
        mask.count(response.counts)
        return [*masked.before, masked.head + rest]


def add_counts(exchange: Exchange, counts: Counts) -> None:
    """What has been masked on its WebSocket counts to the exchange's masks."""
    if counts:
        before = Counter({(mask.location, mask.entity, mask.operator): mask.count for mask in exchange.masks})
        exchange.masks = counted(before + counts)


def _quick(plan: Plan, message: bytes) -> bool:
    """Whether masking a message is certain to hold up the event loop for no more than a moment."""
    if len(message) > INLINE:
        return False
    work = sum(message.count(mark) for mark in (b",", b":", b"[", b"{"))
    passes = 1 + len(plan.paths) + len(plan.encoded)
    return work * passes * (1 if plan.linear else work) <= INLINE_WORK
