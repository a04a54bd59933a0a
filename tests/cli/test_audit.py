"""`headgate audit`: what it proves in words, and that it never shows what it was told as more than text."""

import itertools
import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.audit.logs import NOW, build, entropy, opened

from headgate.audit.acts import record_act
from headgate.audit.leaf import LeafKind, event_leaf
from headgate.audit.store import AuditStore
from headgate.audit.writer import AuditWriter
from headgate.cli.audit import followed
from headgate.cli.main import main

PATIENCE = 20.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def run(state: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments), "--state", str(state)])


def append(state: Path, *leaves: dict) -> None:
    writer = AuditWriter(state, clock=lambda: NOW, randomness=entropy)
    for leaf in leaves:
        writer.put(lambda leaf=leaf: leaf)
    assert writer.close(PATIENCE)


DECISION = event_leaf(
    LeafKind.DECISION,
    NOW,
    decision_id="d1",
    principal={"id": "ana"},
    request={"method": "DELETE", "host": "api.internal", "path": "/v1/\x1b[31mred\x9b"},
    effect="deny",
    mode="enforce",
    rules=[{"id": "nobody-deletes"}],
    reason="denied-by-rule",
    refusal={"type": "denied", "reason": "denied-by-rule"},
)
OUTCOME = event_leaf(LeafKind.OUTCOME, NOW + 1, decision_id="d1", status=403, refusal=DECISION["refusal"], masks=[])


# -- verify -----------------------------------------------------------------------------------------------------------


def test_an_intact_log_is_said_to_be_one_and_what_is_not_proven_is_said_too(state: Path) -> None:
    build(state, 23)
    done = run(state, "verify")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("intact: the log `headgate.local/")
    assert "has 23 entries" in done.stdout
    assert "signed:     entries 1 to 23" in done.stdout
    assert "no checkpoint from elsewhere was given" in done.stdout


def test_a_checkpoint_that_was_kept_elsewhere_anchors_it(state: Path, tmp_path: Path) -> None:
    build(state, 23)
    kept = tmp_path / "kept.txt"
    kept.write_text(run(state, "checkpoint").stdout)
    (key := tmp_path / "key.pub").write_text((state / "keys" / "audit.pub").read_text())
    append(state, OUTCOME)
    done = run(state, "verify", "--checkpoint", kept, "--key", key)
    assert done.exit_code == 0, done.output
    assert "agrees with 1 checkpoints that were kept elsewhere" in done.stdout


