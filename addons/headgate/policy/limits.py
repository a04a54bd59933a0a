"""How often callers may do something: the schema of a limit, and which buckets one request would take from.

A limit keeps a bucket for each key: for each caller, target, path variable or what its `key` names. What is absent has
one bucket for all, so that nobody is without a limit for not having said something, and a limit of which it is unknown
whether it applies does apply. Names that only a provider gives meaning to stand together with that provider.

What is in the buckets: buckets.py.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, WithJsonSchema

from headgate.errors import InvalidRules
from headgate.match import Facts, Matcher, MatchSpec, Section, When, compile_match, listed
from headgate.policy.index import Index
from headgate.policy.names import Identifier

MOST = 1_000_000
"""The highest count of a rate, and the largest burst."""

UNITS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = rf"([1-9][0-9]{{0,6}})/({'|'.join(UNITS)})"

KeyValue = str | tuple[str, str] | None
Key = tuple[KeyValue, ...]
"""Which bucket of a limit; None stands for what is absent."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `100/minute`; ValueError says what is accepted."""
        found = re.fullmatch(_RATE, text)
        if found is None or int(found[1]) > MOST:
            units = ", ".join(f"`{unit}`" for unit in UNITS)
            accepted = f"a whole number from 1 to {MOST:,} and a unit such as `100/minute`; units are {units}"
            raise ValueError(f"`{text[:80]}` is not a rate; accepted: {accepted}")
        return cls(int(found[1]), UNITS[found[2]])


def _rate(text: str) -> str:
    Rate.parse(text)
    return text


def _of_caller(name: str) -> Callable[[Facts], KeyValue]:
    read = attrgetter(name)

    def value(facts: Facts) -> KeyValue:
        found: str | None = read(facts.caller) if facts.caller else None
        return found or None

    return value


def _of_provider(name: str) -> Callable[[Facts], KeyValue]:
    read = attrgetter(name)

    def value(facts: Facts) -> KeyValue:
        found: str | None = read(facts.caller) if facts.caller else None
        return (facts.caller.provider, found) if facts.caller and found else None

    return value


_FACTS: Mapping[str, Callable[[Facts], KeyValue]] = {
    "principal.id": _of_provider("id"),
    "principal.provider": _of_caller("provider"),
    "principal.email": _of_caller("email"),
    "principal.owner": _of_provider("owner"),
    "principal.kind": lambda facts: facts.principal.kind.value if facts.principal else None,
    "principal.person": _of_caller("person"),
    "principal.workload.name": _of_caller("workload.name"),
    "principal.session.id": _of_provider("session.id"),
    "target": lambda facts: facts.target.name if facts.target else None,
    "source": lambda facts: facts.request.source or None,
    "request.host": lambda facts: facts.host or None,
    "request.method": lambda facts: facts.method.upper() or None,
}
_PARAM = "path_params."
_KEY = rf"{'|'.join(map(re.escape, _FACTS))}|path_params\.[a-z][a-z0-9_]*"


def _key(text: str) -> str:
    if not re.fullmatch(_KEY, text):
        accepted = ", ".join(f"`{name}`" for name in (*_FACTS, f"{_PARAM}NAME"))
        raise ValueError(f"`{text[:80]}` is nothing that callers are told apart by; accepted: {accepted}")
    return text


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name is there twice; accepted: each name once")
    return names


RateText = Annotated[str, AfterValidator(_rate), WithJsonSchema({"type": "string", "pattern": f"^{_RATE}$"})]
KeyText = Annotated[str, AfterValidator(_key), WithJsonSchema({"type": "string", "pattern": f"^({_KEY})$"})]
Keys = Annotated[
    tuple[KeyText, ...],
    BeforeValidator(listed, json_schema_input_type=KeyText | list[KeyText]),
    AfterValidator(_each_once),
    Field(min_length=1),
]


