"""The tokens of HTML, with their places in the source (https://html.spec.whatwg.org/multipage/parsing.html).

Every text is HTML, so that nothing is refused here. Where readers part ways on where a text without markup ends (a
script in a comment in a script, a script within SVG), the earliest end is taken: the worst that this can do is that
something is masked which a browser would have run.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

FOREIGN = frozenset({"math", "svg"})
"""Elements inside which the content of scripts, styles and titles is markup."""

RAW = frozenset({"script", "style", "textarea", "title", "xmp"})
"""Elements without markup inside. In two of them, `textarea` and `title`, references are read."""

FALLBACK = frozenset({"iframe", "noembed", "noframes", "noscript"})
"""Elements whose content is markup to some readers only; to the others it ends at the first end tag, come what may."""

_TAG = re.compile(r"(/?)([A-Za-z][^\t\n\f\r />]*)")
_NAME = re.compile(r"[\t\n\f\r /]*(=?[^\t\n\f\r />=]*)")
_EQUALS = re.compile(r"[\t\n\f\r ]*=[\t\n\f\r ]*")
_BARE = re.compile(r"[^\t\n\f\r >]*")


class Kind(StrEnum):
    TEXT = "text"
    OPEN = "open"
    CLOSE = "close"
    COMMENT = "comment"
    SECTION = "section"
    """A CDATA section within SVG or MathML: text."""
    RAW = "raw"
    """The whole content of an element that has no markup inside."""
    REST = "rest"
    """A tag that never ends, and with it the source."""


class Attribute(NamedTuple):
    """source[start:end] is the value, without the quotes in `quote`; `name` is in lower case."""

    name: str
    start: int
    end: int
    quote: str


class Token(NamedTuple):
    """`inner` and `stop` are where what it says begins and ends; `name` is that of its element, in lower case."""

    kind: Kind
    start: int
    end: int
    inner: int
    stop: int
    name: str = ""
    attributes: tuple[Attribute, ...] = ()
    closed: bool = False


def tokens(source: str) -> Iterator[Token]:
    """All of the source, in order."""
    at, foreign, fallback = 0, 0, list[str]()
    while at < len(source):
        token = _token(source, at, foreign > 0, fallback)
        yield token
        at = token.end
        if token.name in FOREIGN and not token.closed:
            foreign = max(foreign + (1 if token.kind is Kind.OPEN else -1), 0)
        elif token.name in FALLBACK:
            _follow(token, fallback)
        elif token.kind is Kind.OPEN and not token.closed and not foreign and token.name in RAW | {"plaintext"}:
            content = _content(source, token, fallback)
            yield content
            at = content.end


def _follow(token: Token, fallback: list[str]) -> None:
    if token.kind is Kind.OPEN and token.name not in fallback:
        fallback.append(token.name)
    elif token.kind is Kind.CLOSE and token.name in fallback:
        fallback.remove(token.name)


def _token(source: str, at: int, in_foreign: bool, fallback: Sequence[str]) -> Token:
    if source[at] == "<":
        if source.startswith("<!--", at):
            return _comment(source, at, fallback)
        if tag := _TAG.match(source, at + 1):
            return _tag(source, at, tag)
        if in_foreign and source.startswith("<![CDATA[", at):
            return _until(source, at, at + 9, "]]>", Kind.SECTION)
        if source.startswith(("<!", "<?", "</"), at) and at + 2 < len(source):
            return _until(source, at, at + 2, ">", Kind.COMMENT)
    end = source.find("<", at + 1)
    end = len(source) if end < 0 else end
    return Token(Kind.TEXT, at, end, at, end)


def _until(source: str, at: int, inner: int, mark: str, kind: Kind) -> Token:
    stop = source.find(mark, inner)
    if stop < 0:
        return Token(kind, at, len(source), inner, len(source))
    return Token(kind, at, stop + len(mark), inner, stop)


def _comment(source: str, at: int, fallback: Sequence[str]) -> Token:
    inner = at + 4
    for short in (">", "->"):
        if source.startswith(short, inner):
            return Token(Kind.COMMENT, at, inner + len(short), inner, inner)
    end = _comment_end("|".join(fallback)).search(source, inner)
    if end is None:
        return Token(Kind.COMMENT, at, len(source), inner, len(source))
    return Token(Kind.COMMENT, at, end.end(), inner, end.start())


@lru_cache(maxsize=64)
def _comment_end(fallback: str) -> re.Pattern[str]:
    return re.compile(rf"--!?>|(?=</(?:{fallback})[\t\n\f\r />])" if fallback else r"--!?>", re.IGNORECASE | re.ASCII)


@lru_cache(maxsize=64)
def _content_end(names: str) -> re.Pattern[str]:
    return re.compile(rf"</(?:{names})(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII)


def _content(source: str, opened: Token, fallback: Sequence[str]) -> Token:
    """What stands in an element without markup, up to its end tag; `plaintext` has none."""
    end = _content_end("|".join([opened.name, *fallback])).search(source, opened.end)
    stop = end.start() if end and opened.name != "plaintext" else len(source)
    return Token(Kind.RAW, opened.end, stop, opened.end, stop, opened.name, opened.attributes)


def _tag(source: str, at: int, tag: re.Match[str]) -> Token:
    kind = Kind.CLOSE if tag[1] else Kind.OPEN
    place, attributes = tag.end(), list[Attribute]()
    while True:
        name = _NAME.match(source, place)
        place = name.end() if name else len(source)
        if place >= len(source):
            return Token(Kind.REST, at, len(source), at + 1, len(source))
        if source[place] == ">" and not (name and name[1]):
            bare = bool(attributes) and not attributes[-1].quote and attributes[-1].end == place
            closed = source[place - 1] == "/" and not bare
            return Token(kind, at, place + 1, at + 1, place, tag[2].lower(), tuple(attributes), closed)
        found = _attribute(source, place, name[1].lower() if name else "")
        if found is None:
            return Token(Kind.REST, at, len(source), at + 1, len(source))
        attributes.append(found)
        place = found.end + len(found.quote)


def _attribute(source: str, place: int, name: str) -> Attribute | None:
    """The attribute whose name ends at `place`; None when its quote never ends."""
    equals = _EQUALS.match(source, place)
    if equals is None:
        return Attribute(name, place, place, "")
    start = equals.end()
    quote = source[start : start + 1]
    if quote not in ('"', "'"):
        bare = _BARE.match(source, start)
        return Attribute(name, start, bare.end() if bare else start, "")
    end = source.find(quote, start + 1)
    return Attribute(name, start + 1, end, quote) if end >= 0 else None
