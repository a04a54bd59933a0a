"""Regexes in rules: RE2, so that no text takes longer than its length allows, and always about the whole text.

A `.` stands for a line break only in rules that forbid or hide: nobody is refused less, or allowed more, for a line
break that nobody thought of.
"""

import re
from collections.abc import Callable
from typing import Any

import re2  # type: ignore[import-untyped]  # ships no types

MAX_PATTERN = 1000
MAX_PROGRAM = 3000
"""Instructions of a compiled regex; at worst each is tried on each character."""

MAX_TEXT = 8192
"""Characters of a text to compare; a longer one is unknown."""

MAX_TEXTS = 8 * MAX_TEXT
"""Characters of all texts that one path finds in one body."""

_MEMORY = 1 << 20
_PIECE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:[^]]*:\]|\\.|[^]\\])*\]|[()|]", re.DOTALL)
"""What may hold a `|` that separates nothing, and what opens and closes groups."""


def whole_regex(text: str) -> str:
    """The regex as it is, if it may stand in a rule; ValueError says what is accepted."""
    shown = f"`{text[:80]}`"
    if not (text.startswith("^") and _ends(text)):
        raise ValueError(f"{shown} does not say where it begins and ends; accepted: a regex from `^` to `$`")
    if len(text) > MAX_PATTERN:
        raise ValueError(f"the regex has {len(text)} characters; accepted: up to {MAX_PATTERN}")
    if _alternates(text):
        raise ValueError(f"{shown}: `|` parts `^` from `$`; accepted: `^(a|b)$`")
    size = _compiled(text, dot_all=False).programsize
    if size > MAX_PROGRAM:
        raise ValueError(f"{shown} is too large a regex ({size} instructions); accepted: up to {MAX_PROGRAM}")
    return text


def fits(text: str, *, widen: bool) -> Callable[[object], bool | None]:
    """Whether a whole text fits the regex; unknown of what is no text, or too long a one."""
    fullmatch = _compiled(text, dot_all=widen).fullmatch

    def judge(value: object) -> bool | None:
        if type(value) is not str or len(value) > MAX_TEXT:
            return None
        try:
            return fullmatch(value) is not None
        except UnicodeEncodeError:  # a lone surrogate
            return None

    return judge


def _compiled(text: str, *, dot_all: bool) -> Any:
    options = re2.Options()
    options.max_mem, options.never_capture, options.log_errors, options.dot_nl = _MEMORY, True, False, dot_all
    try:
        return re2.compile(text, options)
    except re2.error as error:
        why = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        reason, _, piece = why.partition(": ")
        at = f" at character {text.index(piece) + 1}" if piece and piece != text and piece in text else ""
        raise ValueError(f"`{text[:80]}` is not a regex: {reason}{at}; accepted: the syntax of RE2") from None
    except UnicodeEncodeError:
        raise ValueError("the regex holds half a character; accepted: text") from None


def _ends(text: str) -> bool:
    """Whether its last character is a `$` that nothing escapes."""
    return text.endswith("$") and (len(text) - len(text[:-1].rstrip("\\"))) % 2 == 1


def _alternates(text: str) -> bool:
    """Whether a `|` stands outside of all groups."""
    depth = 0
    for piece in _PIECE.findall(text):
        if piece == "|" and depth == 0:
            return True
        depth += (piece == "(") - (piece == ")")
    return False
