"""Which schemas take part in judging one value, and what they declare between them."""

from collections.abc import Callable, Iterable, Iterator

from headgate.policy.openapi.faults import DescriptionFault
from headgate.policy.openapi.schemas import MAX_DEPTH, Schema, Schemas

Child = tuple[str, ...]

Gathered = tuple[dict[Child, frozenset[str]], frozenset[Child]]
"""The schemas of each member or item, and the members and items that have several at once."""

_OPEN = frozenset(("patternProperties", "additionalProperties", "unevaluatedProperties"))
_SHARED = frozenset(("properties", "items", "prefixItems"))


class Parts:
    """Looks through the schemas of a description."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._nested: dict[str, bool] = {}
        self._known: dict[str, Gathered] = {}

    def certain(self, where: str) -> list[Schema]:
        """The schemas that every value of the schema at `where` must satisfy."""
        return list(self._reached(where, Schema.all_beside))

    def declares(self, where: str) -> bool:
        """Whether members are declared for the value."""
        return any(schema.named.get("properties") for schema in self._whole(where))

    def declared(self, where: str) -> list[str] | None:
        """All names that may be declared for the value; None where they cannot be listed."""
        whole = self._whole(where)
        if any({child[0] for child, _ in schema.children()} & _OPEN for schema in whole):
            return None
        return sorted({name for schema in whole for name in schema.named.get("properties", ())})

    def shared(self, where: str) -> dict[Child, tuple[str, ...]]:
        """Members and items that several schemas describe at once, where closing any of them alone would refuse what
        another declares. What only one choice or the other describes is not described at once."""
        described, several = self._gathered(where)
        heirs = [self._gathered(heir) for _, heir in self._schemas[self._followed(where)].heirs]
        if heirs:
            described, several = _together([[(described, several)], heirs])
        if self._schemas[where].parts:
            several = frozenset(described)
        places = {child: tuple(sorted(described[child])) for child in several}
        return {child: found for child, found in places.items() if any(map(self._closes, found))}

    def closes_below(self, where: str) -> bool:
        """Whether closing would change anything below the value."""
        return any(self._closes(place) for schema in self._whole(where) for _, place in schema.children())

    def read_only_names(self, schemas: Iterable[Schema]) -> frozenset[str]:
        """The members that these schemas declare to be read-only."""
        declared = (schema.named.get("properties", {}) for schema in schemas)
        return frozenset(name for names in declared for name, where in names.items() if self.is_read_only(where))

    def is_read_only(self, where: str) -> bool:
        """Whether the schema says so itself, or what it refers to."""
        return any(schema.read_only for schema in self._reached(where, _reference))

    def _reached(self, where: str, step: Callable[[Schema], Iterable[str]]) -> Iterator[Schema]:
        """This schema and all that `step` leads to, each once."""
        seen, waiting = {where}, [where]
        while waiting:
            schema = self._schemas[waiting.pop()]
            yield schema
            new = [place for place in step(schema) if place not in seen]
            seen.update(new)
            waiting.extend(new)

    def _whole(self, where: str) -> list[Schema]:
        """Every schema that may judge the value, those that its discriminator chooses included."""
        found = {schema.where: schema for schema in self._reached(where, Schema.beside)}
        for _, heir in self._schemas[self._followed(where)].heirs:
            found |= {schema.where: schema for schema in self._reached(heir, Schema.beside)}
        return list(found.values())

    def _followed(self, where: str) -> str:
        """The schema that bare references lead to."""
        seen = set()
        while where not in seen and self._schemas[where].is_bare_reference:
            seen.add(where)
            where = self._schemas[where].reference or where
        return where

    def _gathered(self, where: str, depth: int = 0) -> Gathered:
        """What the schema describes, and which of that in several places at once."""
        if depth > MAX_DEPTH:
            raise DescriptionFault(where, f"leads on over {MAX_DEPTH} schemas for the same value; accepted: fewer")
        if where not in self._known:
            self._known[where] = ({}, frozenset())  # for a schema that leads back here: refused later
            schema = self._schemas[where]
            own = {child: frozenset([self._followed(at)]) for child, at in schema.children() if child[0] in _SHARED}
            groups = [[self._gathered(place, depth + 1) for place in group] for group in schema.groups()]
            self._known[where] = _together([[(own, frozenset())], *groups])
        return self._known[where]

    def _closes(self, where: str) -> bool:
        """Whether closing would change anything at this value or below."""
        known = self._nested.get(where)
        if known is None:
            reached = self._reached(where, _everything_in)
            known = self._nested[where] = any(schema.named.get("properties") for schema in reached)
        return known


def _reference(schema: Schema) -> Iterable[str]:
    return () if schema.reference is None else (schema.reference,)


def _everything_in(schema: Schema) -> Iterator[str]:
    yield from schema.beside()
    yield from (heir for _, heir in schema.heirs)
    yield from (where for _, where in schema.children())


def _together(groups: list[list[Gathered]]) -> Gathered:
    """Of one group one applies, of several groups all: what two of them describe differently has several schemas."""
    described: dict[Child, frozenset[str]] = {}
    several: set[Child] = set()
    for group in groups:
        inside: dict[Child, frozenset[str]] = {}
        for places, also in group:
            several |= also
            for child, found in places.items():
                inside[child] = inside.get(child, frozenset()) | found
        for child, found in inside.items():
            both = described.get(child, found) | found
            if child in described and len(both) > 1:
                several.add(child)
            described[child] = both
    return described, frozenset(several)
