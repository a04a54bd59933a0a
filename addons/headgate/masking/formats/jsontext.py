"""Masking of JSON: fields by JSONPath (RFC 9535), then detection in every string and number that is left.

What is masked stays valid JSON, and is otherwise what it was, character by character. Every one of several members of
a name is masked, except by paths with filters: those choose by what stands beside, and which of the members counts
differs between readers. Names of members are looked into where a plan says that they are data.

A sequence of documents is masked one document at a time: NDJSON and JSON Lines, and JSON Text Sequences (RFC 7464).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from headgate.masking.formats import Masked
from headgate.masking.formats.jsondocument import Document
from headgate.masking.formats.jsonrewrite import Tally, rewritten
from headgate.masking.formats.jsonsearch import Search
from headgate.masking.formats.scan import read
from headgate.masking.plan import CannotMask, Detect, Plan

RECORD = "\x1e"
"""What begins each record of a JSON Text Sequence; no JSON text has one in it."""

RECORDS = 1000
"""Records that are masked together."""

SPACE = " \t\r\n"


class _Waiting(NamedTuple):
    number: int
    document: Document


def mask_json(text: str, plan: Plan, detect: Detect, prefix: str = "") -> Masked:
    """Mask one JSON text; `prefix` stands before each location. Counts have `*` for each index of an array."""
    search, tally = Search(plan, detect), Tally()
    document = _walked(text, plan, search)
    search.flush()
    masked = rewritten(document, (prefix, "/*" if prefix else ""), tally)
    return Masked(masked, tally.counts, tuple(tally.findings))


def mask_lines(text: str, plan: Plan, detect: Detect) -> Masked:
    """Mask newline-delimited JSON: each line that is not blank is a document, `/LINE` before its locations."""
    return _mask_records(text, "\n", plan, detect)


def mask_sequence(text: str, plan: Plan, detect: Detect) -> Masked:
    """Mask a JSON Text Sequence: each record is a document, `/RECORD` before its locations, counted from 1."""
    if text.partition(RECORD)[0].strip(SPACE):
        raise CannotMask("invalid-json")
    return _mask_records(text, RECORD, plan, detect)


def _mask_records(text: str, separator: str, plan: Plan, detect: Detect) -> Masked:
    records = text.split(separator)
    tally = Tally()
    for first in range(0, len(records), RECORDS):
        _mask_portion(records, range(first, min(first + RECORDS, len(records))), plan, detect, tally)
    return Masked(separator.join(records) if tally.counts else text, tally.counts, tuple(tally.findings))


def _mask_portion(records: list[str], numbers: Iterable[int], plan: Plan, detect: Detect, tally: Tally) -> None:
    search = Search(plan, detect)
    waiting: Sequence[_Waiting] = [
        _Waiting(number, _walked(records[number], plan, search)) for number in numbers if records[number].strip(SPACE)
    ]
    search.flush()
    for number, document in waiting:
        records[number] = rewritten(document, (f"/{number}", "/*"), tally)


def _walked(text: str, plan: Plan, search: Search) -> Document:
    document = Document(text, plan, search)
    document.walk(read(text))
    return document
