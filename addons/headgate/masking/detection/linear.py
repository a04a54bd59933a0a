"""Patterns of Presidio that run away on some texts, found in another way that does not, with the same matches.

Each finder here belongs to one pattern, letter by letter: of a Presidio that has another one, that is run as it is,
with a limit of time. What a finder relies on is said where it does. Words, digits and ignored case mean what they mean
to `regex`, for the parts are run by it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Spans = Callable[[str], Iterator[tuple[int, int]]]
"""The matches of one pattern in a text, as its `finditer` gives them."""

_LOCAL = r"[!#$%&'*+\-/=?^_`{|}~\w]"
_LOCAL_OR_DOT = r"[!#$%&'*+\-/=?^_`{|}~\.\w]"
ADDRESS = (
    rf"\b((({_LOCAL})|({_LOCAL}{_LOCAL_OR_DOT}{{0,}}{_LOCAL}))[@]\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+)\b"
)  # fmt: skip

INDIAN_PAN = r"\b((?=.*?[a-zA-Z])(?=.*?[0-9]{4})[\w@#$%^?~-]{10})\b"
MEMBER_ID = r"\b(?=[A-Z0-9-]{6,20}\b)(?=[A-Z0-9-]*[A-Z])(?=[A-Z0-9-]*\d)[A-Z]{1,5}-?[A-Z0-9]{5,14}\b"


@lru_cache(maxsize=256)
def linear(pattern: str, flags: int) -> Spans | None:
    """What finds this pattern in time that grows with the text; None when nothing here does."""
    import regex

    from headgate.masking.detection.urls import urls

    if flags != regex.DOTALL | regex.MULTILINE | regex.IGNORECASE:
        return None
    made = {ADDRESS: _addresses, INDIAN_PAN: _indian_pans, MEMBER_ID: _member_ids}.get(pattern)
    return made(pattern, flags) if made else urls(pattern, flags)


def _compile(pattern: str, flags: int) -> Any:
    import regex

    return regex.compile(pattern, flags)


def _addresses(pattern: str, flags: int) -> Spans:
    """What stands before the @ of an address has no @ in it; what comes after depends on the @ alone.

    So for one @, in the run of characters that may stand before it, all places to begin match or none does: the first
    of them that is the edge of a word and no dot is the match's, or there is none. Runs have no character in common,
    and neither have domains.
    """
    whole = _compile(pattern, flags)
    domain = _compile(r"[@]\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b", flags)
    run = _compile(rf"(?r){_LOCAL_OR_DOT}++", flags)
    begin = _compile(rf"\b{_LOCAL}", flags)

    def spans(text: str) -> Iterator[tuple[int, int]]:
        end = 0
        for after in domain.finditer(text):
            at = after.start()
            before = run.match(text, end, at)
            first = begin.search(text, before.start(), at) if before else None
            match = whole.match(text, first.start()) if first else None
            if match:
                yield match.span()
                end = match.end()

    return spans


def _indian_pans(_: str, flags: int) -> Spans:
    """That a letter and four digits follow somewhere holds up to the last of each: `.` matches line ends as well."""
    ten = _compile(r"\b[\w@#$%^?~-]{10}\b", flags)
    from_the_end = [_compile(f"(?r){needed}", flags) for needed in (r"[a-zA-Z]", r"[0-9]{4}")]

    def spans(text: str) -> Iterator[tuple[int, int]]:
        found = [each.search(text) for each in from_the_end]
        last = min(each.start() if each else -1 for each in found)
        for match in ten.finditer(text):
            if match.start() > last:
                return
            yield match.span()

    return spans


def _member_ids(_: str, flags: int) -> Spans:
    """A match begins with a letter, so that there is one; that a digit follows holds up to the last one of the run.

    The run is of the characters that may stand before that digit, which may itself be the first one after the run, for
    not all digits are of the run's. Where there is none, no later place in the run has one either.
    """
    without = _compile(r"\b(?=[A-Z0-9-]{6,20}\b)[A-Z]{1,5}-?[A-Z0-9]{5,14}\b", flags)
    run = _compile(r"[A-Z0-9-]++\d?+", flags)
    digit = _compile(r"\d", flags)

    def spans(text: str) -> Iterator[tuple[int, int]]:
        end, last = 0, -1
        for match in without.finditer(text):
            if match.start() >= end:
                end, last = _last_digit(digit, run.match(text, match.start()))
            if match.start() <= last:
                yield match.span()

    return spans


def _last_digit(digit: Any, run: Any) -> tuple[int, int]:
    """Where a run ends, and where its last digit stands, -1 for none."""
    start, end = run.span()
    found = [match.start() for match in digit.finditer(run.string, start, end)]
    return end, found[-1] if found else -1
