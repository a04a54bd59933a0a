"""What of a recorded flow can be searched for, and what a person's words mean as a query.

The index holds words of what was recorded, masked as it was, and no copy of it: what belonged to a flow is taken out
by giving the same words again, so that they depend only on what does not change while the flow is there. Words are runs
of letters and digits, without their accents (FTS5's `unicode61`). Parts of words, `trigram`'s strength, would make the
index three times as large as what it is of, which is most of what is in the file; the beginning of a word is found,
and so is whatever holds other characters (`ana@corp.example`, `customer_id`), as words that follow each other.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from headgate.capture.record import MAX_BODY
from headgate.capture.rows import plain
from headgate.errors import HeadgateError

Fields = Sequence[tuple[str, str]]

Decode = Callable[[bytes, Sequence[str]], bytes | None]
"""A body without its content codings; None when it cannot be read."""

VERSION = "1"
"""Of the words that a flow is given here: an index of another version is made anew, for nothing could be taken out."""

MOST_MESSAGES = 1000
"""Messages of a flow, by their number in it, that are searched."""

MOST_TEXT = MAX_BODY
"""Characters of the messages of a flow that are searched."""

MOST_WORDS = 64
LONGEST_QUERY = 1000

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_BLANK = dict.fromkeys("nrtbf", " ")
_TERM = re.compile(r'"([^"]*)"?(\*)?|([^\s"]+)')
_CHARSET = re.compile(r"charset=\"?([\w-]+)", re.IGNORECASE)
_BYTEWISE = frozenset({"iso-8859-1", "latin1", "latin-1", "windows-1252", "iso-8859-15"})


class Words(NamedTuple):
    """The columns of the index, which can be named in a query of one's own: `headers : nginx`."""

    what: str
    who: str
    why: str
    headers: str
    request: str
    response: str
    messages: str


@dataclass(frozen=True, slots=True)
class Message:
    """What of one direction can be searched; a `body` as it was recorded, under its codings."""

    headers: Fields
    body: bytes


@dataclass(frozen=True, slots=True)
class Searched:
    """What of a flow can be searched; the query is None where its values were not kept."""

    method: str
    host: str
    path: str
    query: str | None
    error: str | None
    who: tuple[str | None, ...]
    why: tuple[str | None, ...]
    request: Message
    response: Message
    messages: tuple[bytes, ...] = ()


def words_of(flow: Searched, decode: Decode) -> Words:
    said = " ".join(text for body in flow.messages if (text := _text(body)))
    headers = (value for message in (flow.request, flow.response) for _, value in message.headers)
    return Words(
        _joined([flow.method, flow.host, unquote(flow.path), unquote_plus(flow.query or "")]),
        _joined(flow.who),
        _joined([*flow.why, flow.error]),
        _joined(headers),
        _body(flow.request, decode),
        _body(flow.response, decode),
        plain(_unescaped(said[:MOST_TEXT])),
    )


def _joined(texts: Iterable[str | None]) -> str:
    return plain(" ".join(filter(None, texts)))


def _body(message: Message, decode: Decode) -> str:
    codings = [value for name, value in message.headers if name.lower() == "content-encoding"]
    body = decode(message.body, codings) if message.body and codings else message.body
    kind = next((value for name, value in message.headers if name.lower() == "content-type"), "")
    text = _text(body, kind) if body else ""
    return plain(_unescaped(text) if "json" in kind.lower() or text[:1] in ("{", "[") else text)


def _text(body: bytes, kind: str = "") -> str:
    """What is text of a body, which may be cut within a character; nothing of one that is none."""
    if b"\0" in body:
        return ""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        if error.start > len(body) - 4:
            return body[: error.start].decode()
    named = _CHARSET.search(kind)
    return body.decode("latin-1") if named and named[1].lower() in _BYTEWISE else ""


def _unescaped(text: str) -> str:
    """A text of JSON with its escapes undone: what stands beside a line break would be part of another word."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _BLANK.get(found[2], found[2]), text)


def expression(text: str) -> str:
    """A person's words as a query of FTS5, in which nothing but them has a meaning; HeadgateError without any.

    All of them have to be there, in any order; those in quotation marks one after the other; `*` after a word stands
    for the rest of it.
    """
    if len(text) > LONGEST_QUERY:
        raise HeadgateError(f"that is too long to be searched for; accepted: up to {LONGEST_QUERY} characters")
    terms = [_term(*found.groups(default="")) for found in _TERM.finditer(plain(text).replace("\0", " "))]
    wanted = [term for term in terms if term]
    if not wanted:
        raise HeadgateError("there is nothing to search for; accepted: words of letters and digits")
    if len(wanted) > MOST_WORDS:
        raise HeadgateError(f"those are too many words to be searched for; accepted: up to {MOST_WORDS}")
    return " ".join(wanted)


def _term(phrase: str, star: str, word: str) -> str:
    if word.endswith("*"):
        phrase, star = word.rstrip("*"), "*"
    said = phrase or word.rstrip("*")
    if not any(map(str.isalnum, said)):
        return ""
    return '"' + said.replace('"', '""') + '"' + star
