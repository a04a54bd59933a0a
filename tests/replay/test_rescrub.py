"""What older rules let into a capture is masked by new ones, in every row and every byte, and nothing else is."""

import dataclasses
import gzip
import json
import sqlite3
from contextlib import closing

import pytest

from headgate.bundle.load import load_bundle
from headgate.capture.backlog import Limits
from headgate.capture.entries import Filter
from headgate.capture.fulltext.store import search
from headgate.capture.fulltext.writer import Index
from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.spoken import Spoken
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.masking.detection.detector import Detector
from headgate.masking.plan import detect_nothing
from headgate.model import BundleRef, Decision, Effect, Kind, MaskCount, Principal, Target, ulid
from headgate.replay.decoding import decoded
from headgate.replay.rescrub import Rescrub
from headgate.replay.rescrub import run as running

NOW = 1_800_000_000.0
PATIENCE = 20.0
KEY = b"k" * 32
PLANTED = "planted@acme.com"
JSON = ((b"content-type", b"application/json"),)
OLD = BundleRef("test", "1.0.0", "ab" * 32)
ANA = Principal("ana", Kind.HUMAN, "dev", frozenset({"support"}), environments=frozenset({"prod"}))
FILES = {
    "bundle.yaml": "name: test\nversion: 2.0.0\n",
    "identity.yaml": "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n",
    "targets.yaml": "targets:\n  - {name: api, hosts: [api.internal], environment: prod}\nunknown: refuse\n",
    "policy.yaml": "rules:\n  - {id: all, effect: allow, match: {target: api}}\n",
}
EMAILS = "masks:\n  - {id: emails, match: {}, detect: [EMAIL_ADDRESS], as: {default: redact}}\n"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def bundle(tmp_path):
    """Rules with these masks."""

    def make(masking=EMAILS, name="rules", **files):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {**FILES, "masking.yaml": masking, **files}.items():
            (folder / file).write_text(text)
        return load_bundle(folder)

    return make


def flow(n=0, **changes):
    """A flow as rules without masks have recorded it, with a value in each of its places."""
    body = json.dumps({"n": n, "email": PLANTED}).encode()
    whole = Record(
        ulid(int((NOW + n) * 1000), n),
        f"{n:08x}-0000-4000-8000-000000000000",
        Mode.MASKED,
        NOW + n,
        NOW + n + 0.01,
        "127.0.0.1",
        Line(b"POST", "https", "api.internal", 443, f"/v1/users/{PLANTED}?mail={PLANTED}&page=1".encode(), b"HTTP/1.1"),
        ANA,
        (),
        OLD,
        Target("api", "prod"),
        Decision(Effect.ALLOW, "allowed"),
        None,
        200,
        Message((*JSON, (b"x-mail", PLANTED.encode())), body, len(body)),
        Message((*JSON, (b"x-mail", PLANTED.encode()), (b"etag", b'"1"')), body, len(body)),
        (MaskCount("/n", "field", "redact", 1),),
        {},
        None,
    )
    return dataclasses.replace(whole, **changes)


@pytest.fixture
def record(state):
    """Writes flows and messages, and ends."""

    def write(*records):
        writer = Writer(state, clock=lambda: NOW, randomness=lambda size: b"k" * size, limits=Limits(interval=0.001))
        for one in records:
            assert writer.put(one)
        assert writer.close(PATIENCE)

    return write


@pytest.fixture
def rescrub(state):
    """Masks by a bundle, to the end, and says what came of it."""

    def work(bundle, former=None, keys=lambda _: b"", **changes):
        made = Rescrub(
            state,
            bundle,
            KEY,
            former=lambda sha256: former if former and former.sha256 == sha256 else None,
            keys=keys,
            detectors=lambda plan: Detector(plan) if plan.detect else detect_nothing,
            clock=lambda: NOW + 1000,
            **changes,
        )
        for _ in made.run():
            pass
        made.finish()
        return made.outcome

    return work


def entries(state):
    return list(Store(state).walk())


def holding(state, text=b"planted"):
    """The files that hold it anywhere."""
    return [file.name for file in state.rglob("*") if file.is_file() and text in file.read_bytes()]


def contents(state):
    """All rows of all tables."""
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        return sorted(connection.iterdump())


