"""Character references of XML and HTML: what they stand for, and how a text is spelled where they are read.

HTML's own rules hold for HTML (https://html.spec.whatwg.org/multipage/parsing.html#character-reference-state): a
reference may lack its semicolon, and in an attribute one that lacks it is none when a letter, a digit or `=` follows,
so that a query such as `?a=1&copy=2` keeps its names.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from html import escape, unescape
from html.entities import html5

from headgate.masking.formats.runs import Piece
from headgate.masking.plan import CannotMask

XML_NAMES = {"amp": "&", "apos": "'", "gt": ">", "lt": "<", "quot": '"'}
XHTML_NAMES = {name[:-1]: text for name, text in html5.items() if name.endswith(";")}

LONGEST_NAME = max(map(len, html5))
NO_CHARACTER = "\ufffd"
"""What a browser shows for a number that is no character; that is read as it stands, for it may be a value."""

MOST_DIGITS = 7
"""Digits of a code point that exists; zeros before them do not count."""

_XML = re.compile(r"&(?:#([0-9]+)|#x([0-9A-Fa-f]+)|([^\s&;<]*));")
_HTML = re.compile(rf"&(?:#([0-9]+);?|#[xX]([0-9A-Fa-f]+);?|([A-Za-z][A-Za-z0-9]{{0,{LONGEST_NAME}}};?))", re.ASCII)
_HTML_OR_SPACE = re.compile(rf"{_HTML.pattern}|[\t\n\f\r ]{{2,}}|[\t\n\f\r]", re.ASCII)
_BLANK = " "
_UNQUOTED = re.compile(r"[\x00-\x20\"'<=>`&]")

Read = Callable[[re.Match[str]], tuple[str, int]]
"""What a reference stands for, and where it ends: where it begins, if it is none."""

Decode = Callable[[str, int, int], list[Piece]]
"""The pieces of source[start:end]."""


def xml_pieces(source: str, start: int, end: int) -> list[Piece]:
    """Text or an attribute of XML; CannotMask for a reference to an entity that only a DTD can define."""
    return _pieces(_XML, _read_xml, source, start, end)


def xhtml_pieces(source: str, start: int, end: int) -> list[Piece]:
    """The same in XHTML, whose names are those of HTML."""
    return _pieces(_XML, _read_xhtml, source, start, end)


def html_text(source: str, start: int, end: int) -> list[Piece]:
    """Text of HTML, with one blank for any white space: that is how it is seen."""
    return _pieces(_HTML_OR_SPACE, _read_text, source, start, end)


def html_preformatted(source: str, start: int, end: int) -> list[Piece]:
    """Text of HTML in which each blank counts."""
    return _pieces(_HTML, _read_text, source, start, end)


def html_attribute(source: str, start: int, end: int) -> list[Piece]:
    return _pieces(_HTML, _read_attribute, source, start, end)


def no_references(source: str, start: int, end: int) -> list[Piece]:
    """Text in which every character stands for itself."""
    return [Piece(source[start:end], start, end)]


def write_text(text: str) -> str:
    return escape(text, quote=False)


def write_attribute(text: str) -> str:
    """Between quotes of either kind; white space other than blanks would be normalised by parsers of XML."""
    return escape(text).replace("\n", "&#10;").replace("\t", "&#9;").replace("\r", "&#13;")


def write_comment(text: str) -> str:
    """Neither the end of a comment, nor what would become one with a character that stands beside it."""
    return write_text(text).replace("--", "- -").removeprefix("-").removesuffix("-")


def _pieces(pattern: re.Pattern[str], read: Read, source: str, start: int, end: int) -> list[Piece]:
    if pattern is not _HTML_OR_SPACE and source.find("&", start, end) < 0:
        return [Piece(source[start:end], start, end)]
    return list(_found(pattern, read, source, start, end))


def _found(pattern: re.Pattern[str], read: Read, source: str, start: int, end: int) -> Iterator[Piece]:
    at = start
    for match in pattern.finditer(source, start, end):
        text, stop = read(match)
        if stop == match.start():
            continue
        if match.start() > at:
            yield Piece(source[at : match.start()], at, match.start())
        yield Piece(text, match.start(), stop)
        at = stop
    if at < end:
        yield Piece(source[at:end], at, end)


def _read_xml(match: re.Match[str]) -> tuple[str, int]:
    return _named(match, XML_NAMES), match.end()


def _read_xhtml(match: re.Match[str]) -> tuple[str, int]:
    return _named(match, XHTML_NAMES), match.end()


def _named(match: re.Match[str], names: Mapping[str, str]) -> str:
    if match[3] is None:
        return _numbered(match)
    if match[3] not in names:
        raise CannotMask("xml-entity")
    return names[match[3]]


def _read_text(match: re.Match[str]) -> tuple[str, int]:
    if match[0][0] != "&":
        return _BLANK, match.end()
    if match[3] is None:
        text = _numbered(match)
        return text, match.end() if text != NO_CHARACTER else match.start()
    length = _known(match[3])
    return html5.get(match[3][:length], ""), match.start(3) + length if length else match.start()


def _read_attribute(match: re.Match[str]) -> tuple[str, int]:
    text, stop = _read_text(match)
    following = match.string[stop : stop + 1]
    ends = match[3] is None or match.string[stop - 1] == ";"
    if not ends and (following == "=" or (following.isascii() and following.isalnum())):
        return "", match.start()
    return text, stop


def _numbered(match: re.Match[str]) -> str:
    digits, base = (match[1], 10) if match[1] else (match[2], 16)
    digits = digits.lstrip("0") or "0"
    code = int(digits, base) if len(digits) <= MOST_DIGITS else 0
    return unescape(f"&#{code};")


@lru_cache(maxsize=1024)
def _known(name: str) -> int:
    """How much of a name is that of a reference: all of it, or the longest beginning that needs no semicolon."""
    if name in html5:
        return len(name)
    return next((length for length in range(len(name), 1, -1) if name[:length] in html5), 0)