class LimitSpec(Section):
    """So many requests at once (`burst`) and so many in the long run (`rate`), for each `key`."""

    id: Identifier
    match: MatchSpec
    when: When | None = None
    key: Keys = ("principal.id",)
    rate: RateText
    burst: Annotated[StrictInt, Field(ge=1, le=MOST)] | None = None
    mode: Literal["enforce", "shadow"] = "enforce"
    message: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class LimitOrigin(NamedTuple):
    """A limit and where it stands."""

    limit: LimitSpec
    file: str
    line: int


class Scope(NamedTuple):
    """What buckets belong to: while these stay the same, a reload of the rules does not refill them."""

    id: str
    requests: int
    seconds: int
    burst: int


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """A compiled limit; one that is not enforced only says what it would do."""

    id: str
    file: str
    line: int
    matcher: Matcher
    key: Callable[[Facts], Key]
    rate: Rate
    burst: int
    enforced: bool = True
    message: str | None = None
    scope: Scope = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", Scope(self.id, self.rate.count, self.rate.seconds, self.burst))


Due = tuple[Limit, Key]
"""One bucket that a request takes from."""


def due(limits: Sequence[Limit], index: Index, facts: Facts) -> list[Due]:
    """What a request takes from, each limit at most once; `index` is over the matchers of `limits`."""
    applying = (limits[at] for at in sorted(index.candidates(facts)))
    return [(limit, limit.key(facts)) for limit in applying if limit.matcher.test(facts) is not False]


def compile_limits(origins: Sequence[LimitOrigin], targets: frozenset[str]) -> tuple[Limit, ...]:
    """Limits of all files together; `targets` are the names they may use (`Targets.known_names`).

    The location of a problem begins with `limits` and the limit's position in `origins`.
    """
    problems: list[tuple[tuple[str | int, ...], str]] = []
    places: dict[str, LimitOrigin] = {}
    for at, origin in enumerate(origins):
        if (first := places.setdefault(origin.limit.id, origin)) is not origin:
            where = f"{first.file}:{first.line}"
            message = f"`{origin.limit.id}` is also the id of the limit at {where}; accepted: a new one"
            problems.append((("limits", at, "id"), message))
        problems += [(("limits", at, *where), message) for where, message in _unknown_names(origin.limit, targets)]
    if problems:
        raise InvalidRules(problems)
    return tuple(_compile(origin) for origin in origins)


def _unknown_names(spec: LimitSpec, targets: frozenset[str]) -> list[tuple[tuple[str | int, ...], str]]:
    """Every name that refers to nothing."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    found += [(("match", *where), what) for where, what in spec.match.unknown_targets(targets)]
    found += [(("when",), what) for _, what in spec.match.lacking_params(spec.when)]
    params = spec.match.path_params()
    for place, name in enumerate(spec.key):
        if name.startswith(_PARAM) and name.removeprefix(_PARAM) not in params:
            accepted = ", ".join(f"`{_PARAM}{param}`" for param in sorted(params)) or "none, for there are none"
            message = f"`{name[:80]}` is not a variable of every path of this limit; accepted: {accepted}"
            found.append((("key", place), message))
    return found


def _compile(origin: LimitOrigin) -> Limit:
    spec = origin.limit
    rate = Rate.parse(spec.rate)
    matcher = compile_match(spec.match, widen=True, when=spec.when)
    return Limit(
        spec.id,
        origin.file,
        origin.line,
        matcher,
        _key_of(spec.key, matcher),
        rate,
        spec.burst or rate.count,
        spec.mode == "enforce",
        spec.message,
    )


def _key_of(names: tuple[str, ...], matcher: Matcher) -> Callable[[Facts], Key]:
    readers = tuple(_reader(name, matcher) for name in names)
    return lambda facts: tuple(read(facts) for read in readers)


def _reader(name: str, matcher: Matcher) -> Callable[[Facts], KeyValue]:
    if not name.startswith(_PARAM):
        return _FACTS[name]
    param = name.removeprefix(_PARAM)
    return lambda facts: matcher.path_params(facts).get(param) or None
