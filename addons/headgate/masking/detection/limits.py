"""Patterns that may run away are stopped; what they would have found is not known, and so nothing passes."""

from collections.abc import Iterator
from typing import Any

from headgate.masking.plan import CannotMask

SECONDS = 1.0
"""For one pattern on one leaf; far more than any pattern takes that does not run away."""

TOO_SLOW = "detection-too-slow"


def limited(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """The matches of a compiled pattern of `regex`; CannotMask when it takes too long to find them."""
    try:
        for match in pattern.finditer(text, timeout=SECONDS):
            yield match.span()
    except TimeoutError:
        raise CannotMask(TOO_SLOW) from None
