"""The parts of a request that need more than a table: codings, unread bodies, and whatever a client may send."""

import gzip
import json
import zlib
from functools import partial
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.openapi.samples import by_pointer, described, request, wrong
from tests.policy.openapi.test_payments import payments

from headgate.model import Request
from headgate.policy.openapi import Violation, compile_description
from headgate.policy.openapi.codings import LARGEST

zipped = partial(gzip.compress, mtime=0)
"""Without the time, which would make other tests of them each second."""

AMOUNT = {"type": "object", "properties": {"amount": {"type": "integer"}}}
GOOD, BAD = b'{"amount": 1}', b'{"amount": "1"}'


def bare_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def sent(body: bytes, *codings: str) -> dict[str, str]:
    """What is wrong with a body that is sent with these codings."""
    headers = [("content-type", "application/json"), *(("content-encoding", coding) for coding in codings)]
    return by_pointer(described(AMOUNT).check(request("POST", "/", headers=headers, body=body)))


OTHER_CODING = {"": "has a content coding that is not accepted; accepted: one of `gzip`, `deflate`"}
DAMAGED = {"": "is not in the content coding that its header names"}


@pytest.mark.parametrize(
    ("body", "codings", "expected"),
    [
        (zipped(GOOD), ["gzip"], {}),
        (zipped(BAD), ["gzip"], {"/amount": "is not of type `integer`"}),
        (zipped(BAD), ["X-GZIP"], {"/amount": "is not of type `integer`"}),
        (zlib.compress(BAD), ["identity, deflate"], {"/amount": "is not of type `integer`"}),
        (GOOD, ["identity"], {}),
        (GOOD, ["gzip"], DAMAGED),
        (zipped(GOOD), [], {"": "is not text in UTF-8"}),
        (zipped(zipped(GOOD)), ["gzip, gzip"], OTHER_CODING),
        (zipped(zipped(GOOD)), ["gzip", "gzip"], OTHER_CODING),
        (zipped(GOOD)[:-1], ["gzip"], DAMAGED),
        (zipped(GOOD) + zipped(b" "), ["gzip"], DAMAGED),
        (zipped(GOOD) + b" ", ["gzip"], DAMAGED),
        (bare_deflate(GOOD), ["deflate"], DAMAGED),
        (GOOD, ["br"], OTHER_CODING),
        (zipped(b" " * LARGEST + b"1"), ["gzip"], {"": "is larger than 16 MiB without its content coding"}),
        (zipped(b" " * (LARGEST - 2) + b"{}"), ["gzip"], {}),
    ],
)
def test_a_coded_body_is_judged_by_what_is_in_it(body: bytes, codings: list[str], expected: dict[str, str]) -> None:
    assert sent(body, *codings) == expected


def test_a_body_that_was_not_read_is_a_violation() -> None:
    """Declared or not: what has not been read might be anything."""
    for method, path in (("POST", "/v1/payments"), ("GET", "/v1/customers/me"), ("PATCH", "/v1/customers/1")):
        assert payments("3.1").check(request(method, path, body=None)) == (Violation("/body", "has not been read"),)


def test_the_head_can_be_checked_before_the_body_is_there() -> None:
    description = payments("3.1")
    assert description.check_head(request("POST", "/v1/payments", body=None)) == ()
    assert description.check_head(request("POST", "/v1/customers", body=None)) == (
        Violation("/header/x-request-id", "is missing"),
    )
    assert description.check_head(request("PUT", "/v1/payments", body=None)) == (
        Violation("/method", "is not declared for this path; accepted: `POST`"),
    )


def test_a_header_that_is_no_text_is_a_violation() -> None:
    """A byte that is not UTF-8 reaches the engine as half a surrogate pair."""
    found = payments("3.1").check(
        request("POST", "/v1/customers", headers={"x-request-id": "\udcff"}, json={"name": "A", "email": "a@b.example"})
    )
    assert found == (Violation("/header/x-request-id", "is not text in UTF-8, percent-encoded"),)


