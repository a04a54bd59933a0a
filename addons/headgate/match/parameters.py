"""The parameters of a query or a form, as far as every reader takes them the same way.

Read as application/x-www-form-urlencoded (URL Standard, section 5.1), names and values decoded once. What readers are
known to disagree on is unclear: bad escapes, broken UTF-8, `;` (some part pairs at it), and a name that stands there in
another spelling. Where a doubt cannot be pinned on a name, all of them are unclear.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from headgate.match.aliases import Name, parameter_key
from headgate.match.found import Found

MAX_PARAMETERS = 1000
MAX_NAME = 256
MAX_BRACKETS = 16

_ODD = re.compile(r"[^!-~]|#")  # what no honest client sends plain
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Parameters:
    """Values by name; `unclear` says why nothing can be told of any."""

    __slots__ = ("_doubtful", "_parents", "_spelled", "_values", "unclear")

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        self._spelled: dict[str, str] = {}  # by key, as it stands there
        self._doubtful: set[str] = set()  # keys
        self._parents: set[str] = set()  # keys of names of which a part is given in brackets
        self.unclear = self._read(text)
        if self.unclear:
            self._values.clear()

    def find(self, name: Name) -> Found:
        """All values under a name, in order."""
        if self.unclear:
            return Found(unclear=self.unclear)
        key = name.parameter
        if key in self._doubtful:
            return Found(unclear="parameter-ambiguous")
        nested = key in self._parents or any(parent in self._spelled for parent in _parents(key))
        if nested or self._spelled.get(key, name.text) != name.text:
            return Found(unclear="parameter-in-another-spelling")
        return Found(tuple(self._values.get(name.text, ())))

    def everything(self) -> Found:
        """The value of every name, once each."""
        if self.unclear or self._doubtful:
            return Found(unclear=self.unclear or "parameter-ambiguous")
        if any(len(values) > 1 for values in self._values.values()):
            return Found(unclear="parameter-repeated")
        return Found(tuple(value for values in self._values.values() for value in values))

    def _read(self, text: str) -> str | None:
        if _ODD.search(text):
            return "parameters-hold-odd-characters"
        if text.count("&") + text.count(";") >= MAX_PARAMETERS:
            return "too-many-parameters"
        for pair in text.split("&"):
            for piece in pair.split(";"):
                if piece and (unclear := self._take(piece)):
                    return unclear
            if ";" in pair and (unclear := self._doubt(pair)):
                return unclear
        return None

    def _take(self, pair: str) -> str | None:
        spelled, _, value = pair.partition("=")
        name = _decoded(spelled)
        if name is None or len(name) > MAX_NAME or name.count("[") > MAX_BRACKETS:
            return "parameter-name-unreadable"
        key, text = parameter_key(name), _decoded(value)
        self._parents.update(_parents(key))
        if self._spelled.setdefault(key, name) != name or text is None:
            self._doubtful.add(key)
        else:
            self._values.setdefault(name, []).append(text)
        return None

    def _doubt(self, pair: str) -> str | None:
        """Every name that somebody could find in a pair with `;`."""
        for piece in (*pair.split(";"), pair):
            name = _decoded(piece.partition("=")[0])
            if name is None or len(name) > MAX_NAME:
                return "parameter-name-unreadable"
            self._doubtful.add(parameter_key(name))
        return None


def _decoded(text: str) -> str | None:
    if "%" not in text:
        return text.replace("+", " ")
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        return None


def _parents(key: str) -> Iterator[str]:
    """`a` and `a[b` of `a[b[c`."""
    at = key.find("[")
    while at > 0:
        yield key[:at]
        at = key.find("[", at + 1)
