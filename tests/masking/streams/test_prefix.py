"""What could be the beginning of a document is told from what never can be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.streams.prefix import Prefix, Status

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15)
documents = st.lists(values) | st.dictionaries(st.text(), values)


@given(documents, st.sampled_from([None, 1, "\t"]))
def test_no_beginning_of_a_document_is_refused_and_its_end_is_seen(value: Any, indent: Any) -> None:
    text = json.dumps(value, indent=indent)
    prefix = Prefix()
    for character in text[:-1]:
        assert prefix.feed(character) is Status.OPEN
    assert prefix.feed(text[-1]) is Status.WHOLE
    assert prefix.feed(" \r\n\t") is Status.WHOLE
    assert prefix.feed("x") is Status.NEVER


@pytest.mark.parametrize(
    "text",
    ["[INFO] started", "{{name}}", "[link](x)", "{a", "[1 2", '{"a" 1', "[,", '{"a":}', "[1,]", "{,", "[x", "]", "[}"],
)
def test_a_text_that_begins_with_a_bracket_is_told_from_a_document(text: str) -> None:
    assert Prefix().feed(text) is Status.NEVER
