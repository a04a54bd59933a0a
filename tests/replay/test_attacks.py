"""Recordings that somebody else has made, or made up, and what is asked of them: nothing runs away, nothing is obeyed,
and nothing that a mask hides gets into a file by another door."""

import gzip
import io
import json
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner
from mitmproxy.io import tnetstring
from mitmproxy.test import tflow
from tests.cli.recording import NOW, PATIENCE, Sent, write_capture
from tests.cli.test_flows_exchange import acts
from tests.e2e.planted import DETECTED, EMAIL, KEY, VALUES, found_in
from tests.e2e.proxy import write_rules

from headgate.capture.connection import Connection, Peer
from headgate.capture.record import Message, Mode
from headgate.capture.spoken import Spoken
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.cli.main import main
from headgate.model import Decision, Effect, MaskCount

ADDRESS, SECRET = VALUES[EMAIL], VALUES[KEY]
MASKS = json.dumps({"masks": [{"id": "all", "match": {}, "detect": list(DETECTED), "keys": True}]})
JSON = (b"content-type", b"application/json")
COMMANDS = "\x1b]0;owned\x07\x1b[2J\u202e\r"


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    return write_rules(tmp_path_factory.mktemp("rules") / "rules", masking=MASKS)


def headgate(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def contents(folder):
    """Every byte of every file, and every name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join([*(path.read_bytes() for path in files), *(path.name.encode() for path in files)])


# -- what older rules have let in, on its way into a file that is committed -------------------------------------------


def leaky():
    """Values in every place that a rule about bodies and headers does not come by."""
    body = json.dumps({ADDRESS: {"iban": "x"}}).encode()
    masks = (MaskCount(f"/{ADDRESS}/iban", "field", "redact", 1), MaskCount(f"/{SECRET}", "field", "redact", 1))
    query = f"/p/{SECRET}/{ADDRESS}?{ADDRESS.replace('@', '%40')}=1&{SECRET}=2"
    named = ((SECRET.encode(), b"1"), (b"Accept", ADDRESS.encode()), JSON)
    return [
        replace(Sent("POST", query).record(0), request=Message(named, body, len(body)), masks=masks),
        Sent(path=query, mode=Mode.METADATA).record(1),
        replace(Sent(SECRET).record(2), response=Message(((SECRET.encode(), b"1"), JSON), body, len(body))),
        replace(
            Sent("POST", "/v").record(3),
            decision=Decision(Effect.DENY, "not-as-described", violations=(f"/body/{ADDRESS}", f"/body/{SECRET}/n")),
        ),
    ]


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    writer = Writer(folder, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    records = leaky()
    for one in records:
        assert writer.put(one)
    assert writer.put(
        Spoken(records[0].decision_id, records[0].flow_id, 0, NOW, True, "text", ADDRESS.encode(), len(ADDRESS))
    )
    assert writer.flush(PATIENCE)
    writer.close(PATIENCE)
    return folder


def test_nothing_is_saved_that_these_rules_hide_in_whichever_column(state, rules, tmp_path):
    assert headgate("flows", "save", "day", "--into", tmp_path / "flows", "--state", state, "--rules", rules).stdout
    assert found_in(contents(state))
    assert not found_in(contents(tmp_path / "flows"))


def test_places_of_violations_name_no_member_that_may_be_a_value(state):
    (found,) = [entry.violations for entry in Store(state).walk() if entry.violations]
    assert found == ["/body/[redacted]", "/body/[redacted]/n"]


def test_what_is_looked_for_is_not_told_in_the_log(state, tmp_path):
    """It is a value, typed by whoever wants to know whether it is there, and the log keeps it for ever."""
    wanted = f"~b '{ADDRESS}' | (~m POST & !~u {SECRET})"
    headgate("flows", "export", "--format", "har", "-o", tmp_path / "x.har", "--filter", wanted, "--state", state)
    assert acts(state)[-1]["facts"]["filter"] == "(~b ... | (~m POST & !~u ...))"


def test_an_export_is_its_owners_alone_and_replaces_no_device(state, tmp_path):
    (tmp_path / "there").write_text("kept")
    (tmp_path / "x.har").symlink_to(tmp_path / "there")
    assert headgate("flows", "export", "--format", "har", "-o", tmp_path / "x.har", "--state", state).exit_code == 0
    assert stat.S_IMODE((tmp_path / "x.har").lstat().st_mode) == 0o600
    assert (tmp_path / "there").read_text() == "kept"
    os.mkfifo(tmp_path / "pipe")
    done = headgate("flows", "export", "--format", "har", "-o", tmp_path / "pipe", "--state", state)
    assert (done.exit_code, "is no file" in done.stderr, stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)) == (
        1,
        True,
        True,
    )


# -- files of somebody else -------------------------------------------------------------------------------------------


def flow_file(file, sent):
    """mitmproxy's file of one flow, with these facts of its request."""
    made = tflow.tflow(resp=True).get_state()
    made["request"] |= {"timestamp_start": 1.0, **sent}
    buffer = io.BytesIO()
    tnetstring.dump(made, buffer)
    file.write_bytes(buffer.getvalue())
    return file


BODY = json.dumps({"a": ADDRESS}).encode()
SENT = {
    "its method": {"method": SECRET.encode()},
    "its scheme": {"scheme": SECRET.encode()},
    "the user of its host": {"host": f"{SECRET}:x@h.example"},
    "its version": {"http_version": f"HTTP/{SECRET}".encode()},
    "the user of its target": {"path": f"http://me:{SECRET}@h/".encode()},
    "its authority": {"authority": f"me:{SECRET}@h".encode()},
    "a header's name": {"headers": ((SECRET.encode(), b"1"),)},
    "a trailer": {"trailers": ((b"X-A", SECRET.encode()),)},
    "a coded body": {"content": gzip.compress(BODY), "headers": (JSON, (b"content-encoding", b"gzip"))},
}


@pytest.mark.parametrize("place", SENT)
def test_no_part_of_an_imported_request_keeps_a_value(place, rules, tmp_path):
    file = flow_file(tmp_path / "x.flows", SENT[place])
    assert headgate("flows", "import", file, "--state", tmp_path / "s", "--rules", rules).stdout == "imported 1 flow\n"
    assert not found_in(contents(tmp_path / "s"))
    (entry,) = Store(tmp_path / "s").walk()
    assert not found_in(repr((entry.summary, entry.request)).encode())


def test_a_pipe_is_not_waited_for(rules, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = headgate("flows", "import", tmp_path / "pipe", "--state", tmp_path / "s", "--rules", rules)
    assert (done.exit_code, "is no file" in done.stderr) == (1, True)


def test_what_was_imported_with_tls_of_no_known_version_goes_out_again(tmp_path):
    facts = Connection(Peer("192.0.2.7", 1, "TLS"), None)
    record = replace(Sent().record(0), connection=facts)
    writer = Writer(tmp_path / "s", clock=lambda: NOW, randomness=lambda size: b"k" * size)
    assert writer.put(record)
    assert writer.flush(PATIENCE)
    writer.close(PATIENCE)
    assert headgate("flows", "export", "-o", tmp_path / "x.flows", "--state", tmp_path / "s").exit_code == 0


# -- a capture that was made up ---------------------------------------------------------------------------------------


def spoilt(state, table, column, value):
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as connection:
        connection.execute(f"update {table} set {column} = ?", [value])  # noqa: S608 - our own names
    return state


def is_shown_plainly(done):
    return not {"\x1b", "\x07", "\u202e", "\r"} & set(done.output)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("decisions", "effect", COMMANDS),
        ("decisions", "shadow_effect", COMMANDS),
        ("decisions", "rules", json.dumps([{"id": "a", "effect": COMMANDS, "file": "f", "line": 1}])),
        ("decisions", "rules", json.dumps(["a"])),
        ("decisions", "shadow", json.dumps([{"id": "a"}])),
    ],
    ids=["effect", "shadow effect", "a rule's effect", "no rule", "a rule without its place"],
)
def test_rules_that_nobody_has_recorded_are_damage_and_no_traceback(table, column, value, state, rules, tmp_path):
    spoilt(state, table, column, value)
    for words in (
        ("flows", "list", "--filter", "~all & ~b ."),
        ("flows", "impact", "--rules", rules),
        ("flows", "save", "x", "--into", tmp_path / "f", "--rules", rules),
        ("flows", "export", "--format", "raw"),
        ("flows", "replay", "--offline", "--rules", rules),
    ):
        done = headgate(*words, "--state", state)
        assert (done.exit_code, "damaged" in done.output, is_shown_plainly(done)) == (1, True, True), done.output


def test_what_a_terminal_would_obey_is_shown(tmp_path):
    folder = write_capture(tmp_path / "s", [Sent()])
    (entry,) = Store(folder).walk()
    spoilt(folder, "flows", "kind", "websocket")
    spoilt(folder, "principals", "session_id", None)
    spoilt(folder, "principals", "id", COMMANDS)
    spoilt(folder, "flows", "principal", COMMANDS)
    with closing(sqlite3.connect(folder / "capture.db", isolation_level=None)) as connection:
        columns = "decision, flow_id, n, time, from_client, kind, size, truncated"
        said = [entry.summary.decision_id, COMMANDS]
        connection.execute(f"insert into messages ({columns}) values (?, '', 0, 0, 1, ?, 1, 0)", said)  # noqa: S608
    shown = headgate("flows", "show", entry.summary.decision_id, "--state", folder)
    session = headgate("flows", "session", entry.summary.decision_id, "--state", folder)
    assert "\\x1b[2J" in shown.output
    assert "\\x1b[2J" in session.output
    assert is_shown_plainly(shown)
    assert is_shown_plainly(session)
