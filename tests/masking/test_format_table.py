"""Properties of masked tables: their rows and cells are those from before, but for what was masked."""

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.formats.table import mask_csv, mask_tsv
from headgate.masking.plan import CannotMask, Detect, Operator, Plan, Wanted, detect_nothing

SECRET = "ana@x.example"
PLAN = Plan(detect=(Wanted("EMAIL_ADDRESS", Operator.REDACT),))

words = st.text('ab ",;\t|\n\u00e9', max_size=6)
cells = words | st.builds(lambda before, after: before + SECRET + after, words, words)
rows = st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1))
dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    }
)


def _written(table: list[list[str]], dialect: dict[str, object]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, **dialect).writerows(table)  # type: ignore[arg-type]
    return out.getvalue()


def _read(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@given(rows, dialects)
def test_only_what_was_found_changes(
    find_words: Callable[..., Detect], table: list[list[str]], dialect: dict[str, str]
) -> None:
    table = [[f"name{at}" for at in range(len(table[0]))], *table]
    text = _written(table, dialect)  # type: ignore[arg-type]
    masked = _read(mask_csv(text, PLAN, find_words(SECRET)).text, dialect["delimiter"])
    expected = [[cell.replace(SECRET, "[EMAIL_ADDRESS]") for cell in row] for row in table]
    assert [row for row in masked if row] == expected


@given(rows, dialects, st.sampled_from(list(Operator)))
def test_a_column_is_masked_in_every_row_and_no_other_is(
    table: list[list[str]], dialect: dict[str, str], operator: Operator
) -> None:
    names = [f"name{at}" for at in range(len(table[0]))]
    text = _written([names, *table], dialect)  # type: ignore[arg-type]
    plan = Plan(columns=(("name1", operator),), key=b"k" * 32)
    masked = [row for row in _read(mask_csv(text, plan, detect_nothing).text, dialect["delimiter"]) if row][1:]
    assert [[*row[:1], *row[2:]] for row in masked] == [[*row[:1], *row[2:]] for row in table]
    assert not any(SECRET in row[1] for row in masked)


@given(st.text('a",;\t|\r\n') | st.text())
def test_any_text_is_masked_or_refused(text: str) -> None:
    for plan in (PLAN, Plan(columns=(("a", Operator.REDACT),))):
        for mask in (mask_csv, mask_tsv):
            try:
                masked = mask(text, plan, detect_nothing)
            except CannotMask as cannot:
                assert cannot.reason == "table-unreadable"  # noqa: PT017 (both ways are right)
            else:
                assert plan.columns or masked.text is text


@given(st.text('a",;\t|\r\n'), st.text('a",;\t|\r\n'))
def test_nothing_that_was_found_is_left_in_what_is_hardly_a_table(
    find_words: Callable[..., Detect], before: str, after: str
) -> None:
    for mask in (mask_csv, mask_tsv):
        assert SECRET not in mask(before + SECRET + after, PLAN, find_words(SECRET)).text


def test_tsv_with_quotes_is_read_in_two_ways_and_no_column_of_it_is_masked() -> None:
    plan = Plan(columns=(("b", Operator.REDACT),))
    with pytest.raises(CannotMask, match="table-unreadable"):
        mask_tsv('a\tb\n"1\t2\n', plan, detect_nothing)
    assert mask_tsv('a\tb\n"1"\t"2"\n', plan, detect_nothing).text == 'a\tb\n"1"\t[REDACTED]\n'


def test_the_name_of_a_column_is_told_unless_it_may_be_a_value(find_words: Callable[..., Detect]) -> None:
    text = f"mail,{SECRET}\n{SECRET},{SECRET}\n"
    counts = mask_csv(text, PLAN, find_words(SECRET)).counts
    assert {location for location, _, _ in counts} == {"column:mail", "column:1"}
