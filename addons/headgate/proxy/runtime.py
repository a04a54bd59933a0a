"""What runs beside the requests: the rules and their follower, the key fetcher, the record's writer, the maskers."""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.options import Options

from headgate.admin.pages import Status
from headgate.admin.server import AdminListener
from headgate.bundle.activation import Demands
from headgate.bundle.active import ActiveBundle
from headgate.bundle.admission import Admission
from headgate.bundle.claims import claims_read
from headgate.bundle.load import Bundle, label
from headgate.bundle.signing import required_key
from headgate.bundle.store import BundleStore
from headgate.capture.addon import Capture
from headgate.capture.record import Mode
from headgate.capture.retention import Retention
from headgate.capture.upkeep.keeper import Keeper
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.identity.addon import Identity, Sources
from headgate.masking.addon import Masking
from headgate.masking.inline import Inline
from headgate.masking.workers import Workers
from headgate.model import STRICT, Exchange, PathRules
from headgate.policy.addon import Policy
from headgate.policy.engine import PolicyRules
from headgate.policy.proofs import prove
from headgate.proxy.auditlog import AuditLog, AuditSettings
from headgate.proxy.faults import describe
from headgate.proxy.frozen import ASKS, Frozen
from headgate.proxy.guard import Guard
from headgate.proxy.listeners import loopback_only, ports
from headgate.proxy.originals import sealer
from headgate.proxy.rejudge import Rejudge, judged_again
from headgate.proxy.stages import compose
from headgate.proxy.trust import Trust
from headgate.replay.decoding import decoded

log = logging.getLogger(__name__)

FOREVER = Retention()

DRAIN = 5.0
"""Seconds the record may take to be written out when the proxy ends."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The `headgate_*` options, as they were at start; `rules_key` names the file of the key that signs rules, and
    `sealing_key` that of the key that originals are sealed to."""

    rules: Path
    rules_key: Path | None
    state: Path
    capture: str
    on_capture_error: str
    follow: bool
    admin: str
    sealing_key: Path | None = None
    retention: Retention = FOREVER
    audit_strict: bool = False
    events: str = ""
    events_key: str = ""


