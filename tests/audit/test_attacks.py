"""What somebody does who may write to the state folder, and knows how the log is kept, but has no key.

A log of 23 entries has checkpoints of 5, 10, 15, 20 and 23 entries.
"""

import json
import os
import select
import shutil
import socket
import sqlite3
import threading
import tracemalloc
from contextlib import closing, suppress

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.logs import NOW, PATIENCE, build, entropy, entry, forged, found, opened, rehash

from headgate.audit.acts import record_act
from headgate.audit.appending import Contradiction
from headgate.audit.events import SILENT
from headgate.audit.leaf import LeafKind, act_leaf, canonical, outlined
from headgate.audit.lifecycle import start_leaf, stop_leaf
from headgate.audit.merkle import leaf_hash
from headgate.audit.pruning import prune_bodies
from headgate.audit.sinks import Event, UndeliveredError
from headgate.audit.sinks_webhook import Webhook
from headgate.audit.store import AuditStore
from headgate.audit.verify import PART, verify
from headgate.cli.main import main
from headgate.errors import HeadgateError
from headgate.masking.detection.detector import Detector
from headgate.masking.entities import ENTITIES
from headgate.masking.plan import LANGUAGE_MODEL, Leaf, Operator, Plan, Wanted
from headgate.model import BundleRef

COUNT = 23
HIGHEST = 2**63 - 1


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "state"
    build(folder, COUNT)
    return folder


@pytest.fixture
def state(original, tmp_path):
    return shutil.copytree(original, tmp_path / "state")


def headgate(state, *arguments):
    return CliRunner().invoke(main, ["audit", *arguments, "--state", str(state)])


def change(state, *statements):
    with opened(state) as connection:
        for statement in statements:
            connection.execute(statement)


COMMANDS = (
    ("verify",),
    ("tail", "--json"),
    ("tail", "--kind", "act"),
    ("export",),
    ("export", "--format", "ocsf"),
    ("checkpoint",),
    ("checkpoint", "--now"),
    ("prune", "--before", "2030-01-01"),
)


def endless(columns, first):
    return f"with recursive c({columns}) as (select {first} union all select * from c) select * from c"  # noqa: S608 - ours


# -- the file ---------------------------------------------------------------------------------------------------------


