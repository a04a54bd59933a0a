"""What each kind of provider fixes, as one table of data; and a provider as it is used.

A preset gives defaults and says what the rules must add. What it fixes cannot be set: it is what makes its tokens
recognisable, and no rules file may widen it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from headgate.identity.claims import KindRow, Mapped
from headgate.identity.jwks import KeySet
from headgate.model import Kind

DEVELOPMENT = "development"
DEVELOPMENT_ISSUER = "headgate-development"

KINDS = tuple(kind.value for kind in Kind if kind is not Kind.ANONYMOUS)
"""The kinds a token can prove; anonymous is who proves nothing."""


@dataclass(frozen=True, slots=True)
class Preset:
    """`required` and `fixed` are keys of a provider in identity.yaml; `claims` are defaults, each replaceable."""

    claims: Mapping[str, str]
    required: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    issuer: str | None = None
    algorithms: tuple[str, ...] = ()
    kinds: tuple[KindRow, ...] = ()
    max_lifetime: float | None = None


OIDC_CLAIMS = {"id": "sub", "email": "email", "groups": "groups", "session.id": "sid", "session.scopes": "scope"}
PRESETS: Mapping[str, Preset] = {
    "oidc": Preset(
        claims=OIDC_CLAIMS,
        required=("issuer", "jwks", "algorithms", "kind"),
    ),
    DEVELOPMENT: Preset(
        claims={
            **OIDC_CLAIMS,
            "environment": "env",
            "person": "person",
            "workload.name": "/workload/name",
            "workload.version": "/workload/version",
            "workload.commit": "/workload/commit",
            "workload.digest": "/workload/digest",
        },
        fixed=("issuer", "jwks", "algorithms", "claims"),
        issuer=DEVELOPMENT_ISSUER,
        algorithms=("ES256",),
        kinds=tuple(KindRow(((("kind",), (kind,)),), Kind(kind)) for kind in KINDS),
        max_lifetime=30 * 86400.0,
    ),
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, compiled; times in seconds.

    Its keys are `static_keys`, read from a file, or are fetched from `jwks_url`; a provider with neither is the
    development one, whose key is this machine's own.
    """

    name: str
    preset: str
    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    mapped: Mapped
    clock_skew: float
    max_lifetime: float | None = None
    jwks_url: str | None = None
    static_keys: KeySet | None = None


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """identity.yaml, compiled; `files` are the key files that were read for it."""

    providers: tuple[Provider, ...]
    anonymous: bool = False
    files: tuple[Path, ...] = ()
    by_issuer: Mapping[str, Provider] = MappingProxyType({})
