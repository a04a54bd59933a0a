"""Whether one value of a condition covers another: whatever has the second, has what the first asks for as well.

Said only where it is sure, by the meaning of the language and whatever requests come.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from headgate.match import PathTemplate
from headgate.match.facts import READS

Covers = Callable[[Any, Any], bool]
"""Whether the first value covers the second."""

GLOBS = frozenset(("kind", "id", "email", "provider", "owner"))
"""Attributes of a caller of which there is one value, and which rules may write with `*`."""

WORKLOAD_GLOBS = frozenset(("name", "version", "commit", "digest", "workflow"))

Key = tuple[str, ...]
"""A path into a match, such as ("principal", "groups")."""


def covering(key: Key) -> Covers:
    """How values under a key compare."""
    if len(key) == 1 and key[0] in _BY_KEY:
        return _BY_KEY[key[0]]
    if key[:1] == ("principal",) and (key[1:] in _ONE or key[1:] in _WORKLOAD):
        return covers_text
    return same


def adds_nothing(key: Key, values: Sequence[Any], at: int) -> bool:
    """Whether the value at a place of a list is covered by another one; of two equal ones, the second is."""
    covers = covering(key)
    others = (other for place, other in enumerate(values) if place != at and not _is_earlier(values, at, place, covers))
    return any(covers(other, values[at]) for other in others)


def _is_earlier(values: Sequence[Any], at: int, place: int, covers: Covers) -> bool:
    """Whether the two mean the same and the one in question stands first, so that it is the other that adds nothing."""
    return at < place and covers(values[at], values[place])


def same(wide: Any, narrow: Any) -> bool:
    """To the language `1`, `true` and "1" are three values."""
    return type(wide) is type(narrow) and bool(wide == narrow)


def covers_method(wide: Any, narrow: Any) -> bool:
    return bool(wide == narrow or (wide == "write" and narrow not in READS))


def covers_host(wide: Any, narrow: Any) -> bool:
    return bool(wide == narrow or (wide.startswith("*.") and narrow.endswith(wide[1:])))


def covers_network(wide: Any, narrow: Any) -> bool:
    broad, close = ip_network(wide), ip_network(narrow)
    return broad.version == close.version and close.subnet_of(broad)  # type: ignore[arg-type]  # the same version


def covers_text(wide: Any, narrow: Any) -> bool:
    """A `*` in the narrow one stands for any text, so nothing but a `*` of the wide one may answer for it."""
    if "*" not in wide:
        return bool(wide == narrow)
    first, *middle, last = wide.split("*")
    if len(narrow) < len(first) + len(last) or not (narrow.startswith(first) and narrow.endswith(last)):
        return False
    at, end = len(first), len(narrow) - len(last)
    for piece in middle:
        found = narrow.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def covers_path(wide: Any, narrow: Any) -> bool:
    broad, close = PathTemplate.parse(wide), PathTemplate.parse(narrow)
    if not broad.rest:
        return not close.rest and len(broad.head) == len(close.head) and _pieces(broad.head, close.head)
    head, tail = (close.head, close.tail) if close.rest else (close.head, close.head[len(broad.head) :])
    if len(head) < len(broad.head) or len(tail) < len(broad.tail):
        return False
    return _pieces(broad.head, head) and _pieces(broad.tail, tail[len(tail) - len(broad.tail) :])


def _pieces(wide: Sequence[str | None], narrow: Sequence[str | None]) -> bool:
    """A variable stands for any segment that is not empty; as far as there are pieces of the wide one."""
    pairs = zip(wide, narrow, strict=False)
    return all(one == other or (one is None and other != "") for one, other in pairs)


_BY_KEY: Mapping[str, Covers] = {
    "method": covers_method,
    "host": covers_host,
    "path": covers_path,
    "source": covers_network,
}
_ONE = frozenset((name,) for name in GLOBS)
_WORKLOAD = frozenset(("workload", name) for name in WORKLOAD_GLOBS)
