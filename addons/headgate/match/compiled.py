"""A `match:` compiled into tests over what is known of one request.

Each test gives true, false or None for unknown. A matcher also tells which values it demands exactly (`fixed`), by
dimension: a caller or request that has none of them cannot match, whatever the other tests say. That is all an index
needs to know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.match.conditions import Condition, Test, all_of, any_of, claim, max_age, shared, text, verified
from headgate.match.facts import READS, Dimension, Facts, Subject, Value
from headgate.match.hosts import host_keys
from headgate.match.paths import PathTemplate
from headgate.match.pointers import pointer
from headgate.match.spec import AllOf, AllOfScopes, MatchSpec, PrincipalSpec, SessionSpec, TargetSpec, WorkloadSpec


@dataclass(frozen=True, slots=True)
class Matcher:
    """One compiled `match:`; all its tests must hold. `fixed` says what it demands exactly."""

    tests: tuple[Test, ...]
    fixed: Mapping[Dimension, frozenset[Value]]

    def holds(self, subject: Subject) -> bool | None:
        return self.test(Facts(subject))

    def test(self, facts: Facts) -> bool | None:
        """Kleene's `and`: false wins over unknown, unknown over true."""
        result: bool | None = True
        for test in self.tests:
            holds = test(facts)
            if holds is False:
                return False
            if holds is None:
                result = None
        return result


def compile_match(spec: MatchSpec, *, widen: bool) -> Matcher:
    """`widen` is for rules that forbid or hide: the path holds with a trailing slash too, the method in any case."""
    return _compile(spec, widen=widen, absent=False)


def _compile(spec: MatchSpec, *, widen: bool, absent: bool | None) -> Matcher:
    conditions: list[Condition] = []
    if spec.method is not None:
        conditions.append(_method(spec.method, widen))
    if spec.target is not None:
        conditions.extend(_target(spec.target, absent))
    if spec.principal is not None:
        conditions.extend(_principal(spec.principal, widen, absent))
    if spec.host is not None:
        conditions.append(_host(spec.host))
    if spec.path is not None:
        conditions.extend(_path(spec.path, widen))
    if spec.not_ is not None:
        conditions.append(_not(_compile(spec.not_, widen=not widen, absent=None)))
    fixed = {c.dimension: c.values for c in conditions if c.dimension is not None and c.values is not None}
    tests = dict.fromkeys(condition.test for condition in conditions)  # several segments share the test of their path
    return Matcher(tuple(tests), fixed)


def _not(inner: Matcher) -> Condition:
    def test(facts: Facts) -> bool | None:
        holds = inner.test(facts)
        return None if holds is None else not holds

    return Condition(test)


@shared
def _method(methods: tuple[str, ...], widen: bool) -> Condition:
    wanted, write = frozenset(methods) - {"write"}, "write" in methods

    def test(facts: Facts) -> bool:
        method = facts.method
        return method in wanted or (write and method not in READS) or (widen and method.upper() in wanted)

    return Condition(test, "method", frozenset(methods))


def _path(texts: tuple[str, ...], widen: bool) -> Iterator[Condition]:
    """One test for all templates, and what they demand of each segment that is a literal in all of them."""
    templates = tuple(PathTemplate.parse(text) for text in texts)

    def test(facts: Facts) -> bool:
        segments = facts.segments
        if any(template.matches(segments) for template in templates):
            return True
        return widen and len(segments) > 1 and not segments[-1] and any(t.matches(segments[:-1]) for t in templates)

    yield Condition(test)
    for at in range(min(len(template.head) for template in templates)):
        literals = {template.head[at] for template in templates}
        if None not in literals:
            yield Condition(test, at, frozenset(literal for literal in literals if literal is not None))


@shared
def _host(patterns: tuple[str, ...]) -> Condition:
    wanted = frozenset(patterns)
    return Condition(lambda facts: not wanted.isdisjoint(host_keys(facts.host)), "host", wanted)


def _target(spec: tuple[str, ...] | TargetSpec, absent: bool | None) -> Iterator[Condition]:
    if isinstance(spec, tuple):
        yield any_of("target", spec, absent)
        return
    if spec.environment is not None:
        yield any_of("target.environment", spec.environment, absent)
    if spec.tags is not None:
        yield any_of("target.tags", spec.tags, absent)


def _principal(spec: PrincipalSpec, widen: bool, absent: bool | None) -> Iterator[Condition]:
    for name in ("kind", "id", "email", "provider", "owner"):
        if (patterns := getattr(spec, name)) is not None:
            yield text(f"principal.{name}", patterns, absent)
    if spec.groups is not None:
        yield _names("principal.groups", spec.groups, absent)
    if spec.environment is not None:
        yield any_of("principal.environment", spec.environment, absent)
    if spec.workload is not None:
        yield from _workload(spec.workload, absent)
    if spec.session is not None:
        yield from _session(spec.session, absent)
    for path, values in (spec.claims or {}).items():
        yield claim(pointer(path), tuple((type(value), value) for value in values), widen, absent)


def _names(dimension: str, spec: tuple[str, ...] | AllOf | AllOfScopes, absent: bool | None) -> Condition:
    return any_of(dimension, spec, absent) if isinstance(spec, tuple) else all_of(dimension, spec.all, absent)


def _workload(spec: WorkloadSpec, absent: bool | None) -> Iterator[Condition]:
    for name in ("name", "version", "commit", "digest", "workflow"):
        if (patterns := getattr(spec, name)) is not None:
            yield text(f"principal.workload.{name}", patterns, absent)
    if spec.verified is not None:
        yield verified(spec.verified, absent)


def _session(spec: SessionSpec, absent: bool | None) -> Iterator[Condition]:
    if spec.scopes is not None:
        yield _names("principal.session.scopes", spec.scopes, absent)
    if spec.max_age is not None:
        yield max_age(spec.max_age, absent)
