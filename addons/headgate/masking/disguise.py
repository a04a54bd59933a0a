"""What a value says once its escapes are undone: percent-encoding, once and twice, and the escapes of JSON.

A value can be encoded for another reader than the one it is sent to: a URL in a JSON string, JSON in a log line. Only
detection looks at these forms; what is sent is never decoded.
"""

import json
import re
from urllib.parse import unquote

_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]")

INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
"""Characters that are not shown, for a class of a pattern: a value that is split by them looks whole to a person
(Unicode's Default_Ignorable_Code_Point)."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]")


def disguises(text: str) -> list[str]:
    """The forms that a text has without escapes; none when it has no escapes."""
    unescaped = _unescaped(text)
    forms = [unescaped]
    for form in (text, unescaped):
        once = _unquoted(form)
        forms += [once, _unquoted(once)]
    return [form for form in dict.fromkeys(forms) if form != text]


def visible(text: str) -> tuple[str, list[int]] | None:
    """What a person sees of a text, and where each character of that stands in it; None where all of it is seen."""
    if text.isascii() or not _INVISIBLE.search(text):
        return None
    kept = [at for at, character in enumerate(text) if not _INVISIBLE.match(character)]
    return "".join(text[at] for at in kept), kept


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda escape: str(json.loads(f'"{escape[0]}"')), text) if "\\" in text else text


def _unquoted(text: str) -> str:
    return unquote(text) if _PERCENT.search(text) else text
