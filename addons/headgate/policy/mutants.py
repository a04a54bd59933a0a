"""What a bundle would be with one small thing in it wrong, in every way there is, so that its tests can be tested.

Each condition dropped and negated, each value of a list dropped, each rule and limit dropped, each effect and mode
turned round, isolation off. What surely is the same as the original is left out: a value that another one of its list
covers, a part that means nothing by itself, a target beside which there is no other.

Whether the tests notice a mutant: trial.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headgate.match import Facts, Matcher, MatchSpec, compile_match
from headgate.match.conditions import Condition
from headgate.match.expressions import Expression, parse_expression
from headgate.model import Effect
from headgate.policy.engine import PolicyRules, Rule
from headgate.policy.inclusion import POSSIBLE, TRUE, Side, implies
from headgate.policy.limits import Limit
from headgate.policy.reach import World
from headgate.policy.reductions import GONE, reductions

Location = tuple[str | int, ...]
Place = tuple[str, int]
"""A file and a line."""

TURNED = {Effect.ALLOW: Effect.DENY, Effect.DENY: Effect.ALLOW, Effect.APPROVE: Effect.ALLOW}
NOWHERE: Place = ("targets.yaml", 0)
ISOLATION = "isolation"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing that is wrong. `of` is what is replaced: ("rules", position), ("limits", position), or isolation.

    `by` is the rule or limit in its place, None where it is dropped.
    """

    file: str
    line: int
    what: str
    of: tuple[str, int]
    by: Rule | Limit | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def mutants(rules: PolicyRules, isolation: Place = NOWHERE) -> list[Mutant]:
    """Every mutant of a bundle, in order of file and line; `isolation` is where `isolate_environments` stands."""
    policy, written, world = rules.policy, rules.policy.written, World(rules.targets)
    found: list[Mutant] = []
    for at, (rule, origin) in enumerate(zip(policy.rules, written.rules, strict=True)):
        found += _of_rule(at, rule, origin, world)
    for at, (limit, origin) in enumerate(zip(policy.limits, written.limits, strict=True)):
        found += _of_limit(at, limit, origin, world)
    if rules.targets.isolate_environments:
        found.append(Mutant(*isolation, "isolate_environments turned off", (ISOLATION, 0)))
    return sorted(found, key=lambda mutant: (mutant.file, mutant.line, mutant.what))


def _of_rule(at: int, rule: Rule, origin: Any, world: World) -> Iterator[Mutant]:
    ref, of = rule.ref, ("rules", at)

    def made(where: Location, what: str, by: Rule | None) -> Mutant:
        return Mutant(ref.file, origin.line_of(where) or ref.line, what, of, by)

    yield made((), f"rule {ref.id} dropped", None)
    effect = TURNED[ref.effect]
    turned = compile_match(origin.rule.match, widen=effect is not Effect.ALLOW, when=origin.rule.when)
    shaper = rule.shaper if effect is not Effect.DENY else None
    other = replace(rule, ref=replace(ref, effect=effect), matcher=turned, shaper=shaper, approval=None)
    yield made(("effect",), f"effect of {ref.id} turned from {ref.effect} to {effect}", other)
    mode = "enforce to shadow" if not rule.shadow else "shadow to enforce"
    yield made(("mode",), f"mode of {ref.id} turned from {mode}", replace(rule, shadow=not rule.shadow))
    for where, what, matcher in matchers(rule.matcher, origin.rule, world, widen=ref.effect is not Effect.ALLOW):
        yield made(where, what.format(ref.id), replace(rule, matcher=matcher))


def _of_limit(at: int, limit: Limit, origin: Any, world: World) -> Iterator[Mutant]:
    of = ("limits", at)
    yield Mutant(limit.file, limit.line, f"limit {limit.id} dropped", of)
    for where, what, matcher in matchers(limit.matcher, origin.rule, world, widen=True):
        line = origin.line_of(where) or limit.line
        yield Mutant(limit.file, line, what.format(limit.id), of, replace(limit, matcher=matcher))


