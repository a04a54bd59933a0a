"""Watching a text go by for the places where a segment ends, in each of the ways in which detection reads it.

Detection also looks at a text as it is seen, without the characters that nobody sees, and with its escapes undone. For
the former a second state is kept; after an escape nothing ends for a while, which is longer than any value without
letters.
"""

import re
from typing import NamedTuple

from headgate.masking.disguise import INVISIBLE, PLAIN, UNSEEN
from headgate.masking.streams.automaton import Automaton, State

WHILE = 64
"""Characters after an escape in which no segment ends."""

SPACES = frozenset(" \t\n\r")
SCRIPTS = "\u2e80"
"""From here on are scripts that put no spaces between words."""

_HEX = frozenset("0123456789abcdefABCDEF")
_ESCAPED = frozenset('"/\\bfnrtu@.+-')
_REFERRED = frozenset("#cdhnps")
"""What follows `&` in a reference that detection reads."""

_BEGINS = ("%", "\\", "&")
_ODD = re.compile(rf"[\\%&{UNSEEN}]")
_INVISIBLE = re.compile(f"[{INVISIBLE}]")


class End(NamedTuple):
    """A segment ends before `at`. `plain`: nothing can be in it; `odd`: it has escapes or invisible characters."""

    at: int
    plain: bool
    odd: bool


class Watch:
    """`lines`: what is found without escapes is found within a line."""

    def __init__(self, reach: Automaton, *, lines: bool = False) -> None:
        self._reach, self._lines = reach, lines
        self._seen: State = reach.start
        self._visible: State = reach.start
        self._last, self._wait, self._odd, self._hit = "", 0, False, False

    @property
    def plain(self) -> bool:
        """Whether there can be nothing in what has come since the last segment."""
        return not self._hit and not self._odd

    def ends(self, text: str) -> list[End]:
        """Where segments end in this text, which follows on all before."""
        if self._odd or self._visible is not self._seen or self._last in _BEGINS or _ODD.search(text):
            return self._slowly(text)
        found: list[End] = []
        state, step, hit = self._seen, self._reach.step, self._hit
        for at, character in enumerate(text, 1):
            following = state.get(character)
            state = step(state, character) if following is None else following
            if state.hit:
                hit = True
            elif not state.alive and (character in SPACES or character >= SCRIPTS):
                found.append(End(at, not hit, odd=False))
                hit = False
        self._seen = self._visible = state
        self._last, self._hit = text[-1:] or self._last, hit
        return found

    def _slowly(self, text: str) -> list[End]:
        found: list[End] = []
        for at, character in enumerate(text, 1):
            self._note(character)
            if self._wait or self._seen.alive or self._visible.alive or not _may_end(character):
                continue
            found.append(End(at, self.plain, self._odd))
            self._odd = self._hit = False
        return found

    def _note(self, character: str) -> None:
        seen, visible = self._seen, self._visible
        self._seen = self._reach.step(seen, character)
        if _INVISIBLE.match(character):
            self._odd = True
        else:
            plain = PLAIN.get(character, character)
            same = visible is seen and plain == character
            self._visible = self._seen if same else self._reach.step(visible, plain)
        if _is_escape(self._last, character):
            self._wait, self._odd = WHILE, True
        elif self._wait:
            self._wait = 0 if self._lines and character == "\n" else self._wait - 1
        self._hit = self._hit or self._seen.hit or self._visible.hit
        self._last = character


def _is_escape(last: str, character: str) -> bool:
    """Whether an escape may begin with these two."""
    if last == "&":
        return character in _REFERRED
    return (last == "%" and character in _HEX) or (last == "\\" and character in _ESCAPED)


def _may_end(character: str) -> bool:
    return character in SPACES or (character >= SCRIPTS and not _INVISIBLE.match(character))
