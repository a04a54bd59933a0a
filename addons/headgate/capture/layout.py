"""A recorded flow as JSON: the layout of records, the same for the command line and whoever asks later.

A decision names who, what and why; its `outcome` what came of it. `recorded` holds what travelled, as it was kept.
"""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from headgate.capture.entries import Entry, MessageEntry, Recorded, Summary
from headgate.capture.sealing import Original, Part


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
        "kind": entry.kind,
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
        "signals": entry.signals,
        "approval_id": entry.approval_id,
        "connection": _connection_json(entry.connection),
        "outcome": {**_outcome_json(summary), **outcome},
        "recorded": {
            "mode": entry.mode,
            "query": summary.query,
            "sealed": entry.sealed,
            "request": _message_json(entry.request),
            "response": _message_json(response) if response else None,
        },
    }


def message_json(message: MessageEntry) -> dict[str, Any]:
    """One message of a WebSocket or of a TCP flow."""
    return {
        "n": message.n,
        "time": iso(message.time),
        "sender": "caller" if message.from_client else "upstream",
        "kind": message.kind,
        "body": _body_json(message.body),
        "size": message.size,
        "truncated": message.truncated,
    }


def original_json(original: Original) -> dict[str, Any]:
    """What travelled before masking, for whoever has opened it."""
    line, response = original.line, original.response
    return {
        "method": line.method.decode("latin-1"),
        "scheme": line.scheme,
        "host": line.host,
        "port": line.port,
        "target": line.target.decode("latin-1"),
        "status": original.status,
        "request": _message_json(recorded_of(original.request)),
        "response": _message_json(recorded_of(response)) if response else None,
    }


def recorded_of(part: Part) -> Recorded:
    """A part of an original, in the shape of what is recorded."""
    fields = tuple((_as_text(name), _as_text(value)) for name, value in part.headers)
    body = part.body or b""
    return Recorded(fields, body, part.size, part.body is None or part.size > len(body))


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _connection_json(connection: dict[str, Any] | None) -> dict[str, Any] | None:
    """With times as people and tools read them."""
    if connection is None:
        return None
    times = {name: iso(moment) for name, moment in connection.get("times", {}).items()}
    return {**connection, "times": times}


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
