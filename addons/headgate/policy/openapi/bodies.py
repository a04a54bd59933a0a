"""The body of a request: there or not, of a media type that is declared, and what its schema says.

JSON (`application/json`, `*+json`) and form-encoded bodies are read and judged. Of multipart and all other media types
only the type and the presence are checked. A range such as `*/*` with a schema for more than text takes only what can
be judged: under it, a client that names another type would slip its members past the schema.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.model import Request
from headgate.policy.openapi.checker import Checker, Checkers
from headgate.policy.openapi.codings import CannotDecode, decode
from headgate.policy.openapi.document import At
from headgate.policy.openapi.faults import shown
from headgate.policy.openapi.jsontext import NotStrict, read_json
from headgate.policy.openapi.mediatypes import FORM, MediaType, media_type, sent
from headgate.policy.openapi.parameters import decode_query, text_reading
from headgate.policy.openapi.values import UNREADABLE, Members, Reading, pairs
from headgate.policy.openapi.violations import Failure, Violation, told


@dataclass(frozen=True, slots=True)
class Media:
    """One entry of `content`. `judged` says that what can be read neither as JSON nor as a form is not accepted."""

    schema: Checker | None
    form: Members | None
    judged: bool


@dataclass(frozen=True, slots=True)
class Body:
    """`content` by media type or range, in lower case and without parameters."""

    required: bool
    content: Mapping[str, Media]

    def violations(self, request: Request) -> Iterator[Violation]:
        return told(("body",), self._failures(request))

    def _failures(self, request: Request) -> list[Failure]:
        if request.body is None:
            return [((), "has not been read")]
        if not request.body:
            return [((), "is missing")] if self.required else []
        sent_as = sent(request.values("content-type"))
        media = self._media(sent_as.name) if sent_as else None
        if sent_as is None or media is None:
            accepted = ", ".join(f"`{shown(key)}`" for key in self.content)
            return [((), f"is not of a media type declared; accepted: {accepted}")]
        if not (sent_as.json or sent_as.name == FORM):
            return [((), "is not of a media type that can be validated; accepted: JSON")] if media.judged else []
        return _judged(media.schema, media.form, sent_as, request) if media.schema else []

    def _media(self, name: str) -> Media | None:
        kind = name.partition("/")[0]
        return self.content.get(name) or self.content.get(f"{kind}/*") or self.content.get("*/*")


def _judged(schema: Checker, form: Members | None, sent_as: MediaType, request: Request) -> list[Failure]:
    if not sent_as.utf8:
        return [((), "is in a charset that is not accepted; accepted: UTF-8")]
    try:
        body = decode(request.body or b"", request.values("content-encoding"))
        if sent_as.json:
            return schema.failures(read_json(body))
    except (CannotDecode, NotStrict) as error:
        return [((), str(error))]
    return _form(form, body) if form else [((), "cannot be read as a form; accepted: JSON")]


def _form(form: Members, body: bytes) -> list[Failure]:
    try:
        given = pairs(body.decode())
    except UnicodeDecodeError:
        return [UNREADABLE]
    named = [(name, value) for name, value in given if name is not None]
    return [UNREADABLE] if len(named) < len(given) else form.failures(named)


def read_body(at: At, checkers: Checkers) -> Body:
    """The `requestBody` at this place."""
    content = at.need("content")
    found: dict[str, Media] = {}
    for text, entry in content.members():
        named = media_type(text)
        if named is None:
            raise entry.fault(f"`{shown(text)}` is not a media type; accepted: `application/json` and the like")
        if named.name in found:
            raise entry.fault(f"`{shown(named.name)}` is declared twice; accepted: each media type once")
        found[named.name] = _read_media(entry, named, checkers)
    if not found:
        raise content.fault("no media type is declared; accepted: at least one, such as `application/json`")
    return Body(at.flag("required"), found)


def _read_media(at: At, named: MediaType, checkers: Checkers) -> Media:
    schema = at.get("schema")
    is_range, is_form = named.name.endswith("/*"), named.name == FORM
    if schema is None or not (named.json or is_form or is_range):
        return Media(None, None, judged=False)
    form = _read_form(at, schema, checkers) if is_form else None
    judged = is_range and "string" not in checkers.shapes.types(schema.where)
    return Media(checkers.checker(schema), form, judged)


def _read_form(at: At, schema: At, checkers: Checkers) -> Members:
    encodings: dict[str, At] = dict(found.members()) if (found := at.get("encoding")) else {}
    known: dict[str, Reading] = {}
    for name, where in checkers.shapes.members(schema.where).items():
        known[name] = _member(schema.document.at(where), encodings.get(name), checkers)
    return Members(checkers.checker(schema), known)


def _member(schema: At, encoding: At | None, checkers: Checkers) -> Reading:
    """A member of a form: objects, and what says so, are JSON (OpenAPI 3.1.1, "Encoding Object")."""
    types = checkers.shapes.types(schema.where)
    kind = encoding.get("contentType") if encoding else None
    style = _text(encoding, "style", "form")
    if encoding is not None and style != "form":
        raise encoding.fault(f"the style `{shown(style)}` is not supported in a form; accepted: `form`")
    if types <= {"object", "null"} or _is_json(kind):
        return Reading(checkers.checker(schema), types, decode_query, json=True)
    explode = encoding.flag("explode", default=True) if encoding else True
    return text_reading(schema, checkers, encoding or schema, style="form", explode=explode, place="form")


def _text(at: At | None, name: str, default: str) -> str:
    found = at.get(name) if at else None
    return default if found is None else found.text()


def _is_json(kind: At | None) -> bool:
    named = media_type(kind.text()) if kind else None
    return named is not None and named.json
