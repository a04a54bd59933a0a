"""What a plan wants is found, with and without escapes, in values of any length, or the leaf is refused."""

import logging
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.masking.detection import presidio
from headgate.masking.detection.budget import Budget, OverBudget
from headgate.masking.detection.cache import Cache
from headgate.masking.detection.detector import LONGEST, Detector, warm
from headgate.masking.detection.fast import Fast
from headgate.masking.entities import DEFAULT, ENTITIES
from headgate.masking.names import words
from headgate.masking.plan import CannotMask, Leaf, Operator, Plan, Profile, Wanted

KEY = b"k" * 16


def _plan(*entities: str, score: float = 0.4, **more: Any) -> Plan:
    wanted = tuple(Wanted(entity, Operator.REDACT, Profile.STOCK, score) for entity in entities)
    return Plan(detect=wanted, **more)


def _detector(*entities: str, **more: Any) -> Detector:
    return Detector(_plan(*entities, **more))


def _found(detector: Detector, text: str, key: str = "", score: float = 0.4) -> list[tuple[str, str]]:
    (spans,) = detector([Leaf(text, key)])
    return [(span.entity, text[span.start : span.end]) for span in spans if span.score >= score]


EXAMPLES = {
    "CREDIT_CARD": "4111 1111 1111 1111",
    "CRYPTO": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "DATE_TIME": "2024-05-01",
    "EMAIL_ADDRESS": "ana@example.com",
    "IBAN_CODE": "DE89 3704 0044 0532 0130 00",
    "IP_ADDRESS": "192.168.1.77",
    "MAC_ADDRESS": "00:1B:44:11:3A:B7",
    "PHONE_NUMBER": "+1 212 555 0123",
    "SECRET": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
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


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("ana@corp.internal", True),
        ("ana@mail.CORP.internal", True),
        ("ana@xcorp.internal", False),
        ("ana@internal", False),
        ("ana@corp.internal.lan", False),
        ("ana@example.com", True),
    ],
)
def test_internal_domains_and_those_below_them_make_addresses(address: str, found: bool) -> None:
    detector = _detector("EMAIL_ADDRESS", internal_domains=("corp.internal",))
    assert _found(detector, f"to {address}") == ([("EMAIL_ADDRESS", address)] if found else [])


def test_without_internal_domains_only_public_ones_make_addresses() -> None:
    _detector("EMAIL_ADDRESS", internal_domains=("corp.internal",))
    assert _found(_detector("EMAIL_ADDRESS"), "ana@corp.internal") == []


def test_a_value_behind_escapes_is_found_as_the_whole_leaf() -> None:
    detector = _detector("CREDIT_CARD")
    for text in ("4111%201111%201111%201111", "x %2534111111111111111", "\\u0034111111111111111", "4111 1111\\/"):
        expected = [] if text.endswith("/") else [("CREDIT_CARD", text)]
        assert _found(detector, text) == expected


def test_what_only_shows_once_something_else_is_cut_out_is_found_too() -> None:
    text = "4111 1111 1111 1111, x%40example.com"
    assert _found(_detector("CREDIT_CARD", "EMAIL_ADDRESS"), text) == [
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("EMAIL_ADDRESS", text),
    ]


def test_only_what_is_wanted_is_found() -> None:
    text = ", ".join(EXAMPLES.values())
    assert {entity for entity, _ in _found(_detector("US_SSN"), text)} == {"US_SSN"}
    assert _found(Detector(Plan()), text) == []


def test_the_entities_are_those_of_presidio_that_need_no_model() -> None:
    assert {entity for each in presidio.recognizers() for entity in each.supported_entities} == ENTITIES
    assert all(len(each.supported_entities) == 1 for each in presidio.recognizers())


def test_the_default_entities_are_those_that_presidio_looks_for_by_itself() -> None:
    from presidio_analyzer import RecognizerRegistry

    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    assert {entity for each in registry.recognizers for entity in each.supported_entities} == DEFAULT


def test_the_default_recognizers_are_set_up_as_presidio_sets_them_up() -> None:
    from presidio_analyzer import RecognizerRegistry

    def settings(recognizer: Any) -> Any:
        patterns = [(each.regex, each.score) for each in getattr(recognizer, "patterns", ())]
        return type(recognizer), patterns, getattr(recognizer, "global_regex_flags", None), recognizer.context

    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    ours = [settings(each) for each in presidio.recognizers()]
    assert [each for each in map(settings, registry.recognizers) if each not in ours] == []


def test_a_whole_word_of_the_key_is_context() -> None:
    assert _found(_detector("US_SSN"), "536904399", "customerSSN") == [("US_SSN", "536904399")]
    assert _found(_detector("US_SSN"), "536904399", "assnumber") == []
    assert words("customerSSN_last-HTTPCode2") == ["customer", "SSN", "last", "HTTP", "Code2"]


def test_custom_recognizers_are_asked_for_by_the_entities_they_find() -> None:
    custom = (
        '[{"name":"Badge","supported_entity":"BADGE","patterns":[{"name":"b","regex":"B-\\\\d{4}","score":0.6}]},'
        '{"name":"Colour","supported_entity":"COLOUR","deny_list":["mauve","ochre"]}]'
    )
    text = "B-1234 in mauve"
    assert _found(_detector("BADGE", recognizers=custom), text) == [("BADGE", "B-1234")]
    both = _detector("BADGE", "COLOUR", recognizers=custom)
    assert _found(both, text) == [("BADGE", "B-1234"), ("COLOUR", "mauve")]


