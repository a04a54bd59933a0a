"""The writer claims only what is on disk, says at once what it cannot write, and notices another file in its place."""

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from tests.audit.logs import NOW, PATIENCE, build, entropy, entry, found, opened

from headgate.audit import acts, schema
from headgate.audit.acts import record_act, sign_checkpoint
from headgate.audit.checkpoint import read
from headgate.audit.keys import load_verifier
from headgate.audit.store import AuditStore
from headgate.audit.verify import verify
from headgate.audit.writer import AuditUnavailable, AuditWriter
from headgate.errors import HeadgateError

HERE = Path(__file__).parent


class Gate:
    """Stops a writer's thread at the beginning of its next transaction."""

    def __init__(self):
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self, connection):
        connection.set_trace_callback(self._traced)

    def _traced(self, sql):
        if sql == "begin immediate" and not self.open.is_set():
            self.reached.set()
            assert self.open.wait(PATIENCE)


class Trouble:
    """Prepares each connection with a pragma that makes writing fail, until `over` is set."""

    def __init__(self, pragma):
        self.pragma, self.over = pragma, threading.Event()
        self.over.set()

    def __call__(self, connection):
        if not self.over.is_set():
            connection.execute(self.pragma)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


def says(state):
    return [entry.leaf.get("n", entry.leaf.get("act")) for entry in AuditStore(state).entries()]


def backup(path, copy):
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as made:
        source.backup(made)


def numbers(state):
    return [entry.leaf["n"] for entry in AuditStore(state).entries() if "n" in entry.leaf]


# -- what is written --------------------------------------------------------------------------------------------------


def test_entries_are_appended_in_the_order_they_came(start, state):
    writer = start()
    for n in range(1200):
        assert writer.put(lambda n=n: entry(n))
    assert writer.flush(PATIENCE)
    assert says(state) == list(range(1200))
    assert writer.counters.written == 1200


def test_who_waits_hears_the_number_once_the_entry_is_there_for_all(start, state):
    writer = start(limits={"interval": 3600})

    async def ask(n):
        seq = await writer.put_and_wait(lambda: entry(n))
        assert AuditStore(state).size() >= seq
        return seq

    async def all_at_once():
        return await asyncio.gather(*(ask(n) for n in range(50)))

    assert sorted(asyncio.run(all_at_once())) == list(range(1, 51))


def test_a_commit_is_on_disk_when_it_returns(start):
    asked = []
    start(lambda connection: asked.append(connection.execute("pragma synchronous").fetchone()))
    assert asked == [(2,)]


def test_a_checkpoint_is_signed_after_so_many_entries_and_at_the_end(start, state):
    told = []
    writer = start(every=10, limits={"group": 1}, emit=lambda kind, what: told.append((kind, what)))
    for n in range(25):
        writer.put(lambda n=n: entry(n))
    assert writer.close(PATIENCE)
    notes = [what for kind, what in told if kind == "checkpoint"]
    assert [read(note, load_verifier(state)).size for note in notes] == [10, 20, 25]
    assert [kind for kind, _ in told[:11]] == ["act"] * 10 + ["checkpoint"]
    assert [what["n"] for kind, what in told if kind == "act"] == list(range(25))
    assert [point.note for point in AuditStore(state).checkpoints()] == notes
    assert writer.counters.checkpoints == 3


def test_a_checkpoint_is_signed_in_time_and_only_where_something_is_new(start, state):
    signed = threading.Semaphore(0)
    writer = start(seconds=0.01, emit=lambda kind, _: signed.release() if kind == "checkpoint" else None)
    assert writer.checkpoint_age() is None
    for n in range(3):
        writer.put(lambda n=n: entry(n))
        assert signed.acquire(timeout=PATIENCE)
    assert writer.close(PATIENCE)
    assert [point.size for point in AuditStore(state).checkpoints()] == [1, 2, 3]
    assert writer.checkpoint_age() == 0


def test_a_sink_that_fails_does_not_stop_the_log(start, state, log):
    def broken(_kind, _what):
        raise RuntimeError("secret")

    writer = start(emit=broken)
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    assert writer.healthy
    assert says(state) == [1]
    assert log.heard("could not be passed on: RuntimeError") == 1
    assert log.heard("secret") == 0


