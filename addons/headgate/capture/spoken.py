"""One message of a WebSocket as it is kept: what went on, as far as recorders may see it.

It is handed over when it goes on, not when the socket ends, so that nothing piles up in memory meanwhile; that its
flow is recorded only later, or with a crash never, is why it goes by its decision's id.
"""

from dataclasses import dataclass, field

from headgate.capture.record import MAX_BODY

TEXT, BINARY = "text", "binary"


@dataclass(frozen=True, slots=True)
class Spoken:
    """The `n`-th message of its flow, counted from 0, of `size` bytes; None as `body`: nothing of it may be shown.
    `full`: whether bodies are kept at all."""

    decision_id: str
    flow_id: str
    n: int
    time: float
    from_client: bool
    kind: str
    body: bytes | None = field(repr=False)
    size: int
    full: bool = True

    @property
    def kept(self) -> bytes:
        return (self.body or b"")[:MAX_BODY] if self.full else b""

    @property
    def truncated(self) -> bool:
        return self.full and (self.body is None or len(self.body) > MAX_BODY)

    @property
    def weight(self) -> int:
        """About how many bytes it keeps in memory until it is written."""
        return 512 + len(self.body or b"")
