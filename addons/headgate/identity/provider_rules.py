"""One provider of identity.yaml: its schema, what its preset demands of it, and how it is compiled.

Nothing that makes a token safe may be left out: no provider without an issuer, an audience, algorithms and a source of
keys, unless its preset gives them. Key files are read here, once, so that a bundle with a missing or unusable one is
never activated.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from headgate.bundled import Files, Unusable
from headgate.identity.certificates import Authorities
from headgate.identity.claims import Conditions, Mapped, Row
from headgate.identity.endpoints import authorities_of, keys_of, region_of
from headgate.identity.presets import KINDS, PRESETS, Form, Preset
from headgate.identity.provider import Provider
from headgate.identity.sources import KeySource
from headgate.match import Duration, Section, Text
from headgate.match.pointers import pointer
from headgate.model import Kind

MAX_SKEW = 300.0

Where = tuple[str | int, ...]
Problems = list[tuple[Where, str]]


def _rows(value: Any) -> Any:
    """A kind by itself stands for a table whose only row always matches."""
    if not isinstance(value, str):
        return value
    if value not in KINDS:
        raise ValueError(f"`{value[:40]}` is not a kind of caller; accepted: {', '.join(KINDS)}, or a table of rows")
    return [{"is": value}]


def _environments(value: Any) -> Any:
    return [{"is": value}] if isinstance(value, str) else value


def _scalars(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values or any(not isinstance(item, str | int | bool) for item in values):
        raise ValueError("not a value to compare with; accepted: text, a whole number, true, false, or a list")
    return tuple(values)


def _not_empty[Items: (tuple[Any, ...], dict[Any, Any])](items: Items) -> Items:
    if not items:
        raise ValueError("nothing is listed; accepted: at least one")
    return items


NOT_EMPTY = (AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1}))
Scalars = Annotated[tuple[Any, ...], BeforeValidator(_scalars, json_schema_input_type=Any)]
Algorithm = Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"]
ClaimName = Literal[
    "id", "email", "groups", "environment", "person", "session.id", "session.scopes", "workload.name",
    "workload.version", "workload.commit", "workload.digest", "workload.workflow", "workload.pod",
]  # fmt: skip


class KindSpec(Section):
    """One row of a `kind` table; without `claims` it always matches, so it must be the last."""

    claims: dict[Text, Scalars] = Field(default_factory=dict)
    value: Literal["human", "service", "agent", "ci"] = Field(alias="is")


class EnvironmentSpec(Section):
    """One row of an `environment` table; without `claims` it always matches, so it must be the last."""

    claims: dict[Text, Scalars] = Field(default_factory=dict)
    value: Text = Field(alias="is")


Kinds = Annotated[tuple[KindSpec, ...], BeforeValidator(_rows, json_schema_input_type=Any), AfterValidator(_not_empty)]
Environments = Annotated[
    tuple[EnvironmentSpec, ...],
    BeforeValidator(_environments, json_schema_input_type=Any),
    AfterValidator(_not_empty),
]


class ProviderSpec(Section):
    """One provider, as written."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    preset: Literal[
        "oidc", "google-iap", "aws-alb", "aws-verified-access", "cloudflare-access", "pomerium", "teleport",
        "kubernetes", "github-actions", "gitlab", "spiffe-jwt", "mtls", "forwarded-client-cert", "development",
    ]  # fmt: skip
    audiences: Annotated[tuple[Text, ...], *NOT_EMPTY] | None = None
    issuer: Text | None = None
    jwks: Text | None = None
    algorithms: Annotated[tuple[Algorithm, ...], *NOT_EMPTY] | None = None
    signers: Annotated[tuple[Text, ...], *NOT_EMPTY] | None = None
    ca: Text | None = None
    kind: Kinds | None = None
    environment: Environments | None = None
    claims: dict[ClaimName, Text] | None = None
    require: Annotated[dict[Text, Scalars], *NOT_EMPTY] | None = None
    max_lifetime: Duration | None = None
    clock_skew: Duration = 30.0
    role: Literal["principal", "workload"] = Field("principal", alias="as")


