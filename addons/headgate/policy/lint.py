"""What in a bundle is allowed by the schema and is hardly meant: rules that change nothing, or let through too much.

A finding that says that a rule is dead, or that nothing can reach it, is certain; where that is not sure, nothing is
said. What each finding is about, and what to do, is one table.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Any, NamedTuple

from headgate.model import Effect
from headgate.policy.coverage import coverage
from headgate.policy.engine import PolicyRules
from headgate.policy.inclusion import TRUE, Side, never, side_of
from headgate.policy.overlaps import Overlap, Overlaps, TooMany, Why
from headgate.policy.reach import World
from headgate.policy.singles import Remark, of_limit, of_rule

Location = tuple[str | int, ...]
Place = tuple[str, int]
"""A file and a line, 0 for the file as a whole."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


E, W, I = Severity  # noqa: E741 - a column of the table below
CODES: Mapping[str, tuple[Severity, str]] = {
    "allow-everything": (E, "say who may do what, and where"),
    "never-matches": (E, "correct its conditions, or remove it"),
    "trusts-too-many": (E, "list the addresses of the proxies themselves"),
    "open-to-anonymous": (W, "add `principal` to the rule, or set `anonymous: refuse`"),
    "allow-without-target": (W, "add `target` to the rule"),
    "dead-rule": (W, "remove it, or narrow the rule that denies"),
    "always-needs-approval": (W, "remove it, or narrow the rule that asks for approval"),
    "redundant-rule": (W, "remove it, or narrow the other rule"),
    "duplicate-rule": (W, "remove one of them"),
    "matches-everything": (W, "remove the condition, or make it say something"),
    "environment-isolated": (W, "name the target's own environment, or another target"),
    "limit-never-counts": (W, "remove it, or narrow the rule that denies"),
    "limit-never-reached": (W, "remove it, or make it stricter than the other one"),
    "limit-too-high": (W, "give a rate that callers could exceed"),
    "burst-too-large": (W, "give a burst that is no more than an hour's worth"),
    "observed-target": (W, "set `observe: false` once the rules are right"),
    "unknown-targets-allowed": (W, "set `unknown: refuse`, and name the systems that may be reached"),
    "unreachable-target": (W, "give it an `environment`, as callers have one"),
    "target-without-allow": (W, "add a rule that allows something, or remove the target"),
    "anonymous-gets-nowhere": (W, "set `anonymous: refuse`, or `isolate_environments: false`"),
    "environments-not-isolated": (I, "set `isolate_environments: true`"),
    "allow-by-exclusion": (I, "say who may, rather than who may not"),
    "value-adds-nothing": (I, "remove the value"),
    "no-tests": (I, "add `tests:`, at least one for each rule"),
    "untested-rule": (I, "add a test"),
    "untested-limit": (I, "add a test that expects it under `limits`"),
    "not-compared": (I, "tell rules apart by path or by caller"),
}
"""How grave each finding is, and what to do."""

OVERLAPS: Mapping[Why, tuple[str, str]] = {
    Why.DENIED: ("dead-rule", "every request that it lets pass is denied by"),
    Why.OUTWEIGHED: ("always-needs-approval", "every request that it allows needs approval by"),
    Why.REDUNDANT: ("redundant-rule", "it changes nothing beside"),
    Why.DUPLICATE: ("duplicate-rule", "it says the same as"),
    Why.NEVER_COUNTS: ("limit-never-counts", "every request that it counts is denied by"),
    Why.STRICTER: ("limit-never-reached", "it is never used up before"),
}


@dataclass(frozen=True, slots=True)
class LintFinding:
    code: str
    file: str
    line: int
    message: str

    @property
    def severity(self) -> Severity:
        return CODES[self.code][0]

    @property
    def advice(self) -> str:
        return CODES[self.code][1]

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.severity}: {self.message}; {self.advice} [{self.code}]"

    def as_json(self) -> dict[str, Any]:
        return {
            "severity": str(self.severity),
            "code": self.code,
            "file": self.file,
            "line": self.line,
            "message": self.message,
            "advice": self.advice,
        }


def nowhere(file: str, where: Location) -> Place:
    del where
    return file, 0


class Around(NamedTuple):
    """What lint is told of the rest of a bundle: identity.yaml, and where in which file something stands."""

    anonymous: bool = False
    trusted: tuple[str, ...] = ()
    place: Callable[[str, Location], Place] = nowhere


ALONE = Around()


def lint(rules: PolicyRules, around: Around = ALONE) -> list[LintFinding]:
    """Every finding, the gravest first, then in order of file and line."""
    found = set(_Lint(rules, around).findings())
    ranks = list(Severity)
    return sorted(found, key=lambda one: (ranks.index(one.severity), one.file, one.line, one.code, one.message))