class Runtime:
    """Everything a started guard needs; making one loads the rules and opens the record, or raises HeadgateError."""

    def __init__(
        self, settings: Settings, guard: Guard, proxyserver: Proxyserver, options: Options, frozen: Frozen
    ) -> None:
        self._settings, self._proxyserver, self._options, self._frozen = settings, proxyserver, options, frozen
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False  # whether one of them has ended by failing
        self._trust = Trust(settings.state)
        self._audit = AuditLog(
            AuditSettings(
                settings.state,
                settings.audit_strict,
                settings.on_capture_error,
                settings.events,
                settings.events_key,
            )
        )
        self._active = ActiveBundle(settings.rules, self._admission(), record=self._audit)
        self._active.load_now(before=self._open)
        self._admin = AdminListener(settings.admin, self._status()) if settings.admin else None
        seals = sealer(settings.capture, settings.sealing_key)
        self._writer = Writer(settings.state, clock=time.time, randomness=os.urandom, sealer=seals)
        self._keeper = self._retention()
        self._workers, self._inline = Workers(cache_key=os.urandom(32)), Inline(cache_key=os.urandom(32))
        self._serving = False
        self._take_up(self._bundle())
        stages, self._sockets, self._streams = self._stages(guard), guard.sockets, guard.streams
        self._finish_all = guard.finish_all
        guard.begin(stages, lambda: self._active.current, self._proxyserver.connections.get)
        self.rejudge = Rejudge(
            guard.exchanges,
            lambda held: judged_again(held, self._active.current, stages, time.time()),
            guard.close,
        )
        guard.sockets.overdue = guard.streams.overdue = self.rejudge.overdue
        self._keep("the judge of what lasts", self.rejudge.run())
        for name, work in self._trust.work().items():
            self._keep(name, work)
        following = self._active.follow(changed=self._take_up, folder=settings.follow)
        self._keep("the follower of the rules", following)
        about = {"capture": settings.capture, "follow": settings.follow, "rules_signed": settings.rules_key is not None}
        self._audit.started(self._bundle(), about, (options.mode, options.listen_host, options.listen_port))
        if self._admin:
            self._admin.start()

    def _open(self) -> None:
        """The state folder, with what has to be there before rules come into force."""
        self._trust.open()
        self._audit.open()

    def running(self) -> None:
        """Start the maskers, now that the listeners are up: cut off in their start, they would keep asyncio waiting."""
        self._keep("the maskers", self._workers.start())
        bundle, self._serving = self._bundle(), True
        self._load_detection(bundle)
        where = self._settings.rules if bundle.files else self._settings.state
        log.info("headgate guards with rules `%s` %s from `%s`", bundle.name, label(bundle), where.as_posix())
        if self._admin:
            log.info("headgate shows its state and its public keys on %s", self._admin.url)
        if self._trust.development and not loopback_only(self._proxyserver):
            log.warning("development tokens are refused: not every listener is on loopback (--listen-host 127.0.0.1)")

    async def stop(self) -> None:
        """End what runs beside; what has been recorded is written out."""
        self._sockets.finish_all("proxy-stopped")
        await self._streams.finish_all("proxy-stopped")
        self._finish_all("proxy-stopped")
        if self._admin:
            await self._admin.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inline.stop()
        await self._workers.stop()
        if self._keeper:
            await asyncio.to_thread(self._keeper.close, DRAIN)
        await asyncio.to_thread(self._writer.close, DRAIN)
        await self._audit.stop()

    def _retention(self) -> Keeper | None:
        """What deletes flows when their time is over, and has that put into the audit log."""
        retention, state = self._settings.retention, self._settings.state
        if not retention:
            return None
        pruned = self._audit.pruned(asyncio.get_running_loop())
        keeper = Keeper(state, lambda: retention, decode=decoded, clock=time.time, told=pruned)
        keeper.start()
        return keeper

    def _admission(self) -> Admission:
        """What rules have to meet here before they come into force."""
        settings = self._settings
        key = required_key(settings.rules_key, settings.rules) if settings.rules_key else None
        demands = Demands(prove, key)
        return Admission(BundleStore(settings.state), demands, self._trust.prepare, time.time, by="proxy")

    def _stages(self, guard: Guard) -> Any:
        exchanges = guard.exchanges
        masking = self._masking(exchanges)
        return compose(
            Identity(exchanges, self._sources(guard), self._trust.keys, self._trust.replays, time.time),
            Policy(
                exchanges,
                lambda exchange: _policy_of(_rules_of(exchange)),
                time.time,
                signals=lambda: self._trust.signals.at(time.time()),
            ),
            masking,
            Capture(
                exchanges,
                self._writer,
                mode=lambda: self._settings.capture,
                on_error=lambda: self._settings.on_capture_error,
                claims=_claims,
            ),
            self._audit.stage(exchanges, masking.address),
            originals=self._settings.capture == Mode.SEALED,
        )

    def _masking(self, exchanges: Mapping[str, Exchange]) -> Masking:
        rules, key = (lambda exchange: _rules_of(exchange).masking), self._trust.token_key
        return Masking(exchanges, rules, self._workers, key, self._inline)

    def _status(self) -> Status:
        """What the admin listener tells of this proxy."""
        return Status(
            bundle=lambda: self._active.current,
            degraded=self._degraded,
            keys_missing=lambda: bool(self._trust.keys.missing()),
            jwks=self._jwks,
        )

    def _sources(self, guard: Guard) -> Sources:
        return Sources(
            rules=lambda exchange: _rules_of(exchange).identity,
            accepts_host=_names_target,
            path_rules=_path_rules,
            loopback_only=lambda: loopback_only(self._proxyserver),
            own_ports=self._own_ports,
            development_key=lambda: self._trust.development,
            revocations=self._trust.revocations.current,
            signer=self._trust.signer,
            certificates=guard.handshakes.of,
            randomness=os.urandom,
        )

    def _degraded(self) -> str | None:
        """What is not as its operators want it, though it guards on."""
        if self._stopped:
            return "background-task-stopped"
        return "rules-refused" if self._active.problem else None

    def _own_ports(self) -> frozenset[int]:
        return ports(self._proxyserver, self._options, self._admin.address.port if self._admin else None)

    def _jwks(self) -> Mapping[str, Any]:
        published = self._trust.published(self._bundle().identity)
        return published.jwks() if published else {"keys": []}

    def _take_up(self, bundle: Bundle) -> None:
        self._trust.take_up(bundle)
        for name in sorted(target.name for target in bundle.targets.all() if target.observe):
            log.warning("target `%s` is OBSERVED: nothing of what policy says of it is enforced", name)
        self._frozen.decide(self._options, ASKS, bool(bundle.identity.certificates))
        self._load_detection(bundle)

    def _load_detection(self, bundle: Bundle) -> None:
        """Have it at hand before the first stream needs it."""
        if self._serving and bundle.masking.masks and bundle.masking.everything.detect:
            self._inline.start()

    def _bundle(self) -> Bundle:
        bundle = self._active.current
        if bundle is None:
            raise HeadgateError("no rules are in force")
        return bundle

    def _keep(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` for as long as the proxy does, and say so if it ends by failing."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error:
                self._stopped = True
                log.error("%s has stopped: %s", name, describe(error))

        task = asyncio.get_running_loop().create_task(work, name=f"headgate: {name}")
        self._tasks.add(task)
        task.add_done_callback(ended)


def _rules_of(exchange: Exchange) -> Bundle:
    """The rules that were in force when the request came; the guard refuses a request without any."""
    return cast(Bundle, exchange.bundle)


@lru_cache(maxsize=64)
def _claims_of(bundle: Bundle) -> tuple[str, ...]:
    return claims_read(bundle)


def _claims(exchange: Exchange) -> tuple[str, ...]:
    """The claims to be kept of a caller: those that the rules in force could read."""
    return _claims_of(exchange.bundle) if isinstance(exchange.bundle, Bundle) else ()


def _policy_of(bundle: Bundle) -> PolicyRules:
    return PolicyRules(bundle.targets, bundle.policy)


def _names_target(exchange: Exchange, host: str) -> bool:
    """Whether `host` is a name of the target that the request goes to."""
    request = exchange.request
    if request is None:
        return False
    targets = _rules_of(exchange).targets
    target = targets.resolve(request.scheme, request.host, request.port)
    return target is not None and targets.names(target, host)


def _path_rules(exchange: Exchange, scheme: str, host: str, port: int) -> PathRules:
    """How paths are read at the target of this place; nothing is loosened where there is none."""
    target = _rules_of(exchange).targets.resolve(scheme, host, port)
    return target.paths if target else STRICT
