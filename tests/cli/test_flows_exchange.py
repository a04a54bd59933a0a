"""`headgate flows export`, `import`, `save` and `session`, as somebody types them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner
from mitmproxy.io import FlowReader
from tests.cli.recording import ANA, NOW, Sent, by, write_capture
from tests.replay.exchanged import entry
from tests.replay.test_flowfile import written

from headgate.capture.store import Store
from headgate.cli.flows_exchange import _Shown, export_flows, import_flows, save_flows
from headgate.cli.flows_session import show_session
from headgate.errors import HeadgateError

MAIL = "ana.lovelace@corp-mail.com"


@pytest.fixture
def state(tmp_path):
    late = by("ana", session=replace(ANA.session, id="s-2"))
    sent = [Sent(), Sent("POST", "/v1/refunds", body=b"x=1"), Sent(host="other.internal", who=late), Sent(who=None)]
    return write_capture(tmp_path / "state", sent)


def call(command, *args, state=None):
    given = [str(one) for one in args] + (["--state", str(state)] if state else [])
    return CliRunner().invoke(command, given)


def acts(state):
    with closing(sqlite3.connect(f"file:{state / 'audit.db'}?mode=ro", uri=True)) as connection:
        bodies = [json.loads(body) for (body,) in connection.execute("select body from entries")]
    return [body for body in bodies if body["kind"] == "act"]


def test_what_is_exported_opens_in_mitmproxy(state, tmp_path):
    done = call(export_flows, "-o", tmp_path / "x.flows", state=state)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "exported 4 flows\n")
    with (tmp_path / "x.flows").open("rb") as file:
        assert [flow.request.method for flow in FlowReader(file).stream()] == ["GET", "POST", "GET", "GET"]


def test_a_filter_chooses_and_so_do_ids(state):
    filtered = call(export_flows, "--format", "curl", "--filter", "~m POST", state=state)
    named = call(export_flows, "--format", "curl", "00000001", state=state)
    assert filtered.stdout == named.stdout
    assert filtered.stdout.startswith("curl -g --path-as-is ")


def test_an_archive_goes_to_standard_output(state):
    done = call(export_flows, "--format", "har", "--filter", "~d other", state=state)
    (one,) = json.loads(done.stdout)["log"]["entries"]
    assert one["request"]["url"] == "https://other.internal/v1/customers/42"


def test_an_export_is_on_record(state, tmp_path):
    call(export_flows, "--format", "har", "-o", tmp_path / "x.har", "--filter", "~m POST", state=state)
    (act,) = acts(state)
    assert act["act"] == "export"
    assert (act["facts"]["flows"], act["facts"]["format"], act["facts"]["filter"]) == (1, "har", "~m POST")


def test_an_export_of_nothing_leaves_no_file_and_what_was_there(state, tmp_path):
    (tmp_path / "x.flows").write_bytes(b"before")
    done = call(export_flows, "-o", tmp_path / "x.flows", "--filter", "~c 599", state=state)
    assert isinstance(done.exception, HeadgateError)
    assert (tmp_path / "x.flows").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "x.flows"]


def test_a_wrong_filter_is_told_before_anything_is_written(state, tmp_path):
    done = call(export_flows, "-o", tmp_path / "x.flows", "--filter", "~nope", state=state)
    assert "an unknown term at character 1" in str(done.exception)
    assert not (tmp_path / "x.flows").exists()


def test_ids_and_a_filter_are_wrong_usage(state):
    assert call(export_flows, "00000001", "--filter", "~all", state=state).exit_code == 2


def test_a_terminal_is_shown_what_it_would_else_obey():
    class Terminal:
        seen = b""

        def write(self, data):
            self.seen += data
            return len(data)

    terminal = Terminal()
    _Shown(terminal).write(b"HTTP/1.1 200 OK\r\n\x1b]0;owned\x07\xff\r\n")
    assert terminal.seen == b"HTTP/1.1 200 OK\n\\x1b]0;owned\\x07\\xff\n"


# -- import -----------------------------------------------------------------------------------------------------------


def foreign(tmp_path, *entries):
    path = tmp_path / "some.flows"
    path.write_bytes(written(*entries))
    return path


def test_an_import_says_what_came_in_and_is_on_record(tmp_path):
    path, state = foreign(tmp_path, entry()), tmp_path / "new"
    done = call(import_flows, path, "--json", state=state)
    assert json.loads(done.stdout) == {"imported": 1, "known": 0, "left_out": 0}
    assert call(import_flows, path, state=state).stdout == "imported 0 flows; 1 were there already\n"
    assert [act["facts"]["flows"] for act in acts(state)] == [1, 0]


def test_what_was_exported_is_known_where_it_came_from(state, tmp_path):
    for kind in ("mitmproxy", "har"):
        call(export_flows, "--format", kind, "-o", tmp_path / kind, state=state)
        assert call(import_flows, tmp_path / kind, state=state).stdout == "imported 0 flows; 4 were there already\n"


def test_of_a_damaged_file_nothing_comes_in(tmp_path):
    path = foreign(tmp_path, entry(), entry(summary={"flow_id": "0" * 8}))
    path.write_bytes(path.read_bytes()[:-5])
    done = call(import_flows, path, state=tmp_path / "new")
    assert str(done.exception) == "flow 2 of `some.flows` cannot be read: it ends in the middle of a flow"
    assert not (tmp_path / "new").exists()


def test_rules_that_cannot_be_read_let_nothing_in(tmp_path):
    done = call(import_flows, foreign(tmp_path, entry()), "--rules", tmp_path / "none", state=tmp_path / "new")
    assert isinstance(done.exception, HeadgateError)
    assert not (tmp_path / "new").exists()


def test_no_file_of_the_state_holds_what_came_in_unmasked(tmp_path):
    body = json.dumps({"email": MAIL, "password": "hunter2hunter2"}).encode()
    one = entry(request=replace(entry().request, body=body), summary={"path": f"/{MAIL}"})
    call(import_flows, foreign(tmp_path, one), state=tmp_path / "new")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert b"imported" in kept
    assert not [secret for secret in (b"lovelace", b"hunter2") if secret in kept]


# -- save -------------------------------------------------------------------------------------------------------------


def test_what_was_saved_is_said_and_what_to_read(state, tmp_path):
    done = call(save_flows, "day", "--into", tmp_path / "flows", state=state)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("saved 4 flows: ")
    assert "callers ana (human), unknown; addresses 127.0.0.1" in done.stdout
    assert lines[-1] == f"before you commit: read {tmp_path / 'flows' / 'day.expected.yaml'}"


def test_what_is_there_is_replaced_only_when_that_is_asked_for(state, tmp_path):
    into = ("--into", tmp_path / "flows")
    call(save_flows, "day", *into, state=state)
    before = (tmp_path / "flows" / "day.db").read_bytes()
    again = call(save_flows, "day", *into, "--filter", "~m POST", state=state)
    assert "is there already; accepted: --update" in str(again.exception)
    assert (tmp_path / "flows" / "day.db").read_bytes() == before
    done = call(save_flows, "day", *into, "--filter", "~m POST", "--update", "--json", state=state)
    assert json.loads(done.stdout)["flows"] == 1
    assert len(list(Store(tmp_path / "flows", "day.db").walk())) == 1


def test_too_many_flows_are_not_cut_in_silence(state, tmp_path):
    done = call(save_flows, "day", "--into", tmp_path / "flows", "--limit", 3, state=state)
    assert "more than 3 flows match" in str(done.exception)
    assert not (tmp_path / "flows").exists()


@pytest.mark.parametrize("name", ["../day", "day.db", "", "a b", ".hidden", "a" * 65])
def test_a_name_is_no_path(state, name):
    assert call(save_flows, name, state=state).exit_code == 2


# -- session ----------------------------------------------------------------------------------------------------------


def test_a_session_is_shown_in_order_with_times_from_its_first_request(state):
    done = call(show_session, "s-1", state=state)
    assert done.stdout.startswith("session s-1 of ana (human, by dev)\n")
    assert [line.split()[0] for line in done.stdout.splitlines()[5:]] == ["+0.0s", "+1.0s"]


def test_a_pause_is_shown(tmp_path):
    from headgate.capture.writer import Writer

    writer = Writer(tmp_path, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    for number in (0, 200):
        assert writer.put(Sent().record(number))
    assert writer.flush(20)
    writer.close(20)
    done = call(show_session, "s-1", state=tmp_path)
    assert "... 3m20s without a request ..." in done.stdout


def test_a_session_as_json(state):
    found = json.loads(call(show_session, "00000001", "--json", state=state).stdout)
    assert (found["session_id"], found["requests"], found["refused"]) == ("s-1", 2, 0)
    assert [step["after"] for step in found["steps"]] == [0.0, 1.0]
