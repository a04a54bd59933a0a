"""Values that hold a document of their own: JSON in a string, and base64 (RFC 4648) of JSON or of text.

What is masked in such a value goes back into it as it was spelled: a string changes only where a finding was, base64
keeps its alphabet, its padding and its line length.
"""

import base64
import binascii
import re
from typing import NamedTuple

from headgate.masking.plan import CannotMask

MARK = "\ufeff"

OPENING = frozenset('{["\ufeff \t\r\n')
"""What the text of a document in a string begins with."""

_DOCUMENT = re.compile(r'\ufeff?[ \t\r\n]*(?:\{[ \t\r\n]*["}]|\[|"[ \t\r\n]*[{["\\])')
_CLOSING = ("}", "]", '"')

_BASE64 = re.compile(r"([A-Za-z0-9+/_-]+)(={0,2})")
_SPACE = re.compile(r"[ \t\r\n]+")
_ONLY_SPACE = " \t\r\n"


def may_be_document(text: str) -> bool:
    """Whether a string is worth reading as JSON: an object, an array, or such a string in quotes once more."""
    return bool(_DOCUMENT.match(text)) and text.rstrip(_ONLY_SPACE).endswith(_CLOSING)


class Spelling(NamedTuple):
    """How base64 was written. `line` is the length of its lines, 0 when it has but one; `around` the space about it."""

    url_safe: bool
    padded: bool
    line: int
    separator: str
    around: tuple[str, str]


def decode(text: str) -> tuple[str, Spelling]:
    """What base64 says, and how it says so; CannotMask when it is none, or not of a text."""
    inner = text.strip(_ONLY_SPACE)
    pieces = _SPACE.split(inner)
    joined = "".join(pieces)
    match = _BASE64.fullmatch(joined)
    if match is None or not _is_whole(*match.groups()):
        raise CannotMask("not-base64")
    url_safe = _is_url_safe(*match.groups())
    return _text_of(joined, url_safe=url_safe), Spelling(
        url_safe,
        bool(match[2]) or (len(joined) % 4 == 0 and not url_safe),
        len(pieces[0]) if len(pieces) > 1 else 0,
        space[0] if (space := _SPACE.search(inner)) else "",
        (text[: len(text) - len(text.lstrip(_ONLY_SPACE))], text[len(text.rstrip(_ONLY_SPACE)) :]),
    )


def encode(text: str, spelling: Spelling) -> str:
    data = base64.b64encode(text.encode(), b"-_" if spelling.url_safe else None).decode()
    if not spelling.padded:
        data = data.rstrip("=")
    if spelling.line:
        data = spelling.separator.join(data[at : at + spelling.line] for at in range(0, len(data), spelling.line))
    before, after = spelling.around
    return before + data + after


def _is_whole(digits: str, padding: str) -> bool:
    """Padding is complete or left out; neither alphabet has the other's characters."""
    if any(c in digits for c in "-_") and any(c in digits for c in "+/"):
        return False
    return (len(digits) + len(padding)) % 4 == 0 if padding else len(digits) % 4 != 1


def _is_url_safe(digits: str, padding: str) -> bool:
    """By what it has; without padding where there would be some, it is likely to be for a URL."""
    if any(c in digits for c in "+/-_"):
        return "-" in digits or "_" in digits
    return not padding and len(digits) % 4 != 0


def _text_of(joined: str, *, url_safe: bool) -> str:
    try:
        data = base64.b64decode(joined + "=" * (-len(joined) % 4), b"-_" if url_safe else None, validate=True)
    except binascii.Error:
        raise CannotMask("not-base64") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CannotMask("encoded-not-text") from None
    if "\0" in text:
        raise CannotMask("encoded-not-text")
    return text
