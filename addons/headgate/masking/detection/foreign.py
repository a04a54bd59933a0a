"""Text with characters outside ASCII, as gates see it: one byte for each character.

Gates are made of what a pattern asks of ASCII characters, and of three signs for all others. A character outside ASCII
may be a decimal digit (`\\d`), or equal to an ASCII letter when case is ignored (the long s, the Kelvin sign), or
neither. Digits are told by the Unicode version of Python; the one of `regex` may be newer, and so what is not assigned
yet counts as a digit.
"""

import codecs
import unicodedata

from headgate.masking.detection.shapes import DIGIT, FOLDED, OTHER

EQUAL_TO_ASCII = frozenset("\u0130\u0131\u017f\u212a")
"""The dotted and the dotless i of Turkish, the long s, the Kelvin sign."""

MAYBE_DIGITS = frozenset({"Nd", "Cn"})

_SCHEME = "headgate-signs"
_OTHER, _DIGIT, _FOLDED = (sign.bit_length() - 1 for sign in (OTHER, DIGIT, FOLDED))


def encoded(text: str) -> bytes:
    return text.encode("ascii", _SCHEME)


def sign(character: str) -> int:
    """The byte that stands for a character outside ASCII."""
    if character in EQUAL_TO_ASCII:
        return _FOLDED
    return _DIGIT if unicodedata.category(character) in MAYBE_DIGITS else _OTHER


def _signs(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return bytes(map(sign, error.object[error.start : error.end])), error.end


codecs.register_error(_SCHEME, _signs)
