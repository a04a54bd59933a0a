"""A refused caller gets problem details with a decision id, and nothing about the rules but what is meant for it."""

import json
from dataclasses import replace

import pytest

from headgate.model import denied, guard_error, malformed, unauthenticated, withheld
from headgate.proxy.answers import answer, stand_in

ID = "01J0000000000000000000000A"


@pytest.mark.parametrize(
    ("refusal", "status", "slug"),
    [
        (malformed("host-mismatch"), 400, "malformed-request"),
        (unauthenticated("token-expired"), 401, "unauthenticated"),
        (denied("no-rule-allows"), 403, "denied"),
        (withheld("not-json"), 502, "withheld"),
        (guard_error("policy-failed"), 503, "guard-error"),
    ],
)
def test_each_refusal_has_its_status_and_type(refusal: object, status: int, slug: str) -> None:
    response = answer(refusal, ID)  # type: ignore[arg-type]
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body = json.loads(response.content or b"")
    assert body["type"].endswith(f":{slug}")
    assert body["decision_id"] == ID


def test_a_denial_tells_the_operators_words_and_the_rule() -> None:
    body = json.loads(answer(denied("denied-by-rule", "Not on Fridays.", "no-fridays"), ID).content or b"")
    assert (body["detail"], body["rule"]) == ("Not on Fridays.", "no-fridays")


def test_a_missing_token_is_challenged_without_an_error_and_a_bad_one_with_its_reason() -> None:
    assert answer(unauthenticated("no-token"), ID).headers["www-authenticate"] == 'Bearer realm="headgate"'
    challenge = answer(unauthenticated("token-expired"), ID).headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert 'error_description="token-expired"' in challenge


def test_head_gets_no_body() -> None:
    assert answer(denied("no-rule-allows"), ID, "HEAD").content == b""


def test_the_reason_is_in_the_status_line_where_clients_drop_the_body() -> None:
    refused = answer(replace(unauthenticated("token-expired"), status=407), ID, "CONNECT")
    assert (refused.status_code, refused.reason) == (407, "Proxy Authentication Required (token-expired)")
    assert answer(denied("no-rule-allows"), ID).reason == "Forbidden"


def test_what_stands_in_until_a_request_is_judged_is_a_refusal_too() -> None:
    response = stand_in(ID)
    assert response.status_code == 503
    assert json.loads(response.content or b"")["decision_id"] == ID
