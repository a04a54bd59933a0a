"""Detection in the proxy's own process, for what is small or flows: everything else is masked in a worker.

Presidio takes seconds to import, which a thread does while the proxy serves. Until that is done, and when it fails,
nothing is detected here: whole responses go to the workers, and a stream waits.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from headgate.masking.detection.budget import Budget
from headgate.masking.detection.cache import Cache
from headgate.masking.plan import Detect, Plan, detect_nothing

log = logging.getLogger(__name__)

COLD = 20.0
"""Seconds for which a stream waits until detection is loaded."""


def _load() -> Callable[..., Detect]:
    from headgate.masking.detection.detector import Detector, warm

    warm()
    return Detector


class Inline:
    """`load` gives what makes detectors; it may take long, and is called in a thread.

    With a `cache_key` of random bytes, findings in values are remembered, without the values.
    """

    def __init__(self, load: Callable[[], Callable[..., Detect]] = _load, cache_key: bytes = b"") -> None:
        self._load = load
        self._make: Callable[..., Detect] | None = None
        self._cached = {"cache": Cache(cache_key)} if cache_key else {}
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._make is not None

    def start(self) -> None:
        """Begin to load, unless that has been begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._begin(), name="headgate: the detector's loader")

    async def stop(self) -> None:
        """The thread ends when it has loaded; nobody waits for it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self, seconds: float = COLD) -> bool:
        """Whether detection is ready, now or within so many seconds."""
        self.start()
        if not self.ready and self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
        return self.ready

    def detector(self, plan: Plan, units: int) -> Detect:
        """What detects for `plan` until `units` of work are spent; only when `ready`, if the plan detects anything."""
        if not plan.detect:
            return detect_nothing
        if self._make is None:
            raise RuntimeError("detection is not loaded")
        return self._make(plan, Budget(units), **self._cached)

    async def _begin(self) -> None:
        loaded = asyncio.Event()
        loop = asyncio.get_running_loop()
        Thread(target=self._work, args=(loop, loaded), name="headgate: the detector's loader", daemon=True).start()
        await loaded.wait()

    def _work(self, loop: asyncio.AbstractEventLoop, loaded: asyncio.Event) -> None:
        """In a thread of its own: those of asyncio are waited for where a proxy ends, and this may take long."""
        try:
            self._make = self._load()
        except (ImportError, OSError, ValueError, LookupError, RuntimeError) as error:
            log.error("detection cannot be loaded: %s", type(error).__name__)
        finally:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(loaded.set)
