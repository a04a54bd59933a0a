"""Masking on the flow: what the caller gets, what recorders may see, and what is withheld."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from headgate.bundled import Files
from headgate.masking.addon import INLINE, Masking
from headgate.masking.rules import MaskingFile, MaskingRules, compile_masking
from headgate.masking.streaming import MOST_COUNTS
from headgate.masking.tokens import token
from headgate.masking.workers import Workers
from headgate.model import (
    BundleRef,
    Exchange,
    Kind,
    MaskCount,
    Principal,
    Request,
    Session,
    Target,
    denied,
    malformed,
    unauthenticated,
)

BUNDLE = BundleRef("demo", "1.0.0", "ab" * 32)
ANA = Principal("ana", Kind.HUMAN, "corp", groups=frozenset({"support"}))
CUSTOMERS = Target("customers", "prod")
KEY = b"0123456789abcdef"
DETECT = {"detect": ["EMAIL_ADDRESS"]}
FIELDS = {"fields": ["$..ssn"]}
PLACEHOLDER = http.Response.make(503, b"wait")


class Case:
    """A flow at the moment of `response`, with what the guard knows of it."""

    def __init__(
        self, *masks: dict[str, Any], body: bytes = b"{}", path: str = "/v1/customers/1", **headers: str
    ) -> None:
        self.flow = tflow.tflow()
        self.flow.request = http.Request.make(
            "POST", f"https://customers.internal{path}", b"", ((b"X-Note", b"plain"),)
        )
        self.upstream = http.Response.make(200, b"", {"content-type": "application/json"} | headers)
        self.upstream.raw_content = body
        self.upstream.reason = "ana@example.com"
        self.flow.response = PLACEHOLDER
        request = Request("POST", "https", "customers.internal", 443, "/v1/customers/1")
        self.exchange = Exchange("01J", 0.0, BUNDLE, "127.0.0.1", request, ANA, CUSTOMERS, withheld=self.upstream)
        self.rules = _rules(*masks)

    @property
    def reason(self) -> str | None:
        return self.exchange.refusal.reason if self.exchange.refusal else None

    @property
    def response(self) -> http.Response:
        assert self.flow.response is not None
        return self.flow.response

    @property
    def raw_content(self) -> bytes:
        assert self.response.raw_content is not None
        return self.response.raw_content

    def refuse(self, refusal: Any) -> "Case":
        self.exchange.refusal, self.exchange.withheld = refusal, None
        return self

    async def masked(self, workers: Workers, hook: str = "response") -> "Case":
        addon = Masking({self.flow.id: self.exchange}, lambda _: self.rules, workers, lambda _: KEY)
        await getattr(addon, hook)(self.flow)
        assert self.exchange.masked
        return self

    async def sent(self, workers: Workers) -> "Case":
        """After the way in: the request as it goes upstream."""
        pending = Masking({self.flow.id: self.exchange}, lambda _: self.rules, workers, lambda _: KEY).request(
            self.flow
        )
        if pending is not None:
            await pending
        return self


def _rules(*masks: dict[str, Any]) -> MaskingRules:
    file = MaskingFile.model_validate({"masks": [{"id": f"m{n}", "match": {}} | mask for n, mask in enumerate(masks)]})
    return compile_masking(file, Files(Path()), frozenset({"customers"}))


@pytest.fixture
def run(loop: asyncio.Runner, workers: Workers) -> Callable[..., Case]:
    """The case after masking with a real worker."""
    return lambda case, hook="response": loop.run(case.masked(workers, hook))


@pytest.fixture
def run_alone() -> Callable[..., Case]:
    """The case after masking without any worker: whoever needs one is refused."""
    return lambda case, hook="response": asyncio.run(case.masked(Workers(), hook))


@pytest.mark.parametrize(("started", "masked"), [(1_900.0, b'{"ssn": 1}'), (1_901.0, b'{"ssn": null}')])
def test_a_session_is_as_old_as_it_was_when_the_request_came(
    started: float, masked: bytes, run_alone: Callable[..., Case]
) -> None:
    old = {"not": {"principal": {"session": {"max_age": "15m"}}}}
    case = Case(FIELDS | {"match": old}, body=b'{"ssn": 1}')
    case.exchange.started = started
    case.exchange.principal = replace(ANA, session=Session(issued_at=1_000.0))
    assert run_alone(case).raw_content == masked


def test_the_caller_gets_the_masked_response(run: Callable[..., Case]) -> None:
    case = run(Case(DETECT, FIELDS, body=b'{"to": "ana@example.com", "ssn": 1}', ETag="x"))
    response = case.response
    assert response is case.upstream
    assert response.content == b'{"to": "[EMAIL_ADDRESS]", "ssn": null}'
    assert response.headers["content-length"] == str(len(response.content))
    assert "cache-control" not in response.headers
    assert "etag" not in response.headers
    assert response.reason == "OK"
    assert case.exchange.refusal is None
    assert case.exchange.masks == (
        MaskCount("/ssn", "field", "redact", 1),
        MaskCount("/to", "EMAIL_ADDRESS", "redact", 1),
    )


def test_a_coded_response_is_masked_and_sent_plain(run: Callable[..., Case]) -> None:
    body = gzip.compress(b'["ana@example.com"]')
    response = run(Case(DETECT, body=body, **{"content-encoding": "gzip"})).response
    assert response.raw_content == b'["[EMAIL_ADDRESS]"]'
    assert "content-encoding" not in response.headers


def test_where_nothing_is_due_the_body_goes_on_untouched_without_a_worker(run_alone: Callable[..., Case]) -> None:
    elsewhere = {**DETECT, "match": {"host": "other.internal"}}
    case = run_alone(Case(elsewhere, body=b"\xff ana@example.com", ETag="x"))
    assert case.flow.response is case.upstream
    assert case.raw_content == b"\xff ana@example.com"
    assert case.response.headers["etag"] == "x"
    assert "cache-control" not in case.response.headers
    assert case.exchange.record_headers is None


def test_fields_of_small_bodies_are_masked_without_a_worker(run_alone: Callable[..., Case]) -> None:
    assert run_alone(Case(FIELDS, body=b'{"ssn": "1"}')).response.content == b'{"ssn": "[REDACTED]"}'


@pytest.mark.parametrize("body", [b'"' + b"x" * INLINE + b'"', b"[" + b"[]," * 2000 + b"0]"])
def test_larger_ones_and_those_with_much_structure_are_not(
    run_alone: Callable[..., Case], run: Callable[..., Case], body: bytes
) -> None:
    assert run_alone(Case(FIELDS, body=body)).reason == "masking-not-running"
    assert run(Case(FIELDS, body=body)).raw_content == body


def test_a_filter_is_not_evaluated_on_the_event_loop(run_alone: Callable[..., Case], run: Callable[..., Case]) -> None:
    filtered = {"fields": ["$[?match(@.a, '(a*)*b')]"]}
    assert run_alone(Case(filtered, body=b"[]")).reason == "masking-not-running"
    assert run(Case(filtered, body=b"[]")).reason is None


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case(DETECT, body=b"{"), "invalid-json"),
        (Case(DETECT, body=b"x", **{"content-encoding": "gzip"}), "content-coding-damaged"),
        (Case(DETECT, body=b"<p>", **{"content-type": "image/png"}), "content-type-not-maskable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_masked_is_withheld(run: Callable[..., Case], case: Case, reason: str) -> None:
    case.flow.request.path = "/users/ana@example.com"
    masked = run(case)
    assert masked.reason == reason
    assert masked.exchange.refusal is not None
    assert masked.exchange.refusal.status == 502
    assert masked.flow.response is PLACEHOLDER
    assert masked.flow.request.path == "/users/[EMAIL_ADDRESS]"


def test_a_response_without_its_body_is_withheld(run_alone: Callable[..., Case]) -> None:
    case = Case(DETECT)
    case.upstream.raw_content = None
    assert run_alone(case).reason == "body-missing"


def test_without_a_worker_the_response_is_withheld_and_the_request_only_outlined(
    run_alone: Callable[..., Case],
) -> None:
    case = Case(DETECT, body=b'["ana@example.com"]', path="/users/ana@example.com?q=ben@example.com")
    case.flow.request.content = b"ana@example.com"
    masked = run_alone(case)
    assert masked.reason == "masking-not-running"
    assert masked.flow.response is PLACEHOLDER
    assert masked.flow.request.path == "/users/[redacted]?q=[redacted]"
    assert masked.flow.request.headers["x-note"] == "[redacted]"
    assert masked.flow.request.raw_content == b""


def test_cookies_reach_the_caller_and_no_recorder(run_alone: Callable[..., Case]) -> None:
    cookies = {"Set-Cookie": "sid=secret; HttpOnly", "Location": "/?code=secret"}
    case = run_alone(Case(body=b"{}", **cookies))
    assert case.response.headers["set-cookie"] == "sid=secret; HttpOnly"
    assert case.exchange.record_headers is not None
    shown = dict(case.exchange.record_headers)
    assert shown[b"Set-Cookie"] == b"sid=[redacted]; HttpOnly"
    assert shown[b"Location"] == b"/?code=[redacted]"


def test_credentials_in_a_body_reach_the_caller_and_no_recorder(run_alone: Callable[..., Case]) -> None:
    body = b'{"access_token": "secret", "n": 1}'
    case = Case(body=body)
    case.upstream.headers["content-length"] = "34"
    run_alone(case)
    assert (case.raw_content, case.response.headers["content-length"]) == (body, "34")
    assert case.exchange.record_body == b'{"access_token": "[redacted]", "n": 1}'
    assert case.exchange.record_headers is not None
    assert dict(case.exchange.record_headers)[b"Content-Length"] == b"38"


def test_so_do_those_that_masks_leave(run: Callable[..., Case]) -> None:
    case = run(Case(DETECT, body=b'{"to": "ana@example.com", "password": "secret"}'))
    assert case.raw_content == b'{"to": "[EMAIL_ADDRESS]", "password": "secret"}'
    assert case.exchange.record_body == b'{"to": "[EMAIL_ADDRESS]", "password": "[redacted]"}'


def test_a_body_without_credentials_is_recorded_as_it_is(run_alone: Callable[..., Case]) -> None:
    exchange = run_alone(Case(body=b'{"name": "Ana"}')).exchange
    assert (exchange.record_body, exchange.record_headers) == (None, None)


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("masks", [[], [{"fields": ["header:x-a"]}]])
def test_a_body_where_there_may_be_none_reaches_nobody(
    run_alone: Callable[..., Case], status: int, masks: list[dict[str, Any]]
) -> None:
    case = Case(*masks, body=b'{"to": "ana@example.com"}')
    case.upstream.status_code = status
    assert run_alone(case).raw_content == b""


def test_nor_does_one_of_an_answer_to_head(run_alone: Callable[..., Case]) -> None:
    case = Case(body=b'{"to": "ana@example.com"}')
    case.upstream.headers["content-length"], case.flow.request.method = "25", "HEAD"
    assert run_alone(case).raw_content == b""
    assert case.response.headers["content-length"] == "25"


def test_the_request_is_scrubbed_in_place(run: Callable[..., Case]) -> None:
    case = Case(DETECT, path="/users/ana@example.com?token=secret")
    request = case.flow.request
    request.headers["Authorization"] = "Bearer secret"
    request.headers["Content-Type"] = "application/json"
    request.content = b'["ana@example.com"]'
    request.trailers = http.Headers([(b"x", b"secret")])
    assert run(case).flow.request is request
    assert request.path == "/users/[EMAIL_ADDRESS]?token=[redacted]"
    assert request.headers["authorization"] == "[redacted]"
    assert request.content == b'["[EMAIL_ADDRESS]"]'
    assert request.trailers is None
    assert b"secret" not in str(request.get_state()).encode()


def test_of_a_refused_request_only_what_remains_is_changed(run: Callable[..., Case]) -> None:
    case = Case(DETECT, path="/users/ana@example.com").refuse(denied("no-rule-allows"))
    case.flow.response = refusal = http.Response.make(403, b"{}")
    assert run(case).flow.response is refusal
    assert case.flow.request.path == "/users/[EMAIL_ADDRESS]"
    assert case.reason == "no-rule-allows"
    assert case.exchange.masks == ()


@pytest.mark.parametrize("refusal", [unauthenticated("no-token"), malformed("not-http")])
def test_of_a_request_from_nobody_the_outline_is_left_without_a_worker(
    run_alone: Callable[..., Case], refusal: Any
) -> None:
    case = Case({**DETECT, "match": {"host": "other.internal"}}, path="/users/ana@example.com/1?q=x").refuse(refusal)
    case.exchange.principal = None
    case.flow.request.content = b"ana@example.com"
    request = run_alone(case).flow.request
    assert (request.path, request.raw_content) == ("/users/[redacted]/1?q=[redacted]", b"")


def test_without_masks_a_request_from_nobody_loses_its_credentials_alone(run_alone: Callable[..., Case]) -> None:
    case = Case(path="/users/ana@example.com?token=x").refuse(unauthenticated("no-token"))
    case.exchange.principal = None
    assert run_alone(case).flow.request.path == "/users/ana@example.com?token=[redacted]"


def test_before_there_are_rules_the_outline_is_left(run_alone: Callable[..., Case]) -> None:
    case = Case(path="/users/ana@example.com").refuse(unauthenticated("x"))
    case.exchange.bundle = None
    assert run_alone(case).flow.request.path == "/users/[redacted]"


def test_a_response_to_a_request_that_nobody_knows_is_withheld(run_alone: Callable[..., Case]) -> None:
    case = Case(DETECT)
    case.exchange.principal = None
    assert run_alone(case).reason == "masks-not-known"
    assert case.flow.response is PLACEHOLDER


def test_an_error_leaves_the_scrubbed_request_and_no_response(run: Callable[..., Case]) -> None:
    case = run(Case(DETECT, path="/users/ana@example.com"), "error")
    assert case.flow.response is None
    assert case.flow.request.path == "/users/[EMAIL_ADDRESS]"
    assert case.exchange.refusal is None


def test_a_tunnel_that_was_refused_is_scrubbed(run_alone: Callable[..., Case]) -> None:
    case = Case(DETECT).refuse(unauthenticated("no-token"))
    case.exchange.principal = None
    case.flow.request = http.Request.make(
        "CONNECT", "https://a.internal:443/", b"", ((b"Proxy-Authorization", b"Basic x"),)
    )
    case.flow.request.data.path = b""
    assert run_alone(case).flow.request.headers["proxy-authorization"] == "[redacted]"


def test_the_record_of_masks_has_an_end(run: Callable[..., Case]) -> None:
    body = b"{" + b",".join(b'"k%d": {"ssn": 1}' % n for n in range(MOST_COUNTS + 5)) + b"}"
    case = run(Case(FIELDS, body=body))
    assert len(case.exchange.masks) == MOST_COUNTS
    assert b'"ssn": 1' not in case.raw_content


# -- who is excepted ---------------------------------------------------------------------------------------------------

EXCEPT_ANA = {"except": {"principal": {"id": "ana"}}}


def test_who_is_excepted_gets_it_raw_and_nobody_else_sees_it(run_alone: Callable[..., Case]) -> None:
    case = run_alone(Case({**FIELDS, **EXCEPT_ANA}, body=b'{"ssn": "536-90-4399"}', ETag="x"))
    assert case.raw_content == b'{"ssn": "536-90-4399"}'
    assert case.response.reason == "OK"
    assert (case.response.headers["etag"], case.response.headers["cache-control"]) == ("x", "private, no-store")
    assert case.exchange.record_body == b'{"ssn": "[REDACTED]"}'
    assert case.exchange.record_headers is not None
    assert b"ETag" not in dict(case.exchange.record_headers)
    assert case.exchange.masks == ()


def test_other_masks_hold_for_who_is_excepted_from_one(run_alone: Callable[..., Case]) -> None:
    masks = {**FIELDS, **EXCEPT_ANA}, {"fields": ["$.name"]}
    case = run_alone(Case(*masks, body=b'{"ssn": "536-90-4399", "name": "Ana"}'))
    assert case.raw_content == b'{"ssn": "536-90-4399", "name": "[REDACTED]"}'
    assert case.exchange.record_body == b'{"ssn": "[REDACTED]", "name": "[REDACTED]"}'


def test_nothing_is_recorded_of_what_cannot_be_masked_for_the_record(run_alone: Callable[..., Case]) -> None:
    case = run_alone(Case({**FIELDS, **EXCEPT_ANA}, body=b'{"ssn": ', **{"X-Note": "raw"}))
    assert case.raw_content == b'{"ssn": '
    assert (case.exchange.record_body, case.exchange.record_headers) == (b"", ())
    assert case.exchange.refusal is None


@pytest.mark.parametrize(("principal", "kept"), [({"id": "ana"}, False), ({"id": "ben"}, False), (None, True)])
def test_no_cache_answers_for_callers_who_are_owed_different_masks(
    run_alone: Callable[..., Case], principal: dict[str, str] | None, kept: bool
) -> None:
    match = {"match": {"principal": principal}} if principal else {}
    case = run_alone(Case({**FIELDS, **match}, body=b"{}", **{"Cache-Control": "public"}))
    assert case.response.headers["cache-control"] == ("public" if kept else "private, no-store")


# -- what is sent upstream ---------------------------------------------------------------------------------------------


@pytest.fixture
def send() -> Callable[..., Case]:
    """The case after the way in, without any worker."""
    return lambda case: asyncio.run(case.sent(Workers()))


def _sending(*masks: dict[str, Any], body: bytes = b"{}", path: str = "/v1?ssn=1&x=2") -> Case:
    case = Case(*masks, path=path)
    case.flow.request.raw_content = body
    case.flow.request.headers["content-type"] = "application/json"
    case.flow.request.headers["authorization"] = "Bearer t"
    return case


def test_what_is_sent_is_masked_where_a_mask_says_so(send: Callable[..., Case]) -> None:
    fields = ["$..ssn", "query:ssn", "header:X-Note"]
    request = send(_sending({"fields": fields, "request": True}, body=b'{"ssn": "1", "n": 1.0}')).flow.request
    assert request.path == "/v1?ssn=[REDACTED]&x=2"
    assert request.raw_content == b'{"ssn": "[REDACTED]", "n": 1.0}'
    assert request.headers["content-length"] == str(len(request.raw_content))
    assert (request.headers["x-note"], request.headers["authorization"]) == ("[REDACTED]", "Bearer t")


def test_elsewhere_it_goes_on_as_it_came(send: Callable[..., Case]) -> None:
    case = _sending(FIELDS, body=b'{"ssn": "1"}')
    assert send(case).flow.request.raw_content == b'{"ssn": "1"}'
    assert case.flow.request.path == "/v1?ssn=1&x=2"


def test_who_is_excepted_sends_masked_all_the_same(send: Callable[..., Case]) -> None:
    case = send(_sending({**FIELDS, **EXCEPT_ANA, "request": True}, body=b'{"ssn": "1"}'))
    assert case.flow.request.raw_content == b'{"ssn": "[REDACTED]"}'


@pytest.mark.parametrize(
    ("mask", "body", "reason"),
    [(FIELDS, b"{", "invalid-json"), (DETECT, b"{}", "masking-not-running")],
    ids=["unreadable", "no-worker"],
)
def test_what_cannot_be_masked_is_not_sent(
    send: Callable[..., Case], mask: dict[str, Any], body: bytes, reason: str
) -> None:
    case = send(_sending({**mask, "request": True}, body=body))
    assert case.reason == reason
    assert case.exchange.refusal is not None
    assert case.exchange.refusal.status == 502


def test_a_response_to_be_masked_is_asked_for_whole_and_readable(send: Callable[..., Case]) -> None:
    for masks, narrowed in (((FIELDS,), True), (({**FIELDS, **EXCEPT_ANA},), False), ((), False)):
        case = _sending(*masks)
        case.flow.request.method = "GET"
        case.flow.request.headers["range"], case.flow.request.headers["accept-encoding"] = "bytes=1-", "br, dcb"
        headers = send(case).flow.request.headers
        assert (headers.get("range"), headers["accept-encoding"]) == (
            (None, "br") if narrowed else ("bytes=1-", "br, dcb")
        )


def test_tokens_are_made_with_the_key_of_the_rules() -> None:
    file = {"masks": [{"id": "a", "match": {}, **FIELDS, "as": {"default": "token"}}], "token_key": "env:KEY"}
    case = Case(body=b'{"ssn": "536-90-4399", "n": 1}')
    case.rules = compile_masking(MaskingFile.model_validate(file), Files(Path()), frozenset())
    asyncio.run(case.masked(Workers()))
    assert case.raw_content == b'{"ssn": "%s", "n": 1}' % token("536-90-4399", "field", KEY).encode()
