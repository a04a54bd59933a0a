"""A `match:` with one part less, in every way there is: each key at every depth, and each value of a list.

What a part is, the schema tells: so keys that the language gains are covered here without being named.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from headgate.match import MatchSpec, Section
from headgate.policy.covering import adds_nothing

Location = tuple[str | int, ...]
GONE = ...
EVERYTHING = MatchSpec.model_validate({})


class Reduction(NamedTuple):
    """What is left of a value without the part at `where`; `...` where nothing is. `value` is what a list lost."""

    where: Location
    left: Any
    value: Any = GONE


def reductions(match: MatchSpec) -> Iterator[tuple[Location, Any, MatchSpec]]:
    """Where the missing part stands below `match:`, which value of a list it is (`...`: a whole key), what is left."""
    for where, left, value in _of_section(match, ()):
        yield where, value, EVERYTHING if isinstance(left, EllipsisType) else left


def _of(value: Any, where: Location) -> Iterator[Reduction]:
    if isinstance(value, Section):
        yield from _of_section(value, where)
    elif isinstance(value, Mapping):
        yield from _of_mapping(value, where)
    else:
        yield Reduction(where, GONE)
        if isinstance(value, tuple):
            yield from _of_list(value, where)


def _of_section(section: Section, where: Location) -> Iterator[Reduction]:
    fields = type(section).model_fields
    given = [name for name in fields if name in section.model_fields_set]
    for name in given:
        value = getattr(section, name)
        if _is_implied(name, value, given):
            continue
        for found in _of(value, (*where, fields[name].alias or name)):
            left = _without(section, given, name, found.left, fields)
            if left is not None:
                yield found._replace(left=left)


def _is_implied(name: str, value: Any, given: Sequence[str]) -> bool:
    """`present: true` beside a comparison says nothing more: what is not there compares to nothing."""
    return name == "present" and value is True and len(given) > 1


def _without(section: Section, given: Sequence[str], name: str, left: Any, fields: Mapping[str, FieldInfo]) -> Any:
    """The section with what is left of one of its keys; None where the others mean nothing without that key."""
    kept = [other for other in given if other != name or left is not GONE]
    if left is GONE and kept and fields[name].is_required():
        return None
    if all(fields[other].is_required() for other in kept) and left is GONE:
        return GONE
    values = {other: left if other == name else getattr(section, other) for other in kept}
    return type(section).model_construct(set(kept), **values)


def _of_mapping(mapping: Mapping[str, Any], where: Location) -> Iterator[Reduction]:
    for name, value in mapping.items():
        for found in _of(value, (*where, name)):
            left = {key: found.left if key == name else kept for key, kept in mapping.items()}
            kept = {key: value for key, value in left.items() if value is not GONE}
            yield found._replace(left=kept or GONE)


def _of_list(values: tuple[Any, ...], where: Location) -> Iterator[Reduction]:
    key = tuple(str(step) for step in where if step != "not")
    for at, value in enumerate(values):
        if len(values) > 1 and not adds_nothing(key, values, at):
            yield Reduction((*where, at), values[:at] + values[at + 1 :], value)
