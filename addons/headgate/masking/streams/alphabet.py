"""Which characters an element of a pattern may read, in the widest sense that any flag gives it.

`re` and `regex` differ in what a letter, digit or space is, with ASCII flag or without; a case-insensitive pattern
reads other letters as well. A character counts wherever any of them would let it.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from typing import Any

Element = tuple[bool, tuple[Any, ...]]
"""Whether it is negated, and the characters, ranges and categories that are listed."""

JOINERS = "\u200b\u200c\u200d"
_SPECIAL = {"k": "\u212a", "s": "\u017f", "i": "\u0130\u0131", "\u00e5": "\u212b"}
"""Characters that a case-insensitive pattern takes for a letter of ASCII, and the ring that is written in two ways."""


@lru_cache(maxsize=2048)
def forms(character: str) -> tuple[str, ...]:
    """The character first, then all that are the same but for their case."""
    found = dict.fromkeys([character])
    for _ in range(2):
        for known in list(found):
            others = (known.lower(), known.upper(), known.title(), known.casefold(), *_SPECIAL.get(known.lower(), ""))
            found.update(dict.fromkeys(other for other in others if len(other) == 1))
    return tuple(found)


class Alphabet:
    """Tells characters apart only as far as one of the elements does."""

    def __init__(self, elements: Iterable[Element]) -> None:
        ends = {end for _, listed in elements for code, argument in listed for end in _ends(code, argument)}
        self._ends = sorted(ends)

    def kind(self, character: str) -> tuple[Any, ...]:
        """Characters of the same kind are in the same elements."""
        return tuple((bisect_right(self._ends, ord(form)), *_kinds(form)) for form in forms(character))


def reads(element: Element, character: str) -> bool:
    negated, listed = element
    if negated:
        return not any(_certainly(code, argument, character) for code, argument in listed)
    return any(_possibly(code, argument, form) for code, argument in listed for form in forms(character))


def _ends(code: Any, argument: Any) -> tuple[int, ...]:
    if code is codes.LITERAL:
        return (argument, argument + 1)
    return (argument[0], argument[1] + 1) if code is codes.RANGE else ()


def _possibly(code: Any, argument: Any, character: str) -> bool:
    return _in_category(argument, character) if code is codes.CATEGORY else _listed(code, argument, character)


def _certainly(code: Any, argument: Any, character: str) -> bool:
    if code is codes.CATEGORY:
        opposite = _OPPOSITE.get(argument)
        return opposite is not None and not _in_category(opposite, character)
    return _listed(code, argument, character)


def _listed(code: Any, argument: Any, character: str) -> bool:
    if code is codes.LITERAL:
        return bool(argument == ord(character))
    return code is not codes.RANGE or bool(argument[0] <= ord(character) <= argument[1])


def _kinds(character: str) -> tuple[bool, ...]:
    return tuple(_in_category(category, character) for category in _OPPOSITE)


def _in_category(category: Any, character: str) -> bool:
    """Whether any flag lets the character belong to the category."""
    plain = character.isascii()
    if category is codes.CATEGORY_WORD:
        marks = unicodedata.category(character)
        return character.isalnum() or character in JOINERS or marks[0] in "MN" or marks == "Pc"
    if category is codes.CATEGORY_DIGIT:
        return character.isdigit()
    if category is codes.CATEGORY_SPACE:
        return character.isspace() or character in JOINERS
    if category is codes.CATEGORY_NOT_WORD:
        return not (plain and (character.isalnum() or character == "_"))
    if category is codes.CATEGORY_NOT_DIGIT:
        return not (plain and character.isdigit())
    if category is codes.CATEGORY_NOT_SPACE:
        return character not in " \t\n\r\f\v"
    return True


_OPPOSITE = {
    codes.CATEGORY_WORD: codes.CATEGORY_NOT_WORD,
    codes.CATEGORY_NOT_WORD: codes.CATEGORY_WORD,
    codes.CATEGORY_DIGIT: codes.CATEGORY_NOT_DIGIT,
    codes.CATEGORY_NOT_DIGIT: codes.CATEGORY_DIGIT,
    codes.CATEGORY_SPACE: codes.CATEGORY_NOT_SPACE,
    codes.CATEGORY_NOT_SPACE: codes.CATEGORY_SPACE,
}
