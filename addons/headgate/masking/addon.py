"""Mask what a response may not reveal before anything else sees it, and what recorders are shown of its request."""

from collections.abc import Awaitable, Callable, Mapping

from mitmproxy import http
from mitmproxy.net.http import status_codes

from headgate.masking.credentials import without_credentials
from headgate.masking.detection.budget import OverBudget
from headgate.masking.due import NOTHING, Due, due, everything
from headgate.masking.headers import not_cached
from headgate.masking.inline import Inline
from headgate.masking.job import Done, Job, run
from headgate.masking.negotiation import narrowed
from headgate.masking.plan import CannotMask, Detect, Fields, Plan
from headgate.masking.record import recordable
from headgate.masking.response import Received, without_stray_body
from headgate.masking.rules import MaskingRules
from headgate.masking.scrub import Sent, outline, shown_method
from headgate.masking.socketmask import SocketMasking
from headgate.masking.streaming import StreamMask, counted, flows, waits
from headgate.masking.workers import TOO_SLOW, Workers
from headgate.model import Exchange, withheld

INLINE = 8 * 1024
INLINE_WORK = 3000
"""Bytes, and commas, colons and brackets times passes over them, that may be masked without a worker: about 1 ms."""

DETECT_INLINE = 2 * 1024
DETECT_UNITS = 16 * 1024
"""Bytes of a body, and units of the detector's work, up to which is detected without a worker: about 1 ms, too."""

DETECT_CHUNK = 1024 * 1024
"""Units of the detector's work that one chunk of a stream may take: a chunk has up to 64 kB."""


