"""One reading of a text for telephone numbers, for all regions at once.

Regions part only where one of them takes a piece of a candidate for a number and another does not, for libphonenumber
goes on behind what it found; they meet again at the next index both come to. libphonenumber also gives up on a text
after so many pieces that are no number, in each region by itself: they are counted here for all regions together, so
that a reading may say too early, never too late, that one of them gave up.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from phonenumbers import Leniency, NumberParseException, parse
from phonenumbers import phonenumbermatcher as matcher
from phonenumbers import phonenumberutil as util

from headgate.masking.detection.phones_candidates import Alphabet, by_pattern, dated, parts, shaped, tries_within
from headgate.masking.detection.phones_regions import Regions

Spend = Callable[[int], None]
"""Told of work before it is done, in characters that a pattern is run over; may raise to end it."""

TRIES = 65535
"""Pieces that are no number after which libphonenumber gives up on a text: the default of `PhoneNumberMatcher`."""

UNBOUND_DIGITS = 20
"""With no more digits than libphonenumber allows in one block, none of its limits can have ended a candidate."""

LONGEST_PARSED = 250
"""libphonenumber parses nothing longer."""

PARSED = 40
"""What parsing by libphonenumber costs for each character, in characters that a pattern is run over."""

BEHIND = 3
"""Characters behind a candidate that are looked at: it may be the date before a time."""

MOST_KNOWN = 256
"""Candidates of a text that are remembered while it is read: hostile texts repeat themselves."""

KNOWN = 0x20000
"""Characters that are looked through for digits; one beyond them is left to libphonenumber."""

LETTERS = "xX~\u2053\u223c\uff5e"
"""Of what libphonenumber takes for punctuation, that which may mean more."""


def _digits_only() -> dict[int, str | None]:
    """For `str.translate`: digits in ASCII, a plus as one, and nothing for what only groups the digits of a number."""
    characters = "".join(map(chr, range(KNOWN)))
    grouping = re.findall(f"[{util._VALID_PUNCTUATION}{matcher._OPENING_PARENS}]", characters)
    table: dict[int, str | None] = {ord(found): None for found in grouping if found not in LETTERS}
    table.update({ord(found): str(int(found)) for found in re.findall(r"\d", characters)})
    table.update({ord(found): "+" for found in util._PLUS_CHARS})
    return table


def _bars(character: str) -> bool:
    """Whether there is no number directly beside this character."""
    check = matcher.PhoneNumberMatcher
    return bool(check._is_invalid_punctuation_symbol(character) or check._is_latin_letter(character))


_ANY_MATCHER = matcher.PhoneNumberMatcher("", None)
DIGITS = _digits_only()
BARRING = frozenset(chr(code) for code in range(128) if _bars(chr(code)))
LEADING = frozenset(chr(code) for code in range(0x10000) if matcher._LEAD_PATTERN.match(chr(code)))


def hemmed(text: str, start: int, end: int) -> bool:
    """Whether a letter, a currency sign or a percent sign stands directly before or behind a piece of a text."""
    if end < len(text):
        behind = text[end]
        if behind in BARRING or (behind > "\x7f" and _bars(behind)):
            return True
    if start == 0 or text[start] in LEADING:
        return False
    before = text[start - 1]
    return before in BARRING or (before > "\x7f" and _bars(before))


class _Known(NamedTuple):
    """What became of a candidate: its tries, what was found in it and where regions went on, counted from its start."""

    tries: int
    found: tuple[tuple[int, int], ...]
    ways: tuple[tuple[int, int], ...]


class Reading:
    """One way through a text. `found` are the numbers, as (start, end); `left` the tries before a region gives up.

    With an alphabet, the text must be one without extensions: places with too few digits are passed over.
    """

    def __init__(self, text: str, regions: Regions, alphabet: Alphabet | None, spend: Spend | None) -> None:
        self.found: set[tuple[int, int]] = set()
        self.left = TRIES
        self._text = text
        self._regions = regions
        self._alphabet = alphabet
        self._spend = spend
        self._parsed: dict[tuple[str, str], bool] = {}
        self._read: dict[tuple[int, bool, str], _Known] = {}

    def follow(self, mask: int) -> bool:
        """Read to the end; false when tries ran out. Of several regions that says only that one may have run out."""
        self.spend(len(self._text))
        ways = {0: mask}
        while ways and self.left > 0:
            ways = self._advance(ways)
        return self.left > 0

    def step(self, index: int) -> int | None:
        """Read the next candidate, and on until all regions go on from one index: from which, if there is more."""
        ways = self._advance({index: self._regions.everywhere})
        while len(ways) > 1 and self.left > 0:
            ways = self._advance(ways)
        return min(ways, default=None)

    def _advance(self, ways: dict[int, int]) -> dict[int, int]:
        """Let the regions go on that are the furthest behind. A way is an index and the regions that came to it."""
        index = min(ways)
        mask = ways.pop(index)
        place = self._place(index)
        if place is not None:
            for onward, bits in self._candidate(*place, mask).items():
                ways[onward] = ways.get(onward, 0) | bits
        return ways

    def _place(self, index: int) -> tuple[int, int] | None:
        if self._alphabet is None:
            return by_pattern(self._text, index)
        place = self._alphabet.by_digits(self._text, index)
        if place is not None:
            self.left -= self._alphabet.tries_between(self._text, index, place[0])
        return place

    def _candidate(self, start: int, end: int, mask: int) -> dict[int, int]:
        """Where regions go on behind a candidate; of one that has been read before between the same characters, that
        is known."""
        place = mask, start > 0, self._text[max(0, start - 1) : end + BEHIND]
        known = self._read.get(place)
        if known is not None and known.tries < self.left:
            self.spend(end - start)
            self.left -= known.tries
            self.found.update((start + first, start + last) for first, last in known.found)
            return {start + onward: bits for onward, bits in known.ways}
        found, left, self.found = self.found, self.left, set()
        ways = self._read_candidate(start, end, mask)
        if len(self._read) < MOST_KNOWN:
            spans = tuple((first - start, last - start) for first, last in self.found)
            onward = tuple((index - start, bits) for index, bits in ways.items())
            self._read[place] = _Known(left - self.left, spans, onward)
        self.found |= found
        return ways

    def _read_candidate(self, start: int, end: int, mask: int) -> dict[int, int]:
        candidate = self._text[start:end]
        if "x" in candidate:
            second = util._SECOND_NUMBER_START_PATTERN.search(candidate)
            if second is not None:
                end = start + second.start()
                candidate = self._text[start:end]
        self.spend(len(candidate))
        if dated(candidate, self._text, end):
            self.left -= 1
            return {end: mask}
        taken = self.accepting(start, end, mask)
        if taken:
            self.found.add((start, end))
            if taken == mask:
                return {end: mask}
            if self._alphabet is not None and _unbound(candidate):
                self.left -= tries_within(candidate, 1 + UNBOUND_DIGITS // self._regions.fewest)
                return {end: mask}
        return self._parts(candidate, start, {end: taken} if taken else {}, mask & ~taken)

    def _parts(self, candidate: str, start: int, ways: dict[int, int], mask: int) -> dict[int, int]:
        failed: set[tuple[int, int]] = set()
        for part in parts(candidate):
            if part.counted and self.left <= 0:
                break
            span = start + part.start, start + part.end
            if span not in failed:
                failed.add(span)
                taken = self.accepting(*span, mask)
                if taken:
                    self.found.add(span)
                    ways[span[1]] = ways.get(span[1], 0) | taken
                    mask &= ~taken
                    if not mask:
                        return ways
            self.left -= part.tries
        self.left -= 1
        end = start + len(candidate)
        ways[end] = ways.get(end, 0) | mask
        return ways

    def accepting(self, start: int, end: int, mask: int) -> int:
        """The regions of `mask` that take a piece of the text for a number."""
        if end - start < self._regions.fewest or end - start > LONGEST_PARSED:
            return 0
        piece = self._text[start:end]
        digits = piece.translate(DIGITS)
        plain = digits.removeprefix("+")
        if not (plain.isdecimal() and plain.isascii()):
            return self._parse(piece, start, end, mask)
        if len(plain) < self._regions.fewest or hemmed(self._text, start, end) or not shaped(piece):
            return 0
        accepting = self._regions.accepting if plain is digits else self._regions.accepting_plus
        return accepting(plain, mask)

    def _parse(self, piece: str, start: int, end: int, mask: int) -> int:
        """The same by libphonenumber itself, for what has letters in it."""
        if sum(map(str.isalnum, piece)) < self._regions.fewest:
            return 0
        if hemmed(self._text, start, end) or not shaped(piece) or not self._may_parse(piece):
            return 0
        accepted = 0
        for bit, region in enumerate(self._regions.names):
            if mask >> bit & 1 and self._parses(piece, region):
                accepted |= 1 << bit
        return accepted

    def _may_parse(self, piece: str) -> bool:
        """Whether what stands before an extension has as many digits as a number, beginning as one.

        An extension is taken off first by libphonenumber too, and letters count as digits only where there are three.
        """
        number = util._build_national_number_for_parsing(piece)
        if util._PLUS_CHARS_PATTERN.search(number) or util._VALID_ALPHA_PHONE_PATTERN.match(number):
            return True
        _, dialled = util._maybe_strip_extension(number)
        return self._regions.may_accept(util.normalize_digits_only(dialled))

    def _parses(self, piece: str, region: str) -> bool:
        known = self._parsed.get((piece, region))
        if known is None:
            self.spend(len(piece) * PARSED)
            known = self._parsed[piece, region] = _is_number(piece, region)
        return known

    def spend(self, units: int) -> None:
        if self._spend is not None:
            self._spend(units)


def _is_number(piece: str, region: str) -> bool:
    try:
        number = parse(piece, region, keep_raw_input=True)
    except NumberParseException:
        return False
    return bool(matcher._verify(Leniency.VALID, number, piece, _ANY_MATCHER))


def _unbound(candidate: str) -> bool:
    """Whether no limit of libphonenumber's has ended this candidate: read from anywhere in it, it ends there too."""
    digits = candidate.translate(DIGITS).removeprefix("+")
    return digits.isdecimal() and len(digits) <= UNBOUND_DIGITS
