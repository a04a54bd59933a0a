"""A gate lets through every leaf in which its pattern matches: whatever it is made of, and whatever stands beside."""

import re
import sys
from itertools import accumulate

import pytest
import regex
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from headgate.masking.detection import foreign
from headgate.masking.detection.foreign import EQUAL_TO_ASCII, encoded, sign
from headgate.masking.detection.gates import MEMORY, compiled, gate, passed
from headgate.masking.detection.presidio import recognizers
from headgate.masking.detection.shapes import DIGIT, FOLDED, OTHER, is_endless

FLAGS = int(regex.DOTALL | regex.MULTILINE | regex.IGNORECASE)
EVERYTHING = "".join(map(chr, range(128, sys.maxunicode + 1)))


def _lets_through(pattern: str, texts: list[str], flags: int = FLAGS) -> list[int]:
    found = gate(pattern, flags)
    if found is None:
        return list(range(len(texts)))
    joined = "\n".join(texts)
    part, data = (found.ascii, joined.encode()) if joined.isascii() else (found.foreign, encoded(joined))
    starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
    return list(passed(compiled(part), data, starts))


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        (r"\b\d{9}\b", r"\b[\x30-\x39]{9}\b"),
        (r"a+@b+", r"[\x41\x61]{1}@[\x42\x62]{1}"),
        (r"(?<![A-Z0-9])[0-9]{4}", r"(?m:^|[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f])[\x30-\x39]{4}"),
        (r"(?<=card: )\d{4}", r"[\x43\x63][\x41\x61][\x52\x72][\x44\x64]:\ [\x30-\x39]{4}"),
        (r"([0-9]{2})-\1", r"[\x30-\x39]{2}\-[\x30-\x39]{2}"),
        (r"x*", None),
        (r"(?:a|)", None),
        (r"(?:ab){e<=1}", None),
        (r"[[:alpha:]]{9}", None),
        (r"\p{L}{9}", None),
        (r"(?x) a b c", None),
    ],
)
def test_a_gate_is_what_a_pattern_cannot_do_without(pattern: str, part: str | None) -> None:
    found = gate(pattern, FLAGS)
    assert (found and found.ascii) == part


def test_nearly_all_of_presidio_has_gates_and_they_are_small() -> None:
    patterns = [
        (pattern.regex, int(each.global_regex_flags))
        for each in recognizers()
        for pattern in getattr(each, "patterns", ())
    ]
    gates = [gate(*pattern) for pattern in patterns]
    assert None not in gates
    assert len(gates) > 170
    assert max(compiled(part).programsize for found in gates if found for part in found) * 16 < MEMORY


ALPHABET = "01abkKsSiI_- .:\n\t\x1c\u0661\u017f\u212a\u0130\u0131\u00e9\u00a0\u0301\U00010d41"
ATOMS = st.sampled_from(
    [
        *(r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", *".akSI^$", "\u00e9", "[a-z]", "[^a]", r"[^\d]", r"[\w-]", "[0-9]"),
        *(r"\b", r"(?<!\d)", r"(?!\w)", r"(?<![a-s])", r"(?<=\s)", r"(?=k)", "[\u00e9-\u017f]", r"[^\W_]"),
    ]
)
COUNTS = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{2,}", "{1,3}", "*?", "++"])
SEQUENCES = st.lists(st.builds(str.__add__, ATOMS, COUNTS), min_size=1, max_size=4).map("".join)
PATTERNS = st.one_of(
    SEQUENCES,
    st.builds("{}(?:{}|{}){}".format, SEQUENCES, SEQUENCES, SEQUENCES, SEQUENCES),
    st.builds("({})-\\1{}".format, SEQUENCES, SEQUENCES),
    st.builds("((?<={}){})-\\1".format, SEQUENCES, SEQUENCES),
    st.builds("(?:{}){{2,3}}{}".format, SEQUENCES, SEQUENCES),
)
TEXTS = st.lists(st.text(ALPHABET, max_size=9), min_size=1, max_size=4)


@given(PATTERNS, TEXTS, st.sampled_from([FLAGS, 0, int(regex.IGNORECASE)]))
@example(r"((?<=ab)\d)-\1", ["ab1-1"], FLAGS)
@example(r"(?:x(?<=x)y)", ["xy"], FLAGS)
@example("\u017f", ["S"], FLAGS)
@example("\u00e9", ["e", "\u00c9"], 0)
@settings(max_examples=300)
def test_a_leaf_in_which_a_pattern_matches_passes_its_gate(pattern: str, texts: list[str], flags: int) -> None:
    try:
        own = regex.compile(pattern, flags)
    except regex.error:
        assume(False)
    matching = [at for at, text in enumerate(texts) if any(found[0] for found in own.finditer(text, timeout=2))]
    assert set(matching) <= set(_lets_through(pattern, texts, flags))


@given(
    st.lists(st.sampled_from(["536-90-4399", "536-90-", "4399", "", "\n", "x\n536-90-4399\ny", "\u0661"]), max_size=6)
)
def test_each_leaf_is_looked_at_by_itself(texts: list[str]) -> None:
    alone = [at for at, text in enumerate(texts) if _lets_through(r"\b\d{3}-\d{2}-\d{4}\b", [text])]
    if "".join(texts).isascii():
        assert _lets_through(r"\b\d{3}-\d{2}-\d{4}\b", texts) == alone
    else:
        assert set(_lets_through(r"\b\d{3}-\d{2}-\d{4}\b", texts)) >= set(alone)


def test_a_character_before_may_be_the_end_of_the_leaf_before() -> None:
    assert _lets_through(r"(?<![A-Z0-9])[A-Z]{2}\d{2}", ["x", "DE89", "xDE89", "-DE89", "a\nDE89"]) == [1, 3, 4]


@pytest.mark.parametrize("pattern", [r"\d", r"\s", r"\w"])
def test_signs_stand_for_what_regex_makes_of_characters(pattern: str) -> None:
    """Whatever this Unicode version has, and the one of `regex`, which may be newer."""
    signs = {regex_found: sign(regex_found) for regex_found in regex.findall(pattern, EVERYTHING)}
    digit, folded, other = (each.bit_length() - 1 for each in (DIGIT, FOLDED, OTHER))
    allowed = {r"\d": {digit}, r"\s": {other}, r"\w": {digit, folded, other}}[pattern]
    assert set(signs.values()) <= allowed


def test_characters_equal_to_ascii_letters_are_known() -> None:
    equal = {
        found for letter in map(chr, range(128)) for found in regex.findall(f"(?i){re.escape(letter)}", EVERYTHING)
    }
    equal |= set(regex.findall("(?i)[a-z]", EVERYTHING)) | set(regex.findall("(?i)[A-Z]", EVERYTHING))
    assert equal == EQUAL_TO_ASCII


def test_text_keeps_its_places_as_signs() -> None:
    text = "a\u0661\u017f\u00e9\U0001f600b\ud800"
    assert encoded(text) == b"a\x81\x82\x80\x80b\x80"
    assert foreign.encoded("plain") == b"plain"


@pytest.mark.parametrize(
    ("pattern", "endless"),
    [(r"\d{1,99}", False), (r"a+", True), (r"(?<=\s*)a", True), (r"(?:a{2}b?)", False), (r"\p{L}", True)],
)
def test_patterns_that_may_go_on_without_end_are_known(pattern: str, endless: bool) -> None:
    assert is_endless(pattern, FLAGS) is endless
