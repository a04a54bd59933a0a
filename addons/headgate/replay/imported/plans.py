"""Which masks are due for what nobody has masked, or may have masked too little.

Detection has a budget for each flow: a file from elsewhere may be made to take long, and what takes too long is not
kept.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.masking.due import due, everything
from headgate.masking.plan import Detect, Operator, Plan, Wanted, detect_nothing
from headgate.masking.rules import MaskingRules
from headgate.masking.tokens import token_key

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry

UNITS = 256 * 1024 * 1024
"""Units of the detector's work for one flow: some seconds."""

LOOKED_FOR = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "SECRET", "US_SSN")
"""What a second look is for, whatever the rules ask for."""


def key_of(rules: MaskingRules) -> bytes:
    """The key that tokens and hashes are made with, if the rules name one; HeadgateError if it is not to be had."""
    return token_key(rules.token_key, os.environ, Path.cwd()) if rules.token_key else b""


def every_mask(bundle: "Bundle", key: bytes) -> Plan | None:
    """For what comes from nobody in particular."""
    return everything(bundle.masking, key).record


def due_of(bundle: "Bundle", entry: "Entry", key: bytes) -> Plan | None:
    """What is due of the record of a flow whose caller is known."""
    from headgate.replay.recorded import recorded

    known = recorded(entry, bundle)
    if known.principal is None:
        return every_mask(bundle, key)
    target = bundle.targets.resolve(known.request.scheme, known.request.host, known.request.port)
    signals = None if entry.signals is None else frozenset(entry.signals)
    return due(bundle.masking, known.principal, known.request, target, now=known.at, signals=signals, key=key).record


def second_look(bundle: "Bundle") -> Plan:
    """Detects what any rule asks for, and what nobody wants in a file that others read."""
    asked = every_mask(bundle, b"")
    wanted = [Wanted(entity, Operator.REDACT) for entity in LOOKED_FOR]
    wanted += [one._replace(operator=Operator.REDACT) for one in (asked.detect if asked else ())]
    found = {one.entity: one for one in wanted}
    more = {"recognizers": asked.recognizers, "internal_domains": asked.internal_domains} if asked else {}
    return Plan(detect=tuple(found[name] for name in sorted(found)), **more)  # type: ignore[arg-type]


def budgeted() -> Callable[[Plan], Detect]:
    """What makes detectors that share one budget; findings are not remembered from one flow to the next."""
    from headgate.masking.detection.budget import Budget

    budget: Budget = Budget(UNITS)

    def detector(plan: Plan) -> Detect:
        if not plan.detect:
            return detect_nothing
        from headgate.masking.detection.detector import Detector

        return Detector(plan, budget)

    return detector
