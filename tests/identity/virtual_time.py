"""An event loop whose time passes only while there is nothing else to do: a day of waiting takes no time in a test.

For what talks to nobody outside: no threads, no sockets. Waiting for what can never come is an error, not a hang.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable

EPOCH = 1_700_000_000.0


class _Skipping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready and timeout:
            self.now += max(timeout, 1e-6)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function to its end, in virtual time."""

    async def main() -> None:
        await test()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def now() -> float:
    """Seconds since the test began."""
    return round(asyncio.get_running_loop().time(), 3)


def clock() -> float:
    """The wall clock of a test: it goes along with the loop's."""
    return EPOCH + asyncio.get_running_loop().time()
