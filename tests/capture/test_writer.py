"""The writer keeps what it accepted, says at once what it cannot accept, and never lets the caller wait."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from headgate.capture.store import Filter, Store
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.model import Kind, Principal

PATIENCE = 20.0


class Gate:
    """Stops a writer's thread at the beginning of its next transaction; counts transactions."""

    def __init__(self) -> None:
        self.open, self.reached, self.committed = threading.Event(), threading.Event(), threading.Event()
        self.transactions = 0

    def __call__(self, connection):
        connection.set_trace_callback(self._traced)

    def _traced(self, sql):
        if sql == "begin immediate":
            self.transactions += 1
            self.reached.set()
            assert self.open.wait(PATIENCE)
        elif sql == "commit":
            self.committed.set()


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


def stored(ask):
    return ask("select count(*) from decisions")[0][0]


# -- groups -----------------------------------------------------------------------------------------------------------


def test_a_full_group_is_written_without_waiting_for_the_interval_in_one_transaction(start, record, gate):
    gate.open.set()
    writer = start(gate, group=5, interval=3600)
    for n in range(5):
        assert writer.put(record(n))
    assert gate.committed.wait(PATIENCE)
    assert gate.transactions == 1


def test_a_few_records_are_written_when_the_interval_is_over(start, record, gate):
    gate.open.set()
    writer = start(gate, group=100, interval=0.001)
    writer.put(record())
    assert gate.committed.wait(PATIENCE)


def test_flush_waits_for_all_that_was_accepted_before_it(start, record, ask):
    writer = start(interval=3600)
    for n in range(250):
        writer.put(record(n))
    assert writer.flush(PATIENCE)
    assert stored(ask) == 250
    assert writer.counters.written == 250


def test_a_decision_is_stored_once_even_when_handed_over_twice(start, record, ask):
    writer = start()
    writer.put(record(1))
    writer.flush(PATIENCE)
    writer.put(record(1))
    writer.put(record(2))
    writer.flush(PATIENCE)
    assert stored(ask) == ask("select count(*) from flows")[0][0] == 2


# -- a full queue -----------------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_counts_says_so_once_and_keeps_what_it_took(start, record, gate, log, ask):
    writer = start(gate, capacity=10, group=1)
    writer.put(record(0))
    assert gate.reached.wait(PATIENCE)
    taken = [writer.put(record(n)) for n in range(1, 15)]
    assert taken == [True] * 10 + [False] * 4
    assert (writer.healthy, writer.ready) == (True, False)
    assert writer.counters.dropped == log.heard("is full") + 3 == 4
    gate.open.set()
    assert writer.flush(PATIENCE)
    assert stored(ask) == 11
    assert writer.ready
    assert writer.put(record(20))


def test_large_bodies_fill_the_queue_before_the_count_does(start, record, gate):
    body = record().request.__class__((), b"x" * 100_000, 100_000)
    writer = start(gate, capacity_bytes=250_000, group=1)
    writer.put(record(0))
    assert gate.reached.wait(PATIENCE)
    assert [writer.put(record(n, request=body)) for n in range(1, 5)] == [True, True, True, False]
    gate.open.set()
    assert writer.flush(PATIENCE)
    assert writer.put(record(9, request=body))


# -- writes that fail -------------------------------------------------------------------------------------------------


class Trouble:
    """Prepares each connection with a pragma that makes writing fail, until `over` is set."""

    def __init__(self, pragma):
        self.pragma, self.over = pragma, threading.Event()
        self.over.set()

    def __call__(self, connection):
        if not self.over.is_set():
            connection.execute(self.pragma)


@pytest.mark.parametrize(
    ("pragma", "cause"),
    [("pragma max_page_count = 1", "the disk is full"), ("pragma query_only = on", "it is read-only")],
)
def test_a_write_that_fails_is_said_once_and_made_good_when_it_can_be(pragma, cause, start, record, state, log, ask):
    trouble = Trouble(pragma)
    writer = start(trouble)
    trouble.over.clear()
    (state / "capture.db").rename(state / "moved.db")  # the writer opens a file anew, with the pragma
    body = os.urandom(300_000)
    for n in range(5):
        assert writer.put(record(n, request=record().request.__class__((), body[n:], 300_000)))
    log.wait(f"cannot be written: {cause}; it is tried again")
    assert not writer.healthy
    assert not writer.ready
    assert writer.put(record(9)), "there is room: what comes meanwhile is kept, too"
    trouble.over.set()
    log.wait("is written again")
    assert writer.flush(PATIENCE)
    assert writer.healthy
    assert stored(ask) == 6
    assert writer.counters.failed >= 1
    assert writer.counters.lost == 0
    assert log.heard(cause) == 1


