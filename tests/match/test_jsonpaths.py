"""JSONPath as it is followed here, against the library that reads it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonpath_rfc9535 import findall

from headgate.match.documents import document
from headgate.match.found import Found
from headgate.match.jsonpaths import MAX_NODES, JsonPath
from headgate.model import Request

NAMES = st.sampled_from(["a", "b", "c", "a b", "it's", '"', "\\", "\\'", '\\"', "\n", "é", "]", "[0]", "..", "😀"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)
INDEXES = st.integers(-4, 4)
SLICES = st.tuples(*[st.none() | INDEXES] * 3).map(lambda parts: ":".join("" if p is None else str(p) for p in parts))
QUOTED = NAMES.map(json.dumps) | NAMES.map(
    lambda name: "'" + json.dumps(name)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
)
SELECTORS = QUOTED | INDEXES.map(str) | SLICES | st.just("*")
BRACKETS = st.lists(SELECTORS, min_size=1, max_size=3).map(lambda selectors: f"[{' , '.join(selectors)}]")
SEGMENTS = st.sampled_from([".a", ".b", ".*", "..a", "..*"]) | BRACKETS | BRACKETS.map("..{}".format)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: "$" + "".join(segments))


def read(text: str) -> Any:
    headers = (("content-type", "application/json"),)
    found = document(Request("POST", "https", "a", 443, "/", "", headers, "", text.encode()))
    assert not found.unclear
    return found.value


def find(path: str, text: str) -> Found:
    return JsonPath.parse(path).find(read(text))


def in_any_order(values: Any) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True) for value in values)


@settings(deadline=None, max_examples=500)
@given(PATHS, VALUES)
@example("$.a.b", {"a": {"b": 1}})
@example("$..['a','a']", {"a": {"a": 1}})
@example("$[::-1]", [1, 2, 3])
@example("$[::0]", [1, 2, 3])
def test_a_path_finds_what_the_library_finds_or_says_that_it_cannot_tell(path: str, value: Any) -> None:
    found = find(path, json.dumps(value))
    if found.unclear:
        assert found.unclear == "value-of-another-type"
        assert not found.values
    else:
        assert in_any_order(found.values) == in_any_order(findall(path, value))


@settings(deadline=None, max_examples=300)
@given(st.lists(NAMES, min_size=1, max_size=4), VALUES)
def test_the_short_way_for_plain_names_finds_what_the_long_one_finds(names: list[str], value: Any) -> None:
    path = JsonPath.parse("$" + "".join(f"[{json.dumps(name)}]" for name in names))
    document = read(json.dumps({names[0]: value}))
    assert path.members
    assert path.find(document) == path._replace(members=()).find(document)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("$.a[*]", '{"a": "text"}'),
        ("$.a.b", '{"a": 1}'),
        ("$.a[0]", '{"a": {"b": 1}}'),
        ("$.a[0:1]", '{"a": "text"}'),
        ("$.a.b", '{"a": [{"b": 1}]}'),
    ],
)
def test_a_step_that_a_value_has_no_place_for_is_unclear(path: str, text: str) -> None:
    assert find(path, text) == Found(unclear="value-of-another-type")


@pytest.mark.parametrize("path", ["$.a.b", "$.a[0]", "$.a[*]", "$..b"])
def test_null_is_an_absent_value_to_every_step(path: str) -> None:
    assert find(path, '{"a": null}') == Found()


@pytest.mark.parametrize(
    ("path", "text", "unclear"),
    [
        ("$.a", '{"a": 1, "a": 1}', "member-ambiguous"),
        ("$.a", '{"a": 1, "A": 1}', "member-ambiguous"),
        ("$.A", '{"a": 1, "a": 1}', "member-ambiguous"),
        ("$.a", '{"A": 1}', "member-in-another-spelling"),
        ("$.a", '{"a\\u0000": 1}', "member-in-another-spelling"),
        ("$.task", '{"ta\\u017fk": 1}', "member-in-another-spelling"),
        ("$.kelvin", '{"\\u212aelvin": 1}', "member-in-another-spelling"),
        ("$.user_id", '{"userId": 1}', "member-in-another-spelling"),
        ("$.userId", '{"user-id": 1}', "member-in-another-spelling"),
        ("$..a", '{"x": [{"A": 1}]}', "member-in-another-spelling"),
        ("$..a", '{"x": {"a": 1}, "x": {}}', "member-repeated"),
        ("$.*", '{"x": 1, "x": 1}', "member-repeated"),
        ("$.x[*].a", '{"x": [{"a": 1}, {"a": 1, "a": 2}]}', "member-ambiguous"),
    ],
)
def test_what_readers_may_take_for_a_member_is_unclear(path: str, text: str, unclear: str) -> None:
    assert find(path, text) == Found(unclear=unclear)


def test_a_name_that_is_spelled_otherwise_elsewhere_is_clear() -> None:
    assert find("$.x.a", '{"A": 1, "x": {"a": 2}, "y": {"a": 1, "a": 1}}') == Found((2,))


@pytest.mark.parametrize("path", ["$.*", "$..*", "$.*.*", "$..['a','b','c']", "$[" + ",".join("*" * 20) + "]"])
def test_a_path_that_visits_too_much_is_unclear(path: str) -> None:
    text = json.dumps([0] * (MAX_NODES + 1))
    assert find(path, text) == Found(unclear="too-many-values")


def test_a_path_may_find_many_values() -> None:
    assert len(find("$[*].x", json.dumps([{"x": 1}] * 4000)).values) == 4000


def test_selectors_that_multiply_end_early() -> None:
    """Forty levels of two selectors would be a million million values."""
    text = json.dumps({"a": 1})
    for _ in range(40):
        text = f'{{"a": {text}}}'
    assert find("$" + "['a','a']" * 40, text) == Found(unclear="too-many-values")


@settings(deadline=None)
@given(st.text(max_size=20) | st.text(alphabet="$.[]'\"*:?@,0-9ab\\( )", max_size=20).map("${}".format))
def test_reading_a_path_raises_one_error_type(text: str) -> None:
    with suppress(ValueError):
        JsonPath.parse(text).find({})
