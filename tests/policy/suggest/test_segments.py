"""Values are told from words, in doubt for words; variables are called after what stands before them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.match import PathTemplate
from headgate.policy.suggest.segments import is_value, noun, variable_name

CASES: Any = yaml.safe_load((Path(__file__).parents[2] / "cases/segments.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("segment", CASES["values"])
def test_values(segment: str) -> None:
    assert is_value(segment)


@pytest.mark.parametrize("segment", CASES["words"])
def test_words(segment: str) -> None:
    assert not is_value(segment)


@settings(deadline=None)
@given(st.integers(min_value=0), st.sampled_from(["", ".json", ".pdf"]))
def test_a_number_is_a_value_with_any_ending(number: int, ending: str) -> None:
    assert is_value(f"{number}{ending}")


@settings(deadline=None)
@given(st.uuids())
def test_a_uuid_is_a_value_however_it_is_written(found: Any) -> None:
    assert all(is_value(text) for text in (str(found), found.hex, str(found).upper(), f"{found}.json"))


@pytest.mark.parametrize(
    ("before", "name"),
    [
        ("customers", "customer_id"),
        ("Customers", "customer_id"),
        ("line-items", "line_item_id"),
        ("addresses", "address_id"),
        ("purchases", "purchase_id"),
        ("boxes", "box_id"),
        ("batches", "batch_id"),
        ("categories", "category_id"),
        ("people", "person_id"),
        ("status", "status_id"),
        ("data", "data_id"),
        ("sms", "sm_id"),
        ("3ds", "d_id"),
        ("v1", "id"),
        ("api", "id"),
        (None, "id"),
    ],
)
def test_a_variable_is_called_after_the_noun_before_it(before: str | None, name: str) -> None:
    assert variable_name(before, ["42"], ()) == name


def test_dates_are_called_so_wherever_they_stand() -> None:
    assert variable_name("reports", ["2026-01-31", "2026-02-28.csv"], ()) == "date"
    assert variable_name("reports", ["2026-01-31", "42"], ()) == "report_id"
    assert variable_name("reports", [], ()) == "report_id"


def test_no_name_is_given_twice() -> None:
    assert variable_name(None, ["7"], ("id",)) == "id_2"
    assert variable_name(None, ["7"], ("id", "id_2", "customer_id")) == "id_3"


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/{}"), min_size=1), st.booleans())
def test_whatever_stands_before_the_name_is_one_that_templates_have(before: str, taken: bool) -> None:
    first = variable_name(before, ["1"], ())
    name = variable_name(before, ["1"], (first,) if taken else ())
    assert PathTemplate.parse(f"/{{{name}}}").names == (name,)
    assert (name != first) is taken


def test_a_noun_of_nothing_is_nothing() -> None:
    assert noun("---") == ""
