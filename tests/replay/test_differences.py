"""What differs between a recording and its replay is told by place, bounded, and never shows what was masked."""

import gzip
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.replay.differences import MOST, UNMASKED, VOLATILE, Difference, Rules, differences
from headgate.replay.documents import ignored_paths
from headgate.replay.replaying import decoded
from headgate.replay.said import Said

PLAIN = Rules(decode=decoded)
JSON = ("content-type", "application/json")


def said(body: bytes = b"", *headers: tuple[str, str], **changes: Any) -> Said:
    usual: dict[str, Any] = {
        "status": 200,
        "effect": "allow",
        "reason": "allowed-by-rule",
        "rules": ("r1",),
        "refusal": None,
        "masks": Counter(),
        "headers": headers or (JSON,),
        "body": body,
        "size": len(body),
    }
    return Said(**{**usual, **changes})


def told(recorded: Said, replayed: Said, rules: Rules = PLAIN) -> list[tuple[str, str, str, str]]:
    return [(one.part, one.where, one.recorded, one.replayed) for one in differences(recorded, replayed, rules)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": 201}, ("status", "", "200", "201")),
        ({"effect": "deny"}, ("verdict", "effect", "allow", "deny")),
        ({"reason": "no-rule-allows"}, ("verdict", "reason", "allowed-by-rule", "no-rule-allows")),
        ({"rules": ("r1", "r2")}, ("verdict", "rules", "r1", "r1, r2")),
        ({"refusal": ("withheld", "body-too-large")}, ("verdict", "refusal", "(none)", "withheld: body-too-large")),
        (
            {"masks": Counter({("/a", "EMAIL_ADDRESS", "redact"): 2})},
            ("verdict", "mask /a (EMAIL_ADDRESS, redact)", "0 times", "2 times"),
        ),
        ({"headers": (JSON, ("X-A", "1"))}, ("header", "x-a", "(none)", "1")),
    ],
    ids=["status", "effect", "reason", "rules", "refusal", "masks", "header"],
)
def test_each_part_is_compared(changes: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    assert told(said(), said(**changes)) == [expected]


def test_json_is_compared_by_value_and_told_by_pointers() -> None:
    before = said(b'{"a": {"b": [1, 2]}, "c/d": "x", "same": 1.0, "gone": null}')
    now = said(b'{"same": 1, "c/d": "y", "a": {"b": [1, 3, 4]}}')
    assert told(before, now) == [
        ("body", "/a/b/1", "2", "3"),
        ("body", "/c~1d", '"x"', '"y"'),
        ("body", "/gone", "null", "(none)"),
        ("body", "/a/b/2", "(none)", "4"),
    ]


def test_what_is_ignored_is_no_difference() -> None:
    rules = Rules(VOLATILE | {"x-a"}, ignored_paths(["$.at", "$.items[*].id"]), decode=decoded)
    before = said(b'{"at": 1, "items": [{"id": 1}, {"id": 2}]}', JSON, ("X-A", "1"), ("Date", "then"))
    now = said(b'{"at": 2, "items": [{"id": 3}, {"id": 4}]}', JSON, ("X-A", "2"), ("Date", "now"))
    assert told(before, now, rules) == []
    assert len(told(before, now)) == 4


def test_of_very_many_differences_the_first_are_told_and_the_rest_counted() -> None:
    before, now = (said(b"[" + b",".join([value] * 1000) + b"]") for value in (b"1", b"2"))
    found = told(before, now)
    assert len(found) == MOST + 1
    assert found[-1][1:] == ("and more", "", "950 further values")


def test_a_long_value_is_cut() -> None:
    ((*_, now),) = told(said(b'"a"'), said(b'"' + b"b" * 5000 + b'"'))
    assert len(now) < 250


def test_text_is_told_as_a_diff_of_bounded_length() -> None:
    text = ("content-type", "text/plain")
    before, now = said(b"one\ntwo\nthree\n", text), said(b"one\n2\nthree\n", text)
    (found,) = differences(before, now, PLAIN)
    assert found.lines == ("--- recorded", "+++ replayed", "@@ -1,3 +1,3 @@", " one", "-two", "+2", " three")
    (found,) = differences(said(b"a\n" * 500, text), said(b"b\n" * 500, text), PLAIN)
    assert len(found.lines) == 41


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b"], ids=["no text", "with NUL"])
def test_other_bodies_are_told_by_size_and_hash(body: bytes) -> None:
    ((part, where, before, now),) = told(said(b"abc"), said(body))
    assert (part, where) == ("body", "bytes")
    assert before.startswith("3 bytes, SHA-256 ba7816bf")
    assert now.startswith(f"{len(body)} bytes, SHA-256 ")


def test_a_body_in_a_coding_is_compared_without_it() -> None:
    coded = said(gzip.compress(b'{"a": 1}'), JSON, ("content-encoding", "gzip"))
    assert told(coded, said(b'{"a":1}')) == [("header", "content-encoding", "gzip", "(none)")]
    broken = said(b"no gzip", JSON, ("content-encoding", "gzip"))
    assert [one[1] for one in told(broken, said(b"{}"))] == ["content-encoding", "bytes"]


@pytest.mark.parametrize(
    ("before", "now", "masks"),
    [
        (b'{"mail": "[EMAIL_ADDRESS]"}', b'{"mail": "ana@corp.example"}', ()),
        (b'{"n": "[EMAIL_ADDRESS], [CREDIT_CARD]"}', b'{"n": "ana@corp.example, [CREDIT_CARD]"}', ()),
        (b'{"n": "xqz@jvq.test"}', b'{"n": "ana@corp.example"}', ("/n", "/n")),
        (b'{"mail": null}', b'{"mail": "ana@corp.example"}', ("/mail",)),
        (b'{"mail": "xqz@jvq.test"}', b'{"mail": "ana@corp.example"}', ("/mail",)),
        (b'{"all": [{"mail": 1}]}', b'{"all": [{"mail": "ana@corp.example"}]}', ("/all/*/mail",)),
        (b'{"a": 1}', b'{"a": 1, "mail": {"of": "ana@corp.example"}}', ("/mail",)),
        (b"mail: [EMAIL_ADDRESS]\n", b"mail: ana@corp.example\n", ()),
        (b"mail: xqz@jvq.test\n", b"mail: ana@corp.example\n", ("text",)),
    ],
    ids=[
        "a mark",
        "one of two marks",
        "one of two masks",
        "null",
        "a token",
        "in a list",
        "a member",
        "a line",
        "a token in a text",
    ],
)
def test_what_the_recording_has_masked_and_the_rules_no_longer_do_is_not_shown(
    before: bytes, now: bytes, masks: tuple[str, ...]
) -> None:
    recorded = said(before, masks=Counter((location, "EMAIL_ADDRESS", "redact") for location in masks))
    kept = Counter({(masks[0], "EMAIL_ADDRESS", "redact"): 1}) if len(masks) > 1 else Counter()
    found = differences(recorded, said(now, masks=kept), PLAIN)
    assert any(one.part == "body" for one in found)
    assert "ana@" not in "".join([*(f"{one.replayed}{''.join(one.lines)}" for one in found)])


def test_a_header_that_is_no_longer_masked_is_not_shown() -> None:
    recorded = said(b"", JSON, ("X-Mail", "[EMAIL_ADDRESS]"))
    assert told(recorded, said(b"", JSON, ("X-Mail", "ana@corp.example")))[0][3] == UNMASKED


def test_offline_fewer_masks_are_no_difference_and_more_are() -> None:
    mask = ("/a", "EMAIL_ADDRESS", "redact")
    offline = Rules(masked_upstream=True, decode=decoded)
    assert told(said(masks=Counter({mask: 1})), said(), offline) == []
    assert len(told(said(masks=Counter({mask: 1})), said())) == 1
    assert len(told(said(), said(masks=Counter({mask: 1})), offline)) == 1


def test_a_refusal_that_names_its_own_decision_is_the_same_refusal() -> None:
    def refused(decision: str, rule: str = "r1") -> Said:
        body = f'{{"type": "urn:headgate:problem:denied", "rule": "{rule}", "decision_id": "{decision}"}}'.encode()
        return said(body, status=403, refusal=("denied", "denied-by-rule"))

    assert told(refused("01A"), refused("01B")) == []
    assert told(refused("01A"), refused("01B", "r2")) == [("body", "/rule", '"r1"', '"r2"')]


def test_of_a_request_that_is_refused_now_the_answer_is_not_compared() -> None:
    refusal = said(b'{"type": "urn:headgate:problem:denied"}', status=403, refusal=("denied", "denied-by-rule"))
    assert [one[0] for one in told(said(b'{"a": 1}'), refusal)] == ["verdict", "status"]


def test_of_a_request_that_was_never_answered_only_the_verdict_is_compared() -> None:
    assert told(said(status=None, headers=None), said(b"{}", effect="deny")) == [("verdict", "effect", "allow", "deny")]


def test_a_body_that_was_not_kept_is_not_compared() -> None:
    assert told(said(size=17), said(b'{"a": 1}')) == []


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([JSON, ("content-encoding", "gzip")]))
def test_any_two_bodies_can_be_compared_and_are_different_unless_they_are_the_same(
    before: bytes, now: bytes, header: tuple[str, str]
) -> None:
    found = differences(said(before, header), said(now, header), PLAIN)
    assert all(isinstance(one, Difference) for one in found)
    assert not found or before != now
