"""Which rules and limits change nothing, because of another one: taken away by themselves, no answer would be another.

Each is compared with those that could be its match's like, by the path and the caller that they are about; where that
leaves more pairs than can be looked at, the rest is left out, and that is said.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from headgate.match import Dimension, Matcher, Value
from headgate.model import Effect
from headgate.policy.engine import Policy, Rule
from headgate.policy.inclusion import Side, implies, side_of
from headgate.policy.limits import Limit
from headgate.policy.reach import Reach, World

MAX_PAIRS = 2_000_000
DIMENSIONS = frozenset({"principal.kind", "principal.id", "principal.email", "principal.provider", "principal.owner"})
"""Besides path segments: what has one value, so that matches that demand different ones have nothing in common."""


class Why(StrEnum):
    DENIED = "denied"  # whatever it would let pass, the other denies
    OUTWEIGHED = "outweighed"  # whatever it would allow needs the other's approval
    REDUNDANT = "redundant"  # the other says the same of all it is about, and more
    DUPLICATE = "duplicate"  # the other says just the same
    NEVER_COUNTS = "never-counts"  # a limit of which the other denies all requests
    STRICTER = "stricter"  # a limit of which the other one is always used up first


class Overlap(NamedTuple):
    """What changes nothing, and what makes it so: positions in `Policy.rules`, of limits in `Policy.limits`."""

    at: int
    why: Why
    other: int


class TooMany(Exception):
    """There are more pairs than can be compared."""


@dataclass(frozen=True, slots=True)
class Known:
    """A rule or limit with what is asked of it over and over."""

    at: int
    order: tuple[str, int, str]
    side: Side
    reach: Reach
    matcher: Matcher
    of: Any


def known_rule(at: int, rule: Rule, spec: Any, world: World) -> Known:
    side = side_of(spec.match, rule.ref.effect, spec.when)
    ref = rule.ref
    return Known(at, (ref.file, ref.line, ref.id), side, side.reach(world), rule.matcher, rule)


def known_limit(at: int, limit: Limit, spec: Any, world: World) -> Known:
    side = side_of(spec.match, None, spec.when)
    return Known(at, (limit.file, limit.line, limit.id), side, side.reach(world), limit.matcher, (limit, spec.key))


class Overlaps:
    """Over all rules that are enforced and may match at all."""

    def __init__(self, policy: Policy, world: World) -> None:
        self._world, self._left = world, MAX_PAIRS
        rules = [
            known_rule(at, rule, origin.rule, world)
            for at, (rule, origin) in enumerate(zip(policy.rules, policy.written.rules, strict=True))
            if not rule.shadow
        ]
        limits = [
            known_limit(at, limit, origin.rule, world)
            for at, (limit, origin) in enumerate(zip(policy.limits, policy.written.limits, strict=True))
        ]
        self._rules = sorted(rules, key=lambda known: known.order)
        self._limits = sorted(limits, key=lambda known: known.order)
        self._among = {
            effect: _Bins([known for known in self._rules if known.of.ref.effect is effect]) for effect in Effect
        }

    def rules(self, never: frozenset[int]) -> Iterator[Overlap]:
        """Each rule that changes nothing, once; those at positions in `never` match nothing anyway."""
        for known in self._rules:
            if known.at not in never and (found := self._of_rule(known, never)):
                yield found

    def limits(self, never: frozenset[int]) -> Iterator[Overlap]:
        bins = _Bins([known for known in self._limits if known.of[0].enforced])
        for known in self._limits:
            if known.at in never:
                continue
            denied = self._first(known, self._among[Effect.DENY].near(known))
            if denied and not any(target.observe for target in known.reach.targets):
                yield Overlap(known.at, Why.NEVER_COUNTS, denied.at)
            elif stricter := self._first(known, self._stricter(known, bins.near(known))):
                yield Overlap(known.at, Why.STRICTER, stricter.at)

    def _of_rule(self, known: Known, never: frozenset[int]) -> Overlap | None:
        rule: Rule = known.of
        effect = rule.ref.effect
        if effect is not Effect.DENY and (other := self._first(known, self._among[Effect.DENY].near(known))):
            return Overlap(known.at, Why.DENIED, other.at)
        if rule.shaper is not None:
            return None
        if effect is Effect.ALLOW and (other := self._first(known, self._among[Effect.APPROVE].near(known))):
            return Overlap(known.at, Why.OUTWEIGHED, other.at)
        alike = (
            other for other in self._among[effect].near(known) if other.at not in never and _says_so(rule, other.of)
        )
        for other in alike:
            if other is known or not self._implies(known, other):
                continue
            if not self._implies(other, known) or not _says_so(other.of, rule):
                return Overlap(known.at, Why.REDUNDANT, other.at)
            if other.order < known.order:
                return Overlap(known.at, Why.DUPLICATE, other.at)
        return None

    def _stricter(self, known: Known, others: Iterable[Known]) -> Iterator[Known]:
        """Limits that have a bucket for whatever this one has one for, and let less through."""
        limit, key = known.of
        for other in others:
            tighter, same_key = other.of[0], other.of[1] == key
            less = tighter.burst <= limit.burst and _per_day(tighter) <= _per_day(limit)
            if other is known or not (same_key and less):
                continue
            alike = tighter.burst == limit.burst and _per_day(tighter) == _per_day(limit) and limit.enforced
            if alike and other.order > known.order and self._implies(other, known):
                continue
            if _speaks_of_path(key) and known.side.match.path != other.side.match.path:
                continue
            yield other

    def _first(self, known: Known, others: Iterable[Known]) -> Known | None:
        return next((other for other in others if other is not known and self._implies(known, other)), None)

    def _implies(self, known: Known, other: Known) -> bool:
        self._left -= 1
        if self._left < 0:
            raise TooMany
        return implies(known.side, other.side, self._world, known.reach)


def _says_so(rule: Rule, other: Rule) -> bool:
    """Whether the other rule says all that this one does, where both match."""
    same_words = rule.message is None or rule.message == other.message
    return rule.shaper is None and same_words and rule.approval == other.approval


def _per_day(limit: Limit) -> float:
    return limit.rate.count * 86400 / limit.rate.seconds


def _speaks_of_path(key: Sequence[str]) -> bool:
    return any(name.startswith("path_params.") for name in key)


def _demands(known: Known) -> Iterator[tuple[Dimension, Value]]:
    """What a match demands exactly, of that of which there is one."""
    for dimension, values in known.matcher.fixed.items():
        if isinstance(dimension, int) or dimension in DIMENSIONS:
            yield from ((dimension, value) for value in values)


class _Bins:
    """Matches by one exact value that each demands: what implies one of them demands that value, too."""

    def __init__(self, all_known: Sequence[Known]) -> None:
        self._bins: dict[Any, list[Known]] = defaultdict(list)
        self._rest: list[Known] = []
        demanded = Counter(demand for known in all_known for demand in _demands(known))
        for known in all_known:
            sizes: Counter[Dimension] = Counter()
            for demand in _demands(known):
                sizes[demand[0]] += demanded[demand]
            if not sizes:
                self._rest.append(known)
                continue
            telling = min(sizes, key=lambda one: (sizes[one], str(one)))
            for value in known.matcher.fixed[telling]:
                self._bins[telling, value].append(known)

    def near(self, known: Known) -> Iterator[Known]:
        """All that this one may imply."""
        yield from self._rest
        seen: set[int] = set()
        for dimension, values in known.matcher.fixed.items():
            for value in sorted(values, key=str):
                for other in self._bins.get((dimension, value), ()):
                    if other.at not in seen:
                        seen.add(other.at)
                        yield other
