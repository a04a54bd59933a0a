"""One canonical path: decided on, and forwarded exactly so.

Two spellings that an upstream may read as the same path must not be two paths to the rules. Every byte that may stand
in a path segment stands plain, every other as an upper-case escape, so each decoded path has exactly one spelling.
What parsers are known to disagree on is refused instead: dot segments, encoded slashes, backslashes, empty segments,
path parameters, fragments, wildcards, control characters, broken UTF-8, and whatever would decode a second time.

Sources: RFC 3986, sections 3.3 and 6.2; the advisories behind each refusal are named in tests/cases/paths.yaml.
"""

import re
from urllib.parse import unquote_to_bytes

from headgate.identity.reasons import Malformed

MAX_PATH = 8 * 1024

# pchar of RFC 3986 without `;` and `*`, which are refused
_PLAIN = r"A-Za-z0-9\-._~!$&'()+,=:@"
_CANONICAL = re.compile(rf"(?:/(?!\.\.?(?:/|\Z))[{_PLAIN}]+)*/?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE_LEFT = re.compile(rb"%[0-9A-Fa-f]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BAD_QUERY = re.compile(r"[^!-~]|#")
_SPELLING = [chr(byte) if re.match(rf"[{_PLAIN}]", chr(byte)) else f"%{byte:02X}" for byte in range(256)]

_REFUSED_PLAIN = ((re.compile(r"[^!-~]"), Malformed.PATH_CHARACTER), (re.compile(r"[#?]"), Malformed.PATH_DELIMITER))
_REFUSED = (
    (b"/", Malformed.PATH_ENCODED_SLASH),
    (b"\\", Malformed.PATH_BACKSLASH),
    (b";", Malformed.PATH_PARAMETER),
    (b"*", Malformed.PATH_WILDCARD),
    (b"#", Malformed.PATH_DELIMITER),
    (b"?", Malformed.PATH_DELIMITER),
)


def canonical(path: bytes | str) -> str | Malformed:
    """The canonical form of a path without its query, or why it has none. Applying it twice changes nothing."""
    text = path.decode("latin-1") if isinstance(path, bytes) else path
    if len(text) > MAX_PATH:
        return Malformed.PATH_TOO_LONG
    if not text.startswith("/"):
        return Malformed.PATH_FORM
    if _CANONICAL.match(text):
        return text
    for refused, reason in _REFUSED_PLAIN:
        if refused.search(text):
            return reason
    if _BAD_ESCAPE.search(text):
        return Malformed.PATH_ESCAPE
    segments = text[1:].split("/")
    spelled = [_segment(segment, last=index == len(segments) - 1) for index, segment in enumerate(segments)]
    refusal = next((segment for segment in spelled if isinstance(segment, Malformed)), None)
    return refusal or "/" + "/".join(spelled)


def query_refusal(query: str) -> Malformed | None:
    """A query is forwarded as it is, if it holds only what may stand in one."""
    return Malformed.QUERY_CHARACTER if _BAD_QUERY.search(query) else None


def _segment(segment: str, *, last: bool) -> str | Malformed:
    decoded = unquote_to_bytes(segment)
    if not decoded:
        return "" if last else Malformed.PATH_EMPTY_SEGMENT
    if decoded in (b".", b".."):
        return Malformed.PATH_DOT_SEGMENT
    if _ESCAPE_LEFT.search(decoded):
        return Malformed.PATH_DOUBLE_ENCODED
    for refused, reason in _REFUSED:
        if refused in decoded:
            return reason
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return Malformed.PATH_NOT_UTF8
    if _CONTROL.search(text):
        return Malformed.PATH_CHARACTER
    return "".join(map(_SPELLING.__getitem__, decoded))
