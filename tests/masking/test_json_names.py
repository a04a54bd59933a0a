"""Names of members that are data: masked, and no member is lost, merged or told by its old name."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.masking.jsonvalues import FOUND, texts

from headgate.masking.formats.jsontext import mask_json
from headgate.masking.plan import Detect, Leaf, Operator, Plan, Span, Wanted

KEY = b"a key of no less than sixteen bytes"
MASK = "[EMAIL_ADDRESS]"

operators = st.sampled_from(list(Operator))
names = texts | st.sampled_from([FOUND, f"{FOUND} 2", MASK, f"{MASK} 2", f"{MASK} 3", f"x{FOUND}", f"{FOUND}{FOUND}"])
objects = st.recursive(st.integers(), lambda inner: st.dictionaries(names, inner, max_size=8), max_leaves=30)


def _plan(operator: Operator, **more: Any) -> Plan:
    return Plan(detect=(Wanted("EMAIL_ADDRESS", operator),), keys=True, key=KEY, **more)


def _shape(value: Any) -> Any:
    """What is left of a value without its names."""
    return [_shape(inner) for inner in value.values()] if isinstance(value, dict) else value


def _without(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without(inner) for name, inner in value.items() if FOUND not in name}


@given(objects, operators)
def test_masked_names_keep_every_member_apart(
    find_words: Callable[..., Detect], value: Any, operator: Operator
) -> None:
    masked = mask_json(json.dumps(value), _plan(operator), find_words(FOUND))
    after = json.loads(masked.text)
    assert FOUND not in masked.text
    assert after == _without(value) if operator is Operator.DROP else _shape(after) == _shape(value)


@given(objects, operators)
def test_no_location_tells_a_masked_name(find_words: Callable[..., Detect], value: Any, operator: Operator) -> None:
    masked = mask_json(json.dumps(value), _plan(operator), find_words(FOUND))
    locations = [*(found.location for found in masked.findings), *(location for location, _, _ in masked.counts)]
    assert not any(FOUND in location for location in locations)


@given(objects, operators)
def test_masking_names_again_changes_nothing(find_words: Callable[..., Detect], value: Any, operator: Operator) -> None:
    once = mask_json(json.dumps(value), _plan(operator), find_words(FOUND)).text
    assert mask_json(once, _plan(operator), find_words(FOUND)).text is once


@pytest.mark.parametrize(
    ("text", "operator", "expected"),
    [
        (f'{{"{FOUND}":1,"{FOUND}":2}}', Operator.REDACT, f'{{"{MASK}":1,"{MASK}":2}}'),
        (f'{{"{FOUND}":1,"{MASK}":2}}', Operator.REDACT, f'{{"{MASK} 2":1,"{MASK}":2}}'),
        ('{"\\"ana\\u0040x.example\\u00e9\u00e9\\/" :1}', Operator.REDACT, '{"\\"[EMAIL_ADDRESS]\\u00e9\u00e9\\/" :1}'),
        (
            f'{{"\u00e9\\/{FOUND}":1,"\u00e9/{MASK}":2}}',
            Operator.REDACT,
            f'{{"\u00e9\\/{MASK} 2":1,"\u00e9/{MASK}":2}}',
        ),
        (f'{{"to {FOUND}":1}}', Operator.NULL, f'{{"{MASK}":1}}'),
        (f'{{"a":1, "{FOUND}":{{"b":"{FOUND}"}} , "c":2}}', Operator.DROP, '{"a":1 , "c":2}'),
        (f'[{{"{FOUND}":1}},{{"{FOUND}":1}}]', Operator.REDACT, f'[{{"{MASK}":1}},{{"{MASK}":1}}]'),
    ],
)
def test_a_name_is_masked_like_this(
    find_words: Callable[..., Detect], text: str, operator: Operator, expected: str
) -> None:
    assert mask_json(text, _plan(operator), find_words(FOUND)).text == expected


def test_a_member_dropped_for_its_name_takes_all_masks_in_it_along(find_words: Callable[..., Detect]) -> None:
    plan = _plan(Operator.DROP, paths=(("$..ssn", Operator.REDACT), ("$..x", Operator.DROP)))
    text = f'{{"k":0,"{FOUND}":{{"ssn":1,"x":[2],"e":"{FOUND}","j":"{{\\"ssn\\":1}}"}}}}'
    masked = mask_json(text, plan, find_words(FOUND))
    assert masked.text == '{"k":0}'
    assert dict(masked.counts) == {
        ("/[EMAIL_ADDRESS]|key", "EMAIL_ADDRESS", "drop"): 1,
        ("/[EMAIL_ADDRESS]/x", "field", "drop"): 1,
        ("/[EMAIL_ADDRESS]/e", "EMAIL_ADDRESS", "drop"): 1,
    }


def test_names_of_what_is_masked_as_a_whole_are_gone_anyway(find_words: Callable[..., Detect]) -> None:
    plan = _plan(Operator.REDACT, paths=(("$.a", Operator.REDACT),))
    assert mask_json(f'{{"a":{{"{FOUND}":1}}}}', plan, find_words(FOUND)).text == '{"a":"[REDACTED]"}'


def test_what_goes_with_a_member_is_not_counted_as_masked() -> None:
    def detect(leaves: Sequence[Leaf]) -> list[list[Span]]:
        entity = {FOUND: "EMAIL_ADDRESS", "1": "US_SSN"}
        return [[Span(entity[leaf.text], 0, len(leaf.text), 1.0)] if leaf.text in entity else [] for leaf in leaves]

    wanted = (Wanted("EMAIL_ADDRESS", Operator.DROP), Wanted("US_SSN", Operator.REDACT))
    masked = mask_json(f'{{"{FOUND}":{{"1":["1",1]}},"1":"1"}}', Plan(detect=wanted, keys=True), detect)
    assert masked.text == '{"[US_SSN]":"[US_SSN]"}'
    assert set(masked.counts) == {
        ("/[EMAIL_ADDRESS]|key", "EMAIL_ADDRESS", "drop"),
        ("/[US_SSN]|key", "US_SSN", "redact"),
        ("/[US_SSN]", "US_SSN", "redact"),
    }
