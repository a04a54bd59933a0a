"""The schemas of a description, read from either dialect into the words of JSON Schema 2020-12.

Each is read when it is first asked for, by its place, so that schemas may refer to each other and to themselves. What
requests do not use is not read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.policy.openapi.document import At, Document
from headgate.policy.openapi.faults import DescriptionFault, shown
from headgate.policy.openapi.keywords import DIALECT_30, DIALECT_31, PATTERN, RANGES

MAX_DEPTH = 100
"""Schemas one behind the other that may judge one value."""

ANYTHING = "anything"
"""The place of the schema that everything satisfies; no place of a document is spelled so."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema: what it asserts by itself, and the places of the schemas in it, by keyword.

    `always` is set for the schemas `true` and `false`. `heirs` are the schemas that a discriminator chooses from where
    nothing else does, each with the names that choose it. `parts` is set for what `Schemas.either` makes.
    """

    where: str
    always: bool | None = None
    asserts: Mapping[str, Any] = field(default_factory=dict)
    reference: str | None = None
    single: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read_only: bool = False
    discriminator: str | None = None
    heirs: tuple[tuple[tuple[str, ...], str], ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def is_bare_reference(self) -> bool:
        """Whether it is nothing but another schema."""
        return bool(self.reference) and not (self.asserts or self.single or self.listed or self.named or self.heirs)

    def beside(self) -> Iterator[str]:
        """The schemas that judge the same value as this one, and whose members count as declared here."""
        for group in self.groups():
            yield from group

    def groups(self) -> Iterator[tuple[str, ...]]:
        """The same, those together of which a value needs one only."""
        yield from ((where,) for where in self.all_beside())
        yield from (self.listed[keyword] for keyword in ("anyOf", "oneOf") if keyword in self.listed)
        yield tuple(self.single[keyword] for keyword in ("then", "else") if keyword in self.single)
        yield from ((where,) for where in self.named.get("dependentSchemas", {}).values())

    def all_beside(self) -> Iterator[str]:
        """Those of them that every value must satisfy."""
        if self.reference is not None:
            yield self.reference
        yield from self.listed.get("allOf", ())

    def children(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The schemas that judge a member or an item, each with what tells which."""
        for keyword in ("properties", "patternProperties"):
            for name, where in self.named.get(keyword, {}).items():
                yield (keyword, name), where
        for keyword in ("items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties"):
            if keyword in self.single:
                yield (keyword,), self.single[keyword]
        for at, where in enumerate(self.listed.get("prefixItems", ())):
            yield ("prefixItems", str(at)), where