def test_events_that_were_kept_anchor_it_as_well(state: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    build(state, 23, emit=lambda kind, what: notes.append(what) if kind == "checkpoint" else None)
    kept = tmp_path / "events.jsonl"
    kept.write_text("".join(json.dumps({"kind": "checkpoint", "time": "x", "note": note}) + "\n" for note in notes))
    done = run(state, "verify", "--checkpoint", kept)
    assert (done.exit_code, f"agrees with {len(notes)} checkpoints" in done.stdout) == (0, True), done.output


def test_a_file_without_a_checkpoint_of_this_log_proves_nothing_and_is_not_passed_over(
    state: Path, tmp_path: Path
) -> None:
    build(state)
    other = tmp_path / "other"
    build(other)
    for text in ("", "nothing of the kind\n", run(other, "checkpoint").stdout):
        (kept := tmp_path / "kept.txt").write_text(text)
        done = run(state, "verify", "--checkpoint", kept)
        assert done.exit_code == 1
        assert "nothing was compared" in done.output or "no checkpoint was found" in done.output


def test_what_is_wrong_is_named_with_its_entry(state: Path) -> None:
    build(state, 23)
    with opened(state) as connection:
        connection.execute("update entries set body = replace(body, 'tested', 'tasted') where seq = 7")
    done = run(state, "verify")
    assert done.exit_code == 1
    assert done.stdout.startswith("not intact")
    assert "altered: entry 7" in done.stdout
    report = json.loads(run(state, "verify", "--json").stdout)
    assert (report["ok"], report["findings"][0]["verdict"], report["findings"][0]["first"]) == (False, "altered", 7)


def test_a_log_cut_off_behind_its_last_checkpoint_is_found_by_the_one_that_was_kept(
    state: Path, tmp_path: Path
) -> None:
    build(state, 23)
    (kept := tmp_path / "kept.txt").write_text(run(state, "checkpoint").stdout)
    with opened(state) as connection:
        connection.execute("delete from entries where seq > 20")
        connection.execute("delete from checkpoints where size > 20")
    done = run(state, "verify", "--checkpoint", kept)
    assert done.exit_code == 1
    assert "truncated" in done.stdout


def test_without_a_log_it_says_so(state: Path) -> None:
    done = run(state, "verify")
    assert done.exit_code == 1
    assert "Traceback" not in done.output


# -- tail -------------------------------------------------------------------------------------------------------------


def test_the_last_entries_are_shown_as_text_whatever_they_hold(state: Path) -> None:
    append(state, DECISION, OUTCOME)
    done = run(state, "tail")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[1].split() == [
        "1",
        "2027-01-15T08:00:00.000Z",
        "decision",
        "ana",
        "DELETE",
        "api.internal/v1/\\x1b[31mred\\x9b",
        "refused",
        "nobody-deletes",
    ]
    assert "403" in lines[2]
    assert "\x1b" not in done.stdout + "\x9b"[1:]


def test_entries_are_chosen_by_kind_and_count(state: Path) -> None:
    append(state, *[DECISION, OUTCOME] * 5)
    shown = [
        json.loads(line) for line in run(state, "tail", "-n", 3, "--kind", "outcome", "--json").stdout.splitlines()
    ]
    assert [entry["seq"] for entry in shown] == [6, 8, 10]
    assert {entry["leaf"]["kind"] for entry in shown} == {"outcome"}


def test_every_kind_of_entry_has_a_line(state: Path) -> None:
    bundle = {"name": "demo", "version": "1.0.0", "sha256": "ab" * 32}
    append(
        state,
        event_leaf(LeafKind.START, NOW, bundle=bundle, version="1.2.3", run="a"),
        event_leaf(LeafKind.ACTIVATION, NOW, bundle=bundle, how="refused", by="proxy", note="no such key\nmore"),
        event_leaf(LeafKind.ACTIVATION, NOW, bundle=None, how="refused", by="proxy", note=""),
        event_leaf(LeafKind.APPROVAL, NOW, by="ana"),
        event_leaf(LeafKind.STOP, NOW, counters={"written": 1}, run="a"),
        event_leaf(LeafKind.DECISION, NOW, request=None, principal=None, rules=[], refusal=None, effect="allow"),
        {"kind": "decision", "request": 7, "rules": "x", "principal": []},
        {"kind": "unheard-of"},
    )
    record_act(state, "signal-set", by="ana", now=NOW, randomness=entropy, signal="incident", revocation={"id": 3})
    lines = run(state, "tail").stdout.splitlines()[1:]
    assert len(lines) == 9
    assert "demo 1.0.0 (abababab)" in lines[0]
    assert "headgate 1.2.3" in lines[0]
    assert "no such key" in lines[1]
    assert "signal incident, id 3" in lines[8]


def test_what_is_written_meanwhile_follows(state: Path) -> None:
    append(state, DECISION)
    store, written = AuditStore(state), itertools.count()

    def meanwhile(_seconds: float) -> None:
        if next(written) < 2:
            append(state, DECISION, OUTCOME)

    found = followed(store, 1, ("outcome",), meanwhile)
    assert [next(found).seq for _ in range(2)] == [3, 5]


# -- checkpoint -------------------------------------------------------------------------------------------------------


def test_the_latest_checkpoint_is_printed_with_the_key_that_verifies_it(state: Path) -> None:
    build(state, 23)
    done = run(state, "checkpoint")
    origin, size, *_ = done.stdout.splitlines()
    assert (origin.startswith("headgate.local/"), size) == (True, "23")
    assert done.stderr.strip() == (state / "keys" / "audit.pub").read_text().strip()
    shown = json.loads(run(state, "checkpoint", "--json").stdout)
    assert (shown["note"], shown["key"], shown["size"]) == (done.stdout, done.stderr.strip(), 23)


def test_one_is_signed_at_once_where_that_is_asked_for(state: Path) -> None:
    writer = AuditWriter(state, clock=lambda: NOW, randomness=entropy, every=1000, seconds=3600.0)
    writer.put(lambda: DECISION)
    assert writer.flush(PATIENCE)
    none = run(state, "checkpoint")
    assert (none.exit_code, "no checkpoint was signed yet" in none.output) == (1, True)
    done = run(state, "checkpoint", "--now")
    assert done.stdout.splitlines()[1] == "1"
    assert writer.close(PATIENCE)
    assert run(state, "verify").exit_code == 0


# -- export, prune ----------------------------------------------------------------------------------------------------


def test_entries_are_exported_with_their_hashes(state: Path) -> None:
    append(state, DECISION, OUTCOME)
    first, second = (json.loads(line) for line in run(state, "export").stdout.splitlines())
    assert (first["seq"], first["leaf"], len(first["hash"])) == (1, DECISION, 64)
    assert second["leaf"] == OUTCOME


def test_ocsf_joins_a_decision_and_its_outcome(state: Path) -> None:
    append(state, DECISION, OUTCOME)
    (event,) = (json.loads(line) for line in run(state, "export", "--format", "ocsf").stdout.splitlines())
    assert (event["class_uid"], event["action"], event["status_code"]) == (4002, "Denied", "403")


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        (("--since", "2027-01-15T08:00:10Z"), [10, 11, 12]),
        (("--until", "2027-01-15T08:00:03Z"), [1, 2]),
        (("--since", "2027-01-15T08:00:05", "--until", "2027-01-15T08:00:07"), [5, 6]),
    ],
)
def test_a_time_is_from_since_on_and_before_until(state: Path, options: tuple[str, ...], seqs: list[int]) -> None:
    build(state, 12)
    assert [json.loads(line)["seq"] for line in run(state, "export", *options).stdout.splitlines()] == seqs


