"""The guard: every flow starts refused, and only one that each due stage has passed is let go.

It calls the guardrails itself, in order, and stops at the first refusal. While other addons look at a request, a
refusal stands on it; afterwards it is lifted only if nothing that was judged has changed. A response is taken off the
flow before anybody sees it and comes back masked. What fails, hangs or is cancelled on the way in ends in 503, on the
way out in 502: whatever a stage raises is caught in `passage`, whatever the guard itself does, here.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from mitmproxy import connection, hooks, http
from mitmproxy.flow import Error, Flow
from mitmproxy.proxy import layer, server_hooks

from headgate.match import WEBSOCKET, effective_method
from headgate.model import BundleRef, Exchange, Refusal, guard_error, malformed, ulid, withheld
from headgate.proxy import layers
from headgate.proxy.answers import answer, marker, stand_in, verdict_line
from headgate.proxy.dispatch import OF_A_SOCKET
from headgate.proxy.faults import describe, error_text
from headgate.proxy.flowing import Opening
from headgate.proxy.handshakes import Handshakes, always_whole
from headgate.proxy.held import Held, request_state, response_state, say_length
from headgate.proxy.passage import run, run_out
from headgate.proxy.passing import Passing
from headgate.proxy.sockets import Connections, Sockets, no_connections
from headgate.proxy.stages import NO_STAGES, Stages
from headgate.proxy.streaming import Streams
from headgate.proxy.switching import opens
from headgate.proxy.wire import Wire

log = logging.getLogger(__name__)

CUT_OFF = 1024 * 1024
"""A refused request that announces a longer body, or none of known length, is cut off rather than read."""

ABANDONED = 5.0
"""Seconds after its client has gone in which a flow must have come to an end."""


class Guard:
    """Stands around the dispatch (see `dispatch.Around`); refuses everything until it has rules and stages."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._held: dict[str, Held] = {}
        self._abandoned: set[asyncio.Task[None]] = set()
        self.wire = Wire(self._held)
        self.sockets = Sockets(self._held)
        self.streams = Streams(self._held)
        self._clock = clock
        self._bundle: Callable[[], BundleRef | None] = lambda: None
        self.exchanges: Mapping[str, Held] = MappingProxyType(self._held)
        self.stages = NO_STAGES
        self.handshakes = Handshakes()
        self._before: Mapping[str, Callable[[Any], Awaitable[bool] | bool]] = {
            "requestheaders": self._requestheaders,
            "request": self._request,
            "responseheaders": self._responseheaders,
            "response": self._response,
            "error": self._error,
            "http_connect": self._http_connect,
            "http_connect_upstream": self.wire.tunnelling,
            "server_connect": self.wire.dialling,
            "client_connected": layers.only_tcp,
            "client_disconnected": self._client_disconnected,
            "tls_established_client": self.handshakes.established,
            "websocket_start": self.sockets.started,
            "headgate_passing": self.sockets.judge,
            "headgate_opening": self.streams.open,
            "websocket_message": self.sockets.heard,
            "websocket_end": self.sockets.ended,
            **dict.fromkeys(layers.OTHER_HOOKS, layers.refuse_flow),
            **dict.fromkeys(layers.OTHER_STARTS, self._refuse_other),
        }
        self._after: Mapping[str, Callable[[Any], None]] = {
            "requestheaders": self._seal_request,
            "request": self._release_request,
            "responseheaders": self._seal_response,
            "response": self._seal_answer,
            "error": self._forget,
            "http_connect": self._seal_connect,
            "server_connect": self.wire.permit_dial,
            "server_connected": lambda data: self.wire.send_as_judged(data.client),
            "tls_established_server": lambda data: self.wire.send_as_judged(data.context.client),
            "http_connect_upstream": self.wire.tunnel_as_judged,
            "tls_clienthello": layers.never_ignored,
            "tls_start_client": always_whole,
            "next_layer": layers.only_http,
            **dict.fromkeys(OF_A_SOCKET, self.sockets.seal),
            "update": self._updated,
        }

    def begin(
        self, stages: Stages, bundle: Callable[[], BundleRef | None], connections: Connections = no_connections
    ) -> None:
        """Judge from now on by `stages`, and by the rules that `bundle` returns at the start of each request."""
        self.stages, self._bundle = stages, bundle
        self.sockets.stages, self.sockets.connections = stages.sockets, connections
        self.streams.stages, self.streams.connections = stages.streams, connections

    def close(self, held: Held, refusal: Refusal) -> None:
        """End an exchange that is under way with this refusal."""
        ending = self.streams if held.flowing else self.sockets
        ending.close(held, refusal)

    # -- around the dispatch ------------------------------------------------------------------------------------------

    def before(self, event: hooks.Hook) -> Awaitable[bool] | bool:
        judge = self._before.get(event.name)
        if judge is None:
            return True
        subject = event.args()[0]
        try:
            verdict = judge(subject)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must end in a refusal
            return self._collapse(subject, error)
        return verdict if verdict is True or verdict is False else self._finish(verdict, subject)

    async def _finish(self, verdict: Awaitable[bool], subject: Any) -> bool:
        try:
            return await verdict
        except Exception as error:  # noqa: BLE001 - as above, for what is awaited
            return self._collapse(subject, error)

    def after(self, event: hooks.Hook) -> None:
        seal = self._after.get(event.name)
        if seal is None:
            return
        subject = event.args()[0]
        try:
            seal(subject)
        except Exception as error:  # noqa: BLE001 - the last word must be a refusal, too
            self._collapse(subject, error)

    def _collapse(self, subject: Any, error: Exception) -> bool:
        """The guard itself failed: nothing of this flow goes on, and no addon hears of it."""
        log.error("the guard failed and refuses: %s", describe(error))
        if isinstance(subject, http.HTTPFlow):
            held = self._hold(subject, guard_error("guard-failed"))
            held.error = held.error or type(error).__name__
            subject.request = held.stub()
            self._put_answer(held)
            subject.intercepted = False
        elif isinstance(subject, Passing):
            subject.out = None
            if subject.held:
                subject.held.refusal = subject.held.refusal or guard_error("guard-failed")
        elif isinstance(subject, Opening):
            subject.flowing, subject.refused = None, True
            self._hold(subject.flow, guard_error("guard-failed"))
        elif isinstance(subject, layer.NextLayer):
            subject.layer = layers.http_layer(subject.context)
        elif isinstance(subject, server_hooks.ServerConnectionHookData):
            subject.server.error = layers.REFUSED
        return False

    # -- the way in ---------------------------------------------------------------------------------------------------

    def _requestheaders(self, flow: http.HTTPFlow) -> Awaitable[bool] | bool:
        self._begin(flow)
        held = self._hold(flow, None, anew=True)
        flow.request.stream = False
        flow.metadata.clear()
        if flow.is_replay or not flow.live:
            held.refusal = guard_error("replayed-flow")
        elif flow.error:
            held.refusal, flow.request.headers = malformed("not-http"), http.Headers()  # their names may be anything
        elif held.bundle is None:
            held.refusal = guard_error("not-ready")
        elif pending := run(held, self.stages.on_requestheaders):
            return self._judged_later(held, pending)
        return self._judged(held)

    async def _judged_later(self, held: Held, pending: Awaitable[None]) -> bool:
        await pending
        return self._judged(held)

    def _judged(self, held: Held) -> bool:
        held.seen = request_state(held.flow, read=False)
        self._put_answer(held)
        return True

    def _seal_request(self, flow: http.HTTPFlow) -> None:
        held = self._of(flow)
        held.seal = self._seal_request
        self._refuse_changed(held)
        self._put_answer(held)
        flow.request.stream = False
        flow.intercepted = False
        if held.refusal and held.announces_more_than(CUT_OFF) and flow.killable:
            flow.kill()

    def _request(self, flow: http.HTTPFlow) -> Awaitable[bool] | bool:
        held = self._of(flow)
        self._refuse_changed(held)
        held.read = True
        if not held.refusal:
            say_length(flow.request)
            if pending := run(held, self.stages.on_request):
                return self._request_later(held, pending)
        return self._decided(held)

    async def _request_later(self, held: Held, pending: Awaitable[None]) -> bool:
        """What is sent upstream is masked by a worker; nobody else sees the flow before."""
        await pending
        return self._decided(held)

    def _decided(self, held: Held) -> bool:
        held.seen = request_state(held.flow, read=True)
        self._put_answer(held)
        return True

    def _release_request(self, flow: http.HTTPFlow) -> None:
        held = self._of(flow)
        held.seal, held.forwarded = self._release_request, False
        self._refuse_changed(held)
        flow.intercepted = False
        if flow.response is not held.answer:
            held.refusal = held.refusal or guard_error("answered-by-addon")
        if not held.allowed:
            held.refusal = held.refusal or guard_error("not-judged")
        if held.refusal:
            self._put_answer(held)
            return
        flow.response = held.answer = None
        held.forwarded = True
        self.wire.allow(flow.client_conn, (flow.request.host, flow.request.port))

    # -- the way out --------------------------------------------------------------------------------------------------

    def _responseheaders(self, flow: http.HTTPFlow) -> bool:
        held = self._of(flow)
        if not held.refusal and not held.forwarded:
            held.refusal = guard_error("not-judged")
        if not held.refusal and flow.response is not None:
            held.withheld = flow.response
            held.upgrading = opens(held.request, flow.response)
            if flow.response.status_code < 200 and not held.upgrading:
                held.refusal = withheld("unexpected-upgrade")
                layers.close_after(held.withheld)
            elif held.request and not held.upgrading and effective_method(held.request) == WEBSOCKET:
                held.refusal = withheld("not-upgraded")  # it was let on as a WebSocket: its answer is nobody's to read
        self._put_answer(held)
        return True

    def _seal_response(self, flow: http.HTTPFlow) -> None:
        held = self._of(flow)
        held.seal = self._seal_response
        if flow.response is not held.answer:
            flow.response = held.answer
        if flow.response is not None:
            flow.response.stream = False
        flow.intercepted = False

    async def _response(self, flow: http.HTTPFlow) -> bool:
        held = self._of(flow)
        if held.flowing:
            await self.streams.finish(held)
            return True
        if not held.refusal and held.withheld is not None and flow.response is not None:
            held.withheld.raw_content, held.withheld.trailers = flow.response.raw_content, flow.response.trailers
            held.withheld.timestamp_end = flow.response.timestamp_end
        elif not held.refusal:
            held.refusal = guard_error("not-judged")
        flow.response = None  # what stood in has been given the body that arrived
        if held.upgrading and not held.refusal:
            await self._open_socket(held)
        else:
            await self._finish_stages(held, self.stages.on_response, answers=True)
        self._mark(held)
        held.seen = response_state(flow)
        return True

    async def _open_socket(self, held: Held) -> None:
        """Release what opens it, unless its masked headers do so no longer, or somebody has refused."""
        self.sockets.open(held)
        with self.sockets.silence(held):
            await self._finish_stages(held, self.stages.on_response, answers=True)
        headers = held.for_caller[0] if held.for_caller else None
        if not held.refusal and not opens(held.request, held.flow.response, headers):
            held.refusal = withheld("not-masked")
            self._put_answer(held)
        if held.refusal:
            self.sockets.abandon(held)

    async def _error(self, flow: http.HTTPFlow) -> bool:
        held = self._of(flow)
        if held.flowing:
            await self.streams.finish(held)
        else:
            flow.response = None
            await self._finish_stages(held, self.stages.on_error, answers=False)
            self._mark(held)
        if flow.error:
            flow.error.msg = error_text(flow.error.msg)
        return True

    async def _finish_stages(self, held: Held, stages: tuple[tuple[str, Any], ...], *, answers: bool) -> None:
        """Mask, then record; what was not masked is gone from the flow before anything else can look."""
        held.finishing = True
        held.flow._backup = None  # another script's copy of the flow as it came: it would be shown and saved with it
        for name, hook in stages:
            await run_out(held, name, hook)
            self._settle(held, answers)
        self._settle(held, answers)

    def _settle(self, held: Held, answers: bool) -> None:
        """Leave on the flow what may be seen; with `answers` the caller is owed a response, if only a refusal."""
        flow = held.flow
        if not held.masked:
            held.masked, flow.request = True, held.stub()
            held.refusal = held.refusal or withheld("not-masked")
        if answers:
            if flow.response is None and not held.refusal:
                held.refusal = withheld("not-masked")
            if held.refusal:
                self._put_answer(held)
            elif flow.response and flow.response is not held.answer:
                layers.keep_for_caller(flow.response, held)
        held.answer = flow.response

    def _seal_answer(self, flow: http.HTTPFlow) -> None:
        held = self._of(flow)
        held.seal = self._seal_answer
        flow.intercepted = False
        if held.flowing:
            self.streams.seal(flow)
        elif flow.response is not held.answer or (flow.response and response_state(flow) != held.seen):
            held.refusal, flow.response = held.refusal or guard_error("response-changed"), None
            self._put_answer(held)
            held.seen = response_state(flow)
            self.sockets.abandon(held)
        held.ended = held.socket is None
        flow.websocket = held.socket.data if held.socket else None

    def _updated(self, flows: Any) -> None:
        """`update` follows every event of a flow and is the last to see it: what it changed does not count either."""
        for flow in flows:
            layers.never_held(flow)
            held = self._held.get(flow.id)
            if held is None or held.flow is not flow or held.seal is None:
                continue
            held.seal(flow)
            if held.ended:
                self._forget(flow)
            if held.ended or held.socket:
                layers.give_to_caller(flow, held)

    # -- tunnels and connections --------------------------------------------------------------------------------------

    def _http_connect(self, flow: http.HTTPFlow) -> Awaitable[bool] | bool:
        self._begin(flow)
        held = self._hold(flow, None, anew=True)
        if held.bundle is None:
            held.refusal = guard_error("not-ready")
        elif flow.is_replay or not flow.live:
            held.refusal = guard_error("replayed-flow")
        else:
            pending = run(held, self.stages.on_connect)
            if pending:
                return self._judge_tunnel_later(held, pending)
        return self._judge_tunnel(held)

    async def _judge_tunnel_later(self, held: Held, pending: Awaitable[None]) -> bool:
        await pending
        verdict = self._judge_tunnel(held)
        return verdict if verdict is True or verdict is False else await verdict

    def _judge_tunnel(self, held: Held) -> Awaitable[bool] | bool:
        self._put_answer(held, sentinel=False)
        held.seen = request_state(held.flow, read=False)
        return self._refuse_tunnel(held) if held.refusal else True

    async def _refuse_tunnel(self, held: Held) -> bool:
        await self._finish_stages(held, self.stages.on_response, answers=True)
        held.seen = request_state(held.flow, read=False)
        return True

    def _seal_connect(self, flow: http.HTTPFlow) -> None:
        held = self._of(flow)
        held.seal, held.ended = self._seal_connect, True
        self._refuse_changed(held)
        flow.intercepted = False
        flow.response = None  # whatever was made of it: a status below 300 would open the tunnel
        self._put_answer(held, sentinel=False)

    def _client_disconnected(self, client: connection.Client) -> bool:
        self.wire.ended(client)
        self.handshakes.ended(client)
        self.stages.client_disconnected(client)
        if any(held.client is client for held in self._held.values()):
            asyncio.get_running_loop().call_later(ABANDONED, self._give_up, client)
        return True

    def _give_up(self, client: connection.Client) -> None:
        """mitmproxy lets go of some flows without a word, such as requests with trailers over HTTP/1: end them here."""
        for held in list(self._held.values()):
            if held.client is client and held.socket:
                self.sockets.finish(held)
                self._forget(held.flow)
            elif held.client is client and not held.finishing:
                held.flow.error = held.flow.error or Error("Client disconnected.")
                task = asyncio.get_running_loop().create_task(self._abandon(held.flow))
                self._abandoned.add(task)
                task.add_done_callback(self._abandoned.discard)

    async def _abandon(self, flow: http.HTTPFlow) -> None:
        await self._finish(self._error(flow), flow)
        self._forget(flow)

    def _refuse_other(self, other: Flow) -> bool:
        """A flow of another type begins, which `layers` should have kept from being spoken: it goes on the record."""
        layers.refuse_flow(other)
        now = self._clock()
        exchange = Exchange(ulid(int(now * 1000), secrets.randbits(80)), now, refusal=malformed("not-http"))
        exchange.bundle, exchange.source = self._bundle(), other.client_conn.peername[0]
        self.stages.other(other, exchange)
        return False

    # -- what is known of a flow --------------------------------------------------------------------------------------

    def _begin(self, flow: http.HTTPFlow) -> None:
        """Fix what the connection has shown in TLS, before anything is judged or can fail."""
        if flow.live and not flow.is_replay:  # a replayed flow bears the id of a connection that it does not come by
            self.handshakes.begun(flow.client_conn)

    def _hold(self, flow: http.HTTPFlow, refusal: Refusal | None, *, anew: bool = False) -> Held:
        """What is known of `flow`; with `anew`, or when nothing is, it starts from nothing."""
        held = self._held.get(flow.id)
        if anew or held is None or held.flow is not flow:
            if held is not None:
                self._let_go(held, "replaced")
            now = self._clock()
            held = Held(ulid(int(now * 1000), secrets.randbits(80)), now, flow=flow, client=flow.client_conn)
            held.bundle = self._bundle()
            self._held[flow.id] = held
        held.refusal = held.refusal or refusal
        return held

    def _of(self, flow: http.HTTPFlow) -> Held:
        held = self._held.get(flow.id)
        if held is None or held.flow is not flow:
            return self._hold(flow, guard_error("not-judged"), anew=True)
        return held

    def _forget(self, flow: http.HTTPFlow) -> None:
        held = self._held.get(flow.id)
        if held is not None and held.flow is flow:
            self._let_go(held)
            del self._held[flow.id]

    def finish_all(self, error: str) -> None:
        """The proxy ends, and nobody will hear of what is still under way."""
        for held in list(self._held.values()):
            self._let_go(held, error)

    def _let_go(self, held: Held, error: str | None = None) -> None:
        """What became of it is final: the one place through which each exchange goes at its end."""
        if error and held.flow.response is None and not held.refusal:
            held.error = held.error or error
        try:
            self.stages.ended(held.flow, held.passed_on)
        except Exception as failure:  # noqa: BLE001 - it has ended, and must not stay in memory
            log.error("the end of decision %s is not in the audit log: %s", held.decision_id, describe(failure))

    def _refuse_changed(self, held: Held) -> None:
        if not held.refusal and request_state(held.flow, read=held.read) != held.seen:
            held.refusal = guard_error("request-changed")

    def _put_answer(self, held: Held, *, sentinel: bool = True) -> None:
        """Put the refusal on the flow; without one, a refusal that stands in until the last stage has passed."""
        flow = held.flow
        if flow.response is not None and flow.response is held.answer and held.answered is held.refusal:
            return
        if held.refusal:
            held.answer = answer(held.refusal, held.decision_id, held.method)
            if held.upgrading:  # the upstream speaks WebSocket by now
                held.answer.headers["Connection"] = "close"
        elif sentinel:
            held.answer = held.spare = held.spare or stand_in(held.decision_id)
        else:
            held.answer = None
        flow.response, held.answered = held.answer, held.refusal

    def _mark(self, held: Held) -> None:
        held.flow.marked = marker(held)
        held.flow.comment = verdict_line(held)
