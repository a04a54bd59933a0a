"""Asking the detector about the values of documents in portions: one call for many values, but never for all of them.

Values of a document and of those embedded in it, and of all records of a sequence, go into the same portions.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headgate.masking.operators import Cut, cuts
from headgate.masking.plan import CannotMask, Detect, Leaf, Plan, Span

PORTION = 4096
"""Values that the detector is asked about at once: it bounds memory."""


class Hit(NamedTuple):
    """What is masked of one value. `place` says which one to whoever asked. Kept small, for there may be very many."""

    place: int
    text: str
    spans: tuple[Span, ...]

    def cuts(self, plan: Plan) -> list[Cut]:
        """What to mask; for the one finding that most values have, without comparing it with others."""
        first = self.spans[0]
        operator = plan.operator(first) if len(self.spans) == 1 else None
        return [Cut(first.start, first.end, first.entity, operator)] if operator else cuts(self.spans, plan)


class Asker(Protocol):
    def found(self, hit: Hit) -> None: ...


class Search:
    """`leaves` and `places` grow in step, by the asker whose turn it is."""

    def __init__(self, plan: Plan, detect: Detect) -> None:
        self._plan, self._detect = plan, detect
        self.leaves: list[Leaf] = []
        self.places: list[int] = []
        self._turns: list[tuple[int, Asker]] = []

    def turn(self, asker: Asker) -> None:
        """All values from now on are of this asker."""
        if self._turns and self._turns[-1][0] == len(self.leaves):
            self._turns.pop()
        self._turns.append((len(self.leaves), asker))

    def add(self, leaf: Leaf, place: int) -> None:
        self.leaves.append(leaf)
        self.places.append(place)
        if len(self.leaves) >= PORTION:
            self.flush()

    def flush(self) -> None:
        """Tell every asker what was found in its values."""
        if not self.leaves:
            return
        found = self._detect(self.leaves)
        if len(found) != len(self.leaves):
            raise CannotMask("detection-failed")
        turns = iter([*self._turns, (len(found), self._turns[-1][1])])
        asker, following = next(turns)[1], next(turns)
        for at, spans in enumerate(found):
            if spans:
                while at >= following[0]:
                    asker, following = following[1], next(turns)
                self._tell(asker, at, spans)
        self._turns = [(0, self._turns[-1][1])]
        self.leaves.clear()
        self.places.clear()

    def _tell(self, asker: Asker, at: int, spans: Sequence[Span]) -> None:
        wanted = tuple(span for span in spans if self._plan.operator(span))
        if wanted:
            asker.found(Hit(self.places[at], self.leaves[at].text, wanted))
