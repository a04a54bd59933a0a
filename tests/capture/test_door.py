"""Whatever the disk does: what may not go on unrecorded is refused, and what may go on does; either way it is told.

Each fault is a real one, or what SQLite reports of it, below a real writer.
"""

import os
import sqlite3
import threading
from contextlib import closing

import pytest
from mitmproxy.test import tflow, tutils

from headgate.capture.addon import Capture
from headgate.capture.record import Message
from headgate.capture.spoken import Spoken

PATIENCE = 20.0
NONSENSE = b"this is no database, and long enough for somebody to notice that it is none\n" * 100


class Pragma:
    """Makes writing fail on each connection that is opened while it lasts."""

    def __init__(self, pragma):
        self._pragma, self._lasts = pragma, threading.Event()

    def prepare(self, connection):
        if self._lasts.is_set():
            connection.execute(self._pragma)

    def begin(self, path):
        self._lasts.set()
        path.rename(path.with_name("before.db"))  # so that the writer opens a file anew

    def end(self, path):
        del path
        self._lasts.clear()


class Locked(Pragma):
    def __init__(self):
        super().__init__("")

    def begin(self, path):
        self._holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._holder.execute("begin exclusive")

    def end(self, path):
        del path
        self._holder.execute("rollback")
        self._holder.close()


class Corrupt(Pragma):
    """Pages of the file are no longer what they were."""

    def __init__(self):
        super().__init__("")

    def begin(self, path):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        path.rename(path.with_name("aside.db"))
        path.with_name("copy.db").write_bytes(path.with_name("aside.db").read_bytes())
        path.with_name("copy.db").rename(path)

    def end(self, path):
        path.unlink()


class Replaced(Pragma):
    def __init__(self):
        super().__init__("")

    def begin(self, path):
        path.rename(path.with_name("aside.db"))
        path.write_bytes(NONSENSE)

    def end(self, path):
        path.unlink()


FAULTS = {
    "the disk is full": lambda: Pragma("pragma max_page_count = 1"),
    "it is read-only": lambda: Pragma("pragma query_only = on"),
    "another program keeps it locked": Locked,
    "it is damaged": Corrupt,
    "it is not a SQLite database": Replaced,
}


@pytest.fixture
def flow():
    return tflow.tflow(req=tutils.treq(), resp=tutils.tresp(content=os.urandom(200_000)))


@pytest.mark.parametrize("on_error", ["refuse", "continue"])
@pytest.mark.parametrize("cause", FAULTS)
def test_each_fault_is_told_refuses_or_not_as_configured_and_ends(
    cause, on_error, start, record, exchange, flow, state, log
):
    fault = FAULTS[cause]()
    writer = start(fault.prepare if isinstance(fault, Pragma) else None, capacity=8)
    assert writer.put(record(0))
    assert writer.flush(PATIENCE)
    fault.begin(writer.path)
    large = Message((), os.urandom(300_000), 300_000)
    assert writer.put(record(1, request=large))  # the first that cannot be written
    log.wait(f"cannot be written: {cause}")
    judged = exchange()
    stage = Capture({flow.id: judged}, writer, lambda: "masked", lambda: on_error)
    stage.requestheaders(flow)
    stage.response(flow)
    stage.said(judged, Spoken(judged.decision_id, flow.id, 0, 0.0, True, "text", b"hello", 5))
    assert (judged.refusal is not None) is (on_error == "refuse")
    assert judged.recorded, "there is room: it is kept until the file can be written"
    for n in range(2, 20):
        writer.put(record(n))
    assert writer.counters.dropped > 0, "and what there is no room for is counted"
    fault.end(writer.path)
    log.wait("is written again")
    assert writer.flush(PATIENCE)
    after = exchange()
    Capture({flow.id: after}, writer, lambda: "masked", lambda: on_error).requestheaders(flow)
    assert after.refusal is None
    assert log.heard(cause) == 1
    assert state in writer.path.parents
