"""Presidio as it is used here: offline, silent, without limits of its own, with whole words as context."""

import logging
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.masking import detect
from headgate.masking.detect import LONGEST, NO_LIMIT, Detector, engine
from headgate.masking.entities import ENTITIES
from headgate.masking.names import words
from headgate.masking.plan import CannotMask, Leaf, Operator, Plan, Wanted


def _detector(*entities: str, score: float = 0.4) -> Detector:
    return Detector(Plan(detect=tuple(Wanted(entity, score, Operator.REDACT) for entity in entities)))


def _found(detector: Detector, text: str, key: str = "") -> list[tuple[str, str]]:
    (spans,) = detector([Leaf(text, key)])
    return [(span.entity, text[span.start : span.end]) for span in spans]


EXAMPLES = {
    "CREDIT_CARD": "4111 1111 1111 1111",
    "CRYPTO": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "DATE_TIME": "2024-05-01",
    "EMAIL_ADDRESS": "ana@example.com",
    "IBAN_CODE": "DE89 3704 0044 0532 0130 00",
    "IP_ADDRESS": "192.168.1.77",
    "MAC_ADDRESS": "00:1B:44:11:3A:B7",
    "PHONE_NUMBER": "+1 212 555 0123",
    "UK_NHS": "943 476 5919",
    "URL": "https://example.com/a",
    "US_ITIN": "912-70-1234",
    "US_SSN": "536-90-4399",
    "UUID": "123e4567-e89b-42d3-a456-426614174000",
}


@pytest.mark.parametrize("entity", EXAMPLES)
def test_each_entity_is_found_where_it_stands(entity: str) -> None:
    text = f"x {EXAMPLES[entity]} y"
    assert (entity, EXAMPLES[entity]) in _found(_detector(entity), text)


@pytest.mark.parametrize(
    "before", ["/", "?", "#", "=", "/users?email=", "</a?b=", "GET /a/", "a:/", "//", "x" * 500 + "/"]
)
def test_an_address_is_found_whatever_stands_before_it(before: str) -> None:
    detector = _detector("EMAIL_ADDRESS")
    ((entity, found),) = _found(detector, f"{before}ana@example.com")
    assert (entity, found.endswith("ana@example.com")) == ("EMAIL_ADDRESS", True)
    assert _found(detector, f"{before}ana@nowhere.notatld") == []


@given(st.text("ab9/?#=&%+!'*~^_-. @", max_size=20))
def test_the_domain_alone_decides_whether_it_is_an_address(before: str) -> None:
    detector = _detector("EMAIL_ADDRESS")
    assert any(found.endswith("a@example.com") for _, found in _found(detector, f"{before}a@example.com"))


def test_a_value_behind_escapes_is_found_as_the_whole_leaf() -> None:
    detector = _detector("CREDIT_CARD")
    for text in ("4111%201111%201111%201111", "x %2534111111111111111", "\\u0034111111111111111", "4111 1111\\/"):
        expected = [] if text.endswith("/") else [("CREDIT_CARD", text)]
        assert _found(detector, text) == expected


def test_only_what_is_wanted_is_found() -> None:
    text = ", ".join(EXAMPLES.values())
    assert {entity for entity, _ in _found(_detector("US_SSN"), text)} == {"US_SSN"}
    assert _found(Detector(Plan()), text) == []


def test_the_entities_are_those_of_presidio_that_need_no_model() -> None:
    assert set(engine().get_supported_entities("en")) == ENTITIES


def test_a_whole_word_of_the_key_is_context() -> None:
    assert _found(_detector("US_SSN"), "536904399", "customerSSN") == [("US_SSN", "536904399")]
    assert _found(_detector("US_SSN"), "536904399", "assnumber") == []
    assert words("customerSSN_last-HTTPCode2") == ["customer", "SSN", "last", "HTTP", "Code2"]


def test_nothing_is_fetched_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from tldextract import TLDExtract, tldextract

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tldextract, "TLD_EXTRACTOR", TLDExtract(cache_dir=None))
    engine.cache_clear()
    assert _found(_detector("EMAIL_ADDRESS"), "to ana@example.co.uk") == [("EMAIL_ADDRESS", "ana@example.co.uk")]
    assert _found(_detector("EMAIL_ADDRESS"), "ana@nowhere.notatld") == []


def test_no_pattern_is_skipped_for_being_slow() -> None:
    engine()
    limits = {
        name: vars(module)["REGEX_TIMEOUT_SECONDS"]
        for name, module in sys.modules.items()
        if name.startswith("presidio_analyzer") and "REGEX_TIMEOUT_SECONDS" in vars(module)
    }
    assert len(limits) == 3
    assert set(limits.values()) == {NO_LIMIT}


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_no_value_is_logged(
    everything_logged: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from presidio_analyzer.predefined_recognizers import IbanRecognizer

    def fail(*_: Any) -> str:
        raise ValueError

    monkeypatch.setattr(IbanRecognizer, "_IbanRecognizer__generate_iban_check_digits", fail)
    _found(_detector(*ENTITIES, score=0.0), ", ".join(EXAMPLES.values()), "iban")
    assert everything_logged.text == ""
    assert capfd.readouterr() == ("", "")


def test_a_value_too_long_is_refused() -> None:
    with pytest.raises(CannotMask, match="value-too-long"):
        _detector("URL")([Leaf("9" * (LONGEST + 1), "")])


def test_a_recognizer_that_fails_withholds(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise UnicodeError("ana@example.com")

    monkeypatch.setattr(engine(), "analyze", fail)
    with pytest.raises(CannotMask, match="detection-failed"):
        _detector("URL")([Leaf("9", "")])


@given(
    st.text("abcdefxyzABCDEFXYZ -_", max_size=14), st.sampled_from(["", "license", "passport", "mac", "date", "iban"])
)
@example("DEADBEEF-CAFE", "mac")
@example("Jan-May", "date")
def test_what_is_skipped_unread_holds_nothing(text: str, key: str) -> None:
    detector = _detector(*ENTITIES, score=0.0)
    assert _found(detector, text, key) == []
    skip, detect._HOLDS_NOTHING = detect._HOLDS_NOTHING, re.compile("(?!)")
    try:
        assert _found(detector, text, key) == []
    finally:
        detect._HOLDS_NOTHING = skip


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_text_under_any_key_is_read_or_refused(text: str, key: str) -> None:
    try:
        for _, part in _found(_detector(*ENTITIES, score=0.0), text, key):
            assert part in text
    except CannotMask as cannot:
        assert cannot.reason == "detection-failed"  # noqa: PT017 (both ways are right)
