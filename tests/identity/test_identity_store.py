"""What was revoked or accepted is there after a restart, for every process; what cannot be read is said plainly."""

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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate import schema
from headgate.errors import HeadgateError
from headgate.identity import store
from headgate.identity.revocations import Revocation, RevocationList
from headgate.identity.store import KEPT, IdentityStore
from headgate.model import Kind, Principal, Session

NOW = 1_700_000_000.0
DAY = 86400.0
ANA = Principal("ana", Kind.HUMAN, "corp", session=Session("s-1"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def made(state: Path) -> IdentityStore:
    store = IdentityStore(state)
    store.prepare()
    return store


def revoke(store: IdentityStore, value: str = "s-1", **changes: Any) -> Revocation:
    return store.revoke(**{"kind": "session", "value": value, "by": "root", "now": NOW, "lasts": DAY, **changes})


def ask(state: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


# -------------------------------------------------------------------------------------------------------- revocations


def test_what_is_revoked_is_there_for_another_process(made: IdentityStore, state: Path) -> None:
    revoked = revoke(made, reason="laptop stolen", provider="corp")
    expected = Revocation(1, "session", "corp", "s-1", "laptop stolen", NOW, NOW + DAY, "root")
    assert revoked == expected
    assert IdentityStore(state).revocations(NOW) == [expected]
    assert IdentityStore(state).latest().covers(ANA, NOW)


def test_an_ended_revocation_is_not_listed_and_does_not_count(made: IdentityStore) -> None:
    revoke(made, lasts=60.0)
    assert made.revocations(NOW + 59) != []
    assert made.revocations(NOW + 60) == []
    assert made.latest().covers(ANA, NOW + 59)
    assert not made.latest().covers(ANA, NOW + 60)


def test_an_ended_revocation_is_forgotten_later(made: IdentityStore, state: Path) -> None:
    revoke(made, "old", lasts=60.0)
    revoke(made, "new", now=NOW + 60 + KEPT - 1)
    assert ask(state, "select value from revocations order by id") == [("old",), ("new",)]
    revoke(made, "newest", now=NOW + 60 + KEPT)
    assert ask(state, "select value from revocations order by id") == [("new",), ("newest",)]


def test_to_revoke_again_never_shortens(made: IdentityStore) -> None:
    revoke(made, reason="first")
    assert revoke(made, reason="second", lasts=60.0).expires == NOW + DAY
    assert revoke(made, reason="third", lasts=2 * DAY).expires == NOW + 2 * DAY
    (only,) = made.revocations(NOW)
    assert (only.id, only.reason) == (1, "third")


def test_kind_provider_and_value_make_a_revocation(made: IdentityStore) -> None:
    for changes in ({}, {"provider": "corp"}, {"kind": "token"}, {"value": "S-1"}):
        revoke(made, **changes)
    assert len(made.revocations(NOW)) == 4


def test_a_lifted_revocation_is_over_and_its_id_never_comes_again(made: IdentityStore) -> None:
    revoked = revoke(made)
    assert made.lift(revoked.id) == revoked
    assert not made.latest().covers(ANA, NOW)
    assert revoke(made, "other").id == revoked.id + 1


@pytest.mark.parametrize("number", [0, -1, 2, 2**63, 2**70])
def test_what_is_not_revoked_cannot_be_lifted(made: IdentityStore, number: int) -> None:
    revoke(made)
    with pytest.raises(HeadgateError, match=f"there is no revocation {number}"):
        made.lift(number)
    assert len(made.revocations(NOW)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lasts": 0.0}, "needs an end"),
        ({"lasts": -1.0}, "needs an end"),
        ({"lasts": 30 * DAY + 1}, "needs an end"),
        ({"lasts": float("inf")}, "needs an end"),
        ({"lasts": float("nan")}, "needs an end"),
        ({"kind": "group"}, "`group` cannot be revoked"),
        ({"value": ""}, "not plain text"),
        ({"value": "a\nb"}, "not plain text"),
        ({"value": "\udcff"}, "not plain text"),
        ({"value": "x" * 8193}, "not plain text"),
        ({"provider": ""}, "not plain text"),
        ({"reason": "\x1b[2J"}, "not plain text"),
    ],
)
def test_what_is_no_revocation_is_refused(made: IdentityStore, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadgateError, match=message):
        revoke(made, **changes)
    assert made.revocations(NOW) == []


def test_there_may_be_so_many_and_no_more(made: IdentityStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 3)
    for name in ("a", "b", "c", "c"):
        revoke(made, name)
    with pytest.raises(HeadgateError, match="there are 3 revocations"):
        revoke(made, "d")
    assert [revocation.value for revocation in made.revocations(NOW)] == ["a", "b", "c"]
    monkeypatch.setattr(store, "MOST", 2)
    with pytest.raises(HeadgateError, match="holds more than 2"):
        made.latest()


def test_the_version_changes_with_every_change_whoever_makes_it(made: IdentityStore, state: Path) -> None:
    versions = [made.version()]
    for change in (
        lambda: revoke(made),
        lambda: revoke(made, lasts=2 * DAY),
        lambda: made.lift(1),
        lambda: ask(state, "insert into revocations values (9, 'token', null, 'x', '', 1, 2, 'someone')"),
        lambda: ask(state, "update revocations set expires = 3"),
        lambda: ask(state, "delete from revocations"),
    ):
        change()
        versions.append(made.version())
    assert versions == sorted(set(versions))
    assert made.version() == versions[-1]


def test_the_list_is_read_again_only_when_it_has_changed(made: IdentityStore) -> None:
    revoke(made)
    first = made.latest()
    assert made.latest() is first
    revoke(made, "s-2")
    assert made.latest() is not first
    assert made.latest().covers(ANA, NOW)


def test_another_file_in_its_place_is_noticed(made: IdentityStore, state: Path, tmp_path: Path) -> None:
    """Even one in which as much has changed."""
    revoke(made, "s-2")
    made.latest()
    other = IdentityStore(tmp_path / "other")
    other.prepare()
    revoke(other)
    assert other.version() == made.version()
    ask(tmp_path / "other", "pragma journal_mode = delete")
    ask(state, "pragma journal_mode = delete")
    (tmp_path / "other" / "state.db").replace(state / "state.db")
    assert made.latest().covers(ANA, NOW)


# ------------------------------------------------------------------------------------------------------------ releases


def test_the_accepted_release_list_is_remembered_and_never_a_lower_one(made: IdentityStore, state: Path) -> None:
    assert made.accepted_release() is None
    made.accept_release(7, "aa", NOW)
    made.accept_release(7, "aa", NOW + 1)
    assert IdentityStore(state).accepted_release() == (7, "aa")
    made.accept_release(9, "bb", NOW)
    with pytest.raises(HeadgateError, match="release list 8 is older than 9"):
        made.accept_release(8, "cc", NOW)
    with pytest.raises(HeadgateError, match="another release list of revision 9"):
        made.accept_release(9, "cc", NOW)
    assert made.accepted_release() == (9, "bb")


@pytest.mark.parametrize("revision", [-1, 2**63, 10**100])
def test_what_is_no_revision_is_refused(made: IdentityStore, revision: int) -> None:
    with pytest.raises(HeadgateError, match="is no revision"):
        made.accept_release(revision, "aa", NOW)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(revisions=st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab")), max_size=10))
def test_the_accepted_revision_never_goes_down(
    made: IdentityStore, state: Path, revisions: list[tuple[int, str]]
) -> None:
    ask(state, "delete from accepted_releases")
    before = (-1, "")
    for revision, digest in revisions:
        try:
            made.accept_release(revision, digest, NOW)
        except HeadgateError:
            assert made.accepted_release() == before
        else:
            assert made.accepted_release() == (revision, digest)
        now = made.accepted_release() or before
        assert now[0] > before[0] or now == before
        before = now


# ------------------------------------------------------------------------------------------------------ several at once

WRITER = """
import sys
from pathlib import Path
from headgate.errors import HeadgateError
from headgate.identity.store import IdentityStore

store, name = IdentityStore(Path(sys.argv[1])), sys.argv[2]
sys.stdin.readline()
store.prepare()
for n in range(40):
    store.revoke("session", f"{name}-{n}", by=name, now=1.7e9, lasts=60.0)
    try:
        store.accept_release(n, name, 1.7e9)
    except HeadgateError as error:
        assert "release list" in str(error), error
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
    found = IdentityStore(state)
    assert len({revocation.value for revocation in found.revocations(1.7e9)}) == 120
    assert found.version() == 120
    assert (found.accepted_release() or (0, ""))[0] == 39


# ------------------------------------------------------------------------------------------------------------ the file


def test_the_file_is_its_owner_s_alone_and_survives_a_crash(made: IdentityStore, state: Path) -> None:
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    with closing(sqlite3.connect(state / "state.db")) as held:
        held.execute("select * from revocations")
        revoke(made)
        assert {path.name: oct(path.stat().st_mode)[-3:] for path in state.iterdir()} == dict.fromkeys(
            ("state.db", "state.db-wal", "state.db-shm"), "600"
        )
    assert ask(state, "pragma journal_mode") == [("wal",)]


def test_its_tables_are_recorded_as_one_part_of_a_shared_file(made: IdentityStore, state: Path) -> None:
    made.prepare()
    recorded = ask(state, "select migration_set, name from _sqlite_migrations")
    assert recorded == [("headgate-identity", "m001_revocations_and_releases")]


def test_a_file_that_another_part_of_headgate_has_begun_is_shared(made: IdentityStore, state: Path) -> None:
    for table in ("revocations", "accepted_releases", "revocation_changes"):
        ask(state, f"drop table {table}")
    ask(state, "create table approvals (id integer)")
    ask(state, "update _sqlite_migrations set migration_set = 'headgate-approval'")
    with pytest.raises(HeadgateError, match="is from an older Headgate: start the proxy once"):
        made.revocations(NOW)
    made.prepare()
    assert revoke(made).id == 1
    assert ask(state, "select count(*) from approvals") == [(0,)]


def test_a_database_of_something_else_stays_as_it_is(state: Path) -> None:
    state.mkdir()
    ask(state, "create table customers (id integer)")
    before = (state / "state.db").read_bytes()
    for use in (IdentityStore(state).prepare, IdentityStore(state).latest, lambda: revoke(IdentityStore(state))):
        with pytest.raises(HeadgateError, match="is a database of something else"):
            use()
    assert (state / "state.db").read_bytes() == before


def test_a_file_from_a_newer_version_is_not_guessed_at(made: IdentityStore, state: Path) -> None:
    ask(state, "insert into _sqlite_migrations values (99, 'headgate-identity', 'm999', '')")
    for use in (made.prepare, made.latest, lambda: revoke(made)):
        with pytest.raises(HeadgateError, match="written by a newer Headgate"):
            use()


USES: dict[str, Callable[[IdentityStore], Any]] = {
    "revoke": revoke,
    "lift": lambda made: made.lift(1),
    "list": lambda made: made.revocations(NOW),
    "latest": lambda made: made.latest(),
    "version": lambda made: made.version(),
    "accepted": lambda made: made.accepted_release(),
    "accept": lambda made: made.accept_release(1, "aa", NOW),
}


@pytest.mark.parametrize("use", USES)
def test_where_no_proxy_ran_there_is_nothing_to_read_and_nothing_is_made(state: Path, use: str) -> None:
    with pytest.raises(HeadgateError, match=r"there is no state at .*: name the state folder of a proxy that ran"):
        USES[use](IdentityStore(state))
    assert not state.exists()


@pytest.mark.parametrize("use", USES)
def test_a_folder_that_is_gone_is_said_plainly(made: IdentityStore, state: Path, use: str) -> None:
    revoke(made)
    made.latest()
    shutil.rmtree(state)
    with pytest.raises(HeadgateError, match="there is no state at"):
        USES[use](made)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("garbage", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000, b"\0" * 4096])
def test_a_file_of_garbage_is_said_plainly_and_stays(
    made: IdentityStore, state: Path, use: str, garbage: bytes
) -> None:
    (state / "state.db").write_bytes(garbage)
    with pytest.raises(HeadgateError, match=r"the state `.*` cannot be (read|written): it is (damaged|not a SQLite)"):
        USES[use](made)
    assert (state / "state.db").read_bytes() == garbage


@pytest.mark.parametrize("use", USES)
def test_a_damaged_file_is_said_plainly(made: IdentityStore, state: Path, use: str) -> None:
    for n in range(200):
        revoke(made, f"a session of some length {n}" * 10)
    ask(state, "pragma wal_checkpoint(truncate)")
    file = state / "state.db"
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(HeadgateError, match=r"cannot be (read|written): it is damaged"):
        USES[use](made)


def test_a_folder_in_its_place_is_said_plainly(state: Path) -> None:
    (state / "state.db").mkdir(parents=True)
    with pytest.raises(HeadgateError, match="there is no state at"):
        IdentityStore(state).prepare()


def test_a_file_where_the_folder_should_be_is_said_plainly(state: Path) -> None:
    state.write_text("a file")
    with pytest.raises(HeadgateError, match=r"the state `.*` cannot be made: "):
        IdentityStore(state).prepare()
    with pytest.raises(HeadgateError, match="there is no state at"):
        IdentityStore(state).latest()


def test_a_locked_file_is_said_plainly_and_still_read(
    made: IdentityStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke(made)
    monkeypatch.setattr(schema, "WRITE_PATIENCE", 0.0)
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(HeadgateError, match="cannot be written: another program keeps it locked"):
            revoke(made, "s-2")
        assert made.latest().covers(ANA, NOW)


@pytest.mark.parametrize(
    "tampering",
    [
        "drop table revocations",
        "drop table revocation_changes",
        "delete from revocation_changes",
        "alter table revocations rename column value to worth",
    ],
)
def test_tables_that_were_tampered_with_are_an_error_and_not_an_empty_list(
    made: IdentityStore, state: Path, tampering: str
) -> None:
    revoke(made)
    if tampering.startswith("alter"):
        made = IdentityStore(state)
    ask(state, tampering)
    with pytest.raises(HeadgateError):
        IdentityStore(state).latest()


def test_when_the_state_is_gone_nobody_is_believed_after_ten_seconds(made: IdentityStore, state: Path) -> None:
    revoke(made)
    times = [100.0]
    revoked = RevocationList(made.latest, lambda: times[-1])
    revoked.read_now()
    shutil.rmtree(state)
    with pytest.raises(HeadgateError):
        revoked.read_now()
    current = revoked.current()
    assert current is not None
    assert current.covers(ANA, NOW)
    times.append(110.5)
    assert revoked.current() is None
    made.prepare()
    revoked.read_now()
    assert revoked.current() is not None
