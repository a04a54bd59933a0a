"""Masking of one response: its headers and its body, or a reason why it has to be withheld."""

from typing import NamedTuple

from headgate.masking.content import UNTOUCHED, mask_body, media_type, values
from headgate.masking.formats import Counts
from headgate.masking.headers import mask_headers, repair, without_vouchers
from headgate.masking.plan import CannotMask, Detect, Fields, Plan
from headgate.model import Finding

PARTIAL = 206
NOT_MODIFIED = 304
NO_CONTENT = 204
RESET_CONTENT = 205
FIRST_FINAL = 200
SWITCHING = 101
"""The answer that opens a WebSocket: a final one without a body, whose messages are masked one by one."""


class Received(NamedTuple):
    """A response as the upstream sent it; `method` is that of the request."""

    method: str
    status: int
    headers: Fields
    body: bytes
    trailers: Fields = ()


class MaskedResponse(NamedTuple):
    """`body` is None when it goes on as it came."""

    headers: Fields
    body: bytes | None
    counts: Counts
    findings: tuple[Finding, ...]
    trailers: Fields = ()


def mask_response(plan: Plan, received: Received, detect: Detect) -> MaskedResponse:
    """Apply what is due; CannotMask when the response cannot be read with certainty."""
    stray, received = received.body, without_stray_body(received)
    bodiless = received.method == "HEAD" or received.status in (NO_CONTENT, SWITCHING)
    if plan.reads_body and not bodiless:
        _refuse_parts(received)
    fields, counts, findings = mask_headers(received.headers, plan, detect)
    masked = UNTOUCHED if bodiless else mask_body(plan, received.headers, received.body, detect)
    trailers, below, further = mask_headers(received.trailers, plan, detect)
    if masked.body is not None or (bodiless and plan.reads_body):
        fields, trailers = repair(fields, masked.body), without_vouchers(trailers)
    body = received.body if received.body != stray else masked.body
    counts += masked.counts + below
    return MaskedResponse(fields, body, counts, findings + masked.findings + further, trailers)


def without_stray_body(received: Received) -> Received:
    """Without the body that a response to HEAD, or one with such a status, may not have (RFC 9110, section 6.4.1).

    Over HTTP/2 one can come nevertheless. The length that HEAD and 304 announce is that of another response.
    """
    of_another = received.method == "HEAD" or received.status == NOT_MODIFIED
    empty = received.status in (NO_CONTENT, RESET_CONTENT) or received.status < FIRST_FINAL
    if not received.body or not (of_another or empty):
        return received
    if of_another:
        return received._replace(body=b"")
    length = b"" if received.status == RESET_CONTENT else None
    return received._replace(headers=repair(received.headers, length), body=b"")


def _refuse_parts(received: Received) -> None:
    """A part cannot be searched for what begins before it; an answer that revives a stored copy cannot be at all."""
    if received.status == PARTIAL:
        raise CannotMask("partial-response")
    if received.status == NOT_MODIFIED:
        raise CannotMask("not-modified-response")
    if received.status < FIRST_FINAL:
        raise CannotMask("interim-response")
    for declared in values(received.headers, b"content-type"):
        if media_type(declared).name == "multipart/byteranges":
            raise CannotMask("partial-response")
