"""Where something was masked, told without the names in which something is found now.

A place in JSON names all members above it, and a member may be named by a value: `/ana@corp.example/iban`.
"""

from collections.abc import Callable, Sequence

from headgate.masking.detection.budget import OverBudget
from headgate.masking.entities import SECRET
from headgate.masking.operators import cuts, replacement
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span


def masked_pointers(pointers: Sequence[str], plan: Plan | None, detectors: Callable[[Plan], Detect]) -> list[str]:
    """The same places in the same order; one that cannot be masked tells nothing but that it was one."""
    if plan is None or not plan.detect or not pointers:
        return list(pointers)
    steps = [pointer.split("/") for pointer in pointers]
    leaves = [Leaf(step.replace("~1", "/").replace("~0", "~"), "") for each in steps for step in each]
    try:
        found = iter(detectors(plan)(leaves))
    except (CannotMask, OverBudget):
        return [f"/[{SECRET}]"] * len(pointers)
    return ["/".join(_masked(step, next(found), plan) for step in each) for each in steps]


def _masked(step: str, spans: Sequence[Span], plan: Plan) -> str:
    chosen = cuts(spans, plan)
    return replacement(step, chosen[0].entity, Operator.REDACT, plan.key) if chosen else step
