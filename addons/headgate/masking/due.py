"""Which masks are due for a request: those whose match holds, and those of which that cannot be known.

Whom a mask does not hold for (`except`) is excepted only where that is certain, and only from what he himself receives:
what is recorded, and what is sent upstream, is masked for everybody.
"""

from typing import NamedTuple

from headgate.masking.plan import Plan, merge
from headgate.masking.rules import Mask, MaskingRules
from headgate.match import Facts, Matcher, Subject
from headgate.model import Kind, Principal, Request, Target


class Due(NamedTuple):
    """What is due, each None if nothing is: of what the caller receives, of its record, of what goes upstream.

    `varies`: another caller who asks for the same may be owed another mask, so that no cache may answer for both.
    """

    caller: Plan | None = None
    record: Plan | None = None
    request: Plan | None = None
    varies: bool = False


NOTHING = Due()
NOBODY = Principal("", Kind.ANONYMOUS, "")
NOWHERE = Request("GET", "https", "", 443, "/")
"""Stand in where nothing is known: no condition on them is asked."""


def due(
    rules: MaskingRules,
    principal: Principal | None,
    request: Request | None,
    target: Target | None,
    *,
    now: float,
    signals: frozenset[str] | None = frozenset(),
    key: bytes = b"",
) -> Due:
    """What all masks that are due at `now`, in seconds since the epoch, ask for together.

    `signals` are those set; None if that is not known. `key` is the token key of these rules, if they have one.

    A request that was refused before its caller, its target or itself was known gets every mask.
    """
    if not rules.masks:
        return NOTHING
    if principal is None or request is None or target is None:
        return everything(rules, key)
    facts = Facts(Subject(principal, request, target, now, signals))
    masks = [mask for mask in rules.masks if mask.matcher.test(facts) is not False]
    owed = [mask for mask in masks if mask.exempt is None or mask.exempt.test(facts) is not True]
    sent = [mask for mask in masks if mask.request]
    varies = any(mask.possible(facts) for mask in rules.by_caller)
    return Due(_together(owed, key), _together(masks, key), _together(sent, key), varies)


def everything(rules: MaskingRules, key: bytes = b"") -> Due:
    """Every mask, and no exception."""
    plan = _together(list(rules.masks), key)
    sent = _together([mask for mask in rules.masks if mask.request], key)
    return Due(plan, plan, sent, varies=bool(rules.by_caller))


def partly(rules: MaskingRules, principal: Principal | None, target: Target | None, key: bytes = b"") -> Plan | None:
    """What is due where no request is known: masks that cannot hold for this caller, or at this target, are not, and
    an exception counts only if it asks for nothing else. None for `principal` or `target`: it may be any."""
    known = {name for name, value in (("principal", principal), ("target", target)) if value is not None}
    facts = Facts(Subject(principal or NOBODY, NOWHERE, target, 0.0, None))

    def holds(matcher: Matcher) -> bool | None:
        asked = {condition.location[0]: condition for condition in matcher.conditions}
        tests = [c.test(facts) for c in matcher.conditions if c.location[0] in known]
        if False in tests:
            return False
        return True if known >= set(asked) and all(tests) and matcher.when is None else None

    masks = [mask for mask in rules.masks if holds(mask.matcher) is not False]
    return _together([mask for mask in masks if mask.exempt is None or holds(mask.exempt) is not True], key)


def _together(masks: list[Mask], key: bytes) -> Plan | None:
    return merge(tuple(mask.plan for mask in masks), key) if masks else None
