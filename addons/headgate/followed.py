"""What is read again and again beside the requests, so that a change of it counts within a second.

When it cannot be read, what was read last counts for a few seconds more; then it is not known, which is never the same
as empty.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import ClassVar

from headgate.errors import HeadgateError


class Followed[Value]:
    """The value as it is now. `clock` need not be the time of day, but must not leap: `time.monotonic` will do."""

    log: ClassVar[logging.Logger]
    lost: ClassVar[str]
    """What holds from when it is no longer known, to be followed by "until it can be read"."""
    found: ClassVar[str]
    """To be said when it can be read again."""

    def __init__(
        self,
        read: Callable[[], Value],
        clock: Callable[[], float],
        interval: float = 0.3,
        good_for: float = 10.0,
    ) -> None:
        """`read` may wait for a disk and raise HeadgateError; `interval` and `good_for` are in seconds."""
        self._read, self._clock, self._interval, self._good_for = read, clock, interval, good_for
        self._value: Value | None = None
        self._read_at = 0.0
        self._faults: set[str] = set()

    def current(self) -> Value | None:
        """What was read last; None when that is too long ago."""
        good = 0 <= self._clock() - self._read_at <= self._good_for
        return self._value if good else None

    def read_now(self) -> None:
        """Read it at once, before there are requests; raises HeadgateError."""
        began = self._clock()
        self._take(self._read(), began)

    async def run(self) -> None:
        """Until cancelled: read it again and again, in a thread of its own; each fault is reported once."""
        while True:
            began = self._clock()
            try:
                self._take(await asyncio.to_thread(self._read), began)
            except HeadgateError as error:
                self._fail(str(error))
            await asyncio.sleep(self._interval)

    def _take(self, value: Value, began: float) -> None:
        self._value, self._read_at = value, began
        if self._faults:
            self._faults = set()
            self.log.warning(self.found)

    def _fail(self, fault: str) -> None:
        if fault not in self._faults:
            self._faults.add(fault)
            self.log.error("%s; in %g s, %s until it can be read", fault, self._good_for, self.lost)
