"""What is left in the buckets of limits: the generic cell rate algorithm (ITU-T I.371, annex A), a token bucket that
keeps one number for each.

That number is the theoretical arrival time: when the bucket will be full again. Once it has passed, an entry says no
more than no entry, and is dropped. All is counted in whole numbers (nanoseconds times the count of the rate), so that
no rounding adds up over millions of requests.

Memory is bounded. When a limit has as many buckets as it may, all of them running, keys that are not among them share
one more; and as long as that one runs, each new bucket begins as empty as it is. So whoever calls under many keys makes
it tighter for new ones, never looser for any.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import ceil
from typing import NamedTuple, Protocol

from headgate.model import LimitUse
from headgate.policy.limits import Due, Key, Limit, Scope

CAPACITY = 100_000
"""Buckets of one limit; a limit that is flooded with keys takes none from the others."""
TOTAL = 1_000_000
"""Buckets of all limits together."""

SWEPT = 2
"""Buckets looked at for each new one, to drop what has run out."""
SEARCHED = 64
"""How many more are looked at before it counts as full."""

SECOND = 1_000_000_000
STANDSTILL = 10 * SECOND
"""Nanoseconds by which the clock may go back and no time passes until it is there again; beyond, it has been set."""


class Standing(NamedTuple):
    """What one bucket says: how many more requests may come at once, and if none, in how many seconds the next."""

    limit: Limit
    remaining: int
    exhausted: bool
    wait: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all buckets of a request say; `at` is when."""

    at: float
    standings: tuple[Standing, ...]

    @property
    def refusing(self) -> tuple[Standing, ...]:
        """The limits that refuse the request, by id; those in shadow mode never do."""
        found = (standing for standing in self.standings if standing.exhausted and standing.limit.enforced)
        return tuple(sorted(found, key=lambda standing: standing.limit.id))

    @property
    def uses(self) -> tuple[LimitUse, ...]:
        """The same for the record of the decision, by id."""
        made = (LimitUse(s.limit.id, s.remaining, s.exhausted, s.limit.enforced) for s in self.standings)
        return tuple(sorted(made, key=lambda use: use.id))


class LimitStore(Protocol):
    """Where buckets are kept. Proxies that share one count together; it answers at once, from what it holds.

    `now` is in seconds of a clock that should not leap; `dues` has each limit at most once.
    """

    def spend(self, dues: Sequence[Due], now: float) -> Outcome:
        """Take one from each bucket, or from none of them if one that is enforced is empty."""
        ...

    def peek(self, dues: Sequence[Due], now: float) -> Outcome:
        """What `spend` would find, before it takes anything."""
        ...


def header_fields(outcome: Outcome, now: float) -> tuple[tuple[str, str], ...]:
    """What a refused client is told (draft-ietf-httpapi-ratelimit-headers-10; RFC 9110, section 10.2.3).

    Only of the limits that refuse it, and never by which key. Empty if none does.
    """
    refusing = outcome.refusing
    if not refusing:
        return ()
    waits = [_seconds_left(outcome.at, standing.wait, now) for standing in refusing]
    limits = [standing.limit for standing in refusing]
    left = (f'"{limit.id}";r=0;t={wait}' for limit, wait in zip(limits, waits, strict=True))
    policies = (f'"{limit.id}";q={limit.rate.count};w={limit.rate.seconds}' for limit in limits)
    return ("RateLimit", ", ".join(left)), ("RateLimit-Policy", ", ".join(policies)), ("Retry-After", str(max(waits)))


def _seconds_left(since: float, wait: float, now: float) -> int:
    """Whole seconds, rounded up; a clock that went back does not make them more."""
    return max(0, ceil(wait - max(0.0, now - since)))


@dataclass(slots=True)
class _Buckets:
    """The buckets of one limit: when each is full again, in nanoseconds times the count of the rate."""

    entries: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    overflow: int = 0
    last: int = 0  # when all of them are full

    def drop_full(self, scaled: int, looked_at: int) -> int:
        """Drop what has run out among the next so many, in turn; returns how many those were."""
        before = len(self.entries)
        for _ in range(min(looked_at, before)):
            digest, full_at = self.entries.popitem(last=False)
            if full_at > scaled:
                self.entries[digest] = full_at
        return before - len(self.entries)


