"""How long a capture keeps flows: by age and by size, as a person says it, and what that makes due.

Age counts from the end of a flow; a size is that of the file, and it is the oldest that goes. Whoever deletes does so
in steps that are small enough for everybody else to get their turn: what is decided here is what a step is about.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from headgate.errors import HeadgateError
from headgate.match.durations import duration

_SIZE = re.compile(r"([0-9]{1,6})(kB|MB|GB|TB)\Z", re.IGNORECASE)
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

SIZES = "a whole number and a unit, such as `500MB` or `50GB`"
ACCEPTED = "an age and a size, or one of them, such as `30d,50GB`, `12h` or `50GB`; empty keeps everything"

SHOWN = 80
"""Characters of what somebody wrote that a message repeats."""


@dataclass(frozen=True, slots=True)
class Retention:
    """`age` in seconds and `size` in bytes; None: without limit."""

    age: float | None = None
    size: int | None = None

    def __bool__(self) -> bool:
        return self.age is not None or self.size is not None


def parse_retention(text: str) -> Retention:
    """What `headgate_retention` says; HeadgateError tells what is accepted."""
    age, size = None, None
    for part in filter(None, map(str.strip, text.split(","))):
        if _SIZE.match(part):
            if size is not None:
                raise _refused(text, "it names two sizes")
            size = parse_size(part)
        else:
            if age is not None:
                raise _refused(text, "it names two ages")
            age = _age(part, text)
    return Retention(age, size)


def parse_size(text: str) -> int:
    """Bytes from `500MB` or `50GB` (of 10^9 bytes); HeadgateError tells what is accepted."""
    found = _SIZE.match(text)
    if not found:
        raise HeadgateError(f"{_shown(text)} is not a size; accepted: {SIZES}")
    size = int(found[1]) * _UNITS[found[2].lower()]
    if not size:
        raise HeadgateError(f"{_shown(text)} would keep nothing; accepted: {SIZES}")
    return size


def _age(part: str, text: str) -> float:
    try:
        age = duration(part)
    except ValueError:
        raise _refused(text, f"{_shown(part)} is neither") from None
    if not age:
        raise _refused(text, "an age of nothing would keep nothing")
    return age


def _refused(text: str, why: str) -> HeadgateError:
    return HeadgateError(f"{_shown(text)} is no retention ({why}); accepted: {ACCEPTED}")


def _shown(text: str) -> str:
    """The beginning of what was written, with what does not print escaped."""
    cut = text[:SHOWN] + ("..." if len(text) > SHOWN else "")
    return f"`{''.join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)}`"


@dataclass(frozen=True, slots=True)
class Room:
    """The file in bytes: `used` of them hold something, the rest can be given back."""

    file: int
    used: int


@dataclass(frozen=True, slots=True)
class Step:
    """What the next step is about. `before`: flows that ended earlier go, in seconds since the epoch; None: the oldest
    ones go, whatever their age, until `excess` bytes are free. `most` flows go at once; none: there is only space to
    give back."""

    before: float | None = None
    most: int = 0
    excess: int = 0


def next_step(retention: Retention, now: float, room: Room, most: int, *, aged: bool) -> Step | None:
    """What is due next; None when nothing is. `aged`: whether anything is older than it may be."""
    if retention.age is not None and aged:
        return Step(now - retention.age, most)
    if retention.size is not None and room.used > retention.size:
        return Step(None, most, room.used - retention.size)
    return Step() if room.file > room.used else None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: rows of each kind."""

    flows: int = 0
    messages: int = 0
    bodies: int = 0

    def __add__(self, more: "Pruned") -> "Pruned":
        return Pruned(self.flows + more.flows, self.messages + more.messages, self.bodies + more.bodies)

    def __bool__(self) -> bool:
        return bool(self.flows or self.messages or self.bodies)


Told = Callable[[Pruned], None]
"""Hears what went whenever nothing more is due; called in the thread that deletes, and may not raise."""
