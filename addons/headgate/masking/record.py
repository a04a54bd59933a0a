"""What recorders may show of a body: no member of JSON, and no parameter of a form, that is named like a credential.

It is done on the event loop and without parsing, by expressions whose work grows with the length alone, so that it
holds for whatever is nearly JSON, too. JSON Web Tokens go by their shape in any text. Pictures, sound and archives
are left as they are; a body in a content coding is kept only where it can be read.
"""

import re

from headgate.masking.codings import decode
from headgate.masking.content import values
from headgate.masking.credentials import REDACTED, clean_form, without_tokens
from headgate.masking.headers import repair
from headgate.masking.names import is_credential
from headgate.masking.plan import CannotMask, Fields

LARGEST = 1024 * 1024 + 64 * 1024
"""Bytes that are looked at, and kept; a little more than capture keeps, so that it marks the body as cut."""

LARGEST_FORM = 64 * 1024
FORM = b"application/x-www-form-urlencoded"

MOST = 10_000
"""Values that are redacted, and their inner pieces; what follows more of them is not kept."""

HIDDEN = f'"{REDACTED}"'.encode()

_BINARY = re.compile(r"(?:image|audio|video|font)/(?![^;]*\+xml)|application/(?:pdf|zip|gzip|wasm)\b", re.IGNORECASE)
_ESCAPE = rb"\\u[0-9a-fA-F]{4}"
_MEMBER = re.compile(rb'"([^"\\]*+(?:' + _ESCAPE + rb'[^"\\]*+)*+)"[ \t\r\n]*+:[ \t\r\n]*+')
_ESCAPED = re.compile(_ESCAPE)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_PIECE = re.compile(_STRING.pattern + rb"|[{}\[\]]", re.DOTALL)
_BARE = re.compile(rb"[^\s,{}\[\]\"]*+")
_HARMLESS = frozenset({b"", b'""', b"true", b"false", b"null"})


def recordable(headers: Fields, body: bytes) -> tuple[Fields, bytes]:
    """Headers and body as they may be shown, the same body when nothing has to go; `headers` tell how to read it."""
    types = values(headers, b"content-type")
    if not body or (types and all(_BINARY.match(name.strip()) for name in types)):
        return headers, body
    plain = _plain(headers, body)
    cleaned = _cleaned(plain, any(FORM.decode() in name.lower() for name in types))
    return (headers, body) if plain and cleaned == plain else (repair(headers, cleaned), cleaned)


def _plain(headers: Fields, body: bytes) -> bytes:
    """The body without its coding; nothing of one that cannot be decoded."""
    codings = values(headers, b"content-encoding")
    if not codings:
        return body
    try:
        return decode(body, codings, LARGEST) if len(body) <= LARGEST else b""
    except CannotMask:
        return b""


def _cleaned(body: bytes, is_form: bool) -> bytes:
    if is_form:  # or JSON: that is what some clients call whatever they send
        body = clean_form(body.decode("latin-1")).encode("latin-1") if len(body) <= LARGEST_FORM else b""
    cut = body[:LARGEST]
    names = {name for name in set(_MEMBER.findall(cut)) if _is_credential(name)}
    return without_tokens(_without_members(cut, names) if names else cut)


def _is_credential(name: bytes) -> bool:
    spelled = _ESCAPED.sub(lambda escape: chr(int(escape[0][2:], 16)).encode("utf-8", "replace"), name)
    return is_credential(spelled[-200:].decode("utf-8", "replace"))


def _without_members(body: bytes, names: set[bytes]) -> bytes:
    pieces: list[bytes] = []
    at = work = 0
    for member in _MEMBER.finditer(body):
        if member[1] not in names or member.start() < at:
            continue
        end, inner = _end(body, member.end())
        work += inner
        if work > MOST:
            return b"".join([*pieces, body[at : member.end()], HIDDEN])
        if body[member.end() : end] not in _HARMLESS:
            pieces += [body[at : member.end()], HIDDEN]
            at = end
    return b"".join([*pieces, body[at:]])


def _end(body: bytes, start: int) -> tuple[int, int]:
    """Where the value that begins here ends, and how many pieces it took to find out."""
    if body[start : start + 1] not in (b"{", b"["):
        value = _STRING.match(body, start) or _BARE.match(body, start)
        return value.end() if value else start, 1
    depth = 0
    for count, piece in enumerate(_PIECE.finditer(body, start), 1):
        depth += piece[0] in (b"{", b"[")
        depth -= piece[0] in (b"}", b"]")
        if depth == 0 or count > MOST:
            return piece.end(), count
    return len(body), 1
