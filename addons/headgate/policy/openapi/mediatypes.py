"""The media type that a Content-Type names (RFC 9110, section 8.3.1)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

FORM = "application/x-www-form-urlencoded"

MAX_LENGTH = 256

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"({_NAME}/{_NAME})((?:[ \t]*;[ \t]*{_NAME}=(?:{_NAME}|\"[^\"\\]*\"))*)(?:[ \t]*;)?\Z")
_PARAMETER = re.compile(rf";[ \t]*({_NAME})=(?:({_NAME})|\"([^\"\\]*)\")")


class MediaType(NamedTuple):
    """`name` is `type/subtype` in lower case; `utf8` says that no other charset is named."""

    name: str
    json: bool
    utf8: bool


def media_type(text: str) -> MediaType | None:
    """What the text names; None where it names nothing. JSON is known by its suffix too (RFC 6839)."""
    found = _MEDIA_TYPE.match(text.strip(" \t")) if len(text) <= MAX_LENGTH else None
    if found is None:
        return None
    name = found[1].lower()
    parameters = _PARAMETER.findall(found[2]) if found[2] else ()
    charsets = [(plain or quoted).lower() for key, plain, quoted in parameters if key.lower() == "charset"]
    is_json = name == "application/json" or name.endswith("+json")
    return MediaType(name, is_json, all(charset in ("utf-8", "utf8") for charset in charsets))


def sent(values: Sequence[str]) -> MediaType | None:
    """The one Content-Type of a request; None where there is not exactly one."""
    return media_type(values[0]) if len(values) == 1 else None
