"""Which values paths name: the same that the library finds, followed in one walk, in any document."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_rfc9535 import compile as compile_path
from tests.masking.jsonvalues import leaves, spellings, values

from headgate.masking.formats.jsonlayout import Layout, Pointers
from headgate.masking.formats.jsonpaths import Paths, State, paths_of
from headgate.masking.formats.jsontext import mask_json
from headgate.masking.formats.scan import read, size
from headgate.masking.plan import CannotMask, Operator, Plan, detect_nothing

few = st.sampled_from(["a", "b", "a'\"\\/~ ", "\u00e9\n", "0", ""])
documents = st.recursive(
    st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(few, inner, max_size=3),
    max_leaves=25,
)
steps = few.map(lambda name: json.dumps(name)) | st.sampled_from(["*", "0", "1", "2"])
simple = st.lists(steps, min_size=1, max_size=2, unique=True).map(lambda several: f"[{','.join(several)}]")
others = st.sampled_from(["[-1]", "[1:]", "[::2]", "[?@ == 1]", "[?@.a]"])
descents = st.sampled_from(["", ".."])
paths = st.lists(st.builds("{}{}".format, descents, simple), max_size=5).map(lambda segments: "$" + "".join(segments))
any_paths = st.lists(st.builds("{}{}".format, descents, simple | others), max_size=4).map(lambda s: "$" + "".join(s))


def _expected(path: str, document: Any) -> set[str]:
    """The library's nodes, as JSON Pointers."""
    found = (node.location for node in compile_path(path).finditer(document))
    return {"".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps) for steps in found}


def _walked(state: State | None, value: Any, at: int = 0) -> tuple[dict[int, Operator | None], int]:
    """The numbers of the values with a mark, and how many there were: by a walk of the test's own."""
    found: dict[int, Operator | None] = {}
    if state and state.mark:
        found[at] = state.mark.operator
    at += 1
    for step, inner in value if type(value) is tuple else enumerate(value) if type(value) is list else ():
        more, at = _walked(state.after(step) if state else None, inner, at)
        found |= more
    return found, at


def _found(paths: Paths, text: str) -> dict[str, Operator | None]:
    value, start = read(text), paths.start()
    marks, count = _walked(start.after(0) if start else None, value)
    assert count == size(value)
    pointers = Pointers(Layout(text), {})
    marks |= {at: mark.operator for at, mark in paths.found(text, value).items()}
    return {pointers.at(at): operator for at, operator in marks.items()}


@given(values, spellings)
def test_the_layout_has_every_value_where_a_parser_does(value: Any, spelling: dict[str, Any]) -> None:
    text = json.dumps(value, **spelling)
    layout, pointers = Layout(text), Pointers(Layout(text), {})
    spelled = {
        pointers.at(at): text[start:end] for at, (start, end) in enumerate(zip(layout.starts, layout.ends, strict=True))
    }
    short = {pointer: leaf for pointer, leaf in leaves(json.loads(text)).items() if len(pointer) < 100}
    assert {pointer: json.loads(spelled[pointer]) for pointer in short} == short
    assert len(layout.starts) == size(read(text))


@given(documents, paths)
def test_a_path_names_the_values_that_the_library_finds(document: Any, path: str) -> None:
    plan = Plan(paths=((path, Operator.NULL),))
    assert set(_found(paths_of(plan) or Paths([]), json.dumps(document))) == _expected(path, document)


@given(documents, st.lists(any_paths, min_size=1, max_size=4))
def test_so_do_several_paths_together_whichever_way_they_are_followed(document: Any, several: list[str]) -> None:
    operators = [Operator.NULL, Operator.REDACT, Operator.HASH, Operator.LAST4]
    given_paths = tuple(zip(several, operators, strict=False))
    alone = [(_expected(path, document), operator) for path, operator in given_paths]
    expected: dict[str, Operator] = {}
    for found, operator in reversed(alone):  # the strongest comes first, and so is written last
        expected |= dict.fromkeys(found, operator)
    text = json.dumps(document)
    compiled = paths_of(Plan(paths=given_paths)) or Paths([])
    start = compiled.start()
    marks, _ = _walked(start.after(0) if start else None, read(text))
    library = {at: mark.operator for at, mark in compiled.found(text, read(text)).items()}
    pointers = Pointers(Layout(text), {})
    assert {
        pointers.at(at): min((m[at] for m in (marks, library) if at in m), key=lambda o: o.rank if o else 9)
        for at in {*marks, *library}
    } == expected


@pytest.mark.parametrize("path", ["$..a", "$.a.b['c'][0]", "$.a[*].b", "$..a.b", "$..['a','b']", "$", "$..*", "$.a..b"])
def test_common_paths_do_not_need_the_library(path: str) -> None:
    assert (paths_of(Plan(paths=((path, Operator.NULL),))) or Paths([])).start() is not None


def _tree(depth: int) -> Any:
    return {"a": _tree(depth - 1), "b": _tree(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    "several", [["$..a" + ".*" * 12], ["$..a" + "['a','b']" * 12], [f"$..{name}..x" for name in "abcdefghijkl"]]
)
def test_states_do_not_multiply_with_what_documents_hold(several: list[str]) -> None:
    """Where a step may match at several depths at once, each set of them would be a state."""
    compiled = paths_of(Plan(paths=tuple((path, Operator.NULL) for path in several))) or Paths([])
    start = compiled.start()
    value = read(json.dumps(_tree(12)))
    _walked(start.after(0) if start else None, value)
    assert len(compiled._known) < 600


@pytest.mark.parametrize("repeated", ["$.a", "$..a", "$.*", "$['a','b']"])
def test_every_one_of_several_members_is_masked(repeated: str) -> None:
    plan = Plan(paths=((repeated, Operator.REDACT),))
    assert mask_json('{"a":"1","\\u0061":"2","a":"3"}', plan, detect_nothing).text.count("[REDACTED]") == 3


def test_paths_that_choose_refuse_repeated_members_wherever_they_are() -> None:
    plan = Plan(paths=(("$.x[?@ == 1]", Operator.REDACT),))
    with pytest.raises(CannotMask, match="repeated-member"):
        mask_json('{"x": [1], "y": [{"a": 1, "a": 2}]}', plan, detect_nothing)


def test_the_strongest_of_two_operators_on_one_value_counts() -> None:
    plan = Plan(paths=(("$.a", Operator.LAST4), ("$..a", Operator.NULL), ("$[?@ == '12345678']", Operator.REDACT)))
    assert mask_json('{"a": "12345678"}', plan, detect_nothing).text == '{"a": null}'
