"""The messages of a WebSocket under one plan: those of one direction are looked at together, as in a proxy.

A value may be split over several of them, and the stream that finds it holds text back and gives it out later: what
comes out for a message stays with it, one line for each message that it became. Where nothing is masked all of them
stay as they were. What cannot be masked loses its messages' text: a direction as a whole, since what was said before
may be the beginning of it.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from headgate.capture.entries import MessageEntry
from headgate.capture.spoken import BINARY
from headgate.masking.formats import Counts
from headgate.masking.plan import CannotMask, Detect, Plan
from headgate.masking.streams import open_socket

Messages = Callable[[], Iterable[MessageEntry]]
"""All messages of a flow, from the first on, as often as they are asked for."""


class Change(NamedTuple):
    """The number of a message, what its record holds, and what it is to hold; None: nothing."""

    n: int
    before: bytes
    after: bytes | None


_LENGTH = re.compile(rb"\[\d{1,19} bytes\]\Z")
"""What stands for a message that was never shown."""


def changes(messages: Messages, plan: Plan, detect: Detect, counts: Counts) -> Iterator[Change]:
    """What has to change, in the order of each direction; `counts` gets what is masked."""
    if not plan.reads_body:
        return
    for from_client in (True, False):
        yield from _direction(partial(_said, messages, from_client), plan, detect, counts)


def _said(messages: Messages, from_client: bool) -> Iterator[MessageEntry]:
    for message in messages():
        if message.from_client is from_client and message.body and not _LENGTH.match(message.body):
            yield message


def _direction(messages: Messages, plan: Plan, detect: Detect, counts: Counts) -> Iterator[Change]:
    try:
        masks = _masks(messages(), plan, detect)
    except CannotMask:
        yield from (Change(message.n, message.body, None) for message in messages())
        return
    if masks:
        counts.update(masks)
        yield from _masked(messages(), plan, detect)
    yield from (Change(message.n, message.body, None) for message in messages() if _unreadable(message))


def _masks(messages: Iterable[MessageEntry], plan: Plan, detect: Detect) -> Counts:
    stream = open_socket(plan, detect)
    for message in messages:
        if not _unreadable(message):
            stream.messages(message.body)
    stream.end()
    return stream.counts


def _masked(messages: Iterable[MessageEntry], plan: Plan, detect: Detect) -> Iterator[Change]:
    stream, last = open_socket(plan, detect), None
    for message in messages:
        if _unreadable(message):
            continue
        if last is not None:
            yield last
        last = Change(message.n, message.body, b"\n".join(stream.messages(message.body)))
    rest = stream.end()
    if last is not None:
        yield last._replace(after=b"\n".join([last.after or b"", *rest]))


def _unreadable(message: MessageEntry) -> bool:
    """What nobody masks: a message that is no text, or of which the end is missing."""
    return message.kind == BINARY or message.truncated
