"""Which masks are due for a request: those whose match holds, and those of which that cannot be known."""

from headgate.masking.plan import Plan, merge
from headgate.masking.rules import MaskingRules
from headgate.match import Facts, Subject
from headgate.model import Principal, Request, Target


def due(
    rules: MaskingRules,
    principal: Principal | None,
    request: Request | None,
    target: Target | None,
    *,
    now: float,
    signals: frozenset[str] | None = frozenset(),
) -> Plan | None:
    """What all masks that are due at `now`, in seconds since the epoch, ask for together; None when none is.

    `signals` are those set; None if that is not known.

    A request that was refused before its caller, its target or itself was known gets every mask.
    """
    if principal is None or request is None or target is None:
        return rules.everything if rules.masks else None
    facts = Facts(Subject(principal, request, target, now, signals))
    plans = tuple(mask.plan for mask in rules.masks if mask.matcher.test(facts) is not False)
    return merge(plans) if plans else None
