"""Fields of a query or a body by which frameworks act on another method than the one of the request.

Rails, Laravel, Symfony, Spring, WordPress and Salesforce take `POST /x?_method=DELETE`, or the same in a form, for a
DELETE; to the rules it was a POST. A guard that translated it would have to know which frameworks stand behind it, so
such a request is refused, as it is with the headers that do the same (2019-19326).

Names are found in every spelling that a known parser undoes: escapes, another case, blanks before them, and whatever
PHP makes an underscore of. Bodies are searched in one pass of a linear-time engine rather than parsed, for parsers
differ, and what is searched for stands in no honest body but by a rare chance. A JSON body counts, too: Laravel and
Parse read `_method` from its members.
"""

import re
from typing import Any

import re2  # type: ignore[import-untyped]  # ships no types

from headgate.identity.headers import Fields
from headgate.identity.reasons import Malformed

_NAMES = (
    "_method", "_httpmethod", "_http_method", "_method_override", "method_override", "http_method_override",
    "x_http_method", "x_http_method_override", "x_method_override", "$httpmethod", "$httpheaders",
)  # fmt: skip
"""In small letters, `_` for what separates; the last two are Google's, the ones in x_ are header names."""

_IDENTITY = frozenset((b"", b"identity"))
_CHARSET = re.compile(rb"charset(\*[^;]*)?[ \t]*=?[ \t\"']*([^\"';, \t]*)")
_HOLDING_ASCII = re.compile(rb"(utf-?8|us-ascii|ascii|iso-?8859-[0-9]{1,2}|latin-?1|windows-125[0-8]|cp125[0-8])\Z")


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes, whatever they encode
    options.case_sensitive = False
    options.log_errors = False
    return re2.compile(pattern.encode("ascii"), options)


def _spelled(escape: str, separators: str) -> str:
    """Any of the names, each character plain or in `escape`, a template for two hexadecimal digits."""

    def character(wanted: str) -> str:
        meant = separators if wanted == "_" else wanted + wanted.upper()
        plain = "".join(f"\\x{ord(one):02x}" for one in meant)
        escapes = "|".join(escape.format(f"{ord(one):02x}") for one in meant)
        return f"(?:[{plain}]|{escapes})"

    return "|".join("".join(map(character, name)) for name in _NAMES)


_BLANKS = r"(?:[\x00-\x20+?]|%[01][0-9a-f]|%20|%2b|%3f)*"
_IN_FORM = _compiled(
    rf"(?:\A|[&;]){_BLANKS}(?:{_spelled('%{}', '_-. +[')}){_BLANKS}(?:[=&;\[.]|%00|%3d|%5b|\z)",
)
_IN_MULTIPART = _compiled(
    r"content-disposition[ \t]*:(?:[^\r\n]|\r?\n[ \t])*name(?:\*[0-9]*\*?)?[ \t\r\n]*=[ \t\r\n]*"
    rf"""(?:[!-~]*'[^']*')?["'\\ \t]*(?:{_spelled("%{}|\\\\", "_-. +[")})["'\\; \t\r\n\[.%]""",
)
_IN_JSON = _compiled(rf'"(?:{_spelled(r"\\u00{}", "_-. ")})"[ \t\r\n]*:')


def in_query(query: str) -> bool:
    """Whether a query names another method."""
    return _IN_FORM.search(query.encode("latin-1", "replace")) is not None


def body_refusal(fields: Fields, body: bytes) -> Malformed | None:
    """Why a body is refused, by what the header fields say it is.

    Without a type, servers that follow Rack read a form; with a type they do not know, some look at the first byte.
    """
    if not body:
        return None
    declared, coding = (_value(fields, name) for name in (b"content-type", b"content-encoding"))
    is_multipart = b"multipart/" in declared
    is_form = is_multipart or b"urlencoded" in declared
    if is_form and (coding not in _IDENTITY or not _holds_ascii(declared)):
        return Malformed.FORM_UNREADABLE
    found = (
        (is_multipart and _IN_MULTIPART.search(body))
        or ((is_form or not declared) and not is_multipart and _IN_FORM.search(body))
        or ((b"json" in declared or body.lstrip()[:1] == b"{") and _IN_JSON.search(body))
    )
    return Malformed.METHOD_OVERRIDE if found else None


def _value(fields: Fields, name: bytes) -> bytes:
    """What a header says, in lower case; hygiene has let it come once only."""
    return b",".join(value.strip().lower() for spelled, value in fields if spelled.lower() == name)


def _holds_ascii(declared: bytes) -> bool:
    """Whether every charset that a Content-Type names has the letters of ASCII where ASCII has them."""
    return all(not found[1] and _HOLDING_ASCII.match(found[2]) for found in _CHARSET.finditer(declared))
