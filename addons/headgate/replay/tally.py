"""What changes for many captured exchanges, counted in groups: of the same change, by the same rules, at the same host
and path, of the same entity. Groups are few however many exchanges there are; two tallies make one in any order.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from headgate.match import PathTemplate
from headgate.policy.suggest.segments import is_value, variable_name
from headgate.replay.comparison import FAILING, Change, Kind

MOST_GROUPS = 5_000
"""Groups that are told by their path; further ones go by their host alone."""

EXAMPLES = 5
ANY_PATH = "(other paths)"
SHORTEST_ID = 8


class Key(NamedTuple):
    """What exchanges of one group have in common; `entity` and `location` are of masks."""

    kind: Kind
    what: str
    rules: tuple[str, ...]
    method: str
    host: str
    path: str
    entity: str = ""
    location: str = ""

    @property
    def id(self) -> str:
        """A name for the group that stays the same as long as what it is about does."""
        return hashlib.sha256(repr(tuple(map(str, self))).encode("utf-8", "surrogatepass")).hexdigest()[:SHORTEST_ID]


@dataclass(slots=True)
class Group:
    """How many exchanges, the oldest of them as examples, and why it is not known, where it is not."""

    count: int = 0
    examples: tuple[str, ...] = ()
    why: Counter[str] = field(default_factory=Counter)
    loosens: bool = False

    def add(self, other: "Group", examples: int) -> None:
        self.count += other.count
        self.examples = tuple(sorted({*self.examples, *other.examples})[:examples])
        self.why += other.why
        self.loosens |= other.loosens


@dataclass(slots=True)
class Tally:
    """`flows` were looked at; `unchanged` of them are certain to be as before. `unhit` are the ids of rules that have
    applied to nothing; `callers` counts the flows of which another identity.yaml could make another caller."""

    examples: int = EXAMPLES
    flows: int = 0
    unchanged: int = 0
    by_kind: Counter[Kind] = field(default_factory=Counter)
    groups: dict[Key, Group] = field(default_factory=dict)
    unhit: frozenset[str] | None = None
    callers: int = 0

    def count(self, decision_id: str, found: Iterable[tuple[Key, Change]]) -> None:
        """Count one exchange with all that changes for it."""
        self.flows += 1
        kinds = set()
        for key, change in found:
            kinds.add(key.kind)
            self._group(key).add(Group(1, (decision_id,), Counter(change.why), change.loosens), self.examples)
        self.by_kind.update(kinds)
        if kinds <= {Kind.DRIFT}:
            self.unchanged += 1

    def add(self, other: "Tally") -> None:
        self.flows += other.flows
        self.unchanged += other.unchanged
        self.callers += other.callers
        self.by_kind += other.by_kind
        for key, group in other.groups.items():
            self._group(key).add(group, self.examples)
        if other.unhit is not None:
            self.unhit = other.unhit if self.unhit is None else self.unhit & other.unhit

    def of(self, *kinds: Kind) -> Iterator[tuple[Key, Group]]:
        """The groups of these kinds, the largest first."""
        chosen = [(key, group) for key, group in self.groups.items() if key.kind in kinds]
        return iter(sorted(chosen, key=lambda pair: (-pair[1].count, pair[0])))

    def failing(self, allowed: Collection[str] = ()) -> list[tuple[Key, Group]]:
        """What lets more pass or masks less and is not allowed, by a group's id or the id of a rule or mask."""
        return [(key, group) for key, group in self.of(*FAILING) if not names_of(key) & set(allowed)]

    def _group(self, key: Key) -> Group:
        if key not in self.groups and len(self.groups) >= MOST_GROUPS:
            key = key._replace(path=ANY_PATH, location="")
        return self.groups.setdefault(key, Group())


def names_of(key: Key) -> frozenset[str]:
    """By which names a group may be allowed."""
    return frozenset({key.id, *key.rules}) - {"→", "-"}


# -- paths -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def template_of(path: str, written: tuple[str, ...] = ()) -> str:
    """A path as the rules write it, or with a variable for every segment that is a value."""
    segments = path.split("/")[1:]
    for text in written:
        if "...}" not in text and PathTemplate.parse(text).matches(segments):
            return text
    made: list[str] = []
    names: list[str] = []
    for at, segment in enumerate(segments):
        if segment and is_value(segment):
            before = segments[at - 1] if at and not made[-1].startswith("{") else None
            names.append(variable_name(before, (segment,), names))
            made.append(f"{{{names[-1]}}}")
        else:
            made.append(segment)
    return "/" + "/".join(made)
