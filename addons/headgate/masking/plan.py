"""What is due for one exchange, as plain values that a worker process can be told.

Several masks may be due at once; a `Plan` is what they ask for together. It says nothing of who asked, so that two
exchanges with the same plan are masked alike.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

from headgate.errors import HeadgateError

Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields as they arrived: (name, value)."""


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
    LAST4 = "last4"

    @property
    def rank(self) -> int:
        """Where masks overlap, the lowest rank wins."""
        return RANK[self]


RANK = {operator: rank for rank, operator in enumerate(Operator)}


class Wanted(NamedTuple):
    """Findings of `entity` with at least `min_score` are masked with `operator`."""

    entity: str
    min_score: float
    operator: Operator


class Leaf(NamedTuple):
    """A value in which to detect; `key` is the name it stands under, empty when it has none."""

    text: str
    key: str


class Span(NamedTuple):
    """What was detected in a leaf; `start` and `end` count characters."""

    entity: str
    start: int
    end: int
    score: float


Detect = Callable[[Sequence[Leaf]], Sequence[Sequence[Span]]]
"""For each leaf, the spans that were found in it. Raises CannotMask when a leaf cannot be read."""


def detect_nothing(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
    """The detector for plans that detect nothing."""
    return [()] * len(leaves)


@dataclass(frozen=True)
class Plan:
    """Fields by JSONPath, header name (lower case) and query name; entities to detect; types that may pass unread."""

    paths: tuple[tuple[str, Operator], ...] = ()
    headers: tuple[tuple[str, Operator], ...] = ()
    query: tuple[tuple[str, Operator], ...] = ()
    detect: tuple[Wanted, ...] = ()
    pass_types: frozenset[str] = frozenset()

    @cached_property
    def reads_body(self) -> bool:
        return bool(self.paths or self.detect)

    @cached_property
    def linear(self) -> bool:
        """Whether the work is certain to grow with the body's size only: no detection, no filters, one descent."""
        steps = [path for path, _ in self.paths]
        return not self.detect and all("?" not in p and "," not in p and p.count("..") < 2 for p in steps)

    @cached_property
    def entities(self) -> tuple[str, ...]:
        return tuple(sorted({wanted.entity for wanted in self.detect}))

    @cached_property
    def lowest_score(self) -> float:
        return min((wanted.min_score for wanted in self.detect), default=1.0)

    def operator(self, entity: str, score: float) -> Operator | None:
        """How a finding is masked: the strongest operator of those that want it."""
        wanted = (w.operator for w in self.detect if w.entity == entity and score >= w.min_score)
        return strongest(wanted)

    @cached_property
    def json(self) -> str:
        """This plan as text; equal plans give equal texts."""
        return json.dumps([self.paths, self.headers, self.query, self.detect, sorted(self.pass_types)])

    @classmethod
    def from_json(cls, text: str) -> Self:
        paths, headers, query, detect, pass_types = json.loads(text)
        wanted = tuple(Wanted(entity, score, Operator(name)) for entity, score, name in detect)
        return cls(_pairs(paths), _pairs(headers), _pairs(query), wanted, frozenset(pass_types))


def _pairs(given: Any) -> tuple[tuple[str, Operator], ...]:
    return tuple((name, Operator(operator)) for name, operator in given)


def strongest(operators: Iterable[Operator]) -> Operator | None:
    return min(operators, key=RANK.__getitem__, default=None)


@lru_cache(maxsize=1024)
def merge(plans: tuple[Plan, ...]) -> Plan:
    """What several plans ask for together; a type passes unread only where all that read bodies let it."""
    if len(plans) == 1:
        return plans[0]
    reading = [plan.pass_types for plan in plans if plan.reads_body]
    return Plan(
        paths=tuple(dict.fromkeys(path for plan in plans for path in plan.paths)),
        headers=tuple(dict.fromkeys(header for plan in plans for header in plan.headers)),
        query=tuple(dict.fromkeys(name for plan in plans for name in plan.query)),
        detect=tuple(dict.fromkeys(wanted for plan in plans for wanted in plan.detect)),
        pass_types=frozenset.intersection(*reading) if reading else frozenset(),
    )
