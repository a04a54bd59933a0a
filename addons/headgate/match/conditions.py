"""The tests that one attribute of a request or its caller can be put to.

Each gives true, false or None for unknown. `absent` is what it says of an attribute that is not there: false, and
unknown below `not:`. A condition may tell which values it demands exactly: it is then certainly false for a subject
that is known to have none of them, which is all that an index needs to know.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from headgate.match.facts import KEYS, Claim, Dimension, Facts, Value
from headgate.match.pointers import Pointer

Test = Callable[[Facts], bool | None]

MAX_SKEW = 300.0
"""Seconds by which a session may seem to begin in the future; no provider's clock may be off by more."""

shared = lru_cache(maxsize=4096)
"""Rules say the same things over and over: tests that are shared stay in the processor's caches."""


def nothing(_facts: Facts) -> Any:
    return None


class Condition(NamedTuple):
    """A test, what an index may know of it (`values` None: it demands no exact value), and what explains it.

    `key` is the condition's name in the rules and `expected` what stands there; `actual` gives what a request has in
    its place. `location` is the path to it below `match:`. `inner` is what a `not:` negates.
    """

    test: Test
    key: str = ""
    expected: Any = None
    actual: Callable[[Facts], Any] = nothing
    dimension: Dimension | None = None
    values: frozenset[Value] | None = None
    reads_body: bool = False
    location: tuple[str | int, ...] = ()
    inner: Any = None


@shared
def text(dimension: str, patterns: tuple[str, ...], absent: bool | None) -> Condition:
    """The one value is any of these, or fits any glob among them."""
    globs = tuple(_glob(pattern) for pattern in patterns if "*" in pattern)
    if not globs:
        return any_of(dimension, patterns, absent)
    exact, values_of = frozenset(patterns), KEYS[dimension]

    def test(facts: Facts) -> bool | None:
        for value in values_of(facts):
            return value in exact or any(glob(value) for glob in globs)
        return absent

    return Condition(test, dimension, patterns, of(dimension))


@shared
def any_of(dimension: str, names: tuple[str, ...], absent: bool | None) -> Condition:
    wanted, values_of = frozenset(names), KEYS[dimension]

    def test(facts: Facts) -> bool | None:
        values = values_of(facts)
        return not wanted.isdisjoint(values) if values else absent

    return Condition(test, dimension, names, of(dimension), dimension, wanted)


@shared
def all_of(dimension: str, names: tuple[str, ...], absent: bool | None) -> Condition:
    wanted, values_of = frozenset(names), KEYS[dimension]

    def test(facts: Facts) -> bool | None:
        values = values_of(facts)
        return wanted.issubset(values) if values else absent

    return Condition(test, dimension, {"all": names}, of(dimension), dimension, frozenset(names[:1]))


@shared
def verified(wanted: bool, absent: bool | None) -> Condition:
    """`false` means `not: {verified: true}`, so that an absent caller is unknown."""
    missing = absent if wanted else None

    def test(facts: Facts) -> bool | None:
        caller = facts.caller
        return missing if caller is None else caller.workload.verified is wanted

    def actual(facts: Facts) -> bool | None:
        return facts.caller.workload.verified if facts.caller else None

    return Condition(test, "principal.workload.verified", wanted, actual)


@shared
def max_age(seconds: float, absent: bool | None) -> Condition:
    """How long ago the session began; unknown where nothing says when, or says that it has not begun yet."""

    def test(facts: Facts) -> bool | None:
        if facts.caller is None:
            return absent
        issued = facts.caller.session.issued_at
        if issued is None or not issued <= facts.now + MAX_SKEW:
            return None
        return issued >= facts.now - seconds

    def actual(facts: Facts) -> float | None:
        issued = facts.caller.session.issued_at if facts.caller else None
        return None if issued is None else facts.now - issued

    return Condition(test, "principal.session.max_age", seconds, actual)


TypedValues = tuple[tuple[type, Value], ...]
"""Values with their types, for in a cache, too, `True` is 1."""


@shared
def claim(path: Pointer, listed: TypedValues, widen: bool, absent: bool | None) -> Condition:
    """Each value of the claim is listed, or with `widen` any; one of a type that is not listed is unknown."""
    wanted = {of: frozenset(value for kind, value in listed if kind is of) for of, _ in listed}

    def holds(value: object) -> bool | None:
        of_its_type = wanted.get(type(value))
        return None if of_its_type is None else value in of_its_type

    def test(facts: Facts) -> bool | None:
        values = facts.claim(path)
        return _each(holds, values, decides=widen) if values else absent

    first, demanded = next(iter(wanted.items()))  # where all values are of one type, only what is listed of it counts
    values = [value for _, value in listed]
    return Condition(
        test, f"principal.claims {shown(path)}", values, lambda facts: facts.claim(path), Claim(path, first), demanded
    )


def of(dimension: str) -> Callable[[Facts], Any]:
    """What a request has in a dimension, for people to read."""
    values_of = KEYS[dimension]
    return lambda facts: sorted(values_of(facts))


def shown(path: Pointer) -> str:
    """A JSON Pointer as it is written (RFC 6901)."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


def _each(holds: Callable[[object], bool | None], values: Sequence[object], *, decides: bool) -> bool | None:
    """Kleene's `or` where one that is true decides, his `and` where one that is false does."""
    found = {holds(value) for value in values}
    if decides in found:
        return decides
    return None if None in found else not decides


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
