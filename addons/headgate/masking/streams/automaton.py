"""Where in a text a match of any of many patterns could still be under way, told without looking ahead.

The patterns become one automaton of positions (Glushkov's construction; see `reading`); its states are made as they are
met. It sees more than the patterns match, never less. So where no position is active, no match can go on, whatever
comes, and where none was reached that a match may end with, there is none.
"""

from collections.abc import Iterable
from functools import lru_cache, reduce
from operator import or_
from string import ascii_letters, digits
from typing import Any

from headgate.masking.streams.alphabet import Alphabet, Element, reads
from headgate.masking.streams.reading import Reading

STEPS = 50_000
"""Steps remembered before all are forgotten: hostile text costs time, linear in its length, and no memory."""

WORD = frozenset(ascii_letters + digits + "_")


class State(dict[str, "State"]):
    """The state that follows on each character met so far.

    `alive`: a match may be under way; `hit`: one may have ended. `active` are the positions just read, `next` those
    that may be read next, once they are known; `word`: the last character was a letter or digit of ASCII.
    """

    __slots__ = ("active", "alive", "hit", "next", "word")

    def __init__(self, active: int, *, word: bool, hit: bool) -> None:
        super().__init__()
        self.active, self.word, self.alive, self.hit, self.next = active, word, active != 0, hit, -1


class Automaton:
    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises Unreadable when one of the patterns is not one of `re`, or is too large."""
        self._follow: list[int] = []
        self._classes: dict[Element, int] = {}
        self._first = self._last = self._bounded = 0
        self._stops: list[tuple[int, int]] = []
        for pattern in dict.fromkeys(patterns):
            part, bounded = Reading(self._follow, self._classes, self._stops).whole(pattern)
            self._last |= part.last
            if bounded:
                self._bounded |= part.first
            else:
                self._first |= part.first
        self._alphabet = Alphabet(self._classes)
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._accepted = lru_cache(maxsize=1024)(self._accept)
        self._states: dict[tuple[int, bool], State] = {}
        self._steps = 0
        self.start = self._state(0, word=False)

    def step(self, state: State, character: str) -> State:
        """The state after one more character."""
        known = state.get(character)
        if known is not None:
            return known
        if state.next < 0:
            state.next = self._first | self._following(state.active)
        if self._steps >= STEPS:
            self._forget()
        self._steps += 1
        word = character in WORD
        begins = 0 if state.word and word else self._bounded
        active = (state.next | begins) & self._accepted(character)
        for stop, loop in self._stops:
            if active & stop:
                active &= ~loop
        following = state[character] = self._state(active, word=word)
        return following

    def _following(self, active: int) -> int:
        reachable = 0
        while active:
            lowest = active & -active
            reachable |= self._follow[lowest.bit_length() - 1]
            active ^= lowest
        return reachable

    def _state(self, active: int, *, word: bool) -> State:
        known = self._states.get((active, word))
        if known is None:
            known = self._states[active, word] = State(active, word=word, hit=active & self._last != 0)
        return known

    def _forget(self) -> None:
        for state in self._states.values():
            state.clear()
        self._states = {(0, False): self.start}
        self._steps = 0

    def _accept(self, character: str) -> int:
        """The positions that may read the character."""
        kind = self._alphabet.kind(character)
        if kind not in self._kinds:
            accepted = (positions for element, positions in self._classes.items() if reads(element, character))
            self._kinds[kind] = reduce(or_, accepted, 0)
        return self._kinds[kind]
