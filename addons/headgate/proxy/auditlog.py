"""The audit log of one proxy process: opened before rules come into force, closed after all else has ended.

What is told of rules before the log says that the proxy has started is kept until it does, so that the log of each run
begins with its start.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mitmproxy import version

from headgate import __version__
from headgate.audit.addon import Address, Audit
from headgate.audit.leaf import Leaf, act_leaf
from headgate.audit.lifecycle import REFUSED, activation_leaf, start_leaf, stop_leaf
from headgate.audit.sinks import Sinks
from headgate.audit.sinks_options import outlets
from headgate.audit.writer import AuditWriter
from headgate.bundle.versions import Activation
from headgate.capture.retention import Pruned, Told
from headgate.errors import HeadgateError
from headgate.model import BundleRef, Exchange

DRAIN = 5.0
"""Seconds the log may take to be written out when the proxy ends, and for its first entries to be on disk."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The options that say how the log is kept and who is told."""

    state: Path
    strict: bool
    on_error: str
    events: str
    events_key: str


class AuditLog:
    """Making one reads its options; `open` makes or opens the file. HeadgateError when that cannot be done."""

    def __init__(self, settings: AuditSettings) -> None:
        self._settings = settings
        self._outlets = outlets(
            settings.events, settings.events_key, environ=os.environ, base=Path.cwd(), clock=time.time
        )
        self._early: list[Callable[[], Leaf]] | None = []

    def open(self) -> None:
        self.sinks = Sinks(self._outlets, time.time)
        self.writer = AuditWriter(self._settings.state, clock=time.time, randomness=os.urandom, emit=self.sinks.emit)

    def stage(self, exchanges: Mapping[str, Exchange], address: Address) -> Audit:
        self.addon = Audit(
            exchanges,
            self.writer,
            on_error=lambda: self._settings.on_error,
            clock=time.time,
            strict=self._settings.strict,
            address=address,
        )
        return self.addon

    # -- what the proxy does ------------------------------------------------------------------------------------------

    def started(self, bundle: BundleRef, options: Mapping[str, Any], listens: Sequence[Any]) -> None:
        """The proxy is about to listen, as these options of mitmproxy say, its modes first; returns when that is on
        disk."""
        about = {
            **options,
            "audit_strict": self._settings.strict,
            "on_capture_error": self._settings.on_error,
            "events": [outlet.name for outlet in self._outlets],
        }
        modes = [mode.partition(":")[0] for mode in listens[0]]  # an address may name a user
        early, self._early, now = self._early or [], None, time.time()
        self._run = self.writer.digest(repr(listens).encode())[:16]

        def start() -> Leaf:
            return start_leaf(
                now,
                run=self._run,
                version=__version__,
                mitmproxy=version.VERSION,
                bundle=bundle,
                options=about,
                listeners=modes,
            )

        for make in (start, *early):
            self.writer.put(make)
        if not self.writer.flush(DRAIN) and (self._settings.strict or self._settings.on_error == "refuse"):
            raise HeadgateError("the audit log cannot be written: its first entries are not on disk")

    def activated(self, entry: Activation) -> None:
        """Rules are about to come into force."""
        bundle = BundleRef(entry.name or "", entry.version or "", entry.sha256) if entry.sha256 else None
        self._tell(how=str(entry.how), bundle=bundle, by=entry.by, note=entry.note, previous=entry.previous)

    def refused(self, bundle: BundleRef | None, error: HeadgateError, previous: BundleRef | None) -> None:
        """Rules do not come into force; `previous` stay."""
        ref = BundleRef(bundle.name, bundle.version, bundle.sha256) if bundle else None
        stays = previous.sha256 if previous else None
        self._tell(how=REFUSED, bundle=ref, by="proxy", note=str(error), previous=stays)

    def pruned(self, loop: asyncio.AbstractEventLoop) -> Told:
        """What another thread tells that flows have been deleted to; entries are put from the loop's alone."""

        def told(gone: Pruned) -> None:
            leaf = partial(
                act_leaf, "pruned", "proxy", time.time(), flows=gone.flows, messages=gone.messages, bodies=gone.bodies
            )
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.writer.put, leaf)

        return told

    def _tell(self, **facts: Any) -> None:
        now = time.time()
        if self._early is not None:
            self._early.append(lambda: activation_leaf(now, **facts))
        else:
            self.writer.put(lambda: activation_leaf(now, **facts))

    # -- its end ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """The last entry, the last checkpoint; who watches hears of both."""
        self.addon.stop()
        counters, now = {**asdict(self.writer.counters), "not_told": self.sinks.dropped}, time.time()
        self.writer.put(lambda: stop_leaf(now, run=self._run, counters=counters))
        await asyncio.to_thread(self.writer.close, DRAIN)
        await asyncio.to_thread(self.sinks.close)
