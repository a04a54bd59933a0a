"""Masking of text: detection line by line, so that one long document is many small leaves.

Only a private key spans lines: from a line that begins one to the line that ends it, all lines are read as one, too.
A text has neither members nor null: `drop` and `null` leave nothing where a finding was.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from headgate.masking.formats import Counts, Masked
from headgate.masking.formats.readings import Reading, find, without_invisible
from headgate.masking.operators import Cut, cuts, replacement, splice
from headgate.masking.plan import Detect, Plan, Span
from headgate.model import Finding

LOCATION = "text"

LONGEST_BLOCK = 32 * 1024
"""Characters of lines that are read as one; a private key has at most half of it."""

_BEGIN = re.compile(
    r"(?P<armor>-----BEGIN [^\r\n-]{1,60}-----|---- BEGIN [^\r\n-]{1,60} ----)"
    r"|(?P<putty>PuTTY-User-Key-File-)|(?P<base64>LS0tLS1CRUdJTi)"
)
_END = {
    "armor": re.compile(r"-----END [^\r\n-]{1,60}-----|---- END [^\r\n-]{1,60} ----"),
    "putty": re.compile(r"Private-MAC:[^\r\n]*"),
    "base64": re.compile(r"\n[ \t]*(?![A-Za-z0-9+/=]{4})"),
}
"""Private keys that have lines (RFC 7468, RFC 4716, PuTTY, PEM in base64), by how they begin and end."""


def mask_text(text: str, plan: Plan, detect: Detect, key: str = "") -> Masked:
    """Findings are located by their characters in the whole text; `key` is the name under which it stands."""
    if not plan.detect:
        return Masked(text, Counter(), ())
    readings = list(_lines(text, key))
    readings += [seen for line in readings for seen in without_invisible(line)]
    readings += _blocks(text, key)
    spans = sorted({span for found in find(readings, detect) for span in found})
    masked, counts = mask_value(text, spans, plan, LOCATION)
    return Masked(masked, counts, tuple(Finding(LOCATION, *span[:4]) for span in spans))


def mask_value(text: str, spans: Sequence[Span], plan: Plan, location: str) -> tuple[str, Counts]:
    """Mask what was found in a value that stays a text."""
    chosen = cuts(spans, plan)
    if not chosen:
        return text, Counter()
    edits = ((cut.start, cut.end, _replacement(text, cut, plan)) for cut in chosen)
    return splice(text, edits), Counter((location, cut.entity, cut.operator.value) for cut in chosen)


def _replacement(text: str, cut: Cut, plan: Plan) -> str:
    return replacement(text[cut.start : cut.end], cut.entity, cut.operator, plan.key)


def _lines(text: str, key: str) -> Iterator[Reading]:
    at = 0
    for line in text.split("\n"):
        yield Reading(line, range(at, at + len(line)), key)
        at += len(line) + 1


def _blocks(text: str, key: str) -> Iterable[Reading]:
    """What stands between the marks of a key, wherever it has lines."""
    at = 0
    while begin := _BEGIN.search(text, at):
        end = _END[str(begin.lastgroup)].search(text, begin.end(), begin.start() + LONGEST_BLOCK)
        at = end.end() if end else min(begin.start() + LONGEST_BLOCK, len(text))
        if text.find("\n", begin.end(), at) >= 0:
            yield Reading(text[begin.start() : at], range(begin.start(), at), key)
        if not end:
            at = begin.start() + LONGEST_BLOCK // 2  # a key that begins in this half ends in this block, too
