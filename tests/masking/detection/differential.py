"""Whether the fast way finds what the reference finds, on a corpus of any size.

    python -m tests.masking.detection.differential 200000 [SEED]

runs a larger one than the test does.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import batched
from typing import NamedTuple

from tests.masking.detection.corpus import leaves

from headgate.masking.detection.fast import Fast
from headgate.masking.detection.reference import Reference
from headgate.masking.entities import ENTITIES
from headgate.masking.plan import CannotMask, Detect, Leaf, Span

TOGETHER = 9
"""Entities that are looked for at once: the reference takes time for each."""

DOCUMENT = 97
"""Leaves that are looked at together."""

Result = list[Span] | str
"""Findings, or the reason why there are none."""


class Difference(NamedTuple):
    leaf: Leaf
    fast: Result
    reference: Result


class Pair:
    """The two ways for some entities."""

    def __init__(self, entities: Iterable[str], internal_domains: tuple[str, ...] = ("corp.internal",)) -> None:
        self.entities = sorted(entities)
        self.fast = Fast(self.entities, internal_domains=internal_domains)
        self.reference = Reference(self.entities, internal_domains=internal_domains)

    def differences(self, document: list[Leaf]) -> Iterator[Difference]:
        for leaf, fast, reference in zip(document, found(self.fast, document), self.expected(document), strict=True):
            if fast != reference:
                yield Difference(leaf, fast, reference)

    def expected(self, document: list[Leaf]) -> list[Result]:
        return [one(self.reference, leaf) for leaf in document]


def found(fast: Detect, document: list[Leaf]) -> list[Result]:
    """A leaf on which a recognizer fails withholds the whole document; then each is asked about by itself."""
    try:
        return [list(spans) for spans in fast(document)]
    except CannotMask:
        return [one(fast, leaf) for leaf in document]


def one(detect: Detect, leaf: Leaf) -> Result:
    try:
        (spans,) = detect([leaf])
        return list(spans)
    except CannotMask as cannot:
        return cannot.reason


def groups() -> list[list[str]]:
    """All entities, so many at a time; those of one country come apart."""
    names = sorted(ENTITIES)
    count = -(-len(names) // TOGETHER)
    return [names[at::count] for at in range(count)]


def documents(chosen: Sequence[Leaf]) -> Iterator[list[Leaf]]:
    return (list(document) for document in batched(chosen, DOCUMENT, strict=False))


def corpora(count: int, seed: int = 1) -> list[tuple[set[str], list[Leaf]]]:
    """Entities that are looked for at once, and the leaves that were made for any of them."""
    made = list(leaves(count, seed))
    return [(names, [leaf for entity, leaf in made if entity in names]) for names in map(set, groups())]


def differences(count: int, seed: int = 1) -> Iterator[Difference]:
    """Over a corpus of so many leaves, each looked at for the entity that it was made for and others."""
    for entities, chosen in corpora(count, seed):
        pair = Pair(entities)
        for document in documents(chosen):
            yield from pair.differences(document)


def main(count: int, seed: int = 1) -> int:
    different = 0
    for difference in differences(count, seed):
        different += 1
        print(difference)  # noqa: T201 - a command
    print(f"{count} leaves, {different} differences")  # noqa: T201 - a command
    return bool(different)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
