"""Which masks are due for what was recorded, by rules that came later.

They are those that would be due for its record today; where a condition is about what the record does not have, or has
only masked, it may hold, and so does the mask. What was masked the same way when it was recorded is not masked again:
a token of a token would no longer stand for the same value as others do.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from headgate.bundle.load import Bundle
from headgate.capture.entries import Entry
from headgate.masking.due import due, everything
from headgate.masking.plan import KEYED, Named, Operator, Plan
from headgate.masking.rules import MaskingRules
from headgate.policy.unrecorded import matcher_without
from headgate.replay.recorded import Recorded, recorded

Former = Callable[[str], Bundle | None]
"""The bundle with this hash, where it is still at hand."""

Keys = Callable[[MaskingRules], bytes]
"""The key of tokens and hashes of these rules."""

NAMED = ("paths", "headers", "query", "columns", "form")


class Owed(NamedTuple):
    """`whole` is all that is due, `left` what of it is not done yet; both None if nothing is."""

    whole: Plan | None
    left: Plan | None


DONE = Owed(None, None)


def owed(entry: Entry, bundle: Bundle, former: Former, key: Keys) -> Owed:
    """What `bundle` asks for of the record of `entry`."""
    if entry.bundle and entry.bundle["sha256"] == bundle.sha256:
        return DONE
    before = former(entry.bundle["sha256"]) if entry.bundle else None
    known = recorded(entry, before or bundle)
    plan = _plan(known, bundle, key)
    if plan is None or before is None:
        return Owed(plan, plan)
    return Owed(plan, _left(plan, _plan(known, before, key)))


def owed_to_nobody(bundle: Bundle, key: Keys) -> Plan | None:
    """What is due where neither request nor caller is known: all. Nothing tells whether it was done before, so that
    what would change with each time is redacted instead."""
    plan = everything(bundle.masking, key(bundle.masking)).record
    if plan is None:
        return None
    return _named(plan, lambda named, _: tuple((each, _unkeyed(operator)) for each, operator in named))


def _plan(known: Recorded, bundle: Bundle, key: Keys) -> Plan | None:
    request = known.request
    target = bundle.targets.resolve(request.scheme, request.host, request.port)
    masks = (replace(m, matcher=matcher_without(m.matcher, known.unrecorded)) for m in bundle.masking.masks)
    rules = replace(bundle.masking, masks=tuple(masks))
    if not rules.masks:
        return None
    return due(rules, known.principal, request, target, now=known.at, signals=known.signals, key=key(rules)).record


def _left(plan: Plan, before: Plan | None) -> Plan | None:
    if before is None or before.key != plan.key:
        return plan
    if before == plan:
        return None
    return _named(plan, lambda named, name: _undone(named, getattr(before, name)))


def _named(plan: Plan, change: Callable[[Named, str], Named]) -> Plan:
    """A plan whose fields, wherever they are looked for, `change` has changed."""
    changed: dict[str, Any] = {name: change(getattr(plan, name), name) for name in NAMED}
    return replace(plan, **changed)


def _undone(named: Named, before: Named) -> Named:
    return tuple(each for each in named if each[1] not in KEYED or each not in before)


def _unkeyed(operator: Operator) -> Operator:
    return Operator.REDACT if operator in KEYED else operator
