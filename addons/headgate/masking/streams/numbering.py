"""Whether `index` tells texts apart, or counts the pieces of one: both are done.

It counts where the second piece of a text that has not ended has the number after that of the first.
"""

from dataclasses import dataclass

from headgate.masking.streams.shape import Name


@dataclass(slots=True)
class _Known:
    index: str
    pieces: int = 1
    counts: bool = False


class Numbering:
    """Of all texts of a stream."""

    def __init__(self) -> None:
        self._known: dict[Name, _Known] = {}

    def name(self, given: Name, *, over: bool) -> Name:
        """What the text is called that a piece belongs to; `over`: the text with the number before has ended."""
        if given.number is None:
            return given
        plain = given.unnumbered()
        known = self._known.setdefault(plain, _Known(given.number, 0))
        if known.index == given.number:
            known.pieces += 1
        else:
            known.counts = known.counts or (known.pieces == 1 and not over and _follows(given.number, known.index))
            known.index, known.pieces = given.number, 1
        return plain if known.counts else given

    def before(self, given: Name) -> Name | None:
        """The name of the text whose piece came last where only the index differs."""
        known = self._known.get(given.unnumbered())
        if known is None or given.number is None:
            return None
        return Name(given.path, given.unnumbered().apart | {("index", known.index)})

    def forget(self) -> None:
        self._known.clear()


def _follows(index: str, other: str) -> bool:
    return index.isdecimal() and other.isdecimal() and int(index[:18]) == int(other[:18]) + 1