class _Level(NamedTuple):
    """One bucket as it is now; times in nanoseconds times the count of the rate."""

    limit: Limit
    digest: bytes
    scaled: int  # now
    full_at: int


class MemoryLimits:
    """The buckets of one process, for one thread; each request costs the same however many there are."""

    def __init__(self, capacity: int = CAPACITY, total: int = TOTAL) -> None:
        """`capacity` is of each limit, `total` of all together."""
        self._capacity, self._total = capacity, total
        self._limits: OrderedDict[Scope, _Buckets] = OrderedDict()
        self._count = 0
        self._latest = 0
        self._ahead = 0

    @property
    def count(self) -> int:
        """How many buckets there are now, without the shared ones."""
        return self._count

    def spend(self, dues: Sequence[Due], now: float) -> Outcome:
        here = self._time(now)
        levels = [self._level(limit, key, here) for limit, key in dues]
        found = Outcome(now, tuple(_standing(level) for level in levels))
        if found.refusing:
            return found
        both = zip(found.standings, levels, strict=True)
        spent = (standing if standing.exhausted else self._take(level, here) for standing, level in both)
        return Outcome(now, tuple(spent))

    def peek(self, dues: Sequence[Due], now: float) -> Outcome:
        here = self._time(now)
        return Outcome(now, tuple(_standing(self._level(limit, key, here)) for limit, key in dues))

    def _level(self, limit: Limit, key: Key, here: int) -> _Level:
        buckets, digest, scaled = self._limits.get(limit.scope), _digest(key), here * limit.rate.count
        full_at = scaled if buckets is None else max(buckets.entries.get(digest, buckets.overflow), scaled)
        return _Level(limit, digest, scaled, full_at)

    def _take(self, level: _Level, here: int) -> Standing:
        """Take one from a bucket that is not empty."""
        limit, digest, scaled, before = level
        buckets = self._buckets(limit, here)
        full_at = before + limit.rate.seconds * SECOND
        buckets.last = max(buckets.last, full_at)
        if digest in buckets.entries:
            buckets.entries[digest] = full_at
        elif self._has_room(buckets, scaled, here):
            buckets.entries[digest] = full_at
            self._count += 1
        else:
            buckets.overflow = full_at
        return _standing(level._replace(full_at=full_at))._replace(exhausted=False)

    def _has_room(self, buckets: _Buckets, scaled: int, here: int) -> bool:
        self._count -= buckets.drop_full(scaled, SWEPT)
        if len(buckets.entries) >= self._capacity:
            self._count -= buckets.drop_full(scaled, SEARCHED)
        if self._count >= self._total:
            self._search_another(here)
        return len(buckets.entries) < self._capacity and self._count < self._total

    def _search_another(self, here: int) -> None:
        """Look for what has run out in the limits in turn: one that is no longer asked drops nothing by itself."""
        scope = next(iter(self._limits))
        self._limits.move_to_end(scope)
        self._count -= self._limits[scope].drop_full(here * scope.requests, SEARCHED)

    def _buckets(self, limit: Limit, here: int) -> _Buckets:
        if limit.scope not in self._limits:
            self._forget(here)
            self._limits[limit.scope] = _Buckets()
        return self._limits[limit.scope]

    def _forget(self, here: int) -> None:
        """Drop what is left of limits, former ones among them, of which all buckets are full."""
        for scope, buckets in list(self._limits.items()):
            if buckets.last <= here * scope.requests:
                self._count -= len(buckets.entries)
                del self._limits[scope]

    def _time(self, now: float) -> int:
        """Nanoseconds that never go back. Where the clock was set back, time goes on from where it was."""
        whole = int(now)  # apart from the rest, for together they have more digits than a float
        here = whole * SECOND + int((now - whole) * SECOND) + self._ahead
        if here < self._latest - STANDSTILL:
            self._ahead += self._latest - here
        self._latest = max(self._latest, here)
        return self._latest


def _standing(level: _Level) -> Standing:
    limit, _, scaled, full_at = level
    each = limit.rate.seconds * SECOND
    content = limit.burst * each - (full_at - scaled)
    if content >= each:
        return Standing(limit, content // each, False, 0.0)
    return Standing(limit, 0, True, (each - content) / (limit.rate.count * SECOND))


def _digest(key: Key) -> bytes:
    """What stands for a key, so that no part of a request is kept, however long it is; `repr` escapes surrogates."""
    return blake2b(repr(key).encode(), digest_size=16).digest()