def test_a_file_that_another_program_locks_is_waited_for(start, record, state, log, ask):
    writer = start()
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        writer.put(record())
        log.wait("another program keeps it locked")
        assert not writer.healthy
        other.execute("rollback")
    log.wait("is written again")
    writer.flush(PATIENCE)
    assert stored(ask) == 1


def test_a_damaged_file_is_reported_and_a_new_one_started_once_it_is_moved_away(start, record, state, log, ask):
    writer = start()
    writer.put(record(0))
    writer.close(PATIENCE)
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        (root,) = connection.execute("select rootpage from sqlite_master where name = 'flows'").fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    with (state / "capture.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    writer = start()
    writer.put(record(1))
    log.wait("it is damaged (move it away")
    assert not writer.healthy
    (state / "capture.db").rename(state / "damaged.db")
    log.wait("is written again")
    writer.flush(PATIENCE)
    assert stored(ask) == 1


def test_a_file_replaced_by_something_else_is_reported_not_overwritten(start, record, state, log, ask):
    writer = start()
    (state / "other").write_bytes(b"not a database, but somebody's notes" * 100)
    (state / "other").replace(state / "capture.db")
    writer.put(record())
    log.wait("it is not a SQLite database")
    assert (state / "capture.db").read_bytes().startswith(b"not a database")
    (state / "capture.db").unlink()
    log.wait("is written again")
    writer.flush(PATIENCE)
    assert stored(ask) == 1


def test_a_file_that_is_moved_away_holds_all_that_was_written_before(start, record, state, ask):
    writer = start()
    for n in range(3):
        writer.put(record(n))
    writer.flush(PATIENCE)
    (state / "capture.db").rename(state / "moved.db")
    writer.put(record(3))
    assert writer.flush(PATIENCE)
    assert stored(ask) == 1
    with closing(sqlite3.connect(state / "moved.db")) as moved:
        assert moved.execute("select count(*) from decisions").fetchone() == (3,)


def test_a_removed_folder_is_made_again_with_the_same_key(start, record, state, log, ask):
    writer = start()
    writer.put(record(0))
    writer.flush(PATIENCE)
    key = (state / "keys" / "capture.key").read_bytes()
    shutil.rmtree(state)
    writer.put(record(1))
    assert writer.flush(PATIENCE)
    log.wait("was removed or replaced")
    assert stored(ask) == 1
    assert (state / "keys" / "capture.key").read_bytes() == key


def test_a_folder_that_cannot_be_made_again_leaves_the_writer_failing(start, record, state, log):
    writer = start()
    shutil.rmtree(state)
    state.write_text("in the way")
    writer.put(record())
    log.wait("a part of its path is not a folder")
    assert not writer.healthy
    state.unlink()
    log.wait("is written again")


def test_a_record_that_no_file_can_hold_is_lost_alone(start, record, log, ask):
    writer = start(interval=3600)
    endless: dict = {}
    for _ in range(100_000):
        endless = {"a": endless}
    deep = Principal("deep", Kind.AGENT, "corp-sso", claims={"a": endless})
    for odd in (record(1), record(2, status=2**70), record(3, principal=deep, claims=("/a",)), record(4)):
        writer.put(odd)
    assert writer.flush(PATIENCE)
    assert ask("select id from decisions order by id") == [(record(1).decision_id,), (record(4).decision_id,)]
    assert (writer.counters.written, writer.counters.lost, writer.healthy) == (2, 2, True)
    assert log.heard("a record cannot be stored") == 2


def test_a_writer_whose_thread_has_died_is_not_healthy_and_takes_nothing(start, record, state, monkeypatch):
    def defect(_connection):
        raise MemoryError

    trouble = [lambda _: None]
    writer = start(lambda connection: trouble[0](connection))
    trouble[0] = defect
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    shutil.rmtree(state)
    writer.put(record(0))
    assert not writer.close(PATIENCE)
    assert not writer.healthy
    assert not writer.put(record(1))


# -- the end ----------------------------------------------------------------------------------------------------------


def test_close_writes_what_is_queued_and_then_takes_nothing_more(start, record, ask):
    writer = start(interval=3600)
    for n in range(7):
        writer.put(record(n))
    assert writer.close(PATIENCE)
    assert stored(ask) == 7
    assert not writer.put(record(8))
    assert not writer.healthy
    assert writer.close(PATIENCE), "closing twice does no harm"


def test_close_gives_up_on_a_file_that_cannot_be_written_and_says_how_much_is_lost(start, record, state, log):
    writer = start(group=2)
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        for n in range(5):
            writer.put(record(n))
        log.wait("another program keeps it locked")
        assert not writer.close(PATIENCE)
    assert log.heard("ended with 5 records unwritten") == 1


def test_close_does_not_wait_longer_than_it_was_told(start, record, gate, log):
    writer = start(gate)
    writer.put(record())
    assert gate.reached.wait(PATIENCE)
    assert not writer.close(timeout=0.01)
    assert log.heard("ended with 1 records unwritten") == 1


# -- readers ----------------------------------------------------------------------------------------------------------


def test_a_reader_neither_stops_the_writer_nor_sees_half_a_group(start, record, state):
    writer = start()
    writer.put(record(0))
    writer.flush(PATIENCE)
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as reader:
        reader.execute("begin")
        before = reader.execute("select count(*) from flows").fetchone()
        for n in range(1, 300):
            writer.put(record(n))
        assert writer.flush(PATIENCE)
        assert reader.execute("select count(*) from flows").fetchone() == before
        reader.execute("rollback")
        assert reader.execute("select count(*) from flows").fetchone() == (300,)


def test_two_proxies_may_share_a_capture(start, record, ask):
    one, other = start(busy_timeout=5), start(busy_timeout=5)
    for n in range(200):
        (one if n % 2 else other).put(record(n))
    assert one.flush(PATIENCE)
    assert other.flush(PATIENCE)
    assert stored(ask) == 200


def test_what_was_flushed_is_read_after_the_process_was_killed(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from headgate.capture.writer import Writer;"
        "from headgate.capture.record import *;"
        "w = Writer(Path(sys.argv[1]), clock=lambda: 1.8e9, randomness=os.urandom);"
        "l = Line(b'GET', 'http', 'a.internal', 80, b'/', b'HTTP/1.1');"
        "w.put(Record('01' + '0' * 24, 'f1', Mode.MASKED, 1.8e9, None, '', l, None, (), None, None, None, None, 200,"
        " Message(), None, (), {}, None));"
        "assert w.flush(20); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "state")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "state" / "capture.db-wal").stat().st_size > 0
    assert [found.flow_id for found in Store(tmp_path / "state").summaries(Filter(), 10)] == ["f1"]


# -- the start --------------------------------------------------------------------------------------------------------


def in_the_way(path: Path) -> None:
    path.parent.mkdir()
    path.mkdir()


def notes(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("these are notes, and no database at all\n" * 50)


def another_database(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table customers (name text)")


def a_later_capture(path: Path) -> None:
    Writer(path.parent, clock=lambda: 0, randomness=lambda size: b"k" * size).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('headgate-capture', 'm999', '')"
        )


def a_file_for_a_folder(path: Path) -> None:
    path.parent.write_text("")


def a_bad_key(path: Path) -> None:
    (path.parent / "keys").mkdir(parents=True)
    (path.parent / "keys" / "capture.key").write_text("far too short")


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (in_the_way, "cannot be written: it cannot be opened"),
        (notes, "it is not a SQLite database"),
        (another_database, "is a database of something else"),
        (a_later_capture, "was written by a newer Headgate"),
        (a_file_for_a_folder, "a part of its path is not a folder"),
        (a_bad_key, "is not a key: 64 hexadecimal digits"),
    ],
)
def test_a_capture_that_cannot_be_written_from_the_start_is_one_clear_line(arrange, message, start, state):
    arrange(state / "capture.db")
    path = state / "capture.db"
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(HeadgateError, match=message) as raised:
        start()
    assert "\n" not in str(raised.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_only_the_owner_may_read_what_is_made(start, record, state):
    writer = start()
    writer.put(record())
    writer.flush(PATIENCE)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (state, *state.rglob("*"))}
    assert modes.pop("state") == modes.pop("keys") == "0o700"
    assert set(modes) == {"capture.db", "capture.db-wal", "capture.db-shm", "capture.key"}
    assert set(modes.values()) == {"0o600"}
