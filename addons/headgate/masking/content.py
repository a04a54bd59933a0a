"""Which format a body has, by what its headers say, and the masking of it.

The declared type decides, never a guess from the bytes, with one exception: a text, form or page that is a JSON object
or array is masked as one, so that escapes in it are read and fields are found. A type that no format here can read is
passed only where every due mask says so; of a type that is read but has no such fields, it means that fields which
cannot be looked for are passed over. Types with an escape grammar that is not known here are not read as text, for
detection would miss what is escaped or split in them.
"""

import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from headgate.masking.charsets import CHARSETS, MARK, WIDE_MARKS, read
from headgate.masking.codings import decode
from headgate.masking.formats import Masked, scan
from headgate.masking.formats.cards import mask_cards
from headgate.masking.formats.fields import refuse_paths
from headgate.masking.formats.form import mask_form
from headgate.masking.formats.htmltext import mask_html
from headgate.masking.formats.jsontext import mask_json, mask_lines, mask_sequence
from headgate.masking.formats.markdown import mask_markdown
from headgate.masking.formats.multipart import FORM_DATA, MULTIPARTS, MaskedBytes, mask_multipart
from headgate.masking.formats.partheaders import PartHeaders
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.formats.table import mask_csv, mask_tsv
from headgate.masking.formats.xmltext import mask_xml
from headgate.masking.plan import CannotMask, Detect, Fields, Plan

__all__ = ["CHARSETS", "MARK", "WIDE_MARKS", "MaskedBody", "MediaType", "mask_body", "media_type", "readable", "values"]

JSON = frozenset({"application/json", "text/json"})
LINES = frozenset(
    {"application/json-lines", "application/jsonl", "application/jsonlines", "application/ndjson"}
    | {"application/stream+json", "application/x-json-stream", "application/x-jsonlines", "application/x-ndjson"}
)
SEQUENCES = frozenset({"application/json-seq"})
FORM = "application/x-www-form-urlencoded"
CSV = frozenset({"application/csv", "text/csv", "text/x-csv"})
TSV = "text/tab-separated-values"
XML = frozenset({"application/xml", "text/xml", "application/xml-external-parsed-entity"})
XHTML = "application/xhtml+xml"
HTML = "text/html"
CARDS = frozenset({"text/calendar", "text/vcard", "text/x-vcalendar", "text/x-vcard", "text/directory"})
MARKDOWN = frozenset({"text/markdown", "text/x-markdown"})
TEXT = MARKDOWN | {
    "application/openmetrics-text",
    "application/toml",
    "application/x-yaml",
    "application/yaml",
    "text/plain",
    "text/vnd.yaml",
    "text/x-log",
    "text/x-yaml",
    "text/yaml",
}

UNDECIDED = TEXT | {FORM, HTML}
"""Types that are declared, by many servers and clients, for JSON as well."""

READABLE = MULTIPARTS | TEXT | CSV | CARDS | {FORM, TSV, HTML}

READ_PARAMETERS = frozenset({"boundary", "charset", "header"})

NESTING = 5
"""Multiparts within multiparts."""

_TYPE = re.compile(r"\s*([\w!#$&^.+-]+/[\w!#$&^.+-]+)\s*", re.ASCII)
_PARAMETER = re.compile(r';\s*(?:([\w!#$&^.+-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*)?', re.ASCII)
_ESCAPED = re.compile(r"\\(.)")


class MediaType(NamedTuple):
    """`name` and `charset` are in lower case; `boundary` is as it was written, `header` is that of text/csv."""

    name: str
    charset: str | None
    boundary: str | None = None
    header: str | None = None


MaskedBody = MaskedBytes
"""`body` is without a content coding; None when nothing was masked and the original may go on as it is."""

UNTOUCHED = MaskedBody(None, Counter(), ())


def values(headers: Fields, name: bytes) -> list[str]:
    """Every value of a header; `name` is in lower case."""
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


@lru_cache(maxsize=256)
def media_type(text: str) -> MediaType:
    """A Content-Type (RFC 9110, section 8.3); CannotMask when two readers could disagree on it."""
    kind = _TYPE.match(text)
    at = kind.end() if kind else 0
    found: dict[str, str] = {}
    while kind and at < len(text):
        parameter = _PARAMETER.match(text, at)
        name = (parameter[1] or "").lower() if parameter else ""
        if parameter is None or (name.partition("*")[0] in READ_PARAMETERS and (name in found or "*" in name)):
            raise CannotMask("content-type-unreadable")
        if name:
            found[name] = _unquoted(parameter[2])
        at = parameter.end()
    if kind is None:
        raise CannotMask("content-type-unreadable")
    charset, header = found.get("charset"), found.get("header")
    return MediaType(kind[1].lower(), charset and charset.lower(), found.get("boundary"), header and header.lower())


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def readable(name: str) -> bool:
    """Whether a body of this type is read and masked."""
    return name in READABLE or _is_json(name) or _is_xml(name)


def _is_json(name: str) -> bool:
    return name in JSON | LINES | SEQUENCES or name.endswith(("+json", "+json-seq"))


def _is_xml(name: str) -> bool:
    return name in XML or name.endswith("+xml")