class _Lint:
    def __init__(self, rules: PolicyRules, around: Around) -> None:
        self._rules, self._around, self._world = rules, around, World(rules.targets)
        policy = rules.policy
        self._written = list(zip(policy.rules, policy.written.rules, strict=True))
        self._limits = list(zip(policy.limits, policy.written.limits, strict=True))

    def findings(self) -> Iterator[LintFinding]:
        dead = dict(self._never(self._written, limits=False)), dict(self._never(self._limits, limits=True))
        for at, (rule, origin) in enumerate(self._written):
            yield from self._remarks(origin, of_rule(rule, origin.rule, self._world, self._around.anonymous))
            if at in dead[0]:
                yield self._of(origin, (), "never-matches", f"rule {rule.ref.id} never matches: {dead[0][at]}")
        for at, (limit, origin) in enumerate(self._limits):
            yield from self._remarks(origin, of_limit(limit, origin.rule))
            if at in dead[1]:
                yield self._of(origin, (), "never-matches", f"limit {limit.id} never matches: {dead[1][at]}")
        yield from self._overlaps(frozenset(dead[0]), frozenset(dead[1]))
        yield from self._targets(self._allowed(dead[0]))
        yield from self._identity()
        yield from self._tests()

    def _never(self, entries: list[Any], *, limits: bool) -> Iterator[tuple[int, str]]:
        for at, (compiled, origin) in enumerate(entries):
            effect = None if limits else compiled.ref.effect
            if reason := never(side_of(origin.rule.match, effect, origin.rule.when), self._world):
                yield at, reason

    def _remarks(self, origin: Any, remarks: Iterator[Remark]) -> Iterator[LintFinding]:
        yield from (self._of(origin, where, code, message) for where, code, message in remarks)

    def _of(self, origin: Any, where: Location, code: str, message: str) -> LintFinding:
        return LintFinding(code, origin.file, origin.line_of(where) or origin.line, message)

    def _overlaps(self, never_rules: frozenset[int], never_limits: frozenset[int]) -> Iterator[LintFinding]:
        overlaps = Overlaps(self._rules.policy, self._world)
        try:
            for overlap in overlaps.rules(never_rules):
                yield self._overlap("rule", overlap, self._written)
            for overlap in overlaps.limits(never_limits):
                yield self._overlap("limit", overlap, self._limits)
        except TooMany:
            what = "there are too many rules alike to compare each with each; some may be dead or redundant"
            yield LintFinding("not-compared", *self._around.place("policy.yaml", ()), what)

    def _overlap(self, kind: str, overlap: Overlap, entries: list[Any]) -> LintFinding:
        code, words = OVERLAPS[overlap.why]
        others = self._limits if overlap.why is Why.STRICTER else self._written
        origin, other = entries[overlap.at][1], others[overlap.other][1]
        message = f"{kind} {origin.rule.id}: {words} {other.rule.id} ({other.file}:{other.line})"
        return self._of(origin, (), code, message)

    # ------------------------------------------------------------------------------------------------ targets, identity

    def _targets(self, allowing: set[str]) -> Iterator[LintFinding]:
        targets, world, place = self._rules.targets, self._world, self._around.place
        for at, target in enumerate(world.named):
            where = place("targets.yaml", ("targets", at))
            if target.observe:
                what = f"target {target.name} is observed: nothing that the rules say is enforced there"
                yield LintFinding("observed-target", *where, what)
            if target in world.unreachable:
                what = f"target {target.name} has no environment, so that every caller is refused there"
                yield LintFinding("unreachable-target", *where, what)
            elif target.name not in allowing and not target.observe:
                what = f"no rule allows anything at target {target.name}"
                yield LintFinding("target-without-allow", *where, what)
        if targets.allow_unknown:
            yield self._unknown(place("targets.yaml", ("unknown",)))
        environments = {target.environment for target in world.named}
        if not targets.isolate_environments and len(environments) > 1:
            what = "callers of one environment may reach targets of another"
            yield LintFinding("environments-not-isolated", *place("targets.yaml", ("isolate_environments",)), what)

    def _unknown(self, where: Place) -> LintFinding:
        if self._rules.targets.isolate_environments:
            what = "systems that no target names are let in, and have no environment, so that every caller is refused"
            return LintFinding("unreachable-target", *where, what)
        what = "systems that no target names may be reached where a rule without a target allows it"
        return LintFinding("unknown-targets-allowed", *where, what)

    def _allowed(self, never: Collection[int]) -> set[str]:
        """The targets at which some rule allows something, at least with approval."""
        found: set[str] = set()
        for at, (rule, origin) in enumerate(self._written):
            if at not in never and not rule.shadow and rule.ref.effect is not Effect.DENY:
                reach = Side(origin.rule.match, widen=False, level=TRUE).reach(self._world)
                found |= {target.name for target in reach.targets}
        return found

    def _identity(self) -> Iterator[LintFinding]:
        place = self._around.place
        for at, text in enumerate(self._around.trusted):
            network = ip_network(text)
            if network.prefixlen < (8 if network.version == 4 else 7):
                what = f"`{text}` is believed about who calls, and whoever has an address in it can be anybody"
                yield LintFinding("trusts-too-many", *place("identity.yaml", ("trusted_proxies", at)), what)
        if self._around.anonymous and self._rules.targets.isolate_environments:
            what = "anonymous callers are let in, and have no environment, so that they are refused everywhere"
            yield LintFinding("anonymous-gets-nowhere", *place("identity.yaml", ("anonymous",)), what)

    def _tests(self) -> Iterator[LintFinding]:
        policy = self._rules.policy
        if not policy.tests:
            if policy.rules:
                yield LintFinding("no-tests", *self._around.place("policy.yaml", ()), "nothing shows what the rules do")
            return
        found = coverage(self._rules)
        for cover in found.rules:
            for missing in cover.missing:
                ref = cover.ref
                yield LintFinding("untested-rule", ref.file, ref.line, f"rule {ref.id}: {missing}")
        for limit in found.limits:
            if not limit.tests:
                what = f"limit {limit.id}: no test whose request it counts"
                yield LintFinding("untested-limit", limit.file, limit.line, what)
