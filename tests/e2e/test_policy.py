"""The rules language at the door: what the upstream sees and what the caller gets, by every effect and key."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Upstream
from tests.e2e.wire import answer_on, received

TARGETS = """
targets:
  - {name: api, hosts: [127.0.0.1], environment: dev}
  - {name: described, hosts: [127.0.0.2], environment: dev, openapi: openapi/orders.yaml}
  - {name: half, hosts: [127.0.0.3], environment: dev, openapi: {file: openapi/orders.yaml, mode: shadow}}
  - {name: trial, hosts: [localhost], environment: prod, observe: true}
unknown: refuse
"""
DESCRIPTION = """
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [item], properties: {item: {type: string}, amount: {type: integer}}}
      responses: {"200": {description: done}}
"""
POLICY = """
rules:
  - {id: orders, effect: allow, match: {target: [described, half], method: [GET, POST]}}
  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api, path: "/v1/{rest...}"}}
  - id: shaped
    effect: allow
    match: {principal: {groups: [support]}, target: api, path: "/shaped/{tenant}"}
    set_headers: {X-Tenant: "{path_params.tenant}", X-Caller: "{principal.id}"}
    remove_headers: X-Debug
    remove_query: [debug]
  - id: needs-email
    effect: allow
    match: {target: api, path: /email}
    set_headers: {X-Email: "{principal.email}"}
  - id: leads-approve
    effect: approve
    match: {target: api, path: /v1/refunds, body: {"$.amount": {gt: 1000}}}
    approval: {by: {groups: [finance-leads]}}
    message: Refunds above 1,000 need a finance lead.
  - {id: no-force, effect: deny, match: {target: api, query: {force: {present: true}}}, message: Never by force.}
  - {id: no-office, effect: deny, match: {target: api, headers: {x-office: {regex: "^paris-[0-9]+$"}}}}
  - {id: not-from-here, effect: deny, match: {target: api, path: /v1/elsewhere, source: 127.0.0.0/8}}
  - {id: incident, effect: deny, match: {target: api, method: write, path: "/v1/frozen/{rest...}", signal: incident}}
  - id: by-expression
    effect: deny
    match: {target: api, path: "/v1/teams/{team}"}
    when: "!(path_params.team in principal.groups)"
  - {id: shadowed, effect: deny, match: {target: api, path: /v1/shadowed}, mode: shadow}
  - {id: never-trial, effect: deny, match: {target: trial}}
limits:
  - {id: bursts, match: {target: api, path: /v1/limited}, rate: 2/hour}
