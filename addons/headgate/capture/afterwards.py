"""What was put off until a record is written, worked out in the writer's thread.

The nearest allow of a refusal is an aid for people, so it may hold up nothing that must be recorded: it gets a share of
the writer's time, with some saved up for a burst, and where that is used up, as by a flood of refusals, records go
without it. An original is sealed, or not kept. Whatever fails in either costs the record nothing else.
"""

import logging
from collections.abc import Callable

from headgate.capture.record import Record
from headgate.capture.sealing import Sealer

log = logging.getLogger(__name__)

SHARE = 0.1
"""Of the time that passes, so much may go into it."""
SAVED = 2.0
"""Seconds of work that can be saved up."""


class Afterwards:
    """`clock` gives seconds and must not leap: `time.monotonic` will do."""

    def __init__(self, clock: Callable[[], float], sealer: Sealer | None = None) -> None:
        self._sealer = sealer
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
            self._fail("which rule came nearest to allowing a request could not be worked out", error)
            return None
        finally:
            self._left -= self._clock() - started

    def sealed(self, record: Record) -> bytes | None:
        """The original, to be read by the holder of the private key; None where there is none, and where it cannot be
        sealed: the record beside it says all that it would say without."""
        if record.original is None or self._sealer is None:
            return None
        try:
            return self._sealer.seal(record.original)
        except Exception as error:  # noqa: BLE001 - what cannot be sealed is not kept at all
            self._fail("an original could not be sealed, and is not kept", error)
            return None

    def _fail(self, what: str, error: Exception) -> None:
        """Say so once for each type; the text of an exception may quote what was asked."""
        line = f"{what}: {type(error).__name__}"
        if line not in self._told:
            self._told.add(line)
            log.warning("%s", line)
