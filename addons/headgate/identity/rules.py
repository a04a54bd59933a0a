"""identity.yaml: which providers are believed, pinned to their issuer, audiences, algorithms and keys.

Nothing that makes a token safe may be left out: no provider without an issuer, an audience, algorithms and a source of
keys. Key files are read here, once, so that a bundle with a missing or unusable one is never activated. No two
providers share an issuer: which of them verifies a token must not depend on their order.
"""

import errno
import os
import re
import stat
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from headgate.errors import InvalidRules
from headgate.identity.claims import KindRow, Mapped, Pointer, pointer
from headgate.identity.jwks import KeysError, KeySet, parse_jwks
from headgate.identity.presets import KINDS, PRESETS, IdentityRules, Preset, Provider
from headgate.match import Section, Text
from headgate.model import Kind

__all__ = ["IdentityFile", "IdentityRules", "Provider", "compile_identity", "duration"]

MAX_SKEW = 300.0
MAX_KEY_FILE = 256 * 1024
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SOURCES = "an `https://` URL, an `http://` URL of a loopback host, or `file:PATH` inside the bundle's folder"

Where = tuple[str | int, ...]
Problems = list[tuple[Where, str]]


def duration(text: Any) -> float:
    """Seconds from `30s`, `15m`, `1h` or `7d`."""
    found = re.match(r"(\d{1,6})([smhd])\Z", text) if isinstance(text, str) else None
    if not found:
        raise ValueError("not a duration; accepted: a whole number and a unit, such as `30s`, `15m`, `1h` or `7d`")
    return float(int(found[1]) * _UNITS[found[2]])


def _rows(value: Any) -> Any:
    """A kind by itself stands for a table whose only row always matches."""
    if not isinstance(value, str):
        return value
    if value not in KINDS:
        raise ValueError(f"`{value[:40]}` is not a kind of caller; accepted: {', '.join(KINDS)}, or a table of rows")
    return [{"is": value}]


def _scalars(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values or any(not isinstance(item, str | int | bool) for item in values):
        raise ValueError("not a value to compare with; accepted: text, a whole number, true, false, or a list")
    return tuple(values)


def _not_empty[Items: tuple[Any, ...]](items: Items) -> Items:
    if not items:
        raise ValueError("the list is empty; accepted: at least one")
    return items


NOT_EMPTY = (AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1}))
Duration = Annotated[float, BeforeValidator(duration, json_schema_input_type=str)]
Scalars = Annotated[tuple[Any, ...], BeforeValidator(_scalars, json_schema_input_type=Any)]
Algorithm = Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"]
ClaimName = Literal[
    "id", "email", "groups", "environment", "person", "session.id", "session.scopes",
    "workload.name", "workload.version", "workload.commit", "workload.digest",
]  # fmt: skip


class KindSpec(Section):
    """One row of a `kind` table; without `claims` it always matches, so it must be the last."""

    claims: dict[Text, Scalars] = Field(default_factory=dict)
    kind: Literal["human", "service", "agent", "ci"] = Field(alias="is")


Kinds = Annotated[tuple[KindSpec, ...], BeforeValidator(_rows, json_schema_input_type=Any), AfterValidator(_not_empty)]


