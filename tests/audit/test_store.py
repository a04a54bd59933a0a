"""The log is read page by page, by kind, and whatever the file holds."""

import sqlite3
from contextlib import closing

import pytest
from tests.audit.logs import build, opened

from headgate.audit.store import PAGE, AuditStore
from headgate.errors import HeadgateError


@pytest.fixture
def store(state):
    build(state, 23)
    return AuditStore(state)


def test_the_last_entries_come_the_oldest_first(store):
    assert [entry.seq for entry in store.tail(3)] == [21, 22, 23]
    assert [entry.leaf["n"] for entry in store.tail(100)] == list(range(1, 24))
    assert store.tail(0) == []
    assert store.size() == 23


def test_entries_are_followed_from_a_number_on(store):
    assert [entry.seq for entry in store.entries(20)] == [21, 22, 23]
    assert [entry.seq for entry in store.entries(20, 22)] == [21, 22]
    assert list(store.entries(23)) == []


def test_a_kind_is_found_beyond_a_page_of_others(state, start):
    writer = start()
    writer.put(lambda: {"kind": "start", "time": ""})
    for _ in range(PAGE + 10):
        writer.put(lambda: {"kind": "act", "time": ""})
    assert writer.flush(20)
    store = AuditStore(state)
    assert [entry.seq for entry in store.tail(2, {"start"})] == [1]
    assert [entry.seq for entry in store.entries(kinds={"start", "stop"})] == [1]
    assert len(list(store.entries())) == PAGE + 11


def test_checkpoints_are_told_by_size(store):
    assert [point.size for point in store.checkpoints()] == [5, 10, 15, 20, 23]
    assert [point.size for point in store.checkpoints(15)] == [20, 23]
    assert store.last_checkpoint().size == 23
    assert store.last_checkpoint().time == "2027-01-15T08:00:00.000Z"


def test_what_is_no_object_has_no_leaf_and_harms_nobody(store, state):
    with opened(state) as connection:
        for seq, body in ((1, "[1]"), (2, "{broken"), (3, "[" * 100_000), (4, None)):
            connection.execute("update entries set body = ? where seq = ?", [body, seq])
        connection.execute("update entries set body = cast(x'ff00' as text) where seq = 5")
    assert [entry.leaf for entry in store.entries(through=5)] == [None] * 5
    assert [entry.seq for entry in store.entries(through=6, kinds={"act"})] == [6]


def test_nothing_is_written_by_reading(store):
    before = store.path.read_bytes()
    store.tail(5)
    list(store.entries())
    assert store.path.read_bytes() == before


def test_a_log_that_is_not_there_is_not_made(state):
    with pytest.raises(HeadgateError, match="there is no audit log at"):
        AuditStore(state).size()
    assert not state.exists()


def test_a_database_of_something_else_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "audit.db")) as connection:
        connection.execute("create table customers (name text)")
    with pytest.raises(HeadgateError, match="is a database of something else"):
        AuditStore(tmp_path).size()


def test_entries_are_readable_with_plain_sqlite(store):
    with closing(sqlite3.connect(store.path)) as connection:
        row = connection.execute("select seq, time, kind, reason from entries_readable where seq = 7").fetchone()
        assert row == (7, "2027-01-15T08:00:07.000Z", "act", "tested")
        for statement in (
            "update entries set body = 'x' where seq = 1",
            "update entries set leaf = zeroblob(32) where seq = 1",
            "delete from entries where seq = 1",
            "delete from checkpoints",
            "update checkpoints set note = ''",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="the log only grows"):
                connection.execute(statement)