def test_an_entry_that_cannot_be_made_is_missed_by_the_log_itself(start, state):
    writer = start()

    async def ask():
        with pytest.raises(AuditUnavailable):
            await writer.put_and_wait(lambda: {"kind": "act", "score": 0.5})

    asyncio.run(ask())
    writer.put(lambda: {}["secret"])
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    assert says(state) == ["entry-lost", "entry-lost", 1]
    assert (writer.counters.lost, writer.healthy) == (2, True)


def test_a_full_queue_refuses_counts_and_the_log_tells_how_many_it_lacks(start, state, gate, log):
    writer = start(gate, limits={"capacity": 10, "group": 1})
    gate.open.clear()
    writer.put(lambda: entry(0))
    assert gate.reached.wait(PATIENCE)
    assert [writer.put(lambda n=n: entry(n)) for n in range(1, 15)] == [True] * 10 + [False] * 4
    assert (writer.healthy, writer.ready) == (True, False)
    assert writer.counters.dropped == log.heard("is full") + 3 == 4
    gate.open.set()
    assert writer.flush(PATIENCE)
    assert numbers(state) == list(range(11))
    (told,) = [one.leaf for one in AuditStore(state).entries() if one.leaf["act"] == "entries-dropped"]
    assert told["facts"] == {"count": 4}


def test_large_entries_fill_the_queue_before_their_number_does(start, gate):
    writer = start(gate, limits={"capacity_bytes": 250_000, "group": 1})
    gate.open.clear()
    writer.put(lambda: entry(0))
    assert gate.reached.wait(PATIENCE)
    assert [writer.put(lambda: entry(1), 100_000) for _ in range(4)] == [True, True, True, False]


# -- writes that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pragma", "cause"),
    [("pragma max_page_count = 1", "the disk is full"), ("pragma query_only = on", "it is read-only")],
)
def test_a_write_that_fails_is_said_at_once_and_made_good_when_it_can_be(pragma, cause, start, state, log):
    trouble = Trouble(pragma)
    writer = start(trouble)
    writer.put(lambda: entry(0))
    assert writer.flush(PATIENCE)
    trouble.over.clear()
    other = sqlite3.connect(state / "audit.db", isolation_level=None)
    other.execute("begin immediate")  # makes it open the file anew, with the pragma

    async def ask(n):
        with pytest.raises(AuditUnavailable, match="not on disk"):
            await writer.put_and_wait(lambda: {**entry(n), "filler": "x" * 200_000})

    asyncio.run(ask(1))
    other.close()
    log.wait(f"cannot be written: {cause}; it is tried again")
    assert not writer.healthy
    assert not writer.ready
    asyncio.run(ask(2))
    assert writer.put(lambda: entry(3)), "there is room: what comes meanwhile is kept, too"
    trouble.over.set()
    log.wait("is written again")
    assert writer.flush(PATIENCE)
    assert writer.healthy
    assert numbers(state) == [0, 1, 2, 3]
    assert log.heard(cause) == 1
    assert found(state) == []


def test_who_waits_for_a_disk_that_hangs_is_refused_in_time(start, gate):
    writer = start(gate, limits={"longest_wait": 0.05})
    gate.open.clear()

    async def ask():
        with pytest.raises(AuditUnavailable):
            await writer.put_and_wait(lambda: entry(1))

    asyncio.run(ask())
    assert gate.reached.wait(PATIENCE)
    assert not writer.healthy, "nobody may count on a writer that has not come back for so long"
    gate.open.set()
    assert writer.flush(PATIENCE)
    assert writer.healthy


def test_a_file_that_another_program_locks_is_waited_for(start, state, log):
    writer = start()
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        writer.put(lambda: entry(1))
        log.wait("another program keeps it locked")
        assert not writer.healthy
        other.execute("rollback")
    log.wait("is written again")
    assert writer.flush(PATIENCE)
    assert says(state) == [1]