OWNERS = {
    "github-actions": frozenset(
        (name,)
        for name in ("repository", "repository_id", "repository_owner", "repository_owner_id", "enterprise_id", "sub")
    ),
    "gitlab": frozenset(
        (name,) for name in ("project_path", "project_id", "namespace_path", "namespace_id", "sub", "user_id")
    ),
}
"""Claims of a public issuer that say whose job it is."""

ONLY_WITH = {"signers": "signers", "ca": "ca"}
"""Keys that only the presets which name them know."""


def issuer_of(spec: ProviderSpec) -> str | None:
    return spec.issuer or PRESETS[spec.preset].issuer


def names_of(spec: ProviderSpec) -> tuple[str, ...]:
    """What the tokens of this provider call themselves."""
    named = spec.signers if PRESETS[spec.preset].named_by == "signer" else (issuer_of(spec),)
    return tuple(name for name in named or () if name)


def compile_provider(spec: ProviderSpec, files: Files, at: Where) -> tuple[Provider | None, Problems]:
    """The provider, or what is wrong with it; `files` are those that it may name, and `at` is where it stands."""
    preset = PRESETS[spec.preset]
    problems = [*_shape(spec, preset, at), *_forms(spec, preset, at), *_tables(spec, at), *_times(spec, preset, at)]
    problems += [] if problems else _open_to_all(spec, at)
    keys, authority = KeySource(), None
    try:
        if spec.jwks or not problems:  # where they usually are depends on what may be wrong
            keys = keys_of(spec, preset, issuer_of(spec) or "", files)
    except Unusable as error:
        problems.append(((*at, "jwks"), str(error)))
    try:
        if "ca" in (*preset.required, *preset.optional):
            authority = authorities_of(spec, files)
    except Unusable as error:
        problems.append(((*at, "ca"), str(error)))
    if problems:
        return None, problems
    return _provider(spec, preset, keys, authority), []


# -------------------------------------------------------------------------------------------------------- what is wrong


def _shape(spec: ProviderSpec, preset: Preset, at: Where) -> Iterator[tuple[Where, str]]:
    """Keys that are missing, and keys that are not for the rules to set."""
    for key in preset.required:
        if getattr(spec, key) is None:
            yield at, f"`{key}` is missing; a provider of preset `{spec.preset}` needs it"
    for key in preset.fixed:
        if getattr(spec, key) is not None:
            yield (*at, key), f"`{key}` is fixed by preset `{spec.preset}`; leave it out"
    for key in ONLY_WITH:
        if getattr(spec, key) is not None and key not in (*preset.required, *preset.optional, *preset.fixed):
            yield (*at, key), f"preset `{spec.preset}` has no `{key}`; leave it out"
    if spec.environment and "environment" in (spec.claims or {}):
        yield (*at, "environment"), "`claims` says where the environment stands, too; accepted: one of the two"


def _forms(spec: ProviderSpec, preset: Preset, at: Where) -> Iterator[tuple[Where, str]]:
    """Texts of another form than tokens of this preset have, and algorithms that they never have."""
    if spec.issuer:
        yield from _unlike((spec.issuer,), preset.issuer_form, lambda _: (*at, "issuer"))
    yield from _unlike(spec.audiences or (), preset.audience_form, lambda index: (*at, "audiences", index))
    yield from _unlike(spec.signers or (), preset.signer_form, lambda index: (*at, "signers", index))
    if len({region_of(signer) for signer in spec.signers or ()}) > 1:
        yield (*at, "signers"), "these are of several regions, whose keys differ; accepted: a provider for each region"
    for index, algorithm in enumerate(spec.algorithms or ()):
        if preset.algorithms and algorithm not in preset.algorithms:
            accepted = ", ".join(preset.algorithms)
            yield (
                (*at, "algorithms", index),
                f"preset `{spec.preset}` never signs with `{algorithm}`; accepted: {accepted}",
            )


