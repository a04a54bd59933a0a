"""Credentials in what recorders may show: tokens, cookies and keys are replaced by `[redacted]`, whoever sent them.

It goes by name, and for JSON Web Tokens by shape. It does not depend on any mask: no record ever needs them.
"""

import re
from urllib.parse import unquote_plus

from headgate.masking.names import is_credential
from headgate.masking.plan import Fields

REDACTED = "[redacted]"
ADDRESSES = frozenset({b"content-location", b"link", b"location", b"referer", b"refresh"})
"""Headers whose values hold URLs."""

LONGEST_NAME = 200

_SEPARATOR = re.compile(r"([?&#;])")
_END = re.compile(r"[\s\">].*", re.DOTALL)
_SLASH = re.compile(r"/.*", re.DOTALL)
_USER = re.compile(r"//[^/?#@\s]*@")
_JWT = r"eyJ(?:(?<![\w-]eyJ)|(?<=\\[bfnrt]eyJ)|(?<=%[0-9A-Fa-f]{2}eyJ))[\w-]{8,}={0,2}\.[\w-]{8,}={0,2}\.[\w-]*={0,2}"
_TOKEN = re.compile(_JWT, re.ASCII)
_RAW_TOKEN = re.compile(_JWT.encode())
_COOKIE = re.compile(r"^([^=;]*)=([^;]*)")


def without_credentials(headers: Fields) -> Fields:
    """Header fields as recorders may show them."""
    return tuple((name, _value(name.lower(), value)) for name, value in headers)


def _value(name: bytes, value: bytes) -> bytes:
    text = value.decode("latin-1")
    if name == b"set-cookie":
        return _COOKIE.sub(rf"\1={REDACTED}", text).encode("latin-1") if "=" in text else REDACTED.encode()
    if is_credential(name[-LONGEST_NAME:].decode("latin-1")):
        return REDACTED.encode()
    if name in ADDRESSES:
        text = clean_address(text)
    return _TOKEN.sub(REDACTED, text).encode("latin-1") if "eyJ" in text or name in ADDRESSES else value


def clean_address(text: str) -> str:
    """A URL, or a part of one that begins with its path, without the credentials in its query, fragment or user."""
    cleaned = _without_parameters(text) if "=" in text else text
    cleaned = _USER.sub(f"//{REDACTED}@", cleaned) if "@" in cleaned else cleaned
    return _TOKEN.sub(REDACTED, cleaned) if "eyJ" in cleaned else cleaned


def _without_parameters(text: str) -> str:
    """Values end where the next parameter begins; in a query they may hold question marks and slashes."""
    first, *pieces = _SEPARATOR.split(text)
    cleaned, in_query, hiding = [first], False, False
    for sign, piece in zip(pieces[::2], pieces[1::2], strict=True):
        if sign == "?" and in_query and hiding:
            continue
        in_query = in_query or sign in "?#"
        name, equals, value = piece.partition("=")
        hiding = value != "" and is_credential(unquote_plus(name[-LONGEST_NAME:]))
        if hiding:
            rest = _END.search(value) or (None if in_query else _SLASH.search(value))
            piece = name + equals + REDACTED + (rest[0] if rest else "")
        cleaned += [sign, piece]
    return "".join(cleaned)


def without_tokens(body: bytes) -> bytes:
    """Any bytes without the JSON Web Tokens in them."""
    return _RAW_TOKEN.sub(REDACTED.encode(), body)


def clean_form(text: str) -> str:
    """A body of the type application/x-www-form-urlencoded without the credentials in it."""
    return clean_address(f"?{text}")[1:]
