"""What mitmweb shows of a recorded flow's verdict: the marker and the comment that it had when it was live."""

from typing import Any

from headgate.capture.entries import Entry
from headgate.capture.record import IMPORTED
from headgate.model import Decision, Effect, Exchange, MaskCount, Refusal, RuleRef
from headgate.proxy.answers import marker, verdict_line

INBOX = ":inbox_tray:"
"""The sign at a flow that nobody has decided about."""


def verdict_of(entry: Entry) -> tuple[str, str]:
    """Marker and comment: what mitmweb showed of it."""
    if entry.summary.reason == IMPORTED:
        return INBOX, "imported: never decided by these rules"
    exchange = _exchange(entry)
    return marker(exchange), verdict_line(exchange)


def _exchange(entry: Entry) -> Exchange:
    summary = entry.summary
    decision = Decision(
        Effect(summary.effect),
        summary.reason,
        _refs(entry.rules),
        shadow=_refs(entry.shadow),
        shadow_effect=Effect(entry.shadow_effect) if entry.shadow_effect else None,
        observed=summary.mode == "observe",
        violations=tuple(entry.violations),
    )
    first = summary.rule if summary.refusal in ("denied", "approval-required", "rate-limited") else None
    slug, why = summary.refusal, summary.refusal_reason or summary.reason
    return Exchange(
        summary.decision_id,
        summary.time,
        decision=decision,
        refusal=Refusal(summary.status or 0, slug, "", why, rule=first) if slug else None,
        masks=tuple(MaskCount(one["location"], one["entity"], one["operator"], one["count"]) for one in entry.masks),
    )


def _refs(rules: list[dict[str, Any]]) -> tuple[RuleRef, ...]:
    return tuple(RuleRef(rule["id"], Effect(rule["effect"]), rule["file"], rule["line"]) for rule in rules)
