"""Which groups to name in a rule, so that it lets in those who were seen, and as few others as can be.

A caller who is in several groups was let in somewhere by one of them; which one, nobody has said. The groups that let
in the fewest callers who were not seen there are the best guess, and among those the fewest groups. Where that would
take more than `FEW` of them, the list would say little, and the shortest one is taken.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

Groups = frozenset[str]

FEW = 5
EXACT = 12
"""Groups of which every combination is tried; of more, the best one is taken again and again."""


def cover(seen: Collection[Groups], others: Mapping[Groups, int]) -> tuple[str, ...]:
    """The groups, in order, of which each caller in `seen` has at least one; none of them has no group.

    `others` says how many callers with which groups were not seen there.
    """
    candidates = sorted(frozenset().union(*seen))
    if len(candidates) > EXACT:
        best = _greedy(candidates, seen, others)
        return best if len(best) <= FEW else min(best, _greedy(candidates, seen, {}), key=len)
    found = [chosen for chosen in _combinations(candidates) if _covers(chosen, seen)]
    few = [chosen for chosen in found if len(chosen) <= FEW]
    if few:
        return min(few, key=lambda chosen: (_strangers(chosen, others), len(chosen), chosen))
    return min(found, key=lambda chosen: (len(chosen), _strangers(chosen, others), chosen))


def _combinations(candidates: list[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, len(candidates) + 1):
        yield from combinations(candidates, size)


def _covers(chosen: Collection[str], seen: Collection[Groups]) -> bool:
    return all(not groups.isdisjoint(chosen) for groups in seen)


def _strangers(chosen: Collection[str], others: Mapping[Groups, int]) -> int:
    return sum(count for groups, count in others.items() if not groups.isdisjoint(chosen))


def _greedy(candidates: list[str], seen: Collection[Groups], others: Mapping[Groups, int]) -> tuple[str, ...]:
    """Always the group with the fewest strangers for those it covers, until all are; then without those not needed."""
    chosen: list[str] = []
    left = list(seen)
    strangers = {name: _strangers((name,), others) for name in candidates}
    while left:
        covered = {name: sum(name in groups for groups in left) for name in candidates}
        useful = [name for name in candidates if covered[name]]
        best = min(useful, key=lambda name: (strangers[name], -covered[name], name))
        chosen.append(best)
        left = [groups for groups in left if best not in groups]
    for name in [*chosen]:
        if _covers(without := [one for one in chosen if one != name], seen):
            chosen = without
    return tuple(sorted(chosen))
