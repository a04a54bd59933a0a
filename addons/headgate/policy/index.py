"""Find the rules that can match a request without asking all of them.

A tree: each branch looks at one dimension (a path segment, the caller's id, a group, the target, ...) and keeps the
rules that demand an exact value there under that value, all others beside. At each branch that dimension is taken
which leaves the fewest rules to ask, so it does not matter whether a bundle tells its rules apart by path, by group
or by host. The index only leaves out rules whose match is certainly false; what is left is asked. Where it cannot be
told which values a request has in a dimension, all branches are followed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headgate.match import Dimension, Facts, Matcher, Value

LEAF = 4
"""So few rules are asked faster than told apart."""
GAIN = 0.9
"""A branch must leave at most this share of the rules to ask."""
COPIES = 8.0
"""How often a rule that lists several values may stand in the tree, on average, at any branch."""
SEGMENTS = 16
"""Path segments beyond this are not looked at, which bounds the depth of the tree."""

Leaf = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    dimension: Dimension
    children: "Mapping[Value, Branch | Leaf]"
    rest: "Branch | Leaf"


class Index:
    """Built once over compiled matches; `candidates` gives positions in that sequence, each once, in any order."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self._root = _grow(tuple(range(len(matchers))), [matcher.fixed for matcher in matchers], frozenset(), 1.0)

    def candidates(self, facts: Facts) -> set[int]:
        found: set[int] = set()
        pending: list[Branch | Leaf] = [self._root]
        while pending:
            node = pending.pop()
            if isinstance(node, tuple):
                found.update(node)
                continue
            children = node.children
            keys = facts.keys(node.dimension)
            pending += children.values() if keys is None else [children[key] for key in keys if key in children]
            if node.rest:
                pending.append(node.rest)
        return found


Fixed = Sequence[Mapping[Dimension, frozenset[Value]]]


def _grow(rules: Leaf, fixed: Fixed, used: frozenset[Dimension], copies: float) -> Branch | Leaf:
    if len(rules) <= LEAF or (split := _best_split(rules, fixed, used, copies)) is None:
        return rules
    used |= {split.dimension}
    children = {key: _grow(tuple(bucket), fixed, used, copies * split.copies) for key, bucket in split.buckets.items()}
    return Branch(split.dimension, children, _grow(split.rest, fixed, used, copies))


class _Split(NamedTuple):
    dimension: Dimension
    buckets: Mapping[Value, list[int]]
    rest: Leaf
    copies: float  # how often a rule stands in the buckets, on average
    asked: float  # how many rules are left to ask, on average


def _best_split(rules: Leaf, fixed: Fixed, used: frozenset[Dimension], copies: float) -> _Split | None:
    buckets: dict[Dimension, dict[Value, list[int]]] = defaultdict(lambda: defaultdict(list))
    for rule in rules:
        for dimension, values in fixed[rule].items():
            if dimension not in used and not (isinstance(dimension, int) and dimension >= SEGMENTS):
                for value in values:
                    buckets[dimension][value].append(rule)
    splits = (_split(dimension, by_value, rules) for dimension, by_value in buckets.items())
    fit = [split for split in splits if split.asked <= GAIN * len(rules) and copies * split.copies <= COPIES]
    return min(fit, key=lambda split: (split.asked, str(split.dimension)), default=None)


def _split(dimension: Dimension, buckets: Mapping[Value, list[int]], rules: Leaf) -> _Split:
    sizes = [len(bucket) for bucket in buckets.values()]
    placed = {rule for bucket in buckets.values() for rule in bucket}
    rest = tuple(rule for rule in rules if rule not in placed)
    asked = len(rest) + sum(size * size for size in sizes) / sum(sizes)
    return _Split(dimension, buckets, rest, sum(sizes) / len(placed), asked)
