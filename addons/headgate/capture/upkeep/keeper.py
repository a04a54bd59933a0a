"""Retention while a proxy runs: a thread of its own that deletes what is due, in short steps with pauses between them.

It is not the writer's thread: what it does may fail or take long, and neither may cost a record. The lock of the file,
which both need, is held for a step at most, and after each step others have it for several times as long. A retention
that fails says so and tries again; nothing that is not due is ever deleted for want of space or time.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headgate.capture.retention import Pruned, Retention, Told
from headgate.capture.search import Decode
from headgate.capture.upkeep.writer import Pruner
from headgate.errors import HeadgateError

log = logging.getLogger(__name__)

INTERVAL = 30.0
"""Seconds between two looks for what is due."""

PATIENCE = 1.0
"""Seconds to wait for the lock; nothing is lost by coming again later."""

REST = 2.0
SHORTEST_REST = 0.01
"""After a step others get so many times what it took, and so many seconds at least."""


def nobody(_pruned: Pruned) -> None:
    return None


class Keeper:
    """Keeps capture.db in the folder `state` within `retention`, asked for anew each time, since it may change.

    `clock` gives seconds since the epoch. `told` hears what went, whenever a round is over in which something did.
    """

    def __init__(
        self,
        state: Path,
        retention: Callable[[], Retention],
        *,
        decode: Decode,
        clock: Callable[[], float],
        told: Told = nobody,
        interval: float = INTERVAL,
        rest: float = REST,
    ) -> None:
        self.path = state / "capture.db"
        self._retention, self._clock, self._told = retention, clock, told
        self._pruner = Pruner(self.path, decode, PATIENCE)
        self._interval, self._rest = interval, rest
        self._stop = threading.Event()
        self._fault: str | None = None
        self._thread: threading.Thread | None = None

    @property
    def healthy(self) -> bool:
        """Whether the last attempt succeeded."""
        return self._fault is None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="headgate-retention", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 5.0) -> bool:
        """End after the step at hand; False when that takes longer than `timeout` seconds."""
        self._stop.set()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def round(self) -> Pruned:
        """Delete all that is due; how much went until nothing was left, somebody said stop, or it failed."""
        gone = Pruned()
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                retention = self._retention()
                pruned = self._pruner.step(retention, self._clock()) if retention else None
                if pruned is None:
                    break
                gone += pruned
                self._stop.wait(max(SHORTEST_REST, self._rest * (time.monotonic() - started)))
        except HeadgateError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must come again and say so
            self._fail(f"retention of the capture `{self.path}` failed: {type(error).__name__}")
        else:
            self._recover()
        if gone:
            self._told(gone)
        return gone

    def _run(self) -> None:
        while not self._stop.is_set():
            self.round()
            self._stop.wait(self._interval)

    def _fail(self, message: str) -> None:
        """Say so once for each cause."""
        if message != self._fault:
            self._fault = message
            log.warning("%s; old flows stay, and it is tried again", message)

    def _recover(self) -> None:
        if self._fault:
            self._fault = None
            log.warning("retention of the capture `%s` works again", self.path)