def test_unknown_query_parameters_may_be_allowed() -> None:
    whole = {
        "openapi": "3.1.0",
        "paths": {"/": {"get": {"parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}]}}},
    }
    description = compile_description(json.dumps(whole).encode(), "api.json", unknown_query="allow")
    assert description.check(request(query="x=1&y=%zz&n=1")) == ()
    assert by_pointer(description.check(request(query="x=1&n=a"))) == {"/query/n": "is not of type `integer`"}


def test_choices_of_one_member_each_keep_their_own() -> None:
    """What another choice declares for a member of the same name does not count."""

    def choice(kind: str, name: str) -> dict[str, Any]:
        inner = {"type": "object", "properties": {name: {"type": "string"}}}
        return {"type": "object", "required": ["kind"], "properties": {"kind": {"const": kind}, "details": inner}}

    description = described({"oneOf": [choice("card", "number"), choice("bank", "iban")]})
    assert wrong(description, {"kind": "card", "details": {"number": "4"}}) == {}
    assert wrong(description, {"kind": "bank", "details": {"iban": "x"}}) == {}
    assert wrong(description, {"kind": "bank", "details": {"number": "4"}}) == {"/details/number": "is not declared"}


VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 2.5, "", "a", "long"]),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=6,
)
REFERENCES = st.sampled_from([{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}])
SIMPLE = st.sampled_from(
    [
        True,
        {},
        {"type": "string"},
        {"type": "object"},
        {"type": ["array", "integer"]},
        {"const": 1},
        {"maxLength": 1},
        {"maxProperties": 1},
    ]
)


def applied(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas made of others by keywords that apply them; what refers to itself does so below a member or an item."""
    below = inner | REFERENCES
    members = st.dictionaries(st.sampled_from("ab"), below, min_size=1, max_size=2)
    some = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", ["object", "null"]]),
            "properties": members,
            "patternProperties": st.fixed_dictionaries({"^[bc]": below}),
            "additionalProperties": below | st.booleans(),
            "unevaluatedProperties": below | st.booleans(),
            "items": below,
            "prefixItems": st.lists(below, min_size=1, max_size=2),
            "contains": below,
            "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "dependentSchemas": st.fixed_dictionaries({"a": inner}),
        },
    )


SCHEMAS = st.recursive(SIMPLE, applied, max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, SCHEMAS, VALUES)
def test_closing_an_object_lets_nothing_through_that_its_schema_refuses(one: Any, other: Any, value: Any) -> None:
    """And where unknown members are allowed, the answer is the schema's own, as the library gives it."""
    components = {"schemas": {"A": one, "B": other}}
    whole = {"$ref": "#/components/schemas/A", "components": components}
    valid = jsonschema_rs.Draft202012Validator(whole).is_valid(value)
    as_written = described(
        {"$ref": "#/components/schemas/A"}, components=components["schemas"], unknown_members="allow"
    )
    closed = described({"$ref": "#/components/schemas/A"}, components=components["schemas"])
    assert (wrong(as_written, value) == {}) is valid
    assert valid or wrong(closed, value) != {}


TEXTS = st.text(max_size=20) | st.sampled_from(
    ["application/json", "multipart/form-data", "gzip", "deflate", "a=b; tracking=1"]
)
QUERIES = st.text(alphabet="abcdefgiklmst%&=[]+,0129|\u00e9", max_size=40)
PATHS = st.sampled_from(
    [
        "/v1/customers",
        "/v1/customers/me",
        "/v1/customers/7",
        "/v1/payments",
        "/v1/payments/x/refunds",
        "/v1/events",
        "/v1/search",
        "/v1/categories",
        "/v1/anything",
        "/v1/uploads",
    ]
) | st.text(max_size=20).map("/".__add__)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["3.0", "3.1"]),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "get", ""]),
    PATHS,
    QUERIES,
    st.lists(
        st.tuples(st.sampled_from(["content-type", "content-encoding", "cookie", "x-request-id", "x-flags"]), TEXTS),
        max_size=4,
    ),
    st.binary(max_size=50) | VALUES.map(lambda value: json.dumps(value).encode()) | QUERIES.map(str.encode) | st.none(),
)
def test_no_request_raises_anything(
    version: str, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    """There are violations or there are none; all can be shown."""
    for form in (
        headers,
        [*headers, ("content-type", "application/json")],
        [("content-type", "application/x-www-form-urlencoded")],
    ):
        found = payments(version).check(Request(method, "https", "h", 443, path, query, tuple(form), "", body))
        assert len(found) <= 20
        assert all(violation.pointer.isprintable() and violation.what.isprintable() for violation in found)


SECRETS = st.text(alphabet="0123456789", min_size=12, max_size=12).map("sk-live-".__add__)


@settings(deadline=None)
@given(SECRETS, st.sampled_from(["number", "iban", "kind", "amount", "note", "lines", "secret"]))
def test_no_secret_is_quoted(secret: str, member: str) -> None:
    payment: dict[str, Any] = {"amount": 1, "currency": "EUR", "method": {"kind": "card", "number": 4}}
    holder = payment["method"] if member in ("number", "iban", "kind") else payment
    holder[member] = secret if member != "lines" else [secret, {"sku": [secret]}]
    found = payments("3.1").check(request("POST", "/v1/payments", query=f"cursor={secret}", json=payment))
    assert secret not in repr(found)