# -- everywhere -------------------------------------------------------------------------------------------------------


def test_the_value_is_in_no_row_and_in_no_byte_of_any_file(state, record, rescrub, bundle):
    socket = flow(50, kind="websocket", status=101, response=Message())
    said = [
        Spoken(socket.decision_id, socket.flow_id, n, NOW, True, "text", f"I am {PLANTED}".encode(), 30) for n in (0, 1)
    ]
    record(*map(flow, range(40)), *said, socket)
    index = Index(state / "capture.db", decoded)
    index.establish()
    while index.advance():
        pass
    assert holding(state) == ["capture.db"]
    outcome = rescrub(bundle())
    assert (outcome.flows, outcome.changed, outcome.messages, outcome.lost) == (41, 41, 2, 0)
    assert holding(state) == []
    for entry in entries(state):
        assert entry.summary.path == "/v1/users/[EMAIL_ADDRESS]"
        assert entry.summary.query == "mail=[EMAIL_ADDRESS]&page=1"
        assert dict(entry.request.headers)["x-mail"] == "[EMAIL_ADDRESS]"
    first = entries(state)[0]
    assert json.loads(first.request.body) == {"n": 0, "email": "[EMAIL_ADDRESS]"}
    assert json.loads(first.response.body) == {"n": 0, "email": "[EMAIL_ADDRESS]"}
    assert first.response.size == len(first.response.body)
    assert "etag" not in dict(first.response.headers)
    assert {(m["location"], m["entity"], m["count"]) for m in first.masks} == {
        ("/n", "field", 1),
        ("/email", "EMAIL_ADDRESS", 1),
        ("header:x-mail", "EMAIL_ADDRESS", 1),
    }
    assert first.summary.masked == 3
    assert [message.body for message in Store(state).messages(socket.decision_id)] == [b"I am [EMAIL_ADDRESS]"] * 2


def test_the_index_finds_what_is_there_now(state, record, rescrub, bundle):
    record(flow(0), flow(1))
    index = Index(state / "capture.db", decoded)
    index.establish()
    index.advance()
    rescrub(bundle())
    path = state / "capture.db"
    assert search(path, "planted", Filter(), 9) == []
    assert len(search(path, "email_address", Filter(), 9)) == 2
    assert index.behind() == 0


def test_a_file_with_free_pages_and_a_long_history_holds_nothing_either(state, record, rescrub, bundle):
    """What was moved between pages, by a connection that does not overwrite, leaves copies where it was."""
    bodies = [json.dumps({"n": n, "text": "x" * (n * 37 % 900), "email": PLANTED}).encode() for n in range(300)]
    record(*(flow(n, response=Message(JSON, bodies[n], len(bodies[n]))) for n in range(300)))
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as connection:
        connection.execute("pragma secure_delete = off")
        connection.execute("delete from masks")
        connection.execute("delete from decisions where flow % 3 = 0")
        connection.execute("delete from flows where id % 3 = 0")
    assert rescrub(bundle()).changed == 200
    assert holding(state) == []


def test_no_body_is_left_that_nothing_refers_to_and_a_shared_one_is_kept_once(state, record, rescrub, bundle):
    body = json.dumps({"email": PLANTED}).encode()
    same = Message(JSON, body, len(body))
    record(*(flow(n, request=same, response=same) for n in range(5)))
    rescrub(bundle())
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        assert connection.execute("select count(*) from bodies").fetchone() == (1,)
        assert connection.execute("pragma foreign_key_check").fetchall() == []


# -- nothing else -----------------------------------------------------------------------------------------------------


def test_where_nothing_is_due_nothing_changes(state, record, rescrub, bundle):
    record(flow(0), flow(1))
    before = [dataclasses.replace(entry) for entry in entries(state)]
    outcome = rescrub(bundle("masks: []\n"))
    assert (outcome.flows, outcome.changed, outcome.skipped) == (2, 0, 2)
    assert entries(state) == before


def test_masks_are_due_as_they_were_to_that_caller_for_that_target(state, record, rescrub, bundle):
    masking = (
        "masks:\n  - {id: m, match: {principal: {groups: [billing]}}, detect: [EMAIL_ADDRESS], as: {default: redact}}\n"
    )
    other = dataclasses.replace(ANA, id="bo", groups=frozenset({"billing"}))
    record(flow(0), flow(1, principal=other))
    before = entries(state)
    assert rescrub(bundle(masking)).changed == 1
    after = entries(state)
    assert after[0] == before[0]
    assert b"planted" not in after[1].response.body


