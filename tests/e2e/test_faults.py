"""Every stage made to fail, in every way, on the way in and on the way out, through every door: it ends in a refusal.

On the way in nothing is dialled; on the way out nothing of what the upstream answered is seen by anybody.
"""

import json

import httpx
import pytest
from tests.e2e.agent import opened
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.proxy import FAULT_DOORS, SCRIPTS, Proxy
from tests.e2e.upstream import Reply, Upstream

KINDS = (
    *("ValueError", "RecursionError", "AddonHalt", "OptionsError", "CancelledError", "TimeoutError", "ExceptionGroup"),
)
LATER = ("later-ValueError", "later-AddonHalt", "later-CancelledError", "later-cancelled", "later-hang")
"""Faults of a stage that waits; all but the last come after it has done its work."""

ON_THE_WAY_IN = (("capture", "requestheaders"), ("identity", "requestheaders"), ("policy", "requestheaders"))
BROKEN = f'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{{"ssn": "{CANARY}"'.encode()


@pytest.fixture(scope="module")
def forward(proxies: Start) -> Proxy:
    proxy = proxies(mode="regular", scripts_after=[SCRIPTS / "sabotage.py"]).ready()
    proxy.output.wait_for("sabotage is in place")
    return proxy


@pytest.fixture(scope="module", params=FAULT_DOORS)
def proxy(request: pytest.FixtureRequest, proxies: Start, upstream: Upstream) -> Proxy:
    script = SCRIPTS / "sabotage.py"
    upstream.forget()
    proxy = proxies(door=request.param, mode=f"reverse:{upstream.url}", scripts_after=[script]).warm()
    proxy.output.wait_for("sabotage is in place")
    return proxy


def fault(proxy: Proxy, stage: str, hook: str, kind: str, path: str = "/customers/7") -> httpx.Response:
    body = f'{{"ssn": "{CANARY}"}}'
    headers = {"X-Fault": f"{stage} {hook} {kind}", "Content-Type": "application/json"}
    return proxy.request("POST", f"{path}?token={CANARY}", headers=headers, content=body)


def assert_refused(proxy: Proxy, response: httpx.Response, status: int, reason: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    details = response.json()
    assert details["reason"] == reason
    assert len(details["decision_id"]) == 26
    assert CANARY not in response.text
    assert CANARY not in str(response.headers)
    if reason.endswith("-failed"):
        proxy.output.wait_for(f"{reason.partition('-')[0]} failed, decision {details['decision_id']} is a refusal")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("stage", "hook"), ON_THE_WAY_IN)
def test_a_stage_that_fails_on_the_way_in_refuses(
    proxy: Proxy, upstream: Upstream, stage: str, hook: str, kind: str
) -> None:
    assert_refused(proxy, fault(proxy, stage, hook, kind), 503, f"{stage}-failed")
    assert upstream.connections == 0


@pytest.mark.parametrize(("stage", "reason"), [("identity", "policy-without-identity"), ("policy", "not-judged")])
def test_a_stage_that_leaves_no_proof_of_its_work_has_refused(
    proxy: Proxy, upstream: Upstream, stage: str, reason: str
) -> None:
    assert_refused(proxy, fault(proxy, stage, "requestheaders", "does-nothing"), 503, reason)
    assert upstream.connections == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["identity", "policy"])
def test_a_stage_that_fails_when_the_body_is_there_refuses(
    proxy: Proxy, upstream: Upstream, stage: str, kind: str
) -> None:
    assert_refused(proxy, fault(proxy, stage, "request", kind), 503, f"{stage}-failed")
    assert upstream.connections == 0


def test_what_policy_has_not_seen_to_its_end_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    """Though it was allowed at its headers: limits, descriptions and changes come after."""
    assert_refused(proxy, fault(proxy, "policy", "request", "does-nothing"), 503, "not-judged")
    assert upstream.connections == 0


@pytest.mark.parametrize("kind", [*KINDS, *LATER])
@pytest.mark.parametrize("stage", ["masking", "capture"])
def test_a_stage_that_fails_on_the_way_out_withholds_the_answer(
    proxy: Proxy, upstream: Upstream, stage: str, kind: str
) -> None:
    response = fault(proxy, stage, "response", kind)
    assert upstream.paths() == [f"POST /customers/7?token={CANARY}"]
    assert_refused(proxy, response, 502, f"{stage}-failed")


def test_what_nobody_has_masked_is_withheld(proxy: Proxy) -> None:
    assert_refused(proxy, fault(proxy, "masking", "response", "does-nothing"), 502, "not-masked")


@pytest.mark.parametrize("kind", ["ValueError", "later-ValueError", "later-hang", "CancelledError", "does-nothing"])
@pytest.mark.parametrize("stage", ["masking", "capture"])
def test_a_stage_that_fails_on_a_broken_answer_shows_nothing_of_it(
    proxy: Proxy, upstream: Upstream, stage: str, kind: str
) -> None:
    upstream.replies["/broken"] = Reply(raw=BROKEN, then="reset")
    response = fault(proxy, stage, "error", kind, "/broken")
    assert response.status_code == 502
    assert CANARY not in response.text
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["capture", "identity", "policy"])
def test_a_stage_that_fails_when_a_tunnel_is_asked_for_opens_none(
    forward: Proxy, upstream: Upstream, stage: str, kind: str
) -> None:
    answer = opened(forward, f"127.0.0.1:{upstream.port}", f"X-Fault: {stage} connect {kind}")
    assert (answer.status, json.loads(answer.body)["reason"]) == (503, f"{stage}-failed")
    assert upstream.connections == 0


@pytest.mark.parametrize("stage", ["masking", "capture"])
def test_a_refused_tunnel_whose_record_fails_stays_refused(forward: Proxy, upstream: Upstream, stage: str) -> None:
    target = f"127.0.0.1:{upstream.port}"
    answer = opened(forward, target, f"X-Fault: {stage} response ValueError", f"Cookie: {CANARY}", token=None)
    assert answer.status == 407
    assert upstream.connections == 0


def test_the_next_request_is_served_as_if_nothing_had_happened(proxy: Proxy) -> None:
    response = proxy.get("/customers/7")
    assert response.status_code == 200, response.text
    assert CANARY not in response.text


def test_what_failed_is_on_the_record(proxy: Proxy) -> None:
    refused = fault(proxy, "policy", "requestheaders", "ValueError").json()
    withheld = fault(proxy, "masking", "response", "ValueError").json()
    for details, status in ((refused, 503), (withheld, 502)):
        recorded = proxy.flows("show", details["decision_id"])
        assert recorded["outcome"]["status"] == status
        assert recorded["outcome"]["refusal"]["reason"] == details["reason"]
        assert recorded["outcome"]["error"] is None or CANARY not in recorded["outcome"]["error"]
