"""What was set is there after a restart, for every process, and on record; what cannot be read is said plainly."""

import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate import schema
from headgate.errors import HeadgateError
from headgate.identity.store import IdentityStore
from headgate.policy import store
from headgate.policy.signals import Change, Signal, SignalBoard
from headgate.policy.store import KEPT, SignalStore

NOW = 1_700_000_000.0
HOUR = 3600.0
DAY = 86400.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def made(state: Path) -> SignalStore:
    store = SignalStore(state)
    store.prepare()
    return store


def put(made: SignalStore, name: str = "incident", **changes: Any) -> Signal:
    return made.set(name, **{"by": "root", "now": NOW, "lasts": HOUR, **changes})


def ask(state: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


# ------------------------------------------------------------------------------------------------------------- signals


def test_what_is_set_is_there_for_another_process(made: SignalStore, state: Path) -> None:
    expected = Signal("incident", NOW, NOW + HOUR, "failover", "root")
    assert put(made, reason="failover") == expected
    assert SignalStore(state).signals(NOW) == [expected]
    assert SignalStore(state).latest().at(NOW) == {"incident"}


def test_an_ended_signal_is_not_listed_and_not_set(made: SignalStore) -> None:
    put(made)
    assert made.signals(NOW + HOUR - 1) != []
    assert made.signals(NOW + HOUR) == []
    assert made.latest().at(NOW + HOUR - 1) == {"incident"}
    assert made.latest().at(NOW + HOUR) == frozenset()


def test_an_ended_signal_is_forgotten_later(made: SignalStore, state: Path) -> None:
    put(made, "old")
    put(made, "new", now=NOW + HOUR + KEPT - 1)
    assert ask(state, "select name from signals order by since") == [("old",), ("new",)]
    put(made, "newest", now=NOW + HOUR + KEPT)
    assert ask(state, "select name from signals order by since") == [("new",), ("newest",)]


def test_to_set_again_replaces_the_time(made: SignalStore) -> None:
    put(made, lasts=2 * HOUR, reason="first")
    put(made, lasts=HOUR, now=NOW + 1, reason="second", by="ana")
    assert made.signals(NOW + 1) == [Signal("incident", NOW + 1, NOW + 1 + HOUR, "second", "ana")]


def test_signals_are_listed_by_name(made: SignalStore) -> None:
    for name in ("b", "c", "a"):
        put(made, name)
    assert [signal.name for signal in made.signals(NOW)] == ["a", "b", "c"]


def test_a_cleared_signal_is_over(made: SignalStore) -> None:
    signal = put(made)
    put(made, "other")
    assert made.clear("incident", by="ana", now=NOW + 1) == signal
    assert made.latest().at(NOW + 1) == {"other"}


@pytest.mark.parametrize(("name", "after"), [("other", 1.0), ("incident", HOUR)])
def test_what_is_not_set_cannot_be_cleared(made: SignalStore, name: str, after: float) -> None:
    put(made)
    with pytest.raises(HeadgateError, match=f"signal `{name}` is not set; `headgate signal list` shows what is"):
        made.clear(name, by="ana", now=NOW + after)
    assert len(made.changes()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lasts": 0.0}, "needs an end; accepted: within 7 days"),
        ({"lasts": -1.0}, "needs an end"),
        ({"lasts": 7 * DAY + 1}, "needs an end"),
        ({"lasts": float("inf")}, "needs an end"),
        ({"lasts": float("nan")}, "needs an end"),
        ({"name": "In Cident"}, "`In Cident` is not the name of a signal"),
        ({"name": ""}, "is not the name of a signal"),
        ({"reason": "\x1b[2J"}, "not plain text"),
        ({"reason": "x" * 501}, "not plain text"),
        ({"reason": "\udcff"}, "not plain text"),
        ({"by": ""}, "not plain text"),
        ({"by": "a\nb"}, "not plain text"),
    ],
    ids=ascii,
)
def test_what_is_no_signal_is_refused(made: SignalStore, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadgateError, match=message):
        put(made, **changes)
    assert (made.signals(NOW), made.changes()) == ([], [])


def test_there_may_be_so_many_and_no_more(made: SignalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 3)
    for name in ("a", "b", "c", "c"):
        put(made, name)
    with pytest.raises(HeadgateError, match="there are 3 signals"):
        put(made, "d")
    assert [signal.name for signal in made.signals(NOW)] == ["a", "b", "c"]
    assert [change.name for change in made.changes()] == ["a", "b", "c", "c"]
    monkeypatch.setattr(store, "MOST", 2)
    with pytest.raises(HeadgateError, match="holds more than 2"):
        made.latest()


