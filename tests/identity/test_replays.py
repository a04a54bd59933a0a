"""No proof is taken twice, whatever the clock does and however many there are."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.reasons import Reason
from headgate.identity.replays import Replays

NOW = 1_700_000_000.0
KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def replays(started: float = 0.0, size: int = 1000) -> Replays:
    return Replays(started, size=size)


def test_the_first_use_is_taken_and_no_other() -> None:
    store = replays()
    assert store.first_use(KEY, "proof-1", NOW, NOW) is None
    assert store.first_use(KEY, "proof-1", NOW, NOW) is Reason.PROOF_REPLAYED
    assert store.first_use(KEY, "proof-1", NOW, NOW + 60) is Reason.PROOF_REPLAYED
    assert store.first_use(KEY, "proof-1", NOW, NOW + 61) is Reason.PROOF_STALE


def test_key_and_id_together_make_a_proof() -> None:
    store = replays()
    assert store.first_use(KEY, "proof-1", NOW, NOW) is None
    assert store.first_use("another", "proof-1", NOW, NOW) is None
    assert store.first_use(KEY, "proof-2", NOW, NOW) is None
    assert store.first_use("a", "bc", NOW, NOW) is None
    assert store.first_use("ab", "c", NOW, NOW) is None
    assert store.count == 5


def test_a_proof_from_the_future_is_remembered_for_as_long_as_it_is_fresh() -> None:
    store = replays()
    assert store.first_use(KEY, "ahead", NOW + 5, NOW) is None
    assert store.first_use(KEY, "ahead", NOW + 5, NOW + 65) is Reason.PROOF_REPLAYED
    assert store.first_use(KEY, "ahead", NOW + 5, NOW + 66) is Reason.PROOF_STALE


def test_times_beyond_the_window_are_refused() -> None:
    store = replays()
    assert store.first_use(KEY, "a", NOW - 60.5, NOW) is Reason.PROOF_STALE
    assert store.first_use(KEY, "b", NOW + 5.5, NOW) is Reason.PROOF_IN_FUTURE
    for never in (float("inf"), float("nan"), 10**400):
        assert store.first_use(KEY, "c", never, NOW) is Reason.PROOF_IN_FUTURE
    assert store.count == 0


def test_what_could_have_been_used_before_the_start_is_refused() -> None:
    """What was used before a restart is forgotten: nothing from before may be taken, by however fast a clock."""
    store = replays(started=NOW)
    assert store.first_use(KEY, "before", NOW - 0.5, NOW + 1) is Reason.PROOF_BEFORE_START
    assert store.first_use(KEY, "fast", NOW + 5, NOW + 1) is Reason.PROOF_BEFORE_START
    assert store.first_use(KEY, "after", NOW + 5.5, NOW + 1) is None


def test_no_restart_makes_a_proof_count_twice() -> None:
    for ahead in (-60, -30, 0, 3, 5):
        used = NOW + 1000
        before, after = replays(started=NOW), replays(started=used + 0.001)
        assert before.first_use(KEY, "proof", used + ahead, used) is None
        for later in range(70):
            assert after.first_use(KEY, "proof", used + ahead, used + 0.001 + later) is not None


def test_a_full_store_refuses_what_is_new_until_something_has_ended() -> None:
    store = replays(size=2)
    assert store.first_use(KEY, "first", NOW - 30, NOW) is None
    assert store.first_use(KEY, "second", NOW, NOW) is None
    assert store.first_use(KEY, "third", NOW, NOW) is Reason.REPLAY_STORE_FULL
    assert store.first_use(KEY, "second", NOW, NOW) is Reason.PROOF_REPLAYED
    assert store.first_use(KEY, "third", NOW, NOW + 31) is None
    assert store.count == 2


def test_nothing_is_kept_that_could_not_be_used_any_more() -> None:
    store = replays(size=10_000)
    for second in range(1000):
        for use in range(3):
            assert store.first_use(KEY, f"{second}-{use}", NOW + second, NOW + second) is None
    assert store.count == 3 * 61
    assert len(store._by_end) == len(store._ends) == 61


def test_a_clock_that_leaps_ahead_and_back_opens_nothing() -> None:
    store = replays()
    assert store.first_use(KEY, "proof-1", NOW, NOW) is None
    assert store.first_use(KEY, "later", NOW + 7200, NOW + 7200) is None
    assert store.first_use(KEY, "proof-1", NOW, NOW) is Reason.PROOF_STALE


def test_a_clock_that_leaps_ahead_and_back_shuts_out_nobody_for_long() -> None:
    store = replays()
    assert store.first_use(KEY, "proof-1", NOW, NOW) is None
    assert store.first_use(KEY, "later", NOW + 7200, NOW + 7200) is None
    assert store.first_use(KEY, "proof-2", NOW + 1, NOW + 1) is None


TIMES = st.floats(min_value=0, max_value=500) | st.integers(0, 500)
USES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), TIMES, TIMES), max_size=60)


@given(uses=USES, size=st.integers(1, 5), started=TIMES)
def test_no_proof_is_taken_twice_at_any_sequence_of_times(
    uses: list[tuple[str, str, float, float]], size: int, started: float
) -> None:
    """A proof is a key, an id and a time of issue: they are what is signed."""
    store, taken = Replays(started, size=size), set()
    for thumbprint, jti, issued, now in uses:
        if store.first_use(thumbprint, jti, issued, now) is None:
            assert (thumbprint, jti, issued) not in taken
            assert issued > started + 5
            assert -60 <= issued - now <= 5
            taken.add((thumbprint, jti, issued))
        assert store.count <= size


@given(uses=USES)
def test_no_id_is_taken_again_while_a_proof_with_it_is_fresh(uses: list[tuple[str, str, float, float]]) -> None:
    store, ends, latest = replays(), dict[tuple[str, str], float](), 0.0
    for thumbprint, jti, issued, now in uses:
        latest = max(latest, now)
        if store.first_use(thumbprint, jti, issued, now) is None:
            assert ends.get((thumbprint, jti), -1.0) < latest
            ends[thumbprint, jti] = issued + 60
