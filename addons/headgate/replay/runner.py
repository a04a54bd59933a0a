"""The present chain in a mitmproxy of this process, on a loopback port of its own, in front of a replay's upstream.

It is the guard with its real dispatch, hygiene, policy, masking and record; only who calls is taken from recordings
(`standin`). Nothing of it is read from or written to a state folder, none of it can be had by an option of the proxy's,
and when it ends, the folder with its throwaway CA is gone.
"""

import asyncio
import os
import secrets
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, cast
from urllib.parse import urlsplit

from mitmproxy.addons import default_addons
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from headgate.audit.addon import Audit
from headgate.audit.writer import AuditWriter
from headgate.bundle.load import Bundle
from headgate.capture.addon import Capture
from headgate.capture.record import Record
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.identity.addon import Identity
from headgate.masking.addon import Masking
from headgate.masking.detection.language import require_model
from headgate.masking.inline import Inline
from headgate.masking.rules import MaskingRules
from headgate.masking.tokens import FIELD, token, token_key
from headgate.masking.workers import Workers
from headgate.model import Exchange
from headgate.policy.addon import Policy
from headgate.policy.engine import PolicyRules
from headgate.proxy import internals
from headgate.proxy.frozen import freeze
from headgate.proxy.install import install
from headgate.proxy.stages import compose
from headgate.replay.frozen import Frozen, Moments
from headgate.replay.sending import OnWire, sent
from headgate.replay.standin import HEADER, AtTheMoment, Kept, Slot, Slots, StandIn, Unlogged

LOOPBACK = "127.0.0.1"
START = 60.0
"""Seconds until the listener must be open and detection loaded."""

DEADLINE = 20.0
"""Seconds for which one response may be masked: nobody waits for it, and a busy machine is no finding."""

LATE = 5.0
"""Seconds after an answer in which its record must have come."""

PORTS = {"http": 80, "https": 443}
OVER = "replay-ended"


class Upstream:
    """Where replayed requests go: `http(s)://HOST[:PORT]`, no path; HeadgateError for anything else."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
            parts = urlsplit("")
        plain = (
            parts.netloc.isascii()
            and parts.path in ("", "/")
            and not (parts.query or parts.fragment or "@" in parts.netloc)
        )
        if parts.scheme not in PORTS or not host or not plain:
            raise HeadgateError(f"`{url[:80]!s}` is no upstream; accepted: such as `http://127.0.0.1:9000`")
        self.address = (host, port or PORTS[parts.scheme])
        self.host = parts.netloc
        literal = f"[{host}]" if ":" in host else host
        self.mode = f"reverse:{parts.scheme}://{literal}:{self.address[1]}"


class Chain:
    """The chain under `bundle`, for as long as the context lasts. HeadgateError when it cannot be started."""

    def __init__(
        self, bundle: Bundle, upstream: Upstream, *, own_host: bool = False, named: bool = False, workers: int = 1
    ) -> None:
        self._bundle, self._upstream, self._own_host, self._named = bundle, upstream, own_host, named
        self._slots, self._moments = Slots(), Moments()
        self._folder = TemporaryDirectory(prefix="headgate-replay-")
        self._key = _token_key(bundle.masking)
        self._workers = Workers(workers, DEADLINE, cold=START, cache_key=os.urandom(32))
        self._inline = Inline(cache_key=os.urandom(32))
        self._running: asyncio.Task[None] | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def replay(self, name: str, request: OnWire, frozen: Frozen, seconds: float) -> tuple[int, Record]:
        """The status that the caller gets, and the record of it; `name` is the decision id of what is replayed.
        TimeoutError, OSError, h11's errors, NotSent."""
        word = secrets.token_hex(32).encode()
        slot = Slot(name, frozen, asyncio.get_running_loop().create_future())
        self._slots.expect(word, slot)
        try:
            async with asyncio.timeout(seconds):
                status = await sent(request, self.port, ((HEADER, word),))
            async with asyncio.timeout(LATE):
                return status, await slot.record
        finally:
            self._slots.end(word, slot)

    # -- its life -----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        options = Options(confdir=self._folder.name, mode=[self._upstream.mode], listen_host=LOOPBACK, listen_port=0)
        self._master = master = Master(options)
        master.addons.add(*default_addons())
        self._guard = install(master).guard
        _, problems = freeze(options)
        if problems := [*internals.differences(master.addons), *problems]:
            raise HeadgateError("\n".join(problems))
        proxyserver = cast(Proxyserver, master.addons.get("proxyserver"))
        self._guard.begin(self._stages(), lambda: self._bundle, proxyserver.connections.get)
        if self._bundle.masking.masks:
            if self._bundle.masking.everything.detect:
                await self._inline.wait(START)  # before the workers, which load the same
            await self._workers.start()
        started = _Started()
        master.addons.add(started)
        self._running = asyncio.get_running_loop().create_task(_run(master), name="headgate: the replay's proxy")
        waiting = asyncio.get_running_loop().create_task(started.event.wait())
        await asyncio.wait({self._running, waiting}, timeout=START, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        addresses = proxyserver.listen_addrs()
        if not addresses:
            raise HeadgateError("the replay's proxy could not open a port on loopback")
        self.port = int(addresses[0][1])

    async def _stop(self) -> None:
        if self._running is not None:
            self._guard.sockets.finish_all(OVER)
            await self._guard.streams.finish_all(OVER)
            self._master.shutdown()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._inline.stop()
        await self._workers.stop()
        self._folder.cleanup()

    def _stages(self) -> Any:
        """`compose` takes what stands in for its like: the same hooks, and nothing more is asked of it."""
        exchanges, moments = self._guard.exchanges, self._moments
        host = self._upstream.host if self._own_host else None
        identity = StandIn(exchanges, self._slots, self._bundle, self._upstream.address, host, named=self._named)
        rules = PolicyRules(self._bundle.targets, self._bundle.policy)
        policy = Policy(exchanges, lambda _: rules, moments.now, moments.signals, moments, moments.now)
        return compose(
            cast(Identity, identity),
            cast(Policy, AtTheMoment(policy, self._slots, moments)),
            Masking(exchanges, _masking, self._workers, lambda _: self._key, self._inline),
            Capture(exchanges, cast(Writer, Kept(self._slots)), mode=lambda: "masked", on_error=lambda: "refuse"),
            Audit(exchanges, cast(AuditWriter, Unlogged()), on_error=lambda: "refuse", clock=time.time),
        )


class _Started:
    """Hears when the listeners are up."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def running(self) -> None:
        self.event.set()


async def _run(master: Master) -> None:
    await master.run()


def _masking(exchange: Exchange) -> MaskingRules:
    return cast(Bundle, exchange.bundle).masking


def _token_key(masks: MaskingRules) -> bytes:
    """As a proxy would have it: the same tokens stand for the same values as in the recording."""
    if masks.needs_model:
        require_model()
    if not masks.token_key:
        return b""
    key = token_key(masks.token_key, os.environ, Path.cwd())
    token("0000", FIELD, key)  # the first takes half a second
    return key
