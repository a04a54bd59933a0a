"""Entries of the log as events of OCSF 1.6.0 (schema.ocsf.io), for the systems that collect them.

A decision and its outcome are one `HTTP Activity` (class 4002) with the profiles `host` (its actor), `security_control`
(what the guard did, by which rule of which policy) and `trace`. What happens to the proxy itself is `Application
Lifecycle` (class 6002). Everything else that an entry says stands in `unmapped`.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from headgate.audit.leaf import Leaf, LeafKind

VERSION = "1.6.0"
PROFILES = ["host", "security_control", "trace"]
WAITING = 100_000
"""Decisions that wait for their outcome; of more, the oldest are told without."""

_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH")
METHODS = {method: number for number, method in enumerate(_METHODS, 1)}
OTHER = 99
LIFECYCLE = {LeafKind.START: (3, "Start"), LeafKind.STOP: (4, "Stop"), LeafKind.ACTIVATION: (8, "Update")}
USERS = {"human": (1, "User"), "service": (4, "Service")}
SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium"}
STATUSES = {0: "Unknown", 1: "Success", 2: "Failure"}


class Judged(NamedTuple):
    """`action_id` and `disposition_id` with their captions, and `severity_id`."""

    action: tuple[int, str]
    disposition: tuple[int, str]
    severity: int


ALLOWED, DENIED = (1, "Allowed"), (2, "Denied")
UNKNOWN = Judged((0, "Unknown"), (0, "Unknown"), 1)
PASSED = Judged(ALLOWED, (1, "Allowed"), 1)
MASKED = Judged((4, "Modified"), (1, "Allowed"), 1)
OBSERVED = Judged((3, "Observed"), (17, "Logged"), 2)
REVOKED = Judged(DENIED, (24, "Access Revoked"), 2)
BLOCKED = Judged(DENIED, (2, "Blocked"), 2)
REFUSED = {
    "unauthenticated": Judged(DENIED, (26, "Unauthorized"), 2),
    "malformed-request": Judged(DENIED, (25, "Rejected"), 2),
    "invalid-request": Judged(DENIED, (25, "Rejected"), 2),
    "guard-error": Judged(DENIED, (27, "Error"), 3),
}
"""By the type of a refusal; any other is a block."""


def events(entries: Iterable[tuple[int, Leaf]]) -> Iterator[dict[str, Any]]:
    """Events for entries with their numbers, in the order in which what they tell has ended."""
    waiting: dict[str, tuple[int, Leaf]] = {}
    for seq, leaf in entries:
        kind, name = leaf.get("kind"), str(leaf.get("decision_id"))
        if kind == LeafKind.DECISION:
            waiting[name] = seq, leaf
            if len(waiting) > WAITING:
                yield _http(*waiting.pop(next(iter(waiting))), {})
        elif kind == LeafKind.OUTCOME:
            yield _http(*waiting.pop(name, (seq, {})), leaf)
        else:
            yield _lifecycle(seq, leaf)
    for seq, leaf in waiting.values():
        yield _http(seq, leaf, {})


# -- what passed ------------------------------------------------------------------------------------------------------


def _http(seq: int, decision: Leaf, outcome: Leaf) -> dict[str, Any]:
    asked = _object(decision, "request")
    method = str(asked.get("method", ""))
    activity, judged = METHODS.get(method, OTHER if method else 0), _judged(decision, outcome)
    caption = method.title() or "Unknown"
    time, ended = _milliseconds(decision.get("time") or outcome.get("time")), _milliseconds(outcome.get("time"))
    status = outcome.get("status")
    return _without_nothing(
        {
            **_head(seq, decision or outcome, (4, "Network Activity"), (4002, "HTTP Activity"), (activity, caption)),
            "time": time,
            "end_time": ended,
            "duration": ended - time if time is not None and ended is not None and decision else None,
            **_control(judged, decision),
            **_status(outcome),
            "actor": _actor(_object(decision, "principal")),
            "src_endpoint": {"ip": decision.get("source") or None},
            "dst_endpoint": {"hostname": asked.get("host"), "svc_name": decision.get("target")},
            "http_request": {
                "uid": decision.get("flow_id") or outcome.get("decision_id"),
                "http_method": method if method in METHODS else None,
                "url": {"hostname": asked.get("host"), "path": outcome.get("path") or asked.get("path")},
            },
            "http_response": {"code": status, "body_length": outcome.get("bytes")} if status is not None else None,
            "traffic": {"bytes_out": outcome.get("bytes")},
            "trace": {"uid": decision.get("trace_id")},
            "unmapped": _unmapped(decision, outcome),
        }
    )


def _judged(decision: Leaf, outcome: Leaf) -> Judged:
    """What the guard did in the end."""
    refused = _object(outcome if outcome else decision, "refusal")
    if refused:
        late = bool(decision) and not _object(decision, "refusal")
        kind = str(refused.get("type"))
        return REVOKED if late and kind in ("unauthenticated", "denied") else REFUSED.get(kind, BLOCKED)
    if not decision:
        return UNKNOWN
    if decision.get("mode") == "observe" and decision.get("effect") != "allow":
        return OBSERVED
    return MASKED if outcome.get("masks") else PASSED


def _control(judged: Judged, decision: Leaf) -> dict[str, Any]:
    rules, bundle = decision.get("rules") or [], _object(decision, "bundle")
    first = rules[0] if isinstance(rules, list) and rules and isinstance(rules[0], dict) else {}
    return {
        "severity_id": judged.severity,
        "severity": SEVERITIES[judged.severity],
        "action_id": judged.action[0],
        "action": judged.action[1],
        "disposition_id": judged.disposition[0],
        "disposition": judged.disposition[1],
        "policy": _policy(bundle, applied=decision.get("mode") != "observe"),
        "firewall_rule": {"uid": first.get("id"), "name": first.get("id"), "type": first.get("effect")},
    }


def _status(outcome: Leaf) -> dict[str, Any]:
    status, refusal = outcome.get("status"), _object(outcome, "refusal")
    failed = bool(refusal) or bool(outcome.get("error")) or (isinstance(status, int) and status >= 400)
    status_id = 2 if failed else 1 if outcome else 0
    return {
        "status_id": status_id,
        "status": STATUSES[status_id],
        "status_code": None if status is None else str(status),
        "status_detail": refusal.get("reason") or outcome.get("error"),
    }


def _actor(principal: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(principal.get("kind", ""))
    number, caption = USERS.get(kind, (OTHER, kind))
    named = principal.get("groups")
    groups = [{"name": name} for name in named] if isinstance(named, list) else []
    user = {"uid": principal.get("id"), "domain": principal.get("provider"), "groups": groups}
    user |= {"type_id": number, "type": caption} if kind else {}
    return {"user": user, "session": {"uid": principal.get("session_id")}}


def _unmapped(decision: Leaf, outcome: Leaf) -> dict[str, Any]:
    names = ("reason", "effect", "mode", "rules", "shadow", "approval_id", "limits", "bundle", "principal", "request")
    return {
        "decision": {name: decision.get(name) for name in names},
        "outcome": {name: outcome.get(name) for name in ("masks", "stage_us", "error", "refusal")},
    }


# -- the proxy itself -------------------------------------------------------------------------------------------------


def _lifecycle(seq: int, leaf: Leaf) -> dict[str, Any]:
    kind = str(leaf.get("kind"))
    activity = next((said for known, said in LIFECYCLE.items() if known == kind), (OTHER, str(leaf.get("act") or kind)))
    return _without_nothing(
        {
            **_head(seq, leaf, (6, "Application Activity"), (6002, "Application Lifecycle"), activity),
            "time": _milliseconds(leaf.get("time")),
            "severity_id": 1,
            "severity": SEVERITIES[1],
            "app": _product(),
            "actor": {"user": {"name": leaf.get("by")}},
            "policy": _policy(_object(leaf, "bundle"), applied=leaf.get("how") != "refused"),
            "unmapped": {name: value for name, value in leaf.items() if name not in ("kind", "time")},
        }
    )


# -- what all have ----------------------------------------------------------------------------------------------------


def _head(
    seq: int, leaf: Leaf, category: tuple[int, str], event: tuple[int, str], activity: tuple[int, str]
) -> dict[str, Any]:
    return {
        "category_uid": category[0],
        "category_name": category[1],
        "class_uid": event[0],
        "class_name": event[1],
        "activity_id": activity[0],
        "activity_name": activity[1],
        "type_uid": event[0] * 100 + activity[0],
        "type_name": f"{event[1]}: {activity[1]}",
        "metadata": {
            "version": VERSION,
            "product": _product(),
            "profiles": PROFILES if event[0] == 4002 else PROFILES[:2],
            "log_name": "audit",
            "sequence": seq,
            "uid": leaf.get("decision_id") or str(seq),
            "original_time": leaf.get("time"),
        },
    }


def _product() -> dict[str, str]:
    return {"name": "Headgate", "vendor_name": "Headgate"}


def _policy(bundle: Mapping[str, Any], *, applied: bool) -> dict[str, Any] | None:
    if not bundle:
        return None
    named = {"name": bundle.get("name"), "version": bundle.get("version"), "uid": bundle.get("sha256")}
    return {**named, "is_applied": applied}


def _object(leaf: Leaf, name: str) -> Mapping[str, Any]:
    """A member that should be an object: what was tampered with may be anything."""
    value = leaf.get(name)
    return value if isinstance(value, dict) else {}


def _milliseconds(time: object) -> int | None:
    try:
        return round(datetime.fromisoformat(str(time)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _without_nothing(value: dict[str, Any]) -> dict[str, Any]:
    """OCSF leaves out what is not known."""
    kept = {name: _without_nothing(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}
    return {name: inner for name, inner in kept.items() if inner is not None and inner != {} and inner != []}
