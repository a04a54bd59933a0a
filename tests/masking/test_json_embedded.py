"""Documents in values of documents: JSON in strings, in strings in those, and base64 where a plan says so."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.masking.jsonvalues import FOUND, values

from headgate.masking.formats.embedded import decode, encode
from headgate.masking.formats.jsondocument import LEVELS
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing

MASK = "[EMAIL_ADDRESS]"
REDACT = (Wanted("EMAIL_ADDRESS", Operator.REDACT),)
SSN = (("$..ssn", Operator.REDACT),)

wrapping = st.sampled_from([(0, ""), (4, "\n"), (76, "\r\n"), (7, " ")])
padding = st.booleans()


def _in_strings(value: Any, levels: int) -> str:
    """The text of a value, in a string in a string, and so on."""
    text = json.dumps(value)
    for _ in range(levels):
        text = json.dumps([text])
    return text


def _spelled(data: bytes, *, url_safe: bool, padded: bool, line: int, separator: str) -> str:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    return separator.join(text[at : at + line] for at in range(0, len(text), line)) if line else text


@pytest.mark.parametrize("levels", range(LEVELS + 1))
def test_fields_and_findings_are_masked_at_every_level(find_words: Callable[..., Detect], levels: int) -> None:
    plan = Plan(paths=SSN, detect=REDACT)
    masked = mask_json(_in_strings({"ssn": "1", "to": FOUND}, levels), plan, find_words(FOUND))
    assert masked.text == _in_strings({"ssn": "[REDACTED]", "to": MASK}, levels)
    assert [found.location for found in masked.findings] == ["/0|json" * levels + "/to"]
    assert set(masked.counts) == {
        ("/*|json" * levels + "/ssn", "field", "redact"),
        ("/*|json" * levels + "/to", "EMAIL_ADDRESS", "redact"),
    }


def test_below_the_last_level_a_document_is_text_to_detection(find_words: Callable[..., Detect]) -> None:
    deep = _in_strings({"to": FOUND}, LEVELS + 1)
    assert mask_json(deep, Plan(detect=REDACT), find_words(FOUND)).text == deep.replace(FOUND, MASK)


def test_and_a_field_in_it_would_be_missed_so_that_it_is_withheld() -> None:
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        mask_json(_in_strings({"ssn": 1}, LEVELS + 1), Plan(paths=SSN), detect_nothing)


def test_a_document_in_a_string_may_be_no_deeper_than_any_other() -> None:
    for depth, reason in ((100, None), (101, "nested-too-deeply"), (100_000, "nested-too-deeply")):
        text = json.dumps("[" * depth + "]" * depth)
        if reason:
            with pytest.raises(CannotMask, match=reason):
                mask_json(text, Plan(detect=REDACT), detect_nothing)
        else:
            assert mask_json(text, Plan(detect=REDACT), detect_nothing).text is text


@pytest.mark.parametrize(
    "string",
    [
        "[1,]",
        "{'a': 1}",
        "{a}",
        "[",
        "{",
        "[NaN]",
        '{"a": 1} x',
        "[1] [2]",
        "{}}",
        '"a"',
        '"a" "b"',
        "1",
        "[ana]",
        "",
        '"\\"a\\""',
    ],
)
def test_what_is_no_document_is_asked_about_as_text(string: str) -> None:
    asked: list[Leaf] = []

    def detect(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        asked.extend(leaves)
        return detect_nothing(leaves)

    mask_json(json.dumps({"k": string}), Plan(detect=REDACT), detect)
    assert asked == [Leaf(string, "k")]


def test_space_and_a_byte_order_mark_may_come_first(find_words: Callable[..., Detect]) -> None:
    for before in ("", " \n", "\ufeff", "\ufeff\t"):
        text = json.dumps(f'{before}{{"ssn": "{FOUND}", "to": "{FOUND}"}} ')
        masked = mask_json(text, Plan(paths=SSN, detect=REDACT), find_words(FOUND))
        assert json.loads(masked.text) == f'{before}{{"ssn": "[REDACTED]", "to": "{MASK}"}} '


def test_a_document_in_a_string_can_be_masked_as_a_whole_by_its_root() -> None:
    masked = mask_json('{"a": "[1]", "b": "x"}', Plan(paths=(("$[0]", Operator.LAST4),)), detect_nothing)
    assert masked.text == '{"a": "[null]", "b": "x"}'


def test_dropping_in_a_string_takes_the_comma_along_with_its_escapes() -> None:
    plan = Plan(paths=(("$..ssn", Operator.DROP),))
    text = r'["{\"a\":1\u002c\u0022ssn\"\u003a[2]\n,\"b\":\"\\\"\\u00e9\"}"]'
    assert mask_json(text, plan, detect_nothing).text == r'["{\"a\":1\n,\"b\":\"\\\"\\u00e9\"}"]'


# -- base64


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), st.booleans(), padding, wrapping)
def test_base64_is_written_as_it_was(text: str, url_safe: bool, padded: bool, wrapped: tuple[int, str]) -> None:
    spelled = _spelled(text.encode(), url_safe=url_safe, padded=padded, line=wrapped[0], separator=wrapped[1])
    said, spelling = decode(f"\n{spelled} ")
    assert said == text
    assert encode(said, spelling) == f"\n{spelled} "


@given(values, st.booleans(), padding, wrapping)
def test_what_is_not_masked_in_base64_stays_as_it_was(
    find_words: Callable[..., Detect], value: Any, url_safe: bool, padded: bool, wrapped: tuple[int, str]
) -> None:
    data = json.dumps(value, ensure_ascii=True).encode()
    spelled = _spelled(data, url_safe=url_safe, padded=padded, line=wrapped[0], separator=wrapped[1])
    text, plan = json.dumps({"data": spelled}), Plan(encoded=("$.data",), detect=REDACT)
    masked = mask_json(text, plan, find_words(FOUND))
    if FOUND.encode() not in data:
        assert masked.text is text
        return
    after = json.loads(masked.text)["data"]
    assert decode(after)[0] == data.decode().replace(FOUND, MASK)
    if not set("+/-_").isdisjoint(spelled):
        assert set("+/" if url_safe else "-_").isdisjoint(after)
    if "=" in spelled or len("".join(spelled.split())) % 4:
        assert len("".join(after.split())) % 4 == 0 or "=" not in spelled
        assert "=" not in after or "=" in spelled
    if wrapped[0]:
        assert {len(line) for line in after.split(wrapped[1])[:-1]} <= {wrapped[0]}
    assert mask_json(masked.text, plan, find_words(FOUND)).text is masked.text


@pytest.mark.parametrize(
    "string", ["@", "a", "YQ=", "YQ===", "=YQ", "YQ==YQ==", "a-/a", "YWJj\u00e9", "data:,YQ==", " - ", "Y Q="]
)
def test_what_is_no_base64_is_withheld(string: str) -> None:
    with pytest.raises(CannotMask, match="not-base64"):
        mask_json(json.dumps([string]), Plan(encoded=("$[0]",), detect=REDACT), detect_nothing)


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, ["YQ=="]])
def test_what_is_no_string_is_withheld_where_base64_is_due(value: Any) -> None:
    with pytest.raises(CannotMask, match="not-base64"):
        mask_json(json.dumps([value]), Plan(encoded=("$[0]",), detect=REDACT), detect_nothing)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\x1f\x8b\x08", b"a\0b\0", b"\xed\xa0\x80", b"\xff\xfea\0"])
def test_base64_of_something_else_than_text_is_withheld(data: bytes) -> None:
    with pytest.raises(CannotMask, match="encoded-not-text"):
        mask_json(json.dumps([base64.b64encode(data).decode()]), Plan(encoded=("$[0]",), detect=REDACT), detect_nothing)


def test_a_text_in_base64_is_looked_at_by_lines_under_its_name(find_words: Callable[..., Detect]) -> None:
    data = base64.b64encode(f"one\r\nto {FOUND} and {FOUND}\n".encode()).decode()
    plan = Plan(encoded=("$..data",), detect=REDACT)
    masked = mask_json(json.dumps({"x": [{"data": data}]}), plan, find_words(FOUND))
    after = json.loads(masked.text)["x"][0]["data"]
    assert base64.b64decode(after).decode() == f"one\r\nto {MASK} and {MASK}\n"
    assert dict(masked.counts) == {("/x/*/data|base64", "EMAIL_ADDRESS", "redact"): 2}
    assert [(found.location, found.start) for found in masked.findings] == [
        ("/x/0/data|base64", 8),
        ("/x/0/data|base64", 26),
    ]


def test_base64_in_base64_and_in_strings_is_followed_as_paths_say(find_words: Callable[..., Detect]) -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    inner = json.dumps({"data": encoded(FOUND), "other": encoded(FOUND)})
    text = json.dumps({"data": encoded(inner), "log": inner})
    masked = mask_json(text, Plan(encoded=("$.data",), detect=REDACT), find_words(FOUND))
    after = json.dumps({"data": encoded(MASK), "other": encoded(FOUND)})
    assert masked.text == json.dumps({"data": encoded(after), "log": after})


def test_base64_nested_beyond_the_limit_is_withheld() -> None:
    text = '{"d": ""}'
    for _ in range(LEVELS):
        text = json.dumps({"d": base64.b64encode(text.encode()).decode()})
    assert mask_json(text, Plan(encoded=("$.d",), detect=REDACT), detect_nothing).text is text
    with pytest.raises(CannotMask, match="nested-too-deeply"):
        mask_json(json.dumps({"d": base64.b64encode(text.encode()).decode()}), Plan(encoded=("$.d",)), detect_nothing)


def test_a_field_is_masked_rather_than_decoded() -> None:
    plan = Plan(paths=(("$.d", Operator.REDACT),), encoded=("$.d",))
    assert mask_json('{"d": "@"}', plan, detect_nothing).text == '{"d": "[REDACTED]"}'


def test_paths_with_filters_may_name_base64_too(find_words: Callable[..., Detect]) -> None:
    plan = Plan(encoded=("$[?@.kind == 'b'].v",), detect=REDACT)
    data = base64.b64encode(FOUND.encode()).decode()
    masked = mask_json(json.dumps([{"kind": "a", "v": "@"}, {"kind": "b", "v": data}]), plan, find_words(FOUND))
    assert base64.b64decode(json.loads(masked.text)[1]["v"]).decode() == MASK


def test_a_byte_order_mark_in_base64_stays(find_words: Callable[..., Detect]) -> None:
    for said in (f'["{FOUND}"]', f"to {FOUND}"):
        data = base64.b64encode(f"\ufeff{said}".encode()).decode()
        masked = mask_json(json.dumps({"d": data}), Plan(encoded=("$.d",), detect=REDACT), find_words(FOUND))
        after = base64.b64decode(json.loads(masked.text)["d"]).decode()
        assert after == f"\ufeff{said}".replace(FOUND, MASK)


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("Pj4-Pj4-YW5hQHguZXhhbXBsZSA-", "Pj4-Pj4-W0VNQUlMX0FERFJFU1NdID4"),
        ("Pj4+Pj4+YW5hQHguZXhhbXBsZSA+", "Pj4+Pj4+W0VNQUlMX0FERFJFU1NdID4="),
    ],
)
def test_padding_that_nobody_has_seen_is_left_out_for_urls_only(
    find_words: Callable[..., Detect], spelled: str, expected: str
) -> None:
    masked = mask_json(json.dumps([spelled]), Plan(encoded=("$[0]",), detect=REDACT), find_words(FOUND))
    assert json.loads(masked.text) == [expected]
