"""Properties of masked JSON: it is JSON, nothing found is left in it, and all else is as it was."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.masking.jsonvalues import FOUND, embedding, leaves, numbers, scalars, spellings, texts, values

from headgate.masking.formats.jsontext import mask_json, mask_lines, mask_sequence
from headgate.masking.formats.scan import offsets, read, unescape, written_out
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing

KEY = b"a key of no less than sixteen bytes"

operators = st.sampled_from(list(Operator))


def _plan(operator: Operator, *, keys: bool = False) -> Plan:
    return Plan(detect=(Wanted("EMAIL_ADDRESS", operator),), keys=keys, key=KEY)


def all_digits(leaves: Sequence[Leaf]) -> list[list[Span]]:
    """Finds each number that does not begin with 9, as tokens of card numbers do."""
    return [
        [Span("CREDIT_CARD", 0, len(leaf.text), 1.0)] * (leaf.number and leaf.text.lstrip("-")[0] != "9")
        for leaf in leaves
    ]


@given(values, spellings)
def test_what_holds_nothing_goes_on_as_the_same_object(value: Any, spelling: dict[str, Any]) -> None:
    text = json.dumps(value, **spelling)
    assert mask_json(text, _plan(Operator.REDACT), detect_nothing).text is text


@given(values, spellings)
def test_redacting_changes_the_finding_and_nothing_else(
    find_words: Callable[..., Detect], value: Any, spelling: dict[str, Any]
) -> None:
    text = json.dumps(value, **spelling)
    masked = json.loads(mask_json(text, _plan(Operator.REDACT), find_words(FOUND)).text)
    for pointer, leaf in leaves(json.loads(text)).items():
        expected = leaf.replace(FOUND, "[EMAIL_ADDRESS]") if isinstance(leaf, str) else leaf
        assert leaves(masked)[pointer] == expected


@given(values, spellings)
def test_all_that_stands_around_findings_is_spelled_as_it_was(
    find_words: Callable[..., Detect], value: Any, spelling: dict[str, Any]
) -> None:
    text = json.dumps(value, **spelling)
    masked = mask_json(text, _plan(Operator.REDACT), find_words(FOUND))
    assert masked.text == text.replace(FOUND, "[EMAIL_ADDRESS]")


@given(embedding, spellings)
def test_documents_in_strings_are_masked_in_place_as_well(
    find_words: Callable[..., Detect], value: Any, spelling: dict[str, Any]
) -> None:
    text = json.dumps(value, **spelling)
    masked = mask_json(text, _plan(Operator.REDACT), find_words(FOUND))
    assert masked.text == text.replace(FOUND, "[EMAIL_ADDRESS]")


@given(values | embedding, operators, spellings, st.booleans())
def test_nothing_that_was_found_is_left_and_masking_again_changes_nothing(
    find_words: Callable[..., Detect], value: Any, operator: Operator, spelling: dict[str, Any], keys: bool
) -> None:
    masked = mask_json(json.dumps(value, **spelling), _plan(operator, keys=keys), find_words(FOUND))
    json.loads(masked.text)
    assert FOUND not in masked.text
    again = mask_json(masked.text, _plan(operator, keys=keys), find_words(FOUND))
    assert again.text is masked.text
    assert not again.findings


@given(values, numbers, operators)
def test_a_number_becomes_a_number_of_as_many_digits_or_null(value: Any, number: float, operator: Operator) -> None:
    plan = Plan(detect=(Wanted("CREDIT_CARD", operator),), key=KEY)
    text = json.dumps([number, value])
    masked = mask_json(text, plan, all_digits)
    first = json.loads(masked.text)[0]
    if operator is Operator.TOKEN and masked.text != text:
        assert type(first) in (int, float)
        assert mask_json(masked.text, plan, all_digits).text is masked.text
        digits = sum(map(str.isdigit, written_out(str(number))))
        if digits <= 100 and first != number:
            assert len(str(first)) == digits
    else:
        assert first is None or (first == number and str(number).lstrip("-")[0] == "9")


@pytest.mark.parametrize(
    ("spelled", "digits"),
    [
        ("0", 1),
        ("-0.0", 2),
        ("4111111111111111", 16),
        ("-12.50", 4),
        ("4.1E3", 4),
        ("1e-3", 4),
        ("9e999", 1),
        ("1E400000", 1),
    ],
)
def test_a_token_for_a_field_has_the_digits_of_the_number(spelled: str, digits: int) -> None:
    plan = Plan(paths=(("$.n", Operator.TOKEN),), key=KEY)
    masked = json.loads(mask_json(f'{{"n":{spelled}}}', plan, detect_nothing).text)["n"]
    assert isinstance(masked, int)
    assert len(str(masked)) == digits
    assert str(masked)[0] != "0"


def test_a_number_of_too_many_digits_for_a_token_becomes_null() -> None:
    plan = Plan(paths=(("$", Operator.TOKEN),), key=KEY)
    assert mask_json("1" * 101, plan, detect_nothing).text == "null"


@given(scalars)
def test_what_has_nothing_to_keep_says_only_that_it_is_masked(value: Any) -> None:
    for operator in (Operator.LAST4, Operator.HASH, Operator.TOKEN):
        masked = mask_json(json.dumps([value]), Plan(paths=(("$[0]", operator),), key=KEY), detect_nothing)
        (left,) = json.loads(masked.text)
        if value is None:
            assert left is None
        elif isinstance(value, bool):
            assert left == "[REDACTED]"
        else:
            assert type(left) is str if isinstance(value, str) else left is None or operator is Operator.TOKEN


@given(st.dictionaries(texts, values), texts, operators)
def test_a_field_is_masked_whatever_it_is_called_and_holds(value: Any, name: str, operator: Operator) -> None:
    value[name] = {"secret": [FOUND]}
    path = f"$[{json.dumps(name)}]" if not any(0xD800 <= ord(c) < 0xE000 for c in name) else "$[*]"
    masked = json.loads(mask_json(json.dumps(value), Plan(paths=((path, operator),), key=KEY), detect_nothing).text)
    if operator is Operator.DROP:
        assert name not in masked
    else:
        assert masked[name] == (None if operator is Operator.NULL else "[REDACTED]")
    if path != "$[*]":
        assert {k: v for k, v in masked.items() if k != name} == {k: v for k, v in value.items() if k != name}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from(["", " ", "\n\t"]))))
def test_dropping_any_members_leaves_the_others(members: list[tuple[str, bool, str]]) -> None:
    written = [(f"{name}{at}", drop, space) for at, (name, drop, space) in enumerate(members)]
    text = "{" + ",".join(f'{s}"{n}"{s}:{s}{int(drop)}{s}' for n, drop, s in written) + "}"
    masked = mask_json(text, Plan(paths=(("$[?@ == 1]", Operator.DROP),)), detect_nothing)
    assert json.loads(masked.text) == {name: 0 for name, drop, _ in written if not drop}


@given(st.text() | st.text('{}[]",:\\ 1-e\x1e\n'))
def test_any_text_is_masked_or_refused(text: str) -> None:
    detect = (Wanted("EMAIL_ADDRESS", Operator.REDACT),)
    plan = Plan(paths=(("$..a", Operator.REDACT),), encoded=("$..b",), detect=detect, keys=True)
    for mask in (mask_json, mask_lines, mask_sequence):
        try:
            mask(text, plan, detect_nothing)
        except CannotMask as cannot:
            assert cannot.reason in {"invalid-json", "not-base64", "number-out-of-range"}  # noqa: PT017 (both ways are right)


@given(texts)
def test_offsets_tell_where_each_character_is_spelled(text: str) -> None:
    raw = json.dumps(text)[1:-1]
    characters = unescape(f'"{raw}"')
    at = list(offsets(raw, range(len(characters) + 1)))
    for position, character in enumerate(characters):
        assert unescape(f'"{raw[at[position] : at[position + 1]]}"') == character


@given(numbers)
def test_a_number_that_is_written_out_is_the_same_number(number: float) -> None:
    for spelled in {json.dumps(number), f"{number:e}", f"{number:E}"}:
        written = written_out(spelled)
        assert "e" not in written.lower()
        assert float(written) == float(spelled)


def test_a_long_mantissa_keeps_all_its_digits() -> None:
    assert written_out("1." + "23" * 40 + "e2") == "123." + "23" * 39
    assert written_out("12e3") == "12000"
    assert written_out("-1.5E-3") == "-0.0015"


def test_reading_refuses_what_no_other_parser_agrees_on() -> None:
    for text in ("NaN", "[Infinity]", "01", "1.", ".5", "+1", "\u00a0{}", "\ufeff{}", '"\n"', "{,}", "True"):
        with pytest.raises(CannotMask, match="invalid-json"):
            read(text)


def test_names_above_a_value_are_its_context() -> None:
    asked: list[Leaf] = []

    def detect(given: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        asked.extend(given)
        return detect_nothing(given)

    mask_json('{"a": ["x", {"b": 1.50}, ["[\\"y\\"]"]], "c": 2e1}', _plan(Operator.REDACT), detect)
    assert asked == [Leaf("x", "a"), Leaf("1.50", "b", number=True), Leaf("y", "a"), Leaf("20", "c", number=True)]


def test_a_detector_that_says_too_little_is_not_believed() -> None:
    with pytest.raises(CannotMask, match="detection-failed"):
        mask_json('["a", "b"]', _plan(Operator.REDACT), lambda leaves: [()] * (len(leaves) - 1))


def test_the_detector_is_shown_all_digits_of_a_number() -> None:
    asked: list[Leaf] = []

    def detect(given: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        asked.extend(given)
        return detect_nothing(given)

    long = "12" * 5000
    mask_json(f"[-{long}, {long}.50, {long}e0, 1.10]", _plan(Operator.REDACT), detect)
    assert [leaf.text for leaf in asked] == [f"-{long}", f"{long}.50", long, "1.10"]
