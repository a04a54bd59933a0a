"""The ways in which a text may be read, all of them for detection: as it stands, in windows, without what is not seen.

What is found in a reading is told in places of the text that it was made from, so that the findings of all readings
can be masked together.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from headgate.masking.disguise import visible
from headgate.masking.plan import CannotMask, Detect, Leaf, Span

WINDOW = 32 * 1024
"""Characters of a text that detection is given at a time."""

OVERLAP = 4 * 1024
"""Characters that two windows share: what is longer and ends with its window may go on after it."""


class Reading(NamedTuple):
    """`places[n]` is where character n of `text` stands in what is read."""

    text: str
    places: Sequence[int]
    key: str = ""
    whole: bool = True
    """Whether nothing of what is read follows after it."""


def windows(reading: Reading) -> Iterator[Reading]:
    """A reading in pieces that detection can take."""
    if len(reading.text) <= WINDOW:
        yield reading
        return
    step = WINDOW - OVERLAP
    for at in range(0, len(reading.text) - OVERLAP, step):
        end = at + WINDOW
        whole = end >= len(reading.text)
        yield Reading(reading.text[at:end], reading.places[at:end], reading.key, whole)


def ways(reading: Reading) -> Iterable[Reading]:
    """The reading as it stands, and without what is not seen."""
    if len(reading.text) <= WINDOW and reading.text.isascii():
        return (reading,)
    return [window for way in (reading, *without_invisible(reading)) for window in windows(way)]


def without_invisible(reading: Reading) -> Iterator[Reading]:
    """The reading without characters that are not seen, if it has any."""
    if clear := visible(reading.text):
        text, kept = clear
        yield Reading(text, [reading.places[at] for at in kept], reading.key)


def find(readings: Sequence[Reading], detect: Detect) -> Iterator[list[Span]]:
    """For each reading what was found in it, in places of what is read."""
    found = detect([Leaf(reading.text, reading.key) for reading in readings])
    for reading, spans in zip(readings, found, strict=True):
        yield [placed for span in spans if (placed := _placed(span, reading))] if spans else []


def _placed(span: Span, reading: Reading) -> Span | None:
    if span.start >= span.end:
        return None
    if not reading.whole and span.end == len(reading.text) and OVERLAP <= span.end - span.start < span.end:
        raise CannotMask("value-too-long")
    return span._replace(start=reading.places[span.start], end=reading.places[span.end - 1] + 1)