def test_a_commit_that_only_seemed_to_fail_is_not_done_twice(state, log):
    class Lying(sqlite3.Connection):
        lies = 0

        def execute(self, sql, *values):
            found = super().execute(sql, *values)
            if sql == "commit" and Lying.lies:
                Lying.lies -= 1
                raise sqlite3.OperationalError
            return found

    def connect(path, busy_timeout):
        with closing(schema.connect(path, busy_timeout)):
            made = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Lying)
            made.execute("pragma synchronous = full")
        return made

    writer = AuditWriter(state, clock=lambda: NOW, randomness=entropy, connect=connect)
    Lying.lies = 1
    writer.put(lambda: entry(1))
    log.wait("is written again")
    writer.put(lambda: entry(2))
    assert writer.close(PATIENCE)
    assert says(state) == [1, 2]
    assert found(state) == []


def test_nothing_is_appended_to_what_somebody_has_changed(start, state, log):
    writer = start()
    for n in range(5):
        writer.put(lambda n=n: entry(n))
    assert writer.flush(PATIENCE)
    with opened(state) as connection:
        connection.execute("delete from entries where seq = 5")
    writer.put(lambda: entry(5))
    log.wait("contradicts itself: it has entries up to 4 and was written up to 5")
    assert not writer.healthy
    (state / "audit.db").rename(state / "changed.db")
    log.wait("is written again")
    assert writer.flush(PATIENCE)
    assert says(state) == ["log-began-anew", 5]


# -- another file -----------------------------------------------------------------------------------------------------


def test_a_log_that_is_removed_begins_anew_and_says_so(start, state, log):
    told = []
    writer = start(every=1, emit=lambda _, what: told.append(what))
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    (point,) = AuditStore(state).checkpoints()
    (state / "audit.db").unlink()
    writer.put(lambda: entry(2))
    assert writer.flush(PATIENCE)
    assert says(state) == ["log-began-anew", 2]
    (alarm, _) = AuditStore(state).entries()
    assert alarm.leaf["facts"]["entries"] == 1
    assert alarm.leaf in told
    assert log.heard("was removed or replaced") == 1
    assert found(state) == []
    assert found(state, given=[point.note]) == [("checkpoints-removed", 1, 1), ("rewritten", 1, 1)]


def test_a_log_that_is_set_back_says_so(start, state, log):
    writer = start()
    for n in range(2):
        writer.put(lambda n=n: entry(n))
        assert writer.flush(PATIENCE)
        if n == 0:
            with (
                closing(sqlite3.connect(state / "audit.db")) as source,
                closing(sqlite3.connect(state / "old")) as copy,
            ):
                source.backup(copy)
    (state / "old").replace(state / "audit.db")
    writer.put(lambda: entry(2))
    assert writer.flush(PATIENCE)
    assert says(state) == [0, "log-set-back", 2]
    log.wait("is not the one that was there: log-set-back")


def test_a_copy_that_holds_everything_is_no_alarm(start, state):
    writer = start()
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    backup(state / "audit.db", state / "same")
    (state / "same").replace(state / "audit.db")
    writer.put(lambda: entry(2))
    assert writer.flush(PATIENCE)
    assert says(state) == [1, 2]


@pytest.mark.parametrize("gone", ["removed", "set back"])
def test_what_was_done_while_nobody_ran_is_said_at_the_next_start(gone, start, state):
    build(state, 5, every=5)
    shutil.copy(state / "audit.db", state / "old.db")
    build(state, 3)
    (state / "audit.db").unlink()
    if gone == "removed":
        start().close(PATIENCE)
        assert says(state) == ["log-began-anew"]
    else:
        (state / "old.db").rename(state / "audit.db")
        start().close(PATIENCE)
        assert says(state)[5:] == ["log-set-back"]
    assert found(state) == []


def test_a_removed_folder_is_made_again_with_the_same_key(start, state):
    writer = start()
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    key = (state / "keys" / "audit.key").read_bytes()
    shutil.rmtree(state)
    writer.put(lambda: entry(2))
    assert writer.flush(PATIENCE)
    assert (state / "keys" / "audit.key").read_bytes() == key
    assert says(state) == ["log-began-anew", 2]


# -- the start and the end --------------------------------------------------------------------------------------------


def notes(path):
    path.parent.mkdir()
    path.write_text("these are notes, and no database at all\n" * 50)
    (path.parent / "keys").mkdir(mode=0o700)
    build(path.parent.parent / "other", 0)
    shutil.copytree(path.parent.parent / "other" / "keys", path.parent / "keys", dirs_exist_ok=True)


