"""What is due for one exchange, as plain values that a worker process can be told.

Several masks may be due at once; a `Plan` is what they ask for together. It says nothing of who asked, so that two
exchanges with the same plan are masked alike.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

from headgate.errors import HeadgateError

Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields as they arrived: (name, value)."""

LANGUAGE_MODEL = frozenset({"LOCATION", "NRP", "ORGANIZATION", "PERSON"})
"""Entities that only a language model finds."""


class CannotMask(HeadgateError):
    """What is due cannot be masked; `reason` is a stable kebab-case string and says nothing of the content."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Operator(StrEnum):
    """What becomes of a masked value, the strongest first."""

    DROP = "drop"
    NULL = "null"
    REDACT = "redact"
    HASH = "hash"
    TOKEN = "token"  # noqa: S105 (an operator's name)
    LAST4 = "last4"

    @property
    def rank(self) -> int:
        """Where masks overlap, the lowest rank wins."""
        return RANK[self]


RANK = {operator: rank for rank, operator in enumerate(Operator)}
KEYED = frozenset({Operator.HASH, Operator.TOKEN})


class Profile(StrEnum):
    """Which findings of an entity count: those plausible in payloads of APIs, or all with a certain score."""

    API = "api"
    STOCK = "stock"


class Wanted(NamedTuple):
    """Findings of `entity` that the profile lets count are masked with `operator`; `min_score` is that of `stock`."""

    entity: str
    operator: Operator
    profile: Profile = Profile.API
    min_score: float = 0.0

    def counts(self, span: "Span") -> bool:
        if span.entity != self.entity:
            return False
        return span.plausible if self.profile is Profile.API else span.score >= self.min_score


class Leaf(NamedTuple):
    """A value in which to detect; `key` is the name it stands under, empty when it has none.

    `number` is true for a number of JSON, which has no quotes around it.
    """

    text: str
    key: str
    number: bool = False


class Span(NamedTuple):
    """What was detected in a leaf; `start` and `end` count characters. `plausible`: the `api` profile lets it count."""

    entity: str
    start: int
    end: int
    score: float
    plausible: bool = True


Detect = Callable[[Sequence[Leaf]], Sequence[Sequence[Span]]]
"""For each leaf, the spans that were found in it. Raises CannotMask when a leaf cannot be read."""

Named = tuple[tuple[str, Operator], ...]

_SIMPLE = re.compile(r"\$\.{1,2}(?:([A-Za-z_][A-Za-z0-9_-]*)|\['([^'\\]+)'\]|\[\"([^\"\\]+)\"\])\Z")


def detect_nothing(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
    """The detector for plans that detect nothing."""
    return [()] * len(leaves)


@dataclass(frozen=True)
class Plan:
    """Fields by where they stand, entities to detect, and how far.

    `paths` are JSONPaths; `encoded` are those of strings that hold base64 of something to mask. `headers` are in lower
    case. Types in `pass_types` may pass unread, or with fields that cannot be looked for in them. `keys`: member names
    are data too. `recognizers` is the custom ones' JSON text, `internal_domains` are mail domains that no public list
    has. `streams` is false where streams are withheld. `key` makes tokens and hashes.
    """

    paths: Named = ()
    encoded: tuple[str, ...] = ()
    headers: Named = ()
    query: Named = ()
    columns: Named = ()
    form: Named = ()
    detect: tuple[Wanted, ...] = ()
    pass_types: frozenset[str] = frozenset()
    keys: bool = False
    recognizers: str = ""
    internal_domains: tuple[str, ...] = ()
    streams: bool = True
    key: bytes = field(default=b"", repr=False)

    @cached_property
    def reads_body(self) -> bool:
        return bool(self.paths or self.encoded or self.columns or self.form or self.detect)

    @cached_property
    def linear(self) -> bool:
        """Whether finding its fields is certain to grow with the body's size only: no filters, one descent."""
        steps = [*(path for path, _ in self.paths), *self.encoded]
        return all("?" not in p and "," not in p and p.count("..") < 2 for p in steps)

    @cached_property
    def entities(self) -> tuple[str, ...]:
        return tuple(sorted({wanted.entity for wanted in self.detect}))

    @cached_property
    def needs_model(self) -> bool:
        return not LANGUAGE_MODEL.isdisjoint(self.entities)

    @cached_property
    def names(self) -> Mapping[str, Operator]:
        """Fields that are asked for by a name alone: columns, form fields and elements of that name are meant, too."""
        named: dict[str, Operator] = {}
        for path, operator in self.paths:
            if found := _SIMPLE.match(path):
                name = found[1] or found[2] or found[3]
                named[name] = min(operator, named.get(name, operator), key=RANK.__getitem__)
        return named

    @cached_property
    def nested(self) -> bool:
        """Whether some fields are asked for by a path that only JSON has."""
        return bool(self.encoded) or any(not _SIMPLE.match(path) for path, _ in self.paths)

    def operator(self, span: Span) -> Operator | None:
        """How a finding is masked: the strongest operator of those that want it."""
        return strongest(wanted.operator for wanted in self.detect if wanted.counts(span))

    @cached_property
    def json(self) -> str:
        """This plan as text, its key included; equal plans give equal texts."""
        return json.dumps({**asdict(self), "pass_types": sorted(self.pass_types), "key": self.key.hex()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        given = json.loads(text)
        for name in ("paths", "headers", "query", "columns", "form"):
            given[name] = tuple((found, Operator(operator)) for found, operator in given[name])
        for name in ("encoded", "internal_domains"):
            given[name] = tuple(given[name])
        given["detect"] = tuple(_wanted(*wanted) for wanted in given["detect"])
        given["pass_types"], given["key"] = frozenset(given["pass_types"]), bytes.fromhex(given["key"])
        return cls(**given)


def _wanted(entity: str, operator: str, profile: str, min_score: float) -> Wanted:
    return Wanted(entity, Operator(operator), Profile(profile), min_score)


def strongest(operators: Iterable[Operator]) -> Operator | None:
    return min(operators, key=RANK.__getitem__, default=None)


@lru_cache(maxsize=1024)
def merge(plans: tuple[Plan, ...], key: bytes = b"") -> Plan:
    """What several plans ask for together, with the key that they mask by.

    A type passes unread only where all that read bodies let it.
    """
    if len(plans) == 1:
        return replace(plans[0], key=key)
    reading = [plan.pass_types for plan in plans if plan.reads_body]

    def joined(name: str) -> Any:
        return tuple(dict.fromkeys(entry for plan in plans for entry in getattr(plan, name)))

    parts = ("paths", "encoded", "headers", "query", "columns", "form", "detect", "internal_domains")
    return Plan(
        **{name: joined(name) for name in parts},
        pass_types=frozenset.intersection(*reading) if reading else frozenset(),
        keys=any(plan.keys for plan in plans),
        recognizers=next((plan.recognizers for plan in plans if plan.recognizers), ""),
        streams=all(plan.streams for plan in plans),
        key=key,
    )
