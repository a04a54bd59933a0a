"""Entries become events that OCSF 1.6.0 accepts: names, numbers and captions as its classes 4002 and 6002 have them."""

import json

import pytest

from headgate.audit.ocsf import WAITING, events

TIME, LATER = "2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.250Z"
BUNDLE = {"name": "demo", "version": "1.0.0", "sha256": "ab" * 32}
RULE = {"id": "support-reads", "effect": "allow", "file": "rules/policy.yaml", "line": 12}

BASE = {"activity_id", "activity_name", "category_name", "category_uid", "class_name", "class_uid", "duration"}
BASE |= {"end_time", "message", "metadata", "severity", "severity_id", "status", "status_code", "status_detail"}
BASE |= {"status_id", "time", "type_name", "type_uid", "unmapped"}
HOST, TRACE = {"actor"}, {"trace"}
CONTROL = {"action", "action_id", "disposition", "disposition_id", "firewall_rule", "policy"}
HTTP = {"dst_endpoint", "http_request", "http_response", "src_endpoint", "traffic"}
MEMBERS = {
    "metadata": {"version", "product", "profiles", "log_name", "sequence", "uid", "original_time"},
    "http_request": {"uid", "http_method", "url"},
    "http_response": {"code", "body_length"},
    "policy": {"name", "version", "uid", "is_applied"},
    "firewall_rule": {"uid", "name", "type"},
    "actor": {"user", "session"},
    "traffic": {"bytes_out"},
    "src_endpoint": {"ip"},
    "dst_endpoint": {"hostname", "svc_name"},
    "trace": {"uid"},
}
"""What the schema knows, of classes and of objects."""


def decision(name="d1", **changes):
    return {
        "kind": "decision",
        "time": TIME,
        "decision_id": name,
        "flow_id": "f1",
        "trace_id": "ab" * 16,
        "bundle": BUNDLE,
        "principal": {"id": "ana", "kind": "human", "provider": "sso", "groups": ["support"], "session_id": "s-1"},
        "source": "10.0.0.7",
        "target": "customers",
        "request": {"method": "GET", "host": "customers.internal", "path": "/v1/customers/[redacted]"},
        "effect": "allow",
        "mode": "enforce",
        "rules": [RULE],
        "reason": "allowed-by-rule",
        "shadow": [],
        "approval_id": None,
        "limits": [],
        "refusal": None,
        **changes,
    }


def outcome(name="d1", **changes):
    said = {"status": 200, "refusal": None, "masks": [], "bytes": 128, "stage_us": {"policy": 11}, "error": None}
    return {"kind": "outcome", "time": LATER, "decision_id": name, "path": "/v1/customers/[CARD]", **said, **changes}


def told(*leaves):
    return list(events(enumerate(leaves, 1)))


def refused(kind, reason="x"):
    return {"type": kind, "reason": reason}


def test_a_decision_and_its_outcome_are_one_http_activity():
    (event,) = told(decision(), outcome())
    assert (event["class_uid"], event["category_uid"], event["activity_id"], event["type_uid"]) == (4002, 4, 3, 400203)
    assert event["metadata"]["version"] == "1.6.0"
    assert event["metadata"]["profiles"] == ["host", "security_control", "trace"]
    assert (event["time"], event["end_time"], event["duration"]) == (1_800_000_000_000, 1_800_000_000_250, 250)
    assert (event["action_id"], event["action"], event["disposition_id"]) == (1, "Allowed", 1)
    assert event["policy"] == {"name": "demo", "version": "1.0.0", "uid": "ab" * 32, "is_applied": True}
    assert event["firewall_rule"] == {"uid": "support-reads", "name": "support-reads", "type": "allow"}
    assert event["actor"]["user"] == {
        "uid": "ana",
        "domain": "sso",
        "groups": [{"name": "support"}],
        "type_id": 1,
        "type": "User",
    }
    assert event["actor"]["session"] == {"uid": "s-1"}
    assert event["http_request"] == {
        "uid": "f1",
        "http_method": "GET",
        "url": {"hostname": "customers.internal", "path": "/v1/customers/[CARD]"},
    }
    assert event["http_response"] == {"code": 200, "body_length": 128}
    assert (event["status_id"], event["status_code"]) == (1, "200")


def test_it_has_no_attribute_that_the_schema_does_not_know():
    for event in told(decision(), outcome(), decision("d2", request=None, principal=None), outcome("d2", status=None)):
        assert set(event) <= BASE | HOST | TRACE | CONTROL | HTTP
        for name, members in MEMBERS.items():
            assert set(event.get(name, {})) <= members
        assert {"metadata", "time", "severity_id", "activity_id", "class_uid", "category_uid", "type_uid"} <= set(event)
        assert "http_request" in event