def test_what_is_pruned_is_gone_and_the_log_verifies(state: Path) -> None:
    build(state, 23)
    done = run(state, "prune", "--before", "2027-01-15T08:00:11Z", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"pruned": 10}), done.output
    verified = run(state, "verify")
    assert (verified.exit_code, "10 entries are there as hashes only" in verified.stdout) == (0, True), verified.output
    exported = [json.loads(line) for line in run(state, "export").stdout.splitlines()]
    assert (exported[0]["leaf"], exported[0]["pruned"], exported[10]["leaf"]["n"]) == (None, True, 11)
    assert "(pruned)" in run(state, "tail", "-n", 100).stdout
    assert "nothing to prune" in run(state, "prune", "--before", "2027-01-15T08:00:11Z").stdout


# -- what commands do -------------------------------------------------------------------------------------------------


def acts(state: Path) -> list[tuple[str, dict]]:
    return [
        (entry.leaf["act"], entry.leaf["facts"]) for entry in AuditStore(state).entries(kinds=("act",)) if entry.leaf
    ]


@pytest.fixture
def prepared(state: Path) -> Path:
    """The state of a proxy that ran."""
    from headgate.identity.store import IdentityStore
    from headgate.policy.store import SignalStore

    IdentityStore(state).prepare()
    SignalStore(state).prepare()
    return state


def headgate(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--state", str(state)])


def test_what_is_done_with_a_command_is_on_record(prepared: Path) -> None:
    assert headgate(prepared, "signal", "set", "incident", "--reason", "failover").exit_code == 0
    assert headgate(prepared, "signal", "clear", "incident").exit_code == 0
    assert headgate(prepared, "sessions", "revoke", "--session", "s-1").exit_code == 0
    assert headgate(prepared, "sessions", "lift", "1").exit_code == 0
    told = acts(prepared)
    assert [what for what, _ in told] == ["signal-set", "signal-cleared", "revoked", "revocation-lifted"]
    assert (told[0][1]["signal"], told[0][1]["reason"]) == ("incident", "failover")
    assert told[2][1]["revocation"]["name"] == "s-1"
    assert run(prepared, "verify").exit_code == 0


@pytest.mark.parametrize(
    "arguments", [("sessions", "revoke", "--session", "s-1", "--json"), ("signal", "set", "incident", "--json")]
)
def test_what_cannot_be_put_on_record_is_done_all_the_same_and_said(prepared: Path, arguments: tuple[str, ...]) -> None:
    (prepared / "audit.db").write_text("this is no database, and long enough for somebody to notice that\n" * 100)
    done = headgate(prepared, *arguments)
    assert done.exit_code == 1
    assert json.loads(done.stdout)
    assert "done, and in force, but not in the audit log" in done.stderr
    assert len(json.loads(headgate(prepared, arguments[0], "list", "--json").stdout)) == 1


def test_several_commands_at_once_all_get_on_record(prepared: Path) -> None:
    def revoke(n: int) -> None:
        record_act(prepared, "revoked", by="ana", now=NOW, randomness=entropy, number=n)

    threads = [threading.Thread(target=revoke, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(facts["number"] for _, facts in acts(prepared)) == list(range(8))
    assert run(prepared, "verify").exit_code == 0
