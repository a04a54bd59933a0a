"""The nearest allow is worked out when a record is written; nothing about it costs the record anything else."""

import json
import threading

import pytest

from headgate.capture.afterwards import SAVED, SHARE, Afterwards
from headgate.capture.layout import entry_json
from headgate.capture.store import Store
from headgate.model import Decision, Effect

PATIENCE = 20.0
NOBODY = Decision(Effect.DENY, "no-rule-allows")
NEAREST = {"rule": {"id": "a", "effect": "allow", "file": "rules/policy.yaml", "line": 3}, "failing": []}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_it_is_stored_with_the_decision(start, record, state):
    writer = start()
    writer.put(record(decision=NOBODY, nearest=lambda: json.dumps(NEAREST)))
    assert writer.flush(PATIENCE)
    entry = Store(state).entry("00000000")
    assert entry.nearest == entry_json(entry)["nearest"] == NEAREST


def test_it_is_worked_out_in_the_thread_that_writes(start, record):
    seen = []
    writer = start()
    writer.put(record(nearest=lambda: seen.append(threading.current_thread().name)))
    assert writer.flush(PATIENCE)
    assert seen == ["headgate-capture"]


def test_what_raises_is_told_once_for_each_type_and_the_record_is_written_without_it(start, record, state, log):
    def fail(error):
        raise error

    writer = start()
    writer.put(record(0, nearest=lambda: fail(KeyError("s3cr3t"))))
    writer.put(record(1, nearest=lambda: fail(KeyError("s3cr3t"))))
    writer.put(record(2, nearest=lambda: fail(RecursionError("s3cr3t"))))
    assert writer.flush(PATIENCE)
    assert [Store(state).entry(f"{n:08x}").nearest for n in range(3)] == [None, None, None]
    assert log.lines == [
        "which rule came nearest to allowing a request could not be worked out: KeyError",
        "which rule came nearest to allowing a request could not be worked out: RecursionError",
    ]


def test_a_decision_without_one_costs_nothing(record):
    clock = Clock()
    afterwards = Afterwards(clock)
    clock.now = float("nan")  # whoever looked at it now would never be content again
    assert afterwards.nearest(record()) is None
    clock.now = 1.0
    assert afterwards.nearest(record(nearest=lambda: "{}")) == "{}"


def test_a_flood_goes_without_it_once_the_time_for_it_is_used_up(record):
    clock, worked = Clock(), []

    def slow():
        worked.append(clock.now)
        clock.now += 0.1
        return "{}"

    afterwards = Afterwards(clock)
    found = [afterwards.nearest(record(n, nearest=slow)) for n in range(100)]
    first = found.index(None)
    assert first == pytest.approx(SAVED / 0.1 / (1 - SHARE), abs=1)
    assert set(found[first:]) == {None}
    clock.now += 0.1 / SHARE
    assert afterwards.nearest(record(nearest=slow)) == "{}", "a share of the time is saved up again"


def test_a_pause_saves_up_no_more_than_a_burst(record):
    clock = Clock()

    def slow():
        clock.now += SAVED
        return "{}"

    afterwards = Afterwards(clock)
    clock.now = 1e9
    assert [afterwards.nearest(record(n, nearest=slow)) for n in range(12)].count("{}") == 2


def test_what_it_keeps_in_memory_counts(record):
    assert record(nearest=lambda: None, held=1000).weight == record().weight + 1000
