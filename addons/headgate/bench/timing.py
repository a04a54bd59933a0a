"""Medians and spreads, and things timed in turns."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple, Self


class Sample(NamedTuple):
    """The median of several measurements, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], references: Sequence[float]) -> Sample:
    """Each value over the reference taken next to it."""
    return Sample.of([value / reference for value, reference in zip(values, references, strict=True)])


def in_turns(works: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Microseconds a unit for each work, which does a batch and says how many units that were; every other round
    runs in reverse order, so that nobody always comes after the same one."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # what is done once only is not counted
    for at in range(rounds):
        for name in list(works) if at % 2 == 0 else reversed(list(works)):
            start = perf_counter()
            units = works[name]()
            taken[name].append((perf_counter() - start) / units * 1e6)
    return taken
