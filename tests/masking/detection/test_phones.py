"""Telephone numbers are found where Presidio's PhoneRecognizer finds them, for every text, in work linear in it."""

import re
from collections.abc import Callable, Iterator
from itertools import islice, product

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import phonenumbermatcher, phonenumberutil
from presidio_analyzer.predefined_recognizers import PhoneRecognizer
from tests.masking.detection.phone_texts import COMMON, SEPARATORS, Texts

from headgate.masking.detection import phones, phones_candidates, phones_reading, phones_regions
from headgate.masking.detection.phones import find_phones, gate_pattern, may_hold_phone, settings_of

TEXTS = 2500
Spans = set[tuple[int, int, float]]
Use = Callable[[phones.Settings], None]

RECOGNIZER = PhoneRecognizer()
ALPHABETS = phones_candidates.alphabets(fewest=4)


def presidio(text: str, recognizer: PhoneRecognizer = RECOGNIZER) -> Spans:
    return {(found.start, found.end, found.score) for found in recognizer.analyze(text, ["PHONE_NUMBER"], None)}


def headgate(text: str) -> Spans:
    found = find_phones(text)
    assert found == sorted(set(found))
    return set(found)


@pytest.fixture(scope="module")
def known() -> dict[str, Spans]:
    """Texts, and what Presidio finds in each."""
    return {text: presidio(text) for text in islice(Texts(seed=5), TEXTS)}


