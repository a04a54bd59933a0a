"""What was seen at targets: which kinds of callers did what where, how often, and what the rules in force say of it.

Requests are counted, not kept: of each kind one is remembered as a sample, and some ids for whoever wants to look. All
of it is bounded, whatever travelled; what finds no room is counted as left out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headgate.match import effective_method
from headgate.model import Decision, Effect, Kind, Principal, Request, Target
from headgate.policy.engine import NO_RULE_ALLOWS
from headgate.policy.suggest.pathtree import PathTree
from headgate.policy.suggest.segments import MASKED

MOST_TALLIES = 50_000
MOST_CALLERS = 100
"""Callers of one tally who are told apart; more are `MOST_CALLERS` and more."""

SHOWN_FLOWS = 3

LEFT_OUT_METHOD = "method-not-expressible"
LEFT_OUT_PATH = "path-not-expressible"
LEFT_OUT_ROOM = "too-many-different"

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*\Z")


class Caller(NamedTuple):
    """Callers whom rules cannot tell apart by kind, provider and groups."""

    kind: Kind
    provider: str
    groups: frozenset[str]


class Blocked(NamedTuple):
    """Why no further rule would let a request through: a deny, an approval, or what is asked before any rule."""

    reason: str
    rules: tuple[str, ...] = ()


class Seen(NamedTuple):
    """A request that reached `target` and was answered there; `well` unless with a status from 400 on.

    `lacks` says what the record of it does not have, in a form of its reader's own.
    """

    id: str
    time: float
    principal: Principal
    request: Request
    target: Target
    well: bool
    lacks: Any = None


class Key(NamedTuple):
    """What is counted together at one path; `blocked` is None where a rule that allows would be all it takes."""

    method: str
    caller: Caller
    blocked: Blocked | None


@dataclass(slots=True)
class Tally:
    """`well` and `badly` count the requests by how they were answered; callers and flows are of those answered well."""

    sample: Seen
    well: int = 0
    badly: int = 0
    first: float = 0.0
    last: float = 0.0
    callers: set[str] = field(default_factory=set)
    flows: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.well + self.badly

    def add(self, seen: Seen) -> None:
        self._count(seen.well, not seen.well, seen.time, seen.time)
        self._remember(seen, (seen.principal.id,) if seen.well else (), (seen.id,) if seen.well else ())

    def merge(self, other: "Tally") -> None:
        self._count(other.well, other.badly, other.first, other.last)
        self._remember(other.sample, other.callers, other.flows)

    def _count(self, well: int, badly: int, first: float, last: float) -> None:
        is_first = not self.requests
        self.well, self.badly = self.well + well, self.badly + badly
        self.first = first if is_first else min(self.first, first)
        self.last = max(self.last, last)

    def _remember(
        self, sample: Seen, callers: "set[str] | tuple[str, ...]", flows: "list[str] | tuple[str, ...]"
    ) -> None:
        if _worth(sample) > _worth(self.sample):
            self.sample = sample
        for caller in sorted(callers):
            if len(self.callers) < MOST_CALLERS:
                self.callers.add(caller)
        self.flows = list(dict.fromkeys((*self.flows, *flows)))[:SHOWN_FLOWS]


def _worth(seen: Seen) -> tuple[bool, bool]:
    """How good a sample it is: one that was answered well, and of which nothing was masked."""
    return seen.well, not MASKED.search(seen.request.path)


@dataclass(slots=True)
class Uses:
    """What was seen at one path."""

    tallies: dict[Key, Tally] = field(default_factory=dict)

    def merge(self, other: "Uses") -> None:
        for key, tally in other.tallies.items():
            mine = self.tallies.setdefault(key, tally)
            if mine is not tally:
                mine.merge(tally)


class Sightings:
    """Everything that was seen. `allowed` counts what the rules in force allow, `left_out` what was not looked at."""

    def __init__(self) -> None:
        self.requests = self.allowed = 0
        self.left_out: Counter[str] = Counter()
        self.first = self.last = 0.0
        self.callers: dict[Caller, set[str]] = defaultdict(set)
        self._trees: dict[str, PathTree[Uses]] = {}
        self._tallies = 0

    def add(self, seen: Seen, decision: Decision) -> None:
        """`decision` is what the rules in force say of it."""
        self.requests += 1
        self.first = min(self.first or seen.time, seen.time)
        self.last = max(self.last, seen.time)
        caller = Caller(seen.principal.kind, seen.principal.provider, seen.principal.groups)
        if caller in self.callers or len(self.callers) < MOST_TALLIES:
            known = self.callers[caller]
            if len(known) < MOST_CALLERS:
                known.add(seen.principal.id)
        if decision.effect is Effect.ALLOW:
            self.allowed += 1
        elif reason := self._count(seen, caller, _blocked(decision)):
            self.left_out[reason] += 1

    def leave_out(self, reason: str) -> None:
        """Count a request that is not looked at any further."""
        self.requests += 1
        self.left_out[reason] += 1

    def places(self) -> Iterator[tuple[str, str, Uses]]:
        """Each target and path template with what was seen there, in order; to be asked once, at the end."""
        for target, tree in sorted(self._trees.items()):
            for template, uses in tree.templates():
                yield target, template, uses

    def _count(self, seen: Seen, caller: Caller, blocked: Blocked | None) -> str | None:
        """Why it could not be counted with others."""
        method = effective_method(seen.request)
        if not _METHOD.match(method):
            return LEFT_OUT_METHOD
        tree = self._trees.setdefault(seen.target.name, PathTree(Uses))
        uses = tree.at(seen.request.path)
        if uses is None:
            return LEFT_OUT_ROOM if tree.is_full else LEFT_OUT_PATH
        key = Key(method, caller, blocked)
        if key not in uses.tallies:
            if self._tallies >= MOST_TALLIES:
                return LEFT_OUT_ROOM
            uses.tallies[key], self._tallies = Tally(seen), self._tallies + 1
        uses.tallies[key].add(seen)
        return None


def _blocked(decision: Decision) -> Blocked | None:
    if decision.reason == NO_RULE_ALLOWS:
        return None
    return Blocked(decision.reason, tuple(ref.id for ref in decision.rules))
