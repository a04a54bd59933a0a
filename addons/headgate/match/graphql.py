"""`graphql:` which operations a request asks a GraphQL server for.

An allow needs all of them to be listed, every other rule any. A request that is no GraphQL request is false, one that
cannot be read unknown; so is one for an operation that the server has stored.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from headgate.match.conditions import Condition, shared
from headgate.match.contents import Contents
from headgate.match.facts import Facts
from headgate.match.found import Found
from headgate.match.sections import Conditions, Names, Some, listed


class OperationKind(StrEnum):
    QUERY = "query"
    MUTATION = "mutation"
    SUBSCRIPTION = "subscription"


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"`{name[:80]}` is not a name in GraphQL; accepted: letters, digits and `_`")
    return names


Kinds = Annotated[
    tuple[OperationKind, ...],
    BeforeValidator(listed, json_schema_input_type=OperationKind | list[OperationKind]),
    Some,
]


class GraphqlSpec(Conditions):
    operation: Kinds | None = None
    field: Annotated[Names, AfterValidator(_names)] | None = None
    name: Annotated[Names, AfterValidator(_names)] | None = None


def compile_graphql(spec: GraphqlSpec, *, widen: bool) -> Iterator[Condition]:
    from headgate.match import operations  # noqa: F401 - loads the parser now rather than for a request

    for key in ("operation", "field", "name"):
        if (names := getattr(spec, key)) is not None:
            yield _asked(key, tuple(map(str, names)), widen)


@shared
def _asked(key: str, names: tuple[str, ...], widen: bool) -> Condition:
    wanted = frozenset(names)

    def test(facts: Facts) -> bool | None:
        found = _find(facts, key)
        if found.unclear:
            return None
        holds = any if widen else all
        return bool(found.values) and holds(value in wanted for value in found.values)

    def actual(facts: Facts) -> Any:
        return _find(facts, key).shown()

    return Condition(test, f"graphql.{key}", list(names), actual, reads_body=True, location=("graphql", key))


def _find(facts: Facts, key: str) -> Found:
    operations = facts.view(Contents).operations
    if operations.unclear:
        return Found(unclear=operations.unclear)
    if key == "field":
        return Found(tuple(field for operation in operations.all for field in operation.fields))
    return Found(tuple(operation.kind if key == "operation" else operation.name for operation in operations.all))
