"""A captured exchange decided and masked again under a bundle: by the functions that the live chain calls, with time,
identity, signals, limits and grants as they were recorded; nothing is sent, told or spent.

What the record does not have is unknown to the rules. An answer is certain only if it is the same however that turns
out; where it is not, what is told is what live traffic would get if it could not be evaluated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headgate.masking.plan import Detect, Plan
from headgate.model import UNSHAPED, Effect, LimitUse, MaskCount, RuleRef, Shaping
from headgate.replay.masks import Beyond, Doubt

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry

Detectors = Callable[[Plan], Detect]

PASSES, APPROVAL, REFUSED = "passes", "approval", "refused"
"""What becomes of a request."""

BEFORE_POLICY = frozenset({"guard-error", "malformed-request", "unauthenticated"})
"""Refusals that are not policy's: no rule can change them."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a bundle says of a captured exchange.

    `certain`: every way that what is not recorded could turn out gives this effect, reason and rules; `effects` are all
    that it could be, `outcomes` what may become of the request. `masks` are those that the response gets, as far as it
    was recorded, and `masks_certain` says that they are all. `withheld` is why it gets no response. `refusal` is the
    slug of what refuses it (denied, invalid-request, rate-limited, ...), None for what passes. `uncounted` are limits
    that count it and whose state was not recorded. `judged` is false where policy was never asked, or was not the one
    that refused: then all is as recorded, whatever the bundle says. `unknown` says in words what is not known.
    """

    effect: Effect
    reason: str
    rules: tuple[RuleRef, ...] = ()
    message: str | None = None
    shadow: tuple[RuleRef, ...] = ()
    shadow_effect: Effect | None = None
    errors: tuple[str, ...] = ()
    limits: tuple[LimitUse, ...] = ()
    violations: tuple[str, ...] = ()
    observed: bool = False
    certain: bool = True
    masks: tuple[MaskCount, ...] = ()
    masks_certain: bool = True
    withheld: str | None = None
    unknown: tuple[str, ...] = ()
    effects: frozenset[Effect] = frozenset()
    outcomes: frozenset[str] = frozenset()
    refusal: str | None = None
    uncounted: tuple[str, ...] = ()
    judged: bool = True
    shaping: Shaping = UNSHAPED
    target: str | None = None
    approval: str = ""  # what the deciding rules ask of approvers, to be compared
    signature: str = ""  # what the answer hangs on where it is not certain: equal ones turn out the same
    doubts: frozenset[Doubt] = frozenset()  # about masks
    beyond: Beyond = field(default=Beyond(), repr=False)  # masks of which no record counts any
    basis: str = field(default="", compare=False, repr=False)  # what a refusal before policy hangs on, in the rules


def decide_and_mask(
    bundle: "Bundle",
    entry: "Entry",
    *,
    detector: Detectors | None = None,
    recorded_under: "Bundle | None" = None,
    original: Any = None,
    masks: bool = True,
) -> Judged:
    """What `bundle` says of `entry`. `recorded_under` is the bundle of the record where it is at hand (None: not known,
    so that less is certain); `original` is the exchange as it came where it was opened; without `masks` it is only
    decided. `detector` makes what detects for a plan; None: one without a budget."""
    return _judge(bundle, detector)(entry, recorded_under=recorded_under, original=original, masks=masks)


@lru_cache(maxsize=8)
def _judge(bundle: "Bundle", detector: Detectors | None) -> Callable[..., Judged]:
    from headgate.replay.judging import Judge

    return Judge(bundle, detector)


def was_judged(entry: "Entry") -> bool:
    """Whether policy was asked, and nobody else has refused the request."""
    from headgate.policy.judgement import REASONS

    summary = entry.summary
    return entry.principal is not None and summary.reason in REASONS and summary.refusal not in BEFORE_POLICY


def as_recorded(entry: "Entry") -> Judged:
    """What the record itself says."""
    from headgate.replay.masks import recorded_masks

    summary, observed = entry.summary, entry.summary.mode == "observe"
    effect = Effect(summary.effect)
    return Judged(
        effect,
        summary.reason,
        _refs(entry.rules),
        shadow=_refs(entry.shadow),
        shadow_effect=Effect(entry.shadow_effect) if entry.shadow_effect else None,
        errors=tuple(entry.errors),
        limits=tuple(LimitUse(**use) for use in entry.limits),
        violations=tuple(entry.violations),
        observed=observed,
        masks=recorded_masks(entry),
        withheld=summary.refusal_reason if summary.refusal == "withheld" else None,
        effects=frozenset({effect}),
        outcomes=frozenset({REFUSED if summary.refusal else outcome_of(effect, observed=observed)}),
        refusal=summary.refusal,
        judged=was_judged(entry),
        target=entry.target,
    )


def outcome_of(effect: Effect, *, observed: bool) -> str:
    """What becomes of a request by its effect alone."""
    if observed or effect is Effect.ALLOW:
        return PASSES
    return APPROVAL if effect is Effect.APPROVE else REFUSED


def _refs(rules: list[dict[str, Any]]) -> tuple[RuleRef, ...]:
    return tuple(RuleRef(rule["id"], Effect(rule["effect"]), rule["file"], rule["line"]) for rule in rules)