def mask_body(plan: Plan, headers: Fields, body: bytes, detect: Detect) -> MaskedBody:
    """Mask what is due in a body; CannotMask when it cannot be read with certainty."""
    if not body or not plan.reads_body:
        return UNTOUCHED
    declared = values(headers, b"content-type")
    if len(declared) != 1:
        raise CannotMask("content-type-repeated" if declared else "content-type-missing")
    kind = media_type(declared[0])
    if _passes(plan, kind):
        return UNTOUCHED
    return _mask_bytes(plan, kind, decode(body, values(headers, b"content-encoding")), detect, NESTING)


def _passes(plan: Plan, kind: MediaType) -> bool:
    """Whether a body passes unread; CannotMask when it is due and cannot be read."""
    if readable(kind.name):
        return False
    if kind.name not in plan.pass_types:
        raise CannotMask("content-type-not-maskable")
    return True


def _mask_bytes(plan: Plan, kind: MediaType, data: bytes, detect: Detect, nesting: int) -> MaskedBody:
    if kind.name in MULTIPARTS:
        return _mask_multipart(plan, kind, data, detect, nesting)
    characters = read(data, kind.charset, html=kind.name == HTML, xml=_is_xml(kind.name))
    if (_is_json(kind.name) or kind.name == FORM) and characters.codec not in ("utf-8", "ascii"):
        raise CannotMask("charset-not-maskable")
    if characters.guessed and mask_text(data.decode("latin-1"), plan, detect).counts:
        raise CannotMask("charset-contradicted")
    masked = mask_content(plan, kind.name, characters.text, detect, headed=kind.header != "absent")
    changed = characters.encode(masked.text) if masked.counts else None
    return MaskedBody(changed, masked.counts, masked.findings)


def _mask_multipart(plan: Plan, kind: MediaType, data: bytes, detect: Detect, nesting: int) -> MaskedBody:
    if not nesting:
        raise CannotMask("nested-too-deeply")

    def mask_part(headers: PartHeaders, content: bytes) -> MaskedBody:
        inner = media_type(headers.one("content-type") or "text/plain")
        if not content or _passes(plan, inner):
            return UNTOUCHED
        if kind.name == FORM_DATA and inner.name == "text/plain":
            return _mask_value(plan, inner, content, detect, headers.name or "")
        return _mask_bytes(plan, inner, content, detect, nesting - 1)

    return mask_multipart(data, kind.name, kind.boundary or "", plan, detect, mask_part)


def _mask_value(plan: Plan, kind: MediaType, data: bytes, detect: Detect, name: str) -> MaskedBody:
    """The value of a form's field, whose name is its context."""
    characters = read(data, kind.charset)
    if _is_document(characters.text):
        masked = mask_json(characters.text, plan, detect)
    else:
        if FORM_DATA not in plan.pass_types:
            refuse_paths(plan, kind.name, plan.nested)
        masked = mask_text(characters.text, plan, detect, name)
    return MaskedBody(characters.encode(masked.text) if masked.counts else None, masked.counts, masked.findings)


def mask_content(plan: Plan, name: str, text: str, detect: Detect, *, headed: bool = True) -> Masked:
    """Mask a decoded text of the type `name`, which is no multipart; `headed`: its first row names columns."""
    if not text.strip():
        return Masked(text, Counter(), ())
    if _is_json(name) or (name in UNDECIDED and _is_document(text)):
        return _mask_json(plan, name, text, detect)
    refuse_paths(plan, name, plan.paths or plan.encoded if name in TEXT or name == HTML else plan.nested)
    if name == FORM:
        return mask_form(text, plan, detect)
    if name in CSV:
        return mask_csv(text, plan, detect, headed=headed)
    if name == TSV:
        return mask_tsv(text, plan, detect)
    if _is_xml(name):
        return mask_xml(text, plan, detect, xhtml=name == XHTML)
    if name == HTML:
        return mask_html(text, plan, detect)
    if name in CARDS:
        return mask_cards(text, plan, detect)
    return (mask_markdown if name in MARKDOWN else mask_text)(text, plan, detect)


def _mask_json(plan: Plan, name: str, text: str, detect: Detect) -> Masked:
    if name == HTML:
        return _mask_json_page(plan, text, detect)
    if name in LINES:
        return mask_lines(text, plan, detect)
    if name in SEQUENCES or name.endswith("+json-seq"):
        return mask_sequence(text, plan, detect)
    return mask_json(text, plan, detect)


def _mask_json_page(plan: Plan, text: str, detect: Detect) -> Masked:
    """JSON for the client that takes a page for JSON, then a page for the browser that takes JSON for one.

    What fields hold is masked by then: what stands there now would be masked once more.
    """
    masked = mask_json(text, plan, detect)
    shown = mask_html(masked.text, replace(plan, paths=(), encoded=()), detect)
    return Masked(shown.text, masked.counts + shown.counts, masked.findings + shown.findings)


def _is_document(text: str) -> bool:
    """Whether a text is an object or an array of JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        scan.read(text)
    except CannotMask as cannot:
        if cannot.reason == "invalid-json":
            return False
        raise
    return True
