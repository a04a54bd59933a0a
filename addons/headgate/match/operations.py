"""Which GraphQL operations a request asks for (GraphQL over HTTP; GraphQL, section 2).

They come in a JSON or form body, one or several in an array, as application/graphql, or in the query. Fields are those
at the root, by their real names, with fragments followed; `@skip` and `@include` are not, for a variable may decide.
What servers take in different ways is unclear: a request that names a stored operation, two places that both hold
one, a document that does not parse.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

from headgate.match.aliases import Name
from headgate.match.documents import Document, Members
from headgate.match.facts import effective_method
from headgate.match.found import Found
from headgate.match.parameters import Parameters
from headgate.model import Request

MAX_LENGTH = 64 * 1024
MAX_TOKENS = 3000
"""Tokens of all documents of one request; it is parsed on the event loop."""

MAX_BATCH = 20

QUERY, OPERATION_NAME = Name.of("query"), Name.of("operationName")
STORED = tuple(map(Name.of, ("documentId", "doc_id", "queryId", "extensions", "operationName")))
"""Members by which a request names an operation that the server knows."""

STORED_ALONE = frozenset(("id", "variables", "operationName", "extensions"))
"""A body with `id` and nothing but these names a stored operation; with others it is any object that has an id."""


class Operation(NamedTuple):
    kind: str
    name: str | None
    fields: tuple[str, ...]


class Operations(NamedTuple):
    """All that a request asks for; none, if it is no GraphQL request."""

    all: tuple[Operation, ...] = ()
    unclear: str | None = None


class _UnclearError(Exception):
    """No reading of the request is the only one; the text is a stable reason, `Found.unclear`."""


def operations(request: Request, query: Parameters, body: Document) -> Operations:
    try:
        return Operations(tuple(_operations(request, query, body)))
    except _UnclearError as error:
        return Operations(unclear=str(error))


def _operations(request: Request, query: Parameters, body: Document) -> Iterator[Operation]:
    if effective_method(request) == "WEBSOCKET":
        if any("graphql" in value.lower() for value in request.values("sec-websocket-protocol")):
            raise _UnclearError("graphql-in-messages")
        return
    if body.unclear:
        raise _UnclearError(body.unclear)
    asking = [parcel for parcel in _parcels(body) if _asks(parcel)]
    if _asks(query):
        if asking:
            raise _UnclearError("graphql-in-query-and-body")
        asking = [query]
    for parcel in asking:
        document = _parsed(_text(parcel, QUERY), MAX_TOKENS // len(asking))
        yield from _selected(document, _text(parcel, OPERATION_NAME))


def _parcels(body: Document) -> list[Any]:
    """What may hold an operation each."""
    if not isinstance(body.value, list):
        return [body.value]
    if len(body.value) > MAX_BATCH and any(isinstance(item, Members) for item in body.value):
        raise _UnclearError("graphql-batch-too-large")
    return body.value[:MAX_BATCH]


def _asks(parcel: object) -> bool:
    """Whether there is a GraphQL document, or the name of a stored one."""
    if not isinstance(parcel, Members | Parameters):
        return False
    if any(found.unclear or found.values not in ((), (None,)) for found in map(parcel.find, (QUERY, *STORED))):
        return True
    return isinstance(parcel, Members) and "id" in parcel and parcel.keys() <= STORED_ALONE


def _text(parcel: Any, name: Name) -> str:
    """A text, empty where there is none."""
    found: Found = parcel.find(name)
    if found.unclear or len(found.values) > 1:
        raise _UnclearError(found.unclear or "parameter-repeated")
    value = found.values[0] if found.values else None
    if not isinstance(value, str | None):
        raise _UnclearError("graphql-member-not-text")
    return value or ""


def _parsed(text: str, tokens: int) -> DocumentNode:
    if not text:
        raise _UnclearError("graphql-stored-operation")
    if len(text) > MAX_LENGTH:
        raise _UnclearError("graphql-too-large")
    try:
        return parse(text, no_location=True, max_tokens=tokens)
    except (GraphQLError, RecursionError):
        raise _UnclearError("graphql-not-readable") from None


def _selected(document: DocumentNode, name: str) -> Iterator[Operation]:
    """The operation of that name; without a name all, for servers that take the first or the last."""
    fragments: dict[str, FragmentDefinitionNode] = {}
    found: list[OperationDefinitionNode] = []
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            if fragments.setdefault(definition.name.value, definition) is not definition:
                raise _UnclearError("graphql-fragment-repeated")
        elif isinstance(definition, OperationDefinitionNode):
            found.append(definition)
        else:
            raise _UnclearError("graphql-not-executable")
    names = [operation.name.value if operation.name else None for operation in found]
    if not found or len(set(names)) < len(names) or (name and name not in names):
        raise _UnclearError("graphql-operation-not-found")
    for operation, own in zip(found, names, strict=True):
        if own == (name or own):
            yield Operation(operation.operation.value, own, tuple(_fields(operation.selection_set, fragments)))


def _fields(root: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]) -> dict[str, None]:
    """The fields at the root, each once; a fragment that contains itself is followed once."""
    fields: dict[str, None] = {}
    followed: set[str] = set()
    waiting = [root]
    while waiting:
        for selection in waiting.pop().selections:
            if isinstance(selection, FieldNode):
                fields[selection.name.value] = None
            elif not isinstance(selection, FragmentSpreadNode):
                waiting.append(selection.selection_set)  # type: ignore[attr-defined]  # an inline fragment
            elif (name := selection.name.value) not in followed:
                if name not in fragments:
                    raise _UnclearError("graphql-fragment-missing")
                followed.add(name)
                waiting.append(fragments[name].selection_set)
    return fields
