"""`headgate flows prune`, `index` and `rescrub`: what they say, what they leave, and that it is on record."""

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.cli.recording import NOW, PATIENCE, Sent

import headgate.audit.acts
from headgate.capture.entries import Filter
from headgate.capture.fulltext.store import search
from headgate.capture.record import Message
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.cli.flows_keep import bring_up_to_date, index_flows, prune_flows
from headgate.cli.flows_rescrub import rescrub_flows
from headgate.cli.main import Headgate
from headgate.errors import HeadgateError

FILES = {
    "bundle.yaml": "name: test\nversion: 2.0.0\n",
    "identity.yaml": "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev]}\n",
    "targets.yaml": "targets:\n  - {name: api, hosts: [api.internal], environment: prod}\nunknown: refuse\n",
    "policy.yaml": "rules:\n  - {id: all, effect: allow, match: {target: api}}\n",
    "masking.yaml": "masks:\n  - {id: emails, match: {}, detect: [EMAIL_ADDRESS], as: {default: redact}}\n",
}
PLANTED = "planted@acme.com"


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Twenty flows, the first of which are twenty days old, each with a body of 20 kB; the clock stands still."""
    folder = tmp_path / "state"
    writer = Writer(folder, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    for n in range(20):
        sent = Sent(path=f"/v1/mails/{PLANTED}").record(n * 86400)
        body = hashlib.shake_128(b"%d" % n).digest(20_000)
        kept = Message(((b"content-type", b"image/png"),), body, len(body))
        assert writer.put(replace(sent, response=kept))
    assert writer.close(PATIENCE)
    monkeypatch.setattr("headgate.cli.flows_keep.time.time", lambda: NOW + 20 * 86400)
    return folder


@pytest.fixture
def rules(tmp_path):
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def acts(monkeypatch):
    """What went into the audit log."""
    found = []

    def record_act(state, what, *, by, now, randomness, **facts):
        assert by
        assert len(randomness(8)) == 8
        found.append((state, now, what, facts))

    monkeypatch.setattr(headgate.audit.acts, "record_act", record_act)
    return found


def run(command, state, *arguments, fails=0):
    group = Headgate(commands={command.name: command}, lazy={})
    result = CliRunner().invoke(group, [command.name, "--state", str(state), *map(str, arguments)])
    assert result.exit_code == fails, result.output
    return result


def count(state):
    return len(Store(state).summaries(Filter(), 100))


# -- prune ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("acts")
def test_prune_by_age_says_what_went_and_how_large_the_file_is(state):
    result = run(prune_flows, state, "--older-than", "5d")
    assert result.output.startswith("deleted 15 flows and 0 messages: ")
    assert " kB to " in result.output
    assert count(state) == 5


@pytest.mark.usefixtures("acts")
def test_prune_by_size_keeps_the_newest(state):
    found = json.loads(run(prune_flows, state, "--larger-than", "400kB", "--json").output)
    assert found["bytes_after"] <= 400_000 < found["bytes_before"]
    assert (state / "capture.db").stat().st_size == found["bytes_after"]
    newest = Store(state).summaries(Filter(), 1)[0]
    assert newest.time == NOW + 19 * 86400
    assert 0 < count(state) == 20 - found["flows"]


def test_prune_is_on_record_before_and_after(state, acts):
    run(prune_flows, state, "--older-than", "5d")
    assert [(where, what) for where, _, what, _ in acts] == [(state, "prune"), (state, "pruned")]
    assert acts[0][3] == {"older_than": "5d", "larger_than": ""}
    assert acts[1][3] == {"flows": 15, "messages": 0, "bodies": 15}


def test_what_cannot_go_on_record_is_not_done(state, rules, monkeypatch):
    def fail(*_args, **_facts):
        raise HeadgateError("the audit log cannot be written")

    monkeypatch.setattr(headgate.audit.acts, "record_act", fail)
    before = (state / "capture.db").read_bytes()
    for command, arguments in ((prune_flows, ("--older-than", "5d")), (rescrub_flows, ("--rules", rules))):
        assert "the audit log cannot be written" in run(command, state, *arguments, fails=1).output
    assert (state / "capture.db").read_bytes() == before


def test_the_audit_log_takes_these_acts(state, rules):
    run(prune_flows, state, "--older-than", "5d")
    run(rescrub_flows, state, "--rules", rules)
    with closing(sqlite3.connect(state / "audit.db")) as connection:
        said = [json.loads(body)["act"] for (body,) in connection.execute("select body from entries order by seq")]
    assert said == ["prune", "pruned", "rescrub", "rescrubbed"]


def test_a_dry_run_says_what_is_due_and_does_nothing(state, acts):
    before = (state / "capture.db").read_bytes()
    assert run(prune_flows, state, "--older-than", "5d", "--dry-run").output.startswith(
        "about 15 flows would be deleted"
    )
    found = json.loads(run(prune_flows, state, "--larger-than", "400kB", "--dry-run", "--json").output)
    assert 0 < found["due"] < 20
    assert (state / "capture.db").read_bytes() == before
    assert acts == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to go by; accepted: --older-than AGE"),
        (("--older-than", "soon"), "`soon` is neither"),
        (("--older-than", "50GB"), "accepted: an age such as"),
        (("--larger-than", "30d"), "`30d` is not a size"),
        (("--older-than", "0d"), "would keep nothing"),
    ],
)
def test_wrong_usage_deletes_nothing(arguments, said, state):
    assert said in " ".join(run(prune_flows, state, *arguments, fails=2).output.split())
    assert count(state) == 20


def test_an_interrupted_prune_is_on_record_with_what_went(state, acts, monkeypatch):
    from headgate.capture.upkeep.writer import Pruner

    real, steps = Pruner.step, []

    def interrupted(self, retention, now, most=3):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return real(self, retention, now, most)

    monkeypatch.setattr(Pruner, "step", interrupted)
    run(prune_flows, state, "--older-than", "5d", fails=1)
    assert acts[-1][2:] == ("pruned", {"flows": 6, "messages": 0, "bodies": 6})


@pytest.mark.usefixtures("acts")
@pytest.mark.parametrize("command", [prune_flows, index_flows, rescrub_flows])
def test_there_has_to_be_a_capture(command, tmp_path, rules):
    arguments = {prune_flows: ("--older-than", "1d"), index_flows: (), rescrub_flows: ("--rules", rules)}[command]
    assert "there is no capture at" in run(command, tmp_path / "none", *arguments, fails=1).output
    assert not (tmp_path / "none").exists()


# -- index ------------------------------------------------------------------------------------------------------------


def test_index_makes_it_and_then_adds_to_it(state):
    assert run(index_flows, state).output == "made the index of 20 flows\n"
    assert json.loads(run(index_flows, state, "--json").output) == {"made": False, "added": 0}
    assert len(search(state / "capture.db", PLANTED, Filter(), 100)) == 20


def test_a_search_brings_it_up_to_date_and_makes_none(state):
    with pytest.raises(HeadgateError, match="has no index yet: `headgate flows index` makes it"):
        bring_up_to_date(state)
    run(index_flows, state)
    assert bring_up_to_date(state) == (False, 0)


# -- rescrub ----------------------------------------------------------------------------------------------------------


def holding(state):
    return [file.name for file in state.rglob("*") if file.is_file() and b"planted" in file.read_bytes()]


def test_rescrub_says_what_changed_and_leaves_nothing_of_it(state, rules, acts):
    result = run(rescrub_flows, state, "--rules", rules)
    assert result.output.splitlines() == [
        "changed 20 of 20 flows, 0 messages among them",
        "20 bodies cannot be masked and are gone",
    ]
    assert holding(state) == []
    (before, after) = acts
    assert before[2:] == ("rescrub", {"bundle": after[3]["bundle"]})
    assert after[2] == "rescrubbed"
    assert (after[3]["changed"], after[3]["lost"]) == (20, 20)
    assert all(isinstance(fact, str | int) for fact in after[3].values())


@pytest.mark.usefixtures("acts")
def test_a_second_rescrub_changes_nothing(state, rules):
    run(rescrub_flows, state, "--rules", rules)
    before = (state / "capture.db").read_bytes()
    found = json.loads(run(rescrub_flows, state, "--rules", rules, "--json").output)
    assert (found["changed"], found["skipped"], found["rewritten"]) == (0, 20, False)
    assert (state / "capture.db").read_bytes() == before


def test_a_dry_rescrub_writes_nothing_and_is_not_on_record(state, rules, acts):
    before = (state / "capture.db").read_bytes()
    result = run(rescrub_flows, state, "--rules", rules, "--dry-run")
    assert result.output.startswith("would change 20 of 20 flows")
    assert (state / "capture.db").read_bytes() == before
    assert acts == []


def test_rules_that_are_wrong_are_told_before_anything_is_done(state, rules, acts):
    (rules / "masking.yaml").write_text("masks: [{id: m, detect: [NOTHING]}]\n")
    assert "masking.yaml" in run(rescrub_flows, state, "--rules", rules, fails=1).output
    assert holding(state) == ["capture.db"]
    assert acts == []


def test_without_the_key_of_the_capture_nothing_is_done(state, rules, acts):
    (state / "keys" / "capture.key").unlink()
    assert "capture.key` is missing" in run(rescrub_flows, state, "--rules", rules, fails=1).output
    assert holding(state) == ["capture.db"]
    assert acts == []
    assert not (state / "keys" / "capture.key").exists()


def test_with_another_key_nothing_changes_and_it_says_so(state, rules, acts):
    (state / "keys" / "capture.key").write_text("ab" * 32)
    result = run(rescrub_flows, state, "--rules", rules, fails=1)
    assert "20 flows are not done" in result.output
    assert acts[-1][3]["changed"] == 0
    assert holding(state) == ["capture.db"]


def test_no_file_of_a_key_is_made_where_there_is_no_capture(tmp_path, rules):
    run(rescrub_flows, tmp_path / "none", "--rules", rules, fails=1)
    assert not Path(tmp_path / "none").exists()
