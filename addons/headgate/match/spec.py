"""What a person may write under `match:`, as far as it can be checked without knowing the other files."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from headgate.match.durations import Duration
from headgate.match.hosts import host_pattern
from headgate.match.paths import PathTemplate
from headgate.match.pointers import pointer
from headgate.model import Kind

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*\Z")


class Section(BaseModel):
    """A mapping in a rules file: unknown keys are errors, and so is a key without a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            everything = "; what matches everything is written `match: {}`" if info.field_name == "match" else ""
            raise ValueError(f"a value is missing{everything}")
        return value


class _Conditions(Section):
    """A mapping of conditions of which at least one must be there, since none would match everything."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            names = ", ".join(f"`{field.alias or name}`" for name, field in type(self).model_fields.items())
            raise ValueError(f"no condition is given; accepted: at least one of {names}")
        return self


def listed(value: Any) -> Any:
    """One value stands for a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


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


Text = Annotated[str, Field(min_length=1)]
Some = Field(min_length=1)
Names = Annotated[tuple[Text, ...], BeforeValidator(listed, json_schema_input_type=Text | list[Text]), Some]
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


def _shape(value: Any) -> str:
    return "a-mapping" if isinstance(value, Mapping | BaseModel) else "names"


class AllOf(Section):
    all: Names


class AllOfScopes(Section):
    all: ScopeNames


class TargetSpec(_Conditions):
    environment: Names | None = None
    tags: Names | None = None


Groups = Annotated[Annotated[Names, Tag("names")] | Annotated[AllOf, Tag("a-mapping")], Discriminator(_shape)]
Scopes = Annotated[
    Annotated[ScopeNames, Tag("names")] | Annotated[AllOfScopes, Tag("a-mapping")], Discriminator(_shape)
]
Targets = Annotated[Annotated[Names, Tag("names")] | Annotated[TargetSpec, Tag("a-mapping")], Discriminator(_shape)]


class WorkloadSpec(_Conditions):
    """The code that calls; `verified` says that a signed release list names it."""

    name: Names | None = None
    version: Names | None = None
    commit: Names | None = None
    digest: Names | None = None
    workflow: Names | None = None
    verified: StrictBool | None = None


class SessionSpec(_Conditions):
    """A scope is its whole text: none is a prefix of another or contains it."""

    scopes: Scopes | None = None
    max_age: Annotated[Duration, AfterValidator(_age)] | None = None


class PrincipalSpec(_Conditions):
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
    not_: "MatchSpec | None" = Field(None, alias="not")

    @field_validator("not_")
    @classmethod
    def _something(cls, spec: Self) -> Self:
        if not spec.model_fields_set:
            raise ValueError("no condition is given; accepted: at least one key of a match")
        return spec

    def path_params(self) -> frozenset[str]:
        """The variables that each of the paths has."""
        names = [frozenset(PathTemplate.parse(text).names) for text in self.path or ()]
        return frozenset.intersection(*names) if names else frozenset()

    def named_targets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every target that is named here or below `not:`, with where it stands, for checking that it exists."""
        if isinstance(self.target, tuple):
            yield from ((("target", at), name) for at, name in enumerate(self.target))
        if self.not_ is not None:
            yield from ((("not", *where), name) for where, name in self.not_.named_targets())
