"""A flow as some file tells it: plain values, not masked, not checked by us before, and not to be believed.

What no record can hold is refused here (`Damaged`), so that nobody behind this has to ask: times that no calendar has,
ports and states that do not exist.
"""

import math
import re
import uuid
from dataclasses import dataclass, field

from headgate.capture.connection import Connection
from headgate.capture.record import Fields, Kind, Line
from headgate.errors import HeadgateError

LATEST = 253_402_300_799.0
"""The last second that has a year of four digits."""

NAMESPACE = uuid.UUID("6f0f9c3e-6d0d-5b7e-9a53-7c1f1a9f3b52")
_ID = re.compile(r"[0-9a-f][0-9a-f-]{7,63}")


FAILED = "connection-failed"
ENDINGS = frozenset({FAILED, "client-disconnected", "killed"})
"""How a flow may end, in words of ours."""


class Damaged(HeadgateError):
    """A file that is not what it should be; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """The fields and the body of one direction; `body` is None where the file has none, `size` of the whole body."""

    fields: Fields = ()
    body: bytes | None = field(default=None, repr=False)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a WebSocket or a TCP flow."""

    time: float
    from_client: bool
    text: bool
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Foreign:
    """One flow of a file; `error` is a word of ours for what ended it."""

    flow_id: str
    kind: Kind
    started: float
    ended: float | None
    line: Line
    request: Part
    status: int | None = None
    response: Part | None = None
    messages: tuple[Said, ...] = ()
    error: str | None = None
    connection: Connection | None = None


def known_id(text: object) -> str:
    """An id that can be asked for: the file's own, or one that stands for it."""
    if isinstance(text, str) and _ID.fullmatch(text):
        return text
    return stand_in(repr(text)[:1000].encode("utf-8", "backslashreplace"))


def stand_in(data: bytes) -> str:
    """The id of what has none: the same for the same bytes."""
    return str(uuid.uuid5(NAMESPACE, data.hex()))


def moment(value: object) -> float | None:
    """Seconds since the epoch; None for none, `Damaged` for what is no time."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Damaged("a time that is none")
    if not 0 <= value <= LATEST:
        raise Damaged("a time that no calendar has")
    return float(value)


def began(value: object) -> float:
    found = moment(value)
    if found is None:
        raise Damaged("no time at which it began")
    return found


def port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise Damaged("a port that does not exist")
    return value


def status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 999:
        raise Damaged("a status that does not exist")
    return value


def known_error(said: object) -> str | None:
    """A word of ours for what ended a flow; None where nothing did. Any other may quote what a peer has sent."""
    if not said:
        return None
    return said if isinstance(said, str) and said in ENDINGS else FAILED
