"""Sequences of documents: NDJSON, JSON Lines, JSON Text Sequences."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.masking.jsonvalues import FOUND, values

from headgate.masking.formats.jsonsearch import PORTION
from headgate.masking.formats.jsontext import mask_json, mask_lines, mask_sequence
from headgate.masking.plan import CannotMask, Detect, Leaf, Operator, Plan, Span, Wanted, detect_nothing

MASK = "[EMAIL_ADDRESS]"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),), paths=(("$..ssn", Operator.DROP),))

lines = st.lists(
    st.tuples(st.sampled_from(["", " ", "\t"]), values.map(json.dumps) | st.just(""), st.sampled_from(["", "\r", " "]))
)


@given(lines, st.sampled_from(["", "\n"]))
def test_each_line_is_masked_as_it_would_be_alone(
    find_words: Callable[..., Detect], given_lines: list[tuple[str, str, str]], end: str
) -> None:
    whole = ["".join(parts) for parts in given_lines]
    detect = find_words(FOUND)
    alone = [mask_json(line, PLAN, detect).text if line.strip() else line for line in whole]
    masked = mask_lines("\n".join(whole) + end, PLAN, detect)
    assert masked.text == "\n".join(alone) + end


@given(st.lists(values.map(json.dumps)), st.sampled_from(["\n", "\r\n", ""]))
def test_so_is_each_record_of_a_sequence(find_words: Callable[..., Detect], records: list[str], end: str) -> None:
    detect = find_words(FOUND)
    text = "".join(f"\x1e{record}{end}" for record in records)
    masked = mask_sequence(text, PLAN, detect)
    assert masked.text == "".join(f"\x1e{mask_json(record, PLAN, detect).text}{end}" for record in records)


def test_what_holds_nothing_goes_on_as_the_same_object() -> None:
    for mask, text in ((mask_lines, '{"a": 1}\r\n\r\n[2]'), (mask_sequence, "\x1e{}\n\x1e\x1e1\n")):
        assert mask(text, PLAN, detect_nothing).text is text


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (mask_lines, "{}\n{"),
        (mask_lines, "{}{}\n"),
        (mask_lines, '{"a":\n1}'),
        (mask_lines, "{}\r{}"),
        (mask_lines, "\x1e{}\n"),
        (mask_lines, "{}\u2028{}"),
        (mask_sequence, "{}\n"),
        (mask_sequence, "{}\x1e{}\n"),
        (mask_sequence, "\x1e{}\n{}\n"),
        (mask_sequence, '\x1e{"a":\n\x1e1\n'),
        (mask_sequence, "\x1etru\n"),
    ],
)
def test_a_record_that_is_no_document_is_withheld_with_all_others(mask: Callable[..., Any], text: str) -> None:
    with pytest.raises(CannotMask, match="invalid-json"):
        mask(text, PLAN, detect_nothing)


def test_locations_tell_the_record_and_counts_do_not(find_words: Callable[..., Detect]) -> None:
    lines = mask_lines(f'1\n\n["{FOUND}"]\n["{FOUND}"]', PLAN, find_words(FOUND))
    assert [found.location for found in lines.findings] == ["/2/0", "/3/0"]
    assert dict(lines.counts) == {("/*/*", "EMAIL_ADDRESS", "redact"): 2}
    sequence = mask_sequence(f'\x1e1\n\x1e"{FOUND}"\n', PLAN, find_words(FOUND))
    assert [found.location for found in sequence.findings] == ["/2"]


def test_one_portion_holds_values_of_many_records_and_never_too_many(find_words: Callable[..., Detect]) -> None:
    asked: list[int] = []

    def detect(leaves: Sequence[Leaf]) -> Sequence[Sequence[Span]]:
        asked.append(len(leaves))
        return find_words(FOUND)(leaves)

    text = "\n".join(json.dumps({"a": [at, f"{at} {FOUND}"], "b": json.dumps([at, FOUND])}) for at in range(5000))
    assert mask_lines(text, PLAN, detect).text == text.replace(FOUND, MASK)
    assert max(asked) <= PORTION
    assert len(asked) <= 2 * sum(asked) / PORTION + 1


@pytest.mark.parametrize("strings", [1, PORTION - 1, PORTION, PORTION + 1, 3 * PORTION])
def test_portions_end_anywhere_in_a_document(find_words: Callable[..., Detect], strings: int) -> None:
    text = json.dumps([["x"] * strings, json.dumps({FOUND: [FOUND, "y"]}), ["x"] * (PORTION - 2), FOUND, "[1]", FOUND])
    assert mask_json(text, PLAN, find_words(FOUND)).text == text.replace(FOUND, MASK)
