"""What was put off until a record is written, worked out in the writer's thread: the nearest allow of a refusal.

It is an aid for people, so it may hold up nothing that must be recorded: it gets a share of the writer's time, with
some saved up for a burst, and where that is used up, as by a flood of refusals, records go without it. Whatever fails
in it costs the record nothing else.
"""

import logging
from collections.abc import Callable

from headgate.capture.record import Record

log = logging.getLogger(__name__)

SHARE = 0.1
"""Of the time that passes, so much may go into it."""
SAVED = 2.0
"""Seconds of work that can be saved up."""


class Afterwards:
    """`clock` gives seconds and must not leap: `time.monotonic` will do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._left, self._told = clock, SAVED, set[str]()
        self._at = clock()

    def nearest(self, record: Record) -> str | None:
        """As JSON; None where there is none, where there is no time for it, and where it cannot be worked out."""
        if record.nearest is None:
            return None
        started = self._clock()
        self._left = min(SAVED, self._left + SHARE * (started - self._at))
        self._at = started
        if self._left <= 0:
            return None
        try:
            return record.nearest()
        except Exception as error:  # noqa: BLE001 - a record is not lost for want of an aid
            self._fail(type(error).__name__)
            return None
        finally:
            self._left -= self._clock() - started

    def _fail(self, kind: str) -> None:
        """Say so once for each type; the text of an exception may quote what was asked."""
        if kind not in self._told:
            self._told.add(kind)
            log.warning("which rule came nearest to allowing a request could not be worked out: %s", kind)
