"""Whether a condition, as it is written, holds for more requests than another one, for fewer, or nobody can say.

Only what is sure is said: that every request for which the one holds is one for which the other holds, by the meaning
of the language alone and whatever requests come. A condition that is added narrows, under `not:` it is the reverse.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_network
from typing import Any, NamedTuple

from headgate.match import duration
from headgate.match.facts import READS
from headgate.match.hosts import host_pattern
from headgate.match.paths import PathTemplate

Key = tuple[str, ...]
"""A path into a match, such as ("principal", "groups")."""


class Relation(StrEnum):
    SAME = "same"
    WIDENED = "widened"
    NARROWED = "narrowed"
    CHANGED = "changed"


class Missing:
    """Stands for a key that is not there."""


MISSING = Missing()


class Difference(NamedTuple):
    """One condition that differs; `before` or `after` may be MISSING."""

    key: Key
    relation: Relation
    before: Any
    after: Any


NESTED = frozenset(
    (
        ("principal",),
        ("principal", "workload"),
        ("principal", "session"),
        ("principal", "claims"),
        ("target",),
        ("query",),
        ("headers",),
        ("body",),
    )
)
"""Keys whose mapping holds conditions that must all hold."""

GLOBS = frozenset(("id", "email", "provider", "owner"))
REVERSED = {
    Relation.WIDENED: Relation.NARROWED,
    Relation.NARROWED: Relation.WIDENED,
    Relation.SAME: Relation.SAME,
    Relation.CHANGED: Relation.CHANGED,
}


def differences(before: Mapping[str, Any], after: Mapping[str, Any], at: Key = ()) -> Iterator[Difference]:
    """Every condition in which two matches differ, with what that does to the whole match."""
    for name in dict.fromkeys((*before, *after)):
        old, new, key = before.get(name, MISSING), after.get(name, MISSING), (*at, name)
        if name == "not" and isinstance(old, dict) and isinstance(new, dict):
            for found in differences(old, new, ()):
                yield found._replace(key=(*key, *found.key), relation=REVERSED[found.relation])
        elif key in NESTED and isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, key)
        elif (relation := relate(key, old, new)) is not Relation.SAME:
            yield Difference(key, relation, old, new)


def relate(key: Key, before: Any, after: Any) -> Relation:
    """What became of one condition."""
    if isinstance(before, Missing):
        return Relation.SAME if isinstance(after, Missing) else Relation.NARROWED
    if isinstance(after, Missing):
        return Relation.WIDENED
    wider, narrower = _implies(key, before, after), _implies(key, after, before)
    if wider and narrower:
        return Relation.SAME
    return Relation.WIDENED if wider else Relation.NARROWED if narrower else Relation.CHANGED


def among(before: Any, after: Any) -> Relation:
    """What became of a plain list, or of a single value that stands for one."""
    return relate((), before, after)


def _implies(key: Key, narrow: Any, wide: Any) -> bool:
    """Whether `wide` surely holds wherever `narrow` does."""
    if narrow == wide and type(narrow) is type(wide):
        return True
    if isinstance(narrow, dict) or isinstance(wide, dict):
        return _mapping_implies(narrow, wide)
    if key[-1:] == ("max_age",):
        return _at_most(narrow, wide)
    covers = _covering(key)
    return all(any(covers(one, other) for one in _list(wide)) for other in _list(narrow))


def _mapping_implies(narrow: Any, wide: Any) -> bool:
    """`{all: [...]}`, `{present: true}`, and ranges."""
    every = [set(map(_token, _list(value["all"]))) if _is_all(value) else None for value in (narrow, wide)]
    if every[0] is not None and every[1] is not None:
        return every[1] <= every[0]
    if every[0] is not None and not isinstance(wide, dict):
        return not every[0].isdisjoint(map(_token, _list(wide)))
    if every[1] is not None and not isinstance(narrow, dict):
        return every[1] <= {_token(value) for value in _list(narrow)} and len(_list(narrow)) == 1
    if wide == {"present": True}:
        return not (isinstance(narrow, dict) and "present" in narrow)
    return _is_range(narrow) and _is_range(wide) and _range_implies(narrow, wide)


def _is_all(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"all"}


def _is_range(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in ("gt", "lt") and isinstance(bound, int | float) and not isinstance(bound, bool)
        for name, bound in value.items()
    )


def _range_implies(narrow: Mapping[str, float], wide: Mapping[str, float]) -> bool:
    above = "gt" not in wide or ("gt" in narrow and narrow["gt"] >= wide["gt"])
    return above and ("lt" not in wide or ("lt" in narrow and narrow["lt"] <= wide["lt"]))


def _at_most(narrow: Any, wide: Any) -> bool:
    try:
        return duration(narrow) <= duration(wide)
    except ValueError:
        return False


def _covering(key: Key) -> Callable[[Any, Any], bool]:
    if key in (("method",), ("path",), ("host",), ("source",)):
        return {"method": _method, "path": _path, "host": _host, "source": _network}[key[0]]
    if len(key) == 2 and key[0] == "principal" and key[1] in GLOBS:
        return _glob
    return lambda wide, narrow: _token(wide) == _token(narrow)


def _method(wide: Any, narrow: Any) -> bool:
    return bool(wide == narrow or (wide == "write" and isinstance(narrow, str) and narrow not in READS))


def _host(wide: Any, narrow: Any) -> bool:
    try:
        broad, close = host_pattern(wide), host_pattern(narrow)
    except (ValueError, AttributeError):
        return False
    return broad == close or (broad.startswith("*.") and close.endswith(broad[1:]))


def _network(wide: Any, narrow: Any) -> bool:
    if not isinstance(wide, str) or not isinstance(narrow, str):
        return False
    try:
        broad, close = ip_network(wide, strict=False), ip_network(narrow, strict=False)
    except ValueError:
        return False
    return broad.version == close.version and close.subnet_of(broad)  # type: ignore[arg-type]  # the same version


def _glob(wide: Any, narrow: Any) -> bool:
    """A `*` in the narrow one stands for any text, so nothing but a `*` of the wide one may answer for it."""
    if not isinstance(wide, str) or not isinstance(narrow, str) or "*" not in wide:
        return bool(wide == narrow)
    first, *middle, last = wide.split("*")
    if len(narrow) < len(first) + len(last) or not (narrow.startswith(first) and narrow.endswith(last)):
        return False
    at, end = len(first), len(narrow) - len(last)
    for piece in middle:
        at = narrow.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _path(wide: Any, narrow: Any) -> bool:
    try:
        broad, close = PathTemplate.parse(wide), PathTemplate.parse(narrow)
    except (ValueError, AttributeError):
        return False
    if not broad.rest:
        return not close.rest and len(broad.head) == len(close.head) and _pieces(broad.head, close.head)
    head, tail = (close.head, close.tail) if close.rest else (close.head, close.head[len(broad.head) :])
    if len(head) < len(broad.head) or len(tail) < len(broad.tail):
        return False
    return _pieces(broad.head, head) and _pieces(broad.tail, tail[len(tail) - len(broad.tail) :])


def _pieces(wide: tuple[str | None, ...], narrow: tuple[str | None, ...]) -> bool:
    """A variable stands for any segment that is not empty."""
    pairs = zip(wide, narrow, strict=False)
    return all(one == other or (one is None and other != "") for one, other in pairs)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _token(value: Any) -> tuple[type, str]:
    """Told apart as the language does: `1`, `true` and "1" are three values."""
    return type(value), str(value)
