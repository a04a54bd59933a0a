"""Which GraphQL operations a request asks for (GraphQL over HTTP; GraphQL, section 2).

They come in a JSON or form body, one or several in an array, as application/graphql, or in the query. Fields are those
at the root, by their real names, with fragments followed; `@skip` and `@include` are not, for a variable may decide.
What servers take in different ways is unclear: a request that names a stored operation, with a document or without,
two places that both hold one, a batch of which some entries ask for nothing, a document that does not parse.

Any object with an `id` may name a stored operation: rules that ask for `graphql` should name the path of the GraphQL
endpoint as well, or they are unknown of ordinary requests with an `id`.
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
from headgate.match.facts import WEBSOCKET, effective_method
from headgate.match.found import Found
from headgate.match.parameters import Parameters
from headgate.model import Request

MAX_LENGTH = 64 * 1024
MAX_TOKENS = 3000
"""Characters and tokens of all documents of one request; it is parsed on the event loop."""

MAX_BATCH = 20

QUERY, OPERATION_NAME = Name.of("query"), Name.of("operationName")
_STORED = "id documentId doc_id operationId queryId hash sha256Hash queryHash documentHash persistedQuery"
STORED = tuple(map(Name.of, _STORED.split()))
"""Members by which a request names an operation that the server knows, even beside a document."""

ASKING = (QUERY, OPERATION_NAME, Name.of("extensions"), *STORED)
"""Members that make it a GraphQL request."""


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
    protocols = request.values("sec-websocket-protocol") if effective_method(request) == WEBSOCKET else []
    if any("graphql" in protocol.lower() for protocol in protocols):
        raise _UnclearError("graphql-in-messages")
    if body.unclear:
        raise _UnclearError(body.unclear)
    asking = _asking(body)
    if _asks(query):
        if asking:
            raise _UnclearError("graphql-in-query-and-body")
        asking = [query]
    texts = [_document(parcel) for parcel in asking]
    if sum(map(len, texts)) > MAX_LENGTH:
        raise _UnclearError("graphql-too-large")
    for parcel, text in zip(asking, texts, strict=True):
        yield from _selected(_parsed(text, MAX_TOKENS // len(asking)), _text(parcel, OPERATION_NAME))


def _asking(body: Document) -> list[Any]:
    """What asks for operations, each by itself: the body or, if one of them does, every entry of a batch."""
    if not isinstance(body.value, list):
        return [body.value] if _asks(body.value) else []
    if len(body.value) > MAX_BATCH and any(isinstance(item, Members) for item in body.value):
        raise _UnclearError("graphql-batch-too-large")
    asking = [item for item in body.value[:MAX_BATCH] if _asks(item)]
    if asking and len(asking) < len(body.value):
        raise _UnclearError("graphql-batch-of-other-entries")
    return asking


def _asks(parcel: object) -> bool:
    """Whether there is a GraphQL document, or the name of a stored one."""
    return isinstance(parcel, Members | Parameters) and any(_given(parcel, name) for name in ASKING)


def _given(parcel: Members | Parameters, name: Name) -> bool:
    """Whether a member may be there; one that is null is not."""
    found = parcel.find(name)
    return bool(found.unclear) or found.values not in ((), (None,))


def _document(parcel: Any) -> str:
    text = _text(parcel, QUERY)
    if not text or any(_given(parcel, name) for name in STORED):
        raise _UnclearError("graphql-stored-operation")
    return text


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
