"""Properties of masked JSON: it is JSON, nothing found is left in it, and all else is as it was."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.formats.jsontext import mask_json, mask_lines
from headgate.masking.formats.scan import offsets, read, scan, unescape
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted, detect_nothing

SECRET = "ana@x.example"

texts = st.text() | st.text('"\\/ab\u00e9\U0001f600\ud800 ~')
holding = st.builds(lambda before, after: before + SECRET + after, texts, texts)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts | holding
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
spellings = st.fixed_dictionaries({"ensure_ascii": st.just(True), "indent": st.sampled_from([None, 1, "\t"])})
operators = st.sampled_from(list(Operator))


def _plan(operator: Operator) -> Plan:
    return Plan(detect=(Wanted("EMAIL_ADDRESS", 0.4, operator),))


def _leaves(value: Any, at: str = "") -> dict[str, Any]:
    """Every value that is no container, by its JSON Pointer."""
    if isinstance(value, dict):
        steps = [(key.replace("~", "~0").replace("/", "~1"), inner) for key, inner in value.items()]
    elif isinstance(value, list):
        steps = [(str(index), inner) for index, inner in enumerate(value)]
    else:
        return {at: value}
    return {pointer: leaf for step, inner in steps for pointer, leaf in _leaves(inner, f"{at}/{step}").items()}


@given(values, spellings)
def test_a_scan_finds_every_value_where_a_parser_does(value: Any, spelling: dict[str, Any]) -> None:
    text = json.dumps(value, **spelling)
    nodes = [node for node in scan(text).descend() if not node.is_container]
    assert {node.pointer(): json.loads(text[node.start : node.end]) for node in nodes} == _leaves(json.loads(text))


@given(values, spellings)
def test_what_holds_nothing_goes_on_as_the_same_object(value: Any, spelling: dict[str, Any]) -> None:
    text = json.dumps(value, **spelling)
    assert mask_json(text, _plan(Operator.REDACT), detect_nothing).text is text


@given(values, spellings)
def test_redacting_changes_the_finding_and_nothing_else(
    find_words: Callable[..., Detect], value: Any, spelling: dict[str, Any]
) -> None:
    text = json.dumps(value, **spelling)
    masked = json.loads(mask_json(text, _plan(Operator.REDACT), find_words(SECRET)).text)
    for pointer, leaf in _leaves(json.loads(text)).items():
        expected = leaf.replace(SECRET, "[EMAIL_ADDRESS]") if isinstance(leaf, str) else leaf
        assert _leaves(masked)[pointer] == expected


@given(values, operators, spellings)
def test_nothing_that_was_found_is_left_in_any_value(
    find_words: Callable[..., Detect], value: Any, operator: Operator, spelling: dict[str, Any]
) -> None:
    masked = mask_json(json.dumps(value, **spelling), _plan(operator), find_words(SECRET))
    assert not any(isinstance(leaf, str) and SECRET in leaf for leaf in _leaves(json.loads(masked.text)).values())
    again = mask_json(masked.text, _plan(operator), find_words(SECRET))
    assert again.text == masked.text


@given(st.dictionaries(texts, values), texts, operators)
def test_a_field_is_masked_whatever_it_is_called_and_holds(value: Any, name: str, operator: Operator) -> None:
    value[name] = {"secret": [SECRET]}
    path = f"$[{json.dumps(name)}]" if not any(0xD800 <= ord(c) < 0xE000 for c in name) else "$[*]"
    masked = json.loads(mask_json(json.dumps(value), Plan(paths=((path, operator),)), detect_nothing).text)
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


@given(st.text())
def test_any_text_is_masked_or_refused(text: str) -> None:
    plan = Plan(paths=(("$..a", Operator.REDACT),), detect=(Wanted("EMAIL_ADDRESS", 0, Operator.REDACT),))
    for mask in (mask_json, mask_lines):
        try:
            mask(text, plan, detect_nothing)
        except CannotMask as cannot:
            assert cannot.reason in {"invalid-json", "repeated-member"}  # noqa: PT017 (both ways are right)


@given(texts)
def test_offsets_tell_where_each_character_is_spelled(text: str) -> None:
    raw = json.dumps(text)[1:-1]
    characters = unescape(f'"{raw}"')
    at = offsets(raw)
    assert len(at) == len(characters) + 1
    for position, character in enumerate(characters):
        assert unescape(f'"{raw[at[position] : at[position + 1]]}"') == character


def test_reading_refuses_what_no_other_parser_agrees_on() -> None:
    for text in ("NaN", "[Infinity]", "01", "1.", ".5", "+1", "\u00a0{}", "\ufeff{}", '"\n"', "{,}", "True"):
        with pytest.raises(CannotMask, match="invalid-json"):
            read(text)