@pytest.mark.parametrize(
    "unknown",
    [{"principal": None}, {"line": Line(b"POST", "https", "elsewhere.example", 443, b"/", b"HTTP/1.1")}],
    ids=["caller", "target"],
)
def test_of_an_unknown_caller_or_target_everything_is_due(unknown, state, record, rescrub, bundle):
    masking = (
        "masks:\n  - {id: m, match: {principal: {groups: [billing]}}, detect: [EMAIL_ADDRESS], as: {default: redact}}\n"
    )
    record(flow(0, **unknown))
    assert rescrub(bundle(masking)).changed == 1
    assert holding(state) == []


def test_whom_a_mask_excepts_is_not_excepted_from_the_record(state, record, rescrub, bundle):
    masking = EMAILS.replace("}}", "}, except: {principal: {groups: [support]}}}")
    record(flow(0))
    assert rescrub(bundle(masking)).changed == 1
    assert holding(state) == []


def test_a_condition_on_what_was_masked_may_hold(state, record, rescrub, bundle):
    """The path that the mask is about may have been what is masked in the path."""
    masking = "masks:\n  - {id: m, match: {path: /v1/secret}, detect: [EMAIL_ADDRESS], as: {default: redact}}\n"
    record(
        flow(0, line=Line(b"POST", "https", "api.internal", 443, b"/v1/[PERSON]", b"HTTP/1.1")),
        flow(1, line=Line(b"POST", "https", "api.internal", 443, b"/v1/other", b"HTTP/1.1")),
    )
    rescrub(bundle(masking))
    first, second = entries(state)
    assert PLANTED.encode() not in first.response.body
    assert PLANTED.encode() in second.response.body


def test_what_is_masked_stays_masked(state, record, rescrub, bundle):
    """Rules that ask for less never bring anything back; nor does an old mark become something else."""
    masked = Message(
        (*JSON, (b"authorization", b"[redacted]")), b'{"ssn": "[REDACTED]", "email": "[EMAIL_ADDRESS]"}', 49
    )
    record(flow(0, request=masked, response=masked, line=Line(b"GET", "https", "api.internal", 443, b"/", b"HTTP/1.1")))
    before = entries(state)
    rescrub(
        bundle("masks:\n  - {id: m, match: {}, fields: ['$.ssn'], detect: [EMAIL_ADDRESS], as: {default: redact}}\n")
    )
    assert entries(state) == before


def test_metadata_has_its_path_masked_and_stays_metadata(state, record, rescrub, bundle):
    record(flow(0, mode=Mode.METADATA, request=Message(size=9), response=Message(size=9)))
    rescrub(bundle())
    (entry,) = entries(state)
    assert entry.summary.path == "/v1/users/[EMAIL_ADDRESS]"
    assert (entry.request.headers, entry.summary.query, entry.query_names) == (None, None, ["mail", "page"])
    assert holding(state) == []


# -- what cannot be masked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        Message(((b"content-type", b"image/png"),), b"\x89PNG planted", 12),
        Message((), b"planted, of no type", 19),
        Message(JSON, b'{"planted": ', 12),
        Message(JSON, b'{"email": "planted@', 4000),
        Message((*JSON, (b"content-encoding", b"br")), b"planted", 7),
    ],
    ids=["type", "no-type", "broken", "cut", "coding"],
)
def test_it_loses_its_body_rather_than_staying(response, state, record, rescrub, bundle):
    record(flow(0, response=response))
    outcome = rescrub(bundle())
    (entry,) = entries(state)
    assert outcome.lost == 1
    assert (entry.response.body, entry.response.size, entry.response.truncated) == (b"", response.size, True)
    assert holding(state) == []


def test_what_can_be_decoded_is_masked_and_kept_without_its_coding(state, record, rescrub, bundle):
    zipped = gzip.compress(json.dumps({"email": PLANTED}).encode())
    record(flow(0, response=Message((*JSON, (b"content-encoding", b"gzip")), zipped, len(zipped))))
    assert rescrub(bundle()).lost == 0
    (entry,) = entries(state)
    assert json.loads(entry.response.body) == {"email": "[EMAIL_ADDRESS]"}
    assert "content-encoding" not in dict(entry.response.headers)


