"""What a rule may change about a request that it lets pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.model import Shaping
from headgate.policy.shaping import shaped_fields, shaped_query


@pytest.mark.parametrize("spelled", [b"X-Tenant", b"x-tenant", b"X_Tenant", b"X.Tenant", b"x!tenant"])
def test_what_is_set_replaces_every_spelling_that_an_upstream_may_take_for_it(spelled: bytes) -> None:
    fields = ((b"Host", b"api"), (spelled, b"evil"), (b"Accept", b"*/*"))
    shaped = shaped_fields(fields, Shaping(set_headers=(("x-tenant", "acme"),)))
    assert shaped == ((b"Host", b"api"), (b"Accept", b"*/*"), (b"x-tenant", b"acme"))


def test_what_is_removed_goes_in_every_spelling() -> None:
    fields = ((b"X-Debug", b"1"), (b"x_debug", b"2"), (b"X-Debugger", b"3"))
    assert shaped_fields(fields, Shaping(remove_headers=frozenset({"x-debug"}))) == ((b"X-Debugger", b"3"),)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("debug=1&a=2", "a=2"),
        ("a=2&debug", "a=2"),
        ("de%62ug=1&a=%32", "a=%32"),
        ("debug=1&debug=2", ""),
        ("debugger=1&xdebug=2", "debugger=1&xdebug=2"),
        ("", ""),
    ],
)
def test_parameters_are_removed_however_they_are_spelled(query: str, left: str) -> None:
    assert shaped_query(query, frozenset({"debug"})) == left


@given(st.text(alphabet="ab=&%62+", max_size=30))
def test_removing_parameters_twice_removes_no_more(query: str) -> None:
    once = shaped_query(query, frozenset({"b", "a b"}))
    assert shaped_query(once, frozenset({"b", "a b"})) == once
