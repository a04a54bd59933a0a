"""Characters outside ASCII that some servers read as another one, or not at all.

Three conversions are known to have turned a harmless path into another: compatibility normalisation (NFKC makes a
slash of U+FF0F and an `a` of U+FF41), "best fit" conversion to an ANSI code page (Windows makes a slash of U+2215, and
in Japan a backslash of U+00A5), and file systems that skip what has no width (U+200C on HFS+, CVE-2014-9390). Rules are
written in ASCII for the most part, so what may become a letter, a digit or a delimiter of ASCII is what gets around
them; letters of all scripts may stay, and so may wide brackets and quotes, which delimit nothing. Text that has a
second spelling (`e` and an accent by itself) must be in Unicode's composed form (NFC).
"""

import re
import unicodedata
from functools import lru_cache

_MEANT = re.compile(r"[0-9A-Za-z\-._~/\\;*#?%]")
_BEST_FIT = frozenset("\u00a5\u20a9\u066a\u2044\u2215\u2216\u2217\u29f5\u29f8\u29f9")
"""What code pages, and eyes, take for `\\ \\ % / / \\ * \\ / \\`, and what NFKC leaves as it is."""


def has_lookalikes(text: str) -> bool:
    if text.isascii():
        return False
    return not unicodedata.is_normalized("NFC", text) or any(map(_is_lookalike, text))


def has_case(text: str) -> bool:
    """Whether a letter outside ASCII would be another one where case does not count; ASCII is folded by us."""
    return not text.isascii() and any(map(_folds, text))


@lru_cache(maxsize=4096)
def _is_lookalike(character: str) -> bool:
    if character.isascii():
        return False
    if character in _BEST_FIT or unicodedata.category(character) == "Cf":  # Cf: no width of its own
        return True
    return _MEANT.search(unicodedata.normalize("NFKC", character)) is not None


@lru_cache(maxsize=4096)
def _folds(character: str) -> bool:
    if character.isascii():
        return False
    return character.casefold() != character or any(letter.isascii() for letter in character.upper())
