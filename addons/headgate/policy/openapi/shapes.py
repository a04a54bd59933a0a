"""What a schema may take as its value, as far as reading text needs to know before the schema judges it."""

from collections.abc import Iterator

from headgate.policy.openapi.faults import DescriptionFault
from headgate.policy.openapi.keywords import ALL_TYPES
from headgate.policy.openapi.schemas import MAX_DEPTH, Schema, Schemas

_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


class Shapes:
    """Looks through the schemas of a description."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._types: dict[str, frozenset[str]] = {}

    def types(self, where: str, depth: int = 0) -> frozenset[str]:
        """The types that the schema leaves open; all of them where it says nothing."""
        if depth > MAX_DEPTH:
            raise DescriptionFault(where, f"leads on over {MAX_DEPTH} schemas for the same value; accepted: fewer")
        if where not in self._types:
            self._types[where] = ALL_TYPES  # for a schema that leads back here: refused later
            schema = self._schemas[where]
            types = _asserted(schema)
            for part in schema.all_beside():
                types = _both(types, self.types(part, depth + 1))
            for keyword in ("anyOf", "oneOf"):
                if choices := [self.types(choice, depth + 1) for choice in schema.listed.get(keyword, ())]:
                    types = _both(types, frozenset().union(*choices))
            self._types[where] = types
        return self._types[where]

    def items(self, where: str) -> str | None:
        """The schema of the items, where one is declared for all of them."""
        found = (schema.single.get("items") for schema in self._parts(where))
        return next((items for items in found if items is not None), None)

    def members(self, where: str) -> dict[str, str]:
        """The schemas of the declared members; the first one of a name."""
        members: dict[str, str] = {}
        for schema in self._parts(where):
            for name, child in schema.named.get("properties", {}).items():
                members.setdefault(name, child)
        return members

    def _parts(self, where: str) -> Iterator[Schema]:
        """This schema and all that judge the same value, each once."""
        places = {where: None}
        waiting = [where]
        for place in waiting:
            schema = self._schemas[place]
            yield schema
            new = [other for other in dict.fromkeys(schema.beside()) if other not in places]
            places |= dict.fromkeys(new)
            waiting += new


def _asserted(schema: Schema) -> frozenset[str]:
    declared, listed = schema.asserts.get("type"), schema.asserts.get("enum")
    if declared is not None:
        return frozenset((declared,) if isinstance(declared, str) else declared)
    if listed is None and "const" in schema.asserts:
        listed = [schema.asserts["const"]]
    return ALL_TYPES if listed is None else frozenset(_KINDS.get(type(value), "null") for value in listed)


def _both(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """The types in both; an integer is a number."""
    widened = [types | {"integer"} if "number" in types else types for types in (one, other)]
    return widened[0] & widened[1]
