"""Mask what a response may not reveal before anything else sees it, and what recorders are shown of its request."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from mitmproxy import http
from mitmproxy.net.http import status_codes

from headgate.masking.credentials import without_credentials
from headgate.masking.due import due
from headgate.masking.formats import Counts
from headgate.masking.job import Done, Job, run
from headgate.masking.messages import job_of, masked_of
from headgate.masking.plan import CannotMask, Plan, detect_nothing
from headgate.masking.record import recordable
from headgate.masking.response import Received, without_stray_body
from headgate.masking.rules import MaskingRules
from headgate.masking.scrub import Sent, outline, scrub
from headgate.masking.workers import Workers
from headgate.model import Exchange, MaskCount, withheld

INLINE = 8 * 1024
INLINE_WORK = 3000
"""Bytes, and commas, colons and brackets times passes over them, that may be masked without a worker: about 1 ms."""

MESSAGES = 32
"""Messages of WebSockets that are in the hands of the workers at once: others wait for their turn, as a message may and
a response may not."""

MOST_COUNTS = 1000
"""Locations that are recorded one by one; a response has more only where member names are data."""


class Masking:
    """`rules` gives the masks of the bundle that an exchange keeps to its end."""

    def __init__(
        self, exchanges: Mapping[str, Exchange], rules: Callable[[Exchange], MaskingRules], workers: Workers
    ) -> None:
        self._exchanges, self._rules, self._workers = exchanges, rules, workers
        self._turns = asyncio.Semaphore(MESSAGES)

    async def start(self) -> None:
        await self._workers.start()

    async def stop(self) -> None:
        await self._workers.stop()

    async def response(self, flow: http.HTTPFlow) -> None:
        exchange = self._exchanges[flow.id]
        await self._finish(flow, exchange, None if exchange.refusal else exchange.withheld)

    async def error(self, flow: http.HTTPFlow) -> None:
        flow.response = None
        await self._finish(flow, self._exchanges[flow.id], None)

    def due(self, exchange: Exchange) -> Plan | None:
        """What masks the messages of a WebSocket; CannotMask when that is not known."""
        if exchange.bundle is None or exchange.principal is None:
            raise CannotMask("masks-not-known")
        return _due(self._rules(exchange), exchange)

    async def message(self, exchange: Exchange, plan: Plan, content: bytes) -> bytes:
        """A text message to the caller as it goes on; CannotMask when it may not. It counts to the exchange's masks."""
        job = job_of(plan, content)
        if _quick(job):
            done = run(job, detect_nothing)
        else:
            async with self._turns:
                done = await self._workers.run(job)
        body, masked = masked_of(done, content)
        before = Counter({(mask.location, mask.entity, mask.operator): mask.count for mask in exchange.masks})
        exchange.masks = _counted(before + masked.counts)
        return body

    async def _finish(self, flow: http.HTTPFlow, exchange: Exchange, upstream: http.Response | None) -> None:
        if upstream:
            _empty(flow.request, upstream)
        done = await self._masked(exchange, flow.request, upstream)
        if upstream:
            _answer(flow, exchange, upstream, done)
        _show(flow.request, done.sent)
        exchange.masked = True

    async def _masked(self, exchange: Exchange, request: http.Request, upstream: http.Response | None) -> Done:
        sent = Sent(request.data.path, request.headers.fields, request.raw_content or b"")
        rules = self._rules(exchange) if exchange.bundle else None
        plan = _due(rules, exchange) if rules else None
        if rules is None or (plan and exchange.principal is None):
            return Done(outline(sent), None, "masks-not-known")
        if plan is None:
            return Done(scrub(sent, None, detect_nothing), None, None)
        if upstream is None:
            return await self._mask(Job(plan, sent, None))
        if upstream.raw_content is None:
            return Done(outline(sent), None, "body-missing")
        return await self._mask(Job(plan, sent, _received(request, upstream)))

    async def _mask(self, job: Job) -> Done:
        """Here where it is certain to be quick, else in a worker; what no worker masks in time is not shown."""
        if _quick(job):
            return run(job, detect_nothing)
        try:
            return await self._workers.run(job)
        except CannotMask as cannot:
            return Done(outline(job.sent), None, cannot.reason)


def _due(rules: MaskingRules, exchange: Exchange) -> Plan | None:
    """Judged by the moment the request came, which its record tells: a slow upstream does not change the masks."""
    now, signals = exchange.started, exchange.signals
    return due(rules, exchange.principal, exchange.request, exchange.target, now=now, signals=signals)


def _received(request: http.Request, upstream: http.Response) -> Received:
    return Received(request.method, upstream.status_code, upstream.headers.fields, upstream.raw_content or b"")


def _empty(request: http.Request, upstream: http.Response) -> None:
    """Take away a body that may not be there: nobody looks for one, so that nothing in it would be masked."""
    received = _received(request, upstream)
    if (emptied := without_stray_body(received)) is not received:
        upstream.headers, upstream.raw_content = http.Headers(emptied.headers), emptied.body


def _quick(job: Job) -> bool:
    """Whether masking is certain to hold up the event loop for no more than a moment."""
    if not job.plan.linear or not job.plan.reads_body:
        return job.plan.linear
    messages = [(job.sent.headers, job.sent.body)]
    if job.received:
        messages.append((job.received.headers, job.received.body))
    if sum(len(body) for _, body in messages) > INLINE:
        return False
    work = sum(body.count(mark) for _, body in messages for mark in (b",", b":", b"[", b"{"))
    coded = any(name.lower() == b"content-encoding" for headers, _ in messages for name, _ in headers)
    return not coded and work * (1 + len(job.plan.paths)) <= INLINE_WORK


def _show(request: http.Request, sent: Sent) -> None:
    """Leave on the flow what may be looked at; it has been forwarded already, or never will be."""
    request.data.path, request.headers, request.raw_content = sent.path, http.Headers(sent.headers), sent.body
    request.trailers = None


def _answer(flow: http.HTTPFlow, exchange: Exchange, upstream: http.Response, done: Done) -> None:
    """Give the caller the masked response, or the reason why there is none."""
    if done.refused:
        exchange.refusal = withheld(done.refused)
        return
    if done.masked:
        upstream.headers = http.Headers(done.masked.headers)
        upstream.raw_content = upstream.raw_content if done.masked.body is None else done.masked.body
        exchange.masks = _counted(done.masked.counts)
        upstream.reason = status_codes.RESPONSES.get(upstream.status_code, "")
    upstream.trailers = None
    _keep_from_recorders(exchange, upstream)
    flow.response = upstream


def _counted(counts: Counts) -> tuple[MaskCount, ...]:
    return tuple(MaskCount(*key, count) for key, count in sorted(counts.items())[:MOST_COUNTS])


def _keep_from_recorders(exchange: Exchange, answer: http.Response) -> None:
    """Say what recorders may show where it is not all that the caller gets."""
    headers, body = answer.headers.fields, answer.raw_content or b""
    shown, cleaned = recordable(without_credentials(headers), body)
    exchange.record_headers = shown if shown != headers else None
    exchange.record_body = cleaned if cleaned != body else None
