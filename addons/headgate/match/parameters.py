"""The parameters of a query or a form, as far as every reader takes them the same way.

Read as application/x-www-form-urlencoded (URL Standard, section 5.1), names and values decoded once. What readers are
known to disagree on is unclear: bad escapes, broken UTF-8, `;` (some part pairs at it), and a name that stands there in
another spelling, or of which only parts do (`order[amount]`, `order.amount`). Where a doubt cannot be pinned on a name,
all of them are unclear.
"""

import re
from collections.abc import Iterator
from itertools import repeat
from urllib.parse import unquote_to_bytes

from headgate.match.aliases import Name, parameter_keys
from headgate.match.found import Found

MAX_PARAMETERS = 1000
MAX_NAME = 256
MAX_PARTS = 16

_ODD = re.compile(r"[^!-~]|#")  # what no honest client sends plain
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Parameters:
    """Values by name; `unclear` says why nothing can be told of any."""

    __slots__ = ("_doubtful", "_inner", "_parents", "_spelled", "_values", "unclear")

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        self._spelled: dict[str, str] = {}  # by key, as it stands there
        self._doubtful: set[str] = set()  # keys
        self._parents: set[str] = set()  # keys of names of which parts are given by themselves
        self._inner: set[str] = set()  # the parts of such names
        self.unclear = self._read(text)
        if self.unclear:
            self._values.clear()

    def find(self, name: Name) -> Found:
        """All values under a name, in order."""
        if self.unclear:
            return Found(unclear=self.unclear)
        if not self._doubtful.isdisjoint(name.parameters):
            return Found(unclear="parameter-ambiguous")
        if any(map(self._spells_otherwise, name.parameters, repeat(name.text))):
            return Found(unclear="parameter-in-another-spelling")
        return Found(tuple(self._values.get(name.text, ())))

    def search(self, name: Name) -> Found:
        """The same at any depth, for readers that make objects of names with parts."""
        if not self.unclear and any(not self._inner.isdisjoint(key.split("[")) for key in name.parameters):
            return Found(unclear="parameter-nested")
        return self.find(name)

    def everything(self) -> Found:
        """The value of every name, once each."""
        if self.unclear or self._doubtful:
            return Found(unclear=self.unclear or "parameter-ambiguous")
        if self._inner:
            return Found(unclear="parameter-nested")
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

    def _spells_otherwise(self, key: str, name: str) -> bool:
        """Whether what has this key is there, but not just by that name."""
        nested = key in self._parents or any(parent in self._spelled for parent in _parents(key))
        return nested or self._spelled.get(key, name) != name

    def _take(self, pair: str) -> str | None:
        spelled, _, value = pair.partition("=")
        name, text = _decoded(spelled), _decoded(value)
        if name is None or (keys := self._keys(name)) is None:
            return "parameter-name-unreadable"
        doubtful = [key for key in keys if self._spelled.setdefault(key, name) != name or text is None]
        self._doubtful.update(doubtful)
        if text is not None and not doubtful:
            self._values.setdefault(name, []).append(text)
        return None

    def _doubt(self, pair: str) -> str | None:
        """Every name that somebody could find in a pair with `;`."""
        for piece in (*pair.split(";"), pair):
            name = _decoded(piece.partition("=")[0])
            if name is None or (keys := self._keys(name)) is None:
                return "parameter-name-unreadable"
            self._doubtful.update(keys)
        return None

    def _keys(self, name: str) -> tuple[str, ...] | None:
        """The keys of a name that is there; what its parts say of other names is noted."""
        if len(name) > MAX_NAME or name.count("[") + name.count(".") > MAX_PARTS:
            return None
        keys = parameter_keys(name)
        for key in keys:
            if "[" in key:
                self._parents.update(_parents(key))
                self._inner.update(key.split("["))
        return keys


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
