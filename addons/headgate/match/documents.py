"""A request's body as a document, as far as every reader takes it the same way.

Readable are JSON, forms, and GraphQL by itself, each in UTF-8, plain or in one gzip or zlib stream, up to a size. The
Content-Type decides, as it does for most applications; a body that does not fit it is unclear, and so is every body of
another type, or of none. Nothing here raises: what cannot be read is unclear, with a reason.

JSON is read strictly: no repeated member counts for anything, no NaN, nothing behind the value, no lone surrogates.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from headgate.match.aliases import Name, member_key
from headgate.match.found import NOTHING, Found
from headgate.match.numbers import Real
from headgate.match.parameters import Parameters
from headgate.model import Request

MAX_SIZE = 1 << 20
"""Bytes of a body, as sent and decoded: it is read on the event loop."""

MAX_DEPTH = 100
MAX_VALUES = 20_000
"""Values of a JSON document, each of which costs an object; commas and brackets in its texts are counted as well."""

MAX_TYPE = 256

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_MEDIA_TYPE = re.compile(rf"({_WORD}/{_WORD})((?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|{_QUOTED}))*)(?:[ \t]*;)?\Z")
_PARAMETER = re.compile(rf";[ \t]*({_WORD})=({_WORD}|{_QUOTED})")
_JSON = re.compile(r"application/(?:json|[a-z0-9!#$&^_.+-]+\+json)\Z")
_LIKE_MARKUP = re.compile(r"\s*[{\[<]")
_IGNORED = r"(?:[\s,]|#[^\n\r]*+)*+"
_LIKE_GRAPHQL = re.compile(
    rf"{_IGNORED}(?:\{{{_IGNORED}(?:[A-Za-z_]|\.\.\.)|(?:query|mutation|subscription|fragment)(?=[\s,(@{{#]))"
)
"""The beginning of a GraphQL document, which is that of no JSON object with members and of no form."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NO_HALVES = re.compile(
    r"(?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F]).)*+\Z", re.DOTALL
)
"""JSON whose escapes hold no half of a surrogate pair, which has no UTF-8."""

_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Members(dict[str, Any]):
    """A JSON object that knows which of its members have several readings."""

    __slots__ = ("_repeated", "_spelled")

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._spelled: dict[str, str | None] = {}  # by key, None for several; worked out for the first who asks
        self._repeated = () if len(self) == len(pairs) else _repeated(pairs)

    def find(self, name: Name) -> Found:
        spelled = self._spelled or self._spell()
        if name.member not in spelled:
            return NOTHING
        found = spelled[name.member]
        if found is None:
            return Found(unclear="member-ambiguous")
        return Found((self[found],)) if found == name.text else Found(unclear="member-in-another-spelling")

    def everything(self) -> Found:
        """The values of all members; how they are spelled matters only to who looks for one."""
        return Found(unclear="member-repeated") if self._repeated else Found(tuple(self.values()))

    def _spell(self) -> dict[str, str | None]:
        for name in (*self, *self._repeated):
            key = member_key(name)
            self._spelled[key] = None if key in self._spelled else name
        return self._spelled


def _repeated(pairs: list[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


class Document(NamedTuple):
    """A body: its value, or that there is none, or why it cannot be read. A form's values are all texts."""

    value: Any = None
    absent: bool = False
    unclear: str | None = None
    form: bool = False


def document(request: Request) -> Document:
    if request.body is None:
        return Document(unclear="body-not-read")
    if not request.body:
        return Document(absent=True)
    kind = _kind(request.values("content-type"))
    if kind is None:
        return Document(unclear="content-type-not-readable")
    text = _text(request.body, request.values("content-encoding"))
    if text is None:
        return Document(unclear="body-not-readable")
    if kind == "form":
        parameters = Parameters(text)
        unclear = "body-does-not-fit-content-type" if _LIKE_MARKUP.match(text) else parameters.unclear
        return Document(parameters, unclear=unclear, form=True)
    if kind == "graphql":
        unclear = None if _LIKE_GRAPHQL.match(text) else "body-does-not-fit-content-type"
        return Document(Members([("query", text)]), unclear=unclear)
    return _json(text)


def _kind(values: list[str]) -> str | None:
    """What one Content-Type says, as far as it can be read; a charset may be UTF-8 only."""
    found = _MEDIA_TYPE.match(values[0].strip(" \t")) if len(values) == 1 and len(values[0]) <= MAX_TYPE else None
    if found is None:
        return None
    for name, value in _PARAMETER.findall(found[2]):
        if name.lower() == "charset" and value.strip('"').lower() not in ("utf-8", "utf8"):
            return None
    media_type = found[1].lower()
    return _KINDS.get(media_type) or ("json" if _JSON.match(media_type) else None)


_KINDS: Mapping[str, str] = {"application/x-www-form-urlencoded": "form", "application/graphql": "graphql"}


def _text(body: bytes, codings: list[str]) -> str | None:
    named = [name for value in codings for name in re.split(r"[ \t,]+", value.lower()) if name not in ("", "identity")]
    if len(body) > MAX_SIZE or len(named) > 1:
        return None
    plain = _inflated(body, named[0]) if named else body
    try:
        return None if plain is None else plain.decode()
    except UnicodeDecodeError:
        return None


def _inflated(body: bytes, coding: str) -> bytes | None:
    """One complete stream with nothing after it, and no more than may come out of it."""
    window = _WINDOWS.get(coding)
    if window is None:
        return None
    stream = zlib.decompressobj(window)
    try:
        plain = stream.decompress(body, MAX_SIZE + 1)
    except zlib.error:
        return None
    return plain if stream.eof and not stream.unused_data and len(plain) <= MAX_SIZE else None


def _json(text: str) -> Document:
    containers = text.count("[") + text.count("{")
    if containers + text.count(",") >= MAX_VALUES:
        return Document(unclear="body-too-complex")
    if _SURROGATE.search(text) and not _NO_HALVES.match(text):
        return Document(unclear="body-is-not-json")
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return Document(unclear="body-is-not-json")
    return Document(value) if containers <= MAX_DEPTH or _depth_fits(value) else Document(unclear="body-too-deep")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_constant=_no_constant, parse_float=Real)


def _depth_fits(value: Any) -> bool:
    level, depth = [value], 0
    while level and depth < MAX_DEPTH:
        depth += 1
        level = [item for parent in level for item in inner(parent) if isinstance(item, dict | list)]
    return not level


def inner(value: Any) -> Any:
    """What stands directly in a value."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
