"""Fields that are asked for by their names, in formats whose values have names but no paths."""

import re
from collections.abc import Mapping
from functools import lru_cache

from headgate.masking.plan import CannotMask, Named, Operator, Plan, strongest

DIGITS = 5
"""Digits that a name may have to be told in a location: no card, account or telephone number has so few."""

_TOLD = re.compile(r"[A-Za-z_][\w:. -]{0,59}", re.ASCII)


def asked(plan: Plan, given: Named = ()) -> Mapping[str, Operator]:
    """Each name that is asked for, by a path that is but a name or in the format's own way; the strongest operator."""
    found = dict(plan.names)
    for name, operator in given:
        found[name] = strongest([operator, found.get(name, operator)]) or operator
    return found


def refuse_paths(plan: Plan, kind: str, paths: object) -> None:
    """CannotMask when fields are asked for by `paths` that no body of type `kind` has, unless it may pass them over."""
    if paths and kind not in plan.pass_types:
        raise CannotMask("fields-in-text")


@lru_cache(maxsize=4096)
def told(name: str, otherwise: str = "*") -> str:
    """A name as a location may tell it: one that could itself be a value is not told."""
    return name if _TOLD.fullmatch(name) and sum(map(str.isdigit, name)) <= DIGITS else otherwise
