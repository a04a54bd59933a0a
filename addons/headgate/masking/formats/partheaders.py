"""The header fields of one part of a multipart body: what they say of the part, and what is to be masked in them.

They are read strictly (RFC 5322 lines, RFC 9110 parameters): a name that readers could see differently would be a
field that goes unmasked.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote

from headgate.masking.formats.form import form_pieces
from headgate.masking.formats.runs import Part, Piece, Run, as_written
from headgate.masking.plan import CannotMask

UNREAD = frozenset({"content-length", "content-transfer-encoding", "mime-version"})
DISPOSITION = "content-disposition"
KIND = "content-type"
FRAMING = frozenset({"boundary", "charset", "header"})
"""Parameters of the type that tell how the part is read; others may name a file."""
VOUCHING = frozenset({"content-digest", "content-md5", "digest"})

_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[^\r\n]|\r\n[ \t])*)\r\n")
_PARAMETER = re.compile(r";\s*([!#$&+.^_`|~0-9A-Za-z*-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))\s*", re.DOTALL)
_KIND = re.compile(r"\s*[A-Za-z-]+\s*")
_OF_KIND = re.compile(r";\s*([^\s=;\"]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\r\n]*))", re.DOTALL)
_EXTENDED = re.compile(r"(?:utf-8|us-ascii|iso-8859-1)'[A-Za-z0-9-]*'", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ENCODED_WORD = "=?"


class Field(NamedTuple):
    """text[start:end] is a field with its line end, the value begins at `value`; `name` is in lower case."""

    name: str
    start: int
    value: int
    end: int


class Parameter(NamedTuple):
    """text[start:end] is the value, between quotes where it is `quoted`."""

    name: str
    start: int
    end: int
    quoted: bool


class PartHeaders:
    """`text` is the block of fields, decoded so that it can be encoded again. CannotMask where it cannot be read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._fields = list(_fields(text))
        self._parameters = self._disposition()

    def one(self, name: str) -> str:
        """The value of a field that may stand there once, empty when it does not."""
        found = [field for field in self._fields if field.name == name]
        if len(found) > 1:
            raise CannotMask("part-header-repeated")
        return self._unfolded(found[0]) if found else ""

    @property
    def name(self) -> str | None:
        """The name of a form's field."""
        return next((self._value(found) for found in self._parameters if found.name == "name"), None)

    def names(self) -> set[str]:
        """All that readers may take the name for."""
        found = next((found for found in self._parameters if found.name == "name"), None)
        if found is None:
            return set()
        raw = self.text[found.start : found.end]
        return {raw, unquote(raw), self._value(found)}

    def runs(self, *, keys: bool) -> Iterator[Run]:
        """What in the fields may hold values; the name of a form's field only where `keys` says so."""
        for field in self._fields:
            if field.name in UNREAD:
                continue
            if _ENCODED_WORD in self.text[field.value : field.end]:
                raise CannotMask("part-header-unreadable")
            if field.name not in (DISPOSITION, KIND):
                piece = Piece(self.text[field.value : field.end - 2], field.value, field.end - 2)
                yield Run([Part([piece], field.name, f"part:{field.name}", as_written)])
        for found in self._parameters:
            if keys or found.name != "name":
                yield self._run(found, DISPOSITION)
        yield from (self._run(found, KIND) for found in self._kind())

    def lengths(self, length: int) -> Iterator[tuple[int, int, str]]:
        """How the fields change with the content: its new length, and nothing that vouches for the old one."""
        for field in self._fields:
            if field.name == "content-length":
                yield field.value, field.end - 2, str(length)
            elif field.name in VOUCHING:
                yield field.start, field.end, ""

    def _unfolded(self, field: Field) -> str:
        return self.text[field.value : field.end - 2].replace("\r\n", "")

    def _kind(self) -> Iterator[Parameter]:
        """What the type says besides how the part is read; its grammar is judged where that is (`media_type`)."""
        for field in self._fields:
            for found in _OF_KIND.finditer(self.text, field.value, field.end - 2) if field.name == KIND else ():
                name, quoted = found[1].lower(), found[2] is not None
                if name.partition("*")[0] not in FRAMING:
                    yield Parameter(name, *found.span(2 if quoted else 3), quoted)

    def _disposition(self) -> list[Parameter]:
        found = [field for field in self._fields if field.name == DISPOSITION]
        if len(found) > 1:
            raise CannotMask("part-header-repeated")
        return list(_parameters(self.text, found[0].value, found[0].end - 2)) if found else []

    def _value(self, found: Parameter) -> str:
        raw = self.text[found.start : found.end]
        return _ESCAPED.sub(r"\1", raw) if found.quoted else raw

    def _run(self, found: Parameter, of: str) -> Run:
        location = f"part:{of}"
        if extended := found.name.endswith("*") and _EXTENDED.match(self.text, found.start, found.end):
            pieces = form_pieces(self.text, extended.end(), found.end)
            return Run([Part(pieces, "filename", location, lambda text: quote(text, safe=""))])
        if not found.quoted:
            pieces = [Piece(self.text[found.start : found.end], found.start, found.end)]
            return Run([Part(pieces, found.name, location, as_written)], rewrite=lambda text: f'"{_write(text)}"')
        return Run([Part(list(_unescaped(self.text, found)), found.name, location, _write)])


def _fields(text: str) -> Iterator[Field]:
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        if line is None:
            raise CannotMask("part-header-unreadable")
        yield Field(line[1].lower(), at, line.start(2), line.end())
        at = line.end()


def _parameters(text: str, start: int, end: int) -> Iterator[Parameter]:
    kind = _KIND.match(text, start, end)
    at = kind.end() if kind else start
    seen: set[str] = set()
    while at < end:
        found = _PARAMETER.match(text, at, end)
        name = found[1].lower() if found else ""
        if found is None or name in seen or name == "name*" or name.rstrip("*")[-1:].isdigit():
            raise CannotMask("part-header-unreadable")
        seen.add(name)
        quoted = found[2] is not None
        yield Parameter(name, *found.span(2 if quoted else 3), quoted)
        at = found.end()


def _unescaped(text: str, found: Parameter) -> Iterator[Piece]:
    at = found.start
    for match in _ESCAPED.finditer(text, found.start, found.end):
        if match.start() > at:
            yield Piece(text[at : match.start()], at, match.start())
        at = match.end()
        yield Piece(match[1], match.start(), at)
    if at < found.end:
        yield Piece(text[at : found.end], at, found.end)


def _write(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
