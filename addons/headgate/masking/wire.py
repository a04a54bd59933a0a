"""How jobs and their results travel between processes: JSON with the bodies after it, so that nothing read can run.

A message is two lengths, the JSON, then all bodies in a row. Each begins with a number that its answer repeats.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from headgate.errors import HeadgateError
from headgate.masking.job import Done, Job
from headgate.masking.plan import Fields, Plan
from headgate.masking.response import MaskedResponse, Received
from headgate.masking.scrub import Sent
from headgate.model import Finding

LENGTHS = struct.Struct(">II")
"""Before each message: the bytes of its JSON, and the bytes of its bodies together."""

LARGEST = 256 * 1024 * 1024
"""Bytes either part of a message may have: far above what a body limit lets through."""


class Garbled(HeadgateError):
    """What the other side sent is not a message."""


class Message(NamedTuple):
    number: int
    content: Any
    bodies: Sequence[bytes]


def pack(message: Message) -> bytes:
    number, content, bodies = message
    text = json.dumps([number, content, [len(body) for body in bodies]]).encode()
    return b"".join([LENGTHS.pack(len(text), sum(map(len, bodies))), text, *bodies])


def lengths(head: bytes) -> tuple[int, int]:
    text, bodies = LENGTHS.unpack(head)
    if text > LARGEST or bodies > LARGEST:
        raise Garbled("the message is too long")
    return text, bodies


def unpack(text: bytes, bodies: bytes) -> Message:
    try:
        number, content, sizes = json.loads(text)
        if sum(sizes) != len(bodies) or any(size < 0 for size in sizes):
            raise Garbled("the bodies have other lengths")
    except (TypeError, ValueError, RecursionError):
        raise Garbled("the message cannot be read") from None
    pieces, at = [], 0
    for size in sizes:
        pieces.append(bodies[at : at + size])
        at += size
    return Message(number, content, pieces)


def job_message(number: int, job: Job) -> Message:
    plan, record, sent, received, upstream = job
    answer = None
    if received is not None:
        answer = [received.method, received.status, _text(received.headers), _text(received.trailers)]
    plans = [None if wanted is None else wanted.json for wanted in (plan, record)]
    content = [plans, sent.path.decode("latin-1"), _text(sent.headers), answer, upstream]
    return Message(number, content, [sent.body, received.body if received else b""])


def read_job(message: Message) -> Job:
    plans, path, headers, answer, upstream = message.content
    plan, record = (None if text is None else _plan(text) for text in plans)
    received = None if answer is None else _received(answer, message.bodies[1])
    sent = Sent(path.encode("latin-1"), _fields(headers), message.bodies[0])
    return Job(plan, record, sent, received, bool(upstream))


def _received(answer: Any, body: bytes) -> Received:
    method, status, headers, trailers = answer
    return Received(method, status, _fields(headers), body, _fields(trailers))


def done_message(number: int, done: Done) -> Message:
    sent, masked, refused, recorded = done
    answers = [None if answer is None else _answer(answer) for answer in (masked, recorded)]
    content = [sent.path.decode("latin-1"), _text(sent.headers), answers, refused]
    return Message(number, content, [sent.body, *((answer and answer.body) or b"" for answer in (masked, recorded))])


def _answer(masked: MaskedResponse) -> list[Any]:
    counts = [[*key, count] for key, count in masked.counts.items()]
    findings = [[f.location, f.entity, f.start, f.end, f.score] for f in masked.findings]
    return [_text(masked.headers), masked.body is not None, counts, findings, _text(masked.trailers)]


def read_done(message: Message) -> Done:
    """Garbled when this is not what `done_message` makes."""
    try:
        path, headers, (answer, record), refused = message.content
        body, answered, kept = message.bodies
        sent = Sent(path.encode("latin-1"), _fields(headers), body)
        masked = None if answer is None else _masked(answer, answered)
        recorded = None if record is None else _masked(record, kept)
    except (AttributeError, TypeError, ValueError):
        raise Garbled("the message is no result") from None
    if refused is not None and not isinstance(refused, str):
        raise Garbled("the message is no result")
    return Done(sent, masked, refused, recorded)


def _masked(answer: Any, body: bytes) -> MaskedResponse:
    headers, changed, counts, findings, trailers = answer
    return MaskedResponse(
        _fields(headers),
        body if changed else None,
        Counter({(location, entity, operator): int(count) for location, entity, operator, count in counts}),
        tuple(Finding(*finding) for finding in findings),
        _fields(trailers),
    )


@lru_cache(maxsize=256)
def _plan(text: str) -> Plan:
    return Plan.from_json(text)


def _text(headers: Fields) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _fields(pairs: Iterable[tuple[str, str]]) -> Fields:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
