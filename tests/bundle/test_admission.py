"""Which rules a start puts in force, and which a running proxy follows: the folder's, or those of the state."""

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.bundle.desk import BROKEN, NOW, ask, failing, ids, proxy, refusal, rule, told, write

from headgate import schema
from headgate.bundle import active
from headgate.bundle.activation import Demands
from headgate.bundle.active import ActiveBundle
from headgate.bundle.commands import activate, find, roll_back
from headgate.bundle.files import SIGNATURE
from headgate.bundle.load import Bundle, load_bundle
from headgate.bundle.signing import sign
from headgate.bundle.store import BundleStore
from headgate.bundle.versions import How
from headgate.errors import HeadgateError

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SIGNED = Demands(key=KEY.public_key())
INTERVAL = 0.03


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "rules", "1.0.0", rule("one"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def started(rules: Path, state: Path, demands: Demands | None = None, **more: Any) -> ActiveBundle:
    found = proxy(rules, state, demands, **more)
    found.load_now()
    return found


def history(state: Path) -> list[str]:
    return told(BundleStore(state).history())


def by_command(state: Path, folder: Path, **more: Any) -> None:
    activate(BundleStore(state), load_bundle(folder), Demands(), by="ana", now=NOW, **more)


def back(state: Path, to: str | None = None) -> None:
    found = BundleStore(state)
    roll_back(found, find(found, to) if to else None, Demands(), by="ana", now=NOW)


def put_signature(folder: Path, key: Ed25519PrivateKey = KEY) -> None:
    (folder / SIGNATURE).write_bytes(sign(load_bundle(folder), key))


# --------------------------------------------------------------------------------------------------------- at a start


def test_the_first_start_puts_the_folder_on_record_and_in_force(rules: Path, state: Path) -> None:
    found = started(rules, state)
    assert ids(found.current) == ["one"]
    (entry,) = BundleStore(state).history()
    assert (entry.how, entry.sha256, entry.by) == (How.FOLDER, found.current and found.current.sha256, "proxy")
    assert BundleStore(state).contents(str(entry.sha256)).keys() == {path.name for path in rules.iterdir()}


def test_a_start_with_the_same_rules_records_nothing(rules: Path, state: Path) -> None:
    for _ in range(3):
        assert started(rules, state).problem is None
    assert history(state) == ["folder 1.0.0"]


@pytest.mark.parametrize("version", ["1.0.1", "1.0.0"])
def test_a_start_takes_up_newer_rules_and_edited_ones(rules: Path, state: Path, version: str) -> None:
    started(rules, state)
    write(rules, version, rule("two"))
    assert ids(started(rules, state).current) == ["two"]
    assert history(state) == ["folder 1.0.0", f"folder {version}"]


REFUSED: dict[str, Callable[[Path], Any]] = {
    "broken": lambda rules: (rules / "policy.yaml").write_text(BROKEN),
    "gone": lambda rules: shutil.rmtree(rules),
    "lower": lambda rules: write(rules, "0.9.0", rule("two")),
    "failing": lambda rules: write(rules, "2.0.0", rule("bad")),
    "unpinned": lambda rules: write(rules, "2.0.0", rule("two")),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_a_start_with_a_folder_that_is_refused_runs_what_was_active(
    rules: Path, state: Path, change: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    write(rules, "1.0.0", rule("one", more=", pinned: true"))
    started(rules, state)
    change(rules)
    for _ in range(2):
        caplog.clear()
        found = started(rules, state, failing("bad"))
        assert ids(found.current) == ["one"]
        assert found.current is not None
        assert found.current.policy.rules[0].ref.file.startswith("rules@1.0.0+")
        assert found.problem is not None
        assert [record.levelname for record in caplog.records] == ["WARNING"], "mitmproxy would end on an error"
        assert str(found.problem) in caplog.text
    refused = BundleStore(state).history()[1:]
    assert [(entry.how, entry.note) for entry in refused] == [(How.REFUSED, str(found.problem))]
    assert refused[0].previous == found.current.sha256


def test_a_first_start_has_nothing_else_to_run(rules: Path, state: Path) -> None:
    write(rules, "1.0.0", rule("bad"))
    found = proxy(rules, state, failing("bad"))
    said = refusal(found.load_now)
    assert said.splitlines()[0].startswith("rules `n` 1.0.0+")
    assert said.splitlines()[1:] == ["test of `bad` fails"]
    assert found.current is None


def test_a_state_that_cannot_be_written_ends_the_first_start(rules: Path, state: Path) -> None:
    state.write_text("a file")
    assert "cannot be made" in refusal(proxy(rules, state).load_now)


def test_a_folder_older_than_what_was_activated_since_is_no_problem(rules: Path, state: Path, tmp_path: Path) -> None:
    started(rules, state)
    by_command(state, write(tmp_path / "new", "1.1.0", rule("new")))
    found = started(rules, state)
    assert (ids(found.current), found.problem) == (["new"], None)
    assert history(state) == ["folder 1.0.0", "activate 1.1.0"]


def test_what_was_rolled_back_from_does_not_return_with_a_restart(rules: Path, state: Path) -> None:
    started(rules, state)
    write(rules, "1.1.0", rule("two"))
    started(rules, state)
    back(state)
    for _ in range(2):
        found = started(rules, state)
        assert (ids(found.current), found.problem) == (["one"], None)
    assert history(state) == ["folder 1.0.0", "folder 1.1.0", "rollback 1.0.0"]
    write(rules, "1.1.0", rule("three"))
    assert ids(started(rules, state).current) == ["three"]


def test_the_version_before_runs_where_the_active_one_cannot(rules: Path, state: Path, tmp_path: Path) -> None:
    """And not one that was rolled back from, while there is another."""
    started(rules, state)
    for version in ("1.1.0", "1.2.0"):
        by_command(state, write(tmp_path / "new", version, rule("new")))
        if version == "1.1.0":
            back(state)
    ask(state, "update bundle_blobs set data = x'00' where cast(data as text) like '%1.2.0%'")
    found = started(rules, state)
    assert ids(found.current) == ["one"]
    assert "not as they were stored" in str(found.problem)


def test_where_nothing_is_good_everything_that_is_wrong_is_said(rules: Path, state: Path) -> None:
    started(rules, state)
    (rules / "policy.yaml").write_text(BROKEN)
    ask(state, "update bundle_blobs set data = x'00'")
    said = refusal(proxy(rules, state).load_now)
    assert "rules/policy.yaml:2:1: not YAML" in said
    assert "not as they were stored" in said


def test_rules_that_only_an_older_headgate_could_load_do_not_stand_in_the_way(
    rules: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they pin still counts."""
    write(rules, "1.0.0", rule("one", more=", pinned: true"))
    started(rules, state)

    def restore(*_: Any) -> Bundle:
        raise HeadgateError("unknown key")

    monkeypatch.setattr("headgate.bundle.admission.restore", restore)
    write(rules, "1.1.0", rule("two"))
    assert "pinned rule `one` removed" in refusal(proxy(rules, state).load_now)
    write(rules, "1.1.0", rule("one", more=", pinned: true").replace("]", ", {id: two, effect: deny, match: {}}]"))
    assert ids(started(rules, state).current) == ["one", "two"]


@pytest.mark.parametrize("key", ["pinned", '"pinned"', '"p\\u0069nned"', "? pinned\n  "])
def test_a_rule_is_pinned_however_that_is_spelt(rules: Path, state: Path, key: str) -> None:
    write(rules, "1.0.0", f"rules:\n- id: one\n  effect: deny\n  match: {{}}\n  {key}: true\n")
    started(rules, state)
    write(rules, "1.1.0", rule("two"))
    assert "pinned rule `one` removed" in str(started(rules, state).problem)


# ------------------------------------------------------------------------------------------------------------ following


def follow(found: ActiveBundle, scenario: Callable[[list[Bundle]], Awaitable[None]], folder: bool = True) -> None:
    """Run `scenario` while `found` follows folder and state; it gets the bundles that came into force meanwhile."""

    async def both() -> None:
        changes: list[Bundle] = []
        task = asyncio.create_task(found.follow(INTERVAL, changes.append, folder))
        try:
            async with asyncio.timeout(20):
                await scenario(changes)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(both())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for are plain attributes
        await asyncio.sleep(INTERVAL / 3)


async def looks(count: int) -> None:
    """Long enough for so many looks."""
    await asyncio.sleep(INTERVAL / 3 * (count + 2))


def test_a_change_of_the_folder_is_on_record_before_it_is_in_force(rules: Path, state: Path) -> None:
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        write(rules, "1.1.0", rule("two"))
        await until(lambda: len(history(state)) == 2)
        await until(lambda: changes)

    follow(found, scenario)
    assert history(state) == ["folder 1.0.0", "folder 1.1.0"]


@pytest.mark.parametrize("folder", [True, False], ids=["followed", "not followed"])
def test_what_is_activated_and_rolled_back_is_followed(rules: Path, state: Path, tmp_path: Path, folder: bool) -> None:
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        by_command(state, write(tmp_path / "new", "1.1.0", rule("new")))
        await until(lambda: changes)
        back(state)
        await until(lambda: len(changes) == 2)
        back(state, "1.1.0")
        await until(lambda: len(changes) == 3)

    follow(found, scenario, folder)
    assert ids(found.current) == ["new"]
    assert history(state) == ["folder 1.0.0", "activate 1.1.0", "rollback 1.0.0", "rollback 1.1.0"]


def test_a_folder_that_is_not_followed_changes_nothing_while_it_runs(rules: Path, state: Path) -> None:
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        write(rules, "1.1.0", rule("two"))
        await looks(8)
        assert changes == []

    follow(found, scenario, folder=False)
    assert history(state) == ["folder 1.0.0"]
    assert ids(started(rules, state).current) == ["two"], "but at the next start"


def test_a_rollback_is_not_undone_by_the_folder_until_that_changes(rules: Path, state: Path) -> None:
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        write(rules, "1.1.0", rule("two"))
        await until(lambda: len(changes) == 1)
        back(state)
        await until(lambda: len(changes) == 2)
        write(rules, "1.1.0", "# touched\n" + rule("two"))
        await looks(8)
        assert (ids(found.current), found.problem) == (["one"], None)
        write(rules, "1.1.0", rule("three"))
        await until(lambda: len(changes) == 3)

    follow(found, scenario)
    assert history(state) == ["folder 1.0.0", "folder 1.1.0", "rollback 1.0.0", "folder 1.1.0"]


def test_a_broken_folder_that_is_mended_does_not_undo_what_was_activated_meanwhile(
    rules: Path, state: Path, tmp_path: Path
) -> None:
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        (rules / "policy.yaml").write_text(BROKEN)
        await until(lambda: found.problem)
        by_command(state, write(tmp_path / "new", "1.1.0", rule("new")))
        await until(lambda: changes)
        assert found.problem, "the folder is as broken as before"
        write(rules, "1.0.0", rule("one"))
        await until(lambda: found.problem is None)
        await looks(4)
        assert len(changes) == 1

    follow(found, scenario)
    assert ids(found.current) == ["new"]


@pytest.mark.parametrize("change", [REFUSED["lower"], REFUSED["failing"], REFUSED["unpinned"]])
def test_a_folder_that_is_refused_leaves_the_last_good_rules_and_says_both_hashes(
    rules: Path, state: Path, change: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    write(rules, "1.0.0", rule("one", more=", pinned: true"))
    found = started(rules, state, failing("bad"))

    async def scenario(changes: list[Bundle]) -> None:
        change(rules)
        await until(lambda: found.problem)
        refused = load_bundle(rules)
        assert f"+{refused.sha256[:8]}" in str(found.problem)
        assert found.current is not None
        assert f"+{found.current.sha256[:8]} stays active" in str(found.problem)
        await looks(8)
        assert changes == []
        write(rules, "1.0.0", rule("one", more=", pinned: true"))
        await until(lambda: changes)
        assert found.problem is None

    follow(found, scenario)
    assert [entry.how for entry in BundleStore(state).history()] == [How.FOLDER, How.REFUSED]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_refused_folder_that_somebody_activates_is_at_peace(rules: Path, state: Path) -> None:
    write(rules, "1.0.0", rule("one", more=", pinned: true"))
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        write(rules, "1.1.0", rule("two"))
        await until(lambda: found.problem and "refused 1.1.0" in history(state))  # it is recorded in a thread
        by_command(state, rules, unpin=True)
        await until(lambda: changes)
        assert found.problem is None
        await looks(6)
        assert len(changes) == 1

    follow(found, scenario)
    assert history(state) == ["folder 1.0.0", "refused 1.1.0", "activate 1.1.0"]
    assert BundleStore(state).history()[-1].note == "unpinned: `one` removed"


def test_what_cannot_be_put_on_record_does_not_come_into_force(
    rules: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "WRITE_PATIENCE", 0.01)
    monkeypatch.setattr(active, "AGAIN", 1)
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as other:
            other.execute("begin immediate")
            write(rules, "1.1.0", rule("two"))
            await until(lambda: found.problem)
            assert "another program keeps it locked" in str(found.problem)
            assert (ids(found.current), changes) == (["one"], [])
        await until(lambda: changes)
        assert found.problem is None

    follow(found, scenario)
    assert history(state) == ["folder 1.0.0", "folder 1.1.0"]


def test_a_state_that_cannot_be_read_stops_nothing(rules: Path, state: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = started(rules, state)

    async def scenario(changes: list[Bundle]) -> None:
        whole = (state / "state.db").read_bytes()
        (state / "other").write_bytes(b"garbage" * 1000)
        (state / "other").replace(state / "state.db")  # at once: half a file would be another fault
        await until(lambda: found.problem)
        await looks(4)
        assert (ids(found.current), changes) == (["one"], [])
        (state / "other").write_bytes(whole)
        (state / "other").replace(state / "state.db")
        await until(lambda: found.problem is None)

    ask(state, "pragma journal_mode = delete")
    follow(found, scenario)
    assert len([record for record in caplog.records if "cannot be read" in record.getMessage()]) == 1


def test_an_activated_version_that_must_not_run_here_leaves_the_last_good_rules(
    rules: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is tried again: its secret may come later."""
    monkeypatch.setattr(active, "AGAIN", 1)
    missing = ["secret"]

    def prepare(bundle: Bundle) -> None:
        if ids(bundle) == ["new"] and missing:
            raise HeadgateError("secret `env:KEY` is not set")

    found = started(rules, state, prepare=prepare)

    async def scenario(changes: list[Bundle]) -> None:
        by_command(state, write(tmp_path / "new", "1.1.0", rule("new")))
        await until(lambda: found.problem)
        await looks(8)
        assert (ids(found.current), changes) == (["one"], [])
        missing.clear()
        await until(lambda: changes)
        assert found.problem is None

    follow(found, scenario)
    assert history(state) == ["folder 1.0.0", "activate 1.1.0", "refused 1.1.0"]


def test_two_proxies_with_one_state_do_not_fight(rules: Path, state: Path, tmp_path: Path) -> None:
    """Neither with one folder, nor with two that hold different rules under one version."""
    other = write(tmp_path / "other", "1.0.0", rule("other"))
    first, twin = started(rules, state), started(rules, state)
    second = started(other, state)

    async def scenario(_: list[Bundle]) -> None:
        tasks = [asyncio.create_task(one.follow(INTERVAL)) for one in (twin, second)]
        await until(lambda: all(ids(one.current) == ["other"] for one in (first, twin, second)))
        await looks(6)
        assert history(state) == ["folder 1.0.0"] * 2
        write(rules, "1.1.0", rule("newer"))
        await until(lambda: all(ids(one.current) == ["newer"] for one in (first, twin, second)))
        await looks(6)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    follow(first, scenario)
    assert history(state) == ["folder 1.0.0", "folder 1.0.0", "folder 1.1.0"]


def test_a_bundle_is_judged_anew_when_another_was_activated_meanwhile(rules: Path, state: Path, tmp_path: Path) -> None:
    """Here while its tests ran: by then it is lower than what is active."""
    new = write(tmp_path / "new", "2.0.0", rule("new"))

    def prove(bundle: Bundle) -> list[str]:
        if ids(bundle) == ["two"]:
            by_command(state, new)
        return []

    started(rules, state)
    write(rules, "1.1.0", rule("two"))
    found = started(rules, state, Demands(prove))
    assert ids(found.current) == ["new"]
    assert "version 1.1.0 is lower than 2.0.0" in str(found.problem)
    assert history(state) == ["folder 1.0.0", "activate 2.0.0", "refused 1.1.0"]


# ----------------------------------------------------------------------------------------------------------- signatures


def test_where_a_key_is_required_nothing_unsigned_is_in_force(rules: Path, state: Path) -> None:
    assert "are not signed" in refusal(proxy(rules, state, SIGNED).load_now)
    put_signature(rules, Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
    assert "no signature is valid" in refusal(proxy(rules, state, SIGNED).load_now)
    put_signature(rules)
    assert ids(started(rules, state, SIGNED).current) == ["one"]


def test_a_change_needs_a_new_signature_and_comes_into_force_with_it(rules: Path, state: Path) -> None:
    put_signature(rules)
    found = started(rules, state, SIGNED)

    async def scenario(changes: list[Bundle]) -> None:
        write(rules, "1.1.0", rule("two"))
        await until(lambda: found.problem)
        assert "it was made for other content" in str(found.problem)
        assert changes == []
        put_signature(rules)
        await until(lambda: changes)
        assert (found.problem, ids(found.current)) == (None, ["two"])

    follow(found, scenario)


def test_a_signature_that_is_taken_away_is_a_problem_of_the_folder_alone(rules: Path, state: Path) -> None:
    put_signature(rules)
    found = started(rules, state, SIGNED)

    async def scenario(changes: list[Bundle]) -> None:
        (rules / SIGNATURE).unlink()
        await until(lambda: found.problem)
        assert (ids(found.current), changes) == (["one"], [])

    follow(found, scenario)
    found = started(rules, state, SIGNED)
    assert ids(found.current) == ["one"], "the state has it signed"
    assert "are not signed" in str(found.problem)


def test_what_was_stored_before_a_key_was_required_does_not_run(rules: Path, state: Path) -> None:
    started(rules, state)
    assert refusal(proxy(rules, state, SIGNED).load_now).count("are not signed") == 2
    put_signature(rules)
    assert started(rules, state, SIGNED).problem is None
    (rules / SIGNATURE).unlink()
    assert ids(started(rules, state, SIGNED).current) == ["one"], "the signature was kept"


def test_an_unsigned_version_is_followed_by_nobody_who_requires_a_key(rules: Path, state: Path, tmp_path: Path) -> None:
    put_signature(rules)
    found = started(rules, state, SIGNED)
    new = write(tmp_path / "new", "1.1.0", rule("new"))

    async def scenario(changes: list[Bundle]) -> None:
        by_command(state, new)
        await until(lambda: found.problem and "refused 1.1.0" in history(state))  # it is recorded in a thread
        assert (ids(found.current), changes) == (["one"], [])
        put_signature(new)
        by_command(state, new)
        await until(lambda: changes)
        assert (ids(found.current), found.problem) == (["new"], None)

    follow(found, scenario)
    assert history(state) == ["folder 1.0.0", "activate 1.1.0", "refused 1.1.0", "activate 1.1.0"]


def test_an_unsigned_version_is_not_rolled_back_to_either(rules: Path, state: Path) -> None:
    started(rules, state)
    write(rules, "1.1.0", rule("two"))
    put_signature(rules)
    found = started(rules, state, SIGNED)

    async def scenario(changes: list[Bundle]) -> None:
        back(state)
        await until(lambda: found.problem)
        assert "1.0.0" in str(found.problem)
        assert (ids(found.current), changes) == (["two"], [])

    follow(found, scenario)
    assert ids(started(rules, state, SIGNED).current) == ["two"]