class Schemas:
    """All schemas of one description that were asked for."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._dialect = DIALECT_31 if document.is_31 else DIALECT_30
        self._read: dict[str, Schema] = {ANYTHING: Schema(ANYTHING, always=True)}
        self._heirs: dict[str, list[tuple[str, str]]] | None = None

    def __getitem__(self, where: str) -> Schema:
        schema = self._read.get(where)
        if schema is None:
            schema = self._read[where] = self._schema(self.document.at(where))
        return schema

    def either(self, places: tuple[str, ...]) -> str:
        """The place of a schema that everything satisfies, and that declares what any of `places` declares."""
        parts = tuple(sorted({part for place in places for part in self[place].parts or (place,)}))
        where = "either " + " ".join(parts)
        self._read[where] = Schema(where, listed={"anyOf": (ANYTHING, *parts)}, parts=parts)
        return where

    def _schema(self, place: At) -> Schema:
        if isinstance(place.value, bool):
            return Schema(place.where, always=place.value)
        mapping = place.mapping()
        reference = place.get("$ref")
        read_only = place.flag("readOnly")
        if reference is not None and not self.document.is_31:  # what stands beside it does not count in 3.0
            return Schema(place.where, reference=reference.target().where)
        self._refuse_unknown(place, mapping)
        chosen_by = self._discriminator(place)
        return Schema(
            place.where,
            asserts=self._asserts(place),
            reference=None if reference is None else reference.target().where,
            single={name: self._child(found, name) for name, found in self._found(place, self._dialect.single)},
            listed={name: self._children(found) for name, found in self._found(place, self._dialect.listed)},
            named={name: self._named(found, name) for name, found in self._found(place, self._dialect.named)},
            read_only=read_only,
            discriminator=chosen_by,
            heirs=self._chosen(place) if chosen_by else (),
        )

    def _refuse_unknown(self, place: At, mapping: Mapping[str, Any]) -> None:
        for name in mapping:
            if name in self._dialect.refused:
                accepted = self._dialect.refused[name]
                raise place.fault(
                    f"`{name}` is not supported in a schema of {self._dialect.name}; accepted: {accepted}"
                )
        schema = mapping.get("$schema")
        if schema is not None and schema != "https://json-schema.org/draft/2020-12/schema":
            raise place.fault("`$schema` names another dialect; accepted: JSON Schema 2020-12")

    def _found(self, place: At, keywords: frozenset[str]) -> Iterator[tuple[str, At]]:
        for name in sorted(keywords & place.mapping().keys()):
            yield name, place.need(name)

    def _child(self, place: At, keyword: str) -> str:
        if isinstance(place.value, bool):
            if not self.document.is_31 and keyword != "additionalProperties":
                raise place.fault("not a schema of OpenAPI 3.0; accepted: a mapping")
        else:
            place.mapping()
        return place.where

    def _children(self, place: At) -> tuple[str, ...]:
        if not place.elements():
            raise place.fault("an empty list; accepted: at least one schema")
        return tuple(self._child(child, "") for child in place.elements())

    def _named(self, place: At, keyword: str) -> dict[str, str]:
        if keyword == "patternProperties":
            for name, child in place.members():
                if not PATTERN.holds(name):
                    raise child.fault(f"`{shown(name)}` cannot be used as a pattern; accepted: {PATTERN.accepted}")
        return {name: self._child(child, "") for name, child in place.members()}

    def _asserts(self, place: At) -> dict[str, Any]:
        asserts = {}
        for name, found in self._found(place, frozenset(self._dialect.asserts)):
            keyword = self._dialect.asserts[name]
            try:
                fits = keyword.holds(found.value)
            except (TypeError, ValueError):  # a mapping or a list where a name is compared
                fits = False
            if not fits:
                raise found.fault(f"not what `{name}` may hold; accepted: {keyword.accepted}")
            asserts[name] = found.value
        return _ranged(asserts if self.document.is_31 else _from_30(asserts))

    def _discriminator(self, place: At) -> str | None:
        found = place.get("discriminator")
        return None if found is None else found.need("propertyName").text()

    def _chosen(self, place: At) -> tuple[tuple[tuple[str, ...], str], ...]:
        """The schemas that extend this one by `allOf`, directly or not, and the names that choose them."""
        if "oneOf" in place.mapping() or "anyOf" in place.mapping():
            return ()
        given = place.need("discriminator").get("mapping")
        names = {name: self._mapped(found) for name, found in given.members()} if given else {}
        chosen, waiting = {}, [place.where]
        while waiting:
            for name, heir in self._extending().get(waiting.pop(), ()):
                if heir not in chosen and heir != place.where:
                    chosen[heir] = (name, *sorted(key for key, where in names.items() if where == heir))
                    waiting.append(heir)
        return tuple((values, heir) for heir, values in chosen.items())

    def _mapped(self, place: At) -> str:
        """What a discriminator's mapping refers to: a reference, or the name of a schema."""
        text = place.text()
        if "/" not in text and "." not in text:
            place = At(place.document, f"#/components/schemas/{text.replace('~', '~0')}", place.where)
        return place.target().where

    def _extending(self) -> Mapping[str, list[tuple[str, str]]]:
        """For each schema that others name in their `allOf`: their names and places."""
        if self._heirs is None:
            self._heirs = {}
            for name, place in _components(self.document):
                entries = place.value.get("allOf") if isinstance(place.value, dict) else None
                for entry in entries if isinstance(entries, list) else ():
                    if isinstance(entry, dict) and isinstance(entry.get("$ref"), str):
                        base = At(self.document, entry["$ref"], place.where).target().where
                        self._heirs.setdefault(base, []).append((name, place.where))
        return self._heirs


def _components(document: Document) -> Iterator[tuple[str, At]]:
    try:
        yield from document.at("/components/schemas").members()
    except DescriptionFault:
        return


def _from_30(asserts: dict[str, Any]) -> dict[str, Any]:
    """`nullable` and the two flags of OpenAPI 3.0, in the words of 2020-12.

    `nullable` adds to the `type` beside it and does nothing else (OpenAPI 3.0.3, clarification of `nullable`).
    """
    if asserts.pop("nullable", False) and "type" in asserts:
        asserts["type"] = [asserts["type"], "null"]
    for flag, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if asserts.pop(flag, False) and limit in asserts:
            asserts[flag] = asserts.pop(limit)
    return asserts


def _ranged(asserts: dict[str, Any]) -> dict[str, Any]:
    """The formats of numbers say what lies between two ends."""
    if asserts.get("format") in RANGES:
        least, most = RANGES[asserts["format"]]
        asserts["minimum"] = max(asserts.get("minimum", least), least)
        asserts["maximum"] = min(asserts.get("maximum", most), most)
    return asserts
