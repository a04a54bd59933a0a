"""How often the schemas of a description judge one value, and a whole one with all that is in it.

A schema with choices that lead back to itself (`and`, `or` and `not` of a filter language) may judge a value two levels
down four times, and one twenty levels down a million times. Whether a body is valid is settled without that, for the
library remembers what it judged; but listing what is wrong with it is not, and would take minutes and gigabytes for a
body of a hundred bytes. So the judgements are counted beforehand, up to as many as nobody waits for.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

MAX_AT_ONCE = 1000
"""Schemas that may judge one and the same value, which is the description's own doing."""

_BESIDE = ("if", "then", "else", "not")
_BESIDE_LISTS = ("allOf", "anyOf", "oneOf")
_ANY_CHILD = ("items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames")

Node = dict[str, Any]


class Endless(ValueError):
    """A schema judges a value by judging the same value by itself, or more often than anyone could want."""


def is_within(schema: Node, definitions: Node, value: Any, most: int) -> bool:
    """Whether the value, and all that is in it, is judged by this schema at most so often."""
    made = 0
    waiting: list[tuple[Any, list[Node]]] = [(value, [schema])]
    while waiting:
        value, judging = waiting.pop()
        for node in judging:  # grows while it is walked
            judging.extend(_beside(node, definitions))
            if made + len(judging) > most:
                return False
        made += len(judging)
        for name, item in value.items() if isinstance(value, dict) else enumerate(value if type(value) is list else ()):
            inner = [child for node in judging for key, child in _children(node) if key is None or key == name]
            if made + len(inner) > most:
                return False
            if inner:
                waiting.append((item, inner))
    return True


class Growth:
    """Admits the schemas that judge a value a limited number of times; knows those that it has admitted."""

    def __init__(self, definitions: Node) -> None:
        self._definitions = definitions
        self._known: dict[int, int] = {}

    def admit(self, schema: Node) -> None:
        """Raises Endless for a schema that does not, or leads to one. It must be kept as long as this object."""
        beside: dict[int, list[int]] = {}
        waiting = [schema]
        while waiting:
            node = waiting.pop()
            if id(node) not in beside and id(node) not in self._known:
                others = list(_beside(node, self._definitions))
                beside[id(node)] = list(map(id, others))
                waiting += [*others, *(child for _, child in _children(node))]
        for key in reversed(_topological(beside)):
            self._known[key] = 1 + sum(self._known[other] for other in beside[key])
            if self._known[key] > MAX_AT_ONCE:
                raise Endless(f"leads to over {MAX_AT_ONCE:,} judgements of one value; accepted: fewer")


def _topological(beside: dict[int, list[int]]) -> list[int]:
    """Every schema before all those that it hands its own value to (Kahn's algorithm)."""
    incoming = Counter(other for others in beside.values() for other in others if other in beside)
    order = [key for key in beside if not incoming[key]]
    for key in order:
        for other in beside[key]:
            if other in beside:
                incoming[other] -= 1
                if not incoming[other]:
                    order.append(other)
    if len(order) < len(beside):
        raise Endless("refers to itself for the same value; accepted: below a member or an item only")
    return order


def _beside(node: Node, definitions: Node) -> Iterator[Node]:
    """The schemas that judge the same value."""
    if "$ref" in node:
        yield from _schemas([definitions[node["$ref"].removeprefix("#/$defs/")]])
    yield from _schemas([node[keyword] for keyword in _BESIDE if keyword in node])
    for keyword in _BESIDE_LISTS:
        yield from _schemas(node.get(keyword, ()))
    yield from _schemas(node.get("dependentSchemas", {}).values())


def _children(node: Node) -> Iterator[tuple[str | None, Node]]:
    """The schemas of what is in the value, by the name of the member or None for any."""
    for name, child in node.get("properties", {}).items():
        if isinstance(child, dict):
            yield name, child
    anywhere = [node[keyword] for keyword in _ANY_CHILD if keyword in node]
    for child in _schemas([*anywhere, *node.get("patternProperties", {}).values(), *node.get("prefixItems", ())]):
        yield None, child


def _schemas(candidates: Any) -> Iterator[Node]:
    return (candidate for candidate in candidates if isinstance(candidate, dict))
