"""Events as JSON lines on standard output, for whoever reads the proxy's pipe.

Written past Python's own buffers and locks: a reader that has stopped keeps this thread waiting and nobody else.
"""

import os
import select
from collections.abc import Sequence

from headgate.audit.sinks import Event

WAIT = 1.0
"""Seconds after which a descriptor that takes nothing is looked at again."""


class Stdout:
    """`descriptor` is where to write; it stays open."""

    name, batch = "stdout", 1

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._rest = b""  # of a line that was begun: it is finished before another begins

    def send(self, events: Sequence[Event]) -> None:
        self._flush()
        for event in events:
            self._rest = event.line + b"\n"
            self._flush()

    def close(self) -> None:
        """It is not ours to close."""

    def _flush(self) -> None:
        while self._rest:
            try:
                self._rest = self._rest[os.write(self._descriptor, self._rest) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], WAIT)
            except OSError:
                self._rest = b""
                raise
