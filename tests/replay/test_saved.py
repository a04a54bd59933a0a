"""flows/NAME.db: masked once more, the same bytes for the same content, read like any capture."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.cli.recording import ANA, NOW, PATIENCE, Sent, by

from headgate.bundle.load import load_bundle
from headgate.capture.record import Kind, Message, Mode
from headgate.capture.spoken import Spoken
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.model import Decision, Effect, MaskCount, RuleRef
from headgate.replay.expectations import item_name, load
from headgate.replay.saved.saving import save
from headgate.replay.session import session_json, session_of

MAIL = "ana.lovelace@corp-mail.com"
JSON = ((b"content-type", b"application/json"),)
ALLOWED = Decision(Effect.ALLOW, "allowed", (RuleRef("reads", Effect.ALLOW, "p.yaml", 1),))
BOT = by("bot", "ops", session=replace(ANA.session, id="another"))


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(Path("rules"))


def records():
    """What older rules let into a capture: a mail address in each place."""
    body = json.dumps({"email": MAIL, "note": "x" * 600}).encode()
    first = Sent(
        "POST", f"/v1/customers/{MAIL}?mail={MAIL}", headers=(*JSON, (b"x-mail", MAIL.encode())), body=body
    ).record(0)
    answer = Message((*JSON, (b"x-mail", MAIL.encode())), body, len(body))
    masks = (MaskCount("/a", "EMAIL_ADDRESS", "redact", 2),)
    first = replace(first, decision=ALLOWED, response=answer, masks=masks, trace_id="ab" * 16, stage_us={"policy": 9})
    plain = replace(Sent(who=BOT).record(1), decision=ALLOWED, response=Message(JSON, b'{"n": 1}', 8))
    socket = replace(Sent(status=101).record(2), decision=ALLOWED, kind=Kind.WEBSOCKET)
    return [first, plain, socket, Sent(mode=Mode.METADATA, who=None).record(3), Sent(who=BOT).record(4)]


def capture(state, given=None, key=b"k", *, backwards=False):
    writer = Writer(state, clock=lambda: NOW, randomness=lambda size: key * size)
    made = records() if given is None else given
    for record in reversed(made) if backwards else made:
        assert writer.put(record)
    decision, flow = made[2].decision_id, made[2].flow_id
    said = f'{{"mail": "{MAIL}"}}'.encode()
    assert writer.put(Spoken(decision, flow, 0, NOW + 2.5, True, "text", said, len(said)))
    assert writer.flush(PATIENCE)
    writer.close(PATIENCE)
    return Store(state)


def saving(store, bundle, folder, name="day"):
    return save(store, store.walk(), bundle, folder, name)


def contents(path):
    return path.read_bytes()


def test_nothing_that_these_rules_hide_is_in_it(tmp_path, bundle):
    store = capture(tmp_path / "s")
    assert MAIL.encode() in b"".join(path.read_bytes() for path in (tmp_path / "s").glob("capture.db*"))
    saved = saving(store, bundle, tmp_path / "flows")
    for path in (saved.database, saved.expected):
        assert MAIL.encode() not in contents(path)
        assert b"lovelace" not in contents(path)
    assert saved.changed == 2
    assert saved.flows == 5


def test_a_store_opens_it_like_any_capture(tmp_path, bundle):
    saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    found = list(Store(tmp_path / "flows", "day.db").walk())
    assert [one.summary.time for one in found] == [NOW + n for n in range(5)]
    assert [one.summary.principal for one in found] == ["ana", "bot", "ana", None, "bot"]
    assert [one.mode for one in found] == ["masked"] * 3 + ["metadata", "masked"]
    assert found[0].summary.query == "mail=[EMAIL_ADDRESS]"
    assert found[0].masks == [{"location": "/a", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 2}]
    assert json.loads(found[0].response.body)["email"] == "[EMAIL_ADDRESS]"
    assert (found[1].response.body, found[3].request.headers) == (b'{"n": 1}', None)
    assert [said.body for said in Store(tmp_path / "flows", "day.db").messages(found[2].summary.decision_id)] == [
        b'{"mail": "[EMAIL_ADDRESS]"}'
    ]


def test_views_are_there_for_who_opens_it_with_sqlite(tmp_path, bundle):
    saved = saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    with closing(sqlite3.connect(f"file:{saved.database}?mode=ro", uri=True)) as connection:
        assert connection.execute("select count(*) from flows_readable").fetchone() == (5,)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        assert connection.execute("pragma foreign_key_check").fetchall() == []
        assert connection.execute("pragma journal_mode").fetchone() == ("delete",)


def test_reading_it_leaves_nothing_beside_it(tmp_path, bundle):
    saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    list(Store(tmp_path / "flows", "day.db").walk())
    assert sorted(path.name for path in (tmp_path / "flows").iterdir()) == ["day.db", "day.expected.yaml"]


# -- the same bytes ---------------------------------------------------------------------------------------------------


def test_the_same_content_gives_the_same_bytes_whatever_captured_it(tmp_path, bundle):
    """Another key, another order of writing, other ids, other durations, other ports, names of sessions, traces."""
    other = [
        replace(
            record,
            decision_id=record.decision_id[:-3] + "ZZ" + record.decision_id[-1],
            flow_id="ffffffff" + record.flow_id[8:],
            ended=record.started + 7,
            trace_id="cd" * 16,
            stage_us={"policy": 1234},
            principal=record.principal and replace(record.principal, expires_at=NOW + 5, session=renamed(record)),
        )
        for record in records()
    ]
    first = saving(capture(tmp_path / "a"), bundle, tmp_path / "one")
    second = saving(capture(tmp_path / "b", other, b"q", backwards=True), bundle, tmp_path / "two")
    assert contents(first.database) == contents(second.database)
    assert contents(first.expected).replace(b"one/", b"two/") == contents(second.expected)


def renamed(record):
    session = record.principal.session
    return replace(session, id=f"renamed-{session.id}")


SCRIPT = """
import sys
from pathlib import Path
from headgate.bundle.load import load_bundle
from headgate.capture.store import Store
from headgate.replay.saved.saving import save
store = Store(Path(sys.argv[1]))
save(store, store.walk(), load_bundle(Path("rules")), Path(sys.argv[2]), "day")
"""


def test_another_process_makes_the_same_bytes(tmp_path, bundle):
    """Whose sets are in another order."""
    store = capture(tmp_path / "s", [replace(one, principal=by(f"p{n}")) for n, one in enumerate(records())])
    made = contents(saving(store, bundle, tmp_path / "flows").database)
    for seed in ("1", "2"):
        path = os.pathsep.join(["addons", *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = [sys.executable, "-c", SCRIPT, str(tmp_path / "s"), str(tmp_path / seed)]
        subprocess.run(done, check=True, env=environment)
        assert contents(tmp_path / seed / "day.db") == made


def test_other_content_gives_other_bytes(tmp_path, bundle):
    first = saving(capture(tmp_path / "a"), bundle, tmp_path / "one")
    changed = [*records()[:4], replace(records()[4], status=404)]
    second = saving(capture(tmp_path / "b", changed), bundle, tmp_path / "two")
    assert contents(first.database) != contents(second.database)


def test_to_save_what_was_saved_changes_nothing(tmp_path, bundle):
    first = saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    again = saving(Store(tmp_path / "flows", "day.db"), bundle, tmp_path / "again")
    assert again.changed == 0
    assert contents(first.database) == contents(again.database)


def test_no_name_of_a_session_no_port_and_no_trace_is_kept(tmp_path, bundle):
    saved = saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    found = list(Store(tmp_path / "flows", "day.db").walk())
    assert [one.principal and one.principal["session_id"] for one in found] == [
        "session-1", "session-2", "session-1", None, "session-2"
    ]  # fmt: skip
    assert {(one.connection, one.trace_id, one.summary.ended) for one in found} == {(None, None, None)}
    assert found[0].source == "127.0.0.1"
    assert b"another" not in contents(saved.database)


# -- what is said of it -----------------------------------------------------------------------------------------------


def test_its_expectations_are_those_of_its_flows(tmp_path, bundle):
    saved = saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    names = {}
    for one in Store(tmp_path / "flows", "day.db").walk():
        names[item_name(one, names)] = one
    assert list(load(saved.expected).flows) == list(names)
    assert yaml.safe_load(contents(saved.expected))["flows"].keys() == names.keys()


def test_what_no_mask_is_due_for_and_detection_finds_is_named_by_place(tmp_path):
    bundle = load_bundle(unmasked(tmp_path / "rules"))
    saved = saving(capture(tmp_path / "s"), bundle, tmp_path / "flows")
    assert saved.found["response, /email: EMAIL_ADDRESS"] == 1
    assert {"path or query", "request headers", "request body", "messages"} <= saved.found.keys()
    assert not [place for place in saved.found if "lovelace" in place]


def unmasked(folder):
    folder.mkdir()
    for name in ("bundle.yaml", "identity.yaml", "targets.yaml", "policy.yaml"):
        text = (Path("rules") / name).read_text() if (Path("rules") / name).exists() else None
        if text is not None:
            (folder / name).write_text(text)
    for extra in Path("rules").iterdir():
        if extra.is_dir() and extra.name != "schema":
            (folder / extra.name).symlink_to(extra.resolve())
    (folder / "masking.yaml").write_text("masks: []\n")
    return folder


def test_nothing_is_written_where_nothing_matches(tmp_path, bundle):
    store = capture(tmp_path / "s")
    with pytest.raises(HeadgateError, match="no recorded flow matches"):
        save(store, iter(()), bundle, tmp_path / "flows", "day")
    assert not (tmp_path / "flows").exists()


def test_what_was_there_stays_when_it_cannot_be_replaced(tmp_path, bundle, monkeypatch):
    store = capture(tmp_path / "s")
    before = contents(saving(store, bundle, tmp_path / "flows").database)
    monkeypatch.setattr("headgate.replay.saved.saving._expected", lambda *_: (_ for _ in ()).throw(HeadgateError("no")))
    with pytest.raises(HeadgateError):
        save(store, list(store.walk())[:1], bundle, tmp_path / "flows", "day")
    assert contents(tmp_path / "flows" / "day.db") == before
    assert sorted(path.name for path in (tmp_path / "flows").iterdir()) == ["day.db", "day.expected.yaml"]


# -- one session ------------------------------------------------------------------------------------------------------


def test_a_session_is_told_from_its_first_request_to_its_last(tmp_path):
    found = session_of(capture(tmp_path / "s"), "s-1")
    assert [(step.after, step.pause) for step in found.steps] == [(0.0, 0.0), (2.0, 2.0)]
    assert session_json(found)["requests"] == 2
    assert found.masked == 2


@pytest.mark.parametrize("name", ["00000001", records()[4].decision_id])
def test_a_flow_or_a_decision_means_its_session(tmp_path, name):
    assert session_of(capture(tmp_path / "s"), name).id == "another"


def test_sessions_of_two_providers_are_not_mixed(tmp_path):
    other = by("eve", provider="other")
    given = [*records(), Sent(who=other).record(7)]
    store = capture(tmp_path / "s", given)
    with pytest.raises(HeadgateError, match="`dev`, `other`; accepted: --provider"):
        session_of(store, "s-1")
    assert [step.entry.summary.principal for step in session_of(store, "s-1", "other").steps] == ["eve"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("nobody-knows-it", "no session has the id"), ("00000003", "nobody knows who called there")],
)
def test_what_belongs_to_no_session_is_said_so(tmp_path, name, says):
    with pytest.raises(HeadgateError, match=says):
        session_of(capture(tmp_path / "s"), name)
