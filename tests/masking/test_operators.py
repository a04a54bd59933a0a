"""Which mask wins, and what is left of a value."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.operators import SEPARATORS, cuts, last4, replacement
from headgate.masking.plan import Operator, Plan, Profile, Span, Wanted, merge

PLAN = Plan(
    detect=(
        Wanted("A", Operator.LAST4),
        Wanted("B", Operator.REDACT),
        Wanted("C", Operator.DROP, Profile.STOCK, 0.8),
        Wanted("D", Operator.LAST4),
    )
)
spans = st.lists(
    st.builds(
        lambda entity, start, length, score: Span(entity, start, start + length, score),
        st.sampled_from("ABCDX"),
        st.integers(0, 20),
        st.integers(1, 8),
        st.sampled_from([0.3, 0.5, 0.9]),
    )
)


@given(spans)
def test_cuts_cover_all_that_is_wanted_and_nothing_else(found: list[Span]) -> None:
    wanted = {at for span in found if PLAN.operator(span) for at in range(span.start, span.end)}
    chosen = cuts(found, PLAN)
    assert {at for cut in chosen for at in range(cut.start, cut.end)} == wanted
    assert all(first.end <= second.start for first, second in pairwise(chosen))


@given(spans, st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter(found: list[Span], random: object) -> None:
    shuffled = found[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert cuts(shuffled, PLAN) == cuts(found, PLAN)


def test_the_strongest_operator_wins_then_the_longest_then_the_name() -> None:
    def winner(*found: Span) -> tuple[str, Operator]:
        (cut,) = cuts(found, PLAN)
        return cut.entity, cut.operator

    assert winner(Span("A", 0, 9, 0.5), Span("B", 8, 9, 0.5)) == ("B", Operator.REDACT)
    assert winner(Span("B", 0, 9, 0.5), Span("C", 3, 4, 0.9)) == ("C", Operator.DROP)
    assert winner(Span("D", 0, 9, 0.5), Span("A", 3, 4, 0.5)) == ("D", Operator.LAST4)
    assert winner(Span("D", 0, 9, 0.5), Span("A", 0, 9, 0.5)) == ("A", Operator.LAST4)


def test_a_score_too_low_for_one_mask_may_do_for_another() -> None:
    low, high = (
        Plan(detect=(Wanted("A", operator, Profile.STOCK, score),))
        for operator, score in ((Operator.LAST4, 0.3), (Operator.REDACT, 0.8))
    )
    both = merge((low, high))
    assert both.operator(Span("A", 0, 1, 0.2)) is None
    assert both.operator(Span("A", 0, 1, 0.5)) is Operator.LAST4
    assert both.operator(Span("A", 0, 1, 0.9)) is Operator.REDACT


def test_touching_findings_stay_two() -> None:
    assert len(cuts([Span("A", 0, 3, 0.5), Span("B", 3, 6, 0.5)], PLAN)) == 2


def test_last4_shows_four_of_long_values_and_nothing_of_short_ones() -> None:
    assert last4("4111 1111-1111.1234") == "**** ****-****.1234"
    assert last4("ana@example.com") == "***@******e.com"
    assert last4("12345678") == "****5678"
    assert last4("1234567") == "*******"
    assert last4("\u0915\u094d\u0937") == "***"


@given(st.text().filter(lambda text: "*" not in text))
def test_last4_keeps_the_length_and_at_most_half_of_the_rest(text: str) -> None:
    masked = last4(text)
    kept = [new for new in masked if new not in SEPARATORS and new != "*"]
    assert len(masked) == len(text)
    assert len(kept) <= min(4, sum(character not in SEPARATORS for character in text) // 2)


def test_a_redacted_value_says_what_it_was() -> None:
    assert replacement("x", "US_SSN", Operator.REDACT) == "[US_SSN]"
    assert replacement("x", "field", Operator.REDACT) == "[REDACTED]"
    assert replacement("x", "US_SSN", Operator.NULL) == ""