def differing(known: dict[str, Spans]) -> Iterator[str]:
    return (text for text, spans in known.items() if headgate(text) != spans)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Sets the recognizer to be equal to."""

    def set_to(settings: phones.Settings) -> None:
        monkeypatch.setattr(phones, "_settings", lambda: settings)

    return set_to


def test_the_same_is_found_in_generated_texts(known: dict[str, Spans]) -> None:
    assert sum(map(bool, known.values())) > TEXTS / 3
    assert list(differing(known)) == []


def test_a_text_with_a_number_passes_the_gate(known: dict[str, Spans]) -> None:
    assert [text for text, spans in known.items() if spans and not may_hold_phone(text)] == []
    gate = re.compile(gate_pattern(), re.IGNORECASE)
    assert [text for text, spans in known.items() if spans and not gate.search(text)] == []
    assert sum(map(may_hold_phone, ["Maria", "", "42", "v1.2", "10:30", "12 of 95", "x1", "100"])) == 0


PIECES = st.one_of(
    st.text("0123456789", min_size=1, max_size=12),
    st.sampled_from([*SEPARATORS, *COMMON, "+1", "+49", "0049", "011", "0", "30", "212", "555", "0123"]),
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_the_same_is_found_in_any_text(text: str) -> None:
    assert headgate(text) == presidio(text)


@given(
    st.text(max_size=12),
    st.sampled_from(["+1 212 555 0123", "030 901820", "\u0661\u0662\u0663\u0664\u0665"]),
    st.text(max_size=12),
)
def test_the_same_is_found_beside_any_characters(before: str, number: str, behind: str) -> None:
    text = before + number + behind
    assert headgate(text) == presidio(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call +1 212 555 0123 now", ["+1 212 555 0123"]),
        ("(212) 555-0123", ["(212) 555-0123"]),
        ("+49 30 901820 or 020 7946 0018", ["+49 30 901820", "020 7946 0018"]),
        ("+1 212 555 0123 ext. 45", ["+1 212 555 0123 ext. 45"]),
        ("+1 212 555 0123 x45/x46", ["+1 212 555 0123 x45"]),
        ("\uff0b\uff11 212 555 0123", ["\uff0b\uff11 212 555 0123"]),
        ("1 6     ~41", ["1 6     ~41"]),
        ("a2125550123", []),
        ("2125550123a", []),
        ("$2125550123", []),
        ("2125550123%", []),
        ("2024-01-02 08:00", []),
        ("12(3): 211-227 (2003)", []),
        ("2024-03-11T09:41:07Z", []),
    ],
)
def test_what_is_a_number_in_which_surroundings(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end, _ in find_phones(text)] == found
    assert headgate(text) == presidio(text)


def test_lines_of_one_text_hold_what_each_holds_alone(known: dict[str, Spans]) -> None:
    lines = [line for text in list(known)[:400] for line in text.split("\n")]
    offset, apart = 0, set()
    for line in lines:
        apart |= {(start + offset, end + offset, score) for start, end, score in find_phones(line)}
        offset += len(line) + 1
    assert headgate("\n".join(lines)) == apart


# What a mistake in the derivation would look like.

WRONG = {
    "a digit too many wanted in texts": lambda settings: settings._replace(
        **dict(zip(("ascii", "unicode"), phones_candidates.alphabets(settings.regions.fewest + 1), strict=True))
    ),
    "a region missing": lambda _: settings_of(PhoneRecognizer(supported_regions=RECOGNIZER.supported_regions[:-1])),
    "no numbers of six digits": lambda settings: without(settings, 6),
    "no numbers of eleven digits": lambda settings: without(settings, 11),
    "extensions overlooked": lambda settings: settings._replace(ascii=Unextended(settings.ascii)),
}


def without(settings: phones.Settings, length: int) -> phones.Settings:
    regions = phones_regions.Regions(settings.regions.names)
    regions._checks[length] = {}
    return settings._replace(regions=regions)


class Unextended(phones_candidates.Alphabet):
    def __init__(self, alphabet: phones_candidates.Alphabet) -> None:
        vars(self).update(vars(alphabet))

    def may_extend(self, text: str) -> bool:
        return text == "never"


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_would_be_noticed(mistake: str, known: dict[str, Spans], use: Use) -> None:
    use(WRONG[mistake](settings_of(RECOGNIZER)))
    assert next(differing(known), None) is not None


# The metadata.


def test_no_region_has_a_number_of_fewer_digits_than_are_looked_for() -> None:
    fewest = settings_of(RECOGNIZER).regions.fewest
    shorter = ["".join(each) for length in range(1, fewest) for each in product("0123456789", repeat=length)]
    assert [text for text in shorter if _read_anywhere(text) or _read_anywhere(f"+{text}")] == []
    assert any(_read_anywhere(f"{number:0{fewest}}") for number in range(10**fewest))


def _read_anywhere(text: str) -> bool:
    return any(phones_reading._is_number(text, region) for region in RECOGNIZER.supported_regions)


def test_what_is_derived_holds_for_any_regions(use: Use) -> None:
    names = sorted(phonenumbers.SUPPORTED_REGIONS)
    for at in range(0, len(names), 40):
        recognizer = PhoneRecognizer(supported_regions=(*names[at : at + 40 : 8], "XX"))
        use(settings_of(recognizer))
        texts = list(islice(Texts(seed=at), 30))
        assert [text for text in texts if headgate(text) != presidio(text, recognizer)] == []


def test_other_leniency_is_left_to_the_recognizer(use: Use) -> None:
    recognizer = PhoneRecognizer(leniency=0)
    use(settings_of(recognizer))
    texts = list(islice(Texts(seed=9), 60))
    assert [text for text in texts if headgate(text) != presidio(text, recognizer)] == []
    assert any(presidio(text, recognizer) != presidio(text) for text in texts)


# libphonenumber gives up on a text after so many pieces that are no number.


@pytest.mark.parametrize("tries", [1, 2, 7, 40])
def test_the_same_is_given_up(tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = phonenumbermatcher.PhoneNumberMatcher.__init__
    monkeypatch.setattr(given_up, "__defaults__", (1, tries, 1))
    monkeypatch.setattr(phones_reading, "TRIES", tries)
    monkeypatch.setattr(phones, "UNCOUNTED", 0)
    monkeypatch.setattr(phones_candidates, "SHORT", 0)
    texts = [" ".join(islice(Texts(seed), 3)) for seed in range(60)]
    assert [text for text in texts if headgate(text) != presidio(text)] == []


def test_tries_are_those_of_libphonenumber() -> None:
    assert phonenumbermatcher.PhoneNumberMatcher.__init__.__defaults__ == (1, phones_reading.TRIES, 1)


def test_tries_left_uncounted_are_fewer(known: dict[str, Spans]) -> None:
    regions = settings_of(RECOGNIZER).regions
    for text in [*list(known)[:200], *(unit * (phones.UNCOUNTED // len(unit)) for unit in UNITS)]:
        for bit in range(len(regions.names)):
            reading = phones_reading.Reading(text, regions, None, None)
            assert reading.follow(1 << bit)
            assert phones_reading.TRIES - reading.left < len(text) * phones_reading.TRIES / phones.UNCOUNTED / 2


# Hostile texts.

UNITS = [
    *("1 ", "1-", "+1 (", "7", "1/1/", "12/34 ", "1x", "1~", "1 ~", "1234 ", "12345 - ", "0301234567 ", "1.", "(1) "),
    *(
        "1a",
        "1234a",
        "+49 ",
        "(((",
        "1((",
        "49 30 123 ",
        "1 - ",
        "12 x 34 ",
        "1;ext=",
        "1 ext 2 ",
        "1\u2013",
        "\u0661 ",
    ),
    *("$1234 ", "+1 212 555 0123 ", "1 6     ~41 ", "1//./ (2", "164 ./ 1"),
]
AROUND_EXTENSIONS = [(" ", "x12"), (" -", "x 12"), (" ,", "x12"), ("\t", "ext. 12"), ("- ", "12345"), (" ", "~345")]


def work(text: str) -> int:
    """Characters that patterns are run over."""
    spent: list[int] = []
    find_phones(text, spent.append)
    return sum(spent)


@pytest.mark.parametrize("unit", UNITS)
def test_a_repeated_unit_costs_work_linear_in_the_text(unit: str) -> None:
    text = unit * (600 // len(unit))
    assert headgate(text) == presidio(text)
    assert work(unit * (8000 // len(unit))) < 2.5 * work(unit * (4000 // len(unit))) + 4000


@pytest.mark.parametrize(("unit", "end"), AROUND_EXTENSIONS)
@pytest.mark.parametrize("number", ["2125550123", "2125550123 x", "1 2", "12x"])
def test_what_stands_around_an_extension_costs_work_linear_in_it(number: str, unit: str, end: str) -> None:
    for count in (3, 25):
        text = number + unit * count + end
        assert headgate(text) == presidio(text)
    assert work(number + unit * 4000 + end) < 2.5 * work(number + unit * 2000 + end) + 4000


@pytest.mark.parametrize("number", ["2125550123", "12", "12x", "212 555 0123 x"])
@pytest.mark.parametrize("unit", [" ", ", ", " -", "- ", "\t"])
def test_a_long_extension_is_taken_apart_as_libphonenumber_does(
    number: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phones_candidates, "LONGEST_BOUNDED", 0)
    for count in (0, 1, 2, 9):
        text = number + unit * count + "ext 2125550123"
        found = [part for part in phones_candidates.parts(text) for _ in range(part.tries)]
        assert [(part.start, part.end) for part in found] == list(_literally(text))


def _literally(candidate: str) -> Iterator[tuple[int, int]]:
    """What libphonenumber tries in a candidate, one after the other."""
    for pattern in phonenumbermatcher._INNER_MATCHES:
        found, first = pattern.search(candidate), True
        while found:
            if first:
                yield 0, len(_end_cut(candidate[: found.start()]))
                first = False
            yield found.start(1), found.start(1) + len(_end_cut(found.group(1)))
            found = pattern.search(candidate, found.start() + 1)


def _end_cut(text: str) -> str:
    found = phonenumberutil._UNWANTED_END_CHAR_PATTERN.search(text)
    return text[: found.start()] if found else text


def test_work_is_told_before_it_is_done_and_may_be_refused() -> None:
    class Refused(Exception):
        pass

    def refuse(_: int) -> None:
        raise Refused

    with pytest.raises(Refused):
        find_phones("+1 212 555 0123", refuse)
    assert find_phones("no number", refuse) == []


# What is known of an extension in ASCII stands for libphonenumber's pattern.


@given(
    st.lists(st.sampled_from([*SEPARATORS, *COMMON, "1", "22", "EXT", "Int", "ANEXO", "xtn"]), max_size=8).map("".join)
)
def test_an_extension_behind_a_digit_is_never_overlooked(text: str) -> None:
    stock = re.search(rf"\d(?:{phonenumberutil._EXTN_PATTERNS_FOR_MATCHING})", text, re.IGNORECASE)
    for alphabet in ALPHABETS[0 if text.isascii() else 1 :]:
        assert alphabet.may_extend(text) == (stock is not None)
