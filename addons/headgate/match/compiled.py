"""A `match:` compiled into tests over what is known of one request.

Each test gives true, false or None for unknown. A matcher also tells which values it demands exactly (`fixed`), by
dimension: a caller or request that has none of them cannot match, whatever the other tests say. That is all an index
needs to know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from headgate.match.bodies import compile_body
from headgate.match.conditions import Condition, Test, all_of, any_of, claim, max_age, shared, text, verified
from headgate.match.expressions import parse_expression
from headgate.match.facts import READS, Dimension, Facts, Subject, Value
from headgate.match.graphql import compile_graphql
from headgate.match.headers import compile_headers
from headgate.match.hosts import host_keys
from headgate.match.networks import compile_source
from headgate.match.paths import PathTemplate
from headgate.match.pointers import pointer
from headgate.match.queries import compile_query
from headgate.match.signals import compile_signal
from headgate.match.spec import AllOf, AllOfScopes, MatchSpec, PrincipalSpec, SessionSpec, TargetSpec, WorkloadSpec
from headgate.match.times import compile_time


class Evaluated(Protocol):
    """What a `when:` came to; `error` says in a short text without values why it could not be evaluated."""

    @property
    def value(self) -> bool | None: ...
    @property
    def error(self) -> str | None: ...


class Expression(Protocol):
    """A compiled `when:`; `uses` are the paths of the values that it refers to."""

    @property
    def text(self) -> str: ...
    @property
    def uses(self) -> Mapping[tuple[str, ...], object]: ...
    @property
    def reads_body(self) -> bool: ...
    def actual(self, facts: Facts, path_params: Mapping[str, str]) -> Mapping[str, object]: ...
    def test(self, facts: Facts, path_params: Mapping[str, str]) -> Evaluated: ...


NO_PARAMS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One compiled `match:` with its `when:`; all its tests must hold. `fixed` says what it demands exactly.

    `conditions` are what the tests were made of, for explaining; `reads_body` says whether any looks at the body.
    """

    tests: tuple[Test, ...]
    fixed: Mapping[Dimension, frozenset[Value]]
    conditions: tuple[Condition, ...] = ()
    when: Expression | None = None
    templates: tuple[PathTemplate, ...] = ()
    reads_body: bool = False

    def holds(self, subject: Subject) -> bool | None:
        return self.test(Facts(subject))

    def test(self, facts: Facts) -> bool | None:
        """Kleene's `and`: false wins over unknown, unknown over true. `when` is asked only where all else holds."""
        result: bool | None = True
        for test in self.tests:
            holds = test(facts)
            if holds is False:
                return False
            if holds is None:
                result = None
        if result and self.when is not None:
            return self.when.test(facts, self.path_params(facts)).value
        return result

    def error(self, facts: Facts) -> str | None:
        """Why `when` could not be evaluated, for a request for which all else holds; a short text without values."""
        if self.when is None or any(not test(facts) for test in self.tests):
            return None
        return self.when.test(facts, self.path_params(facts)).error

    def path_params(self, facts: Facts) -> Mapping[str, str]:
        """What the variables of the path stand for: of the first template that matches, a trailing slash left out."""
        if not self.templates:
            return NO_PARAMS
        segments = facts.segments
        for tried in (segments, segments[:-1]) if segments and not segments[-1] else (segments,):
            for template in self.templates:
                matched = template.folded() if facts.folded else template
                if matched.matches(tried):
                    return matched.params(tried)
        return NO_PARAMS


def compile_match(spec: MatchSpec, *, widen: bool, when: str | None = None) -> Matcher:
    """`widen` is for rules that forbid or hide: the path holds with a trailing slash too, the method in any case, and
    a GET that asks to become a WebSocket is still a GET, for that is what it is to an upstream that knows of none."""
    matcher = _compile(spec, widen=widen, absent=False)
    if when is None:
        return matcher
    expression = parse_expression(when, widen=widen)
    return replace(matcher, when=expression, reads_body=matcher.reads_body or expression.reads_body)


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
    conditions.extend(_contents(spec, widen))
    if spec.not_ is not None:
        conditions.append(_not(_compile(spec.not_, widen=not widen, absent=None)))
    fixed = {c.dimension: c.values for c in conditions if c.dimension is not None and c.values is not None}
    tests = dict.fromkeys(condition.test for condition in conditions)  # several segments share the test of their path
    explained = tuple({condition.test: condition for condition in reversed(conditions)}.values())[::-1]
    templates = tuple(PathTemplate.parse(text) for text in spec.path or ())
    reads_body = any(condition.reads_body for condition in conditions)
    return Matcher(tuple(tests), fixed, explained, None, templates, reads_body)


