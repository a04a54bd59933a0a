"""A text that arrives in pieces is masked as it would be in one, and what is safe goes on at once."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.masking.streams.chunks import PLANTED, TEXT, Counting, at_random, masked, one_by_one

from headgate.masking.detection.detector import Detector
from headgate.masking.formats.plaintext import mask_text
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted
from headgate.masking.streams import open_stream
from headgate.masking.streams.flow import BEFORE, LONGEST

PROSE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of Light\nand of Darkness. "
)

CLAUSES = "\u4eca\u5929\uff0c\u516c\u56ed\u3002"

words = st.sampled_from([*PLANTED, *PROSE.split(), "12", "2024-05-01", "7,50", "a@b", "\\u0041", "100%25", CLAUSES])
texts = st.lists(st.tuples(words, st.sampled_from([" ", " ", "\n", ", ", "  ", "\t", "\u3002"])), max_size=12).map(
    lambda parts: "".join(word + space for word, space in parts)
)


def _as_whole(text: str, plan: Plan, detect: Detect) -> bytes:
    return mask_text(text, plan, detect).text.encode()


@settings(max_examples=150)
@given(text=texts, seed=st.integers(0, 10**6))
def test_however_a_text_is_cut_it_is_masked_as_in_one(plan: Plan, detector: Detect, text: str, seed: int) -> None:
    data = text.encode()
    whole = masked(plan, TEXT, detector, [data])
    assert masked(plan, TEXT, detector, at_random(data, seed)) == whole
    assert masked(plan, TEXT, detector, one_by_one(data)) == whole


@pytest.mark.parametrize("value", PLANTED)
def test_a_value_is_masked_at_every_cut(plan: Plan, detector: Detect, value: str) -> None:
    text = f"She wrote {value} and left. Then: {value}"
    expected = _as_whole(text, plan, detector)
    assert value.encode() not in expected
    data = text.encode()
    for at in range(len(data) + 1):
        assert masked(plan, TEXT, detector, [data[:at], data[at:]]) == expected


@pytest.mark.parametrize("seed", range(40))
def test_a_text_with_values_is_masked_as_a_whole_body_is(plan: Plan, detector: Detect, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - nothing depends on its being hard to guess
    parts = [chance.choice([*PLANTED, *PROSE.split()]) for _ in range(30)]
    text = "".join(part + chance.choice([" ", " ", ", ", "\n", ". "]) for part in parts)
    data = text.encode()
    assert masked(plan, TEXT, detector, at_random(data, seed)) == _as_whole(text, plan, detector)


def test_words_go_on_as_soon_as_the_next_ones_come(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, TEXT, detector)
    out = b""
    spoken = (PROSE * 3).split(" ")
    for number, word in enumerate(spoken):
        out += stream.feed(f"{word} ".encode())
        assert len(out.split()) >= len(" ".join(spoken[: number + 1]).split()) - 1


def test_a_number_is_held_back_for_a_few_words_at_most(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, TEXT, detector)
    assert stream.feed(b"It took 42 ") == b"It took "
    assert stream.feed(b"minutes ") == b"42 minutes "


def test_a_text_without_spaces_between_words_goes_on_with_its_clauses(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, TEXT, detector)
    assert stream.feed(f"{CLAUSES}\u660e\u5929".encode()).decode() == CLAUSES


@pytest.mark.parametrize("endless", ["9", "@", "a", "a-", "a.", "%41", "\\u0041", "1 ", "\u200b1 "])
def test_a_candidate_without_end_is_withheld(plan: Plan, detector: Detect, endless: str) -> None:
    stream, _ = open_stream(plan, TEXT, detector)
    data = (endless * (LONGEST + 1)).encode()
    with pytest.raises(CannotMask, match="candidate-too-long"):
        assert {stream.feed(data[at : at + 500]) for at in range(0, len(data), 500)} == {b""}
    with pytest.raises(CannotMask, match="candidate-too-long"):
        stream.feed(b" harmless ")
    with pytest.raises(CannotMask, match="candidate-too-long"):
        stream.end()


@pytest.mark.parametrize("text", [PROSE * 20, "1234 " * 20 + PROSE, "call 555 now " * 300, "a@b " * 500])
def test_every_character_is_detected_a_few_times_at_most(plan: Plan, text: str) -> None:
    detect = Counting()
    masked(plan, TEXT, detect, one_by_one(text.encode()))
    segments = text.count(" ") + text.count("\n") + 1
    assert detect.calls <= segments
    assert detect.characters <= len(text) + segments * BEFORE


def test_prose_is_hardly_detected_at_all() -> None:
    plan = Plan(detect=(Wanted("CREDIT_CARD", Operator.REDACT), Wanted("EMAIL_ADDRESS", Operator.REDACT)))
    detect = Counting()
    masked(plan, TEXT, detect, [(PROSE * 50).encode()])
    assert detect.characters == 0


def test_what_a_word_says_of_a_number_counts_across_the_cut(plan: Plan, detector: Detect) -> None:
    text = "the phone of the office is 2125550123 and the order number is 2125550123 today"
    assert masked(plan, TEXT, detector, one_by_one(text.encode())) == _as_whole(text, plan, detector)
    assert _as_whole(text, plan, detector).count(b"2125550123") == 1


@pytest.mark.parametrize(
    "value",
    [
        "ana%2Elopez%40example.com",
        "\\u0034111 1111 1111 1111",
        "4111%201111%201111%201111",
        "4111\u200b 1111 1111 1111",
    ],
)
def test_a_value_in_disguise_is_found_at_every_cut(plan: Plan, detector: Detect, value: str) -> None:
    data = f"so {value} it is".encode()
    assert value not in _as_whole(data.decode(), plan, detector).decode()
    for at in range(len(data)):
        assert value.encode() not in masked(plan, TEXT, detector, [data[:at], data[at:]])


@pytest.mark.parametrize(
    "value", ["\\u0034\\u0031\\u0031\\u0031 1111 1111 1111", "%34%31%31%31 1111 1111 1111", "4111\u200b 1111 1111 1111"]
)
def test_a_disguise_is_seen_through_where_only_its_entity_is_wanted(value: str) -> None:
    plan = Plan(detect=(Wanted("CREDIT_CARD", Operator.REDACT),))
    out = masked(plan, TEXT, Detector(plan), one_by_one(f"so it is {value} then".encode()))
    assert b"1111" not in out
    assert out.startswith(b"so it is ")


def test_a_private_key_is_masked_over_its_lines(plan: Plan, detector: Detect) -> None:
    lines = "\n".join(["b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAA" + str(at) for at in range(9)])
    key = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----"
    data = f"take this:\n{key}\nand go on with the text".encode()
    out = masked(plan, TEXT, detector, at_random(data, 1))
    assert out == b"take this:\n[SECRET]\nand go on with the text"


def test_counts_say_what_has_been_masked_so_far(plan: Plan, detector: Detect) -> None:
    stream, _ = open_stream(plan, TEXT, detector)
    stream.feed(b"ana@example.com and ")
    assert stream.counts == Counter({("text", "EMAIL_ADDRESS", "redact"): 1})
    stream.feed(b"bob@example.com")
    stream.end()
    assert stream.counts == Counter({("text", "EMAIL_ADDRESS", "redact"): 2})


def test_documents_in_a_text_are_masked_by_their_names(plan: Plan, detector: Detect) -> None:
    text = '{"ssn": "536904399",\n "note": "x"}\n[INFO] ana@example.com\n[1]: a\n{"ssn": "536904399"}\n'
    out = masked(plan, TEXT, detector, one_by_one(text.encode())).decode()
    assert out == '{"ssn": "[US_SSN]",\n "note": "x"}\n[INFO] [EMAIL_ADDRESS]\n[1]: a\n{"ssn": "[US_SSN]"}\n'
