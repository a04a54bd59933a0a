"""A leaf has one canonical form, says what interfaces.md wants said, and holds nothing that must not be written."""

import json
from collections import OrderedDict
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from headgate.audit.entries import make
from headgate.audit.leaf import (
    DEEPEST,
    HIDDEN,
    LeafKind,
    Uncanonical,
    act_leaf,
    canonical,
    decision_leaf,
    digested,
    event_leaf,
    outcome_leaf,
    outlined,
    timestamp,
)
from headgate.model import (
    BundleRef,
    Decision,
    Effect,
    Exchange,
    Kind,
    LimitUse,
    MaskCount,
    Principal,
    Request,
    RuleRef,
    Session,
    Target,
    Workload,
    denied,
    unauthenticated,
    withheld,
)

NOW = 1_800_000_000.0

WRITABLE = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | WRITABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


# -- the canonical form -----------------------------------------------------------------------------------------------


@given(st.dictionaries(NAMES, VALUES))
def test_the_canonical_form_is_that_of_rfc_8785(leaf):
    assert canonical(leaf) == rfc8785.dumps(leaf)
    assert json.loads(canonical(leaf)) == leaf


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just({1}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), ANYTHING, max_size=4))
def test_whatever_else_is_refused_and_never_written_another_way(leaf):
    try:
        written = canonical(leaf)
    except Uncanonical:
        return
    assert written == rfc8785.dumps(leaf)


def nested(levels):
    inner = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


ENDLESS: dict = {}
ENDLESS["a"] = ENDLESS


@pytest.mark.parametrize(
    "value",
    [
        0.0, 1.5, float("nan"), 2**53, -(2**53), b"bytes", {1, 2}, object(), "\ud800", ["\udfff"], {1: "a"},
        {None: "a"}, {"\U0001f600": 1, "\uffff": 2}, {"\ud800": 1}, MappingProxyType({"a": 1}), OrderedDict(a=1),
        nested(DEEPEST), ENDLESS,
    ],
    ids=map(str, range(18)),
)  # fmt: skip
def test_what_no_leaf_may_hold_is_refused(value):
    with pytest.raises(Uncanonical) as raised:
        canonical({"value": value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (NOW, "2027-01-15T08:00:00.000Z"), (NOW + 0.0129, "2027-01-15T08:00:00.012Z")],
)
def test_times_are_utc_with_milliseconds(seconds, text):
    assert timestamp(seconds) == text


# -- what is said -----------------------------------------------------------------------------------------------------

RULE = RuleRef("support-reads", Effect.ALLOW, "rules/policy.yaml", 12)
ANA = Principal(
    "ana",
    Kind.HUMAN,
    "corp-sso",
    groups=frozenset({"support", "eu"}),
    email="ana@corp.example",
    environments=frozenset({"prod"}),
    workload=Workload("desk", version="1.2", verified=True),
    session=Session("s-1", frozenset({"read", "list"}), NOW - 60),
    claims={"sub": "ana", "jti": "claim-secret"},
    expires_at=NOW + 600,
)
REQUEST = Request(
    "POST",
    "https",
    "customers.internal",
    443,
    "/v1/customers/4111111111111111",
    "fields=query-secret&q=1&4012888888881881",
    (("authorization", "Bearer header-secret"), ("cookie", "cookie-secret")),
    "127.0.0.1",
    b"body-secret",
)


def exchange(**changes):
    plain = {
        "bundle": BundleRef("demo", "1.0.0", "ab" * 32),
        "source": "127.0.0.1",
        "request": REQUEST,
        "principal": ANA,
        "target": Target("customers", "prod"),
        "decision": Decision(
            Effect.ALLOW,
            "allowed",
            (RULE,),
            shadow=(RULE,),
            limits=(LimitUse("per-minute", 3),),
            message="words for callers",
        ),
        "masks": (MaskCount("/email", "EMAIL_ADDRESS", "redact", 2),),
        "stage_us": {"identity": 40},
        "trace_id": "0" * 32,
    }
    return Exchange("01" + "0" * 24, NOW, **{**plain, **changes})


def test_a_decision_says_what_was_decided_and_on_what_grounds():
    rule = {"id": "support-reads", "effect": "allow", "file": "rules/policy.yaml", "line": 12}
    assert json.loads(canonical(decision_leaf(exchange(), "flow-1", "d1"))) == {
        "kind": "decision",
        "time": "2027-01-15T08:00:00.000Z",
        "decision_id": "01" + "0" * 24,
        "flow_id": "flow-1",
        "trace_id": "0" * 32,
        "bundle": {"name": "demo", "version": "1.0.0", "sha256": "ab" * 32},
        "principal": {
            "id": "ana",
            "kind": "human",
            "provider": "corp-sso",
            "owner": None,
            "groups": ["eu", "support"],
            "environment": ["prod"],
            "workload": {"name": "desk", "version": "1.2", "commit": None, "digest": None, "verified": True},
            "session_id": "s-1",
            "scopes": ["list", "read"],
        },
        "source": "127.0.0.1",
        "target": "customers",
        "request": {
            "method": "POST",
            "host": "customers.internal",
            "path": f"/v1/customers/{HIDDEN}",
            "query_names": ["fields", "q", HIDDEN],
            "body_digest": "d1",
        },
        "effect": "allow",
        "mode": "enforce",
        "rules": [rule],
        "reason": "allowed",
        "shadow": [rule],
        "approval_id": None,
        "limits": [{"id": "per-minute", "remaining": 3, "exhausted": False, "enforced": True}],
        "refusal": None,
    }


