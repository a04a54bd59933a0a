"""What the guard knows of one WebSocket: what masks its messages, how much has passed, and what of it may be shown.

mitmproxy keeps every message for as long as a connection lives. Here only the last ones stay, as recorders may see
them: masked, and without credentials. Every one of them has been handed to the record by then, as it is shown.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from mitmproxy.websocket import WebSocketData, WebSocketMessage, WebSocketMessageState
from wsproto.frame_protocol import Opcode

from headgate.capture.spoken import BINARY, TEXT, Spoken
from headgate.masking.due import Due
from headgate.masking.messages import Unshown
from headgate.masking.plan import Plan
from headgate.model import Exchange
from headgate.proxy.speech import Speech

MOST_SHOWN = 100
LARGEST_SHOWN = 1024 * 1024
"""Messages, and bytes of them together, that stay on the flow of one WebSocket."""

MOST_PINGS = 16
"""Pings in each direction that may wait for their pong; of older ones the pong comes back empty."""


@dataclass(slots=True)
class Traffic:
    """What has passed in one direction."""

    messages: int = 0
    size: int = 0


@dataclass(slots=True)
class Pings:
    """Pings that wait for their pong. What a peer puts into one may be what masks are for, so that where any are due
    the other gets a number in its stead, and the peer its own bytes back; what was not asked for, it gets not at all.
    """

    of_client: deque[tuple[bytes, bytes]] = field(default_factory=lambda: deque(maxlen=MOST_PINGS), repr=False)
    of_server: deque[tuple[bytes, bytes]] = field(default_factory=lambda: deque(maxlen=MOST_PINGS), repr=False)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ping(self, payload: bytes, *, from_client: bool, masked: bool) -> bytes:
        sent = b"%d" % next(self.numbers) if masked else payload
        (self.of_client if from_client else self.of_server).append((sent, payload))
        return sent

    def pong(self, payload: bytes, *, from_client: bool, masked: bool) -> bytes:
        """`masked`: what this peer says is."""
        asked = self.of_server if from_client else self.of_client
        return next((own for sent, own in asked if sent == payload), b"" if masked else payload)


@dataclass(slots=True)
class Socket:
    """One WebSocket that has been let open; `opened` is of a clock that does not leap."""

    due: Due
    opened: float
    data: WebSocketData = field(default_factory=WebSocketData, repr=False)
    sent: Traffic = field(default_factory=Traffic)
    received: Traffic = field(default_factory=Traffic)
    pings: Pings = field(default_factory=Pings, repr=False)
    messages: list[WebSocketMessageState] = field(default_factory=list, repr=False)  # what `data` has to show
    shown: int = 0  # bytes of them
    numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)  # of messages, for the record
    speeches: dict[bool, Speech] = field(default_factory=dict, repr=False)  # by whether the client speaks
    started: bool = False
    over: bool = False

    def plan(self, *, from_client: bool) -> Plan | None:
        """What masks messages in this direction; None where nothing in them has to be masked."""
        return _reading(self.due.request if from_client else self.due.caller)

    @property
    def recorded(self) -> Plan | None:
        """What masks messages as recorders see them."""
        return _reading(self.due.record)

    def count(self, size: int, *, from_client: bool) -> None:
        traffic = self.sent if from_client else self.received
        traffic.messages += 1
        traffic.size += size

    def show(self, content: bytes, *, from_client: bool, is_text: bool, now: float) -> None:
        """Put a message on the flow, and take the oldest off it."""
        message = WebSocketMessage(Opcode.TEXT if is_text else Opcode.BINARY, from_client, content, now)
        self.data.messages.append(message)
        self.messages.append(message.get_state())
        self.shown += len(content)
        while len(self.messages) > MOST_SHOWN or self.shown > LARGEST_SHOWN:
            _, _, oldest, *_ = self.messages.pop(0)
            self.shown -= len(oldest)
            del self.data.messages[:1]

    def restore(self) -> None:
        """Show the messages as they are, whatever has been made of them."""
        if [message.get_state() for message in self.data.messages] != self.messages:
            self.data.messages[:] = [WebSocketMessage(*state) for state in self.messages]


def spoken(
    exchange: Exchange, flow_id: str, socket: Socket, content: bytes, *, from_client: bool, is_text: bool, now: float
) -> Spoken:
    """A message as it is recorded: as it is shown, or where it is not, its size."""
    return Spoken(
        exchange.decision_id,
        flow_id,
        next(socket.numbers),
        now,
        from_client,
        TEXT if is_text else BINARY,
        None if isinstance(content, Unshown) else content,
        content.length if isinstance(content, Unshown) else len(content),
    )


def _reading(plan: Plan | None) -> Plan | None:
    return plan if plan is not None and plan.reads_body else None
