"""Numbers as readers may take them: exactly, and as the double that most readers of JSON make of them.

Where the two say different things of a number, what a rule says of it is unknown.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any, NamedTuple

MAX_DIGITS = 100
MAX_INTEGER = 1 << 64
"""What no integer type of 64 bits holds is read in too many ways: cut off, capped, refused."""

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?\Z")
ORDERS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}


class Real(float):
    """A number of JSON that is not written as an integer, with its text."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> "Real":
        number = super().__new__(cls, text)
        number.text = text
        return number


class Readings(NamedTuple):
    exact: int | Decimal
    double: float


def readings(value: object) -> Readings | None:
    """None for what is no number, and for numbers that are too large or too long to be read alike."""
    if type(value) is int:
        return Readings(value, float(value)) if -MAX_INTEGER < value < MAX_INTEGER else None
    if type(value) is Real:
        if len(value.text) > MAX_DIGITS or not isfinite(value):
            return None
        try:
            return Readings(Decimal(value.text), float(value))
        except ArithmeticError:  # an exponent beyond all bounds
            return None
    return None


def written(text: object) -> Readings | None:
    """A number that is written out as text, in the one way that every reader takes for the same."""
    if not isinstance(text, str) or not _DECIMAL.match(text):
        return None
    return Readings(Decimal(text), float(text))


def stated(value: int | float) -> Readings:
    """A number of a rule, where a fraction is what somebody wrote: the shortest text of that double."""
    return Readings(value if isinstance(value, int) else Decimal(repr(value)), float(value))


def compares(order: str, bound: int | float) -> Callable[[Readings], bool | None]:
    """Whether a number is on the right side of the bound."""
    holds, (exact, double) = ORDERS[order], stated(bound)

    def judge(number: Readings) -> bool | None:
        result = holds(number.exact, exact)
        return result if holds(number.double, double) is result else None

    return judge


def equals(numbers: tuple[int | float, ...]) -> Callable[[Readings], bool | None]:
    """Whether a number is one of these."""
    exacts, doubles = (frozenset(kind) for kind in zip(*map(stated, numbers), strict=True))

    def judge(number: Readings) -> bool | None:
        result = number.exact in exacts
        return result if (number.double in doubles) is result else None

    return judge