def test_an_event_stream_is_masked_as_one(state, record, rescrub, bundle):
    events = f"data: one\n\ndata: {PLANTED}\n\n".encode()
    record(flow(0, response=Message(((b"content-type", b"text/event-stream"),), events, len(events))))
    assert rescrub(bundle()).lost == 0
    (entry,) = entries(state)
    assert entry.response.body == b"data: one\n\ndata: [EMAIL_ADDRESS]\n\n"


def spoken(record_, n, text, *, sent=True, kind="text"):
    return Spoken(record_.decision_id, record_.flow_id, n, NOW + n, sent, kind, text, len(text))


def test_a_value_that_is_split_over_messages_is_masked_in_all_of_them(state, record, rescrub, bundle):
    socket = flow(0, kind="websocket", status=101, response=Message())
    parts = [
        b'{"delta": "mail plan"}',
        b'{"delta": "ted@ac"}',
        b'{"delta": "me.com now"}',
        b'{"delta": " and so on"}',
    ]
    record(*(spoken(socket, n, part) for n, part in enumerate(parts)), socket)
    rescrub(bundle())
    said = b"".join(message.body for message in Store(state).messages(socket.decision_id))
    assert b"plan" not in said
    assert b"ted@" not in said


def test_messages_of_the_other_direction_and_lengths_stay(state, record, rescrub, bundle):
    socket = flow(0, kind="websocket", status=101, response=Message())
    record(
        spoken(socket, 0, f"I am {PLANTED}".encode()),
        spoken(socket, 1, b"hello", sent=False),
        spoken(socket, 2, b"[70000 bytes]"),
        spoken(socket, 3, b"\x00\x01", kind="binary"),
        socket,
    )
    assert rescrub(bundle()).lost == 1
    said = list(Store(state).messages(socket.decision_id))
    assert [message.body for message in said] == [b"I am [EMAIL_ADDRESS]", b"hello", b"[70000 bytes]", b""]
    assert [message.truncated for message in said] == [False, False, False, True]


def test_what_was_said_on_a_connection_that_was_never_recorded_is_masked_too(state, record, rescrub, bundle):
    socket = flow(0)
    record(spoken(socket, 0, f"I am {PLANTED}".encode()), flow(1))
    assert rescrub(bundle()).messages == 1
    assert holding(state) == []


# -- again, and half-way ----------------------------------------------------------------------------------------------

TOKENS = (
    "token_key: env:TOKENS\n"
    "masks:\n  - {id: m, match: {}, fields: ['$.email'], detect: [EMAIL_ADDRESS], as: {default: token}}\n"
)


def test_a_second_run_changes_nothing(state, record, rescrub, bundle):
    record(*map(flow, range(5)))
    rules = bundle(TOKENS)
    rescrub(rules, keys=lambda _: b"t" * 32)
    before = contents(state)
    outcome = rescrub(rules, keys=lambda _: b"t" * 32)
    assert (outcome.changed, outcome.skipped) == (0, 5)
    assert contents(state) == before


def test_what_was_recorded_under_these_rules_is_left_alone(state, record, rescrub, bundle):
    rules = bundle()
    record(flow(0, bundle=BundleRef(rules.name, rules.version, rules.sha256)))
    before = entries(state)
    assert rescrub(rules).skipped == 1
    assert entries(state) == before


def test_a_token_that_older_rules_made_is_not_made_into_another(state, record, rescrub, bundle):
    """It would no longer stand for the same value as those that are made from now on."""
    old = bundle(TOKENS, "old")
    new = bundle(TOKENS + "  - {id: more, match: {}, fields: ['$.name'], as: {default: redact}}\n", "new")
    message = Message(JSON, b'{"email": "vqzj@tkr.test", "name": "Ana"}', 41)
    record(flow(0, bundle=BundleRef(old.name, old.version, old.sha256), request=message, response=message))
    rescrub(new, former=old, keys=lambda _: b"t" * 32)
    (entry,) = entries(state)
    assert json.loads(entry.response.body) == {"email": "vqzj@tkr.test", "name": "[REDACTED]"}