VIEWS = {
    "entries": endless("seq, body, leaf", "1, '{}', zeroblob(32)"),
    "checkpoints": endless("size, root, note, time, frontier", "1, x'', '', '', x''"),
    "tree": endless("id, size, frontier, checkpoints, origin", "1, 23, x'', 5, ''"),
    "_sqlite_migrations": endless("id, migration_set, name, applied_at", "1, 'headgate-audit', 'm001_log', ''"),
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_in_the_place_of_a_table_is_not_asked(name, arguments, state):
    """It would answer for ever."""
    change(state, f"alter table {name} rename to aside", f"create view {name} as {VIEWS[name]}")
    done = headgate(state, *arguments)
    assert (done.exit_code, f"its table `{name}` is not the one that Headgate made" in done.output) == (1, True)


@pytest.mark.parametrize(
    "statements",
    [
        ["drop table entries"],
        ["drop table tree"],
        ["drop table checkpoints"],
        ["drop table tree", "create table tree (id, size, frontier, checkpoints, origin)"],
        ["create index i on entries (leaf)"],
        ["alter table entries add column more text"],
        [
            "drop table entries",
            "create table entries (seq integer primary key, body text as (printf('%.*c', 999999, 'x')), leaf blob)",
        ],
    ],
)
def test_tables_of_another_kind_are_refused_in_one_line(statements, state):
    change(state, *statements)
    for arguments in COMMANDS:
        done = headgate(state, *arguments)
        assert (done.exit_code, done.output.count("\n")) == (1, 1), done.output
        assert "is not the one that Headgate made" in done.output


@pytest.mark.parametrize("name", ["audit.db-journal", "audit.db-wal", "audit.db-shm"])
def test_a_pipe_beside_the_file_keeps_nobody_waiting(name, state):
    (state / name).unlink(missing_ok=True)
    os.mkfifo(state / name)
    for arguments in COMMANDS:
        assert "is not a file: remove it" in headgate(state, *arguments).output
    with pytest.raises(HeadgateError, match="is not a file"):
        record_act(state, "tested", by="ana", now=NOW, randomness=entropy)


def test_an_emptied_file_is_called_that(state):
    (state / "audit.db").write_bytes(b"")
    assert "is empty" in headgate(state, "verify").output


def loosely(state, *statements):
    """Values that no table of the log accepts, as a hexadecimal editor puts them there."""
    with opened(state) as connection:
        connection.execute("pragma writable_schema = on")
        for strict, loose in ((") strict", ")"), ("not null", ""), ("= 32", "")):
            sql = "update sqlite_master set sql = replace(sql, ?, ?) where type = 'table'"
            connection.execute(f"{sql} and name in ('entries', 'checkpoints', 'tree')", [strict, loose])
    with opened(state) as connection:
        kept = schema_of(state.parent / "plain")
        for statement in statements:
            connection.execute(statement)
        connection.execute("pragma writable_schema = on")
        for name, text in kept.items():
            connection.execute("update sqlite_master set sql = ? where name = ?", [text, name])


def schema_of(folder):
    build(folder, 1)
    with opened(folder) as connection:
        return dict(connection.execute("select name, sql from sqlite_master where type = 'table'").fetchall())


@pytest.mark.parametrize(
    ("statement", "verdicts"),
    [
        ("update entries set body = 7 where seq = 4", [("altered", 4, 4)]),
        ("update entries set body = 1.5, leaf = 'text' where seq = 4", [("rewritten", 1, 5), ("altered", 4, 4)]),
        ("update entries set leaf = null where seq = 4", [("altered", 4, 4)]),
        ("update entries set leaf = null, body = null where seq = 22", [("rewritten", 21, 23), ("altered", 22, 22)]),
        ("update entries set body = cast(body as blob) where seq = 22", []),
        ("update tree set size = null", [("damaged", 0, 0)]),
        ("update tree set frontier = 5", [("damaged", 0, 0)]),
        ("update tree set checkpoints = 'many'", [("checkpoints-removed", 0, 0)]),
        ("update tree set origin = 9", [("checkpoint-forged", 0, 0)]),
        (
            "update checkpoints set note = 5, root = null, frontier = 1.5 where size = 23",
            [("checkpoint-forged", 23, 23)],
        ),
    ],
)
def test_values_of_wrong_types_are_findings_and_stop_whoever_appends(statement, verdicts, state):
    loosely(state, statement)
    assert found(state) == verdicts
    for arguments in COMMANDS[1:]:
        done = headgate(state, *arguments)
        assert isinstance(done.exception, SystemExit | None), repr(done.exception)


def test_a_number_as_large_as_can_be_is_read_past(state):
    body = forged(1)
    with opened(state) as connection:
        connection.execute("insert into entries values (?, ?, ?)", [HIGHEST, body, leaf_hash(body.encode())])
    assert found(state) == [("missing", COUNT + 1, HIGHEST - 1), ("rewritten", COUNT + 1, HIGHEST)]
    assert AuditStore(state).tail(2)[-1].seq == HIGHEST
    with opened(state) as connection:
        connection.execute("update entries set seq = ? where seq = ?", [-HIGHEST - 1, HIGHEST])
    assert AuditStore(state).tail(100)[0].seq == -HIGHEST - 1


def test_memory_does_not_grow_with_what_somebody_has_put_there(state):
    """Findings without end, and entries as long as they can be."""
    count, length = 3 * PART, 200_000
    many = "with recursive c(n) as (select ? union all select n + 1 from c where n < ?)"
    with opened(state) as connection:
        connection.execute(f"insert into checkpoints {many} select n, x'', '', '', x'' from c", [100, 20_100])  # noqa: S608 - ours
        long = "select n, printf('%.*c', ?, 'x'), zeroblob(32) from c"
        connection.execute(f"insert into entries {many} {long}", [COUNT + 1, COUNT + count, length])
    tracemalloc.start()
    try:
        report = verify(state)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(report.findings) == 100
    assert report.more > 20_000
    assert most < 2.5 * PART * length


def test_a_value_too_long_for_an_entry_is_not_read(state):
    change(state, "update entries set body = printf('%.*c', 3000000, 'x') where seq = 4")
    ((verdict, first, last),) = found(state)
    assert (verdict, first, last) == ("damaged", 1, COUNT)


# -- what a running writer signs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("removes", ["nothing", "checkpoints"])
def test_a_running_writer_signs_no_history_that_was_rewritten_behind_one_more_entry(removes, start, tmp_path, log):
    """The log is longer than the writer knew it, as if another process had appended; only then is nothing compared."""
    folder = tmp_path / "running"
    writer = start(folder=folder, every=5)
    for n in range(1, 9):
        writer.put(lambda n=n: entry(n))
    assert writer.flush(PATIENCE)
    with opened(folder) as connection:
        connection.execute("update entries set body = replace(body, 'tested', 'forged') where seq in (2, 7)")
        if removes == "checkpoints":
            connection.execute("delete from checkpoints")
        body = forged(9)
        connection.execute("insert into entries values (9, ?, ?)", [body, leaf_hash(body.encode())])
        rehash(connection)
    for n in range(10, 16):
        writer.put(lambda n=n: entry(n))
    log.wait("it had 8 entries, and these are not the same")
    assert not writer.healthy
    assert not writer.close(PATIENCE)
    with opened(folder) as connection:
        assert connection.execute("select max(size) from checkpoints").fetchone() in [(8,), (5,), (None,)]
        assert connection.execute("select count(*) from entries").fetchone() == (9,)


def test_entries_that_a_trigger_swallows_are_not_said_to_be_on_disk(start, tmp_path, log):
    folder = tmp_path / "running"
    writer = start(folder=folder)
    writer.put(lambda: entry(1))
    assert writer.flush(PATIENCE)
    with closing(sqlite3.connect(folder / "audit.db")) as other:
        other.execute("create trigger t before insert on entries begin select raise(ignore); end")
    writer.put(lambda: entry(2))
    log.wait("it does not take what is written to it")
    assert not writer.healthy
    with pytest.raises(Contradiction):
        record_act(folder, "tested", by="ana", now=NOW, randomness=entropy)


# -- what stands beside it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrange", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_remembered_checkpoint_that_cannot_be_read_is_a_finding(arrange, state):
    (state / "keys" / "audit.last").unlink()
    arrange(state / "keys" / "audit.last")
    assert found(state) == [("checkpoint-forged", 0, 0)]


def test_a_checkpoint_that_was_changed_is_not_handed_out_to_be_kept_elsewhere(state):
    change(state, "update checkpoints set note = 'headgate\x1b]0;owned\x07' where size = 23")
    done = headgate(state, "checkpoint")
    assert (done.exit_code, "\x1b" in done.output) == (1, False)
    assert "the last checkpoint does not count" in done.output


# -- what is shown ----------------------------------------------------------------------------------------------------


BODIES = {
    "a time that a terminal obeys": '{"kind":"act","time":"\\u001b[2J\\u202e","act":"\\u001b[31m","by":"\\r\\n"}',
    "no number": '{"kind":"outcome","time":"2027","decision_id":"a","status":NaN,"bytes":Infinity}',
    "a fraction": '{"kind":"outcome","bytes":1e999}',
    "too deep": '{"kind":"decision","request":' + '{"a":' * 5000 + "1" + "}" * 5001,
    "half a character": '{"kind":"act","act":"\\ud800","facts":{"\\udfff":1}}',
    "other shapes": '{"kind":["decision"],"request":[],"rules":{"a":1},"principal":7,"facts":3,"masks":1,"bundle":"b"}',
    "a decision of other shapes": '{"kind":"decision","decision_id":{},"rules":[[]],"refusal":[1],"time":{}}',
    "a time beyond all": '{"kind":"start","time":"9999-12-31T23:59:59.999-23:59","run":[1],"options":{}}',
    "not UTF-8": b'{"kind":"act","act":"\xff\xfe"}',
    "an object of nothing": "{}",
    "nothing": "",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_whatever_an_entry_says_is_shown_without_harm(body, state):
    data = body if isinstance(body, bytes) else body.encode()
    with opened(state) as connection:
        sql = "update entries set body = cast(? as text), leaf = ? where seq in (1, 23)"
        connection.execute(sql, [data, leaf_hash(data)])
        connection.execute("delete from checkpoints where size = 23")
    for arguments in COMMANDS[:5]:
        done = headgate(state, *arguments)
        assert isinstance(done.exception, SystemExit | None), repr(done.exception)
        assert not {"\x1b", "\u202e", "\r"} & set(done.stdout)
        if "--json" in arguments or arguments[0] == "export":
            for line in done.stdout.splitlines():
                json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    report = headgate(state, "verify", "--json")
    assert json.loads(report.stdout)["ok"] is False


# -- what verify looks into -------------------------------------------------------------------------------------------


def test_what_verify_looks_into_never_begins_like_what_it_only_hashes():
    bundle = BundleRef("demo", "1", "ab")
    start = start_leaf(NOW, run="r", version="1", mitmproxy="1", bundle=bundle, options={}, listeners=[])
    for leaf in (start, stop_leaf(NOW, run="r", counters={}), act_leaf("audit-prune", "ana", NOW, through=1)):
        assert not canonical(leaf).startswith(SILENT)
        assert leaf["kind"] in {LeafKind.START, LeafKind.STOP, LeafKind.ACT}


def test_entries_among_which_one_differs_are_looked_at_one_by_one(tmp_path):
    """One of each part of a page, where parts meet, and at the ends."""
    build(tmp_path, 3 * PART, every=1000)
    places = [1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART]
    with opened(tmp_path) as connection:
        for seq in places:
            connection.execute("update entries set body = body || ' ' where seq = ?", [seq])
    assert found(tmp_path) == [("altered", seq, seq) for seq in places]


def test_pruned_entries_verify_whatever_parts_they_fall_into(tmp_path):
    build(tmp_path, 2 * PART + 10, every=1000)
    by = {"by": "ana", "now": NOW, "randomness": entropy}
    assert prune_bodies(tmp_path, NOW + PART + 5, **by) == PART + 4
    report = verify(tmp_path)
    assert (report.findings, report.pruned) == ((), PART + 4)


# -- paths ------------------------------------------------------------------------------------------------------------

SHIPPED = Detector(
    Plan(detect=tuple(Wanted(name, Operator.REDACT, min_score=0.0) for name in sorted(set(ENTITIES) - LANGUAGE_MODEL)))
)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,24}", fullmatch=True))
def test_shipped_detection_finds_nothing_in_a_segment_that_an_outline_shows(segment):
    shown = outlined(segment)
    if shown == segment:
        ((*spans,),) = SHIPPED([Leaf(segment, "")])
        assert [span for span in spans if span.plausible] == []


@pytest.mark.parametrize("segment", ["AKIAIOSFODNN7EXAMPLE", "ABCDE1234F", "EMP-4711", "hunter2", "sk_live_4eC39Hq"])
def test_a_segment_that_may_be_a_key_or_a_number_of_a_person_is_not_shown(segment):
    assert segment not in outlined(f"/v1/{segment}/x")


# -- who is told ------------------------------------------------------------------------------------------------------


def again_and_again(client):
    while True:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def letter_by_letter(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nX-")
    while True:
        client.sendall(b"a")
        if select.select([client], [], [], 0.02)[0]:
            return


@pytest.mark.parametrize("answer", [again_and_again, letter_by_letter])
def test_a_receiver_that_never_finishes_its_answer_is_cut_off(answer):
    def serve():
        for _ in range(2):
            with suppress(OSError), listening.accept()[0] as client:
                client.recv(65536)
                answer(client)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        url = httpx.URL(f"http://127.0.0.1:{listening.getsockname()[1]}/in")
        hook = Webhook(url, b"k" * 16, lambda: NOW, longest=0.2)
        for _ in range(2):  # the next batch begins anew
            with pytest.raises(UndeliveredError, match="no answer"):
                hook.send([Event("act", "", b"{}")])
        hook.close()
