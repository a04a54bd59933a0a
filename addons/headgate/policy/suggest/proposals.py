"""Which rules would allow what was seen, and nothing else but what their path templates add.

A rule is about one target, one template and callers of one kind. Methods that read, change and delete are rules of
their own, so that each can be left away.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from headgate.match.facts import READS
from headgate.model import Kind
from headgate.policy.suggest.callers import Who, callers_of
from headgate.policy.suggest.segments import may_hold_values, noun
from headgate.policy.suggest.sightings import Blocked, Caller, Seen, Sightings, Tally, Uses

DESTRUCTIVE = frozenset({"DELETE", "PURGE", "UNLINK", "MOVE"})

TOO_SELDOM = Blocked("seen-too-seldom")
NEVER_WELL = Blocked("never-answered-well")
ANONYMOUS = Blocked("anonymous-caller")
"""Why nothing is proposed for what no rule refuses."""

LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A rule that would allow what was seen."""

    id: str
    target: str
    path: str
    methods: tuple[str, ...]
    who: Who
    seen: Tally

    @property
    def destructive(self) -> bool:
        return not DESTRUCTIVE.isdisjoint(self.methods)

    def rule(self) -> dict[str, object]:
        """As it stands in policy.yaml."""
        method = list(self.methods) if len(self.methods) > 1 else self.methods[0]
        match = {"principal": self.who.match(), "target": self.target, "method": method, "path": self.path}
        return {"id": self.id, "effect": "allow", "match": match}


class Left(NamedTuple):
    """What no rule is proposed for, and why. `sample` stands for all of it, None where that is not sure."""

    why: Blocked
    target: str
    method: str
    path: str
    kind: Kind
    requests: int
    sample: Seen | None


class _Draft(NamedTuple):
    """What some callers did by one method at one path; nobody in particular (`who` None) if it never went well."""

    method: str
    who: Who | None
    seen: tuple[Tally, ...]

    def unfit(self, least: int, *, anonymous: bool) -> Blocked | None:
        """Why no rule is to come of it."""
        if self.seen[0].sample.principal.kind is Kind.ANONYMOUS and not anonymous:
            return ANONYMOUS
        well = sum(tally.well for tally in self.seen)
        if self.who is None or not well:
            return NEVER_WELL
        return TOO_SELDOM if well < least else None


def propose(
    sightings: Sightings, least: int = 1, *, anonymous: bool = False, taken: Iterable[str] = ()
) -> tuple[list[Suggestion], list[Left]]:
    """Rules for what was answered well at least `least` times; their ids are not among those `taken`."""
    suggestions: list[Suggestion] = []
    left: list[Left] = []
    ids = set(taken)
    for target, path, uses in sightings.places():
        found: dict[tuple[str, Who], dict[str, Tally]] = defaultdict(dict)
        for key, tally in uses.tallies.items():
            if key.blocked is not None:  # whatever rule is added
                left.append(_left(key.blocked, target, key.method, path, tally))
        for draft in _drafts(uses, sightings):
            why = draft.unfit(least, anonymous=anonymous)
            if draft.who is not None and why is None:
                found[_verb(draft.method), draft.who][draft.method] = _joined(draft.seen)
            else:
                left += (_left(why or NEVER_WELL, target, draft.method, path, tally) for tally in draft.seen)
        for (verb, who), methods in sorted(found.items()):
            name = _name(who.words, verb, path, ids)
            ids.add(name)
            suggestions.append(Suggestion(name, target, path, tuple(methods), who, _joined(methods.values())))
    return suggestions, left


def _left(why: Blocked, target: str, method: str, path: str, tally: Tally) -> Left:
    who = tally.sample.principal
    alike = who.groups or who.kind is Kind.ANONYMOUS  # of others some may be named by their ids, and some not
    return Left(why, target, method, path, who.kind, tally.requests, tally.sample if alike else None)


def _drafts(uses: Uses, sightings: Sightings) -> Iterator[_Draft]:
    by_method: dict[str, dict[Caller, Tally]] = defaultdict(dict)
    for key, tally in uses.tallies.items():
        if key.blocked is None:
            by_method[key.method][key.caller] = tally
    for method, callers in sorted(by_method.items()):
        left = dict(callers)
        for who in callers_of({caller: tally for caller, tally in callers.items() if tally.well}, sightings.callers):
            seen = tuple(left.pop(caller) for caller in callers if caller in left and who.has(caller))
            if who.ids:  # what went wrong may have been done by one who is not named
                yield from (_Draft(method, None, (bad,)) for tally in seen if (bad := _part(tally, well=False)).badly)
                seen = tuple(_part(tally, well=True) for tally in seen)
            yield _Draft(method, who, seen)
        for tally in left.values():
            yield _Draft(method, None, (tally,))


def _part(tally: Tally, *, well: bool) -> Tally:
    """Only what was answered well, or only what was not."""
    return replace(tally, well=tally.well if well else 0, badly=0 if well else tally.badly)


def _joined(tallies: Iterable[Tally]) -> Tally:
    first, *more = tallies
    joined = Tally(first.sample)
    for tally in (first, *more):
        joined.merge(tally)
    return joined


# -- names ------------------------------------------------------------------------------------------------------------


def _verb(method: str) -> str:
    if method in READS:
        return "reads"
    if method in DESTRUCTIVE:
        return "deletes"
    return "opens" if method == "WEBSOCKET" else "changes"


def _name(words: tuple[str, ...], verb: str, path: str, taken: set[str]) -> str:
    """An id for a rule: who does what to what, such as `support-reads-customers`, or `-customer` of a single one."""
    segments = path[1:].split("/")
    nouns = [
        noun(segment) if follows.startswith("{") else segment
        for segment, follows in zip(segments, [*segments[1:], ""], strict=True)
        if may_hold_values(segment) and not segment.startswith("{")
    ]
    parts = (*words[:3], verb, *(nouns[-2:] or ["root"]))
    name = "-".join(part for part in map(_spelled, parts) if part)[:LONGEST_NAME].strip("-")
    return next(tried for tried in _numbered(name, len(taken)) if tried not in taken)


def _numbered(name: str, count: int) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, count + 3))


def _spelled(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
