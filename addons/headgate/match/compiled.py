"""A `match:` compiled into tests over what is known of one request.

Each test gives true, false or None for unknown. A matcher also tells which values it demands exactly (`fixed`), by
dimension: a caller or request that has none of them cannot match, whatever the other tests say. That is all an index
needs to know.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from headgate.match.facts import KEYS, READS, Dimension, Facts, Subject
from headgate.match.hosts import host_keys
from headgate.match.paths import PathTemplate
from headgate.match.spec import AllOf, MatchSpec, PrincipalSpec, TargetSpec

Test = Callable[[Facts], bool | None]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One compiled `match:`; all its tests must hold. `fixed` says what it demands exactly."""

    tests: tuple[Test, ...]
    fixed: Mapping[Dimension, frozenset[str]]

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


_shared = lru_cache(maxsize=4096)
"""Rules say the same things over and over: tests that are shared stay in the processor's caches."""


class _Condition(NamedTuple):
    test: Test
    dimension: Dimension | None = None
    values: frozenset[str] | None = None  # None: the test demands no exact value


def _compile(spec: MatchSpec, *, widen: bool, absent: bool | None) -> Matcher:
    conditions: list[_Condition] = []
    if spec.method is not None:
        conditions.append(_method(spec.method, widen))
    if spec.target is not None:
        conditions.extend(_target(spec.target, absent))
    if spec.principal is not None:
        conditions.extend(_principal(spec.principal, absent))
    if spec.host is not None:
        conditions.append(_host(spec.host))
    if spec.path is not None:
        conditions.extend(_path(spec.path, widen))
    if spec.not_ is not None:
        conditions.append(_not(_compile(spec.not_, widen=not widen, absent=None)))
    fixed = {c.dimension: c.values for c in conditions if c.dimension is not None and c.values is not None}
    tests = dict.fromkeys(condition.test for condition in conditions)  # several segments share the test of their path
    return Matcher(tuple(tests), fixed)


def _not(inner: Matcher) -> _Condition:
    def test(facts: Facts) -> bool | None:
        holds = inner.test(facts)
        return None if holds is None else not holds

    return _Condition(test)


@_shared
def _method(methods: tuple[str, ...], widen: bool) -> _Condition:
    wanted, write = frozenset(methods) - {"write"}, "write" in methods

    def test(facts: Facts) -> bool:
        method = facts.method
        return method in wanted or (write and method not in READS) or (widen and method.upper() in wanted)

    return _Condition(test, "method", frozenset(methods))


def _path(texts: tuple[str, ...], widen: bool) -> Iterator[_Condition]:
    """One test for all templates, and what they demand of each segment that is a literal in all of them."""
    templates = tuple(PathTemplate.parse(text) for text in texts)

    def test(facts: Facts) -> bool:
        segments = facts.segments
        if any(template.matches(segments) for template in templates):
            return True
        return widen and len(segments) > 1 and not segments[-1] and any(t.matches(segments[:-1]) for t in templates)

    yield _Condition(test)
    for at in range(min(len(template.head) for template in templates)):
        literals = {template.head[at] for template in templates}
        if None not in literals:
            yield _Condition(test, at, frozenset(literal for literal in literals if literal is not None))


@_shared
def _host(patterns: tuple[str, ...]) -> _Condition:
    wanted = frozenset(patterns)
    return _Condition(lambda facts: not wanted.isdisjoint(host_keys(facts.host)), "host", wanted)


def _target(spec: tuple[str, ...] | TargetSpec, absent: bool | None) -> Iterator[_Condition]:
    if isinstance(spec, tuple):
        yield _any("target", spec, absent)
        return
    if spec.environment is not None:
        yield _any("target.environment", spec.environment, absent)
    if spec.tags is not None:
        yield _any("target.tags", spec.tags, absent)


def _principal(spec: PrincipalSpec, absent: bool | None) -> Iterator[_Condition]:
    for name in ("kind", "id", "email", "provider", "owner"):
        if (patterns := getattr(spec, name)) is not None:
            yield _text(f"principal.{name}", patterns, absent)
    if isinstance(spec.groups, AllOf):
        yield _all("principal.groups", spec.groups.all, absent)
    elif spec.groups is not None:
        yield _any("principal.groups", spec.groups, absent)
    if spec.environment is not None:
        yield _any("principal.environment", spec.environment, absent)


@_shared
def _text(dimension: str, patterns: tuple[str, ...], absent: bool | None) -> _Condition:
    globs = tuple(_glob(pattern) for pattern in patterns if "*" in pattern)
    if not globs:
        return _any(dimension, patterns, absent)
    exact, values_of = frozenset(patterns), KEYS[dimension]

    def test(facts: Facts) -> bool | None:
        for value in values_of(facts):
            return value in exact or any(glob(value) for glob in globs)
        return absent

    return _Condition(test)


@_shared
def _any(dimension: str, names: tuple[str, ...], absent: bool | None) -> _Condition:
    wanted, values_of = frozenset(names), KEYS[dimension]

    def test(facts: Facts) -> bool | None:
        values = values_of(facts)
        return not wanted.isdisjoint(values) if values else absent

    return _Condition(test, dimension, wanted)


@_shared
def _all(dimension: str, names: tuple[str, ...], absent: bool | None) -> _Condition:
    wanted, values_of = frozenset(names), KEYS[dimension]

    def test(facts: Facts) -> bool | None:
        values = values_of(facts)
        return wanted.issubset(values) if values else absent

    return _Condition(test, dimension, frozenset(names[:1]))


def _glob(pattern: str) -> Callable[[str], bool]:
    """`*` stands for any run of characters; the pieces between are searched for once, from left to right."""
    first, *middle, last = pattern.split("*")

    def matches(text: str) -> bool:
        if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches
