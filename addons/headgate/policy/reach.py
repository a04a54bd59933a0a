"""Which targets, and which hosts, the requests can have that a `match:` is about.

Only requests that get as far as the rules count: where environments are isolated, none gets to a target without one.
More may be given than there are, never fewer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.match import MatchSpec, host_keys, is_address
from headgate.match.spec import TargetSpec
from headgate.model import Target
from headgate.policy.covering import covers_host
from headgate.policy.targets import UNKNOWN, Targets

Hosts = frozenset[str] | None
"""Host patterns, None for any host."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be behind the requests that a match is about."""

    targets: frozenset[Target]
    hosts: Hosts


class World:
    """The targets of a bundle, as far as callers can get to them."""

    def __init__(self, targets: Targets) -> None:
        self.all = targets
        named = tuple(dict.fromkeys(targets.by_entry.values()))
        known = (*named, UNKNOWN) if targets.allow_unknown else named
        self.named = named
        self.unreachable = tuple(one for one in known if targets.isolate_environments and not one.environment)
        self.reachable = tuple(one for one in known if one not in self.unreachable)
        self._patterns = {
            one: frozenset(host for (host, _), owner in targets.by_entry.items() if owner is one) for one in named
        }

    def reach(self, match: MatchSpec, *, absent: bool | None, possibly: bool) -> Reach:
        """Of a match that holds, or with `possibly` of one that holds or may hold."""
        fitting = frozenset(
            target
            for target in self.reachable
            if (holds := target_holds(match, target, absent)) or (possibly and holds is None)
        )
        if match.host is None:
            return Reach(fitting, self._hosts(fitting))
        meant = frozenset(target for pattern in match.host for target in self._behind(pattern))
        return Reach(fitting & meant, frozenset(match.host))

    def _hosts(self, targets: frozenset[Target]) -> Hosts:
        if UNKNOWN in targets:
            return None
        return frozenset(host for target in targets for host in self._patterns[target])

    def _behind(self, pattern: str) -> Iterator[Target]:
        """The targets that requests to such hosts may go to."""
        if self.all.allow_unknown:
            yield UNKNOWN
        if pattern.startswith("*."):
            for (host, _), target in self.all.by_entry.items():
                if covers_host(pattern, host) or covers_host(host, pattern):
                    yield target
            return
        for key in host_keys(pattern):
            yield from self.all.by_host.get(key, ())
            if (key, None) in self.all.by_entry:
                return


def target_holds(match: MatchSpec, target: Target, absent: bool | None) -> bool | None:
    """What `target:` says of a target; `absent` is what it says of an attribute that the target lacks."""
    spec = match.target
    if not isinstance(spec, TargetSpec):
        return spec is None or target.name in spec
    holds: set[bool | None] = set()
    if spec.environment is not None:
        holds.add(target.environment in spec.environment if target.environment else absent)
    if spec.tags is not None:
        holds.add(not target.tags.isdisjoint(spec.tags) if target.tags else absent)
    return False if False in holds else None if None in holds else True


def covers_hosts(patterns: tuple[str, ...], hosts: Hosts) -> bool:
    """Whether every one of these hosts fits one of the patterns."""
    if hosts is None:
        return False
    return all(any(_covers(pattern, host) for pattern in patterns) for host in hosts)


def _covers(pattern: str, host: str) -> bool:
    return covers_host(pattern, host) and (pattern == host or not is_address(host))
