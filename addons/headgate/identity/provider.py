"""A provider as it is used, and all of them together: who may be believed, by where a caller shows what it has."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from headgate.identity.assertion import Forward
from headgate.identity.certificates import Authorities
from headgate.identity.claims import Conditions, Mapped
from headgate.identity.dpop import SessionBinding
from headgate.identity.hygiene import Taken
from headgate.identity.peers import TrustedProxies
from headgate.identity.presets import BEARER, CERTIFICATE, FORWARDED_CERTIFICATE, PRESETS, Preset
from headgate.identity.reasons import Reason
from headgate.identity.releases import Releases
from headgate.identity.sources import KeySource
from headgate.identity.spiffe import spiffe_trust_domain
from headgate.match.pointers import Pointer

NO_PROXIES = TrustedProxies(())
OWN_KEY = KeySource()
UNBOUND = SessionBinding("off", "")


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, compiled; times in seconds.

    `names` are what its tokens call themselves (see `presets.NamedBy`). `forms` and `subject` are those of the preset
    with their pointers split; `exact` has what the rules require, too. With `workload`, what it proves describes the
    code that calls, and another provider says who calls.
    """

    name: str
    preset: str
    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    mapped: Mapped
    clock_skew: float
    names: frozenset[str] = frozenset()
    max_lifetime: float | None = None
    keys: KeySource = OWN_KEY
    exact: Conditions = ()
    forms: tuple[tuple[Pointer, re.Pattern[str]], ...] = ()
    subject: tuple[str, tuple[Pointer, ...]] | None = None
    authorities: Authorities | None = field(default=None, repr=False)
    workload: bool = False

    @property
    def shape(self) -> Preset:
        return PRESETS[self.preset]


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """identity.yaml, compiled."""

    providers: tuple[Provider, ...]
    anonymous: bool = False
    trusted_proxies: TrustedProxies = NO_PROXIES
    releases: Releases | None = None
    binding: SessionBinding = UNBOUND
    forward: Forward | None = None
    taken: Taken = field(init=False, repr=False, compare=False)
    places: Mapping[str, tuple[Provider, ...]] = field(init=False, repr=False, compare=False)
    headers: Mapping[bytes, str] = field(init=False, repr=False, compare=False)
    cookies: Mapping[bytes, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at: dict[str, list[Provider]] = {}
        for provider in self.providers:
            for place in provider.shape.places:
                at.setdefault(place, []).append(provider)
        object.__setattr__(self, "places", MappingProxyType({place: tuple(found) for place, found in at.items()}))
        object.__setattr__(self, "headers", _named(at, "header:", but=FORWARDED_CERTIFICATE))
        object.__setattr__(self, "cookies", _named(at, "cookie:"))
        own = {b"authorization", b"dpop"} if BEARER in at else set()
        travel = self.forward is not None and not self.forward.drop_token
        object.__setattr__(self, "taken", Taken(frozenset(own | self.headers.keys()), frozenset(self.cookies), travel))

    def __contains__(self, provider: Provider) -> bool:
        """Whether it is one of these very objects: an equal one of earlier rules may have had other files."""
        return any(own is provider for own in self.providers)

    @property
    def certificates(self) -> tuple[Provider, ...]:
        """The providers that believe a certificate of the connection."""
        return self.places.get(CERTIFICATE, ())

    @property
    def forwarded_certificates(self) -> tuple[Provider, ...]:
        return self.places.get(FORWARDED_CERTIFICATE, ())

    def provider_of(
        self, header: Mapping[str, Any], claims: Mapping[str, Any], places: Iterable[str]
    ) -> Provider | Reason:
        """The one provider whose token this says it is, among those that read any of `places`.

        Nothing is believed yet: the name only chooses whose keys and demands the token has to meet.
        """
        readers = {provider.name: provider for place in places for provider in self.places.get(place, ())}
        named, found = not readers, dict[str, Provider]()
        for provider in readers.values():
            name = NAMES[provider.shape.named_by](header, claims)
            named = named or name is not None
            if name is not None and name in provider.names:
                found[provider.name] = provider
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            return Reason.ISSUER_AMBIGUOUS
        return Reason.ISSUER_UNKNOWN if named else Reason.ISSUER_INVALID


def _named(places: Mapping[str, Any], prefix: str, but: str = "") -> Mapping[bytes, str]:
    """Places of one sort, by the name that stands in them."""
    return MappingProxyType({p.removeprefix(prefix).encode(): p for p in places if p.startswith(prefix) and p != but})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _trust_domain(_header: Mapping[str, Any], claims: Mapping[str, Any]) -> str | None:
    return spiffe_trust_domain(_text(claims.get("sub")) or "")


NAMES = {
    "issuer": lambda _header, claims: _text(claims.get("iss")),
    "signer": lambda header, _claims: _text(header.get("signer")),
    "trust-domain": _trust_domain,
}
"""How a token says whose it is; see `presets.NamedBy`."""
