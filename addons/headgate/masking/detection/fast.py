"""The fast way: leaves are passed over together, and only where a match may be, Presidio's patterns are tried.

Each pattern has a gate, which every leaf in which it matches passes (`gates`); it is looked for in all leaves at once.
For a leaf that passes, the pattern itself decides, on the leaf alone, with Presidio's validators, context and scores
(`confirm`). So the findings are those of the reference, whatever a gate lets through.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from headgate.masking.detection.budget import Budget
from headgate.masking.detection.confirm import Confirmer, Find, Found, confirmer, merged
from headgate.masking.detection.foreign import encoded
from headgate.masking.detection.gates import Gate, compiled, passed
from headgate.masking.detection.presidio import chosen, recognizers
from headgate.masking.detection.reference import FAILURES
from headgate.masking.plan import CannotMask, Leaf, Span

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

UNLIMITED = 1 << 62

GATE_SHARE = 32
"""Characters that a gate is run over for one unit of work."""

SEARCH_UNITS, SEARCH_SHARE = 32, 4
"""What a pattern costs on any leaf, and the characters it is run over for one more unit."""


class _Group(NamedTuple):
    """Leaves that are looked at together, joined by line ends; `leaves` are their places in the document."""

    data: bytes
    starts: Sequence[int]
    leaves: Sequence[int]
    is_ascii: bool


class _Search(NamedTuple):
    confirmer: int
    find: Find


class Fast:
    """Finds what `Reference` finds that is given the same."""

    def __init__(
        self,
        entities: Iterable[str],
        custom: Sequence["EntityRecognizer"] = (),
        internal_domains: tuple[str, ...] = (),
    ) -> None:
        own = chosen(entities, internal_domains)
        self._confirmers = [_known(each) if each in recognizers() else confirmer(each) for each in own]
        self._confirmers += [confirmer(each, trusted=False) for each in custom]
        self._searches: list[_Search] = []
        self._gated: dict[Gate, list[int]] = {}
        self._ungated: list[int] = []
        for at, each in enumerate(self._confirmers):
            for gate, find in each.searches:
                place = self._ungated if gate is None else self._gated.setdefault(gate, [])
                place.append(len(self._searches))
                self._searches.append(_Search(at, find))

    def __call__(self, leaves: Sequence[Leaf], budget: Budget | None = None) -> list[list[Span]]:
        spans: list[list[Span]] = [[] for _ in leaves]
        budget = budget or Budget(UNLIMITED)
        for at, searches in self.suspects(leaves, budget).items():
            spans[at] = self.confirm(leaves[at], searches, budget)
        return spans

    def suspects(self, leaves: Sequence[Leaf], budget: Budget) -> Mapping[int, list[int]]:
        """For the places of leaves in which something may be found, the numbers of the searches that may find it."""
        found: dict[int, list[int]] = {}
        if self._ungated:
            found = {at: list(self._ungated) for at, leaf in enumerate(leaves) if leaf.text}
        for group in _groups(leaves):
            budget.spend(len(group.data) * len(self._gated) // GATE_SHARE)
            for gate, searches in self._gated.items():
                pattern = compiled(gate.ascii if group.is_ascii else gate.foreign)
                for at in passed(pattern, group.data, group.starts):
                    found.setdefault(group.leaves[at], []).extend(searches)
        return found

    def confirm(self, leaf: Leaf, searches: Sequence[int], budget: Budget) -> list[Span]:
        """What these searches find in a leaf; CannotMask when a recognizer fails on it."""
        budget.spend(len(searches) * (SEARCH_UNITS + len(leaf.text) // SEARCH_SHARE))
        by_confirmer: dict[int, list[Found]] = {}
        try:
            for number in searches:
                at, find = self._searches[number]
                if found := list(find(leaf.text, budget.spend)):
                    by_confirmer.setdefault(at, []).extend(found)
        except FAILURES:
            raise CannotMask("detection-failed") from None
        return self._spans(by_confirmer, leaf.key) if by_confirmer else []

    def _spans(self, by_confirmer: Mapping[int, list[Found]], key: str) -> list[Span]:
        by_entity: dict[str, list[Found]] = {}
        for at, found in by_confirmer.items():
            confirming = self._confirmers[at]
            results = confirming.results(found, key)
            by_entity[confirming.entity] = [*by_entity.get(confirming.entity, ()), *results]
        return sorted(Span(entity, *each) for entity, found in by_entity.items() for each in merged(found))


def _groups(leaves: Sequence[Leaf]) -> list[_Group]:
    texts = [leaf.text for leaf in leaves]
    joined = "\n".join(texts)
    if joined.isascii():
        return [_group(texts, range(len(texts)), joined)] if joined else []
    sides = {side: [at for at, text in enumerate(texts) if text and text.isascii() is side] for side in (True, False)}
    parts = [(places, [texts[at] for at in places]) for places in sides.values() if places]
    return [_group(part, places, "\n".join(part)) for places, part in parts]


def _group(texts: Sequence[str], places: Sequence[int], joined: str) -> _Group:
    is_ascii = joined.isascii()
    data = joined.encode("ascii") if is_ascii else encoded(joined)
    return _Group(data, list(accumulate((len(text) + 1 for text in texts), initial=0)), places, is_ascii)


@lru_cache(maxsize=256)
def _known(recognizer: "EntityRecognizer") -> Confirmer:
    return confirmer(recognizer)
