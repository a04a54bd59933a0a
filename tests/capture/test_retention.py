"""What is older or more than is to be kept goes, all of it, and nothing else does: in small steps, beside a writer."""

import hashlib
import sqlite3
import threading
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.capture.record import Message
from headgate.capture.retention import Pruned, Retention, Room, Step, next_step, parse_retention, parse_size
from headgate.capture.spoken import Spoken
from headgate.capture.store import Filter, Store
from headgate.capture.upkeep import writer as pruning
from headgate.capture.upkeep.keeper import Keeper
from headgate.capture.upkeep.writer import Pruner
from headgate.errors import HeadgateError
from headgate.model import ulid

NOW = 1_800_000_000.0
PATIENCE = 20.0
DAY = 86400.0


def undecoded(body, _codings):
    return body


def big(n):
    """A body of 20 kB that does not get smaller and is nobody else's."""
    return Message((), hashlib.shake_128(b"%d" % n).digest(20_000), 20_000)


@pytest.fixture
def pruner(state):
    return Pruner(state / "capture.db", undecoded)


def everything(pruner, retention, now=NOW):
    """All steps until nothing is due."""
    steps = []
    while (pruned := pruner.step(retention, now)) is not None:
        steps.append(pruned)
        assert len(steps) < 1000
    return steps


def count(ask, table):
    return ask(f"select count(*) from {table}")[0][0]  # noqa: S608 - a name from this file


def contents(ask):
    tables = ("flows", "decisions", "masks", "bodies")
    return [ask(f"select * from {table} order by 1") for table in tables]  # noqa: S608 - as above


def ids(ask):
    return [flow for (flow,) in ask("select id from flows order by id")]


