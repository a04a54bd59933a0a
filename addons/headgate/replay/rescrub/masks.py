"""One recorded exchange under one plan: what its record has to look like.

Request and response go through what masks them for a record in a proxy. What cannot be masked, as of a body that was
cut, loses its body: it would have been kept out of the record then. Nothing is taken away on which nothing is due.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from headgate.capture.entries import Entry, Recorded
from headgate.capture.rows import query_names
from headgate.masking.content import media_type, values
from headgate.masking.credentials import without_credentials
from headgate.masking.formats import Counts
from headgate.masking.headers import mask_headers, repair
from headgate.masking.job import Job, run
from headgate.masking.plan import CannotMask, Detect, Fields, Plan
from headgate.masking.record import recordable
from headgate.masking.response import MaskedResponse, Received, mask_response
from headgate.masking.scrub import Sent
from headgate.masking.streaming import EVENTS
from headgate.masking.streams import open_stream
from headgate.replay.pointers import masked_pointers

Headers = tuple[tuple[str, str], ...]
Detectors = Callable[[Plan], Detect]


@dataclass(frozen=True, slots=True)
class Side:
    """One direction as it is to be recorded; `lost`: its body could not be masked."""

    headers: Headers | None
    body: bytes
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What the record of an exchange is to hold; `counts` are of its response."""

    path: str
    query: str | None
    names: Sequence[str]
    request: Side
    response: Side | None
    counts: Counts

    @property
    def lost(self) -> int:
        return self.request.lost + (self.response is not None and self.response.lost)


def untouched(entry: Entry) -> Scrubbed:
    """The record as it is."""
    summary, response = entry.summary, entry.response
    return Scrubbed(
        summary.path,
        summary.query,
        entry.query_names,
        Side(entry.request.headers, entry.request.body),
        Side(response.headers, response.body) if response else None,
        Counter(),
    )


def scrubbed(entry: Entry, plan: Plan, detectors: Detectors) -> Scrubbed:
    summary, now = entry.summary, untouched(entry)
    query = summary.query if summary.query is not None else "&".join(quote(name) for name in entry.query_names)
    target = f"{summary.path}?{query}" if query else summary.path
    body = b"" if _is_cut(entry.request, plan) else entry.request.body
    sent = run(Job(None, plan, Sent(target.encode(), _fields(entry.request), body), None), detectors).sent
    path, _, masked = sent.path.decode("latin-1").partition("?")
    path, masked = (text.encode("latin-1").decode("utf-8", "backslashreplace") for text in (path, masked))
    request = Side(
        now.request.headers if entry.request.headers is None else _headers(sent.headers),
        sent.body,
        bool(entry.request.body and not sent.body),
    )
    response, counts = _response(entry, plan, detectors(plan))
    same = masked == query
    return Scrubbed(
        path,
        None if summary.query is None else masked,
        entry.query_names if same else query_names(masked),
        request,
        response,
        counts,
    )


def _response(entry: Entry, plan: Plan, detect: Detect) -> tuple[Side | None, Counts]:
    got = entry.response
    if got is None or got.headers is None:
        return (Side(None, got.body) if got else None), Counter()
    received = Received(entry.summary.method, entry.summary.status or 0, _fields(got), got.body)
    try:
        if _is_cut(got, plan):
            raise CannotMask("body-cut")
        masked = _masked(plan, received, detect)
    except CannotMask:
        return _headers_alone(plan, received, detect)
    body, fields = got.body if masked.body is None else masked.body, masked.headers
    if masked.body is not None and body == got.body:  # what was masked has been before
        fields = mask_headers(received.headers, plan, detect).fields
    headers, shown = recordable(without_credentials(fields), body)
    return Side(_headers(headers), shown, bool(got.body and not shown)), masked.counts


def _masked(plan: Plan, received: Received, detect: Detect) -> MaskedResponse:
    """As a whole, but for the one type that has no whole."""
    if not (received.body and plan.reads_body and _is_events(received.headers)):
        return mask_response(plan, received, detect)
    head = mask_response(plan, received._replace(body=b""), detect)
    stream, _ = open_stream(plan, received.headers, detect)
    body = stream.feed(received.body) + stream.end()
    if not stream.counts:
        return head
    return head._replace(headers=repair(head.headers, body), body=body, counts=head.counts + stream.counts)


def _headers_alone(plan: Plan, received: Received, detect: Detect) -> tuple[Side, Counts]:
    """A response without its body; without its headers, too, where even they cannot be masked."""
    lost = bool(received.body)
    try:
        masked = mask_headers(received.headers, plan, detect)
    except CannotMask:
        return Side((), b"", lost), Counter()
    return Side(_headers(repair(without_credentials(masked.fields), None)), b"", lost), masked.counts


def _is_events(headers: Fields) -> bool:
    declared = values(headers, b"content-type")
    return len(declared) == 1 and media_type(declared[0]).name == EVENTS


def _is_cut(recorded: Recorded, plan: Plan) -> bool:
    """Whether something may stand at the end of a body of which the rest would tell what it is."""
    return plan.reads_body and recorded.truncated and bool(recorded.body)


def _fields(recorded: Recorded) -> Fields:
    return tuple(
        (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
        for name, value in recorded.headers or ()
    )


def _headers(fields: Fields) -> Headers:
    return tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in fields
    )


def merged(masks: Sequence[dict[str, Any]], counts: Counts, plan: Plan, detectors: Detectors) -> Counts:
    """The masks of a record and those of now: what was masked before is counted again, and is no more than it was."""
    places = masked_pointers([mask["location"] for mask in masks], plan, detectors)
    known: Counts = Counter()
    for place, mask in zip(places, masks, strict=True):
        known[place, mask["entity"], mask["operator"]] += mask["count"]
    return known | counts
