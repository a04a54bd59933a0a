"""Reading a capture from end to end: every decision once, oldest first, a page at a time."""

import sqlite3
from contextlib import closing

import pytest

from headgate.capture import store as module
from headgate.capture.record import Line, Message
from headgate.capture.store import Store
from headgate.errors import HeadgateError
from headgate.model import MaskCount

PATIENCE = 20.0
NOW = 1_800_000_000.0
FLOWS = 7


@pytest.fixture
def store(start, record, state, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 3)
    writer = start()
    for n in range(FLOWS):
        sent = Message((), b"asked %d" % n, 7)
        masks = tuple(MaskCount(f"/{at}", "field", "redact", 1) for at in range(n))
        writer.put(record(n, request=sent, masks=masks, signals=frozenset({"freeze"})))
    assert writer.flush(PATIENCE)
    return Store(state)


def numbers(entries):
    return [int(entry.summary.flow_id[:8], 16) for entry in entries]


def test_every_decision_comes_once_and_in_order(store):
    assert numbers(store.walk()) == list(range(FLOWS))
    assert store.count() == FLOWS


def test_an_entry_is_the_same_as_when_it_is_asked_for_alone(store):
    for entry in store.walk():
        assert entry == store.entry(entry.summary.decision_id)
        assert len(entry.masks) == int(entry.summary.flow_id[:8], 16)
        assert (entry.signals, entry.kind, entry.sealed) == (["freeze"], "http", False)


def test_bodies_are_read_only_if_asked_for(store):
    assert [entry.request.body for entry in store.walk()] == [b"asked %d" % n for n in range(FLOWS)]
    assert {entry.request.body for entry in store.walk(bodies=False)} == {b""}
    assert {entry.request.size for entry in store.walk(bodies=False)} == {7}


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ({"since": NOW + 2}, [2, 3, 4, 5, 6]),
        ({"until": NOW + 2}, [0, 1]),
        ({"since": NOW + 1, "until": NOW + 4}, [1, 2, 3]),
        ({"since": NOW + 9}, []),
        ({"until": -1.0}, []),
    ],
)
def test_a_span_of_time(span, found, store):
    assert numbers(store.walk(**span)) == found
    assert store.count(**span) == len(found)


def test_it_goes_on_after_any_decision(store):
    fourth = list(store.walk())[3].summary.decision_id
    assert numbers(store.walk(fourth)) == [4, 5, 6]
    assert numbers(store.walk(fourth, since=NOW)) == [4, 5, 6]
    assert store.count(fourth) == 3


def test_a_page_takes_as_many_statements_whatever_it_holds(store, monkeypatch):
    """So that reading all of a capture grows with its pages, not with its flows times what each consists of."""
    asked = []
    plain = sqlite3.connect

    def traced(*arguments, **keywords):
        connection = plain(*arguments, **keywords)
        connection.set_trace_callback(asked.append)
        return connection

    counts = []
    for page in (1, 100):
        monkeypatch.setattr(module, "PAGE", page)
        with monkeypatch.context() as patched:
            patched.setattr(module.sqlite3, "connect", traced)
            asked.clear()
            next(store.walk())
            counts.append(sum("from decisions d" in sql or "from masks" in sql for sql in asked))
    assert counts[0] == counts[1] == 2


def test_a_flow_that_is_no_http_is_one_like_others(start, record, state):
    writer = start()
    line = Line(b"TCP", "tcp", "db.internal", 5432, b"", b"")
    writer.put(record(0, kind="tcp", line=line, request=Message(), response=None, status=None))
    assert writer.flush(PATIENCE)
    (entry,) = Store(state).walk()
    assert (entry.kind, entry.summary.flow_kind, entry.summary.method, entry.response) == ("tcp", "tcp", "TCP", None)


def test_a_damaged_value_is_said_to_be_one(store, state):
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        connection.execute("update flows set connection = 'no json' where id = 3")
        connection.commit()
    with pytest.raises(HeadgateError, match="a recorded value is damaged: it is not JSON"):
        list(store.walk())