def _contents(spec: MatchSpec, widen: bool) -> Iterator[Condition]:
    """What is asked of the request beyond its line, and of the moment: absent is false there, below `not:` too."""
    if spec.source is not None:
        yield from compile_source(spec.source)
    if spec.signal is not None:
        yield from compile_signal(spec.signal)
    if spec.time is not None:
        yield from compile_time(spec.time)
    if spec.query is not None:
        yield from compile_query(spec.query, widen=widen)
    if spec.headers is not None:
        yield from compile_headers(spec.headers, widen=widen)
    if spec.body is not None:
        yield from compile_body(spec.body, widen=widen)
    if spec.graphql is not None:
        yield from compile_graphql(spec.graphql, widen=widen)


def _not(inner: Matcher) -> Condition:
    def test(facts: Facts) -> bool | None:
        holds = inner.test(facts)
        return None if holds is None else not holds

    return Condition(test, "not", inner=inner, reads_body=inner.reads_body, location=("not",))


@shared
def _method(methods: tuple[str, ...], widen: bool) -> Condition:
    wanted, write = frozenset(methods) - {"write"}, "write" in methods

    def test(facts: Facts) -> bool:
        method = facts.method
        if method in wanted or (write and method not in READS):
            return True
        return widen and (method.upper() in wanted or facts.request.method.upper() in wanted)

    return Condition(
        test, "method", methods, lambda facts: facts.method, "method", frozenset(methods), location=("method",)
    )


def _path(texts: tuple[str, ...], widen: bool) -> Iterator[Condition]:
    """One test for all templates, and what they demand of each segment that is a literal in all of them."""
    plain = tuple(PathTemplate.parse(text) for text in texts)
    folded = tuple(template.folded() for template in plain)

    def test(facts: Facts) -> bool:
        segments, templates = facts.segments, folded if facts.folded else plain
        if any(template.matches(segments) for template in templates):
            return True
        return widen and len(segments) > 1 and not segments[-1] and any(t.matches(segments[:-1]) for t in templates)

    condition = Condition(test, "path", texts, lambda facts: facts.request.path, location=("path",))
    yield condition
    for at in range(min(len(template.head) for template in plain)):
        literals = {template.head[at] for template in (*plain, *folded)}
        if None not in literals:
            demanded = frozenset(literal for literal in literals if literal is not None)
            yield condition._replace(dimension=at, values=demanded)


@shared
def _host(patterns: tuple[str, ...]) -> Condition:
    wanted = frozenset(patterns)

    def test(facts: Facts) -> bool:
        return not wanted.isdisjoint(host_keys(facts.host))

    return Condition(test, "host", patterns, lambda facts: facts.host, "host", wanted, location=("host",))


def _target(spec: tuple[str, ...] | TargetSpec, absent: bool | None) -> Iterator[Condition]:
    if isinstance(spec, tuple):
        yield at(any_of("target", spec, absent), "target")
        return
    if spec.environment is not None:
        yield at(any_of("target.environment", spec.environment, absent), "target", "environment")
    if spec.tags is not None:
        yield at(any_of("target.tags", spec.tags, absent), "target", "tags")


def _principal(spec: PrincipalSpec, widen: bool, absent: bool | None) -> Iterator[Condition]:
    for name in ("kind", "id", "email", "provider", "owner"):
        if (patterns := getattr(spec, name)) is not None:
            yield at(text(f"principal.{name}", patterns, absent), "principal", name)
    if spec.groups is not None:
        yield at(_names("principal.groups", spec.groups, absent), "principal", "groups")
    if spec.environment is not None:
        yield at(any_of("principal.environment", spec.environment, absent), "principal", "environment")
    if spec.workload is not None:
        yield from _workload(spec.workload, absent)
    if spec.session is not None:
        yield from _session(spec.session, absent)
    for path, values in (spec.claims or {}).items():
        typed = tuple((type(value), value) for value in values)
        yield at(claim(pointer(path), typed, widen, absent), "principal", "claims", path)


def at(condition: Condition, *location: str | int) -> Condition:
    """The condition with where it stands; conditions that say the same share their test."""
    return condition._replace(location=location)


def _names(dimension: str, spec: tuple[str, ...] | AllOf | AllOfScopes, absent: bool | None) -> Condition:
    return any_of(dimension, spec, absent) if isinstance(spec, tuple) else all_of(dimension, spec.all, absent)


def _workload(spec: WorkloadSpec, absent: bool | None) -> Iterator[Condition]:
    for name in ("name", "version", "commit", "digest", "workflow"):
        if (patterns := getattr(spec, name)) is not None:
            yield at(text(f"principal.workload.{name}", patterns, absent), "principal", "workload", name)
    if spec.verified is not None:
        yield at(verified(spec.verified, absent), "principal", "workload", "verified")


def _session(spec: SessionSpec, absent: bool | None) -> Iterator[Condition]:
    if spec.scopes is not None:
        yield at(_names("principal.session.scopes", spec.scopes, absent), "principal", "session", "scopes")
    if spec.max_age is not None:
        yield at(max_age(spec.max_age, absent), "principal", "session", "max_age")
