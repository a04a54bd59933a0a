"""Which of the regions that a text is read for take digits for a telephone number.

Each region has numbers of some lengths and beginnings only. So what there is to ask about digits is set out in a table,
by how many there are and how they begin: mostly a pattern or two.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import product

from phonenumbers import PhoneMetadata

from headgate.masking.detection.phones_metadata import LONGEST, NEVER, SHORTEST, may_be_valid, shortest, valid_pattern
from headgate.masking.detection.phones_plans import CODES, Plan, calling_code, main_plan, national

DIGITS = "0123456789"
HEAD = 3
"""So many leading digits tell most numbers apart from those of a region."""

Check = tuple[int, Callable[[str], object]]
"""Some regions as bits, and what is true of digits that these take for a number."""


class Regions:
    """The regions that a text is read for. Which of them take digits for a number is told as a set of bits."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.everywhere = (1 << len(self.names)) - 1
        known = [PhoneMetadata.metadata_for_region(name, None) for name in self.names]
        self._plans = [(1 << bit, Plan(metadata)) for bit, metadata in enumerate(known) if metadata is not None]
        self.fewest = min(self._fewest())
        begun = {head: self._begun(head) for digits in range(HEAD + 1) for head in _heads(digits)}
        self._checks = [self._row(length, begun) for length in range(LONGEST + 2)]

    def _fewest(self) -> Iterable[int]:
        """Fewest digits of a number of each region, and of all that may be written with a calling code."""
        for text, code in CODES.items():
            yield len(text) + shortest(code)
        for _, plan in self._plans:
            yield shortest(plan.code)

    def accepting(self, digits: str, mask: int) -> int:
        """Those of `mask` that take digits without a plus for a number."""
        accepted = 0
        for bits, check in self._checks[min(len(digits), len(self._checks) - 1)].get(digits[:HEAD], ()):
            if bits & mask and check(digits):
                accepted |= bits
        return accepted & mask

    def accepted(self, digits: str) -> bool:
        """Whether any region takes digits without a plus for a number."""
        for _, check in self._checks[min(len(digits), len(self._checks) - 1)].get(digits[:HEAD], ()):
            if check(digits):
                return True
        return False

    def may_accept(self, digits: str) -> bool:
        """Whether digits without a plus have a length and a beginning of any number, as it may be dialled."""
        return digits[:HEAD] in self._checks[min(len(digits), len(self._checks) - 1)]

    def accepting_plus(self, digits: str, mask: int) -> int:
        """As `accepting`, for digits after a plus."""
        code = calling_code(digits)
        if code is not None:
            return mask if national(CODES[code], digits[len(code) :]) else 0
        if len(digits) <= SHORTEST:
            return 0
        return sum(bit for bit, plan in self._plans if bit & mask and plan.dials_out(digits))

    def _begun(self, head: str) -> int:
        """The regions where a prefix or a calling code may stand at the start of these digits."""
        return sum(bit for bit, plan in self._plans if plan.may_begin(head) or main_plan(plan.code).may_begin(head))

    def _row(self, length: int, begun: dict[str, int]) -> dict[str, tuple[Check, ...]]:
        """For numbers of one length: by how they begin, what decides about them. Beginnings without a number lack."""
        row: dict[str, tuple[Check, ...]] = {}
        heads = [""] if self.fewest <= length else []
        while heads:
            head = heads.pop()
            whole, direct = self._parted(length, head, begun[head])
            if (whole or direct) and len(head) < HEAD:
                heads += [head + digit for digit in DIGITS]
            elif whole or direct:
                checks = [(bits, undialled(code, length)) for code, bits in direct.items()]
                row[head] = *checks, *_told_apart(whole, length, head)
        return row

    def _parted(self, length: int, head: str, begun: int) -> tuple[list[tuple[int, Plan]], dict[int, int]]:
        """The plans that may take such digits for a number: those with prefixes to look for; the others by code."""
        whole: list[tuple[int, Plan]] = []
        direct: dict[int, int] = {}
        for bit, plan in self._plans:
            if begun & bit:
                if length > LONGEST or plan.may_accept(length, head):
                    whole.append((bit, plan))
            elif may_be_valid(plan.code, length, head):
                direct[plan.code] = direct.get(plan.code, 0) | bit
        return whole, direct


def _told_apart(plans: Iterable[tuple[int, Plan]], length: int, head: str) -> Iterable[Check]:
    """Plans that cannot but agree about digits of this length and beginning, as one."""
    alike: dict[object, tuple[int, Plan]] = {}
    for bit, plan in plans:
        treatment = plan.treatment(length, head)
        bits, first = alike.get(treatment, (0, plan))
        alike[treatment] = bits | bit, first
    return [(bits, plan.accepts) for bits, plan in alike.values()]


def _heads(digits: int) -> Iterable[str]:
    return ("".join(each) for each in product(DIGITS, repeat=digits))


@cache
def undialled(code: int, length: int) -> Callable[[str], object]:
    """Tells whether a national number is valid, and may be written without a national prefix."""
    pattern = valid_pattern(code, length)
    needed = main_plan(code).needs_prefix.pattern
    return re.compile(f"(?!{needed}){pattern.pattern if pattern else NEVER}").match
