"""One canonical path: decided on, and forwarded exactly so.

Two spellings that an upstream may read as the same path must not be two paths to the rules. Every byte that may stand
in a path segment stands plain, every other as an upper-case escape, so each decoded path has exactly one spelling.
What parsers are known to disagree on is refused instead: dot segments, encoded slashes, backslashes, empty segments,
path parameters, fragments, wildcards, control characters, broken UTF-8, and whatever would decode a second time.

So is what only some servers change on their way to a file or a route: a dot at the end of a segment, and blanks at
either end, which Windows, old Spring and whatever trims take off, so that `/admin.` and `/admin%20` are `/admin` there
(2016-5007); and characters that a conversion turns into others, such as U+FF0F into a slash (`lookalikes.py`).

`PathRules` loosen this for an upstream that is known to read such a path in one way. What may come twice then is still
one path here: slashes are merged and letters are folded before anything is decided, and the result goes on.

Sources: RFC 3986, sections 3.3 and 6.2; the advisories behind each refusal are named in tests/cases/paths.yaml.
"""

import re
from urllib.parse import unquote_to_bytes

from headgate.identity.lookalikes import has_case, has_lookalikes
from headgate.identity.reasons import Malformed
from headgate.model import STRICT, PathRules

MAX_PATH = 8 * 1024

# pchar of RFC 3986 without `;` and `*`, which are refused
_PLAIN = r"A-Za-z0-9\-._~!$&'()+,=:@"
_CANONICAL = re.compile(rf"(?:/[{_PLAIN}]++(?<!\.))*+/?\Z")
_SLASHES = re.compile("//+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE_LEFT = re.compile(rb"%(?:[0-9A-Fa-f]{2}|[uU][0-9A-Fa-f]{4})")  # `%u002e` is Microsoft's
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BAD_QUERY = re.compile(r"[^!-~]|#")


def _spelling(plain: str) -> list[str]:
    return [chr(byte) if re.match(f"[{plain}]", chr(byte)) else f"%{byte:02X}" for byte in range(256)]


_SPELLING, _SPELLING_WITH_PARAMETERS = _spelling(_PLAIN), _spelling(_PLAIN + ";")

_REFUSED_PLAIN = ((re.compile(r"[^!-~]"), Malformed.PATH_CHARACTER), (re.compile(r"[#?]"), Malformed.PATH_DELIMITER))
_REFUSED = (
    (b"/", Malformed.PATH_ENCODED_SLASH),
    (b"\\", Malformed.PATH_BACKSLASH),
    (b";", Malformed.PATH_PARAMETER),
    (b"*", Malformed.PATH_WILDCARD),
    (b"#", Malformed.PATH_DELIMITER),
    (b"?", Malformed.PATH_DELIMITER),
)


def canonical(path: bytes | str, rules: PathRules = STRICT) -> str | Malformed:
    """The canonical form of a path without its query, or why it has none. Applying it twice changes nothing."""
    text = path.decode("latin-1") if isinstance(path, bytes) else path
    if len(text) > MAX_PATH:
        return Malformed.PATH_TOO_LONG
    if not text.startswith("/"):
        return Malformed.PATH_FORM
    if rules.merge_slashes:
        text = _SLASHES.sub("/", text)
    if _CANONICAL.match(text):
        return text.lower() if rules.fold_case else text
    for refused, reason in _REFUSED_PLAIN:
        if refused.search(text):
            return reason
    if _BAD_ESCAPE.search(text):
        return Malformed.PATH_ESCAPE
    segments = text[1:].split("/")
    spelled = [_segment(segment, rules, last=at == len(segments) - 1) for at, segment in enumerate(segments)]
    if refusal := next((segment for segment in spelled if isinstance(segment, Malformed)), None):
        return refusal
    whole = "/" + "/".join(spelled)
    return whole if len(whole) <= MAX_PATH else Malformed.PATH_TOO_LONG


def query_refusal(query: str) -> Malformed | None:
    """A query is forwarded as it is, if it holds only what may stand in one."""
    return Malformed.QUERY_CHARACTER if _BAD_QUERY.search(query) else None


def _segment(segment: str, rules: PathRules, *, last: bool) -> str | Malformed:
    decoded = unquote_to_bytes(segment)
    if not decoded:
        return "" if last else Malformed.PATH_EMPTY_SEGMENT
    kept = (b"/" if rules.encoded_slash else b"") + (b";" if rules.parameters else b"")
    if refusal := _dots(decoded, kept) or _refused(decoded, kept):
        return refusal
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return Malformed.PATH_NOT_UTF8
    if rules.fold_case:
        if has_case(text):
            return Malformed.PATH_CASE
        decoded = decoded.lower()
        text = decoded.decode()  # looked at as it goes on: composed forms are not the same in both cases
    if refusal := _misread(text):
        return refusal
    return "".join(map((_SPELLING_WITH_PARAMETERS if rules.parameters else _SPELLING).__getitem__, decoded))


def _dots(decoded: bytes, kept: bytes) -> Malformed | None:
    """A dot segment, also as a part of what an encoded slash or a parameter leaves together: `..;x`, `a%2F..`."""
    for part in decoded.split(b"/") if b"/" in kept else (decoded,):
        name, parameter, _ = part.partition(b";") if b";" in kept else (part, b"", b"")
        if name in (b".", b".."):
            return Malformed.PATH_DOT_SEGMENT
        if parameter and not name:
            return Malformed.PATH_EMPTY_SEGMENT
    return None


def _refused(decoded: bytes, kept: bytes) -> Malformed | None:
    if _ESCAPE_LEFT.search(decoded):
        return Malformed.PATH_DOUBLE_ENCODED
    return next((reason for refused, reason in _REFUSED if refused in decoded and refused not in kept), None)


def _misread(text: str) -> Malformed | None:
    """What is one character or name here, and another one or none elsewhere."""
    if _CONTROL.search(text):
        return Malformed.PATH_CHARACTER
    if has_lookalikes(text):
        return Malformed.PATH_LOOKALIKE
    parts = re.split("[/;]", text)  # where these were refused, there is one
    if any(part != part.strip() or part.endswith(".") for part in parts):
        return Malformed.PATH_TRIMMED
    return None