def test_the_signals_are_read_again_only_when_they_have_changed(made: SignalStore, state: Path) -> None:
    """Whoever changes them."""
    for change in (
        lambda: put(made),
        lambda: put(made, lasts=60.0),
        lambda: made.clear("incident", by="ana", now=NOW),
        lambda: ask(state, "insert into signals values ('x', 1, 2, '', 'someone')"),
        lambda: ask(state, "update signals set until = 3"),
        lambda: ask(state, "delete from signals"),
    ):
        before = made.latest()
        assert made.latest() is before
        change()
        assert made.latest() is not before


def test_another_file_in_its_place_is_noticed(made: SignalStore, state: Path, tmp_path: Path) -> None:
    """Even one in which as much has changed."""
    put(made)
    made.latest()
    other = SignalStore(tmp_path / "other")
    other.prepare()
    put(other, "lockdown")
    for folder in (tmp_path / "other", state):
        ask(folder, "pragma journal_mode = delete")
    (tmp_path / "other" / "state.db").replace(state / "state.db")
    assert made.latest().at(NOW) == {"lockdown"}


# ----------------------------------------------------------------------------------------------------------- the record


def test_every_change_is_on_record(made: SignalStore) -> None:
    put(made, reason="failover")
    put(made, lasts=60.0, by="ana", now=NOW + 1)
    made.clear("incident", by="eve", now=NOW + 2, reason="all is well")
    assert made.changes() == [
        Change(1, NOW, "set", "incident", NOW + HOUR, "failover", "root"),
        Change(2, NOW + 1, "set", "incident", NOW + 61, "", "ana"),
        Change(3, NOW + 2, "clear", "incident", None, "all is well", "eve"),
    ]


@pytest.mark.parametrize("tampering", ["update signal_changes set by = 'nobody'", "delete from signal_changes"])
def test_the_record_only_grows(made: SignalStore, state: Path, tampering: str) -> None:
    put(made)
    with pytest.raises(sqlite3.IntegrityError, match="the record only grows"):
        ask(state, tampering)
    assert [change.by for change in made.changes()] == ["root"]


NAMES = st.sampled_from(["a", "b"])
STEPS = st.lists(st.tuples(NAMES, st.none() | st.integers(1, 30), st.integers(0, 20)), max_size=12)


@settings(deadline=None, max_examples=20)
@given(steps=STEPS)
def test_the_record_tells_what_was_set_at_any_time(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int | None, int]]
) -> None:
    made = SignalStore(tmp_path_factory.mktemp("state"))
    made.prepare()
    now = NOW
    for name, lasts, later in steps:
        now += later
        try:
            if lasts is None:
                made.clear(name, by="root", now=now)
            else:
                made.set(name, lasts=float(lasts), by="root", now=now)
        except HeadgateError:
            assert name not in made.latest().at(now)
        told = {change.name: change.until or now for change in made.changes()}
        assert made.latest().at(now) == {name for name, until in told.items() if now < until}


# ------------------------------------------------------------------------------------------------------ several at once

WRITER = """
import sys
from pathlib import Path
from headgate.policy.store import SignalStore

store, name = SignalStore(Path(sys.argv[1])), sys.argv[2]
sys.stdin.readline()
store.prepare()
for n in range(40):
    store.set(f"{name}-{n}", by=name, now=1.7e9, lasts=60.0)
    if n % 2:
        store.clear(f"{name}-{n}", by=name, now=1.7e9)
print("done")
"""


def test_processes_that_make_and_write_the_file_at_once_lose_nothing(state: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(state)]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "abc"
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=60)[0] for writer in writers]
    assert said == ["done\n"] * 3
    found = SignalStore(state)
    assert len(found.signals(1.7e9)) == 60
    assert len(found.changes()) == 180


# ------------------------------------------------------------------------------------------------------------ the file


@pytest.mark.usefixtures("made")
def test_the_file_is_its_owner_s_alone(state: Path) -> None:
    assert stat.S_IMODE((state / "state.db").stat().st_mode) == 0o600
    assert ask(state, "pragma journal_mode") == [("wal",)]


