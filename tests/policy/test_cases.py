"""Callers and requests as people write them down."""

import json
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import ValidationError

from headgate.identity.callers import ANONYMOUS
from headgate.model import Kind, Principal, Session, Target, Workload
from headgate.policy.cases import PrincipalCase, RequestCase

NOW = 2_000_000.0
API = Target("api", "prod", audiences=frozenset({"payments"}))


def principal(written: dict[str, Any], target: Target | None = API) -> Principal:
    return PrincipalCase.model_validate(written).principal(target, NOW)


def test_everything_that_can_be_said_of_a_caller() -> None:
    written = {
        "id": "bot",
        "kind": "agent",
        "provider": "sso",
        "groups": ["a", "b"],
        "email": "b@corp.example",
        "owner": "ana",
        "person": "p-1",
        "environment": ["prod", "staging"],
        "audiences": "other",
        "workload": {"name": "desk", "commit": "abc", "verified": True},
        "session": {"id": "s", "scopes": "read", "age": "10m"},
        "claims": {"tenant": {"ids": [1, {"a": None}]}},
    }
    found = principal(written)
    assert found == Principal(
        "bot",
        Kind.AGENT,
        "sso",
        frozenset({"a", "b"}),
        "b@corp.example",
        "ana",
        "p-1",
        frozenset({"prod", "staging"}),
        frozenset({"other"}),
        Workload("desk", commit="abc", verified=True),
        Session("s", frozenset({"read"}), NOW - 600),
        {"tenant": {"ids": (1, {"a": None})}},
    )
    assert isinstance(found.claims["tenant"], MappingProxyType), "read-only, as live"


def test_what_is_left_out_is_absent_but_the_audiences_are_those_of_the_target() -> None:
    found = principal({"id": "ana", "kind": "human"})
    assert found == Principal("ana", Kind.HUMAN, "test", audiences=frozenset({"payments"}))
    assert found.session.issued_at is None
    assert principal({"id": "ana", "kind": "human"}, None).audiences == frozenset()
    assert principal({"id": "ana", "kind": "human", "audiences": []}).audiences == frozenset()


def test_an_anonymous_caller_is_the_one_that_traffic_has() -> None:
    assert principal({"kind": "anonymous"}) == ANONYMOUS


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"id": "ana"}, "Field required"),
        ({"kind": "human"}, "`id` is missing; accepted: who calls, or `kind: anonymous`"),
        ({"kind": "anonymous", "groups": ["a"]}, "an anonymous caller has proven nothing"),
        ({"kind": "anonymous", "id": "ana"}, "an anonymous caller has proven nothing"),
        ({"kind": "root", "id": "a"}, "'human', 'service', 'agent', 'ci' or 'anonymous'"),
        ({"kind": "human", "id": "a", "group": "b"}, "Extra inputs are not permitted"),
        ({"kind": "human", "id": "a", "session": {"age": 5}}, "not a duration"),
        ({"kind": "human", "id": None}, "a value is missing"),
    ],
)
def test_what_cannot_be_a_caller(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        principal(written)


@pytest.mark.parametrize(
    ("written", "content", "fields"),
    [
        ({}, b"", ()),
        ({"body": "a=b"}, b"a=b", ()),
        ({"body": {"a": 1}}, b'{"a": 1}', ((b"Content-Type", b"application/json"),)),
        ({"body": [1], "headers": {"content-type": "text/x"}}, b"[1]", ((b"content-type", b"text/x"),)),
        ({"headers": {"X-A": ["1", "2"], "X-B": "3"}}, b"", ((b"X-A", b"1"), (b"X-A", b"2"), (b"X-B", b"3"))),
        ({"body": "\ud800"}, b"\xed\xa0\x80", ()),
    ],
    ids=["nothing", "text", "object", "own type", "several values", "no text"],
)
def test_a_request_as_it_is_sent(written: dict[str, Any], content: bytes, fields: Any) -> None:
    case = RequestCase.model_validate({"url": "https://api.internal/"} | written)
    assert (case.method, case.content(), case.fields(), case.source) == ("GET", content, fields, "")


def test_a_case_is_described_by_a_schema() -> None:
    for model in (PrincipalCase, RequestCase):
        assert json.dumps(model.model_json_schema())