def test_one_that_was_interrupted_is_run_again(state, record, rescrub, bundle, monkeypatch):
    record(*map(flow, range(10)))
    monkeypatch.setattr(running, "GROUP", 4)
    rules = bundle()
    real = running.RescrubWriter.write
    calls = []

    def fail(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise HeadgateError("the disk is full")
        return real(self, *args)

    monkeypatch.setattr(running.RescrubWriter, "write", fail)
    with pytest.raises(HeadgateError):
        rescrub(rules)
    assert [b"planted" in entry.response.body for entry in entries(state)] == [False] * 4 + [True] * 6
    outcome = rescrub(rules)
    assert (outcome.changed, outcome.skipped) == (6, 4)
    assert holding(state) == []


def test_a_file_that_could_not_be_written_anew_is_at_the_next_run(state, record, rescrub, bundle):
    record(*map(flow, range(10)))
    rules = bundle()
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from flows").fetchone()
        with pytest.raises(HeadgateError, match=r"somebody reads it|keeps it locked"):
            rescrub(rules)
        assert holding(state) != []
        reader.execute("rollback")
    assert rescrub(rules).changed == 0
    assert holding(state) == []


def test_a_record_that_changed_meanwhile_is_masked_as_it_is_now(state, record, rescrub, bundle, monkeypatch):
    """Another command has masked it by other rules: what that did is not undone."""
    record(flow(0))
    real = running.scrubbed
    others = []

    def late(entry, plan, detectors):
        if not others:
            others.append(1)
            with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
                connection.execute("update flows set path = '/v1/[PERSON]'")
        return real(entry, plan, detectors)

    monkeypatch.setattr(running, "scrubbed", late)
    outcome = rescrub(bundle())
    (entry,) = entries(state)
    assert (outcome.changed, outcome.unsettled) == (1, 0)
    assert entry.summary.path == "/v1/[PERSON]"
    assert holding(state) == []


def test_one_that_was_deleted_meanwhile_leaves_nothing(state, record, rescrub, bundle, monkeypatch):
    record(flow(0))
    real = running.scrubbed

    def late(*args):
        with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
            for table in ("masks", "decisions", "flows", "bodies"):
                connection.execute(f"delete from {table}")  # noqa: S608 - names from this line
        return real(*args)

    monkeypatch.setattr(running, "scrubbed", late)
    rescrub(bundle())
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        assert connection.execute("select count(*) from bodies").fetchone() == (0,)


def test_a_dry_run_counts_and_writes_nothing(state, record, rescrub, bundle):
    record(*map(flow, range(3)))
    before = contents(state)
    outcome = rescrub(bundle(), write=False)
    assert (outcome.flows, outcome.changed) == (3, 3)
    assert contents(state) == before


def test_sealed_originals_are_counted_and_stay(state, record, rescrub, bundle):
    record(flow(0))
    with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
        connection.execute("insert into originals (flow, data) values (1, x'00ff')")
    assert rescrub(bundle()).originals == 1
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        assert connection.execute("select data from originals").fetchone() == (b"\x00\xff",)


def test_words_that_an_interrupted_run_took_out_of_the_index_are_gone_after_the_next(state, record, rescrub, bundle):
    """Taking words out leaves them in the index until its pieces are merged, which the interrupted run never did."""
    record(*map(flow, range(200)))
    index = Index(state / "capture.db", decoded)
    index.establish()
    while index.advance(7):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.Rescrub, "finish", lambda _: None)
        rescrub(bundle())
    assert rescrub(bundle(name="again")).changed == 0
    assert holding(state) == []
    assert holding(state, b"lanted") == []  # of a word, the index keeps what the one before it has not


def test_a_member_named_by_a_value_is_not_told_as_the_place_of_a_mask(state, record, rescrub, bundle):
    masks = tuple(MaskCount(f"/{name}/iban", "field", "redact", 1) for name in (PLANTED, "a/b"))
    record(flow(masks=masks), flow(1, masks=masks, line=flow().line, request=Message(), response=None))
    rescrub(bundle())
    assert holding(state) == []
    places = {mask["location"] for mask in entries(state)[0].masks}
    assert {"/[EMAIL_ADDRESS]/iban", "/a/b/iban"} <= places