@pytest.mark.parametrize("first", ["identity", "policy"])
def test_its_tables_are_one_part_of_a_shared_file(state: Path, first: str) -> None:
    stores: list[Any] = [IdentityStore(state), SignalStore(state)]
    for one in stores if first == "identity" else reversed(stores):
        one.prepare()
        one.prepare()
    recorded = ask(state, "select migration_set, name from _sqlite_migrations order by 1")
    assert recorded == [
        ("headgate-identity", "m001_revocations_and_releases"),
        ("headgate-policy", "m001_signals"),
    ]
    assert put(SignalStore(state)).name == "incident"
    assert IdentityStore(state).revocations(NOW) == []


def test_a_file_without_its_tables_is_brought_up_by_a_proxy(state: Path) -> None:
    IdentityStore(state).prepare()
    with pytest.raises(HeadgateError, match="is from an older Headgate: start the proxy once"):
        SignalStore(state).latest()


def test_a_database_of_something_else_stays_as_it_is(state: Path) -> None:
    state.mkdir()
    ask(state, "create table customers (id integer)")
    before = (state / "state.db").read_bytes()
    for use in (SignalStore(state).prepare, SignalStore(state).latest, lambda: put(SignalStore(state))):
        with pytest.raises(HeadgateError, match="is a database of something else"):
            use()
    assert (state / "state.db").read_bytes() == before


def test_a_file_from_a_newer_version_is_not_guessed_at(made: SignalStore, state: Path) -> None:
    ask(state, "insert into _sqlite_migrations values (99, 'headgate-policy', 'm999', '')")
    for use in (made.prepare, made.latest, lambda: put(made)):
        with pytest.raises(HeadgateError, match="written by a newer Headgate"):
            use()


USES: dict[str, Callable[[SignalStore], Any]] = {
    "set": put,
    "clear": lambda made: made.clear("incident", by="root", now=NOW),
    "list": lambda made: made.signals(NOW),
    "changes": lambda made: made.changes(),
    "latest": lambda made: made.latest(),
}


@pytest.mark.parametrize("use", USES)
def test_where_no_proxy_ran_there_is_nothing_to_read_and_nothing_is_made(state: Path, use: str) -> None:
    with pytest.raises(HeadgateError, match=r"there is no state at .*: name the state folder of a proxy that ran"):
        USES[use](SignalStore(state))
    assert not state.exists()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "garbage",
    [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000, b"\0" * 4096],
    ids=["text", "ff", "zeros"],
)
def test_a_file_of_garbage_is_said_plainly_and_stays(made: SignalStore, state: Path, use: str, garbage: bytes) -> None:
    (state / "state.db").write_bytes(garbage)
    with pytest.raises(HeadgateError, match=r"the state `.*` cannot be (read|written): it is (damaged|not a SQLite)"):
        USES[use](made)
    assert (state / "state.db").read_bytes() == garbage


def test_a_file_where_the_folder_should_be_is_said_plainly(state: Path) -> None:
    state.write_text("a file")
    with pytest.raises(HeadgateError, match=r"the state `.*` cannot be made: "):
        SignalStore(state).prepare()
    with pytest.raises(HeadgateError, match="there is no state at"):
        SignalStore(state).latest()


def test_a_locked_file_is_said_plainly_and_still_read(
    made: SignalStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(made)
    monkeypatch.setattr(schema, "WRITE_PATIENCE", 0.0)
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(HeadgateError, match="cannot be written: another program keeps it locked"):
            put(made, "other")
        assert made.latest().at(NOW) == {"incident"}


@pytest.mark.parametrize(
    "tampering",
    [
        "drop table signals",
        "drop table signal_version",
        "delete from signal_version",
        "alter table signals rename column until to ends",
    ],
)
def test_tables_that_were_tampered_with_are_an_error_and_not_no_signals(
    made: SignalStore, state: Path, tampering: str
) -> None:
    put(made)
    ask(state, tampering)
    with pytest.raises(HeadgateError):
        SignalStore(state).latest()


def test_when_the_state_is_gone_it_is_unknown_after_ten_seconds_what_is_set(made: SignalStore, state: Path) -> None:
    put(made)
    times = [100.0]
    board = SignalBoard(made.latest, lambda: times[-1])
    board.read_now()
    shutil.rmtree(state)
    with pytest.raises(HeadgateError):
        board.read_now()
    assert board.at(NOW) == {"incident"}
    times.append(110.5)
    assert board.at(NOW) is None
    made.prepare()
    board.read_now()
    assert board.at(NOW) == frozenset()
