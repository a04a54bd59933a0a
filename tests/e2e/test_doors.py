"""Each way of starting the guard serves the same chain: verified, decided, masked, recorded; refused in one form."""

import re
import socket

import httpx
import pytest
from tests.e2e.canary import CANARY, CARD
from tests.e2e.conftest import Start
from tests.e2e.proxy import DOORS, Proxy
from tests.e2e.upstream import Upstream

ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@pytest.fixture(scope="module", params=DOORS)
def proxy(request: pytest.FixtureRequest, proxies: Start, upstream: Upstream) -> Proxy:
    return proxies(door=request.param, mode=f"reverse:{upstream.url}").warm()


def problem(response: httpx.Response, status: int, slug: str, reason: str) -> dict[str, str]:
    """The problem details of a refusal, in the form in which every refusal comes."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    details: dict[str, str] = response.json()
    assert details["type"].endswith(":" + slug)
    assert details["reason"] == reason
    assert ULID.fullmatch(details["decision_id"])
    return details


def test_an_allowed_request_is_answered_with_what_the_masks_leave(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.get("/customers/7")
    assert response.status_code == 200, response.text
    customer = response.json()
    assert customer["city"] == "Oslo"
    assert customer["ssn"] == "[REDACTED]"
    assert CANARY not in response.text
    assert CARD not in response.text
    assert CANARY not in response.headers["x-account-email"]
    assert response.headers["set-cookie"].startswith(f"session={CANARY};"), "a caller's own cookie is the caller's"
    assert upstream.paths() == ["GET /customers/7"]


def test_the_token_stays_here(proxy: Proxy, upstream: Upstream) -> None:
    proxy.get("/customers/7")
    assert upstream.seen[0].header("authorization") == []


def test_what_was_allowed_is_recorded_masked(proxy: Proxy) -> None:
    proxy.get(f"/customers/7?token={CANARY}")
    recorded = proxy.flows("list")[0]
    assert recorded["principal"] == {"id": "ana", "kind": "human"}
    assert recorded["request"]["path"] == "/customers/7"
    assert (recorded["verdict"], recorded["rule"], recorded["outcome"]["status"]) == ("allowed", "support-may", 200)
    assert recorded["outcome"]["masked"] > 0


def test_a_refusal_by_a_rule_names_the_rule_and_says_what_the_operator_wrote(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.request("DELETE", "/customers/7")
    details = problem(response, 403, "denied", "denied-by-rule")
    assert (details["rule"], details["detail"]) == ("nobody-deletes", "Nothing is deleted here.")
    assert upstream.connections == 0
    assert proxy.flows("show", details["decision_id"])["verdict"] == "refused"


def test_what_no_rule_allows_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.get("/customers/7", token=proxy.token(groups=["visitors"]))
    problem(response, 403, "denied", "no-rule-allows")
    assert upstream.connections == 0


def test_without_a_token_nothing_is_dialled(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.get("/customers/7", token=None)
    details = problem(response, 401, "unauthenticated", "no-token")
    assert response.headers["www-authenticate"] == 'Bearer realm="headgate"'
    assert upstream.connections == 0
    assert proxy.flows("show", details["decision_id"])["outcome"]["status"] == 401


def test_a_token_that_does_not_verify_is_refused_with_its_reason(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.get("/customers/7", token=proxy.token(aud="another-service"))
    problem(response, 401, "unauthenticated", "audience-mismatch")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert upstream.connections == 0


def test_a_head_request_is_refused_without_a_body(proxy: Proxy, upstream: Upstream) -> None:
    response = proxy.request("HEAD", "/customers/7", token=None)
    assert (response.status_code, response.content) == (401, b"")
    assert upstream.connections == 0


def test_only_this_machine_reaches_the_listener_unless_somebody_says_otherwise(proxy: Proxy) -> None:
    assert "listening at 127.0.0.1" in proxy.output.text
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5):
        pass
