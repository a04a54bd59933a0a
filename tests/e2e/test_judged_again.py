"""What a real proxy has decided and masked comes out the same when its record is judged again under the same rules."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.test_policy import POLICY, TARGETS, write_description
from tests.e2e.upstream import Reply, Upstream

from headgate.bundle.load import Bundle, load_bundle
from headgate.capture.entries import Entry
from headgate.capture.store import Store
from headgate.replay.judge import Judged, as_recorded, decide_and_mask, was_judged

MASKING = """
masks:
  - id: personal-data
    match: {target: api}
    except: {principal: {groups: [privacy]}}
    fields: ["$..ssn", "$.rows[*].name", "header:X-Account-Email", "query:token"]
    detect: [EMAIL_ADDRESS, CREDIT_CARD, US_SSN]
    as: {default: redact, CREDIT_CARD: last4}
    pass_types: [text/plain, text/event-stream]
  - {id: dropped, match: {target: api, path: "/v1/dropped/{id}"}, fields: ["$.secret"], as: {default: drop}}
  - {id: nulled, match: {target: api, path: "/v1/nulled/{id}"}, detect: [EMAIL_ADDRESS], as: {default: "null"}}
"""
CLAIMS = """
  - {id: by-team, effect: allow, match: {principal: {claims: {team: billing}}, target: api, path: /by-team}}
  - {id: not-contractors, effect: deny, match: {principal: {claims: {/org/type: contractor}}, path: /by-team}}
"""
ROWS = {"rows": [{"name": "Ana", "email": "ana@example.com", "card": "4111 1111 1111 1111"}, {"name": None}]}
EVENTS = b'data: {"text": "write to ana@example.com"}\n\ndata: {"text": "or not"}\n\n'


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    upstream.forget()
    policy = POLICY.replace("limits:\n", f"{CLAIMS.strip(chr(10))}\nlimits:\n")
    rules = write_rules(tmp_path_factory.mktemp("judged") / "rules", targets=TARGETS, policy=policy, masking=MASKING)
    write_description(rules)
    return proxies(mode=f"reverse:{upstream.url}", rules=rules).warm("/v1/customers")


@pytest.fixture(scope="module")
def working_day(proxy: Proxy, upstream: Upstream) -> dict[str, Entry]:
    """What was recorded of all sorts of requests, by what is special about each."""
    upstream.forget()
    answers = {
        "/v1/rows": json.dumps(ROWS).encode(),
        "/v1/dropped/1": b'{"secret": "x", "left": 1}',
        "/v1/nulled/1": b'{"email": "ana@example.com", "left": 1}',
        "/v1/plain": b"{}",
    }
    upstream.replies |= {path: Reply(body) for path, body in answers.items()}
    upstream.replies["/v1/events"] = Reply(EVENTS, headers={"Content-Type": "text/event-stream"})
    upstream.replies["/v1/picture"] = Reply(b"\x89PNG", headers={"Content-Type": "image/png"})
    upstream.replies["/v1/header"] = Reply(b"{}", headers={"X-Account-Email": "ana@example.com"})
    proxy.settle()
    before = {entry.summary.decision_id for entry in Store(proxy.state).walk()}
    names = list(_send(proxy))
    proxy.settle()
    found = [entry for entry in Store(proxy.state).walk() if entry.summary.decision_id not in before]
    assert len(found) == len(names)
    return dict(zip(names, found, strict=True))


def _send(proxy: Proxy) -> Iterator[str]:
    for path in ("rows", "dropped/1", "nulled/1", "plain", "events", "picture", "header", "elsewhere", "shadowed"):
        proxy.get(f"/v1/{path}")
        yield path
    proxy.get("/v1/rows", token=proxy.token(groups=["support", "privacy"]))
    yield "excepted"
    proxy.get("/v1/plain?token=abc&force=1")
    yield "query"
    proxy.get("/v1/plain", headers={"X-Office": "paris-12"})
    yield "header that a rule reads"
    proxy.get("/v1/plain", token=proxy.token(groups=["others"]))
    yield "nobody allows"
    proxy.get("/v1/plain", token=proxy.token(env="prod"))
    yield "another environment"
    proxy.get("/v1/plain", token=None)
    yield "no token"
    proxy.get("/v1/plain", token="none.such.token")
    yield "not a token"
    proxy.request("POST", "/v1/refunds", json={"amount": 5000})
    yield "approval"
    proxy.request("POST", "/v1/refunds", json={"amount": 5})
    yield "small refund"
    proxy.request("POST", "/v1/refunds", json={"amount": 5, "to": "ana@example.com"})
    yield "masked request"
    proxy.get("/shaped/acme?debug=1", headers={"X-Debug": "1"})
    yield "shaped"
    proxy.get("/email")
    yield "cannot be shaped"
    proxy.get("/v1/teams/support")
    yield "by expression, allowed"
    proxy.get("/v1/teams/others")
    yield "by expression, denied"
    proxy.get("/by-team", token=proxy.token(team="billing"))
    yield "by claim, allowed"
    proxy.get("/by-team", token=proxy.token(team="billing", org={"type": "contractor"}))
    yield "by claim, denied"
    proxy.get("/by-team")
    yield "without the claim"
    for number in range(3):
        proxy.get("/v1/limited")
        yield f"limited {number}"


@pytest.fixture(scope="module")
def bundle(proxy: Proxy) -> Bundle:
    return load_bundle(Path(proxy.rules))


def told(judged: Judged) -> dict[str, object]:
    """What the record tells, too; rules by their ids."""
    return {
        "effect": judged.effect,
        "reason": judged.reason,
        "rules": [rule.id for rule in judged.rules],
        "shadow": [rule.id for rule in judged.shadow],
        "shadow_effect": judged.shadow_effect,
        "refusal": judged.refusal if not judged.withheld else "withheld",
        "withheld": judged.withheld,
        "limits": judged.limits,
        "violations": judged.violations,
        "masks": [(mask.location, mask.entity, mask.operator, mask.count) for mask in judged.masks],
    }


def test_nothing_that_was_recorded_has_drifted(working_day: dict[str, Entry], bundle: Bundle) -> None:
    judged = {name: decide_and_mask(bundle, entry, recorded_under=bundle) for name, entry in working_day.items()}
    drifted = {
        name: (told(as_recorded(working_day[name])), told(said))
        for name, said in judged.items()
        if said.certain and told(as_recorded(working_day[name])) != told(said)
    }
    assert drifted == {}


def test_what_policy_never_saw_is_not_judged(working_day: dict[str, Entry]) -> None:
    assert [name for name, entry in working_day.items() if not was_judged(entry)] == ["no token", "not a token"]


def test_only_what_was_masked_in_a_request_is_uncertain(working_day: dict[str, Entry], bundle: Bundle) -> None:
    judged = {name: decide_and_mask(bundle, entry, recorded_under=bundle) for name, entry in working_day.items()}
    assert [name for name, said in judged.items() if not said.certain] == ["masked request"]
