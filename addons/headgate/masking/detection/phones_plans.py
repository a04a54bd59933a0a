"""Whether digits are a telephone number, in one region or behind a calling code.

libphonenumber parses what may be a number once for each region, into an object, and asks about that. Nearly all of it
depends on the digits alone and on whether a plus stands before them. How the parts follow each other here is that of
`phonenumberutil.parse` and of `phonenumbermatcher._verify` with leniency VALID, for what has neither an extension nor
letters.
"""

import re
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc

from headgate.masking.detection.phones_metadata import (
    LONGEST,
    NEVER,
    SHORTEST,
    begins,
    may_be_valid,
    partly,
    prefix_wanted,
    regions_of,
    valid_pattern,
)

CODES = {str(code): code for code in COUNTRY_CODE_TO_REGION_CODE}
CODE_LENGTHS = (1, 2, 3)


class Plan:
    """The rules of one region, for numbers dialled there."""

    def __init__(self, metadata: PhoneMetadata) -> None:
        general = metadata.general_desc or PhoneNumberDesc()
        prefix = metadata.national_prefix_for_parsing
        international = metadata.international_prefix
        self.code: int = metadata.country_code or 0
        self.code_text = str(self.code)
        self._international = re.compile(NEVER if international is None else international)
        self._prefix = re.compile(prefix) if prefix else None
        self._transform: str | None = metadata.national_prefix_transform_rule or None
        self._general = re.compile(general.national_number_pattern or NEVER)
        self._possible = frozenset(general.possible_length)
        self._local = frozenset(general.possible_length_local_only)
        self._most = general.possible_length[-1]
        self.needs_prefix = re.compile(prefix_wanted(metadata.number_format))
        self._dials_out_with = international

    def may_begin(self, head: str) -> bool:
        """Whether a prefix or the region's calling code may stand at the start of these digits."""
        prefix = self._prefix.pattern if self._prefix else None
        return any(begins(each, head) for each in (self.code_text, prefix, self._dials_out_with) if each is not None)

    def may_accept(self, length: int, head: str) -> bool:
        """Whether these rules may take digits of this length and beginning for a number, prefixes and all."""
        if self._dials_out_with is not None and begins(self._dials_out_with, head):
            return True
        if self._may_be_left(length, head):
            return True
        if not begins(self.code_text, head):
            return False
        rest, head, main = length - len(self.code_text), head[len(self.code_text) :], main_plan(self.code)
        taken = self._taken(head)
        return taken is None or any(
            (self._exceeds(length) or partly(self._general.pattern).fullmatch(head[each:], partial=True))
            and main._may_be_left(rest - each, head[each:])
            for each in taken
        )

    def _may_be_left(self, length: int, head: str) -> bool:
        """Whether a number may be left of digits that begin so, when a national prefix is taken off or is not."""
        taken = self._taken(head)
        return taken is None or any(may_be_valid(self.code, length - each, head[each:]) for each in taken)

    def treatment(self, length: int, head: str) -> object:
        """Two plans with equal ones agree about all digits of this length and beginning.

        Beyond what they share they have possible lengths of their own, and these are looked at in two places only.
        """
        taken = self._taken(head)
        if taken is None or length > LONGEST:
            return self
        general, transform = self._general.pattern, self._transform
        rules = self.code, self._dials_out_with, self._prefix and self._prefix.pattern, transform, general
        return rules, self._exceeds(length), tuple(self._keeps(length - each) for each in taken)

    def _exceeds(self, length: int) -> bool:
        return length > self._most and length not in self._local

    def _keeps(self, length: int) -> bool:
        return length not in self._local and (length in self._possible or length > self._most)

    def _taken(self, head: str) -> tuple[int, ...] | None:
        """How many digits of a national prefix may be taken off from digits that begin so; None when that varies."""
        if self._prefix is None or not begins(self._prefix.pattern, head):
            return (0,)
        return (0, len(self._prefix.pattern)) if self._prefix.pattern.isdecimal() else None

    def strip(self, number: str) -> tuple[str, bool]:
        """The number without its national prefix, and whether it had one."""
        found = self._prefix.match(number) if self._prefix and number else None
        if found is None:
            return number, False
        if self._transform is None or found.groups()[-1] is None:
            rest = number[found.end() :]
        else:
            rest = found.re.sub(self._transform, number, count=1)
        if self._general.fullmatch(number) and not self._general.fullmatch(rest):
            return number, False
        return rest, True

    def significant(self, number: str) -> str:
        """The national significant number: the prefix stays where the rest has no possible length."""
        rest, _ = self.strip(number)
        return rest if rest is number or self._keeps(len(rest)) else number

    def accepts(self, digits: str) -> bool:
        """Whether these digits, with no plus before them, are a valid number when dialled in this region."""
        found = self._international.match(digits)
        if found is not None and digits[found.end() : found.end() + 1] != "0":
            return international(digits[found.end() :])
        if digits.startswith(self.code_text):
            rest = self._after_own_code(digits)
            if rest is not None:
                return national(self.code, rest)
        number = self.significant(digits)
        if not valid(self.code, number):
            return False
        main = main_plan(self.code)
        return main.strip(digits)[1] or main.needs_prefix.match(number) is None

    def dials_out(self, digits: str) -> bool:
        """The same for digits after a plus that no calling code begins: only an international prefix makes sense."""
        found = self._international.match(digits)
        if found is None or digits[found.end() : found.end() + 1] == "0":
            return False
        return international(digits[found.end() :])

    def _after_own_code(self, digits: str) -> str | None:
        rest, _ = self.strip(digits[len(self.code_text) :])
        if self._exceeds(len(digits)):
            return rest
        matches = self._general.fullmatch
        return rest if matches(rest) and not matches(digits) else None


def international(digits: str) -> bool:
    """Whether these digits are a valid number, beginning with its calling code."""
    code = calling_code(digits)
    return code is not None and national(CODES[code], digits[len(code) :])


def calling_code(digits: str) -> str | None:
    """The calling code that digits after a plus or an international prefix begin with."""
    if len(digits) <= SHORTEST:
        return None
    for length in CODE_LENGTHS:
        if digits[:length] in CODES:
            return digits[:length]
    return None


def national(code: int, digits: str) -> bool:
    """Whether what stands after a calling code is a valid number there."""
    return len(digits) >= SHORTEST and valid(code, main_plan(code).significant(digits))


def valid(code: int, number: str) -> bool:
    """Whether a national significant number is one of a calling code, in any of the code's regions."""
    pattern = valid_pattern(code, len(number))
    return pattern is not None and pattern.match(number) is not None


@cache
def main_plan(code: int) -> Plan:
    """The plan of the region whose rules libphonenumber takes for a calling code that several share."""
    return Plan(regions_of(code)[0])
