"""What following a source of keys takes, whatever its kind: its pace, who waits for it, how its failures are told.

A token may be signed with a key that has just come into use. Its request is not refused for that: it may wait for the
next fetch to end. How long it waits is for the one who waits to say; here only their number is bounded.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from headgate.identity.fetch import FetchError
from headgate.identity.jwks import KeySet
from headgate.identity.reasons import Rejected
from headgate.identity.sources import KeySource

log = logging.getLogger(__name__)

MAX_WAITING = 1000

Clock = Callable[[], float]
Waiter = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: between fetches on schedule; first and longest pause after a failure; for how long what was fetched
    counts; from one fetch to another that an unknown key asks for, of a whole set and of single keys; for how long a
    single key that its endpoint does not have is not asked for again."""

    interval: float = 300.0
    first_retry: float = 1.0
    longest_retry: float = 300.0
    good_for: float = 24 * 3600.0
    set_gap: float = 2.0
    key_gap: float = 0.2
    absent_for: float = 60.0

    def pause(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        if not failures:
            return self.interval
        return min(self.first_retry * float(1 << min(failures - 1, 20)), self.longest_retry)


class Waiting:
    """Who waits for which key id, `limit` at most. Any of them may give up at any time."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._kids: dict[Waiter, str | None] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._kids)

    def join(self, kid: str | None) -> Waiter | None:
        """Wait for `kid`, unless too many wait already; called on a running loop."""
        if len(self._kids) >= self._limit:
            return None
        waiter = asyncio.get_running_loop().create_future()
        self._kids[waiter] = kid
        waiter.add_done_callback(self._leave)
        return waiter

    def all(self) -> Collection[Waiter]:
        return tuple(self._kids)

    def of(self, wanted: Callable[[str | None], bool]) -> Collection[Waiter]:
        return tuple(waiter for waiter, kid in self._kids.items() if wanted(kid))

    def release(self, waiters: Collection[Waiter]) -> None:
        for waiter in waiters:
            self._kids.pop(waiter, None)
            if not waiter.done():
                waiter.set_result(None)

    def _leave(self, waiter: Waiter) -> None:
        self._kids.pop(waiter, None)


class Followed(ABC):
    """One source of one provider, and what has been fetched from it."""

    def __init__(self, provider: str, source: KeySource, clock: Clock, timing: Timing) -> None:
        self.provider, self.source = provider, source
        self._clock, self._timing = clock, timing
        self._waiting, self._wake = Waiting(), asyncio.Event()
        self._failures = 0

    @abstractmethod
    def keys(self) -> KeySet | Rejected:
        """What has been fetched, as it counts now."""

    @abstractmethod
    def arrival(self, kid: str | None) -> Awaitable[None] | None:
        """Ends with the fetch that may bring this key; None where waiting is pointless."""

    @abstractmethod
    def missing(self) -> bool:
        """Whether the callers of this provider are refused for want of its keys."""

    @abstractmethod
    async def follow(self, client: httpx.AsyncClient) -> None:
        """Fetch again and again, one request at a time, until cancelled."""

    def abandon(self) -> None:
        """Let everybody go who waits: nothing will be fetched any more."""
        self._waiting.release(self._waiting.all())

    def _young(self, fetched_at: float) -> bool:
        return self._clock() - fetched_at <= self._timing.good_for

    def _failed(self, error: FetchError) -> None:
        """Count a failure; say so at the 1st, 2nd, 4th, 8th in a row, since whoever waits may make for many."""
        self._failures += 1
        if self._failures.bit_count() == 1:
            host = urlsplit(self.source.url).hostname
            log.warning("keys of provider `%s` could not be fetched from `%s`: %s", self.provider, host, error)


def arrived() -> Waiter:
    """What was waited for is here already."""
    waiter: Waiter = asyncio.get_running_loop().create_future()
    waiter.set_result(None)
    return waiter
