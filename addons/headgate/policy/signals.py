"""Live signals of the operator, such as `incident`: which are set, and until when.

`Signals` is what was set as it was read, and ends by itself. `SignalBoard` has it read again and again beside the
requests, so that a signal counts within a second. When it cannot be read, what was read last counts for a few seconds
more; then it is not known which signals are set, and a condition on one is unknown: it forbids, and allows nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from headgate.errors import HeadgateError

log = logging.getLogger(__name__)

LONGEST = 7 * 86400.0
"""Seconds that a signal may be set for: what holds for longer belongs in the rules."""

MOST = 1_000
"""How many may be set: all are kept in memory."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that is set; times in epoch seconds."""

    name: str
    since: float
    until: float
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did to a signal, and when; `until` is None for one that was cleared."""

    id: int
    time: float
    what: Literal["set", "clear"]
    name: str
    until: float | None
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Signals:
    """Until when each signal is set, in epoch seconds."""

    ends: Mapping[str, float]

    @classmethod
    def of(cls, signals: Iterable[Signal]) -> "Signals":
        return cls(MappingProxyType({signal.name: signal.until for signal in signals}))

    def at(self, now: float) -> frozenset[str]:
        """The names of those set at `now`."""
        return frozenset(name for name, until in self.ends.items() if now < until) if self.ends else _NONE


_NONE: frozenset[str] = frozenset()


class SignalBoard:
    """The signals as they are now. `clock` need not be the time of day, but must not leap: `time.monotonic` will do."""

    def __init__(
        self,
        read: Callable[[], Signals],
        clock: Callable[[], float],
        interval: float = 0.3,
        good_for: float = 10.0,
    ) -> None:
        """`read` may wait for a disk and raise HeadgateError; `interval` and `good_for` are in seconds."""
        self._read, self._clock, self._interval, self._good_for = read, clock, interval, good_for
        self._signals: Signals | None = None
        self._read_at = 0.0
        self._faults: set[str] = set()

    def current(self) -> Signals | None:
        """What is set; None when that is not known."""
        good = 0 <= self._clock() - self._read_at <= self._good_for
        return self._signals if good else None

    def at(self, now: float) -> frozenset[str] | None:
        """The names of those set at `now`, in epoch seconds; None when that is not known."""
        signals = self.current()
        return None if signals is None else signals.at(now)

    def read_now(self) -> None:
        """Read them at once, before there are requests; raises HeadgateError."""
        began = self._clock()
        self._take(self._read(), began)

    async def run(self) -> None:
        """Until cancelled: read them again and again, in a thread of its own."""
        while True:
            began = self._clock()
            try:
                self._take(await asyncio.to_thread(self._read), began)
            except HeadgateError as error:
                self._fail(str(error))
            await asyncio.sleep(self._interval)

    def _take(self, signals: Signals, began: float) -> None:
        self._signals, self._read_at = signals, began
        if self._faults:
            self._faults = set()
            log.warning("the signals can be read again")

    def _fail(self, fault: str) -> None:
        if fault not in self._faults:
            self._faults.add(fault)
            log.error("%s; in %g s, conditions on signals are unknown until it can be read", fault, self._good_for)