def test_a_custom_pattern_that_runs_away_withholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.masking.detection.limits.SECONDS", 0.05)
    custom = '[{"name":"Bad","supported_entity":"BAD","patterns":[{"name":"b","regex":"(?:a|aa)+b","score":0.6}]}]'
    with pytest.raises(CannotMask, match="detection-too-slow"):
        _detector("BAD", recognizers=custom)([Leaf("ab" + "a" * 60 + " b", "")])


def test_findings_that_no_payload_has_are_marked() -> None:
    """The `api` profile is asked only where a plan has it."""
    leaf = Leaf("1714550400", "created_at")
    api = Plan(detect=(Wanted("PHONE_NUMBER", Operator.REDACT),))
    assert [span.plausible for span in Detector(api)([leaf])[0]] == [False]
    assert [span.plausible for span in Detector(_plan("PHONE_NUMBER"))([leaf])[0]] == [True]


def test_nothing_is_fetched_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from tldextract import TLDExtract, tldextract

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tldextract, "TLD_EXTRACTOR", TLDExtract(cache_dir=None))
    presidio._keep_offline()
    assert _found(_detector("EMAIL_ADDRESS"), "to ana@example.co.uk") == [("EMAIL_ADDRESS", "ana@example.co.uk")]
    assert _found(_detector("EMAIL_ADDRESS"), "ana@nowhere.notatld") == []


def test_no_pattern_is_skipped_for_being_slow() -> None:
    presidio.recognizers()
    limits = {
        name: vars(module)["REGEX_TIMEOUT_SECONDS"]
        for name, module in sys.modules.items()
        if name.startswith("presidio_analyzer") and "REGEX_TIMEOUT_SECONDS" in vars(module)
    }
    assert len(limits) == 3
    assert set(limits.values()) == {presidio.NO_LIMIT}


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

    warm()
    monkeypatch.setattr(IbanRecognizer, "_IbanRecognizer__generate_iban_check_digits", fail)
    _found(_detector(*ENTITIES, "SECRET"), ", ".join(EXAMPLES.values()), "iban")
    assert everything_logged.text == ""
    assert capfd.readouterr() == ("", "")


def test_a_value_too_long_is_refused_and_one_less_is_read() -> None:
    detector = _detector("US_SSN")
    with pytest.raises(CannotMask, match="value-too-long"):
        detector([Leaf("9" * (LONGEST + 1), "")])
    text = "x" * (LONGEST - 12) + " 536-90-4399"
    assert _found(detector, text) == [("US_SSN", "536-90-4399")]


def test_a_recognizer_that_fails_withholds(monkeypatch: pytest.MonkeyPatch) -> None:
    from presidio_analyzer.predefined_recognizers import UsSsnRecognizer

    def fail(*_: Any, **__: Any) -> None:
        raise UnicodeError("ana@example.com")

    (recognizer,) = presidio.chosen(["US_SSN"])
    assert isinstance(recognizer, UsSsnRecognizer)
    monkeypatch.setitem(vars(recognizer), "invalidate_result", fail)
    fast = Fast([], [recognizer])
    with pytest.raises(CannotMask, match=r"^detection-failed$"):
        fast([Leaf("536-90-4399", "")])


@given(st.text(max_size=40), st.text(max_size=10))
@example("\ud800 536-90-4399", "\udfff")
def test_any_text_under_any_key_is_read_or_refused(text: str, key: str) -> None:
    try:
        for _, part in _found(_detector(*ENTITIES, "SECRET"), text, key, score=0.0):
            assert part in text
    except CannotMask as cannot:
        assert cannot.reason == "detection-failed"  # noqa: PT017 (both ways are right)


def _with_cache(cache: Cache) -> Callable[[str, str], list[tuple[str, str]]]:
    detector = Detector(_plan("US_SSN"), cache=cache)
    return lambda text, key: _found(detector, text, key, score=0.0)


def test_what_was_found_before_is_found_again_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(KEY)
    find = _with_cache(cache)
    first = find("536-90-4399", "ssn")
    monkeypatch.setattr(Fast, "confirm", lambda *_: pytest.fail("it was looked for again"))
    assert find("536-90-4399", "ssn") == first
    assert len(cache) == 1


def test_another_key_another_detector_and_what_costs_nothing_are_not_remembered_as_the_same() -> None:
    cache = Cache(KEY)
    find = _with_cache(cache)
    find("nothing", "ssn")
    assert len(cache) == 0
    assert find("536904399", "ssn") != []
    (bare,) = Detector(_plan("US_SSN"), cache=cache)([Leaf("536904399", "")])
    (named,) = Detector(_plan("US_SSN"), cache=cache)([Leaf("536904399", "ssn")])
    assert bare[0].score < named[0].score
    (other,) = Detector(_plan("US_PASSPORT"), cache=cache)([Leaf("536904399", "ssn")])
    assert {span.entity for span in other} == {"US_PASSPORT"}


def test_a_detector_stops_when_its_budget_is_spent() -> None:
    leaves = [Leaf("536-90-4399", "ssn")] * 50
    spent = Budget(1 << 40)
    found = Detector(_plan("US_SSN"), spent)(leaves)
    work = (1 << 40) - spent.left
    assert Detector(_plan("US_SSN"), Budget(work))(leaves) == found
    with pytest.raises(OverBudget):
        Detector(_plan("US_SSN"), Budget(work - 1))(leaves)
