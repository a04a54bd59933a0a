"""Which system a request goes to, told from where its bytes will go and from nothing the caller merely says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from headgate.match import canonical_host, host_keys, host_pattern
from headgate.model import Request, Target
from headgate.policy.openapi import Description, Violation

UNKNOWN = Target("unknown")
"""Stands for every system without an entry, where targets.yaml says `unknown: allow`."""

_ENTRY = re.compile(r"(\[[^]]*\]|[^:\[\]]+)(?::([1-9][0-9]{0,4}))?\Z")

Entry = tuple[str, int | None]
"""A host pattern in its one spelling, and a port; None is any port."""


def host_entry(text: str) -> Entry:
    """Read `host`, `host:port`, `*.suffix` or `*.suffix:port`; ValueError says what is accepted."""
    parts = _ENTRY.match(text)
    port = int(parts[2]) if parts and parts[2] else None
    if parts is None or (port or 0) > 65535:
        accepted = "`host`, `host:port`, `*.suffix`, `10.1.2.3:8443`, `[2001:db8::1]:8443`, ports up to 65535"
        raise ValueError(f"`{text[:80]}` is not a host of a target; accepted: {accepted}")
    return host_pattern(parts[1]), port


class Described(NamedTuple):
    """What a target accepts; what does not fit is refused if that is enforced, else recorded."""

    description: Description
    enforced: bool


@dataclass(frozen=True, slots=True)
class Targets:
    """All targets, with the settings of targets.yaml that bear on every decision.

    `described` are the descriptions of what targets accept, by their names.
    """

    by_entry: Mapping[Entry, Target]
    by_host: Mapping[str, frozenset[Target]]
    allow_unknown: bool
    isolate_environments: bool
    described: Mapping[str, "Described"] = MappingProxyType({})

    def resolve(self, scheme: str, host: str, port: int) -> Target | None:
        """The target with the most specific host, `UNKNOWN` where that is allowed, or None: refuse.

        A host and port beats a host, which beats `*.suffix`, the longer the better. A host that has more than one
        reading is refused even where unknown targets are allowed, for it might be one that is known.
        """
        canonical = canonical_host(host)
        if canonical is None or scheme not in {"http", "https"}:
            return None
        for pattern in host_keys(canonical):
            target = self.by_entry.get((pattern, port)) or self.by_entry.get((pattern, None))
            if target is not None:
                return target
        return UNKNOWN if self.allow_unknown else None

    def names(self, target: Target, host: str) -> bool:
        """Whether `host`, as a Host header or SNI gives it without a port, belongs to this target before others."""
        canonical = canonical_host(host)
        for pattern in host_keys(canonical) if canonical else ():
            if owners := self.by_host.get(pattern):
                return target in owners
        return False

    def misfits(self, target: Target | None, request: Request) -> tuple[Violation, ...]:
        """What the description of the target does not accept; a request to upgrade is a GET to it, as on the wire."""
        described = self.described.get(target.name) if target else None
        return described.description.check(request) if described else ()

    def enforces_description(self, target: Target) -> bool:
        described = self.described.get(target.name)
        return described is not None and described.enforced and not target.observe

    def all(self) -> frozenset[Target]:
        """Every target that has an entry."""
        return frozenset(self.by_entry.values())

    def known_names(self) -> frozenset[str]:
        """The names that rules may use under `target:`."""
        names = frozenset(target.name for target in self.all())
        return names | {UNKNOWN.name} if self.allow_unknown else names
