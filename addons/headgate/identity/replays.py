"""Proofs that have been used, so that none counts twice (RFC 9449, section 11.1).

What identifies a proof is its key and its id, never its text: an ECDSA signature has a second valid form. A proof is
remembered until it would be too old anyway. Memory is bounded: when it is full, proofs are refused, for to forget one
early would be to take it again. A restart forgets everything: what could have been used before it is refused.

The time given may leap in both directions: what was once forgotten for its age is never new again.
"""

import heapq
import math
from hashlib import blake2b

from headgate.identity.reasons import Reason

WINDOW = 60.0
"""Seconds that a proof may be old (RFC 9449, section 11.1: seconds or minutes, for clocks that differ)."""

AHEAD = 5.0
"""Seconds by which its time may be ahead of ours. Few: for as long, no proof is taken after a start, since one from
just before it could say that it was made afterwards."""

SIZE = 200_000


class Replays:
    """Used proofs, `size` at most; each costs the same however many there are (times in epoch seconds)."""

    def __init__(self, started: float, window: float = WINDOW, ahead: float = AHEAD, size: int = SIZE) -> None:
        self.window, self.ahead = window, ahead
        self._since, self._size = started + ahead, size
        self._used: set[bytes] = set()
        self._by_end: dict[int, list[bytes]] = {}
        self._ends: list[int] = []
        self._forgotten: float = -math.inf

    @property
    def count(self) -> int:
        """How many are remembered now; not the length, for an empty store is no false value."""
        return len(self._used)

    def untimely(self, issued: float, now: float) -> Reason | None:
        """Why a proof of this time does not count at `now`, used or not."""
        if issued < now - self.window:
            return Reason.PROOF_STALE
        if not issued <= now + self.ahead:
            return Reason.PROOF_IN_FUTURE
        if issued <= self._since:
            return Reason.PROOF_BEFORE_START
        return Reason.PROOF_STALE if issued + self.window <= self._forgotten else None

    def first_use(self, thumbprint: str, jti: str, issued: float, now: float) -> Reason | None:
        """Take note of a proof that is good otherwise; why it is not to be taken, if so."""
        self._forget(now)
        if reason := self.untimely(issued, now):
            return reason
        digest = _digest(thumbprint, jti)
        if digest in self._used:
            return Reason.PROOF_REPLAYED
        if len(self._used) >= self._size:
            return Reason.REPLAY_STORE_FULL
        self._remember(digest, math.ceil(issued + self.window))
        return None

    def _remember(self, digest: bytes, end: int) -> None:
        self._used.add(digest)
        if end not in self._by_end:
            self._by_end[end] = []
            heapq.heappush(self._ends, end)
        self._by_end[end].append(digest)

    def _forget(self, now: float) -> None:
        """Drop what is too old, a second at a time."""
        while self._ends and self._ends[0] < now:
            self._forgotten = heapq.heappop(self._ends)  # never less than before: such a proof was not taken
            self._used.difference_update(self._by_end.pop(self._forgotten))


def _digest(thumbprint: str, jti: str) -> bytes:
    """Two proofs with one digest would mean that the second is refused, which no caller can bring about for others."""
    return blake2b(f"{len(thumbprint)}:{thumbprint}{jti}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
