"""How jobs and their results travel between processes: JSON with the bodies after it, so that nothing read can run.

A message is two lengths, the JSON, then all bodies in a row. Each begins with a number that its answer repeats.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
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
    plan, sent, received = job
    answer = None if received is None else [received.method, received.status, _text(received.headers)]
    content = [plan.json, sent.path.decode("latin-1"), _text(sent.headers), answer]
    return Message(number, content, [sent.body, received.body if received else b""])


def read_job(message: Message) -> Job:
    plan, path, headers, answer = message.content
    received = None if answer is None else Received(answer[0], answer[1], _fields(answer[2]), message.bodies[1])
    return Job(Plan.from_json(plan), Sent(path.encode("latin-1"), _fields(headers), message.bodies[0]), received)


def done_message(number: int, done: Done) -> Message:
    sent, masked, refused = done
    answer = None
    if masked is not None:
        counts = [[*key, count] for key, count in masked.counts.items()]
        findings = [[f.location, f.entity, f.start, f.end, f.score] for f in masked.findings]
        answer = [_text(masked.headers), masked.body is not None, counts, findings]
    content = [sent.path.decode("latin-1"), _text(sent.headers), answer, refused]
    return Message(number, content, [sent.body, masked.body or b"" if masked else b""])


def read_done(message: Message) -> Done:
    """Garbled when this is not what `done_message` makes."""
    try:
        path, headers, answer, refused = message.content
        body, answered = message.bodies
        sent = Sent(path.encode("latin-1"), _fields(headers), body)
        masked = None if answer is None else _masked(answer, answered)
    except (AttributeError, TypeError, ValueError):
        raise Garbled("the message is no result") from None
    if refused is not None and not isinstance(refused, str):
        raise Garbled("the message is no result")
    return Done(sent, masked, refused)


def _masked(answer: Any, body: bytes) -> MaskedResponse:
    headers, changed, counts, findings = answer
    return MaskedResponse(
        _fields(headers),
        body if changed else None,
        Counter({(location, entity, operator): int(count) for location, entity, operator, count in counts}),
        tuple(Finding(*finding) for finding in findings),
    )


def _text(headers: Fields) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _fields(pairs: Iterable[tuple[str, str]]) -> Fields:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
