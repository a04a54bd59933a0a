"""JSON documents to try masking on: values, spellings of them, and what can be read from a masked one again."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

FOUND = "ana@x.example"
"""What detection finds in these tests."""

texts = st.text() | st.text('"\\/ab\u00e9\U0001f600\ud800 ~')
holding = st.builds(lambda before, after: before + FOUND + after, texts, texts)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts | holding
names = texts | st.sampled_from(["a", "b", "ssn"])
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=20)
spellings = st.fixed_dictionaries({"ensure_ascii": st.just(True), "indent": st.sampled_from([None, 1, "\t"])})


def nested(inner: Any) -> Any:
    """A value, or the text of one in a string, or in an array or object."""
    return st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4) | st.builds(json.dumps, inner)


embedding = st.recursive(scalars, nested, max_leaves=12)
"""Values in which strings hold documents, and those others."""


def leaves(value: Any, at: str = "") -> Mapping[str, Any]:
    """Every value that is no container, by its JSON Pointer."""
    if isinstance(value, dict):
        steps = [(key.replace("~", "~0").replace("/", "~1"), inner) for key, inner in value.items()]
    elif isinstance(value, list):
        steps = [(str(index), inner) for index, inner in enumerate(value)]
    else:
        return {at: value}
    return {pointer: leaf for step, inner in steps for pointer, leaf in leaves(inner, f"{at}/{step}").items()}
