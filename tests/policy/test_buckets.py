"""Buckets: exactly a token bucket, all or nothing, never looser for want of memory, unmoved by a clock that is set."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.match import MatchSpec, compile_match
from headgate.model import LimitUse
from headgate.policy import buckets
from headgate.policy.buckets import LimitStore, MemoryLimits, Outcome, header_fields
from headgate.policy.limits import Due, Key, Limit, Rate

NOW = 1_000.0
EVERYTHING = compile_match(MatchSpec(), widen=True)


def limit(rate: str = "10/minute", burst: int | None = None, **changes: Any) -> Limit:
    parsed = Rate.parse(rate)
    usual: dict[str, Any] = {"id": "l", "file": "", "line": 1, "matcher": EVERYTHING, "key": lambda _: ()}
    return Limit(**{**usual, "rate": parsed, "burst": burst or parsed.count, **changes})


def passes(store: LimitStore, one: Limit, now: float = NOW, key: Key = ("ana",)) -> bool:
    return not store.spend([(one, key)], now).refusing


def passing(store: LimitStore, one: Limit, now: float = NOW, key: Key = ("ana",)) -> int:
    """How many requests pass at once, of more than any limit here lets pass."""
    return sum(passes(store, one, now, key) for _ in range(20))


class Bucket:
    """A token bucket as the textbook has it, in exact numbers."""

    def __init__(self, of: Limit) -> None:
        self._per_second, self._size = Fraction(of.rate.count, of.rate.seconds), of.burst
        self._tokens, self._at = Fraction(of.burst), Fraction(0)

    def has_one(self, now: float) -> bool:
        self._tokens = min(self._size, self._tokens + (Fraction(now) - self._at) * self._per_second)
        self._at = Fraction(now)
        return self._tokens >= 1

    def take(self) -> None:
        self._tokens -= 1

    @property
    def tokens(self) -> int:
        return int(self._tokens)


RATES = st.sampled_from(
    ["1/second", "3/second", "7/minute", "100/minute", "13/hour", "1000000/second", "999999/minute"]
)
BURSTS = st.integers(1, 5)
STEPS = st.integers(0, 5 * 512)
"""In 512ths of a second, which are exact both as a float and as nanoseconds."""


def times(steps: Sequence[int]) -> list[float]:
    now, found = int(NOW) * 512, []
    for step in steps:
        now += step
        found.append(now / 512)
    return found


# ---------------------------------------------------------------------------------------------------------- one bucket


def test_a_burst_passes_at_once_and_then_one_each_time_the_rate_gives() -> None:
    store, ten = MemoryLimits(), limit("10/minute", 3)
    assert passing(store, ten) == 3
    assert not passes(store, ten, NOW + 5.9)
    assert passes(store, ten, NOW + 6)
    assert not passes(store, ten, NOW + 6)
    assert passing(store, ten, NOW + 1_000) == 3


def test_refused_requests_cost_nothing() -> None:
    store, ten = MemoryLimits(), limit("10/minute", 1)
    assert passes(store, ten)
    for n in range(100):
        assert not passes(store, ten, NOW + n * 0.05)
    assert passes(store, ten, NOW + 6)


def test_each_key_has_a_bucket_of_its_own() -> None:
    store, ten = MemoryLimits(), limit(burst=2)
    keys: list[Key] = [("ana",), ("eve",), (None,), ("None",), (("sso", "ana"),), ("sso", "ana"), ("\udcff",), ("",)]
    assert [passing(store, ten, key=key) for key in keys] == [2] * len(keys)


def test_an_outcome_says_what_is_left_and_how_long_to_wait() -> None:
    store, ten = MemoryLimits(), limit("10/minute", 2)
    found = [store.spend([(ten, ("ana",))], NOW + after).standings[0] for after in (0, 1, 2)]
    assert [(one.remaining, one.exhausted) for one in found] == [(1, False), (0, False), (0, True)]
    assert found[2].wait == 4.0
    assert store.spend([], NOW) == Outcome(NOW, ())


def test_to_look_takes_nothing() -> None:
    store, ten = MemoryLimits(), limit("10/minute", 2)
    looked = [store.peek([(ten, ("ana",))], NOW).standings[0] for _ in range(3)]
    assert [(one.remaining, one.exhausted) for one in looked] == [(2, False)] * 3
    assert store.count == 0
    assert passing(store, ten) == 2
    assert [(one.remaining, one.exhausted) for one in store.peek([(ten, ("ana",))], NOW).standings] == [(0, True)]


@given(rate=RATES, burst=BURSTS, steps=st.lists(STEPS, max_size=40))
def test_it_is_exactly_a_token_bucket(rate: str, burst: int, steps: list[int]) -> None:
    store, one = MemoryLimits(), limit(rate, burst)
    plain = Bucket(one)
    for now in times(steps):
        looked = store.peek([(one, ("ana",))], now).standings[0]
        passed = plain.has_one(now)
        assert looked.remaining == plain.tokens
        assert passes(store, one, now) is passed
        if passed:
            plain.take()
        else:
            assert Fraction(looked.wait) == pytest.approx((1 - plain._tokens) / plain._per_second)


@given(rate=RATES, burst=BURSTS, steps=st.lists(STEPS, max_size=40))
def test_in_no_window_pass_more_than_the_burst_and_what_the_rate_gives(rate: str, burst: int, steps: list[int]) -> None:
    store, one = MemoryLimits(), limit(rate, burst)
    passed = [Fraction(now) for now in times(steps) if passes(store, one, now)]
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= burst + (end - start) * one.rate.count / one.rate.seconds


def test_nothing_is_lost_by_rounding_over_many_requests() -> None:
    """A third of a second is no whole number of nanoseconds, and the epoch is far from zero."""
    store, one = MemoryLimits(), limit("3/second", 2)
    start = 1_800_000_000
    assert sum(passes(store, one, start + n / 8) for n in range(8 * 3_000)) == 3 * 3_000 + 1


# ------------------------------------------------------------------------------------------------------ several buckets


def test_nothing_is_taken_when_one_limit_refuses() -> None:
    store, small, large = MemoryLimits(), limit(burst=1, id="small"), limit(burst=5, id="large")
    both: list[Due] = [(large, ("ana",)), (small, ("ana",))]
    assert not store.spend(both, NOW).refusing
    for _ in range(10):
        assert [standing.limit.id for standing in store.spend(both, NOW).refusing] == ["small"]
    assert passing(store, large) == 4


def test_a_limit_in_shadow_mode_says_so_and_refuses_nothing() -> None:
    store, shadow, real = MemoryLimits(), limit(burst=1, id="shadow", enforced=False), limit(burst=3, id="real")
    both: list[Due] = [(shadow, ("ana",)), (real, ("ana",))]
    found = [store.spend(both, NOW) for _ in range(4)]
    assert [bool(outcome.refusing) for outcome in found] == [False, False, False, True]
    assert found[1].uses == (LimitUse("real", 1), LimitUse("shadow", 0, exhausted=True, enforced=False))
    assert header_fields(found[1], NOW) == ()


LIMITS = st.lists(st.tuples(RATES, BURSTS, st.booleans()), min_size=1, max_size=3)


@given(of=LIMITS, steps=st.lists(st.tuples(STEPS, st.sets(st.integers(0, 2), min_size=1)), max_size=30))
def test_a_request_takes_from_all_or_none_exactly_as_token_buckets_would(
    of: list[tuple[str, int, bool]], steps: list[tuple[int, set[int]]]
) -> None:
    made = [limit(rate, burst, id=f"l{n}", enforced=enforced) for n, (rate, burst, enforced) in enumerate(of)]
    store, plain = MemoryLimits(), [Bucket(one) for one in made]
    for now, (_, chosen) in zip(times([step for step, _ in steps]), steps, strict=True):
        asked = sorted(n for n in chosen if n < len(made))
        outcome = store.spend([(made[n], ("ana",)) for n in asked], now)
        full = {n: plain[n].has_one(now) for n in asked}
        refused = [made[n].id for n in asked if not full[n] and made[n].enforced]
        assert [standing.limit.id for standing in outcome.refusing] == refused
        for n in asked:
            if not refused and full[n]:
                plain[n].take()
        assert [standing.remaining for standing in outcome.standings] == [plain[n].tokens for n in asked]


# --------------------------------------------------------------------------------------------------------------- memory


def test_a_full_store_gives_new_keys_one_bucket_together() -> None:
    store, ten = MemoryLimits(capacity=3), limit("10/minute", 2)
    assert [passing(store, ten, key=(name,)) for name in "abc"] == [2, 2, 2]
    assert [passing(store, ten, key=(name,)) for name in "defg"] == [2, 0, 0, 0]
    assert store.count == 3
    assert passes(store, ten, NOW + 6, ("a",))


def test_a_flooded_limit_takes_nothing_from_another() -> None:
    store, flooded, calm = MemoryLimits(capacity=3), limit(id="flooded"), limit(id="calm", burst=2)
    for n in range(100):
        passes(store, flooded, key=(str(n),))
    assert [passing(store, calm, key=(name,)) for name in "abc"] == [2, 2, 2]


def test_there_is_a_bound_for_all_limits_together_and_those_no_longer_asked_give_way() -> None:
    store = MemoryLimits(capacity=10, total=12)
    old, new = limit("10/second", 1, id="old"), limit("10/second", 2, id="new")
    for n in range(10):
        passes(store, old, key=(str(n),))
    assert [passing(store, new, key=(name,)) for name in "abc"] == [2, 2, 2]
    assert passing(store, new, key=("d",)) == 0
    assert store.count == 12
    assert [passing(store, new, NOW + 1, key=(name,)) for name in "efgh"] == [2, 2, 2, 2]
    assert store.count <= 12


def test_the_other_limits_are_searched_in_turn() -> None:
    """The first has nothing to give; the next has, and the second request gets a bucket of its own."""
    store = MemoryLimits(capacity=2, total=4)
    slow, quick, new = limit("1/day", 1, id="slow"), limit("1/second", 20, id="quick"), limit(id="new", burst=3)
    for one, name, count in ((slow, "a", 1), (slow, "b", 1), (quick, "a", 20), (quick, "b", 1)):
        assert all(passes(store, one, key=(name,)) for _ in range(count))
    assert passes(store, new, NOW + 2, ("c",))
    assert passes(store, new, NOW + 2, ("c",))
    assert store.count == 4
    assert passing(store, new, NOW + 2, ("d",)) == 2


def test_a_full_store_looks_further_before_it_shares() -> None:
    store, one = MemoryLimits(capacity=20), limit("1/second", 5)
    for n in range(20):
        assert all(passes(store, one, key=(str(n),)) for _ in range(1 if n == 19 else 5))
    assert passes(store, one, NOW + 2, ("a",))
    assert passing(store, one, NOW + 2, ("b",)) == 5


def test_who_was_counted_in_the_shared_bucket_does_not_get_a_full_one_afterwards() -> None:
    store, slow = MemoryLimits(capacity=1), limit("1/minute", 5)
    assert passes(store, slow, key=("a",))
    assert passing(store, slow, key=("b",)) == 5
    assert store.count == 1
    assert not passes(store, slow, NOW + 59, ("b",))
    assert passing(store, slow, NOW + 60, ("b",)) == 1
    assert passing(store, slow, NOW + 600, ("b",)) == 5


KEYED = st.lists(st.tuples(STEPS, st.sampled_from("abcdef")), max_size=60)


@given(rate=RATES, burst=BURSTS, capacity=st.integers(0, 3), steps=KEYED, total=st.integers(0, 4))
def test_a_full_store_never_lets_more_pass(
    rate: str, burst: int, capacity: int, steps: list[tuple[int, str]], total: int
) -> None:
    """Whatever passes, the caller's own token bucket would have let pass."""
    store, one = MemoryLimits(capacity, total), limit(rate, burst)
    plain: dict[str, Bucket] = defaultdict(lambda: Bucket(one))
    for now, (_, name) in zip(times([step for step, _ in steps]), steps, strict=True):
        if passes(store, one, now, (name,)):
            assert plain[name].has_one(now)
            plain[name].take()
        assert store.count <= min(capacity, total)