@pytest.mark.parametrize(
    ("decided", "ended", "action", "disposition"),
    [
        ({}, {"masks": [{"location": "/a"}]}, 4, "Allowed"),
        ({"effect": "deny", "mode": "observe"}, {}, 3, "Logged"),
        ({"refusal": refused("denied")}, {"refusal": refused("denied"), "status": 403}, 2, "Blocked"),
        ({"refusal": refused("rate-limited")}, {"refusal": refused("rate-limited"), "status": 429}, 2, "Blocked"),
        (
            {"refusal": refused("unauthenticated")},
            {"refusal": refused("unauthenticated"), "status": 401},
            2,
            "Unauthorized",
        ),
        ({"refusal": refused("malformed-request")}, {"refusal": refused("malformed-request")}, 2, "Rejected"),
        ({"refusal": refused("invalid-request")}, {"refusal": refused("invalid-request")}, 2, "Rejected"),
        ({"refusal": refused("guard-error")}, {"refusal": refused("guard-error"), "status": 503}, 2, "Error"),
        ({}, {"refusal": refused("withheld"), "status": 502}, 2, "Blocked"),
        ({}, {"refusal": refused("unauthenticated", "session-revoked")}, 2, "Access Revoked"),
        ({}, {"refusal": refused("denied")}, 2, "Access Revoked"),
    ],
)
def test_what_the_guard_did_is_the_action_and_its_disposition(decided, ended, action, disposition):
    (event,) = told(decision(**decided), outcome(**ended))
    assert (event["action_id"], event["disposition"]) == (action, disposition)


@pytest.mark.parametrize(
    ("ended", "status"),
    [({}, "Success"), ({"status": 404}, "Failure"), ({"status": None, "error": "client-disconnected"}, "Failure")],
)
def test_the_status_is_that_of_the_answer(ended, status):
    (event,) = told(decision(), outcome(**ended))
    assert event["status"] == status


def test_what_has_no_outcome_yet_is_told_at_the_end_without():
    first, second = told(decision("d1"), decision("d2"), outcome("d2"))
    assert (first["metadata"]["uid"], second["metadata"]["uid"]) == ("d2", "d1")
    assert (second["status"], "http_response" in second) == ("Unknown", False)


def test_an_outcome_whose_decision_lies_before_is_told_by_itself():
    (event,) = told(outcome())
    assert (event["action"], event["disposition"], event["http_response"]["code"]) == ("Unknown", "Unknown", 200)


def test_a_method_of_its_own_is_another_activity():
    (event,) = told(decision(request={"method": "PROPFIND", "host": "h", "path": "/"}), outcome())
    assert (event["activity_id"], event["activity_name"]) == (99, "Propfind")
    assert "http_method" not in event["http_request"]


@pytest.mark.parametrize(
    ("leaf", "activity", "name"),
    [
        ({"kind": "start", "time": TIME, "bundle": BUNDLE, "version": "1"}, 3, "Start"),
        ({"kind": "stop", "time": TIME, "counters": {}}, 4, "Stop"),
        ({"kind": "activation", "time": TIME, "bundle": BUNDLE, "how": "refused", "by": "proxy"}, 8, "Update"),
        (
            {"kind": "act", "time": TIME, "act": "signal-set", "by": "ana", "facts": {"signal": "incident"}},
            99,
            "signal-set",
        ),
    ],
)
def test_what_happens_to_the_proxy_is_application_lifecycle(leaf, activity, name):
    (event,) = told(leaf)
    assert (event["class_uid"], event["type_uid"]) == (6002, 600200 + activity)
    assert (event["activity_name"], event["app"]["name"]) == (name, "Headgate")


def test_rules_that_were_refused_are_a_policy_that_is_not_applied():
    (event,) = told({"kind": "activation", "time": TIME, "bundle": BUNDLE, "how": "refused", "by": "proxy"})
    assert event["policy"]["is_applied"] is False


@pytest.mark.parametrize("junk", [None, [], "x", 7, {"id": None, "groups": 7}])
def test_what_was_tampered_with_makes_an_event_all_the_same(junk):
    leaf = {**decision(), **dict.fromkeys(("request", "principal", "bundle", "rules", "refusal", "time"), junk)}
    for event in told(leaf, {**outcome(), "refusal": junk, "masks": junk, "time": junk}):
        json.dumps(event)


def test_memory_does_not_grow_with_decisions_that_never_end():
    found = events((n, decision(f"d{n}")) for n in range(WAITING + 3))
    assert [next(found)["metadata"]["uid"] for _ in range(3)] == ["d0", "d1", "d2"]
