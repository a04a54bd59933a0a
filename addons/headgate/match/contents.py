"""What a request holds, read at most once and only if some condition asks for it."""

from functools import cached_property
from typing import TYPE_CHECKING

from headgate.match.documents import Document, document
from headgate.match.parameters import Parameters
from headgate.model import Request

if TYPE_CHECKING:
    from headgate.match.operations import Operations


class Contents:
    """Query, body and GraphQL operations of one request: `facts.view(Contents)`."""

    def __init__(self, request: Request) -> None:
        self._request = request

    @cached_property
    def query(self) -> Parameters:
        return Parameters(self._request.query)

    @cached_property
    def document(self) -> Document:
        return document(self._request)

    @cached_property
    def operations(self) -> "Operations":
        from headgate.match.operations import operations  # loaded when a rule that asks for it was compiled

        return operations(self._request, self.query, self.document)
