"""What a person may write under `match:`, as far as it can be checked without knowing the other files."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
)

from headgate.match.bodies import BodyPaths
from headgate.match.durations import Duration
from headgate.match.expressions import parse_expression
from headgate.match.graphql import GraphqlSpec
from headgate.match.headers import HeaderNames
from headgate.match.hosts import host_pattern
from headgate.match.networks import Networks
from headgate.match.paths import PathTemplate
from headgate.match.pointers import pointer
from headgate.match.queries import QueryNames
from headgate.match.sections import Conditions, Names, Section, Some, Text, listed, shape
from headgate.match.signals import SignalNames
from headgate.match.times import TimeSpec
from headgate.model import Kind

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*\Z")


LISTED = 20
"""How many names a message lists."""


def _method(text: str) -> str:
    if text != "write" and (not _METHOD.match(text) or text == "WRITE"):
        raise ValueError(f"`{text[:20]}` is not a method; accepted: upper case such as `GET`, or `write`")
    return text


def _template(text: str) -> str:
    PathTemplate.parse(text)
    return text


def _scope(text: str) -> str:
    if re.search(r"\s", text):
        raise ValueError(f"`{text[:80]}` is not a scope; accepted: text without blanks, several scopes as a list")
    return text


def _when(text: str) -> str:
    parse_expression(text)
    return text


def _age(seconds: float) -> float:
    if seconds == 0:
        raise ValueError("every session is older than 0 seconds; accepted: a duration such as `15m`")
    return seconds


def _claims[Claims: Mapping[str, Any]](claims: Claims) -> Claims:
    if not claims:
        raise ValueError("no claim is given; accepted: at least one, such as `/tenant: acme`")
    for path in claims:
        try:
            pointer(path)
        except ValueError as error:
            raise ValueError(f"`{path[:80]}` names no claim: {error}") from None
    return claims


Kinds = Annotated[tuple[Kind, ...], BeforeValidator(listed, json_schema_input_type=Kind | list[Kind]), Some]
Methods = Annotated[
    tuple[Annotated[Text, AfterValidator(_method)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
    Some,
]
Hosts = Annotated[
    tuple[Annotated[Text, AfterValidator(host_pattern)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
    Some,
]
Paths = Annotated[
    tuple[Annotated[Text, AfterValidator(_template)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
    Some,
]
ScopeNames = Annotated[
    tuple[Annotated[Text, AfterValidator(_scope)], ...],
    BeforeValidator(listed, json_schema_input_type=Text | list[Text]),
    Some,
]
Scalar = Annotated[StrictStr, Some] | StrictInt | StrictBool
Scalars = Annotated[tuple[Scalar, ...], BeforeValidator(listed, json_schema_input_type=Scalar | list[Scalar]), Some]
Claims = Annotated[dict[str, Scalars], AfterValidator(_claims), Field(json_schema_extra={"minProperties": 1})]


When = Annotated[Text, AfterValidator(_when)]
"""One CEL expression beside a `match:`, for what that cannot say."""


class AllOf(Section):
    all: Names


class AllOfScopes(Section):
    all: ScopeNames


class TargetSpec(Conditions):
    environment: Names | None = None
    tags: Names | None = None


Groups = Annotated[Annotated[Names, Tag("names")] | Annotated[AllOf, Tag("a-mapping")], Discriminator(shape)]
Scopes = Annotated[Annotated[ScopeNames, Tag("names")] | Annotated[AllOfScopes, Tag("a-mapping")], Discriminator(shape)]
Targets = Annotated[Annotated[Names, Tag("names")] | Annotated[TargetSpec, Tag("a-mapping")], Discriminator(shape)]


class WorkloadSpec(Conditions):
    """The code that calls; `verified` says that a signed release list names it."""

    name: Names | None = None
    version: Names | None = None
    commit: Names | None = None
    digest: Names | None = None
    workflow: Names | None = None
    verified: StrictBool | None = None


class SessionSpec(Conditions):
    """A scope is its whole text: none is a prefix of another or contains it."""

    scopes: Scopes | None = None
    max_age: Annotated[Duration, AfterValidator(_age)] | None = None


class PrincipalSpec(Conditions):
    """Texts are exact, or globs with `*` where a single value is compared."""

    id: Names | None = None
    email: Names | None = None
    provider: Names | None = None
    owner: Names | None = None
    kind: Kinds | None = None
    groups: Groups | None = None
    environment: Names | None = None
    workload: WorkloadSpec | None = None
    session: SessionSpec | None = None
    claims: Claims | None = None


class MatchSpec(Section):
    """The `match:` mapping: all keys must hold; `{}` matches everything."""

    principal: PrincipalSpec | None = None
    target: Targets | None = None
    method: Methods | None = None
    host: Hosts | None = None
    path: Paths | None = None
    query: QueryNames | None = None
    headers: HeaderNames | None = None
    body: BodyPaths | None = None
    graphql: GraphqlSpec | None = None
    source: Networks | None = None
    time: TimeSpec | None = None
    signal: SignalNames | None = None
    not_: "MatchSpec | None" = Field(None, alias="not")

    @field_validator("not_")
    @classmethod
    def _something(cls, spec: Self) -> Self:
        if not spec.model_fields_set:
            raise ValueError("no condition is given; accepted: at least one key of a match")
        return spec

    def lacking_params(self, when: str | None) -> list[tuple[str, str]]:
        """Path variables that `when` refers to and not every path has, each with what to say of it."""
        params = self.path_params()
        asked = parse_expression(when).path_params - params if when else ()
        known = ", ".join(f"`{param}`" for param in sorted(params)) or "none, for there is none"
        what = "`path_params.{}` is not a variable of every path of this `match`; accepted: {}"
        return [(name, what.format(name[:80], known)) for name in sorted(asked)]

    def path_params(self) -> frozenset[str]:
        """The variables that each of the paths has."""
        names = [frozenset(PathTemplate.parse(text).names) for text in self.path or ()]
        return frozenset.intersection(*names) if names else frozenset()

    def unknown_targets(self, known: frozenset[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every target that is named and not there, with what to say of it."""
        for where, name in self.named_targets():
            if name not in known:
                listed = [f"`{target}`" for target in sorted(known)]
                more = f", and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
                accepted = (", ".join(listed[:LISTED]) + more) or "none, for there are no targets"
                yield where, f"`{name[:80]}` is not a target; accepted: {accepted}"

    def named_targets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every target that is named here or below `not:`, with where it stands, for checking that it exists."""
        if isinstance(self.target, tuple):
            yield from ((("target", at), name) for at, name in enumerate(self.target))
        if self.not_ is not None:
            yield from ((("not", *where), name) for where, name in self.not_.named_targets())
