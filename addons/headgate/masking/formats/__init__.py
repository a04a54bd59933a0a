"""Masking of one decoded text each: what changes is replaced in place, all else stays as it was spelled."""

from collections import Counter
from typing import NamedTuple

from headgate.model import Finding

Counts = Counter[tuple[str, str, str]]
"""(location, entity or `field`, operator) -> how often."""


class Masked(NamedTuple):
    """A text after masking; the same object as before when nothing was masked."""

    text: str
    counts: Counts
    findings: tuple[Finding, ...]
