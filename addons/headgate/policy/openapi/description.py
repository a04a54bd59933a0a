"""A compiled OpenAPI description, and what it says of a request."""

from typing import Literal

from headgate.model import Request
from headgate.policy.openapi.checker import Checkers
from headgate.policy.openapi.document import read_document
from headgate.policy.openapi.faults import DescriptionFault, InvalidDescription
from headgate.policy.openapi.operations import Operation, PathItem, read_paths
from headgate.policy.openapi.routes import Route
from headgate.policy.openapi.schemas import Schemas
from headgate.policy.openapi.violations import MAX_VIOLATIONS, Violation

Unknown = Literal["refuse", "allow"]


class Description:
    """What requests to one target must be. Immutable; holds nothing of any request."""

    def __init__(self, paths: Route[PathItem]) -> None:
        self._paths = paths

    def check(self, request: Request) -> tuple[Violation, ...]:
        """What is wrong with the request, at most 20 violations; none if it is as described.

        The body must have been read (b"" where there is none): one that was not is a violation.
        """
        return self._checked(request, whole=True)

    def check_head(self, request: Request) -> tuple[Violation, ...]:
        """The same without a look at the body: for refusing early, never for letting pass."""
        return self._checked(request, whole=False)

    def _checked(self, request: Request, *, whole: bool) -> tuple[Violation, ...]:
        found = self._paths.find(request.path)
        if found is None:
            return (Violation("/path", "is no path of the description"),)
        item, segments = found
        operation = item.operation(request.method)
        if operation is None:
            accepted = ", ".join(f"`{method}`" for method in item.operations) or "none"
            return (Violation("/method", f"is not declared for this path; accepted: {accepted}"),)
        return _violations(operation, request, dict(zip(item.names, segments, strict=True)), whole)


def _violations(operation: Operation, request: Request, path: dict[str, str], whole: bool) -> tuple[Violation, ...]:
    found = list(operation.head_violations(request, path))
    if whole:
        found += operation.body_violations(request)
    return tuple(dict.fromkeys(found))[:MAX_VIOLATIONS]


def compile_description(
    data: bytes, name: str, *, unknown_query: Unknown = "refuse", unknown_members: Unknown = "refuse"
) -> Description:
    """The description in `data`, the content of the file `name`; InvalidDescription with every problem found.

    Whatever requests do not use (responses, examples, links, schemas that nothing refers to) is not read.
    """
    try:
        document = read_document(data)
        checkers = Checkers(Schemas(document), closed=unknown_members == "refuse")
        paths, faults = read_paths(document, checkers, any_query=unknown_query == "allow")
    except DescriptionFault as fault:
        raise InvalidDescription(name, [fault]) from None
    if faults:
        raise InvalidDescription(name, faults)
    return Description(paths)