class Masking:
    """`rules` gives the masks of the bundle that an exchange keeps to its end, and `token_key` the key of these."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        rules: Callable[[Exchange], MaskingRules],
        workers: Workers,
        token_key: Callable[[MaskingRules], bytes] = lambda _rules: b"",
        inline: Inline | None = None,
    ) -> None:
        self._exchanges, self._rules, self._workers, self._token_key = exchanges, rules, workers, token_key
        self.inline = inline or Inline()
        self.sockets = SocketMasking(workers, self.inline)

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Mask what is sent upstream, where that is due; everybody before has seen what the caller sent."""
        exchange = self._exchanges[flow.id]
        _, _, plan, _ = due = self.due(exchange)
        if due.caller and due.caller.reads_body:
            flow.request.headers = http.Headers(narrowed(flow.request.method, flow.request.headers.fields))
        if plan is None:
            return None
        sent = Sent(flow.request.data.path, flow.request.headers.fields, flow.request.raw_content or b"")
        return self._send_masked(flow.request, exchange, Job(plan, None, sent, None, upstream=True))

    async def _send_masked(self, request: http.Request, exchange: Exchange, job: Job) -> None:
        done = await self._mask(job)
        if done.refused:
            exchange.refusal = withheld(done.refused)
        elif done.sent != job.sent:
            _show(request, done.sent)

    async def response(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        await self._finish(flow, exchange, None if exchange.refusal else exchange.withheld)

    async def error(self, flow: http.HTTPFlow) -> None:
        flow.response = None
        await self._finish(flow, self._exchanges[flow.id], None)

    def due(self, exchange: Exchange) -> Due:
        """What is due for an exchange whose caller is known; CannotMask when that cannot be said."""
        if exchange.bundle is None or exchange.principal is None:
            raise CannotMask("masks-not-known")
        return self._due(exchange)

    def address(self, flow: http.HTTPFlow, plain: bool = False) -> str | None:
        """The path of a request that is about to go on as records may show it; None where that is not found out in a
        moment. A model and somebody's own recognizers may find something in any path, so that nothing of it is shown;
        others find nothing in a `plain` one, of words and small numbers."""
        record = self.due(self._exchanges[flow.id]).record
        if record and record.detect and (record.needs_model or record.recognizers):
            return ""
        if plain:
            record = None
        sent = Sent(flow.request.data.path.partition(b"?")[0], (), b"")
        done = self._at_once(Job(None, record, sent, None))
        return done.sent.path.decode("utf-8", "backslashreplace") if done else None

    async def stream(self, flow: http.HTTPFlow) -> StreamMask | None:
        """What masks a response that is about to flow; None if it is to be masked as a whole, CannotMask if not."""
        exchange = self._exchanges[flow.id]
        due, received = self.due(exchange), _received(flow.request, exchange.withheld)
        if not flows(received) or waits(due, received):
            return None
        if any(plan and plan.detect for plan in (due.caller, due.record)) and not await self.inline.wait():
            raise CannotMask(TOO_SLOW)
        return StreamMask(due, received, lambda plan: self.inline.detector(plan, DETECT_CHUNK))

    async def streamed(self, flow: http.HTTPFlow) -> None:
        """Its response has flowed: what is left to be masked is the request."""
        await self._finish(flow, self._exchanges[flow.id], None)

    async def _finish(self, flow: http.HTTPFlow, exchange: Exchange, upstream: http.Response | None) -> None:
        if upstream:
            _empty(flow.request, upstream)
        due = self._due(exchange) if exchange.bundle else NOTHING
        done = await self._masked(exchange, due, flow.request, upstream)
        if upstream:
            _answer(flow, exchange, upstream, done, due)
        _show(flow.request, done.sent)
        exchange.masked = True

    def _due(self, exchange: Exchange) -> Due:
        """Judged by the moment the request came, which its record tells: a slow upstream does not change the masks."""
        rules = self._rules(exchange)
        key = self._token_key(rules)
        if exchange.principal is None:
            return everything(rules, key)
        now, signals = exchange.started, exchange.signals
        return due(rules, exchange.principal, exchange.request, exchange.target, now=now, signals=signals, key=key)

    async def _masked(
        self, exchange: Exchange, due: Due, request: http.Request, upstream: http.Response | None
    ) -> Done:
        sent = Sent(request.data.path, request.headers.fields, request.raw_content or b"")
        if exchange.bundle is None or (due.record and exchange.principal is None):
            return Done(outline(sent), None, "masks-not-known")
        if upstream is not None and due.caller and upstream.raw_content is None:
            return Done(outline(sent), None, "body-missing")
        received = _received(request, upstream) if upstream and due.record else None
        return await self._mask(Job(due.caller, due.record, sent, received))

    async def _mask(self, job: Job) -> Done:
        """Here where it is certain to be quick, else in a worker; what no worker masks in time is not shown."""
        done = self._at_once(job)
        if done is not None:
            return done
        try:
            return await self._workers.run(job)
        except CannotMask as cannot:
            return Done(outline(job.sent), None, cannot.reason)

    def _at_once(self, job: Job) -> Done | None:
        """The outcome, if it can be had without holding up the event loop for more than a moment."""
        if not _quick(job, detects=self.inline.ready):
            return None
        try:
            return run(job, self._detector)
        except OverBudget:
            return None

    def _detector(self, plan: Plan) -> Detect:
        return self.inline.detector(plan, DETECT_UNITS)


def _received(request: http.Request, upstream: http.Response) -> Received:
    trailers = upstream.trailers.fields if upstream.trailers else ()
    headers = upstream.headers.fields
    return Received(request.method, upstream.status_code, headers, upstream.raw_content or b"", trailers)


def _empty(request: http.Request, upstream: http.Response) -> None:
    """Take away a body that may not be there: nobody looks for one, so that nothing in it would be masked."""
    received = _received(request, upstream)
    if (emptied := without_stray_body(received)) is not received:
        upstream.headers, upstream.raw_content = http.Headers(emptied.headers), emptied.body


def _quick(job: Job, *, detects: bool) -> bool:
    """Whether masking is certain to hold up the event loop for no more than a moment, if detection is here too."""
    plans = [plan for plan in {job.plan, job.record} if plan is not None]
    if any(plan.detect and (plan.needs_model or plan.recognizers or not detects) for plan in plans):
        return False  # a pattern that somebody has written may run away
    if any(not plan.linear for plan in plans):
        return False
    if not any(plan.reads_body for plan in plans):
        return True
    messages = [(job.sent.headers, job.sent.body)]
    if job.received:
        messages.append((job.received.headers, job.received.body))
    most = DETECT_INLINE if any(plan.detect for plan in plans) else INLINE
    if sum(len(body) for _, body in messages) > most:
        return False
    work = sum(body.count(mark) for _, body in messages for mark in (b",", b":", b"[", b"{"))
    coded = any(name.lower() == b"content-encoding" for headers, _ in messages for name, _ in headers)
    passes = sum(1 + len(plan.paths) + len(plan.encoded) for plan in plans)
    return not coded and work * passes <= INLINE_WORK


def _show(request: http.Request, sent: Sent) -> None:
    """Leave on the flow what may be looked at; it has been forwarded already, or never will be."""
    request.data.path, request.headers, request.raw_content = sent.path, http.Headers(sent.headers), sent.body
    request.data.method = shown_method(request.data.method)
    request.trailers = None


def _answer(flow: http.HTTPFlow, exchange: Exchange, upstream: http.Response, done: Done, due: Due) -> None:
    """Give the caller the masked response, or the reason why there is none."""
    if done.refused or (due.caller and not done.masked):
        exchange.refusal = withheld(done.refused or "not-masked")
        return
    excepted = due.record is not None and due.record != due.caller
    shown = _recorded(done, upstream) if excepted else None
    if done.masked:
        upstream.headers = http.Headers(done.masked.headers)
        upstream.raw_content = upstream.raw_content if done.masked.body is None else done.masked.body
        exchange.masks = counted(done.masked.counts)
    if due.record:
        upstream.reason = status_codes.RESPONSES.get(upstream.status_code, "")
    if due.varies:
        upstream.headers = http.Headers(not_cached(upstream.headers.fields))
    upstream.trailers = _trailers(flow.request, done, excepted=excepted)
    _keep_from_recorders(exchange, upstream, shown)
    flow.response = upstream


def _trailers(request: http.Request, done: Done, *, excepted: bool) -> http.Headers | None:
    """What goes on after the body, over a version of HTTP in which mitmproxy can send it.

    Recorders see it as the caller does, so that who is excepted gets none.
    """
    if done.masked is None or excepted or not done.masked.trailers or not request.http_version.startswith("HTTP/2"):
        return None
    return http.Headers(without_credentials(done.masked.trailers))


def _recorded(done: Done, upstream: http.Response) -> tuple[Fields, bytes]:
    """What recorders get of a response whose caller gets more; its body is not there when it cannot be masked."""
    if done.recorded is None:
        return (), b""
    body = done.recorded.body
    return done.recorded.headers, (upstream.raw_content or b"") if body is None else body


def _keep_from_recorders(exchange: Exchange, answer: http.Response, shown: tuple[Fields, bytes] | None) -> None:
    """Say what recorders may show where it is not all that the caller gets; `shown`: no more than that."""
    headers, body = answer.headers.fields, answer.raw_content or b""
    known, kept = shown if shown is not None else (headers, body)
    shown_headers, cleaned = recordable(without_credentials(known), kept)
    exchange.record_headers = shown_headers if shown_headers != headers else None
    exchange.record_body = cleaned if cleaned != body else None