def matchers(matcher: Matcher, spec: Any, world: World, *, widen: bool) -> Iterator[tuple[Location, str, Matcher]]:
    """Every matcher that differs in one condition, with where and how; `{}` in the words stands for whose it is."""
    reduced = _reduced(matcher, spec.match, widen)
    yield from (
        (where, what, found) for where, what, left, found in reduced if not _same(spec.match, left, widen, world)
    )
    for where, negated in _negated(matcher.conditions):
        yield ("match", *where), f"condition {_braced(name_of(where))} of {{}} negated", _with(matcher, negated)
    if matcher.when is not None:
        yield ("when",), "`when` of {} replaced by true", replace(matcher, when=None)
        if (opposite := _opposite(spec.when, widen)) is not None:
            yield ("when",), "`when` of {} negated", replace(matcher, when=opposite)


def _reduced(matcher: Matcher, match: MatchSpec, widen: bool) -> Iterator[tuple[Location, str, MatchSpec, Matcher]]:
    for where, value, left in reductions(match):
        compiled = compile_match(left, widen=widen)
        reads_body = compiled.reads_body or (matcher.when is not None and matcher.when.reads_body)
        kept = (condition for condition in matcher.conditions if not _touches(condition, where))
        changed = (condition for condition in compiled.conditions if _touches(condition, where))
        key = _braced(name_of(where if value is GONE else where[:-1]))
        what = f"condition {key}" if value is GONE else f"value `{_braced(str(value)[:80])}` in {key}"
        made = replace(_with(compiled, (*kept, *changed)), when=matcher.when, reads_body=reads_body)
        yield ("match", *where), f"{what} of {{}} dropped", left, made


def _touches(condition: Condition, where: Location) -> bool:
    """Whether what stands at a place is a part of the condition, or the other way round."""
    shared = min(len(condition.location), len(where))
    return condition.location[:shared] == where[:shared]


def _same(match: MatchSpec, other: MatchSpec, widen: bool, world: World) -> bool:
    """Whether two matches surely say the same of every request, and have the same variables in their paths."""
    if match.path_params() != other.path_params():
        return False
    pairs = ((Side(match, widen, level), Side(other, widen, level)) for level in (TRUE, POSSIBLE))
    return all(implies(one, two, world) and implies(two, one, world) for one, two in pairs)


def _negated(conditions: Sequence[Condition]) -> Iterator[tuple[Location, tuple[Condition, ...]]]:
    """The conditions with one of them negated, at every depth, and where that one stands."""
    for at, condition in enumerate(conditions):
        before, after = tuple(conditions[:at]), tuple(conditions[at + 1 :])
        turned = condition._replace(test=_not(condition.test), dimension=None, values=None)
        yield condition.location, (*before, turned, *after)
        inner: Matcher | None = condition.inner
        for where, found in _negated(inner.conditions) if inner else ():
            changed = _with(condition.inner, found)
            negation = condition._replace(test=_not(changed.test), inner=changed)
            yield (*condition.location, *where), (*before, negation, *after)


def _with(matcher: Matcher, conditions: tuple[Condition, ...]) -> Matcher:
    tests = tuple(condition.test for condition in conditions)
    return replace(matcher, tests=tests, conditions=conditions, fixed={})  # what an index may know has changed


def _not(test: Callable[[Facts], bool | None]) -> Callable[[Facts], bool | None]:
    def negated(facts: Facts) -> bool | None:
        holds = test(facts)
        return None if holds is None else not holds

    return negated


def _opposite(when: str, widen: bool) -> Expression | None:
    """None where the expression is as large as one may be."""
    try:
        return parse_expression(f"!(\n{when}\n)", widen=widen)
    except ValueError:
        return None


def name_of(where: Location) -> str:
    """A place in a match as people write it: keys joined by dots, names that callers choose set apart."""
    name = ""
    for step in where:
        text = str(step)
        joint = "" if not name else "." if text.isidentifier() else " "
        name += joint + text
    return name


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
