"""Which format a body has, by what its headers say, and the masking of it.

The declared type decides, never a guess from the bytes, with one exception: a plain text that is a JSON object or
array is masked as one, so that escapes in it are read and fields are found. A type that no format here can read is
passed only where every due mask says so; types with an escape grammar of their own (HTML, XML, form, server-sent
events) are not read as text, for detection would miss what is escaped or split in them.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from headgate.masking.codings import decode
from headgate.masking.formats import Counts, Masked
from headgate.masking.formats.jsontext import mask_json, mask_lines
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.formats.scan import read
from headgate.masking.plan import CannotMask, Detect, Fields, Plan
from headgate.model import Finding

JSON = frozenset({"application/json", "text/json"})
LINES = frozenset(
    {"application/json-lines", "application/jsonl", "application/jsonlines", "application/ndjson"}
    | {"application/x-jsonlines", "application/x-ndjson"}
)
TEXT = frozenset({"text/csv", "text/markdown", "text/plain", "text/tab-separated-values"})

CHARSETS = {
    **dict.fromkeys(("utf-8", "utf8"), "utf-8"),
    **dict.fromkeys(("us-ascii", "ascii"), "ascii"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1"), "latin-1"),
    **dict.fromkeys(("windows-1252", "cp1252"), "cp1252"),
}
MARK = "\ufeff"
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")

_TYPE = re.compile(r"\s*([\w!#$&^.+-]+/[\w!#$&^.+-]+)\s*", re.ASCII)
_PARAMETER = re.compile(r';\s*(?:([\w!#$&^.+-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*)?', re.ASCII)


class MediaType(NamedTuple):
    name: str
    charset: str | None


class MaskedBody(NamedTuple):
    """`body` is without a content coding; None when nothing was masked and the original may go on as it is."""

    body: bytes | None
    counts: Counts
    findings: tuple[Finding, ...]


UNTOUCHED = MaskedBody(None, Counter(), ())


def values(headers: Fields, name: bytes) -> list[str]:
    """Every value of a header; `name` is in lower case."""
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


@lru_cache(maxsize=256)
def media_type(text: str) -> MediaType:
    """A Content-Type in lower case (RFC 9110, section 8.3); CannotMask when two readers could disagree on it."""
    kind = _TYPE.match(text)
    at = kind.end() if kind else 0
    charsets: list[str] = []
    while kind and at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            raise CannotMask("content-type-unreadable")
        if parameter[1] and parameter[1].lower() == "charset":
            charsets.append(parameter[2].strip('"').lower())
        at = parameter.end()
    if kind is None or len(charsets) > 1:
        raise CannotMask("content-type-unreadable")
    return MediaType(kind[1].lower(), charsets[0] if charsets else None)


def readable(name: str) -> bool:
    """Whether a body of this type is read and masked."""
    return name in JSON or name.endswith("+json") or name in LINES or name in TEXT


def mask_body(plan: Plan, headers: Fields, body: bytes, detect: Detect) -> MaskedBody:
    """Mask what is due in a body; CannotMask when it cannot be read with certainty."""
    if not body or not plan.reads_body:
        return UNTOUCHED
    declared = values(headers, b"content-type")
    if len(declared) != 1:
        raise CannotMask("content-type-repeated" if declared else "content-type-missing")
    kind = media_type(declared[0])
    if not readable(kind.name):
        if kind.name in plan.pass_types:
            return UNTOUCHED
        raise CannotMask("content-type-not-maskable")
    data = decode(body, values(headers, b"content-encoding"))
    codec, text = _text(data, kind)
    masked = mask_content(plan, kind.name, text.removeprefix(MARK), detect)
    if not masked.counts:
        return MaskedBody(None, masked.counts, masked.findings)
    mark = MARK if text.startswith(MARK) else ""
    return MaskedBody((mark + masked.text).encode(codec), masked.counts, masked.findings)


def mask_content(plan: Plan, name: str, text: str, detect: Detect) -> Masked:
    """Mask a decoded text of the type `name`."""
    if not text.strip():
        return Masked(text, Counter(), ())
    if name in LINES:
        return mask_lines(text, plan, detect)
    if name not in TEXT or _is_json(text):
        return mask_json(text, plan, detect)
    if plan.paths:
        raise CannotMask("fields-in-text")
    return mask_text(text, plan, detect)


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        read(text)
    except CannotMask as cannot:
        if cannot.reason == "invalid-json":
            return False
        raise
    return True


def _text(data: bytes, kind: MediaType) -> tuple[str, str]:
    """The characters of a body, and the codec that gives the bytes back."""
    codec = CHARSETS.get(kind.charset or "utf-8")
    if codec is None or data.startswith(WIDE_MARKS):
        raise CannotMask("charset-not-maskable")
    if data.startswith(MARK.encode()):
        codec = "utf-8"
    if kind.name not in TEXT and codec not in ("utf-8", "ascii"):
        raise CannotMask("charset-not-maskable")
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        raise CannotMask("charset-wrong") from None
    if "\0" in text:
        raise CannotMask("not-text")
    return codec, text
