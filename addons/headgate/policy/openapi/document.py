"""A description as read from its file: JSON values, each with its place, and references within the file only.

Nothing is ever fetched: a `$ref` to another file or host is an error, since what it names could change after the rules
were signed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from headgate.policy.openapi.faults import DescriptionFault, shown, step
from headgate.policy.openapi.jsontext import NotStrict, read_json
from headgate.policy.openapi.yamltext import read_yaml

MAX_BYTES = 2 << 20
MAX_HOPS = 32

_VERSION = re.compile(r"3\.([01])\.[0-9]{1,3}(?:-[0-9A-Za-z.]{1,20})?\Z")
_INDEX = re.compile(r"(0|[1-9][0-9]{0,5})\Z")
_DIALECTS = {"https://spec.openapis.org/oas/3.1/dialect/base", "https://json-schema.org/draft/2020-12/schema"}
_NOTHING = object()


def read_document(data: bytes) -> "Document":
    """The description in `data`; DescriptionFault where it is not OpenAPI 3.0 or 3.1 in YAML or JSON."""
    root = _parsed(data)
    if not isinstance(root, dict):
        raise DescriptionFault("", "not a mapping; accepted: an OpenAPI 3.0 or 3.1 description")
    version = root.get("openapi")
    found = _VERSION.match(version) if isinstance(version, str) else None
    if found is None:
        given = root.get("swagger", version)
        kind = f"`{shown(given)}`" if isinstance(given, str | float | int) else "nothing readable"
        raise DescriptionFault("/openapi", f"{kind} is not a version known here; accepted: `3.0.x` or `3.1.x`")
    dialect = root.get("jsonSchemaDialect")
    if dialect is not None and not (isinstance(dialect, str) and dialect in _DIALECTS):
        raise DescriptionFault("/jsonSchemaDialect", "not a dialect known here; accepted: JSON Schema 2020-12")
    return Document(root, is_31=found[1] == "1")


def _parsed(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise DescriptionFault("", f"larger than {MAX_BYTES >> 20} MiB; accepted: up to {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DescriptionFault("", "not UTF-8; accepted: YAML or JSON in UTF-8") from None
    if text.lstrip()[:1] != "{":
        return read_yaml(text)
    try:
        return read_json(text.encode())
    except NotStrict as error:
        if str(error) != "is not JSON":
            raise DescriptionFault("", f"{error}; accepted: YAML or JSON") from None
    return read_yaml(text)  # a mapping in YAML may begin with a brace too, and YAML's errors have a line


@dataclass(frozen=True, slots=True)
class Document:
    """The whole description; `is_31` tells which of the two schema dialects it is written in."""

    root: dict[str, Any]
    is_31: bool

    def top(self) -> "At":
        return At(self, self.root, "")

    def at(self, where: str) -> "At":
        """The value at a JSON Pointer that was made here."""
        place = self.top()
        for token in where.split("/")[1:]:
            place = place.below(token.replace("~1", "/").replace("~0", "~"))
        return place


@dataclass(frozen=True, slots=True)
class At:
    """A value of the description and its place; whatever is asked of it that does not fit is a DescriptionFault."""

    document: Document
    value: Any
    where: str

    def fault(self, what: str) -> DescriptionFault:
        return DescriptionFault(self.where, what)

    def mapping(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.fault("not a mapping; accepted: a mapping")
        return self.value

    def get(self, name: str) -> "At | None":
        """The member `name`; None where there is none."""
        value = self.mapping().get(name, _NOTHING)
        return None if value is _NOTHING else At(self.document, value, self.where + step(name))

    def need(self, name: str) -> "At":
        found = self.get(name)
        if found is None:
            raise self.fault(f"`{name}` is missing; accepted: a value for it")
        return found

    def members(self) -> "Iterator[tuple[str, At]]":
        for name, value in self.mapping().items():
            yield name, At(self.document, value, self.where + step(name))

    def elements(self) -> "list[At]":
        if not isinstance(self.value, list):
            raise self.fault("not a list; accepted: a list")
        return [At(self.document, value, f"{self.where}/{at}") for at, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fault("not text; accepted: text")
        return self.value

    def flag(self, name: str, default: bool = False) -> bool:
        found = self.get(name)
        if found is None:
            return default
        if not isinstance(found.value, bool):
            raise found.fault("neither true nor false; accepted: `true` or `false`")
        return found.value

    def below(self, token: str) -> "At":
        value: Any = _NOTHING
        if isinstance(self.value, dict):
            value = self.value.get(token, _NOTHING)
        elif isinstance(self.value, list) and _INDEX.match(token) and int(token) < len(self.value):
            value = self.value[int(token)]
        if value is _NOTHING:
            raise self.fault(f"there is no `{shown(token)}` here")
        return At(self.document, value, self.where + step(token))

    def target(self) -> "At":
        """What this value, a reference, refers to."""
        reference = self.text()
        if not reference.startswith("#/"):
            what = f"`{shown(reference)}` refers to something outside this file, or by a name"
            raise self.fault(f"{what}; accepted: a place in this file such as `#/components/schemas/Payment`")
        place = self.document.top()
        try:
            for token in reference[2:].split("/"):
                place = place.below(unquote(token, errors="strict").replace("~1", "/").replace("~0", "~"))
        except (DescriptionFault, UnicodeDecodeError):
            raise self.fault(f"`{shown(reference)}` refers to nothing; accepted: a place in this file") from None
        return place

    def followed(self) -> "At":
        """This value, or what it refers to where it is a reference (not for schemas, which may refer to themselves)."""
        place = self
        for _ in range(MAX_HOPS):
            reference = place.get("$ref")
            if reference is None:
                return place
            place = reference.target()
        raise self.fault("refers to itself; accepted: a reference that ends")
