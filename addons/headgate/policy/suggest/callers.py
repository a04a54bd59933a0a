"""Whom a rule is for: the callers who were seen, in words that rules have.

Those with groups are named by the groups that fit best (`covers.py`). Those without are all of their provider's, if no
others of it are known, and else the ones who were seen, by their ids; of more than can be listed, the provider is named
and it is said that this lets in others.
"""

from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

from headgate.model import Kind
from headgate.policy.suggest.covers import cover
from headgate.policy.suggest.sightings import MOST_CALLERS, Caller, Tally

MOST_IDS = 10
"""Callers without groups who are named one by one."""

LONGEST_ID = 100

Known = Mapping[Caller, Set[str]]
"""The ids of all callers who were seen anywhere."""


class Who(NamedTuple):
    """Whom a rule lets in: callers in one of `groups`, or of `provider`, only those with one of `ids` if there are any.

    `others`: these are more than were seen.
    """

    kind: Kind
    groups: tuple[str, ...] = ()
    provider: str = ""
    ids: tuple[str, ...] = ()
    others: bool = False

    def has(self, caller: Caller) -> bool:
        """Whether callers like these are meant."""
        if caller.kind is not self.kind:
            return False
        if self.groups:
            return not caller.groups.isdisjoint(self.groups)
        return not caller.groups and caller.provider == (self.provider or caller.provider)

    def match(self) -> dict[str, object]:
        """What stands under `principal:`."""
        given = {"groups": list(self.groups), "provider": self.provider, "id": list(self.ids)}
        return {"kind": str(self.kind)} | {name: value for name, value in given.items() if value}

    @property
    def words(self) -> tuple[str, ...]:
        """What a rule about them may be called after."""
        kind = () if self.groups and self.kind is Kind.HUMAN else (str(self.kind),)
        return (*kind, *(self.groups or (self.ids if len(self.ids) == 1 else ())))


def callers_of(seen: Mapping[Caller, Tally], known: Known) -> Iterator[Who]:
    """Who was seen, none of them twice; all of `seen` were answered well."""
    for kind in sorted({caller.kind for caller in seen}):
        groups = {caller.groups for caller in seen if caller.kind is kind and caller.groups}
        if groups:
            yield Who(kind, cover(groups, _others(kind, groups, known)))
        for caller in sorted(caller for caller in seen if caller.kind is kind and not caller.groups):
            yield _without_groups(caller, seen[caller].callers, known)


def _others(kind: Kind, groups: Set[frozenset[str]], known: Known) -> dict[frozenset[str], int]:
    """How many callers of this kind have been seen elsewhere only, by their groups."""
    found: dict[frozenset[str], int] = {}
    for caller, ids in known.items():
        if caller.kind is kind and caller.groups and caller.groups not in groups:
            found[caller.groups] = found.get(caller.groups, 0) + len(ids)
    return found


def _without_groups(caller: Caller, seen: Set[str], known: Known) -> Who:
    if caller.kind is Kind.ANONYMOUS:
        return Who(caller.kind)
    grouped = any(one.kind is caller.kind and one.provider == caller.provider and one.groups for one in known)
    if len(seen) < MOST_CALLERS and not grouped and known[caller] <= seen:
        return Who(caller.kind, provider=caller.provider)
    if len(seen) <= MOST_IDS and all("*" not in one and 0 < len(one) <= LONGEST_ID for one in seen):
        return Who(caller.kind, provider=caller.provider, ids=tuple(sorted(seen)))
    return Who(caller.kind, provider=caller.provider, others=True)
