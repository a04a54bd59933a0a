"""Who is cut off although the token still holds: revoked sessions, callers and tokens.

`Revocations` is the list as it was read, and decides. `RevocationList` has it read again and again beside the requests,
so that a revocation counts within a second. When the list cannot be read, the last one counts for a few seconds more;
then there is none, and nobody is believed: a list that might lack somebody is no list.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from headgate.errors import HeadgateError
from headgate.model import Principal

log = logging.getLogger(__name__)

Kind = Literal["session", "principal", "token"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LONGEST = 30 * 86400.0
"""Seconds that a revocation may last: tokens do not live longer, and a list without an end only grows."""

MOST = 100_000
"""How many there may be: all are kept in memory."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One of them; `provider` None means whichever provider says it. Times in epoch seconds."""

    id: int
    kind: Kind
    provider: str | None
    value: str
    reason: str
    created: float
    expires: float
    by: str


Named = tuple[Kind, str | None, str]


@dataclass(frozen=True, slots=True)
class Revocations:
    """When the revocation of each (kind, provider, value) ends."""

    ends: Mapping[Named, float]

    @classmethod
    def of(cls, entries: Iterable[Revocation]) -> "Revocations":
        ends: dict[Named, float] = {}
        for entry in entries:
            named = (entry.kind, entry.provider, entry.value)
            ends[named] = max(entry.expires, ends.get(named, entry.expires))
        return cls(MappingProxyType(ends))

    def covers(self, principal: Principal, now: float) -> bool:
        """Whether any name that this caller has is revoked at `now`."""
        return bool(self.ends) and any(
            self.ends.get((kind, provider, value), now) > now
            for kind, value in _names(principal)
            for provider in (principal.provider, None)
        )


def _names(principal: Principal) -> Iterator[tuple[Kind, str]]:
    """An agent is also whom it acts for, and a caller also the person that several providers know."""
    for name in (principal.id, principal.owner, principal.person):
        if name is not None:
            yield "principal", name
    if principal.session.id is not None:
        yield "session", principal.session.id
    token = principal.claims.get("jti")
    if isinstance(token, str):
        yield "token", token


class RevocationList:
    """The list as it is now. `clock` need not be the time of day, but must not leap: `time.monotonic` will do."""

    def __init__(
        self,
        read: Callable[[], Revocations],
        clock: Callable[[], float],
        interval: float = 0.3,
        good_for: float = 10.0,
    ) -> None:
        """`read` may wait for a disk and raise HeadgateError; `interval` and `good_for` are in seconds."""
        self._read, self._clock, self._interval, self._good_for = read, clock, interval, good_for
        self._revocations: Revocations | None = None
        self._read_at = 0.0
        self._faults: set[str] = set()

    def current(self) -> Revocations | None:
        """What is revoked; None when that is not known, and nobody may be believed."""
        good = 0 <= self._clock() - self._read_at <= self._good_for
        return self._revocations if good else None

    def read_now(self) -> None:
        """Read it at once, before there are requests; raises HeadgateError."""
        began = self._clock()
        self._take(self._read(), began)

    async def run(self) -> None:
        """Until cancelled: read it again and again, in a thread of its own."""
        while True:
            began = self._clock()
            try:
                self._take(await asyncio.to_thread(self._read), began)
            except HeadgateError as error:
                self._fail(str(error))
            await asyncio.sleep(self._interval)

    def _take(self, revocations: Revocations, began: float) -> None:
        self._revocations, self._read_at = revocations, began
        if self._faults:
            self._faults = set()
            log.warning("the list of revocations can be read again")

    def _fail(self, fault: str) -> None:
        if fault not in self._faults:
            self._faults.add(fault)
            log.error("%s; in %g s, every caller is refused until it can be read", fault, self._good_for)