class ProviderSpec(Section):
    """One provider, as written."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    preset: Literal["oidc", "development"]
    audiences: Annotated[tuple[Text, ...], *NOT_EMPTY]
    issuer: Text | None = None
    jwks: Text | None = None
    algorithms: Annotated[tuple[Algorithm, ...], *NOT_EMPTY] | None = None
    kind: Kinds | None = None
    claims: dict[ClaimName, Text] | None = None
    max_lifetime: Duration | None = None
    clock_skew: Duration = 30.0


class IdentityFile(Section):
    """identity.yaml as a whole."""

    providers: tuple[ProviderSpec, ...] = ()
    anonymous: Literal["refuse", "allow"] = "refuse"


class _Keys(NamedTuple):
    url: str | None = None
    keys: KeySet | None = None
    file: Path | None = None


def compile_identity(file: IdentityFile, folder: Path) -> IdentityRules:
    """Compile `file`, whose key files are relative to `folder`; InvalidRules names everything that is wrong."""
    problems: Problems = []
    for index, spec in enumerate(file.providers):
        _check(spec, ("providers", index), problems)
    _check_unique(file, problems)
    sources = [_keys(spec, folder, ("providers", i, "jwks"), problems) for i, spec in enumerate(file.providers)]
    if problems:
        raise InvalidRules(problems)
    providers = tuple(_provider(spec, source) for spec, source in zip(file.providers, sources, strict=True))
    by_issuer = MappingProxyType({provider.issuer: provider for provider in providers})
    files = tuple(source.file for source in sources if source.file)
    return IdentityRules(providers, file.anonymous == "allow", files, by_issuer)


def _check(spec: ProviderSpec, at: Where, problems: Problems) -> None:
    preset = PRESETS[spec.preset]
    for key in preset.required:
        if getattr(spec, key) is None:
            problems.append((at, f"`{key}` is missing; a provider of preset `{spec.preset}` needs it"))
    for key in preset.fixed:
        if getattr(spec, key) is not None:
            problems.append(((*at, key), f"`{key}` is fixed by preset `{spec.preset}`; leave it out"))
    for name, path in (spec.claims or {}).items():
        _check_pointer(path, (*at, "claims", name), problems)
    for index, row in enumerate(spec.kind or ()):
        for path in row.claims:
            _check_pointer(path, (*at, "kind", index, "claims", path), problems)
        if not row.claims and index + 1 < len(spec.kind or ()):
            problems.append(((*at, "kind", index), "a row without `claims` always matches; it must be the last"))
    if spec.max_lifetime == 0:
        problems.append(((*at, "max_lifetime"), "no token lives 0 seconds; accepted: a duration such as `1h`"))
    if preset.max_lifetime and (spec.max_lifetime or 0) > preset.max_lifetime:
        longest = int(preset.max_lifetime // 86400)
        problems.append(
            ((*at, "max_lifetime"), f"longer than preset `{spec.preset}` allows; accepted: up to `{longest}d`")
        )
    if spec.clock_skew > MAX_SKEW:
        problems.append(((*at, "clock_skew"), "too much; accepted: up to `5m`"))


def _check_pointer(path: str, at: Where, problems: Problems) -> None:
    try:
        pointer(path)
    except ValueError as error:
        problems.append((at, str(error)))


def _check_unique(file: IdentityFile, problems: Problems) -> None:
    if not file.providers and file.anonymous == "refuse":
        problems.append((("providers",), "no provider, and anonymous callers are refused: nobody could call"))
    for key in ("name", "issuer"):
        values = [spec.name if key == "name" else _issuer(spec) for spec in file.providers]
        for index, value in enumerate(values):
            if value is not None and value in values[:index]:
                at = ("providers", index, key) if getattr(file.providers[index], key) else ("providers", index)
                problems.append((at, f"two providers have the {key} `{value[:80]}`"))


def _issuer(spec: ProviderSpec) -> str | None:
    return PRESETS[spec.preset].issuer or spec.issuer


def _keys(spec: ProviderSpec, folder: Path, at: Where, problems: Problems) -> _Keys:
    """Where the keys come from; a file is read and checked now."""
    if spec.jwks is None or "jwks" in PRESETS[spec.preset].fixed:
        return _Keys()
    if not spec.jwks.startswith("file:"):
        if not _is_key_url(spec.jwks):
            problems.append((at, f"not a source of keys; accepted: {_SOURCES}"))
        return _Keys(url=spec.jwks)
    name = PurePosixPath(spec.jwks.removeprefix("file:"))
    if name.is_absolute() or ".." in name.parts or not name.parts:
        problems.append((at, f"not inside the bundle's folder; accepted: {_SOURCES}"))
        return _Keys()
    path = folder / name
    try:
        return _Keys(keys=parse_jwks(_contents(path)), file=path)
    except OSError as error:
        problems.append((at, f"key file `{name}` cannot be read: {(error.strerror or 'no such file').lower()}"))
    except KeysError as error:
        problems.append((at, f"key file `{name}` cannot be used: {error}"))
    return _Keys()


def _contents(path: Path) -> bytes:
    """The bytes of a regular file; OSError for what else has a name, since a pipe or device could keep us waiting."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return opened.read(MAX_KEY_FILE)


def _is_key_url(text: str) -> bool:
    """https, or http to a loopback host; without user, password, fragment, blanks or control characters."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    if not host or "@" in url.netloc or url.fragment or not re.match(r"[!-~]+\Z", text):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _provider(spec: ProviderSpec, source: _Keys) -> Provider:
    preset = PRESETS[spec.preset]
    issuer = _issuer(spec) or ""
    paths = {name: pointer(path) for name, path in preset.claims.items()}
    paths |= {name: pointer(path) for name, path in (spec.claims or {}).items()}
    return Provider(
        name=spec.name,
        preset=spec.preset,
        issuer=issuer,
        audiences=frozenset(spec.audiences),
        algorithms=frozenset(spec.algorithms or preset.algorithms),
        mapped=Mapped(spec.name, issuer, MappingProxyType(paths), _kinds(spec, preset)),
        clock_skew=spec.clock_skew,
        max_lifetime=spec.max_lifetime or preset.max_lifetime,
        jwks_url=source.url,
        static_keys=source.keys,
    )


def _kinds(spec: ProviderSpec, preset: Preset) -> tuple[KindRow, ...]:
    if spec.kind is None:
        return preset.kinds
    return tuple(KindRow(tuple(_condition(*item) for item in row.claims.items()), Kind(row.kind)) for row in spec.kind)


def _condition(path: str, accepted: tuple[str | int | bool, ...]) -> tuple[Pointer, tuple[str | int | bool, ...]]:
    return pointer(path), accepted
