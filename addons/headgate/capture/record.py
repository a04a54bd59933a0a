"""What is kept of one exchange, as plain values.

A `Record` only refers to what the flow already holds (the tuples of its header fields, the bytes of its bodies), so
that making one costs the event loop next to nothing; turning it into text, hashes and rows is the writer's work. It
is made from a flow that has been masked, and holds headers, bodies and query only when the exchange says so. Nobody
changes one; that they could be changed is what makes them in a third of the time that frozen ones take.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.capture.connection import Connection
from headgate.model import BundleRef, Decision, Effect, Exchange, Later, MaskCount, Principal, Refusal, Target

if TYPE_CHECKING:
    from headgate.capture.sealing import Original

Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields as they travelled: (name, value), in order."""

MAX_BODY = 1024 * 1024
"""Bytes of a body that are kept; a longer one is cut there and marked."""

OBSERVE = "observe"
"""The mode of a decision that was recorded and not enforced."""

IMPORTED = "imported"
"""The mode of a flow from elsewhere, about which nobody has decided."""

UNJUDGED = "not-judged"
"""The reason of an exchange that ended before anybody decided: nothing of it went on."""


class Kind(StrEnum):
    """What a flow is of."""

    HTTP = "http"
    WEBSOCKET = "websocket"
    TCP = "tcp"


class Mode(StrEnum):
    """How much is kept: `metadata` leaves out headers, bodies and the values of the query; `sealed` keeps beside the
    masked record the original, for the holder of a key."""

    MASKED = "masked"
    SEALED = "sealed"
    METADATA = "metadata"
    OFF = "off"


@dataclass(slots=True)
class Line:
    """Where a request went, as the scrubbed flow shows it; `target` is path and query."""

    method: bytes
    scheme: str
    host: str
    port: int
    target: bytes
    version: bytes


@dataclass(slots=True)
class Message:
    """One direction; `size` counts the bytes of the whole body, of which `body` may be only the beginning."""

    headers: Fields = ()
    body: bytes = b""
    size: int = 0


@dataclass(slots=True)
class Record:
    """One exchange as it is kept: who, what, which rules, what came of it. `claims` are those the rules may read;
    `signals` those that were set when the request came (None: not known). `nearest` works out, when the record is
    written, which rule came nearest to allowing it, and holds so many bytes of memory (`held`) until then. `original`
    is what travelled before masking, to be sealed."""

    decision_id: str
    flow_id: str
    mode: Mode
    started: float
    ended: float | None
    source: str
    line: Line
    principal: Principal | None
    claims: tuple[str, ...]
    bundle: BundleRef | None
    target: Target | None
    decision: Decision | None
    refusal: Refusal | None
    status: int | None
    request: Message
    response: Message | None
    masks: tuple[MaskCount, ...]
    stage_us: Mapping[str, int]
    error: str | None
    trace_id: str | None = None
    trace_link: str | None = None
    nearest: Later | None = field(default=None, repr=False)
    held: int = 0
    kind: str = Kind.HTTP
    connection: Connection | None = None
    signals: frozenset[str] | None = None
    approval_id: str | None = None
    original: "Original | None" = field(default=None, repr=False)

    @property
    def weight(self) -> int:
        """About how many bytes it keeps in memory until it is written."""
        answered = len(self.response.body) if self.response else 0
        sealed = self.original.weight if self.original else 0
        return 2048 + len(self.request.body) + answered + self.held + sealed

    @property
    def effect(self) -> Effect:
        """What policy said; a refusal before policy was asked is a deny."""
        return self.decision.effect if self.decision else Effect.DENY

    @property
    def mode_of_decision(self) -> str:
        return OBSERVE if self.decision and self.decision.observed else "enforce"

    @property
    def reason(self) -> str:
        if self.decision:
            return self.decision.reason
        return self.refusal.reason if self.refusal else UNJUDGED


def message_of(fields: Fields, body: bytes | None, mode: Mode) -> Message:
    """A message of a flow, as far as `mode` lets it be kept."""
    size = len(body) if body else 0
    if mode is not Mode.MASKED:
        return Message(size=size)
    if body and size > MAX_BODY:
        body = body[:MAX_BODY]
    return Message(fields, body or b"", size)


def record_of(
    exchange: Exchange,
    flow_id: str,
    line: Line,
    request: Message,
    response: Message | None,
    *,
    mode: Mode,
    ended: float | None,
    status: int | None,
    error: str | None,
    claims: tuple[str, ...] = (),
    kind: str = Kind.HTTP,
    connection: Connection | None = None,
    original: "Original | None" = None,
) -> Record:
    """The record of `exchange`; the caller gets the refusal's status whatever stands on the flow."""
    sent = exchange.request
    place = Line(line.method, sent.scheme, sent.host, sent.port, line.target, line.version) if sent else line
    return Record(
        exchange.decision_id,
        flow_id,
        mode,
        exchange.started,
        ended,
        exchange.source,
        place,
        exchange.principal,
        claims,
        exchange.bundle,
        exchange.target,
        exchange.decision,
        exchange.refusal,
        exchange.refusal.status if exchange.refusal else status,
        request,
        response,
        exchange.masks,
        dict(exchange.stage_us),
        exchange.error or error,
        exchange.trace_id,
        exchange.trace_link,
        exchange.nearest,
        len(sent.body) if sent and sent.body and exchange.nearest else 0,
        kind,
        connection,
        exchange.signals,
        None,
        original,
    )


def verdict(effect: str, refusal: str | None, error: str | None, mode: str) -> str:
    """One word for what became of a request: allowed, refused, withheld or failed, or observed for one that policy
    would have refused if it were enforced; or imported for one that nobody has decided about."""
    if mode == IMPORTED:
        return IMPORTED
    if refusal:
        return "withheld" if refusal == "withheld" else "refused"
    if effect != Effect.ALLOW and mode != OBSERVE:
        return "refused"
    if error:
        return "failed"
    return "allowed" if effect == Effect.ALLOW else "observed"
