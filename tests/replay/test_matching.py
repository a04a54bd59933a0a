"""A recording answers the same request and no other, each once; what has no answer is told why, and what is near."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.replay.recordings import JSON, flow, recorded, recordings

from headgate.capture.entries import Entry
from headgate.errors import HeadgateError
from headgate.replay.asked import Asked, Matching
from headgate.replay.matching import Answer, Miss, Recordings
from headgate.replay.responder import MARK, OWN, Responder

REFUND = b'{"amount": 5, "to": {"iban": "DE0", "name": "Ana"}, "id": 1}'


def asked(method: str = "GET", target: str = "/v1/customers/7", body: bytes = b"", host: str = "api.internal") -> Asked:
    return Asked(method, host, target, (("content-type", "application/json"),), body)


def refund(n: int = 0, body: bytes = REFUND, **changes: Any) -> Entry:
    return flow(n, "POST", "/v1/refunds", sent=recorded(JSON, body), **changes)


def test_the_same_request_gets_what_was_recorded() -> None:
    got = recorded((("content-type", "text/plain"), ("X-Name", "café")), b"hello")
    answer = recordings(flow(query="b=2&a=1", got=got, status=201)).answer(asked(target="/v1/customers/7?a=1&b=2"))
    assert answer == Answer(
        201, (("content-type", "text/plain"), ("X-Name", "café")), b"hello", flow().summary.decision_id
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":1,"to":{"name":"Ana","iban":"DE0"},"amount":5}',
        b'{"amount": 5.0, "to": {"iban": "DE0", "name": "\\u0041na"}, "id": 1}',
    ],
    ids=["another order", "other spellings"],
)
def test_json_is_compared_by_value(body: bytes) -> None:
    assert isinstance(recordings(refund()).answer(asked("POST", "/v1/refunds", body)), Answer)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (asked("PUT", "/v1/refunds", REFUND), ("method",)),
        (asked("POST", "/v1/refund", REFUND), ("path",)),
        (asked("POST", "/v1/refunds?page=2", REFUND), ("query page",)),
        (asked("POST", "/v1/refunds", REFUND, "other.internal"), ("host",)),
        (asked("POST", "/v1/refunds", REFUND.replace(b"5", b"6")), ("body /amount",)),
        (asked("POST", "/v1/refunds", REFUND.replace(b"1}", b"true}")), ("body /id",)),
        (asked("POST", "/v1/refunds", REFUND.replace(b'"DE0"', b"[]")), ("body /to/iban",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_request_that_is_not_recorded_names_the_nearest_and_the_field_that_differs(
    request_: Asked, fields: tuple[str, ...]
) -> None:
    known = recordings(flow(1), refund(2), flow(3, path="/v1/orders"))
    miss = known.answer(request_)
    assert isinstance(miss, Miss)
    assert (miss.reason, miss.nearest, miss.fields) == ("different", refund(2).summary.decision_id, fields)
    assert f"differs in {fields[0]}" in miss.text
    assert "DE0" not in miss.text


def test_the_nearest_is_the_one_with_the_fewest_other_fields() -> None:
    known = recordings(
        *(refund(n, REFUND.replace(b"5", b"%d" % (n + 10)).replace(b"1}", b"2}")) for n in range(5)), refund(9)
    )
    miss = known.answer(asked("POST", "/v1/refunds", REFUND.replace(b"DE0", b"FR0")))
    assert isinstance(miss, Miss)
    assert (miss.nearest, miss.fields) == (refund(9).summary.decision_id, ("body /to/iban",))


def test_what_has_been_used_up_is_not_called_different() -> None:
    known = recordings(flow(1, got=recorded(JSON, b"1")), flow(2, got=recorded(JSON, b"2")))
    answers = [known.answer(asked()) for _ in range(3)]
    assert [one.body for one in answers[:2] if isinstance(one, Answer)] == [b"1", b"2"]
    assert isinstance(answers[2], Miss)
    assert (answers[2].reason, answers[2].times, answers[2].fields) == ("used-up", 2, ())
    assert "used up" in answers[2].text


def test_with_repeat_the_last_answers_again() -> None:
    known = recordings(flow(1, got=recorded(JSON, b"1")), flow(2, got=recorded(JSON, b"2")), repeat=True)
    assert [getattr(known.answer(asked()), "body", None) for _ in range(4)] == [b"1", b"2", b"2", b"2"]


def test_a_flow_gets_its_own_answer_and_never_that_of_a_later_one() -> None:
    flows = [flow(n, got=recorded(JSON, b"%d" % n)) for n in range(3)]
    known = recordings(*flows)
    names = [one.summary.decision_id for one in flows]
    assert [getattr(known.answer(asked(), own), "body", None) for own in (names[2], names[0])] == [b"2", b"0"]
    between = known.answer(asked(), names[0][:-1] + "Z")  # a flow of its own, without an answer, before the second
    assert isinstance(between, Miss)
    assert between.reason == "used-up"
    assert getattr(known.answer(asked(), names[1]), "body", None) == b"1"


@pytest.mark.parametrize(
    ("matching", "request_"),
    [
        (
            {"ignore_json": ("$.id", "$.to.name")},
            asked("POST", "/v1/refunds", b'{"amount":5,"to":{"iban":"DE0"},"id":7}'),
        ),
        ({"ignore_json": ("$..iban",)}, asked("POST", "/v1/refunds", REFUND.replace(b"DE0", b"FR0"))),
        ({"ignore_query": frozenset({"nonce"})}, asked("POST", "/v1/refunds?nonce=1", REFUND)),
        ({"host": False}, asked("POST", "/v1/refunds", REFUND, "127.0.0.1:4711")),
        (
            {"scrub": lambda one: replace(one, body=one.body.replace(b"Berta", b"Ana"))},
            asked("POST", "/v1/refunds", REFUND.replace(b"Ana", b"Berta")),
        ),
    ],
    ids=["fields", "fields anywhere", "query", "host", "masked"],
)
def test_what_is_ignored_may_differ(matching: dict[str, Any], request_: Asked) -> None:
    assert isinstance(recordings(refund()).answer(request_), Miss)
    assert isinstance(recordings(refund(), **matching).answer(request_), Answer)


def test_headers_count_only_where_they_are_named() -> None:
    entry = flow(sent=recorded((("Accept", "text/csv"),)))
    assert isinstance(recordings(entry).answer(asked()), Answer)
    miss = recordings(entry, headers=frozenset({"accept"})).answer(asked())
    assert isinstance(miss, Miss)
    assert miss.fields == ("header accept",)


def test_a_form_is_compared_by_its_fields() -> None:
    form = (("Content-Type", "application/x-www-form-urlencoded"),)
    known = recordings(flow(0, "POST", "/f", sent=recorded(form, b"a=1&b=x%20y")))
    assert isinstance(known.answer(Asked("POST", "api.internal", "/f", form, b"b=x+y&a=1")), Answer)


def test_what_is_not_an_upstreams_answer_answers_nothing() -> None:
    known = recordings(
        flow(1, refusal="denied", status=403),
        flow(2, refusal="withheld", status=502),
        flow(3, status=None),
        flow(4, status=101),
        flow(5, kind="websocket"),
    )
    assert len(known) == 0
    miss = known.answer(asked())
    assert isinstance(miss, Miss)
    assert (miss.reason, miss.nearest) == ("nothing-recorded", None)


def test_an_answer_of_which_only_the_beginning_was_kept_says_so() -> None:
    answer = recordings(flow(got=recorded(JSON, b"[1,", size=9))).answer(asked())
    assert isinstance(answer, Answer)
    assert not answer.complete


@pytest.mark.parametrize(
    "headers", [(("X-A", "1\r\nX-B: 2"),), (("X A", "1"),), (("", "1"),)], ids=["value", "name", "no name"]
)
def test_a_recorded_header_that_is_none_is_not_sent(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(HeadgateError, match="damaged"):
        recordings(flow(got=recorded(headers, b"{}"))).answer(asked())


@pytest.mark.parametrize(
    "entry",
    [flow(sent=recorded([(1, "a")])), flow(path=None), flow(sent=None, got=None, host=7)],  # type: ignore[arg-type, list-item]
    ids=["header", "path", "host"],
)
def test_recordings_of_another_shape_fail_in_a_line(entry: Entry) -> None:
    with pytest.raises(HeadgateError):
        recordings(entry).answer(asked())


def test_a_path_that_is_no_jsonpath_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`\$\[` is not a JSONPath"):
        Recordings([], flow, Matching(ignore_json=("$[",)))  # type: ignore[arg-type]


def test_of_a_large_capture_nothing_is_held_but_ids_and_places_on_disk() -> None:
    held: list[str] = []

    def fetch(decision_id: str) -> Entry:
        held.append(decision_id)
        return flow(7)

    known = Recordings((flow(n, path=f"/{n}") for n in range(2000)), fetch)
    assert held == []
    assert isinstance(known.answer(asked(target="/1999")), Answer)
    assert len(held) == 1
    assert isinstance(known.answer(asked(target="/nowhere")), Miss)
    assert len(held) <= 21


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_document_is_the_same_as_itself_in_another_order(value: Any) -> None:
    def turned(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: turned(part[name]) for name in list(part)[::-1]}
        return [turned(one) for one in part] if isinstance(part, list) else part

    reader = Matching().reader()
    here, there = (asked("POST", "/", json.dumps(one).encode()) for one in (value, turned(value)))
    assert reader.key(here) == reader.key(there)


# -- the responder -----------------------------------------------------------------------------------------------------


def call(responder: Responder, path: str, method: str = "GET", **keywords: Any) -> httpx.Response:
    headers = {"Host": "api.internal", **keywords.pop("headers", {})}
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.request(method, responder.url + path, headers=headers, **keywords)


def test_a_responder_answers_what_is_recorded_by_any_method() -> None:
    known = recordings(flow(0, "PURGE", "/cache", got=recorded((("X-A", "é"),), b"gone"), status=202))
    with Responder(known) as upstream:
        answer = call(upstream, "/cache", "PURGE")
    assert (answer.status_code, answer.headers["X-A"], answer.content) == (202, "é", b"gone")
    assert upstream.misses == {}


def test_a_responder_says_what_it_has_no_answer_to_and_keeps_it() -> None:
    with Responder(recordings(flow())) as upstream:
        answer = call(upstream, "/v1/customers/8")
    assert (answer.status_code, answer.json()["differs"]) == (502, ["path"])
    assert "differs in path" in answer.json()["detail"]
    assert [upstream.misses[int(answer.headers[MARK])].fields] == [("path",)]


def test_a_responder_whose_recordings_have_gone_says_so() -> None:
    with Responder(Recordings([flow()], recordings()._fetch)) as upstream:
        assert call(upstream, "/v1/customers/7").status_code == 502
    assert [miss.reason for miss in upstream.misses.values()] == ["recording-unreadable"]


def test_a_responder_is_told_which_flow_asks_and_does_not_compare_that() -> None:
    flows = [flow(n, got=recorded(JSON, b"%d" % n)) for n in range(2)]
    with Responder(recordings(*flows, headers=frozenset({OWN.lower()}))) as upstream:
        assert call(upstream, "/v1/customers/7", headers={OWN: flows[1].summary.decision_id}).content == b"1"


def test_a_responder_reads_bodies_in_chunks() -> None:
    with Responder(recordings(refund())) as upstream:
        answer = call(upstream, "/v1/refunds", "POST", content=iter([REFUND[:7], REFUND[7:]]))
    assert answer.status_code == 200
