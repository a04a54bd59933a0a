"""Reading of JSON texts (RFC 8259) so that masking replaces characters, not the document.

A text is read by the standard library, which refuses what is not JSON, into values that keep what a parser drops:
repeated members, their order, and the spelling of numbers. Most texts hold nothing to mask and need no more than that;
only for one that does, `headgate.masking.formats.jsonlayout` finds out where each value stands.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from headgate.masking.plan import CannotMask

DEPTH = 100
"""Documents nested more deeply are not masked; it is also how far JSONPath descends."""

STRUCTURE = 1_000_000
"""Documents with more commas, colons and brackets are not masked: it bounds time and memory."""

EXPONENT = 3
"""Digits of an exponent; with more, a number written out could be of any length."""

_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)
_PLAIN = re.compile(r"[ !#-\[\]-~]*+")


class Number(str):
    """A number as it is spelled."""

    __slots__ = ()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def read(text: str) -> Any:
    """The value of a JSON text: an object is a tuple of (name, value), an array a list, a number a `Number`.

    CannotMask when it is not JSON, or too much of it. How deeply it is nested is found out by whoever walks it.
    """
    if sum(map(text.count, ",:[{")) > STRUCTURE:
        raise CannotMask("document-too-large")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise CannotMask("nested-too-deeply") from None
    except ValueError:
        raise CannotMask("invalid-json") from None


def read_as_queried(text: str) -> Any:
    """The value of a text that `read` has accepted as JSONPath sees it; CannotMask where a member is repeated.

    Which one of several members of a name counts depends on the reader.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except ValueError:
        raise CannotMask("number-out-of-range") from None


def _distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise CannotMask("repeated-member")
    return found


def size(value: Any, depth: int = 0) -> int:
    """How many values there are in one, itself included; `depth` is how many it is in."""
    if type(value) is tuple:
        value = [inner for _, inner in value]
    if type(value) is not list:
        return 1
    if depth >= DEPTH:
        raise CannotMask("nested-too-deeply")
    return 1 + sum([size(inner, depth + 1) for inner in value])


def in_range(number: str) -> bool:
    """Whether a number can be written out: its exponent has few digits, not counting zeros before them."""
    return len(number.lower().partition("e")[2].lstrip("+-").lstrip("0")) <= EXPONENT


def written_out(number: str) -> str:
    """A number as it is usually written: 4.111111111111111e15 is a card number, too."""
    if "e" not in number and "E" not in number:
        return str(number)
    if not in_range(number):
        raise CannotMask("number-out-of-range")
    mantissa, _, exponent = number.lower().partition("e")
    return _shifted(mantissa, int(exponent))


def _shifted(mantissa: str, by: int) -> str:
    """Without `decimal`, whose precision would round a long one."""
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, rest = mantissa.removeprefix("-").partition(".")
    digits, point = whole + rest, len(whole) + by
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    before, after = digits[:point].lstrip("0") or "0", digits[point:]
    return f"{sign}{before}.{after}" if after.strip("0") else sign + before


def string_at(text: str, start: int) -> tuple[str, int]:
    """What the string that begins here says, and where it ends."""
    said, end = _DECODER.raw_decode(text, start)
    return str(said), end


def unescape(raw: str) -> str:
    """The characters of a JSON string, given with its quotes."""
    return string_at(raw, 0)[0]


def escape(text: str) -> str:
    """How a text is spelled in a JSON string, without the quotes."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)[1:-1]


def offsets(raw: str, positions: Iterable[int]) -> Iterator[int]:
    """Where the characters at some positions, in rising order, are spelled in a JSON string without its quotes."""
    escapes = _ESCAPE.finditer(raw) if "\\" in raw else iter(())
    following = next(escapes, None)
    shift = 0
    for position in positions:
        while following and following.start() - shift < position:
            shift += len(following[0]) - 1
            following = next(escapes, None)
        yield position + shift
