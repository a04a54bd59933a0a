"""Who watches is told of everything in order, and holds up nobody: what does not fit is dropped, counted and said."""

import json
import logging
import os
import threading

import pytest

from headgate.audit.sinks import CHECKPOINT, DROPPED, Event, Limits, RejectedError, Sink, Sinks, UndeliveredError
from headgate.audit.sinks_stdout import Stdout

PATIENCE = 20.0
QUICK = {"first_pause": 0.001, "longest_pause": 0.002}


class Held:
    """An outlet that delivers when it is let, and fails as often as it is told to."""

    name, batch = "a test", 2

    def __init__(self, *failures, is_open=True):
        self.events, self.failures, self.attempts = [], list(failures), 0
        self.open, self.busy, self.closed = threading.Event(), threading.Event(), threading.Event()
        if is_open:
            self.open.set()

    def send(self, events):
        self.busy.set()
        assert self.open.wait(PATIENCE)
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.events += events

    def close(self):
        self.closed.set()

    @property
    def lines(self):
        return [event.line for event in self.events]


def event(n, kind="decision"):
    return Event(kind, "2027-01-15T08:00:00.000Z", b"%d" % n)


def sink(outlet, **limits):
    return Sink(outlet, lambda: "2027-01-15T08:00:09.000Z", Limits(**{**QUICK, **limits}))


def test_everything_is_delivered_in_order_before_the_end():
    outlet = Held()
    made = sink(outlet)
    for n in range(100):
        made.put(event(n))
    made.close(PATIENCE)
    assert outlet.lines == [b"%d" % n for n in range(100)]
    assert (made.delivered, made.dropped, outlet.closed.is_set()) == (100, 0, True)


def test_when_it_is_full_entries_are_dropped_and_the_receiver_is_told_how_many():
    outlet = Held(is_open=False)
    made = sink(outlet, capacity=3)
    made.put(event(0))
    assert outlet.busy.wait(PATIENCE)
    for n in range(1, 8):
        made.put(event(n))
    assert made.dropped == 4
    outlet.open.set()
    made.close(PATIENCE)
    told = [json.loads(line) for line in outlet.lines if line.startswith(b"{")]
    assert [entry.line for entry in outlet.events if entry.kind != DROPPED] == [b"0", b"1", b"2", b"3"]
    assert told == [{"kind": "events-dropped", "time": "2027-01-15T08:00:09.000Z", "count": 4}]


def test_a_checkpoint_takes_the_place_of_an_entry():
    outlet = Held(is_open=False)
    made = sink(outlet, capacity=2)
    made.put(event(0))
    assert outlet.busy.wait(PATIENCE)
    for one in (event(1), event(2), event(3, CHECKPOINT), event(4)):
        made.put(one)
    outlet.open.set()
    made.close(PATIENCE)
    assert [entry.line for entry in outlet.events if entry.kind != DROPPED] == [b"0", b"2", b"3"]


def test_a_full_queue_of_checkpoints_keeps_the_latest():
    outlet = Held(is_open=False)
    made = sink(outlet, capacity=2)
    made.put(event(0))
    assert outlet.busy.wait(PATIENCE)
    for n in (1, 2, 3):
        made.put(event(n, CHECKPOINT))
    outlet.open.set()
    made.close(PATIENCE)
    assert outlet.lines[-2:] == [b"2", b"3"]


def test_the_queue_is_bounded_in_bytes_too():
    outlet = Held(is_open=False)
    made = sink(outlet, capacity_bytes=10)
    made.put(event(0))
    assert outlet.busy.wait(PATIENCE)
    for _ in range(5):
        made.put(Event("decision", "", b"x" * 9))
    outlet.open.set()
    made.close(PATIENCE)
    assert made.dropped == 3


def test_what_fails_is_tried_again_and_said_once(caplog):
    outlet = Held(UndeliveredError("it is down"), OSError(111, "Connection refused"), UndeliveredError("it is down"))
    made = sink(outlet)
    with caplog.at_level(logging.WARNING):
        made.put(event(0))
        assert _eventually(outlet, 4)
        made.close(PATIENCE)
    assert outlet.lines == [b"0"]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "events cannot be delivered to a test: it is down; it is tried again",
        "events are delivered to a test again",
    ]


def test_what_is_rejected_is_not_tried_again_and_counted(caplog):
    outlet = Held(RejectedError("it answers with status 400"))
    made = sink(outlet)
    with caplog.at_level(logging.WARNING):
        made.put(event(0))
        assert _eventually(outlet, 1)
        made.put(event(1))
        made.close(PATIENCE)
    assert [entry.line for entry in outlet.events if entry.kind != DROPPED] == [b"1"]
    assert (made.dropped, made.delivered) == (1, 1)


def test_an_outlet_that_hangs_holds_up_neither_who_tells_nor_the_end(caplog):
    outlet = Held(is_open=False)
    made = sink(outlet, capacity=2)
    with caplog.at_level(logging.WARNING):
        for n in range(1000):
            made.put(event(n))
        made.close(0.01)
    assert "events were not delivered to a test" in caplog.text
    outlet.open.set()


def test_an_outlet_that_fails_to_the_end_is_left_in_time(caplog):
    made = sink(Held(*[UndeliveredError("it is down")] * 10), first_pause=1000.0)
    made.put(event(0))
    with caplog.at_level(logging.WARNING):
        made.close(PATIENCE)
    assert (made.dropped, "1 events were not delivered to a test" in caplog.text) == (1, True)


def test_entries_and_checkpoints_are_told_as_lines_of_json():
    outlet = Held()
    sinks = Sinks([outlet], lambda: 1_800_000_000.25, Limits(**QUICK))
    sinks.emit("decision", {"kind": "decision", "time": "2027-01-15T08:00:00.000Z", "path": "/a\nb\u2028\x9b"})
    sinks.emit("checkpoint", "log\n1\nroot\n\n\N{EM DASH} sig\n")
    sinks.close()
    first, second = outlet.events
    assert (first.kind, first.time) == ("decision", "2027-01-15T08:00:00.000Z")
    assert first.line.isascii()
    assert b"\n" not in first.line
    assert json.loads(first.line)["path"] == "/a\nb\u2028\x9b"
    assert json.loads(second.line) == {
        "kind": "checkpoint",
        "time": "2027-01-15T08:00:00.250Z",
        "note": "log\n1\nroot\n\n\N{EM DASH} sig\n",
    }


def test_without_outlets_nothing_is_done():
    Sinks([], lambda: pytest.fail("nobody asks for the time")).emit("checkpoint", "note")


def _eventually(outlet, attempts):
    """Whether so many attempts are made; each is awaited by the one before, which fails or succeeds at once."""
    tick = threading.Event()
    return any(outlet.attempts >= attempts or tick.wait(0.01) for _ in range(int(PATIENCE * 100)))


def test_a_pipe_that_nobody_empties_holds_up_nobody():
    """The thread that waits for the pipe is the sink's own, and ends with the process."""
    reading, writing = os.pipe()
    sinks = Sinks([Stdout(writing)], lambda: 0.0, Limits(capacity=10, **QUICK), grace=0.01)
    for n in range(1000):
        sinks.emit("decision", {"kind": "decision", "time": "", "n": "x" * 1000 + str(n)})
    sinks.close()
    assert sinks.dropped > 0
    with os.fdopen(reading, "rb") as pipe:
        while b"\n" not in pipe.read1(65536):
            pass
