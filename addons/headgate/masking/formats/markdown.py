"""Masking of Markdown (CommonMark): text whose lines are also read as they are rendered.

References and backslashes are undone, and marks of emphasis and inline tags, which are not seen, are read over, too.
"""

import re
from collections.abc import Iterator

from headgate.masking.formats import Masked
from headgate.masking.formats.edits import Edits
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.formats.references import html_preformatted
from headgate.masking.formats.runs import Part, Piece, Run, as_written
from headgate.masking.plan import Detect, Plan

_MARKED = re.compile(r"\\([!-/:-@\[-`{-~])|(\*+|`+|~~|__|</?[A-Za-z][A-Za-z0-9]{0,15}[^<>]{0,256}>)")
_ANY = re.compile(r"[&\\*`~<]|__")


def mask_markdown(text: str, plan: Plan, detect: Detect) -> Masked:
    """First as plain text; what is left is looked at once more as a reader would see it."""
    masked = mask_text(text, plan, detect)
    if not plan.detect:
        return masked
    edits = Edits(plan, detect)
    edits.mask_runs(_lines(masked.text))
    rendered = edits.masked(masked.text)
    return Masked(rendered.text, masked.counts + rendered.counts, masked.findings + rendered.findings)


def _lines(text: str) -> Iterator[Run]:
    at = 0
    for line in text.split("\n"):
        if _ANY.search(line):
            yield Run([Part(list(_pieces(text, at, at + len(line))), "", "text", as_written)])
        at += len(line) + 1


def _pieces(source: str, start: int, end: int) -> Iterator[Piece]:
    at = start
    for match in _MARKED.finditer(source, start, end):
        if match.start() > at:
            yield from html_preformatted(source, at, match.start())
        at = match.end()
        yield Piece(match[1] or "", match.start(), at)
    if at < end:
        yield from html_preformatted(source, at, end)
