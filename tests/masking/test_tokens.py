"""Tokens and hashes: equal for equal values, shaped as what they stand for, and nobody's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import HeadgateError
from headgate.masking.detection.detector import Detector
from headgate.masking.detection.phones import REGIONS, holds_number
from headgate.masking.plan import CannotMask, Leaf, Operator, Plan, Profile, Wanted
from headgate.masking.tokens import DIGITS, SHORTEST_KEY, hashed, number_token, token, token_key

KEY = b"0123456789abcdef"
ENTITIES = [
    "CREDIT_CARD",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "PHONE_NUMBER",
    "URL",
    "US_SSN",
    "field",
]
entities = st.sampled_from(ENTITIES)
values = st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9 @.+/-]{0,30}", fullmatch=True)


def _class(character: str) -> str:
    if character.isdigit() or character.isnumeric():
        return "0"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character


@given(values, entities)
def test_a_token_keeps_length_and_separators(value: str, entity: str) -> None:
    made = token(value, entity, KEY)
    assert len(made) == len(value)
    assert token(value, entity, KEY) == made


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ./+-]{0,29}", fullmatch=True), st.sampled_from(["field", "PHONE_NUMBER"]))
def test_a_token_keeps_character_classes(value: str, entity: str) -> None:
    assert [*map(_class, token(value, entity, KEY))] == [*map(_class, value)]


@pytest.mark.parametrize(
    ("value", "entity", "form"),
    [
        ("4111 1111 1111 1111", "CREDIT_CARD", r"9\d{3}( \d{4}){3}"),
        ("536-90-4399", "US_SSN", r"[1-8]\d\d-00-\d{4}"),
        ("912-70-1234", "US_ITIN", r"[1-8]\d\d-00-\d{4}"),
        ("+1 (212) 555-0123", "PHONE_NUMBER", r"\+0 \(00\d\) \d{3}-\d{4}"),
        ("DE89 3704 0044 0532 0130 00", "IBAN_CODE", r"[JQVZ]{2}\d\d( \d{4}){4} \d\d"),
        ("ana.b@example.com", "EMAIL_ADDRESS", r"[b-z]{3}\.[b-z]@[b-z]{6}\.test"),
        ("a@b.io", "EMAIL_ADDRESS", r"[b-z]@[b-z]\.zz"),
        ("ana@b.com", "field", r"[b-z]{3}@[b-z.]{2}\.zz|[b-z]{3}@\w\w\.zz"),
        ("ghp_0123456789", "SECRET", r"\[SECRET:[jqvz]{8}\]"),
        ("x" * 40, "SECRET", r"\[SECRET:[jqvz]{31}\]"),
        ("10.20.30.4", "IP_ADDRESS", r"[jqvz]{2}\.[jqvz]{2}\.[jqvz]{2}\.[jqvz]"),
        ("Ana María", "field", r"[B-Z][b-z]{2} [B-Z][b-z]{4}"),
    ],
)
def test_a_token_is_nobodys(value: str, entity: str, form: str) -> None:
    assert re.fullmatch(form, token(value, entity, KEY))


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(sum(map(int, str(number))) for number in doubled) % 10 == 0


@given(st.from_regex(r"[3-6][0-9]{12,18}", fullmatch=True))
def test_no_token_of_a_card_is_one(card: str) -> None:
    assert not _luhn(token(card, "CREDIT_CARD", KEY))
    assert not _luhn(number_token(card, "CREDIT_CARD", KEY))


@given(st.from_regex(r"-?[1-9][0-9]{0,30}(\.[0-9]{1,9})?", fullmatch=True), entities)
def test_a_number_becomes_a_number_of_as_many_digits(value: str, entity: str) -> None:
    made = number_token(value, entity, KEY)
    assert re.fullmatch("[1-9][0-9]*", made)
    assert len(made) == sum(map(str.isdigit, value))


@pytest.mark.parametrize(("value", "entity"), [("4111111111111111", "CREDIT_CARD"), ("536904399", "US_SSN")])
def test_cards_and_identity_numbers_have_one_token_as_number_and_as_text(value: str, entity: str) -> None:
    assert number_token(value, entity, KEY) == token(value, entity, KEY)


def test_spellings_of_one_value_have_one_token() -> None:
    plain, spaced = token("4111111111111111", "CREDIT_CARD", KEY), token("4111-1111 1111.1111", "CREDIT_CARD", KEY)
    assert re.sub(r"\D", "", spaced) == plain
    assert token("Ana@Example.com", "EMAIL_ADDRESS", KEY).lower() == token("ana@example.com", "EMAIL_ADDRESS", KEY)
    assert hashed("ANA", "field", KEY) == hashed("ana", "field", KEY)


def test_another_value_entity_or_key_gives_another_token() -> None:
    made = {token("4111111111111111", "CREDIT_CARD", KEY), token("4111111111111112", "CREDIT_CARD", KEY)}
    made |= {token("4111111111111111", "PHONE_NUMBER", KEY), token("4111111111111111", "CREDIT_CARD", KEY + b"x")}
    assert len(made) == 4
    assert len({hashed(value, entity, KEY) for value in ("a", "b") for entity in ENTITIES}) == 2 * len(ENTITIES)


def test_few_values_share_a_token() -> None:
    assert len({token(f"536-{at // 100:02}-{at:04}", "US_SSN", KEY) for at in range(1000)}) > 995
    assert len({token(f"+1 212 {at:07}", "PHONE_NUMBER", KEY) for at in range(1000)}) > 995


@given(values, entities)
def test_a_hash_is_a_word_without_digits(value: str, entity: str) -> None:
    assert re.fullmatch("hash_[a-p]{32}", hashed(value, entity, KEY))


@pytest.mark.parametrize("key", [b"", KEY[: SHORTEST_KEY - 1]])
def test_without_a_key_nothing_is_masked_by_one(key: bytes) -> None:
    for make in (token, number_token, hashed):
        with pytest.raises(CannotMask, match="token-key-missing"):
            make("1", "field", key)


def test_a_key_is_referred_to_and_never_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert token_key("env:KEY", {"KEY": " " + KEY.decode() + "\n"}, tmp_path) == KEY
    with pytest.raises(
        HeadgateError, match="`env:KEY` is too short a key for tokens; accepted: at least 16 bytes"
    ) as it:
        token_key("env:KEY", {"KEY": "hunter2"}, tmp_path)
    assert "hunter2" not in str(it.value)


FOUND = {
    "CREDIT_CARD": ["4111 1111 1111 1111", "5555555555554444", "3782-822463-10005"],
    "EMAIL_ADDRESS": ["ana@example.com", "a@b.io", "j.r.smith+x@mail.example.co.uk"],
    "IBAN_CODE": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"],
    "PHONE_NUMBER": ["+1 212 555 0123", "(212) 555-0123", "+44 20 7946 0958", "+49 30 123456", "020 7946 0958"],
    "US_SSN": ["536-90-4399", "536 90 4399"],
    "UK_NHS": ["943 476 5919"],
    "US_ITIN": ["912-70-1234"],
    "IP_ADDRESS": ["10.20.30.4", "2001:db8::ff00:42:8329"],
    "URL": ["https://example.com/a?b=1", "www.example.org"],
    "UUID": ["123e4567-e89b-42d3-a456-426614174000"],
    "MAC_ADDRESS": ["00:1B:44:11:3A:B7"],
    "CRYPTO": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"],
}


@pytest.mark.parametrize("entity", FOUND)
def test_no_token_is_detected_again_as_anything_that_keeps_its_digits(entity: str) -> None:
    """With two hundred keys, by every entity above at once, in texts and as numbers."""
    plan = Plan(detect=tuple(Wanted(each, Operator.REDACT, Profile.STOCK, 0.0) for each in FOUND))
    keys = [f"key number {at:08}".encode() for at in range(200)]
    made = [token(value, entity, key) for key in keys for value in FOUND[entity]]
    leaves = [Leaf(f"it is {text} now", "contact") for text in made]
    if entity in DIGITS:
        leaves += [Leaf(number_token(value, entity, key), "n", True) for key in keys for value in FOUND[entity]]
    again = [leaf.text for leaf, spans in zip(leaves, Detector(plan)(leaves), strict=True) if spans]
    assert again == []


def test_numbers_are_looked_for_where_presidio_looks_for_them() -> None:
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    assert PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS == REGIONS
    assert holds_number("call (212) 555-0123 x5")
    assert not holds_number("call 000-000")
