"""Masking of one WebSocket message, by what masks the body of a response.

A text message has no declared type: what is JSON is masked as JSON, anything else as plain text. Nothing can be said
of a binary one, so that it is withheld where a body would have been read.
"""

from typing import Self

from headgate.masking.formats.scan import read
from headgate.masking.job import Done, Job
from headgate.masking.plan import CannotMask, Fields, Plan
from headgate.masking.record import recordable
from headgate.masking.response import MaskedResponse, Received
from headgate.masking.scrub import Sent

TEXT: Fields = ((b"content-type", b"text/plain; charset=utf-8"),)
JSON: Fields = ((b"content-type", b"application/json"),)
NOBODY = Sent(b"", (), b"")
"""The request of a message has been masked long ago, with the upgrade."""

LONGEST = 64 * 1024
"""Bytes of a message that recorders may show; of a longer one they show how long it is."""

SCALARS = (b'"', b"-", b"t", b"f", b"n", *(b"%d" % digit for digit in range(10)))
"""What a JSON text begins with that is no object and no array: those are found out where they are masked."""


def job_of(plan: Plan, content: bytes) -> Job:
    return Job(plan, plan, NOBODY, Received("GET", 200, JSON if _is_scalar(content) else TEXT, content))


def masked_of(done: Done, content: bytes) -> tuple[bytes, MaskedResponse]:
    """What goes on in place of `content`, and what was masked in it; CannotMask when nothing may."""
    if done.masked is None:
        raise CannotMask(done.refused or "not-masked")
    body = done.masked.body
    return content if body is None else body, done.masked


class Unshown(bytes):
    """What stands for a message that may not be shown; no peer can say one."""

    length: int

    @classmethod
    def of(cls, content: bytes) -> Self:
        made = cls(f"[{len(content)} bytes]".encode())
        made.length = len(content)
        return made


def showable(content: bytes, *, readable: bool) -> bytes:
    """A message as recorders may show it: of one that nobody has masked, or of a long one, its length alone."""
    if not readable or len(content) > LONGEST:
        return Unshown.of(content)
    return recordable(TEXT, content)[1]


def _is_scalar(content: bytes) -> bool:
    if len(content) > LONGEST or not content.lstrip().startswith(SCALARS):
        return False
    try:
        read(content.decode())
    except (CannotMask, UnicodeDecodeError):
        return False
    return True
