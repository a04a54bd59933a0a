"""JSON with the detector that masks real bodies: what stands for a value is not found again, and all else stays."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.masking.detection.detector import Detector
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.plan import Operator, Plan, Wanted

KEY = b"a key of no less than sixteen bytes"
ENTITIES = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "US_SSN")
VALUES = {
    "card": "4111 1111 1111 1111",
    "email": "ana.berg+x@example.com",
    "iban": "DE89370400440532013000",
    "phone": "+44 20 7946 0958",
    "ssn": "536-90-4399",
}
NUMBERS = {"card": 4111111111111111, "card_number": 5555555555554444, "cardNumber": 378282246310005, "ssn": 536904399}

again = st.sampled_from([Operator.REDACT, Operator.TOKEN, Operator.LAST4, Operator.HASH])
sensitive = st.sampled_from(sorted(VALUES)).map(lambda name: {name: VALUES[name]})
numbered = st.sampled_from(sorted(NUMBERS)).map(lambda name: {name: NUMBERS[name]})
notes = st.sampled_from(sorted(VALUES)).map(lambda name: f"to \u00e9 {VALUES[name]}, or\n{VALUES['email']}")
written = notes.map(lambda note: {"note": note})
plain = st.dictionaries(st.sampled_from(["id", "status", "total", "at"]), st.sampled_from([7, "active", 84.5, None]))
members = st.lists(sensitive | numbered | written | plain, min_size=1, max_size=4)
documents = st.recursive(
    members, lambda inner: st.lists(inner | inner.map(json.dumps), min_size=1, max_size=3), max_leaves=4
)


def _plan(operator: Operator) -> Plan:
    return Plan(detect=tuple(Wanted(entity, operator) for entity in ENTITIES), key=KEY)


@settings(max_examples=40)
@given(documents, again)
def test_masking_what_is_masked_changes_nothing(document: Any, operator: Operator) -> None:
    plan = _plan(operator)
    once = mask_json(json.dumps(document), plan, Detector(plan)).text
    assert not any(value in once for value in VALUES.values())
    assert not any(str(number) in once for number in NUMBERS.values())
    assert mask_json(once, plan, Detector(plan)).text is once


@pytest.mark.parametrize("name", NUMBERS)
def test_a_token_for_a_number_is_one_of_as_many_digits(name: str) -> None:
    plan = _plan(Operator.TOKEN)
    masked = json.loads(mask_json(json.dumps({name: NUMBERS[name]}), plan, Detector(plan)).text)[name]
    assert masked != NUMBERS[name]
    assert isinstance(masked, int)
    assert len(str(masked)) == len(str(NUMBERS[name]))


@pytest.mark.parametrize("operator", [Operator.REDACT, Operator.TOKEN, Operator.LAST4, Operator.HASH])
def test_names_that_are_values_are_not_found_again_either(operator: Operator) -> None:
    plan = replace(_plan(operator), keys=True)
    text = json.dumps({value: {f"about {value}": at} for at, value in enumerate(VALUES.values())})
    once = mask_json(text, plan, Detector(plan)).text
    assert not any(value in once for value in VALUES.values())
    assert len(json.loads(once)) == len(VALUES)
    assert mask_json(once, plan, Detector(plan)).text is once