"""


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    upstream.forget()
    rules = write_rules(tmp_path_factory.mktemp("policy") / "rules", targets=TARGETS, policy=POLICY)
    write_description(rules)
    return proxies(mode=f"reverse:{upstream.url}", rules=rules).warm("/v1/customers")


@pytest.fixture(scope="module")
def described(proxies: Start, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    """A forward proxy: which target it is, is told by the address."""
    rules = write_rules(tmp_path_factory.mktemp("described") / "rules", targets=TARGETS, policy=POLICY)
    write_description(rules)
    return proxies(rules=rules).ready()


def write_description(rules: Path) -> None:
    (rules / "openapi").mkdir()
    (rules / "openapi/orders.yaml").write_text(DESCRIPTION)


@pytest.fixture(scope="module")
def trial(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    rules = write_rules(tmp_path_factory.mktemp("trial") / "rules", targets=TARGETS, policy=POLICY)
    write_description(rules)
    mode = f"reverse:{upstream.url.replace('127.0.0.1', 'localhost')}"
    return proxies(mode=mode, rules=rules).ready()


def refused(answer: httpx.Response, status: int, reason: str, rule: str | None = None) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["reason"], problem.get("rule")) == (status, reason, rule)
    return problem


def post(proxy: Proxy, path: str, document: Any, **keywords: Any) -> httpx.Response:
    return proxy.request("POST", path, json=document, **keywords)


def test_an_approve_refuses_with_its_own_reason_until_there_are_approvals(proxy: Proxy, upstream: Upstream) -> None:
    problem = refused(post(proxy, "/v1/refunds", {"amount": 2000}), 403, "approvals-unavailable", "leads-approve")
    assert problem["type"].endswith(":approval-required")
    assert problem["detail"] == "Refunds above 1,000 need a finance lead."
    assert upstream.seen == []


def test_a_body_within_the_limit_goes_on(proxy: Proxy, upstream: Upstream) -> None:
    assert post(proxy, "/v1/refunds", {"amount": 999}).status_code == 200
    assert json.loads(upstream.seen[0].body) == {"amount": 999}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"amount": "2000"}', "application/json"),
        (b'{"amount": 1, "amount": 2000}', "application/json"),
        (b'{"amount": 2000, "amount": 1}', "application/json"),
        (b'{"Amount": 2000, "amount": 1}', "application/json"),
        (b'{"amount": 2000}', "text/plain"),
        (b'{"amount": 2000', "application/json"),
        (b'{"amount": 2e3}', "application/json"),
        (b"amount=2000", "application/x-www-form-urlencoded"),
        (b'\xff\xfe{\x00"\x00', "application/json"),
    ],
    ids=["text", "first-counts", "last-counts", "case", "lying-type", "broken", "exponent", "form", "utf-16"],
)
def test_no_way_of_writing_a_large_refund_slips_into_the_broader_allow(
    proxy: Proxy, upstream: Upstream, body: bytes, kind: str
) -> None:
    answer = proxy.request("POST", "/v1/refunds", content=body, headers={"Content-Type": kind})
    refused(answer, 403, "approvals-unavailable", "leads-approve")
    assert upstream.seen == []


def test_a_request_that_no_body_can_save_is_cut_off_before_it_is_sent(proxy: Proxy, upstream: Upstream) -> None:
    """While one whose body decides is read on."""
    with proxy.connect() as connection:
        connection.sendall(proxy.written("POST", "/nowhere", "Content-Length: 5000000"))
        assert received(connection) == b""
    with proxy.connect() as connection:
        connection.sendall(proxy.written("POST", "/v1/refunds", "Content-Length: 2000000", "Content-Type: text/plain"))
        connection.sendall(b"x" * 2_000_000)
        assert answer_on(connection).status == 403
    assert upstream.seen == []


def test_headers_are_set_and_removed_in_every_spelling(proxy: Proxy, upstream: Upstream) -> None:
    headers = {"X_Tenant": "evil", "x.debug": "1", "X-Other": "kept"}
    assert proxy.request("GET", "/shaped/acme?debug=1&page=2", headers=headers).status_code == 200
    (seen,) = upstream.seen
    assert seen.path == "/shaped/acme?page=2"
    names = {name.lower().replace("_", "-").replace(".", "-") for name, _ in seen.headers}
    assert (seen.header("x-tenant"), seen.header("x_tenant"), "x-debug" in names) == (["acme"], [], False)
    assert seen.header("x-other") == ["kept"]
    assert len(seen.header("x-caller")) == 1


def test_a_header_that_cannot_be_filled_refuses(proxy: Proxy, upstream: Upstream) -> None:
    refused(proxy.request("GET", "/email"), 403, "header-value-missing", "needs-email")
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("path", "headers", "rule"),
    [
        ("/v1/x?force", {}, "no-force"),
        ("/v1/x?a=1&force=1", {}, "no-force"),
        ("/v1/x?%66orce=", {}, "no-force"),
        ("/v1/x?FORCE=1", {}, "no-force"),
        ("/v1/x", {"X-Office": "paris-7"}, "no-office"),
        ("/v1/elsewhere", {}, "not-from-here"),
        ("/v1/teams/finance", {}, "by-expression"),
    ],
    ids=["bare", "valued", "encoded", "upper", "header", "source", "expression"],
)
def test_conditions_on_what_a_request_says(
    proxy: Proxy, upstream: Upstream, path: str, headers: dict[str, str], rule: str
) -> None:
    answer = proxy.request("GET", path, headers=headers)
    assert (answer.status_code, answer.json().get("rule")) == (403, rule)
    assert upstream.seen == []


@pytest.mark.parametrize("path", ["/v1/x?enforce=1", "/v1/teams/support", "/v1/shadowed"])
def test_what_none_of_them_is_about_goes_on(proxy: Proxy, upstream: Upstream, path: str) -> None:
    assert proxy.request("GET", path, headers={"X-Office": "london-7"}).status_code == 200
    assert upstream.paths() == [f"GET {path}"]


def test_a_signal_freezes_what_rules_name_until_it_is_cleared(proxy: Proxy) -> None:
    path = "/v1/frozen/accounts"
    assert post(proxy, path, {}).status_code == 200
    proxy.headgate("signal", "set", "incident", "--for", "1h")
    assert _soon(proxy, path, 403)
    assert proxy.request("GET", path).status_code == 200
    proxy.headgate("signal", "clear", "incident")
    assert _soon(proxy, path, 200)


def _soon(proxy: Proxy, path: str, status: int) -> bool:
    """Whether requests are answered so within some seconds; there is nothing to wait for but that."""
    return any(post(proxy, path, {}).status_code == status or time.sleep(0.1) for _ in range(100))


def test_a_limit_refuses_with_what_the_caller_needs_to_know(proxy: Proxy, upstream: Upstream) -> None:
    answers = [proxy.request("GET", "/v1/limited") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    problem = refused(answers[-1], 429, "rate-limited", "bursts")
    assert problem["type"].endswith(":rate-limited")
    assert answers[-1].headers["RateLimit-Policy"].startswith('"bursts";q=2;w=3600')
    assert int(answers[-1].headers["Retry-After"]) in range(1, 1801)
    assert "r=0" in answers[-1].headers["RateLimit"]
    assert upstream.paths() == ["GET /v1/limited"] * 2
    other = proxy.request("GET", "/v1/limited", token=proxy.token(sub="somebody-else"))
    assert other.status_code == 200


def order(described: Proxy, host: str, document: Any, path: str = "/orders") -> httpx.Response:
    proxy = f"http://token:{described.token()}@127.0.0.1:{described.port}"
    with httpx.Client(proxy=proxy, trust_env=False) as client:
        return client.post(f"http://{host}{path}", json=document)


def test_a_request_that_its_target_does_not_describe_is_refused_with_where_it_does_not_fit(described: Proxy) -> None:
    answer = order(described, "127.0.0.2:9", {"item": 7, "secret": "x"})
    problem = refused(answer, 422, "not-as-described")
    assert problem["type"].endswith(":invalid-request")
    assert {error["pointer"] for error in problem["errors"]} == {"/body/item", "/body/secret"}
    assert refused(order(described, "127.0.0.2:9", {}, "/other"), 422, "not-as-described")
    assert order(described, "127.0.0.2:9", {"item": "tea"}).status_code == 502, "it goes on, to where nobody listens"


def test_a_description_in_shadow_mode_only_says_what_does_not_fit(described: Proxy) -> None:
    assert order(described, "127.0.0.3:9", {"item": 7}).status_code == 502
    described.settle()
    decision = described.flows("show", described.flows("list")[0]["flow_id"])
    assert (decision["effect"], decision["violations"]) == ("allow", ["/body/item"])


def test_every_request_is_part_of_a_trace_and_nobody_joins_one_of_others(proxy: Proxy, upstream: Upstream) -> None:
    named = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"traceparent": named, "tracestate": "vendor=1"}
    assert proxy.request("GET", "/v1/traced", headers=headers).status_code == 200
    (sent,) = upstream.seen[0].header("traceparent")
    assert upstream.seen[0].header("tracestate") == []
    flow = proxy.flows("show", next(f for f in proxy.flows("list") if f["request"]["path"] == "/v1/traced")["flow_id"])
    assert (sent.split("-")[1], flow["trace_link"]) == (flow["trace_id"], "a" * 32)
    assert flow["trace_id"] != "a" * 32


def test_an_observed_target_lets_through_what_it_would_refuse_and_says_so(trial: Proxy, upstream: Upstream) -> None:
    assert trial.request("DELETE", "/v1/customers/7").status_code == 200
    assert upstream.paths() == ["DELETE /v1/customers/7"]
    trial.settle()
    flow = trial.flows("list")[0]
    decision = trial.flows("show", flow["flow_id"])
    assert (decision["mode"], decision["effect"], decision["reason"]) == ("observe", "deny", "environment-mismatch")
    assert "target `trial` is OBSERVED: nothing of what policy says of it is enforced" in trial.output.text


def test_an_observed_target_still_wants_to_know_who_calls(trial: Proxy, upstream: Upstream) -> None:
    refused(trial.request("GET", "/v1/x", token=None), 401, "no-token")
    assert upstream.seen == []


def test_what_a_shadow_rule_would_have_said_is_recorded(proxy: Proxy) -> None:
    assert proxy.request("GET", "/v1/shadowed").status_code == 200
    proxy.settle()
    flow = next(flow for flow in proxy.flows("list") if flow["request"]["path"] == "/v1/shadowed")
    decision = proxy.flows("show", flow["flow_id"])
    assert ([rule["id"] for rule in decision["shadow"]], decision["shadow_effect"]) == (["shadowed"], "deny")


@pytest.fixture(autouse=True)
def _clear(proxy: Proxy) -> Iterator[None]:
    yield
    if "incident" in proxy.headgate("signal", "list"):
        proxy.headgate("signal", "clear", "incident")
