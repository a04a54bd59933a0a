"""Masking of text: detection line by line, so that one long document is many small leaves.

No entity spans lines. A text has neither members nor null: `drop` and `null` leave nothing where a finding was.
"""

from collections import Counter
from itertools import accumulate

from headgate.masking.formats import Counts, Masked
from headgate.masking.operators import cuts, replacement, splice
from headgate.masking.plan import Detect, Leaf, Plan, Span
from headgate.model import Finding

LOCATION = "text"


def mask_text(text: str, plan: Plan, detect: Detect) -> Masked:
    """Findings are located by their characters in the whole text."""
    lines = text.split("\n")
    starts = accumulate((len(line) + 1 for line in lines), initial=0)
    found = detect([Leaf(line, "") for line in lines])
    spans = [
        span._replace(start=span.start + start, end=span.end + start)
        for start, line in zip(starts, found, strict=False)
        for span in line
    ]
    masked, counts = mask_value(text, spans, plan, LOCATION)
    return Masked(masked, counts, tuple(Finding(LOCATION, *span) for span in spans))


def mask_value(text: str, spans: list[Span], plan: Plan, location: str) -> tuple[str, Counts]:
    """Mask what was found in a value that stays a text."""
    chosen = cuts(spans, plan)
    if not chosen:
        return text, Counter()
    edits = ((cut.start, cut.end, replacement(text[cut.start : cut.end], cut.entity, cut.operator)) for cut in chosen)
    return splice(text, edits), Counter((location, cut.entity, cut.operator.value) for cut in chosen)
