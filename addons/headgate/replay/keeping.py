"""Whether a plan keeps a mask that a record tells of, of which the value itself is no longer there.

A field is kept where a path, a header or a name of the plan leads to its place; an entity where the plan asks for it no
less strictly than the plan did by which it was found. A mask that is not asked for any more is gone, even where a
detector might find something in its place: nothing promises that.
"""

import json
import re
from functools import lru_cache
from typing import NamedTuple

from headgate.masking.entities import ENTITIES, SECRET
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.plan import LANGUAGE_MODEL, CannotMask, Named, Operator, Plan, Profile, Wanted, detect_nothing
from headgate.masking.plan import strongest as strongest_of
from headgate.masking.tokens import FIELD

DOMAINS = frozenset({"EMAIL_ADDRESS", "URL"})
"""Entities that are found by what is after a dot, too: by names that no public list has."""

ANY_KEY = b"0" * 32
"""Makes tokens that nobody sees."""

_INDEX = re.compile(r"\[\s*-?\d")
_NAMED = {"header": "headers", "query": "query", "column": "columns", "form": "form"}


class Kept(NamedTuple):
    """The operator by which the plan masks this place; None: it does not. `doubt` says in words why that is not
    certain, and `key` what it hangs on."""

    operator: Operator | None
    doubt: str | None = None
    key: str = ""


@lru_cache(maxsize=8192)
def keeping(plan: Plan, before: Plan | None, place: tuple[str, str], operator: Operator, *, origin: bool) -> Kept:
    """What becomes of a recorded mask; `before` is the plan that made it where that is known (`origin`)."""
    if origin and plan == before:
        return Kept(operator)
    location, entity = place
    return (
        _field(plan, before, location, operator)
        if entity == FIELD
        else _entity(plan, before, location, entity, operator)
    )


def covers(new: Plan | None, old: Plan | None) -> bool:
    """Whether whatever the old plan masks is certain to be masked by the new one, and no weaker."""
    if old is None or new is None:
        return old is None
    same = (new.recognizers, new.internal_domains, new.encoded) == (old.recognizers, old.internal_domains, old.encoded)
    passing = new.pass_types <= old.pass_types and new.streams <= old.streams
    return (
        same
        and passing
        and new.keys >= old.keys
        and _fields(old) <= _fields(new)
        and set(old.detect) <= set(new.detect)
    )


# -- fields ------------------------------------------------------------------------------------------------------------


def _field(plan: Plan, before: Plan | None, location: str, operator: Operator) -> Kept:
    if before is not None and _fields(before) and _fields(before) <= _fields(plan):
        return Kept(operator)  # each is there by the same operator; others may only be stronger
    kind, colon, name = location.partition(":")
    if colon and kind == "header":
        return Kept(_strongest(plan.headers, name.lower()))
    if location.startswith("/") and "|" not in location:
        return _path(plan, location, operator)
    if colon and kind in _NAMED:
        asked: Named = (*getattr(plan, _NAMED[kind]), *plan.names.items())
        if (found := _strongest(asked, name)) is not None:
            return Kept(found)
    fields = sorted(map(str, _fields(plan)))
    if not fields:
        return Kept(None)
    return Kept(operator, "it is not known whether a field is still asked for", f"field {location} {fields}")


def _path(plan: Plan, location: str, operator: Operator) -> Kept:
    """Of a place in JSON; paths are followed in a document that has that place alone."""
    paths = [path for path, _ in plan.paths]
    if not paths and not plan.encoded:
        return Kept(None)
    if leads_to_some(plan, location):
        return Kept(operator, "a path with a filter or an index may lead to it", f"path {location} {plan.paths}")
    try:
        found = {_leading(plan.paths, place) for place in {location, location.removeprefix("/*")}}  # a line, an element
    except CannotMask:
        found = {None, operator}
    if len(found) > 1:
        return Kept(operator, "a path may lead to it or not", f"path {location} {plan.paths}")
    return Kept(found.pop())


def leads_to_some(plan: Plan, location: str) -> bool:
    """Whether a path may lead to some of the values at this place, and not to others."""
    return location.startswith("/") and any("?" in path or _INDEX.search(path) for path, _ in plan.paths)


def _leading(paths: Named, location: str) -> Operator | None:
    """The strongest operator of the paths that lead to a place."""
    counts = mask_json(_document(location), Plan(paths=paths, key=ANY_KEY), detect_nothing).counts
    return strongest_of(Operator(by) for (_, entity, by) in counts if entity == FIELD)


def _document(location: str) -> str:
    """A document with nothing but this place, `*` being the first element of an array."""
    value: object = "x"
    for step in reversed(location.split("/")[1:]):
        name = step.replace("~1", "/").replace("~0", "~")
        value = [value] if name == "*" else {name: value}
    return json.dumps(value)


def _fields(plan: Plan) -> frozenset[tuple[str, str, Operator]]:
    return frozenset(
        (kind, name, operator)
        for kind in ("paths", "headers", "query", "columns", "form")
        for name, operator in getattr(plan, kind)
    )


def _strongest(named: Named, name: str) -> Operator | None:
    return strongest_of(operator for known, operator in named if known == name)


# -- entities ----------------------------------------------------------------------------------------------------------


def _entity(plan: Plan, before: Plan | None, location: str, entity: str, recorded: Operator) -> Kept:
    wanted = [one for one in plan.detect if one.entity == entity]
    operator = strongest_of(one.operator for one in wanted)
    if operator is None:
        return Kept(None)
    found = sorted(one for one in before.detect if one.entity == entity) if before else []
    key = f"entity {entity} {sorted(wanted)} {plan.recognizers} {plan.internal_domains} {plan.keys}"
    if before is None:
        return Kept(operator, f"by which rules {entity} was found is not known", key)
    if "|base64" in location and not set(before.encoded) <= set(plan.encoded):
        return Kept(None)
    if location.endswith("|key") and before.keys and not plan.keys:
        return Kept(None)
    if why := _otherwise(plan, before, entity, wanted):
        return Kept(operator, f"{entity} is looked for otherwise: {why}", key)
    if sorted(wanted) == found:
        return Kept(recorded)
    sure = strongest_of(new.operator for new in wanted if all(_covers(new, old) for old in found))
    if sure is not operator:
        return Kept(operator, f"by which operator {entity} is masked is not known", key)
    return Kept(operator)


def _otherwise(plan: Plan, before: Plan, entity: str, wanted: list[Wanted]) -> str | None:
    """Why it may no longer be found."""
    if any(not any(_covers(new, old) for new in wanted) for old in before.detect if old.entity == entity):
        return "another profile or score"
    known = ENTITIES | LANGUAGE_MODEL | {SECRET}
    if before.recognizers != plan.recognizers and (before.recognizers or entity not in known):
        return "other recognizers"
    if entity in DOMAINS and not set(before.internal_domains) <= set(plan.internal_domains):
        return "other internal domains"
    return None


def _covers(new: Wanted, old: Wanted) -> bool:
    """Whether whatever counted to the old one counts to the new one."""
    if new.profile is Profile.STOCK and new.min_score <= 0:
        return True
    return new.profile is old.profile and (new.profile is Profile.API or new.min_score <= old.min_score)