def test_buckets_that_are_full_again_are_dropped_as_new_ones_come() -> None:
    store, quick = MemoryLimits(), limit("1000/second", 1)
    for n in range(1_000):
        passes(store, quick, key=(str(n),))
    assert store.count == 1_000
    for n in range(500):
        passes(store, quick, NOW + 1, (f"later {n}",))
    assert store.count <= 501


def test_millions_of_keys_cost_so_much_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in buckets looked at, in a store that is full all the time."""
    looked_at: list[int] = []
    real = buckets._Buckets.drop_full

    def counted(self: Any, scaled: int, most: int) -> int:
        looked_at.append(min(most, len(self.entries)))
        return real(self, scaled, most)

    monkeypatch.setattr(buckets._Buckets, "drop_full", counted)
    store, slow = MemoryLimits(capacity=1_000), limit("1/day", 10_000)
    for n in range(3_000):
        assert passes(store, slow, NOW + n, (str(n),))
    assert store.count == 1_000
    assert sum(looked_at) <= 3_000 * (buckets.SWEPT + buckets.SEARCHED)


def test_no_part_of_a_key_is_kept() -> None:
    store = MemoryLimits()
    passes(store, limit(), key=(("sso", "ana"), "x" * 10_000))
    kept = repr(store._limits)
    assert "ana" not in kept
    assert len(kept) < 1_000


# --------------------------------------------------------------------------------------------------------------- reload


def test_a_reload_does_not_refill_what_stays_the_same() -> None:
    store = MemoryLimits()
    assert passing(store, limit(burst=3)) == 3
    for same in (limit(burst=3), limit(burst=3, line=7), limit(burst=3, message="slow down")):
        assert passing(store, same) == 0
    for other in (limit(burst=4), limit("11/minute", 3), limit("10/hour", 3), limit(burst=3, id="m")):
        assert passing(store, other) == other.burst


def test_to_enforce_a_limit_that_was_in_shadow_mode_counts_what_has_been() -> None:
    store = MemoryLimits()
    for _ in range(3):
        assert passes(store, limit(burst=3, enforced=False))
    assert not passes(store, limit(burst=3))


def test_limits_of_former_rules_are_forgotten_once_their_buckets_are_full() -> None:
    store = MemoryLimits()
    for n in range(50):
        passes(store, limit("1/minute", 2, id=f"l{n}"), NOW + n * 61)
    assert (len(store._limits), store.count) == (1, 1)


# --------------------------------------------------------------------------------------------------------------- clock


@pytest.mark.parametrize("back", [0.5, 9.0, 11.0, 1_000.0, 1e9])
def test_a_clock_that_goes_back_neither_refills_nor_locks_out_for_long(back: float) -> None:
    store, ten = MemoryLimits(), limit("10/minute", 2)
    start = 2e9
    assert passing(store, ten, start) == 2
    assert not passes(store, ten, start - back)
    assert not passes(store, ten, start - back + 5.9)
    assert passes(store, ten, start - back + 6 + 10)
    assert passing(store, ten, start - back + 100) == 2


def test_where_the_clock_went_back_a_little_nobody_is_told_to_wait_longer() -> None:
    store, ten = MemoryLimits(), limit("10/minute", 1)
    assert passes(store, ten)
    outcome = store.spend([(ten, ("ana",))], NOW - 5)
    assert outcome.standings[0].wait == 6.0
    assert dict(header_fields(outcome, NOW - 5))["Retry-After"] == "6"


def test_a_clock_that_trembles_does_not_make_time() -> None:
    store, ten = MemoryLimits(), limit("10/minute", 1)
    assert passes(store, ten)
    assert not any(passes(store, ten, NOW + (n % 2) * 5.0) for n in range(100))


@given(rate=RATES, burst=BURSTS, steps=st.lists(st.integers(-2_000 * 512, 5 * 512), max_size=40))
def test_time_that_goes_back_never_counts(rate: str, burst: int, steps: list[int]) -> None:
    """No more pass than if the clock had only made its steps forward."""
    store, one = MemoryLimits(), limit(rate, burst)
    plain, forward, now = Bucket(one), 10_000 * 512, 10_000_000 * 512
    for step in steps:
        now += step
        forward += max(0, step)
        if passes(store, one, now / 512):
            assert plain.has_one(forward / 512)
            plain.take()


# -------------------------------------------------------------------------------------------------------------- headers


def refused(*limits: Limit) -> Outcome:
    store = MemoryLimits()
    dues: list[Due] = [(one, (("sso", "ana"), "secret-42")) for one in limits]
    outcomes = [store.spend(dues, NOW) for _ in range(25)]
    return next(outcome for outcome in outcomes if outcome.refusing)


def test_a_refused_client_is_told_the_limit_and_when_to_come_again() -> None:
    assert header_fields(refused(limit("100/minute", 20, id="per-caller")), NOW) == (
        ("RateLimit", '"per-caller";r=0;t=1'),
        ("RateLimit-Policy", '"per-caller";q=100;w=60'),
        ("Retry-After", "1"),
    )


def test_of_several_the_longest_wait_counts_and_only_those_that_refuse_are_told() -> None:
    limits = limit("1/minute", 2, id="b"), limit("1/hour", 2, id="a"), limit("1/day", 9, id="c")
    shadow = limit("1/day", 1, id="d", enforced=False)
    assert header_fields(refused(*limits, shadow), NOW) == (
        ("RateLimit", '"a";r=0;t=3600, "b";r=0;t=60'),
        ("RateLimit-Policy", '"a";q=1;w=3600, "b";q=1;w=60'),
        ("Retry-After", "3600"),
    )


@pytest.mark.parametrize(
    ("later", "wait"), [(0.0, "60"), (0.5, "60"), (1.0, "59"), (59.5, "1"), (60.0, "0"), (90.0, "0"), (-500.0, "60")]
)
def test_the_wait_is_in_whole_seconds_from_now_on_rounded_up(later: float, wait: str) -> None:
    fields = dict(header_fields(refused(limit("1/minute", 1)), NOW + later))
    assert fields["Retry-After"] == wait
    assert fields["RateLimit"] == f'"l";r=0;t={wait}'


@given(rate=RATES, burst=BURSTS, after=st.integers(0, 512))
def test_who_waits_as_told_passes(rate: str, burst: int, after: int) -> None:
    store, one = MemoryLimits(), limit(rate, burst)
    assert passing(store, one) == burst
    now = NOW + after / 512
    outcome = store.spend([(one, ("ana",))], now)
    if outcome.refusing:
        wait = int(dict(header_fields(outcome, now))["Retry-After"])
        assert wait == ceil(outcome.standings[0].wait)
        assert passes(store, one, now + wait)


def test_no_header_holds_a_key() -> None:
    told = repr(header_fields(refused(limit()), NOW))
    assert not any(part in told for part in ("ana", "sso", "42"))


def test_who_is_not_refused_is_told_nothing() -> None:
    assert header_fields(MemoryLimits().spend([(limit(), ("ana",))], NOW), NOW) == ()
