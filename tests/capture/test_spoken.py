"""Messages are written while a socket is open, each once, in order, and no longer than a record may hold."""

import pytest

from headgate.capture.record import MAX_BODY
from headgate.capture.spoken import Spoken
from headgate.capture.store import Store

PATIENCE = 20.0
NOW = 1_800_000_000.0


def said(n=0, body=b"hello", *, decision="01J", from_client=True, kind="text", size=None, full=True):
    length = len(body or b"") if size is None else size
    return Spoken(decision, "flow", n, NOW + n, from_client, kind, body, length, full)


@pytest.fixture
def tell(start):
    writer = start()

    def told(*spoken):
        for one in spoken:
            assert writer.put(one)
        assert writer.flush(PATIENCE)
        return writer

    return told


def test_they_are_there_before_their_flow_is(tell, state):
    tell(said(0), said(1, b"\x00\xff", from_client=False, kind="binary"))
    assert list(Store(state).walk()) == []
    first, second = Store(state).messages("01J")
    assert (first.n, first.time, first.from_client, first.kind, first.body) == (0, NOW, True, "text", b"hello")
    assert (second.from_client, second.kind, second.body, second.size) == (False, "binary", b"\x00\xff", 2)


def test_what_may_not_be_shown_has_a_size_and_is_marked(tell, state):
    tell(said(0, None, size=70_000))
    (message,) = Store(state).messages("01J")
    assert (message.body, message.size, message.truncated) == (b"", 70_000, True)


def test_a_long_one_is_cut_and_marked(tell, state):
    tell(said(0, b"x" * (MAX_BODY + 1)))
    (message,) = Store(state).messages("01J")
    assert (len(message.body), message.size, message.truncated) == (MAX_BODY, MAX_BODY + 1, True)


def test_of_metadata_there_is_no_more_than_the_size(tell, state):
    tell(said(0, b"s3cr3t", full=False))
    (message,) = Store(state).messages("01J")
    assert (message.body, message.size, message.truncated) == (b"", 6, False)
    assert b"s3cr3t" not in b"".join(path.read_bytes() for path in state.glob("capture.db*"))


def test_one_that_is_handed_over_twice_is_there_once(tell, ask):
    tell(said(0), said(0), said(1))
    assert ask("select n from messages order by n") == [(0,), (1,)]


def test_the_same_words_are_kept_once(tell, ask):
    tell(*(said(n) for n in range(3)))
    assert ask("select count(distinct body), count(*) from messages") == [(1, 3)]


def test_many_come_in_order_whatever_else_is_written(tell, state, record):
    mixed = [thing for n in range(700) for thing in (said(n, b"%d" % n), said(n, b"other", decision="02J"))]
    tell(record(), *mixed)
    assert [message.body for message in Store(state).messages("01J")] == [b"%d" % n for n in range(700)]
    assert list(Store(state).messages("none")) == []


def test_they_fill_the_queue_as_records_do(start):
    writer = start(capacity=10, capacity_bytes=2000, interval=3600)
    taken = [writer.put(said(n, b"x" * 1000)) for n in range(5)]
    assert taken == [True, True, False, False, False]
    assert writer.counters.dropped == 3
