"""Whether digits are nobody's: no card, no NHS number and no telephone number, however they are written.

Asked of the usual ways to write so many digits and of the one at hand, so that two spellings of one value, which are to
have one token, nearly always get the same answer.
"""

import re
from collections.abc import Iterator, Sequence

_RUN = re.compile(r"\d+")
_CARD = re.compile(r"\d{12,19}")
NHS = 10


def nobodys(digits: Sequence[int], shape: str) -> bool:
    """`shape` is a text with as many digits, in whose place these are written."""
    return not any(_is_somebodys(text) for text in dict.fromkeys(_written(digits, shape)))


def _written(digits: Sequence[int], shape: str) -> Iterator[str]:
    plain = "".join(map(str, digits))
    left = iter(plain)
    yield "".join(next(left, "0") if each.isdigit() or each.isnumeric() else each for each in shape)
    yield plain
    yield f"+{plain}"
    for mark in " -":
        yield f"{plain[:3]}{mark}{plain[3:6]}{mark}{plain[6:]}"
        yield mark.join(plain[at : at + 4] for at in range(0, len(plain), 4))
    yield f"({plain[:3]}) {plain[3:6]}-{plain[6:]}"


def _is_somebodys(text: str) -> bool:
    runs = _RUN.findall(text)
    joined = {"".join(runs[start:end]) for start in range(len(runs)) for end in range(start + 1, len(runs) + 1)}
    return any(_is_card(each) or _is_nhs(each) for each in joined) or _is_phone(text)


def _is_card(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B)."""
    if not _CARD.fullmatch(digits):
        return False
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


def _is_nhs(digits: str) -> bool:
    """Ten digits that pass the check modulo 11."""
    return len(digits) == NHS and sum(int(digit) * (NHS - at) for at, digit in enumerate(digits)) % 11 == 0


def _is_phone(text: str) -> bool:
    from headgate.masking.detection.phones import holds_number  # builds its tables, which takes half a second, once

    return holds_number(text)
