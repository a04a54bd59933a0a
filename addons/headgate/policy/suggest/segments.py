"""Which segments of a path are values rather than words, and what to call the variable that stands for them.

A value is what names one thing among many: a number, a UUID, a ULID, a hash, a date, an address, a long mixture of
letters and digits, with a prefix or a file's ending, too. In doubt it is a word: a word stays literal in a rule, which
then allows less. What masking has put in a value's place is one as well.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import unquote

MASKED = re.compile(r"\[[A-Z][A-Z0-9_]*\]|\[redacted\]|\*{4}")
"""What operators leave in the place of a value."""

_ENDING = re.compile(r"\.[A-Za-z]{1,5}[0-9]?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?(T[0-9:.,+Z-]+)?\Z")
_NUMBER = re.compile(r"[0-9]+([-.,_:][0-9]+)*\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_HEX = re.compile(r"(?=.*[0-9])[0-9a-f]{8,}\Z|[0-9a-f]{16,}\Z", re.IGNORECASE)
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z", re.IGNORECASE)
_PREFIXED = re.compile(r"[A-Za-z][A-Za-z0-9]{0,11}([-_.:])(?=[A-Za-z0-9]*[0-9])([0-9]{3,}|[A-Za-z0-9]{6,})\Z")
_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9_=.-]{16,}\Z|(?=.*[0-9])[a-z0-9]{16,}=*\Z")
_VALUES = (_NUMBER, _UUID, _HEX, _ULID, _PREFIXED, _MIXED)

_VERSION = re.compile(r"v[0-9]+([._][0-9]+)*\Z", re.IGNORECASE)
_UNCOUNTED = frozenset({"api", "rest", "public", "internal", "admin"})
"""Words behind which no value is expected."""

_IRREGULAR: Final = {"people": "person", "children": "child", "indices": "index", "indexes": "index", "data": "data"}
_LONGEST_NAME = 40


def is_value(segment: str) -> bool:
    """Whether a segment, as it stands in a canonical path, names one thing among many."""
    text = unquote(segment)
    if MASKED.search(text) or "@" in text or not text.isascii():
        return True
    if _VERSION.match(text):
        return False
    stem = _ENDING.sub("", text) or text
    return any(kind.match(one) for one in {text, stem} for kind in (_DATE, *_VALUES))


def may_hold_values(before: str | None) -> bool:
    """Whether words at this place may be values: behind a noun, not at the start or behind a prefix such as `/v1/`."""
    return before is not None and not _VERSION.match(before) and before.lower() not in _UNCOUNTED


def variable_name(before: str | None, values: Collection[str], taken: Iterable[str]) -> str:
    """A name for the variable behind the segment `before` (None: none, or a variable), that is not yet taken."""
    dated = bool(values) and all(_DATE.match(_ENDING.sub("", value)) for value in values)
    word = noun(before) if before is not None and may_hold_values(before) else ""
    name = "date" if dated else f"{word}_id" if word else "id"
    used = set(taken)
    return next(tried for number in range(1, len(used) + 2) if (tried := _numbered(name, number)) not in used)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def noun(segment: str) -> str:
    """A segment as a noun in the singular, spelled as a variable is; empty where nothing is left of it."""
    spelled = re.sub(r"[^a-z0-9]+", "_", unquote(segment).lower()).strip("_")
    *first, last = spelled.split("_")
    return re.sub(r"\A[^a-z]+", "", "_".join([*first, _singular(last)]))[:_LONGEST_NAME].rstrip("_")


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word
