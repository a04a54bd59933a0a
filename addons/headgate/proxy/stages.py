"""All guardrails, put together: the only place that knows every stage and their order."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

from mitmproxy import connection, http

from headgate.capture.addon import Capture
from headgate.identity.addon import Identity
from headgate.masking.addon import Masking
from headgate.masking.due import Due
from headgate.masking.plan import CannotMask, Plan
from headgate.masking.socketmask import SocketMask
from headgate.masking.streaming import StreamMask
from headgate.model import BundleRef, Exchange, Refusal, guard_error
from headgate.policy.addon import Policy

Async = Callable[[http.HTTPFlow], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class SocketStages:
    """What is due while a WebSocket is open: masking (`due` says by what, `open` makes what does it for one direction,
    `messages` does it); capture at its end."""

    due: Callable[[Exchange], Due]
    open: Callable[[Plan], Awaitable[SocketMask]]
    messages: Callable[[SocketMask, bytes], Awaitable[list[bytes]]]
    closed: Callable[[http.HTTPFlow, int, int], None]


@dataclass(frozen=True, slots=True)
class StreamStages:
    """What is due for a response that may flow: `mask` says by what (None: it is masked as a whole), `due` what that
    would be now; `keep` refuses what could not be recorded; `finish` masks the request at the end, `closed` records."""

    mask: Callable[[http.HTTPFlow], Awaitable[StreamMask | None]]
    due: Callable[[Exchange], Due]
    keep: Async
    finish: Async
    closed: Callable[[http.HTTPFlow, int, int], None]


def _cannot(*_: object) -> NoReturn:
    raise CannotMask("masks-not-known")


def _not_ready(_exchange: Exchange, _bundle: BundleRef) -> Refusal:
    return guard_error("not-ready")


NO_SOCKETS = SocketStages(_cannot, _cannot, _cannot, lambda _flow, _sent, _received: None)
NO_STREAMS = StreamStages(_cannot, _cannot, _cannot, _cannot, lambda _flow, _sent, _received: None)


@dataclass(slots=True)
class Stages:
    """For each hook, the stages due in their order, each with the name that refusals and records give it."""

    on_connect: tuple[tuple[str, Async], ...]
    on_requestheaders: tuple[tuple[str, Async], ...]
    on_request: tuple[tuple[str, Async], ...]
    on_response: tuple[tuple[str, Async], ...]
    on_error: tuple[tuple[str, Async], ...]
    client_disconnected: Callable[[connection.Client], None]
    sockets: SocketStages = NO_SOCKETS
    again: Callable[[Exchange, BundleRef], Refusal | None] = _not_ready
    streams: StreamStages = NO_STREAMS


NO_STAGES = Stages((), (), (), (), (), lambda _client: None)
"""Before the rules are loaded: with no stage to pass, nothing passes."""


def compose(identity: Identity, policy: Policy, masking: Masking, capture: Capture) -> Stages:
    """The chain: hygiene and identity, policy; masking, capture. Nothing starts that could not be recorded."""
    return Stages(
        on_connect=(
            ("capture", capture.requestheaders),
            ("identity", identity.http_connect),
            ("policy", policy.http_connect),
        ),
        on_requestheaders=(
            ("capture", capture.requestheaders),
            ("identity", identity.requestheaders),
            ("policy", policy.requestheaders),
        ),
        on_request=(
            ("identity", identity.request),
            ("policy", policy.request),
            ("masking", masking.request),
            ("assertion", identity.vouch),
        ),
        on_response=(("masking", masking.response), ("capture", capture.response)),
        on_error=(("masking", masking.error), ("capture", capture.error)),
        client_disconnected=identity.client_disconnected,
        sockets=SocketStages(masking.due, masking.sockets.open, masking.sockets.messages, capture.closed),
        streams=StreamStages(masking.stream, masking.due, capture.keep, masking.streamed, capture.closed),
        again=lambda exchange, bundle: identity.again(exchange) or policy.again(exchange, bundle),
    )
