"""What a capture is asked for, and what it answers, as plain values."""

from dataclasses import dataclass
from typing import Any

from headgate.capture.record import verdict


@dataclass(frozen=True, slots=True)
class Filter:
    """Which flows; `host` may hold `*`, `since` is in seconds since the epoch."""

    principal: str | None = None
    host: str | None = None
    effect: str | None = None
    reason: str | None = None
    refused: bool = False
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A flow in one line. `refusal` is None for what was released; `kind` is the caller's, `flow_kind` the flow's."""

    decision_id: str
    flow_id: str
    time: float
    ended: float | None
    principal: str | None
    kind: str | None
    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str | None
    status: int | None
    effect: str
    mode: str
    reason: str
    rule: str | None
    refusal: str | None
    refusal_reason: str | None
    masked: int
    error: str | None
    flow_kind: str = "http"

    @property
    def verdict(self) -> str:
        return verdict(self.effect, self.refusal, self.error, self.mode)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One direction as recorded; `headers` is None where only metadata was kept."""

    headers: tuple[tuple[str, str], ...] | None
    body: bytes
    size: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything about one flow; the mappings are as in the record that interfaces describe. `issued_at` is when the
    caller's session began, in seconds since the epoch. `kind` is http, websocket or tcp; `connection` says who was at
    its ends and when (connection.py); `signals` were set when the request came (None: not known); `sealed`: there is an
    original for who has the key."""

    summary: Summary
    mode: str
    source: str
    principal: dict[str, Any] | None
    bundle: dict[str, str] | None
    target: str | None
    environment: str | None
    query_names: list[str]
    rules: list[dict[str, Any]]
    masks: list[dict[str, Any]]
    stage_us: dict[str, int]
    shadow: list[dict[str, Any]]
    shadow_effect: str | None
    errors: list[str]
    limits: list[dict[str, Any]]
    violations: list[str]
    nearest: dict[str, Any] | None
    trace_id: str | None
    trace_link: str | None
    issued_at: float | None
    request: Recorded
    response: Recorded | None
    kind: str = "http"
    connection: dict[str, Any] | None = None
    signals: list[str] | None = None
    sealed: bool = False
    approval_id: str | None = None
    http_version: str | None = None


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """What one peer of a WebSocket or of a TCP flow has said; `body` is empty where it could not be shown."""

    n: int
    time: float
    from_client: bool
    kind: str
    body: bytes
    size: int
    truncated: bool
