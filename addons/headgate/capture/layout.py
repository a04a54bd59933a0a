"""A recorded flow as JSON: the layout of records, the same for the command line and whoever asks later.

A decision names who, what and why; its `outcome` what came of it. `recorded` holds what travelled, as it was kept.
"""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from headgate.capture.entries import Entry, Recorded, Summary


def iso(seconds: float) -> str:
    """A time as people and tools read it: UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def summary_json(summary: Summary) -> dict[str, Any]:
    who = {"id": summary.principal, "kind": summary.kind} if summary.principal is not None else None
    return {
        "decision_id": summary.decision_id,
        "time": iso(summary.time),
        "flow_id": summary.flow_id,
        "principal": who,
        "request": _request_json(summary),
        "verdict": summary.verdict,
        "effect": summary.effect,
        "mode": summary.mode,
        "reason": summary.reason,
        "rule": summary.rule,
        "outcome": {**_outcome_json(summary), "masked": summary.masked},
    }


def entry_json(entry: Entry) -> dict[str, Any]:
    summary, response = entry.summary, entry.response
    outcome = {"masks": entry.masks, "bytes": response.size if response else 0, "stage_us": entry.stage_us}
    return {
        "decision_id": summary.decision_id,
        "time": iso(summary.time),
        "flow_id": summary.flow_id,
        "trace_id": entry.trace_id,
        "trace_link": entry.trace_link,
        "bundle": entry.bundle,
        "principal": entry.principal,
        "source": entry.source,
        "target": {"name": entry.target, "environment": entry.environment} if entry.target else None,
        "request": {**_request_json(summary), "query_names": entry.query_names},
        "verdict": summary.verdict,
        "effect": summary.effect,
        "mode": summary.mode,
        "reason": summary.reason,
        "rules": entry.rules,
        "nearest": entry.nearest,
        "shadow": entry.shadow,
        "shadow_effect": entry.shadow_effect,
        "errors": entry.errors,
        "limits": entry.limits,
        "violations": entry.violations,
        "outcome": {**_outcome_json(summary), **outcome},
        "recorded": {
            "mode": entry.mode,
            "query": summary.query,
            "request": _message_json(entry.request),
            "response": _message_json(response) if response else None,
        },
    }


def _request_json(summary: Summary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in ("method", "scheme", "host", "port", "path")}


def _outcome_json(summary: Summary) -> dict[str, Any]:
    refusal = {"type": summary.refusal, "reason": summary.refusal_reason} if summary.refusal else None
    return {"status": summary.status, "refusal": refusal, "error": summary.error}


def _message_json(message: Recorded) -> dict[str, Any]:
    return {
        "headers": message.headers,
        "body": _body_json(message.body),
        "size": message.size,
        "truncated": message.truncated,
    }


def _body_json(body: bytes) -> dict[str, str] | None:
    """The bytes as recorded: as text where they are UTF-8, else in Base64."""
    if not body:
        return None
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(body).decode()}
