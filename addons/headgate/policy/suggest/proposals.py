"""Which rules would allow what was seen, and nothing else but what their path templates add.

A rule is about one target, one template and callers of one kind. Methods that read, change and delete are rules of
their own, so that each can be left away.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    """What no rule is proposed for, and why."""

    why: Blocked
    target: str
    method: str
    path: str
    kind: Kind
    requests: int
    sample: Seen


class _Draft(NamedTuple):
    """What some callers did by one method at one path; nobody in particular (`who` None) if it never went well."""

    method: str
    who: Who | None
    seen: Tally


def propose(
    sightings: Sightings, least: int = 1, *, anonymous: bool = False, taken: Iterable[str] = ()
) -> tuple[list[Suggestion], list[Left]]:
    """Rules for what was answered well at least `least` times; their ids are not among those `taken`."""
    suggestions: list[Suggestion] = []
    left: list[Left] = []
    ids = set(taken)
    for target, path, uses in sightings.places():
        left += _refused(target, path, uses)
        found: dict[tuple[str, Who], dict[str, Tally]] = defaultdict(dict)
        for draft in _drafts(uses, sightings):
            why = _unfit(draft, least, anonymous=anonymous)
            if why or draft.who is None:
                kind, requests = draft.seen.sample.principal.kind, draft.seen.requests
                left.append(Left(why or NEVER_WELL, target, draft.method, path, kind, requests, draft.seen.sample))
            else:
                found[_verb(draft.method), draft.who][draft.method] = draft.seen
        for (verb, who), methods in sorted(found.items()):
            name = _name(who.words, verb, path, ids)
            ids.add(name)
            suggestions.append(Suggestion(name, target, path, tuple(methods), who, _joined(methods.values())))
    return suggestions, left


def _refused(target: str, path: str, uses: Uses) -> Iterator[Left]:
    """What would be refused whatever rule is added."""
    for key, tally in uses.tallies.items():
        if key.blocked is not None:
            yield Left(key.blocked, target, key.method, path, key.caller.kind, tally.requests, tally.sample)


def _drafts(uses: Uses, sightings: Sightings) -> Iterator[_Draft]:
    by_method: dict[str, dict[Caller, Tally]] = defaultdict(dict)
    for key, tally in uses.tallies.items():
        if key.blocked is None:
            by_method[key.method][key.caller] = tally
    for method, callers in sorted(by_method.items()):
        left = dict(callers)
        for who in callers_of({caller: tally for caller, tally in callers.items() if tally.well}, sightings.callers):
            mine = [left.pop(caller) for caller in callers if caller in left and who.has(caller)]
            seen = _joined(mine)
            if who.ids and seen.badly:  # of one who is not named, perhaps
                yield _Draft(method, None, _joined([seen], well=False))
                seen = _joined([seen], badly=False)
            yield _Draft(method, who, seen)
        for tally in left.values():
            yield _Draft(method, None, tally)


def _unfit(draft: _Draft, least: int, *, anonymous: bool) -> Blocked | None:
    if draft.seen.sample.principal.kind is Kind.ANONYMOUS and not anonymous:
        return ANONYMOUS
    if not draft.seen.well:
        return NEVER_WELL
    return TOO_SELDOM if draft.seen.well < least else None


def _joined(tallies: Iterable[Tally], *, well: bool = True, badly: bool = True) -> Tally:
    """All of them as one, the requests of one kind left out if so wanted."""
    first, *more = tallies
    joined = Tally(first.sample)
    for tally in (first, *more):
        joined.merge(tally)
    joined.well *= well
    joined.badly *= badly
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
