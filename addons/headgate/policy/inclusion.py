"""Whether one `match:` implies another: whenever the first holds, so does the second.

Conditions have three values, and rules ask for them differently: one that allows applies where its match is true, every
other kind where it is not false. So what is asked here is whether a match that is at least `a.level` makes another one
at least `b.level`. Said only where it is sure, whatever requests come; what is not understood compares by equality.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from headgate.match import MatchSpec, Section
from headgate.match.spec import AllOf, AllOfScopes
from headgate.model import Effect
from headgate.policy.covering import GLOBS, WORKLOAD_GLOBS, Key, covering
from headgate.policy.reach import Reach, World, covers_hosts, target_holds

TRUE = 1
POSSIBLE = 0
"""Not false: true, or unknown."""

_NESTED = frozenset({("principal",), ("principal", "workload"), ("principal", "session"), ("graphql",)})
_SETS = frozenset({("principal", "groups"), ("principal", "environment"), ("principal", "session", "scopes")})
_TEXTS = frozenset(
    {("principal", name) for name in GLOBS} | {("principal", "workload", name) for name in WORKLOAD_GLOBS}
)
_LINE = frozenset({("method",), ("path",)})
"""What is never unknown, and wider in rules that forbid."""
_KIND = ("principal", "kind")
_VERIFIED = ("principal", "workload", "verified")
_MAX_AGE = ("principal", "session", "max_age")


@dataclass(frozen=True, slots=True)
class Side:
    """A match as one rule compiles it: `widen`, and `absent`, what it says of what is not there; `when` beside it."""

    match: MatchSpec
    widen: bool
    level: int
    absent: bool | None = False
    when: str | None = None
    leaves: Mapping[Key, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaves", dict(_leaves(self.match, ())))

    def below_not(self, level: int) -> "Side":
        """What its `not:` negates."""
        inner = self.match.not_ or self.match
        return Side(inner, not self.widen, level, None)

    def reach(self, world: World) -> Reach:
        return world.reach(self.match, absent=self.absent, possibly=self.level == POSSIBLE)


def side_of(match: MatchSpec, effect: Effect | None, when: str | None) -> Side:
    """As a rule of this effect has it; None for a limit."""
    allows = effect is Effect.ALLOW
    return Side(match, not allows, TRUE if allows else POSSIBLE, False, when)


def implies(a: Side, b: Side, world: World, reach: Reach | None = None) -> bool:
    """Whether `a` at its level makes `b` at least what its level says, for every request that gets to the rules.

    `reach` is that of `a`, for who has it already.
    """
    return _when_implies(a, b) and _implies(a, reach or a.reach(world), b, world)


def never(a: Side, world: World) -> str | None:
    """Why `a` can never be at its level; None where it may."""
    reach = a.reach(world)
    if not reach.targets:
        return _nowhere(a, world)
    if reason := _nobody(a, world):
        return reason
    inner = a.match.not_
    if inner is not None and _implies(_positive(a), reach, a.below_not(_dual(a.level)), world):
        return "what `not` excludes is all that the other conditions leave"
    return None


def _implies(a: Side, reach: Reach, b: Side, world: World) -> bool:
    if any(not _leaf_implies(key, a, b) for key in b.leaves):
        return False
    if b.match.target is not None and not all(_at_least(target_holds(b.match, t, b.absent), b) for t in reach.targets):
        return False
    if b.match.host is not None and not covers_hosts(b.match.host, reach.hosts):
        return False
    return b.match.not_ is None or _not_implies(a, b, world)


def _not_implies(a: Side, b: Side, world: World) -> bool:
    """`not: x` implies `not: y` where y implies x."""
    if a.match.not_ is None:
        return False
    narrow, wide = b.below_not(_dual(b.level)), a.below_not(_dual(a.level))
    return _implies(narrow, narrow.reach(world), wide, world)


def _when_implies(a: Side, b: Side) -> bool:
    """A `when` is asked only where its match is true, and may speak of the variables of its path."""
    if b.when is None:
        return True
    same = a.when == b.when and a.match.path == b.match.path and a.widen == b.widen
    return same and a.level == b.level == TRUE


def _dual(level: int) -> int:
    return POSSIBLE if level == TRUE else TRUE


def _positive(side: Side) -> Side:
    kept = {name: getattr(side.match, name) for name in side.match.model_fields_set if name != "not_"}
    return replace(side, match=MatchSpec.model_construct(set(kept), **kept))


def _at_least(holds: bool | None, side: Side) -> bool:
    return holds is True or (holds is None and side.level == POSSIBLE)


# -- single conditions ------------------------------------------------------------------------------------------------


class _Pair(NamedTuple):
    """One condition of each side."""

    narrow: Any
    wide: Any


def _leaf_implies(key: Key, a: Side, b: Side) -> bool:
    if key not in a.leaves:
        return False
    pair = _Pair(a.leaves[key], b.leaves[key])
    if key == _KIND or key in _LINE:
        return (key == _KIND or a.widen <= b.widen) and _covered(key, pair)
    if a.level < b.level and not (key in _TEXTS | _SETS and a.absent is False):
        return False  # unknown does not make anything true
    if a.level == POSSIBLE and _missing(key, a, pair.narrow) is None and _missing(key, b, pair.wide) is not None:
        return False  # of somebody who lacks the attribute
    return _same_kind(key, pair, a, b)


def _missing(key: Key, side: Side, asked: Any) -> bool | None:
    """What a condition says of a caller without the attribute."""
    return None if key == _VERIFIED and asked is False else side.absent


def _same_kind(key: Key, pair: _Pair, a: Side, b: Side) -> bool:
    if key in _SETS:
        return _sets(pair)
    if key in _TEXTS:
        return _covered(key, pair)
    if key == _MAX_AGE:
        return bool(pair.narrow <= pair.wide)
    if key[:2] == ("principal", "claims"):
        return _claims(pair, a, b)
    if key in (("source",), ("signal",)):
        return _covered(key, pair)
    fits = a.widen == b.widen or (a.widen < b.widen and a.level == TRUE and b.level == POSSIBLE)
    return fits and _text(pair.narrow) == _text(pair.wide)


def _covered(key: Key, pair: _Pair) -> bool:
    covers = covering(key)
    return all(any(covers(wide, narrow) for wide in pair.wide) for narrow in pair.narrow)


def _sets(pair: _Pair) -> bool:
    """Any of some names, or all of them."""
    narrow, every = _names(pair.narrow)
    wide, demands_every = _names(pair.wide)
    if demands_every:
        return wide <= narrow if every else len(wide) == 1 and narrow == wide
    return not narrow.isdisjoint(wide) if every else narrow <= wide


def _names(asked: Any) -> tuple[frozenset[str], bool]:
    if isinstance(asked, AllOf | AllOfScopes):
        return frozenset(asked.all), True
    return frozenset(asked), False


def _claims(pair: _Pair, a: Side, b: Side) -> bool:
    """Of a claim with several values one is enough with `widen`, else all are needed; types not listed are unknown."""
    narrow, wide = ({(type(value), value) for value in asked} for asked in pair)
    same_types = {of for of, _ in narrow} == {of for of, _ in wide}
    return a.widen <= b.widen and narrow <= wide and (a.level == TRUE or same_types)


def _text(asked: Any) -> str:
    """A condition in one spelling, in which `1` and `true` differ."""
    return json.dumps(asked, default=lambda section: section.model_dump(mode="json", exclude_unset=True))


def _leaves(section: Section, at: Key) -> Iterator[tuple[Key, Any]]:
    """Every condition by its key, but for target, host and `not:`, which are about more than themselves."""
    for name in type(section).model_fields:
        key, value = (*at, name), getattr(section, name)
        if value is None or key in (("target",), ("host",), ("not_",)):
            continue
        if key in _NESTED:
            yield from _leaves(value, key)
        elif isinstance(value, Mapping):
            yield from (((*key, entry), asked) for entry, asked in value.items())
        else:
            yield key, value


# -- what can never be ------------------------------------------------------------------------------------------------


def _nowhere(a: Side, world: World) -> str:
    anywhere = world.reach(a.match.model_copy(update={"host": None}), absent=a.absent, possibly=a.level == POSSIBLE)
    if a.match.host is not None and anywhere.targets:
        return "its hosts belong to other targets than it names" if a.match.target else "its hosts belong to no target"
    if not world.reachable:
        return "no caller can get to any target"
    return "no target that a caller can get to is meant"


def _nobody(a: Side, world: World) -> str | None:
    """An anonymous caller has nothing but its kind."""
    kinds = a.leaves.get(_KIND)
    if kinds is None or set(kinds) != {"anonymous"}:
        return None
    if world.all.isolate_environments:
        return "anonymous callers have no environment, and get to no target"
    others = [key for key in a.leaves if key[0] == "principal" and key != _KIND]
    asked = [key for key in others if a.level == TRUE or _missing(key, a, a.leaves[key]) is False]
    return f"an anonymous caller has no {'.'.join(asked[0][1:2])}" if asked else None
