"""The groups of a rule let in all who were seen, and as few others as can be."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.policy.suggest import covers
from headgate.policy.suggest.covers import FEW, cover


def groups(*names: str) -> frozenset[str]:
    return frozenset(names)


SUPPORT, FINANCE = groups("support", "staff"), groups("finance", "staff")


def test_the_fewest_groups_where_nobody_else_is_known() -> None:
    assert cover({SUPPORT, FINANCE}, {}) == ("staff",)


def test_a_group_of_others_is_not_named_where_narrower_ones_do() -> None:
    assert cover({SUPPORT, FINANCE}, {groups("staff", "sales"): 1}) == ("finance", "support")
    assert cover({SUPPORT}, {FINANCE: 3}) == ("support",)


def test_of_groups_that_let_in_others_the_one_with_the_fewest() -> None:
    assert cover({groups("a", "b")}, {groups("a"): 5, groups("b"): 2}) == ("b",)


def test_a_long_list_says_little() -> None:
    callers = {groups("staff", f"only-{at}") for at in range(FEW + 1)}
    assert cover(callers, {groups("staff"): 1}) == ("staff",)


@pytest.mark.parametrize("number", [13, 40])
def test_many_groups_are_covered_too(number: int) -> None:
    callers = {groups("staff", f"team-{at % 3}", f"person-{at:02}") for at in range(number)}
    assert cover(callers, {}) == ("staff",)
    assert cover(callers, {groups("staff"): 1}) == ("team-0", "team-1", "team-2")


GROUPS = st.frozensets(st.sampled_from("abcdef"), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.sets(GROUPS, min_size=1, max_size=6), st.dictionaries(GROUPS, st.integers(1, 9), max_size=5))
def test_everybody_seen_is_covered_by_groups_of_which_each_is_needed(
    seen: set[frozenset[str]], others: dict[frozenset[str], int]
) -> None:
    chosen = cover(seen, others)
    assert all(not has.isdisjoint(chosen) for has in seen)
    for without in combinations(chosen, len(chosen) - 1):
        assert not all(not has.isdisjoint(without) for has in seen)


@settings(deadline=None)
@given(st.sets(GROUPS, min_size=1, max_size=6), st.dictionaries(GROUPS, st.integers(1, 9), max_size=5))
def test_the_quick_way_for_many_groups_covers_everybody_too(
    seen: set[frozenset[str]], others: dict[frozenset[str], int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(covers, "EXACT", 0)
        chosen = cover(seen, others)
    assert all(not has.isdisjoint(chosen) for has in seen)
    assert set(chosen) <= frozenset().union(*seen)
