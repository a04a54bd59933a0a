"""Put every decision and its outcome into the audit log: one entry of each for each exchange, whatever becomes of it.

The decision on a request that goes on is handed over before it does, as the last thing on its way in; where that is
asked for (`strict`), the request waits until it is on disk. Everything else is written at the one place through which
every exchange leaves the guard: the outcome, and before it the decision on what did not get that far. Entries are made
in the writer's thread, from values that no longer change.

While the log cannot take entries requests are refused, or go on where the operator says so (`on_error` is `continue`)
and nothing is strict: then the writer counts what is missing, and says so in the log as soon as it can be written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from mitmproxy import flow as flows
from mitmproxy import http

from headgate.audit.leaf import Leaf, decision_leaf, outcome_leaf, outlined
from headgate.audit.writer import AuditUnavailable, AuditWriter
from headgate.model import Exchange, guard_error

UNAVAILABLE = guard_error("audit-unavailable")

WEIGHT = 2048
"""About how many bytes an entry holds in memory until it is written, but for the body that its digest is made of."""

ERRORS = {"Client disconnected.": "client-disconnected", "Connection killed.": "killed"}
"""mitmproxy's messages that say no more than this; any other may quote what a peer sent."""


class Entry(NamedTuple):
    """What the writer takes: how to make the leaf, and what that keeps in memory."""

    make: Callable[[], Leaf]
    weight: int


Address = Callable[[http.HTTPFlow, bool], str | None]


def unknown(_flow: http.HTTPFlow, _plain: bool) -> str | None:
    return None


class Audit:
    """`on_error` gives the option; `address` the path of a request as records may show it, before it is masked for
    them; None where its outline has to do, nothing where not even that may be shown (it is told whether the path is
    plain: words and small numbers); `clock` seconds since the epoch."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        log: AuditWriter,
        *,
        on_error: Callable[[], str],
        clock: Callable[[], float],
        strict: bool = False,
        address: Address = unknown,
    ) -> None:
        self._exchanges, self._log, self._address = exchanges, log, address
        self._on_error, self._clock, self._strict = on_error, clock, strict
        self._stopping = False

    # -- the way in ---------------------------------------------------------------------------------------------------

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if not self._log.ready and self._must:
            self._exchanges[flow.id].refusal = UNAVAILABLE

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """The request goes on when this is done."""
        exchange = self._exchanges[flow.id]
        if self._stopping or (self._must and not self._log.ready):
            exchange.refusal = UNAVAILABLE
            return None
        entry = self._decision(exchange, flow.id, self._known(exchange, flow))
        if self._strict:
            exchange.audited = True
            return self._on_disk(exchange, self._log.put_and_wait(*entry))
        exchange.audited = self._log.put(*entry) or not self._must
        if not exchange.audited:
            exchange.refusal = UNAVAILABLE
        return None

    async def _on_disk(self, exchange: Exchange, written: asyncio.Future[int]) -> None:
        try:
            await written
        except AuditUnavailable:
            exchange.refusal = exchange.refusal or UNAVAILABLE

    # -- the end ------------------------------------------------------------------------------------------------------

    def ended(self, flow: http.HTTPFlow, size: int) -> None:
        """Its caller has got what it gets, `size` bytes; only the first call for an exchange counts."""
        exchange = self._exchanges[flow.id]
        if exchange.concluded:
            return
        shown = _shown(flow.request.data.path) if exchange.masked else None
        self._conclude(
            exchange,
            flow.id,
            status=flow.response.status_code if flow.response else None,
            size=size,
            error=ERRORS.get(flow.error.msg, "connection-failed") if flow.error else None,
            shown=shown,
        )

    def other(self, flow: flows.Flow, exchange: Exchange) -> None:
        """A flow that is not HTTP was refused as it began."""
        self._conclude(exchange, flow.id, status=None, size=0, error=None, shown=None)

    def _conclude(
        self, exchange: Exchange, flow_id: str, *, status: int | None, size: int, error: str | None, shown: str | None
    ) -> None:
        exchange.concluded = True
        if not exchange.audited:
            exchange.audited = True
            self._log.put(*self._decision(exchange, flow_id, shown or ""))
        ended, now = _outcome_of(exchange), self._clock()

        def make() -> Leaf:
            return outcome_leaf(ended, now=now, status=status, size=size, error=error, path_shown=shown)

        self._log.put(make, WEIGHT)

    def _known(self, exchange: Exchange, flow: http.HTTPFlow) -> str | None:
        """How the path may be shown before it has been masked."""
        path = exchange.request.path if exchange.request else ""
        return self._address(flow, outlined(path) == path)

    # -- entries ------------------------------------------------------------------------------------------------------

    def _decision(self, exchange: Exchange, flow_id: str, shown: str | None) -> Entry:
        decided, digest = _decision_of(exchange), self._log.digest
        body = exchange.request.body if exchange.request else None
        hide = None if shown or shown is None else digest

        def make() -> Leaf:
            return decision_leaf(decided, flow_id, digest(body) if body else None, path_shown=shown, hide=hide)

        return Entry(make, WEIGHT + len(body or b""))

    @property
    def _must(self) -> bool:
        """Whether nothing may go on that is not in the log."""
        return self._stopping or self._strict or self._on_error() == "refuse"

    def stop(self) -> None:
        """From now on no request goes on."""
        self._stopping = True


def _decision_of(exchange: Exchange) -> Exchange:
    """What of an exchange its decision tells, as it is now; without its body, headers and claims being copied."""
    return Exchange(
        exchange.decision_id,
        exchange.started,
        exchange.bundle,
        exchange.source,
        exchange.request,
        exchange.principal,
        exchange.target,
        decision=exchange.decision,
        refusal=exchange.refusal,
        trace_id=exchange.trace_id,
    )


def _outcome_of(exchange: Exchange) -> Exchange:
    """What of an exchange its outcome tells; nothing that holds its flow."""
    return Exchange(
        exchange.decision_id,
        exchange.started,
        refusal=exchange.refusal,
        masks=exchange.masks,
        error=exchange.error,
        stage_us=dict(exchange.stage_us),
    )


def _shown(target: bytes) -> str:
    """The path of a masked request target."""
    return target.partition(b"?")[0].decode("utf-8", "backslashreplace")
