"""Whether a text that is not whole yet could be the beginning of a JSON object or array.

It is read far enough to tell a document from a text that begins with a bracket, as soon as that can be told; whether
it is a document is for a parser to say, once it is whole.
"""

from enum import Enum, auto


class Status(Enum):
    """`WHOLE`: it is an object or array, and nothing but white space has followed."""

    OPEN = auto()
    WHOLE = auto()
    NEVER = auto()


class _At(Enum):
    """What comes next."""

    BEGINNING = auto()
    VALUE = auto()
    FIRST_VALUE = auto()
    NAME = auto()
    FIRST_NAME = auto()
    COLON = auto()
    NEXT = auto()
    END = auto()


_BLANK = frozenset(" \t\r\n")
_CLOSING = {"{": "}", "[": "]"}
_BARE_FIRST = frozenset("-0123456789tfn")
_BARE = frozenset("+-.0123456789Eaeflnrstu")
_VALUES = (_At.VALUE, _At.FIRST_VALUE)
_NAMES = (_At.NAME, _At.FIRST_NAME)


class Prefix:
    def __init__(self) -> None:
        self._at = _At.BEGINNING
        self._open: list[str] = []
        self._string = self._escape = self._bare = self._name = False
        self.status = Status.OPEN

    def feed(self, text: str) -> Status:
        """The status after more of the text."""
        for character in text:
            if self.status is Status.NEVER:
                break
            if not self._within(character) and not self._step(character):
                self.status = Status.NEVER
            elif self._at is _At.END:
                self.status = Status.WHOLE
        return self.status

    def _within(self, character: str) -> bool:
        """Whether the character belongs to a string, a number or a word, or to the space between values."""
        if self._escape:
            self._escape = False
        elif self._string:
            self._escape = character == "\\"
            if character == '"':
                self._string = False
                self._at = _At.COLON if self._name else _At.NEXT
        elif not (self._bare and character in _BARE):
            self._bare = False
            return character in _BLANK
        return True

    def _step(self, character: str) -> bool:
        """Whether a character may stand where something begins or ends."""
        at = self._at
        if character == '"' and (at in _VALUES or at in _NAMES):
            self._string, self._name = True, at in _NAMES
        elif character in _BARE_FIRST and at in _VALUES:
            self._bare, self._at = True, _At.NEXT
        elif character in _CLOSING and (at in _VALUES or at is _At.BEGINNING):
            self._open.append(character)
            self._at = _At.FIRST_NAME if character == "{" else _At.FIRST_VALUE
        elif self._open and character == _CLOSING[self._open[-1]]:
            first = _At.FIRST_NAME if self._open.pop() == "{" else _At.FIRST_VALUE
            self._at = _At.NEXT if self._open else _At.END
            return at in (first, _At.NEXT)
        elif character == ":" and at is _At.COLON:
            self._at = _At.VALUE
        elif character == "," and at is _At.NEXT:
            self._at = _At.NAME if self._open[-1] == "{" else _At.VALUE
        else:
            return False
        return True
