"""What goes to and fro between a WebSocket and the guard: each thing said, on its way, and the order to end."""

from dataclasses import dataclass, field
from enum import Enum, auto

from mitmproxy import http
from mitmproxy.proxy import commands, events
from wsproto.frame_protocol import CloseReason

from headgate.model import Refusal, guard_error
from headgate.proxy.held import Held

TOO_LONG = "message-too-long"
NOT_JUDGED = guard_error("not-judged")


class Sort(Enum):
    TEXT = auto()
    BINARY = auto()
    PING = auto()
    PONG = auto()
    CLOSE = auto()
    EXCESS = auto()  # a message that grows too long, or more of them than can be judged
    PAUSE = auto()  # no message has followed for a while


@dataclass(slots=True, eq=False)
class Passing:
    """Something that one peer has said; it goes on as `out`, and not before the guard has set that. `before` are text
    messages that go on before it: what was held back of those that this peer has said earlier."""

    flow: http.HTTPFlow = field(repr=False)
    sort: Sort
    from_client: bool
    content: bytes = field(default=b"", repr=False)
    code: int | None = None  # of a close frame
    held: Held | None = field(default=None, repr=False)
    out: bytes | None = field(default=None, repr=False)
    before: list[bytes] = field(default_factory=list, repr=False)

    @property
    def refusal(self) -> Refusal | None:
        """Why it may not go on: asked anew each time, for the connection may be closed while others look on."""
        if self.held is None:
            return NOT_JUDGED
        return self.held.refusal or (NOT_JUDGED if self.out is None else None)


@dataclass
class PassingHook(commands.StartHook):
    """Heard by the guard alone."""

    passing: Passing
    name = "headgate_passing"


class Ending(events.MessageInjected[Refusal]):
    """The guard ends this WebSocket."""


class Pausing(events.MessageInjected[bool]):
    """Nothing has followed for a while on what this WebSocket's client (true) or server has said."""


def close_code(refusal: Refusal) -> CloseReason:
    """What a close frame says of a refusal (RFC 6455, section 7.4.1)."""
    if refusal.reason == TOO_LONG:
        return CloseReason.MESSAGE_TOO_BIG
    return CloseReason.INTERNAL_ERROR if refusal.status >= 500 else CloseReason.POLICY_VIOLATION
