"""Masking of one piece of a stream at a time: a line, the data of an event, a segment of a text."""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from headgate.masking.formats import Counts
from headgate.masking.formats.fields import refuse_paths
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.formats.plaintext import LOCATION, mask_text, mask_value
from headgate.masking.formats.readings import Reading, find, ways
from headgate.masking.formats.scan import read
from headgate.masking.operators import Cut, replacement
from headgate.masking.plan import CannotMask, Detect, Leaf, Plan, Span

BEGINNINGS = ("{", "[", '"')
"""What a document begins with. Numbers and words are JSON, too, but are as well a text, or a piece of one."""

_LONE = re.compile("[\ud800-\udfff]")


class Segment(NamedTuple):
    """`before` is what stands before it; the first `gone` characters have been sent. In a `plain` one is nothing."""

    before: str
    text: str
    gone: int
    plain: bool


class Records:
    """Masks one record after the other under one plan, and counts what it has masked."""

    def __init__(self, plan: Plan, detect: Detect, counts: Counts, kind: str) -> None:
        self.plan, self.detect, self._counts, self._kind = plan, detect, counts, kind

    def mask_json(self, text: str, mark: str = "") -> str:
        """A document; strings that begin with `mark` stand for others, and nothing is looked for in them."""
        masked = mask_json(text, self.plan, _passing_over(self.detect, mark) if mark else self.detect)
        self._counts.update(masked.counts)
        return masked.text

    def refuse_fields(self, text: str) -> None:
        """CannotMask where fields are due that nobody can look for in a text, as in a whole one; empty, it has none."""
        if text.strip():
            refuse_paths(self.plan, self._kind, self.plan.paths or self.plan.encoded)

    def mask_embedded(self, text: str, location: str) -> str:
        """A document that is what a string at `location` says."""
        masked = mask_json(spelled(text), self.plan, self.detect)
        for (inner, entity, operator), count in masked.counts.items():
            self._counts[location + inner, entity, operator] += count
        return str(json.loads(masked.text)) if masked.text.startswith('"') else ""

    def mask_text(self, text: str) -> str:
        masked = mask_text(text, self.plan, self.detect)
        self._counts.update(masked.counts)
        return masked.text

    def mask_segments(self, segments: Sequence[Segment], key: str, location: str = LOCATION) -> str:
        """What goes on of the segments of a text that stands under `key`."""
        found = self._found(segments, key)
        pieces = [segment.text[segment.gone :] for segment in segments]
        for number, spans in found.items():
            head = len(segments[number].before) + segments[number].gone
            seen = [
                span._replace(start=max(span.start - head, 0), end=span.end - head) for span in spans if span.end > head
            ]
            pieces[number], counts = mask_value(pieces[number], seen, self.plan, location)
            self._counts.update(counts)
        return "".join(pieces)

    def _found(self, segments: Sequence[Segment], key: str) -> dict[int, set[Span]]:
        """For the number of a segment what is found in it and in what stands before it, in whatever way it is read."""
        readings, owners = list[Reading](), list[int]()
        for number, segment in enumerate(segments):
            if segment.plain:
                continue
            text = segment.before + segment.text.removesuffix("\n")  # what is masked as a whole is so without it
            for reading in ways(Reading(text, range(len(text)), key)):
                readings.append(reading)
                owners.append(number)
        found: dict[int, set[Span]] = {}
        for owner, spans in zip(owners, find(readings, self.detect) if readings else (), strict=True):
            found.setdefault(owner, set()).update(spans)
        return found

    def names_secret(self, key: str) -> bool:
        """Whether a value may be a credential for nothing but the name that it stands under."""
        if "SECRET" not in self.plan.entities:
            return False
        from headgate.masking.detection.secrets import names_secret

        return names_secret(key)

    def replaced(self, value: str, cut: Cut, location: str) -> str:
        """What stands for a part of a value that is masked for what came before it."""
        self._counts[location, cut.entity, cut.operator.value] += 1
        return replacement(value, cut.entity, cut.operator, self.plan.key)


def _passing_over(detect: Detect, mark: str) -> Detect:
    def passing_over(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        return detect([leaf._replace(text="") if leaf.text.startswith(mark) else leaf for leaf in leaves])

    return passing_over


def spelled(text: str) -> str:
    """A string of JSON; halves of a pair that were sent apart stay as they are."""
    return json.dumps(text, ensure_ascii=_LONE.search(text) is not None)


def is_document(text: str) -> bool:
    """Whether a text is JSON that can hold something; CannotMask when it is too much of it to tell."""
    if not text.lstrip().startswith(BEGINNINGS):
        return False
    try:
        read(text)
    except CannotMask as cannot:
        if cannot.reason == "invalid-json":
            return False
        raise
    return True
