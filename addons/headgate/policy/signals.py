"""Live signals of the operator, such as `incident`: which are set, and until when.

`Signals` is what was set as it was read, and ends by itself. `SignalBoard` has it read again and again beside the
requests, so that a signal counts within a second. When it cannot be read, what was read last counts for a few seconds
more; then it is not known which signals are set, and a condition on one is unknown: it forbids, and allows nothing.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from headgate.followed import Followed

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


class SignalBoard(Followed[Signals]):
    """The signals as they are now."""

    log = logging.getLogger(__name__)
    lost = "conditions on signals are unknown"
    found = "the signals can be read again"

    def at(self, now: float) -> frozenset[str] | None:
        """The names of those set at `now`, in epoch seconds; None when that is not known."""
        signals = self.current()
        return None if signals is None else signals.at(now)
