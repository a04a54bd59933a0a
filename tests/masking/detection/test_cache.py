"""What was found is remembered for a time, under a digest, and for the same leaf alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.detection.cache import Cache
from headgate.masking.plan import Leaf, Span

KEY = b"k" * 16
SPANS = (Span("US_SSN", 0, 11, 0.5),)


def test_what_was_put_is_got() -> None:
    cache = Cache(KEY)
    place = cache.place(b"d", Leaf("536-90-4399", "ssn"))
    assert cache.get(place) is None
    cache.put(place, list(SPANS))
    assert cache.get(place) == SPANS


def test_the_one_unused_for_longest_is_forgotten_first() -> None:
    cache = Cache(KEY, size=2)
    first, second, third = (cache.place(b"d", Leaf(text, "")) for text in "abc")
    cache.put(first, SPANS)
    cache.put(second, SPANS)
    cache.get(first)
    cache.put(third, SPANS)
    assert len(cache) == 2
    assert (cache.get(first), cache.get(second), cache.get(third)) == (SPANS, None, SPANS)


LEAVES = st.builds(Leaf, st.text(max_size=4), st.text(max_size=4), st.booleans())


@given(st.tuples(st.binary(max_size=3), LEAVES), st.tuples(st.binary(max_size=3), LEAVES))
def test_only_the_same_leaf_and_detector_have_the_same_place(
    one: tuple[bytes, Leaf], other: tuple[bytes, Leaf]
) -> None:
    cache = Cache(KEY)
    assert (cache.place(*one) == cache.place(*other)) is (one == other)


def test_places_depend_on_the_key_and_say_nothing_of_the_text() -> None:
    leaf = Leaf("536-90-4399", "ssn")
    ours, theirs = (Cache(key).place(b"d", leaf) for key in (KEY, b"x" * 16))
    assert ours != theirs
    cache = Cache(KEY)
    cache.put(cache.place(b"d", leaf), SPANS)
    assert "536" not in repr(vars(cache))


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 65])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="accepted: 16 to 64"):
        Cache(key)
