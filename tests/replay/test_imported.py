"""What comes in from other files is masked before it is written, was never decided, and comes in once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow
from tests.cli.recording import Sent, write_capture
from tests.replay.exchanged import FLOW, NOW, entry, message
from tests.replay.test_flowfile import written

from headgate.bundle.load import load_bundle
from headgate.capture.connection import Connection
from headgate.capture.record import Kind, Line
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.replay.foreign import Foreign, Part, Said
from headgate.replay.imported.importing import count, flows_of, take_in
from headgate.replay.imported.plans import budgeted, every_mask
from headgate.replay.imported.scrubbing import decision_id, imported
from headgate.replay.imported.writer import ImportWriter

MAIL = "ana.lovelace@corp-mail.com"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJlc2lnbmF0dXJl"
JSON = ((b"content-type", b"application/json"),)


@pytest.fixture(scope="module")
def plan():
    return every_mask(load_bundle(Path("rules")), b"")


def found(**changes):
    line = Line(b"POST", "https", "shop.internal", 443, f"/v1/{MAIL}?token=abc&q={MAIL}".encode(), b"HTTP/1.1")
    body = json.dumps({"email": MAIL, "password": "hunter2hunter2"}).encode()
    fields = (
        *JSON,
        (b"authorization", f"Bearer {TOKEN}".encode()),
        (b"x-forwarded-user", b"root"),
        (b"x-mail", MAIL.encode()),
    )
    request = Part(fields, body, len(body))
    answered = (*JSON, (b"set-cookie", b"sid=abcdefghijk"), (b"x-mail", MAIL.encode()))
    plain = Foreign(
        FLOW, Kind.HTTP, NOW, NOW + 1, line, request, 200, Part(answered, body, len(body)), connection=Connection()
    )
    return replace(plain, **changes)


def all_of(kept):
    record = kept.record
    parts = [record.line.target, record.request.body, repr(record.request.headers).encode()]
    if record.response:
        parts += [record.response.body, repr(record.response.headers).encode()]
    return b"\n".join([*parts, *(one.body or b"" for one in kept.spoken)])


SECRETS = (MAIL.encode(), TOKEN.encode(), b"hunter2", b"token=abc", b"sid=abcdefghijk", b"root")


def test_nothing_that_a_mask_or_hygiene_takes_off_comes_in(plan):
    kept = all_of(imported(found(), plan, budgeted()))
    assert not [secret for secret in SECRETS if secret in kept]
    assert b"[EMAIL_ADDRESS]" in kept


def test_credentials_go_without_any_mask_too():
    kept = all_of(imported(found(), None, budgeted()))
    assert [secret for secret in SECRETS if secret in kept] == [MAIL.encode()]


def test_nobody_has_decided_about_it(plan):
    record = imported(found(), plan, budgeted()).record
    assert (record.effect, record.reason, record.source) == ("deny", "imported", "import")
    assert (record.principal, record.bundle, record.refusal) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (((b"content-type", b"application/json"),), b'{"email": "' + MAIL.encode()),
        (((b"content-type", b"application/octet-stream"),), MAIL.encode()),
        (((b"content-type", b"application/json"), (b"content-encoding", b"zstd")), MAIL.encode()),
    ],
)
def test_what_cannot_be_masked_loses_its_body_and_says_how_long_it_was(plan, fields, body):
    part = Part(fields, body, len(body))
    record = imported(found(request=part, response=part), plan, budgeted()).record
    assert (record.request.body, record.response.body) == (b"", b"")
    assert (record.request.size, record.response.size) == (len(body), len(body))


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"GET", 101)])
def test_a_body_where_none_may_be_is_not_kept_unread(plan, method, status):
    line = replace(found().line, method=method)
    kept = imported(found(line=line, status=status, request=Part()), plan, budgeted())
    assert MAIL.encode() not in all_of(kept)


@pytest.mark.parametrize(
    "field",
    [(b"x\r\ny", b"1"), (b"x-y", b"a\x00b"), (b"Content-Type", b"x"), (b"x-original-url", b"/admin")],
)
def test_of_a_request_that_the_chain_would_not_take_the_outline_is_kept(plan, field):
    request = Part((*JSON, field), b'{"a": 1}', 8)
    record = imported(found(request=request), plan, budgeted()).record
    assert record.request.body == b""
    assert MAIL.encode() not in record.line.target


def test_pseudo_headers_of_archives_are_no_fault(plan):
    request = Part(((b":method", b"POST"), *JSON), b'{"a": 1}', 8)
    record = imported(found(request=request), plan, budgeted()).record
    assert (record.request.headers, record.request.body) == (JSON, b'{"a": 1}')


def test_messages_are_masked_though_a_value_is_split_over_two(plan):
    said = (
        Said(NOW, True, True, f'{{"mail": "{MAIL}"}}'.encode()),
        Said(NOW + 1, False, True, b'{"delta": "ana.lovelace@corp-"}'),
        Said(NOW + 2, False, True, b'{"delta": "mail.com is it"}'),
        Said(NOW + 3, True, False, MAIL.encode()),
    )
    socket = found(kind=Kind.WEBSOCKET, status=101, response=Part(), messages=said)
    kept = imported(socket, plan, budgeted())
    everything = b"".join(one.body or b"" for one in kept.spoken)
    assert b"corp-" not in everything
    assert MAIL.encode() not in everything
    assert [one.n for one in kept.spoken] == list(range(len(kept.spoken)))
    assert [one.body for one in kept.spoken if one.kind == "binary"] == [None]


def test_of_a_tcp_flow_the_sizes_are_kept_where_a_mask_is_due(plan):
    tcp = found(
        kind=Kind.TCP, status=None, response=None, request=Part(), messages=(Said(NOW, True, False, MAIL.encode()),)
    )
    kept = imported(tcp, plan, budgeted())
    assert [(one.body, one.size) for one in kept.spoken] == [(None, len(MAIL))]


# -- into the capture -------------------------------------------------------------------------------------------------


def take(path, state, plan):
    with ImportWriter(state, lambda size: b"k" * size) as writer:
        return take_in(path, writer, plan, lambda _: None)


def saved(tmp_path, *entries, messages=()):
    path = tmp_path / "some.flows"
    path.write_bytes(written(*entries, messages=messages))
    return path


def ids(number):
    return [f"{n:08x}-0000-4000-8000-000000000000" for n in range(number)]


def many(number):
    return [entry(summary={"flow_id": name, "time": NOW + n}) for n, name in enumerate(ids(number))]


def test_a_flow_comes_in_once_however_often_it_is_tried(tmp_path, plan):
    path = saved(tmp_path, *many(3), *many(3))
    assert take(path, tmp_path / "s", plan)[:2] == (3, 3)
    assert take(path, tmp_path / "s", plan)[:2] == (0, 6)
    assert sorted(one.summary.flow_id for one in Store(tmp_path / "s").walk()) == ids(3)


def test_what_is_listed_of_it_says_that_nobody_decided(tmp_path, plan):
    take(saved(tmp_path, entry()), tmp_path / "s", plan)
    (one,) = Store(tmp_path / "s").walk()
    assert (one.summary.effect, one.summary.reason, one.summary.mode) == ("deny", "imported", "imported")
    assert (one.summary.principal, one.source, one.summary.verdict) == (None, "import", one.summary.verdict)
    assert one.summary.verdict not in ("allowed", "observed")


SAID = [b'{"n": 1}', b'{"n": 2}']


def test_messages_come_in_with_their_flow(tmp_path, plan):
    path = saved(
        tmp_path,
        entry(kind="websocket", summary={"status": 101}),
        messages=[message(n, body) for n, body in enumerate(SAID)],
    )
    take(path, tmp_path / "s", plan)
    (one,) = Store(tmp_path / "s").walk()
    assert [said.body for said in Store(tmp_path / "s").messages(one.summary.decision_id)] == SAID


def test_it_works_while_a_proxy_writes(tmp_path, plan):
    """Both write to one file, in turns; neither takes the other's numbers."""
    state = write_capture(tmp_path / "s", [Sent()])
    running = Writer(state, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    for number in range(5, 9):
        assert running.put(Sent().record(number))
        take(saved(tmp_path, *many(5)[1:]), state, plan)
    assert running.flush(20)
    assert running.close(20)
    assert len(list(Store(state).walk())) == 1 + 4 + 4


def test_an_import_that_stopped_goes_on_where_it_was(tmp_path, plan, monkeypatch):
    path = saved(tmp_path, *many(5))
    monkeypatch.setattr("headgate.replay.imported.importing.GROUP", 2)
    writes = []
    real = ImportWriter.write

    def failing(self, group):
        writes.append(group)
        if len(writes) == 2:
            raise HeadgateError("the disk is full")
        return real(self, group)

    monkeypatch.setattr(ImportWriter, "write", failing)
    with pytest.raises(HeadgateError, match="the disk is full"):
        take(path, tmp_path / "s", plan)
    assert len(list(Store(tmp_path / "s").walk())) == 2
    assert take(path, tmp_path / "s", plan) == (3, 2, 0)


def test_a_capture_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "capture.db").write_bytes(b"no database, but long enough to be looked at" * 30)
    with pytest.raises(HeadgateError, match="it is not a SQLite database"):
        ImportWriter(tmp_path, lambda size: b"k" * size)


def test_the_id_of_a_decision_goes_by_time_and_flow():
    one, later = found(), found(started=NOW + 5)
    assert decision_id(one) == decision_id(found())
    assert decision_id(one) < decision_id(later)
    assert decision_id(one) != decision_id(found(flow_id="0" * 8))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty; accepted: a file that mitmproxy wrote"), (b"\x00\x01", "holds no flows; accepted: a file that")],
)
def test_other_files_are_refused_with_what_is_accepted(tmp_path, content, says):
    (path := tmp_path / "x").write_bytes(content)
    with pytest.raises(HeadgateError, match=says):
        list(flows_of(path))


def test_files_of_mitmproxys_own_making_come_in(tmp_path, plan):
    path = tmp_path / "theirs"
    with path.open("wb") as file:
        for flow in (
            tflow.tflow(resp=True),
            tflow.tflow(ws=True),
            tflow.ttcpflow(),
            tflow.tudpflow(),
            tflow.tflow(err=True),
        ):
            FlowWriter(file).add(flow)
    assert count(path) == 5
    assert take(path, tmp_path / "s", plan) == (4, 0, 1)