def _open_to_all(spec: ProviderSpec, at: Where) -> Iterator[tuple[Where, str]]:
    """Issuers that give tokens for any audience to whoever asks, believed without saying whose count."""
    public = PRESETS["github-actions"].issuer_form
    if spec.preset == "oidc" and public and public.pattern.match(spec.issuer or ""):
        yield (*at, "preset"), "anybody can get a token of this issuer; accepted: preset `github-actions`"
    if spec.preset in OWNERS and spec.require and not OWNERS[spec.preset] & {pointer(path) for path in spec.require}:
        accepted = ", ".join(f"`/{name}`" for (name,) in sorted(OWNERS[spec.preset]))
        yield (*at, "require"), f"anybody can get a token with these claims; accepted: one of {accepted} as well"


def _unlike(texts: tuple[str, ...], form: Form | None, where: Callable[[int], Where]) -> Iterator[tuple[Where, str]]:
    for index, text in enumerate(texts):
        if form and not form.pattern.match(text):
            yield where(index), f"`{text[:120]}` has not the form of this preset; accepted: such as `{form.example}`"


def _tables(spec: ProviderSpec, at: Where) -> Iterator[tuple[Where, str]]:
    """Pointers that are none, and rows that hide those after them."""
    for key in ("claims", "require"):
        for name, path in (getattr(spec, key) or {}).items():
            yield from _no_pointer(path if key == "claims" else name, (*at, key, name))
    for key in ("kind", "environment"):
        rows = getattr(spec, key) or ()
        for index, row in enumerate(rows):
            for path in row.claims:
                yield from _no_pointer(path, (*at, key, index, "claims", path))
            if not row.claims and index + 1 < len(rows):
                yield (*at, key, index), "a row without `claims` always matches; it must be the last"


def _no_pointer(path: str, where: Where) -> Iterator[tuple[Where, str]]:
    try:
        pointer(path)
    except ValueError as error:
        yield where, str(error)


def _times(spec: ProviderSpec, preset: Preset, at: Where) -> Iterator[tuple[Where, str]]:
    if spec.max_lifetime == 0:
        yield (*at, "max_lifetime"), "no token lives 0 seconds; accepted: a duration such as `1h`"
    if preset.max_lifetime and (spec.max_lifetime or 0) > preset.max_lifetime:
        longest = f"{preset.max_lifetime / 86400:g}d" if preset.max_lifetime >= 86400 else f"{preset.max_lifetime:g}s"
        yield (*at, "max_lifetime"), f"longer than preset `{spec.preset}` allows; accepted: up to `{longest}`"
    if spec.clock_skew > MAX_SKEW:
        yield (*at, "clock_skew"), "too much; accepted: up to `5m`"


# ------------------------------------------------------------------------------------------------------------- compiled


def _provider(spec: ProviderSpec, preset: Preset, keys: KeySource, authority: Authorities | None) -> Provider:
    issuer = issuer_of(spec) or ""
    paths = {name: tuple(map(pointer, places)) for name, places in preset.claims.items()}
    paths |= {name: (pointer(path),) for name, path in (spec.claims or {}).items()}
    kinds = preset.kinds if spec.kind is None else _table(spec.kind, Kind)
    mapped = Mapped(spec.name, issuer, MappingProxyType(paths), kinds, _table(spec.environment or (), str))
    return Provider(
        name=spec.name,
        preset=spec.preset,
        issuer=issuer,
        audiences=frozenset(spec.audiences or ()),
        algorithms=frozenset(spec.algorithms or preset.algorithms),
        mapped=mapped,
        clock_skew=spec.clock_skew,
        names=frozenset(names_of(spec)),
        max_lifetime=spec.max_lifetime or preset.max_lifetime,
        keys=keys,
        exact=_conditions(preset.exact) + _conditions(spec.require or {}),
        forms=tuple((pointer(path), form.pattern) for path, form in preset.forms.items()),
        subject=preset.subject and (preset.subject[0], tuple(map(pointer, preset.subject[1]))),
        authorities=authority,
        workload=spec.role == "workload",
    )


def _table[Value](rows: tuple[Any, ...], read: Callable[[str], Value]) -> tuple[Row[Value], ...]:
    return tuple(Row(_conditions(row.claims), read(row.value)) for row in rows)


def _conditions(written: Mapping[str, tuple[str | int | bool, ...]]) -> Conditions:
    return tuple((pointer(path), accepted) for path, accepted in written.items())
