"""Telephone numbers: the findings of Presidio's `PhoneRecognizer`, for a fraction of what they cost there.

The recognizer lets libphonenumber search a text once for each of its regions, and libphonenumber builds and checks an
object for whatever looks like a number. Here a text is searched once for all regions (`phones_reading`). What is left
of a candidate (`phones_candidates`) are its digits, and whether they are a number is asked of patterns, and only of
regions whose numbers can begin so (`phones_regions`). The few candidates with an extension, or with letters, are parsed
by libphonenumber itself. Nearly all texts are read shorter still, by `_scan`: candidate after candidate, as long as no
two regions go on from different places.

Equality with the recognizer, for every text, is what the tests of this module are about.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from phonenumbers import Leniency
from phonenumbers.phonenumberutil import _EXTN_PATTERNS_FOR_MATCHING as EXTENSIONS
from phonenumbers.phonenumberutil import _VALID_PUNCTUATION as VALID_PUNCTUATION

from headgate.masking.detection.phones_candidates import (
    Alphabet,
    alphabets,
    dated,
    plain_parts,
    shaped,
    tries_within,
)
from headgate.masking.detection.phones_reading import DIGITS, UNBOUND_DIGITS, Reading, Spend, hemmed
from headgate.masking.detection.phones_regions import Regions

if TYPE_CHECKING:
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

UNCOUNTED = 1000
"""Characters of a text whose tries need no counting: even a candidate with all breaks it may have, read again behind
each number in it, takes fewer than `TRIES / UNCOUNTED` for each of its characters."""

REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
"""Those of `PhoneRecognizer`, for who asks without Presidio."""

Found = tuple[int, int, float]
"""Where a number begins and ends, and its score."""


class Settings(NamedTuple):
    """The recognizer that findings are those of, and what it takes to find them without it."""

    recognizer: "PhoneRecognizer"
    score: float
    regions: Regions
    ascii: Alphabet
    unicode: Alphabet


@lru_cache(maxsize=1)
def _settings() -> Settings:
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return settings_of(PhoneRecognizer())


def settings_of(recognizer: "PhoneRecognizer") -> Settings:
    regions = Regions(recognizer.supported_regions)
    return Settings(recognizer, recognizer.SCORE, regions, *alphabets(regions.fewest))


def may_hold_phone(text: str) -> bool:
    """Whether the text has digits enough for a number, and near enough together. If not, it holds none."""
    settings = _settings()
    if settings.recognizer.leniency != Leniency.VALID:
        return True
    return (settings.ascii if text.isascii() else settings.unicode).gate.search(text) is not None


def gate_pattern() -> str:
    """What stands in every text that holds a number, as a pattern that takes no notice of case.

    Digits enough with little between them, or a digit and an extension: `1 6     ~41` is a number to libphonenumber.
    """
    more = _settings().regions.fewest - 1
    return rf"\d(?:(?:[{VALID_PUNCTUATION}]{{0,4}}\d){{{more}}}|{EXTENSIONS})"


def find_phones(text: str, spend: Spend | None = None) -> list[Found]:
    """Where `PhoneRecognizer` finds telephone numbers in a text, and with what score; in the order of the text.

    `spend` is told of the work, in characters that a pattern is run over.
    """
    recognizer, score, regions, ascii_alphabet, unicode_alphabet = _settings()
    if recognizer.leniency != Leniency.VALID:
        found = recognizer.analyze(text, recognizer.supported_entities)
        return [(each.start, each.end, each.score) for each in found]
    alphabet = ascii_alphabet if text.isascii() else unicode_alphabet
    if alphabet.may_extend(text):
        spans = None
    else:
        first = alphabet.chain.search(text)
        if first is None:
            return []
        spans = _scan(text, first, regions, alphabet, spend)
    if spans is None:
        spans = _read(text, regions, spend)
    return [(start, end, score) for start, end in _widest(spans)]


def holds_number(text: str) -> bool:
    """Whether there is a number in the text for any of the regions that are Presidio's default; it is not loaded."""
    regions, in_ascii, in_unicode = _defaults()
    alphabet = in_ascii if text.isascii() else in_unicode
    first = None if alphabet.may_extend(text) else alphabet.chain.search(text)
    spans = _scan(text, first, regions, alphabet, None) if first else None
    return bool(_read(text, regions, None) if spans is None else spans)


@lru_cache(maxsize=1)
def _defaults() -> tuple[Regions, Alphabet, Alphabet]:
    regions = Regions(REGIONS)
    return (regions, *alphabets(regions.fewest))


def _widest(found: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Findings without those that lie in another, as `EntityRecognizer.remove_duplicates` leaves them."""
    if len(found) < 2:
        return list(found)
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def _read(text: str, regions: Regions, spend: Spend | None) -> set[tuple[int, int]]:
    """What all regions find. Where one of them may run out of tries, each is followed by itself, as it is counted."""
    together = Reading(text, regions, None, spend)
    if together.follow(regions.everywhere):
        return together.found
    found: set[tuple[int, int]] = set()
    for bit in range(len(regions.names)):
        alone = Reading(text, regions, None, spend)
        alone.follow(1 << bit)
        found |= alone.found
    return found


def _scan(
    text: str, found: re.Match[str] | None, regions: Regions, alphabet: Alphabet, spend: Spend | None
) -> set[tuple[int, int]] | None:
    """What all regions find in a text without extensions, `found` being where its first candidate has its digits.

    None when one of them may run out of tries.
    """
    reading = Reading(text, regions, alphabet, spend)
    reading.spend(len(text))
    counted = len(text) > UNCOUNTED
    index = 0
    while found is not None and reading.left > 0:
        first, end = found.span()
        start = alphabet.lead(text, index, first) if first > index else first
        verdict = _judge(text, start, end, regions)
        if verdict is None:
            onward = reading.step(index)
            if onward is None:
                break
            end = onward
        elif verdict:
            reading.found.add((start, end))
        if counted and verdict is not None:
            readings = 1 + min(end - first, UNBOUND_DIGITS) // regions.fewest if verdict else 1
            reading.left -= tries_within(text[start:end], readings)
            reading.left -= alphabet.tries_between(text, index, start)
        index = end
        found = alphabet.chain.search(text, index)
    return reading.found if reading.left > 0 else None


def _judge(text: str, start: int, end: int, regions: Regions) -> bool | None:
    """Whether a candidate is a number behind which all regions go on, or has none in it; None when this is not sure.

    When a region takes a whole candidate for a number, it does not matter what others find in it, as long as they can
    find nothing that goes beyond it.
    """
    piece = text[start:end]
    if piece.isdecimal() and piece.isascii():
        if len(piece) > UNBOUND_DIGITS:
            return None
        return regions.accepted(piece) and not hemmed(text, start, end)
    digits = piece.translate(DIGITS)
    plain = digits.removeprefix("+")
    if len(plain) > UNBOUND_DIGITS or not (plain.isdecimal() and plain.isascii()):
        return None
    if dated(piece, text, end):
        return False
    if _accepted(digits, regions) and not hemmed(text, start, end) and shaped(piece):
        return True
    pieces = plain_parts(piece)
    return None if pieces is None or any(_may_be_number(each, regions) for each in pieces) else False


def _may_be_number(piece: str, regions: Regions) -> bool:
    """Whether some region takes the digits of a piece for a number, whatever stands around it."""
    return len(piece) >= regions.fewest and _accepted(piece.translate(DIGITS), regions)


def _accepted(digits: str, regions: Regions) -> bool:
    if digits.startswith("+"):
        return regions.accepting_plus(digits[1:], regions.everywhere) != 0
    return regions.accepted(digits)