def test_an_outcome_says_what_came_of_it():
    leaf = outcome_leaf(exchange(), now=NOW + 0.02, status=200, size=512, path_shown="/v1/customers/[CREDIT_CARD]")
    assert json.loads(canonical(leaf)) == {
        "kind": "outcome",
        "time": "2027-01-15T08:00:00.020Z",
        "decision_id": "01" + "0" * 24,
        "status": 200,
        "refusal": None,
        "masks": [{"location": "/email", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 2}],
        "bytes": 512,
        "stage_us": {"identity": 40},
        "error": None,
        "path": "/v1/customers/[CREDIT_CARD]",
    }


def test_a_refusal_before_anybody_decided_is_a_deny_with_its_reason():
    nobody = exchange(principal=None, target=None, decision=None, request=None, refusal=unauthenticated("no-token"))
    leaf = decision_leaf(nobody, "flow-1", None)
    assert (leaf["effect"], leaf["reason"], leaf["refusal"]["type"]) == ("deny", "no-token", "unauthenticated")
    assert (leaf["principal"], leaf["request"], leaf["rules"]) == (None, None, [])
    assert decision_leaf(exchange(decision=None), "f", None)["reason"] == "not-judged"


def test_what_was_observed_and_not_enforced_is_marked():
    observed = Decision(Effect.DENY, "no-rule", observed=True)
    assert decision_leaf(exchange(decision=observed), "f", None)["mode"] == "observe"


def test_an_outcome_has_the_status_that_the_caller_got():
    leaf = outcome_leaf(exchange(refusal=withheld("not-masked")), now=NOW, status=200, size=0, error="killed")
    assert (leaf["status"], leaf["refusal"], leaf["error"]) == (
        502,
        {"type": "withheld", "reason": "not-masked"},
        "killed",
    )
    assert outcome_leaf(exchange(error="ValueError"), now=NOW, status=503, size=0, error="x")["error"] == "ValueError"


def test_no_leaf_holds_a_header_a_body_a_query_value_a_claim_or_an_address():
    refused = exchange(refusal=denied("no-rule", "words for callers"))
    written = canonical(decision_leaf(refused, "f", None)) + canonical(outcome_leaf(refused, now=NOW, status=1, size=1))
    for secret in (b"secret", b"4111", b"4012", b"corp.example", b"words"):
        assert secret not in written


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/customers/42", "/v1/customers/42"),
        ("/", "/"),
        ("", ""),
        ("/users/ana@corp.example/cards", f"/users/{HIDDEN}/cards"),
        ("/ssn/078-05-1120", f"/ssn/{HIDDEN}"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", f"/t/{HIDDEN}"),
        ("/orders/3f2a9c81-7b1e-4d", f"/orders/{HIDDEN}"),
        ("/caf%C3%A9", f"/{HIDDEN}"),
        ("/" + "a" * 25, f"/{HIDDEN}"),
    ],
)
def test_a_path_is_outlined(path, shown):
    assert outlined(path) == shown


def test_equal_segments_look_equal_under_a_digest_and_tell_nothing_else():
    def digest(data):
        return data.hex()[::-1].ljust(64, "0")

    one, other = outlined("/c/4111111111111111", digest), outlined("/c/4111111111111111/x", digest)
    assert one + "/x" == other
    assert "4111" not in one
    assert digested("/v1/a/v1", digest).split("/")[1] == digested("/v1/a/v1", digest).split("/")[3] != "v1"
    assert digested("/", digest) == "/"


def test_text_that_no_utf8_can_write_becomes_visible_escapes():
    odd = exchange(source="\ud800", request=Request("G\udcff", "http", "h", 80, "/"))
    made = make(decision_leaf(odd, "f", None))
    assert (made.leaf["source"], made.leaf["request"]["method"]) == ("\\ud800", "G\\udcff")
    assert json.loads(made.body) == made.leaf
    assert b"\\\\udfff" in make(act_leaf("x", "a\ud800", NOW, names=["\udfff", ("\ud801",)])).body


def test_long_paths_are_cut():
    leaf = decision_leaf(exchange(), "f", None, path_shown="/" + "a" * 100_000)
    assert len(leaf["request"]["path"]) == 2048
    assert len(outlined("/a" * 100_000)) == 2048


def test_an_act_names_who_did_what():
    leaf = act_leaf("flows-rescrub", "ana", NOW, flows=12)
    assert leaf == {
        "kind": "act", "time": "2027-01-15T08:00:00.000Z", "act": "flows-rescrub", "by": "ana", "facts": {"flows": 12},
    }  # fmt: skip
    assert event_leaf(LeafKind.START, NOW, version="1")["kind"] == "start"