# -- what somebody says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", Retention()),
        (" ", Retention()),
        ("30d", Retention(30 * DAY)),
        ("12h", Retention(DAY / 2)),
        ("50GB", Retention(None, 50 * 10**9)),
        ("30d,50GB", Retention(30 * DAY, 50 * 10**9)),
        ("500mb , 1d", Retention(DAY, 500 * 10**6)),
        ("2kB", Retention(None, 2000)),
        ("1TB", Retention(None, 10**12)),
    ],
)
def test_an_age_a_size_both_or_neither(text, kept):
    assert parse_retention(text) == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("30", "`30` is neither"),
        ("30d,1h", "two ages"),
        ("1GB,2GB", "two sizes"),
        ("0d", "would keep nothing"),
        ("0GB", "would keep nothing"),
        ("-1d", "neither"),
        ("1.5GB", "neither"),
        ("30d;50GB", "neither"),
        ("30 d", "neither"),
        ("x" * 200, "`" + "x" * 80 + r"\.\.\.`"),
        ("1d\x1b[2J", r"\\x1b"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_says_what_is_accepted(text, why):
    with pytest.raises(HeadgateError, match=why) as refused:
        parse_retention(text)
    assert "accepted: " in str(refused.value)
    assert str(refused.value).isprintable()


@given(st.text(max_size=30))
def test_no_text_is_anything_but_a_retention_or_an_error(text):
    try:
        retention = parse_retention(text)
    except HeadgateError:
        return
    assert retention.age is None or retention.age > 0
    assert retention.size is None or retention.size > 0


def test_a_size_alone():
    assert parse_size("50GB") == 50 * 10**9
    with pytest.raises(HeadgateError, match="is not a size; accepted: a whole number and a unit"):
        parse_size("30d")


# -- what is due ------------------------------------------------------------------------------------------------------

FULL = Room(1000, 1000)


@pytest.mark.parametrize(
    ("retention", "room", "aged", "step"),
    [
        (Retention(), FULL, False, None),
        (Retention(DAY), FULL, False, None),
        (Retention(DAY), FULL, True, Step(NOW - DAY, 10)),
        (Retention(None, 1000), FULL, False, None),
        (Retention(None, 999), FULL, False, Step(None, 10, 1)),
        (Retention(DAY, 999), FULL, True, Step(NOW - DAY, 10)),
        (Retention(DAY, 900), FULL, False, Step(None, 10, 100)),
        (Retention(DAY), Room(1000, 900), False, Step()),
        (Retention(None, 950), Room(1000, 900), False, Step()),
    ],
)
def test_age_goes_before_size_and_space_is_given_back_at_the_end(retention, room, aged, step):
    assert next_step(retention, NOW, room, 10, aged=aged) == step


# -- what goes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hundred(start, record):
    """A hundred flows of one second each, with two callers, and every second with the same response."""
    writer = start()
    for n in range(100):
        own = Message((), b'{"n": %d}' % n, 10)
        writer.put(record(n, response=own if n % 2 else record(0).response))
    assert writer.flush(PATIENCE)


@pytest.mark.usefixtures("hundred")
def test_age_takes_what_ended_before_and_nothing_else(pruner, ask):
    steps = everything(pruner, Retention(50.0), NOW + 100)
    assert sum(steps, Pruned()).flows == 50
    assert ids(ask) == list(range(51, 101))


@pytest.mark.usefixtures("hundred")
def test_with_a_flow_goes_all_that_is_its_own_and_what_others_share_stays(pruner, ask):
    everything(pruner, Retention(3.5), NOW + 100)
    assert ids(ask) == [98, 99, 100]
    left = {table: count(ask, table) for table in ("decisions", "masks", "bodies")}
    assert left == {"decisions": 3, "masks": 3, "bodies": 3}  # two of their own, and the one that they share
    assert ask("select count(*) from principals") == [(1,)]
    everything(pruner, Retention(1.0), NOW + 200)
    tables = ("flows", "decisions", "masks", "bodies", "principals", "rulesets")
    assert {table: count(ask, table) for table in tables} == dict.fromkeys(tables, 0)
    assert ask("pragma foreign_key_check") == []


def test_a_flow_counts_from_its_end(start, record, pruner, ask):
    writer = start()
    writer.put(record(0, ended=NOW + 50))
    writer.put(record(1))
    assert writer.flush(PATIENCE)
    everything(pruner, Retention(20.0), NOW + 30)
    assert ids(ask) == [1]


@pytest.mark.usefixtures("hundred")
def test_a_clock_that_has_gone_back_deletes_nothing(pruner, ask):
    assert everything(pruner, Retention(1.0), 0.0) == []
    assert len(ids(ask)) == 100


def test_size_takes_the_oldest_until_the_file_is_no_larger(start, record, state, pruner, ask):
    writer = start()
    for n in range(200):
        writer.put(record(n, response=big(n)))
    assert writer.flush(PATIENCE)
    writer.close(PATIENCE)
    everything(pruner, Retention(None, 2_000_000))
    assert pruner.settle()
    assert (state / "capture.db").stat().st_size <= 2_000_000
    left = ids(ask)
    assert left == list(range(left[0], 201))
    assert 75 < len(left) < 100


def test_what_is_gone_is_in_no_file(start, record, state, pruner):
    writer = start()
    writer.put(record(0, response=Message((), b"the-planted-word " * 50, 850)))
    writer.put(record(1))
    assert writer.flush(PATIENCE)
    writer.close(PATIENCE)
    everything(pruner, Retention(1.0), NOW + 1.5)
    assert pruner.settle()
    held = [file.name for file in state.rglob("*") if file.is_file() and b"planted" in file.read_bytes()]
    assert held == []
    assert [found.flow_id[:8] for found in Store(state).summaries(Filter(), 9)] == ["00000001"]


def test_a_step_takes_no_more_than_so_many_flows_and_bytes(start, record, pruner):
    writer = start()
    for n in range(250):
        writer.put(record(n))
    assert writer.flush(PATIENCE)
    assert pruner.step(Retention(1.0), NOW + DAY).flows == pruning.STEP
    assert pruner.step(Retention(1.0), NOW + DAY, 7).flows == 7


def test_a_step_with_large_bodies_takes_few_of_them(start, record, pruner, monkeypatch):
    monkeypatch.setattr(pruning, "STEP_BYTES", 50_000)
    writer = start()
    for n in range(10):
        writer.put(record(n, response=big(n)))
    assert writer.flush(PATIENCE)
    assert [step.flows for step in everything(pruner, Retention(1.0), NOW + DAY) if step] == [2, 2, 2, 2, 2]


def test_one_that_is_larger_than_a_step_goes_all_the_same(start, record, pruner, monkeypatch, ask):
    monkeypatch.setattr(pruning, "STEP_BYTES", 10)
    writer = start()
    writer.put(record(0, response=big(0)))
    assert writer.flush(PATIENCE)
    everything(pruner, Retention(1.0), NOW + DAY)
    assert ids(ask) == []


# -- messages ---------------------------------------------------------------------------------------------------------


def spoken(n, decision, time=NOW):
    return Spoken(decision, "f" * 8, n, time, True, "text", b"message %d" % n, 10)


def test_the_many_messages_of_a_socket_go_before_it_a_step_at_a_time(start, record, pruner, ask, monkeypatch):
    monkeypatch.setattr(pruning, "STEP_MESSAGES", 400)
    socket = record(0)
    writer = start()
    for n in range(2000):
        assert writer.put(spoken(n, socket.decision_id))
    writer.put(socket)
    assert writer.flush(PATIENCE)
    steps = [step for step in everything(pruner, Retention(1.0), NOW + DAY) if step]
    assert [step.messages for step in steps] == [400, 400, 200, 1000]
    assert [step.flows for step in steps] == [0, 0, 0, 1]
    assert ask("select count(*) from messages") == [(0,)]
    assert ask("select count(*) from bodies") == [(0,)]


def test_what_was_said_on_a_connection_that_was_never_recorded_goes_by_its_own_time(start, record, pruner, ask):
    decision = ulid(int(NOW * 1000), 5)
    writer = start()
    for n in range(10):
        writer.put(spoken(n, decision, NOW + n))
    writer.put(record(100))
    assert writer.flush(PATIENCE)
    everything(pruner, Retention(95.0), NOW + 100)
    assert ask("select min(n), count(*) from messages") == [(5, 5)]
    assert len(ids(ask)) == 1


def test_with_no_flow_left_size_takes_messages(start, pruner, ask):
    writer = start()
    for n in range(3000):
        writer.put(Spoken(ulid(int(NOW * 1000), 5), "f" * 8, n, NOW, True, "text", b"%d " % n * 50, 250))
    assert writer.flush(PATIENCE)
    everything(pruner, Retention(None, 300_000))
    assert ask("select count(*) from messages") < [(3000,)]


# -- beside a writer, and when it fails -------------------------------------------------------------------------------


def test_a_writer_goes_on_meanwhile(start, record, pruner, ask):
    writer = start(busy_timeout=5.0)
    for n in range(300):
        writer.put(record(n))
    assert writer.flush(PATIENCE)
    gone = Pruned()
    for n in range(300, 400):
        assert writer.put(record(n))
        gone += pruner.step(Retention(100.0), NOW + 300, 5) or Pruned()
    assert writer.flush(PATIENCE)
    gone += sum(everything(pruner, Retention(100.0), NOW + 300), Pruned())
    assert writer.counters.written == 400
    assert writer.counters.failed == 0
    assert gone.flows == 200
    assert len(ids(ask)) == 200


def keeper(state, retention, told=None, **more):
    said = [] if told is None else told
    return Keeper(state, retention, decode=undecoded, clock=lambda: NOW + 100, told=said.append, rest=0.0, **more)


@pytest.mark.usefixtures("hundred")
def test_the_keeper_deletes_in_a_thread_of_its_own_and_tells_what_went(state, ask):
    told, heard = [], threading.Event()

    def hear(pruned):
        told.append(pruned)
        heard.set()

    kept = Keeper(state, lambda: Retention(50.0), decode=undecoded, clock=lambda: NOW + 100, told=hear, rest=0.0)
    kept.start()
    assert heard.wait(PATIENCE)
    assert kept.close(PATIENCE)
    assert [pruned.flows for pruned in told] == [50]
    assert ids(ask) == list(range(51, 101))
    assert kept.healthy


@pytest.mark.usefixtures("hundred")
def test_a_retention_that_changes_holds_from_the_next_step(state):
    wanted = [Retention(), Retention(10.0)]
    kept = keeper(state, lambda: wanted[0])
    assert kept.round() == Pruned()
    del wanted[0]
    assert kept.round().flows == 90


@pytest.mark.usefixtures("hundred")
def test_a_lock_that_is_held_is_told_once_and_costs_nothing(state, log, monkeypatch):
    monkeypatch.setattr("headgate.capture.upkeep.keeper.PATIENCE", 0.01)
    kept = keeper(state, lambda: Retention(50.0))
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        assert kept.round() == kept.round() == Pruned()
        assert log.heard("another program keeps it locked; old flows stay") == 1
        assert not kept.healthy
        other.execute("rollback")
    assert kept.round().flows == 50
    assert kept.healthy
    assert log.heard("works again") == 1


@pytest.mark.usefixtures("hundred")
def test_a_file_that_is_gone_or_damaged_is_told_and_tried_again(state, log):
    kept = keeper(state, lambda: Retention(50.0))
    path = state / "capture.db"
    for file in state.glob("capture.db*"):
        file.rename(file.with_name(f"away-{file.name}"))
    assert kept.round() == Pruned()
    path.write_bytes(b"no database " * 1000)
    assert kept.round() == Pruned()
    assert log.heard("there is no capture") == 1
    assert log.heard("is not a SQLite database") == 1
    assert path.read_bytes() == b"no database " * 1000


@pytest.mark.usefixtures("hundred")
def test_a_retention_that_cannot_be_read_deletes_nothing(state, ask, log):
    def broken():
        raise ZeroDivisionError("with a secret")

    assert keeper(state, broken).round() == Pruned()
    assert log.heard("ZeroDivisionError") == 1
    assert log.heard("secret") == 0
    assert len(ids(ask)) == 100


@pytest.mark.usefixtures("hundred")
def test_a_step_that_fails_half_way_leaves_everything(pruner, ask, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    before = contents(ask)
    monkeypatch.setattr(pruning, "delete_bodies", fail)
    with pytest.raises(HeadgateError, match="cannot be kept up"):
        pruner.step(Retention(50.0), NOW + 100)
    assert contents(ask) == before


def test_a_file_that_cannot_shrink_ends_the_round(start, record, state, pruner):
    """As one that something else has made, without room for what an incremental vacuum needs."""
    writer = start()
    for n in range(100):
        writer.put(record(n))
    assert writer.close(PATIENCE)
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as connection:
        for pragma in ("journal_mode = delete", "auto_vacuum = none"):
            connection.execute(f"pragma {pragma}")
        connection.execute("vacuum")
    assert sum(everything(pruner, Retention(1.0), NOW + DAY), Pruned()).flows == 100