def without_key(path):
    build(path.parent, 1)
    (path.parent / "keys" / "audit.key").unlink()


def with_a_key_that_others_may_read(path):
    build(path.parent, 1)
    (path.parent / "keys" / "audit.key").chmod(0o644)


def of_another_key(path):
    build(path.parent, 1)
    build(path.parent.parent / "other", 1)
    for name in ("audit.key", "audit.pub"):
        shutil.copy(path.parent.parent / "other" / "keys" / name, path.parent / "keys" / name)


def with_a_garbled_key(path):
    build(path.parent, 1)
    (path.parent / "keys" / "audit.key").write_text("PRIVATE+KEY+x+00000000+AAAA")


def with_another_public_key(path):
    of_another_key(path)
    (path.parent / "audit.db").unlink()
    build(path.parent.parent / "third", 1)
    shutil.copy(path.parent.parent / "third" / "keys" / "audit.pub", path.parent / "keys" / "audit.pub")


def altered(path):
    build(path.parent, 7, every=5)
    with opened(path.parent) as connection:
        connection.execute("delete from checkpoints where size = 7")
        connection.execute("update entries set body = body || ' ' where seq = 6")


def forged_checkpoint(path):
    build(path.parent, 7, every=5)
    with opened(path.parent) as connection:
        connection.execute("update checkpoints set note = (select note from checkpoints where size = 5)")


def of_a_later_version(path):
    build(path.parent, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('headgate-audit', 'm999', '')"
        )


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (notes, "it is not a SQLite database"),
        (without_key, "is missing, which signs the log that is there"),
        (with_a_key_that_others_may_read, "others may read or replace the key"),
        (with_a_garbled_key, "is not a key of an audit log"),
        (with_another_public_key, "is not of the key beside it"),
        (of_another_key, "is another log's"),
        (altered, "contradicts itself: entry 6 is altered"),
        (forged_checkpoint, "contradicts itself: its last checkpoint is not what was signed"),
        (of_a_later_version, "was written by a newer Headgate"),
    ],
)
def test_a_log_that_may_not_be_appended_to_is_one_clear_line_at_the_start(arrange, message, start, state):
    arrange(state / "audit.db")
    before = (state / "audit.db").read_bytes() if (state / "audit.db").exists() else None
    with pytest.raises(HeadgateError, match=message) as raised:
        start()
    assert "\n" not in str(raised.value)
    if before:
        assert (state / "audit.db").read_bytes() == before
    with pytest.raises(HeadgateError, match=message):
        record_act(state, "tested", by="ana", now=NOW, randomness=entropy)


def test_an_origin_is_given_once(start, state):
    start(origin="audit.corp.example/edge").put(lambda: entry(1))
    assert load_verifier(state).name == "audit.corp.example/edge"
    start(origin="audit.corp.example/edge")
    with pytest.raises(HeadgateError, match="has another origin"):
        start(origin="audit.corp.example/other")
    with pytest.raises(HeadgateError, match="no spaces"):
        start(folder=state / "new", origin="with space")


def test_only_the_owner_may_read_what_is_made(start, state):
    writer = start(every=1)
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (state, *state.rglob("*"))}
    assert modes.pop("state") == modes.pop("keys") == "0o700"
    assert set(modes) == {"audit.db", "audit.db-wal", "audit.db-shm", "audit.key", "audit.pub", "audit.last"}
    assert set(modes.values()) == {"0o600"}


def test_the_key_is_shown_by_nothing(start, state):
    writer = start()
    secret = (state / "keys" / "audit.key").read_text().strip().rpartition("+")[2]
    assert secret not in repr(writer.key)
    assert writer.digest(b"a") != writer.digest(b"b")
    assert writer.digest(b"a") == writer.digest(b"a")


def test_close_gives_up_on_a_file_that_cannot_be_written_and_says_how_much_is_lost(start, state, log):
    writer = start(limits={"group": 2})
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        for n in range(5):
            writer.put(lambda n=n: entry(n))
        log.wait("another program keeps it locked")
        assert not writer.close(PATIENCE)
    assert log.heard("ended with 5 entries unwritten") == 1
    assert not writer.put(lambda: entry(9))


