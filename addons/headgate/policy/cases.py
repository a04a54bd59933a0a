"""Callers and requests as people write them down: in the `tests:` of a bundle, and for `headgate rules explain`.

A caller written down is as if a provider had proven it. What is left out is absent, but for the audiences: they are
those of the target, for most rules are not about them.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from headgate.match import Duration, Section, Text, listed
from headgate.model import Kind, Principal, Session, Target, Workload

ANONYMOUS = "anonymous"
JSON = "application/json"

Texts = Annotated[tuple[Text, ...], BeforeValidator(listed, json_schema_input_type=Text | list[Text])]


class WorkloadCase(Section):
    """The code that calls."""

    name: Text | None = None
    version: Text | None = None
    commit: Text | None = None
    digest: Text | None = None
    workflow: Text | None = None
    pod: Text | None = None
    verified: StrictBool = False


class SessionCase(Section):
    """`age` is how long ago the session began; left out, nothing says when it did."""

    id: Text | None = None
    scopes: Texts = ()
    age: Duration | None = None


class PrincipalCase(Section):
    """A caller; of an anonymous one there is nothing to say but its kind."""

    kind: Kind
    id: Text | None = None
    provider: Text = "test"
    groups: Texts = ()
    email: Text | None = None
    owner: Text | None = None
    person: Text | None = None
    environment: Texts = ()
    audiences: Texts | None = None
    workload: WorkloadCase = WorkloadCase()
    session: SessionCase = SessionCase()
    claims: Annotated[dict[str, Any], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.kind is Kind.ANONYMOUS:
            if self.model_fields_set != {"kind"}:
                raise ValueError("an anonymous caller has proven nothing; accepted: `kind: anonymous` alone")
        elif self.id is None:
            raise ValueError("`id` is missing; accepted: who calls, or `kind: anonymous`")
        return self

    def principal(self, target: Target | None, now: float) -> Principal:
        """The caller at `now` (seconds since the epoch), on its way to `target`."""
        if self.id is None:
            return Principal(ANONYMOUS, Kind.ANONYMOUS, ANONYMOUS)
        meant = self.audiences if self.audiences is not None else target.audiences if target else ()
        session = self.session
        return Principal(
            self.id,
            self.kind,
            self.provider,
            frozenset(self.groups),
            self.email,
            self.owner,
            self.person,
            frozenset(self.environment),
            frozenset(meant),
            Workload(**self.workload.model_dump()),
            Session(session.id, frozenset(session.scopes), None if session.age is None else now - session.age),
            _frozen(self.claims),
        )


class RequestCase(Section):
    """A request; a `body` that is no text is sent as JSON. Without a `source` it is unknown where it came from."""

    method: Text = "GET"
    url: Text
    headers: Annotated[dict[str, str | tuple[str, ...]], Field(default_factory=dict)]
    body: Any = None
    source: str = ""

    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header fields, each value of a name by itself, with the type of a body that is sent as JSON."""
        values = [(name, value) for name, found in self.headers.items() for value in listed(found)]
        if not isinstance(self.body, str | None) and not any(name.lower() == "content-type" for name, _ in values):
            values.append(("Content-Type", JSON))
        return tuple((_bytes(name), _bytes(value)) for name, value in values)

    def content(self) -> bytes:
        if self.body is None:
            return b""
        return _bytes(self.body if isinstance(self.body, str) else json.dumps(self.body))


def _bytes(text: str) -> bytes:
    """What cannot be UTF-8 becomes bytes that are none, which whoever reads them refuses."""
    return text.encode("utf-8", "surrogatepass")


def _frozen(value: Any) -> Any:
    """The same value, read-only at every depth, as claims are."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
