"""All guardrails, put together: the only place that knows every stage and their order."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

from mitmproxy import connection, flow, http

from headgate.audit.addon import Audit
from headgate.capture.addon import Capture
from headgate.capture.spoken import Spoken
from headgate.identity.addon import Identity
from headgate.masking.addon import Masking
from headgate.masking.due import Due
from headgate.masking.plan import CannotMask, Plan
from headgate.masking.socketmask import SocketMask
from headgate.masking.streaming import StreamMask
from headgate.model import BundleRef, Exchange, Refusal, guard_error
from headgate.policy.addon import Policy


def _unrecorded(exchange: Exchange, _spoken: Spoken) -> None:
    exchange.refusal = exchange.refusal or guard_error("not-ready")


Async = Callable[[http.HTTPFlow], Awaitable[None] | None]
Other = Callable[[flow.Flow, Exchange], None]


@dataclass(frozen=True, slots=True)
class SocketStages:
    """What is due while a WebSocket is open: masking (`due` says by what, `open` makes what does it for one direction,
    `messages` does it); capture of each message that goes on, and at its end."""

    due: Callable[[Exchange], Due]
    open: Callable[[Plan], Awaitable[SocketMask]]
    messages: Callable[[SocketMask, bytes], Awaitable[list[bytes]]]
    closed: Callable[[http.HTTPFlow, int, int], None]
    said: Callable[[Exchange, Spoken], None]


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


NO_SOCKETS = SocketStages(_cannot, _cannot, _cannot, lambda _flow, _sent, _received: None, _unrecorded)
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
    other: Other = lambda _flow, _exchange: None
    ended: Callable[[http.HTTPFlow, int], None] = lambda _flow, _size: None  # the last that anybody hears of a flow


NO_STAGES = Stages((), (), (), (), (), lambda _client: None)
"""Before the rules are loaded: with no stage to pass, nothing passes."""


def _both(first: Other, second: Other) -> Other:
    def told(refused: flow.Flow, exchange: Exchange) -> None:
        try:
            first(refused, exchange)
        finally:
            second(refused, exchange)

    return told


def _after(taken: Callable[[http.HTTPFlow], None], mask: Async) -> Async:
    """One stage, for the guard lets nothing stay on a flow after the first of them but what is masked."""

    def stage(judged: http.HTTPFlow) -> Awaitable[None] | None:
        taken(judged)
        return mask(judged)

    return stage


def compose(
    identity: Identity, policy: Policy, masking: Masking, capture: Capture, audit: Audit, *, originals: bool = False
) -> Stages:
    """The chain: hygiene and identity, policy; masking, capture. Nothing starts that could not be recorded, and nothing
    goes on before its decision is in the audit log. With `originals`, capture refers to what travels before it is
    masked."""
    taken = (("capture", capture.request),) if originals else ()
    mask: Async = masking.response
    mask_error: Async = masking.error
    if originals:
        mask, mask_error = _after(capture.before_masking, mask), _after(capture.before_masking, mask_error)
    return Stages(
        on_connect=(
            ("capture", capture.requestheaders),
            ("audit", audit.requestheaders),
            ("identity", identity.http_connect),
            ("policy", policy.http_connect),
        ),
        on_requestheaders=(
            ("capture", capture.requestheaders),
            ("audit", audit.requestheaders),
            ("identity", identity.requestheaders),
            ("policy", policy.requestheaders),
        ),
        on_request=(
            ("identity", identity.request),
            *taken,
            ("policy", policy.request),
            ("masking", masking.request),
            ("assertion", identity.vouch),
            ("audit", audit.request),
        ),
        on_response=(("masking", mask), ("capture", capture.response)),
        on_error=(("masking", mask_error), ("capture", capture.error)),
        client_disconnected=identity.client_disconnected,
        sockets=SocketStages(masking.due, masking.sockets.open, masking.sockets.messages, capture.closed, capture.said),
        streams=StreamStages(masking.stream, masking.due, capture.keep, masking.streamed, capture.closed),
        again=lambda exchange, bundle: identity.again(exchange) or policy.again(exchange, bundle),
        other=_both(capture.refused, audit.other),
        ended=audit.ended,
    )