def test_a_writer_whose_thread_has_died_is_not_healthy_and_takes_nothing(start, monkeypatch):
    def defect():
        raise MemoryError

    writer = start()
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    writer.put(defect)
    assert not writer.close(PATIENCE)
    assert not writer.healthy
    assert not writer.put(lambda: entry(1))


# -- several processes ------------------------------------------------------------------------------------------------

APPEND = """
import asyncio, os, sys
from pathlib import Path
from headgate.audit import acts, schema
from headgate.audit.acts import record_act
from headgate.audit.writer import AuditWriter
from tests.audit.logs import NOW, entry

state, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

async def main():
    writer = AuditWriter(state, clock=lambda: NOW, randomness=os.urandom, every=7, seconds=0.05)
    print("ready", flush=True)
    n = 0
    while n < count:
        numbers = [n, n + 1, n + 2]
        seqs = await asyncio.gather(*(writer.put_and_wait(lambda n=n: {**entry(n), "by": name}) for n in numbers))
        for seq, number in zip(seqs, numbers):
            print(seq, number, flush=True)
        n += 3
    writer.close(20)

asyncio.run(main())
"""


def appending(state, name, count):
    command = [sys.executable, "-c", APPEND, str(state), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent.parent)


def test_several_processes_and_commands_append_to_one_log(state):
    running = [appending(state, name, 60) for name in ("one", "other")]
    for n in range(5):
        record_act(state, "tested", by="command", now=NOW, randomness=entropy, n=n)
    for process in running:
        assert len(process.communicate(timeout=60)[0].split()) == 1 + 2 * 60
        assert process.returncode == 0
    report = verify(state)
    assert (report.findings, report.entries) == ((), 125)
    for name in ("one", "other"):
        assert [e.leaf["n"] for e in AuditStore(state).entries() if e.leaf["by"] == name] == list(range(60))


@pytest.mark.parametrize("after", range(12))
def test_nothing_that_was_acknowledged_is_missing_after_a_kill(after, state):
    """The moment differs by how many acknowledgements were read, and by what the writer is doing just then."""
    process = appending(state, "one", 10**6)
    acknowledged = {}
    assert process.stdout.readline() == "ready\n"
    for _ in range(3 * after + 1):
        seq, number = process.stdout.readline().split()
        acknowledged[int(seq)] = int(number)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=20)
    for line in rest.splitlines():
        if len(line.split()) == 2 and rest.endswith("\n"):
            seq, number = line.split()
            acknowledged[int(seq)] = int(number)
    entries = {entry.seq: entry.leaf["n"] for entry in AuditStore(state).entries()}
    assert {seq: entries.get(seq) for seq in acknowledged} == acknowledged
    assert verify(state).findings == ()
    assert record_act(state, "tested", by="ana", now=NOW, randomness=entropy) == len(entries) + 1
    assert verify(state).findings == ()


# -- commands ---------------------------------------------------------------------------------------------------------


def test_an_act_begins_a_log_where_there_is_none_and_is_covered_at_once(state):
    assert record_act(state, "flows-prune", by="ana", now=NOW, randomness=entropy, flows=12) == 1
    (only,) = AuditStore(state).entries()
    assert json.loads(only.body) == {
        "kind": "act", "time": "2027-01-15T08:00:00.000Z", "act": "flows-prune", "by": "ana", "facts": {"flows": 12},
    }  # fmt: skip
    report = verify(state)
    assert (report.ok, report.tail, report.checkpoints) == (True, None, 1)


def test_a_checkpoint_on_request_is_that_of_now(start, state):
    assert sign_checkpoint(state, now=NOW, randomness=entropy) is None
    writer = start()
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    note = sign_checkpoint(state, now=NOW, randomness=entropy)
    assert read(note, load_verifier(state)).size == 1
    assert sign_checkpoint(state, now=NOW, randomness=entropy) == note
    writer.put(lambda: entry(2))
    assert writer.close(PATIENCE)
    assert [point.size for point in AuditStore(state).checkpoints()] == [1, 2]


def test_an_act_that_cannot_be_recorded_is_an_error(state, monkeypatch):
    build(state, 1)
    monkeypatch.setattr(acts, "writing", partial(schema.writing, busy_timeout=0.01))
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(HeadgateError, match="another program keeps it locked"):
            record_act(state, "tested", by="ana", now=NOW, randomness=entropy)
