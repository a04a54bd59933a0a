"""What a value says once its escapes are undone: percent-encoding, once and twice, and the escapes of JSON.

A value can be encoded for another reader than the one it is sent to: a URL in a JSON string, JSON in a log line. Only
detection looks at these forms; what is sent is never decoded.
"""

import json
import re
from urllib.parse import unquote

_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"\\/bfnrt]")


def disguises(text: str) -> list[str]:
    """The forms that a text has without escapes; none when it has no escapes."""
    unescaped = _unescaped(text)
    forms = [unescaped]
    for form in (text, unescaped):
        once = _unquoted(form)
        forms += [once, _unquoted(once)]
    return [form for form in dict.fromkeys(forms) if form != text]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda escape: str(json.loads(f'"{escape[0]}"')), text) if "\\" in text else text


def _unquoted(text: str) -> str:
    return unquote(text) if _PERCENT.search(text) else text
