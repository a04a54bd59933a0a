"""A captured flow is explained as far as its record tells: what was masked or left out is unknown, and said to be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.explaining import ANA, Explain

from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.writer import Writer
from headgate.model import (
    Decision,
    Effect,
    Kind,
    Principal,
    Session,
    Workload,
    malformed,
    ulid,
    unauthenticated,
)

NOW = 1_800_000_000.0
PATIENCE = 20.0
CALLER = Principal(
    "ana",
    Kind.HUMAN,
    "sso",
    groups=frozenset({"support"}),
    environments=frozenset({"prod"}),
    workload=Workload("desk", verified=True),
    session=Session("s-1", frozenset({"read"}), NOW - 60),
    claims={"tenant": "acme", "realm": {"id": 7}},
)
RECORD = Record(
    ulid(int(NOW * 1000), 1),
    "3f2a91c0-0000-4000-8000-000000000000",
    Mode.MASKED,
    NOW,
    NOW + 0.1,
    "10.0.0.1",
    Line(b"GET", "https", "api.internal", 443, b"/v1/customers/42?a=1", b"HTTP/1.1"),
    CALLER,
    ("/tenant", "/realm/id"),
    None,
    None,
    Decision(Effect.ALLOW, "allowed-by-rule"),
    None,
    200,
    Message(((b"X-Note", b"hi"), (b"X-Mail", b"[EMAIL_ADDRESS]"))),
    None,
    (),
    {},
    None,
)

Flow = Callable[..., dict[str, Any]]


@pytest.fixture
def explain(tmp_path: Path) -> Explain:
    return Explain(tmp_path)


@pytest.fixture
def flow(explain: Explain) -> Flow:
    """Records a flow, and explains it."""

    def explained(*words: str, **changes: Any) -> dict[str, Any]:
        writer = Writer(explain.state, clock=lambda: NOW, randomness=lambda size: b"k" * size)
        writer.put(replace(RECORD, **changes))
        assert writer.close(PATIENCE)
        return explain.json("--flow", "3f2a91c0", *words)

    return explained


def outcome(found: dict[str, Any], rule: str, key: str) -> str:
    conditions = next(one for one in found["rules"] if one["id"] == rule)["conditions"]
    return next(str(one["outcome"]) for one in conditions if one["key"] == key)


def add_rule(explain: Explain, match: str) -> None:
    with (explain.rules / "policy.yaml").open("a", encoding="utf-8") as file:
        file.write(f"  - {{id: more, effect: allow, match: {match}}}\n")


def line(target: bytes, method: bytes = b"GET") -> Line:
    return Line(method, "https", "api.internal", 443, target, b"HTTP/1.1")


def test_it_is_decided_anew_for_its_caller_at_its_time(flow: Flow) -> None:
    found = flow()
    assert (found["decision"]["effect"], found["principal"]["id"], found["now"]) == ("allow", "ana", NOW)
    assert (found["source"], found["signals"]) == ("10.0.0.1", None), "which signals were set is not recorded"


def test_who_when_and_which_signals_may_be_given_instead(flow: Flow) -> None:
    found = flow("--principal", ANA.replace("support", "sales"), "--at", "2027-02-01", "--signal", "incident")
    assert (found["decision"]["reason"], found["signals"]) == ("no-rule-allows", ["incident"])
    assert found["now"] > NOW


@pytest.mark.parametrize(
    ("claim", "outcome_"), [("/tenant: acme", "true"), ("tenant: other", "false"), ("/realm/id: 7", "true")]
)
def test_claims_that_were_recorded_are_known(claim: str, outcome_: str, flow: Flow, explain: Explain) -> None:
    add_rule(explain, f"{{principal: {{claims: {{{claim}}}}}}}")
    (condition,) = next(one for one in flow()["rules"] if one["id"] == "more")["conditions"]
    assert condition["outcome"] == outcome_


def test_claims_that_were_not_are_unknown(flow: Flow, explain: Explain) -> None:
    add_rule(explain, "{principal: {claims: {sub: ana}}}")
    (condition,) = next(one for one in flow()["rules"] if one["id"] == "more")["conditions"]
    assert (condition["outcome"], condition["actual"]) == ("unknown", "not recorded")


def test_the_age_of_the_session_is_that_of_then(flow: Flow, explain: Explain) -> None:
    add_rule(explain, "{principal: {session: {max_age: 2m}}}")
    assert outcome(flow(), "more", "principal.session.max_age") == "true"


@pytest.mark.parametrize("target", [b"/v1/customers/[EMAIL_ADDRESS]", b"/v1/customers/[redacted]", b"/x/****1234"])
def test_a_path_that_was_masked_is_unknown(target: bytes, flow: Flow) -> None:
    found = flow(line=line(target))
    assert outcome(found, "support-reads", "path") == "unknown"
    assert outcome(found, "support-reads", "method") == "true"
    assert found["decision"]["reason"] == "no-rule-allows"
    assert "the path of the request was masked or not recorded: conditions on it are unknown" in found["notes"]


def lost(found: dict[str, Any]) -> list[str]:
    return [note.split()[1] for note in found["notes"] if "masked or not recorded" in note]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, []),
        ({"mode": Mode.METADATA, "request": Message(size=7)}, ["body", "headers", "query"]),
        ({"line": line(b"/a?q=[PERSON]")}, ["query"]),
        ({"line": line(b"/a?q=%5BPERSON%5D")}, ["query"]),
        ({"line": line(b"/a", b"POST")}, ["body"]),
        ({"line": line(b"/a", b"POST"), "request": Message((), b'{"a":1}', 7)}, []),
        ({"line": line(b"/a", b"POST"), "request": Message((), b'{"a":"[redacted]"}', 18)}, ["body"]),
        ({"line": line(b"/a", b"POST"), "request": Message((), b'{"a":1', 7)}, ["body"]),
    ],
    ids=["whole", "metadata", "query", "escaped", "no body", "body", "masked body", "cut"],
)
def test_what_of_a_record_is_unknown_is_said(changes: dict[str, Any], parts: list[str], flow: Flow) -> None:
    assert lost(flow(**changes)) == parts


def test_a_header_that_was_masked_or_that_rules_set_is_named(flow: Flow, explain: Explain) -> None:
    policy = explain.rules / "policy.yaml"
    policy.write_text(
        policy.read_text().replace("effect: allow\n", "effect: allow\n    set_headers: {X-Tenant: a}\n", 1)
    )
    notes = [note for note in flow()["notes"] if note.startswith("the header")]
    assert [note.split("`")[1] for note in notes] == ["x-mail", "x-tenant"]


def test_conditions_on_what_was_masked_are_unknown_and_on_the_rest_known(flow: Flow, explain: Explain) -> None:
    add_rule(
        explain, "{headers: {x-note: hi, x-mail: a@b.example}, query: {a: '1'}, body: {$.n: 1}, source: 10.0.0.0/8}"
    )
    (rule,) = (one for one in flow()["rules"] if one["id"] == "more")
    assert {one["key"]: one["outcome"] for one in rule["conditions"]} == {
        "headers x-note": "true",
        "headers x-mail": "unknown",
        "query a": "true",
        "body $.n": "false",
        "source": "true",
    }


@pytest.mark.parametrize(
    ("host", "mask", "parts"),
    [
        ("api", "detect: [EMAIL_ADDRESS], as: {default: token}", ["body", "headers", "path", "query"]),
        ("api", "detect: [EMAIL_ADDRESS], as: {default: drop}", ["body", "headers"]),
        ("api", "detect: [EMAIL_ADDRESS], as: {default: redact}", []),
        ("api", "fields: [$.ssn], as: {default: drop}", ["body"]),
        ("trial", "detect: [EMAIL_ADDRESS], as: {default: token}", []),
    ],
)
def test_a_mask_that_is_due_and_leaves_no_mark_makes_what_it_reads_unknown(
    host: str, mask: str, parts: list[str], flow: Flow, explain: Explain
) -> None:
    masking = explain.rules / "masking.yaml"
    masking.write_text(f"token_key: env:KEY\nmasks:\n  - {{id: m, match: {{target: api}}, {mask}}}\n", encoding="utf-8")
    sent = Message((), b'{"a":1}', 7)
    found = flow(line=Line(b"POST", "https", f"{host}.internal", 443, b"/a?b=1", b"HTTP/1.1"), request=sent)
    assert lost(found) == parts


@pytest.mark.parametrize(
    ("refusal", "status", "reason"),
    [(unauthenticated("expired"), 401, "expired"), (malformed("path-dot-segment"), 400, "path-dot-segment")],
)
def test_what_was_refused_before_policy_is_the_refusal_that_was_recorded(
    refusal: Any, status: int, reason: str, flow: Flow
) -> None:
    found = flow(principal=None, decision=None, refusal=refusal, status=status)
    assert (found["refusal"]["status"], found["refusal"]["reason"], found["decision"]) == (status, reason, None)
    assert found["refusal"]["meaning"]
    assert found["notes"] == ["this is the refusal that was recorded"]


def test_one_without_a_caller_is_explained_for_a_caller_given(flow: Flow) -> None:
    found = flow("--principal", ANA, principal=None, decision=None, refusal=unauthenticated("expired"), status=401)
    assert (found["refusal"], found["decision"]["effect"]) == (None, "allow")


def test_no_such_flow_is_one_line(explain: Explain, flow: Flow) -> None:
    flow()
    output = explain("--flow", "ffff", code=1).output
    assert output == "Error: no recorded flow has an id that begins with `ffff`\n"
