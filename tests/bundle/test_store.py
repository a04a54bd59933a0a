"""What was activated is there after a restart, whole and for every process; what cannot be read is said plainly."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.bundle.desk import BROKEN, NOW, ask, loaded, refusal, rule, told

from headgate import schema
from headgate.bundle import store
from headgate.bundle.files import SIGNATURE
from headgate.bundle.load import Bundle
from headgate.bundle.restore import restore
from headgate.bundle.store import BundleStore, SupersededError
from headgate.bundle.versions import Activation, How
from headgate.errors import HeadgateError
from headgate.identity.store import IdentityStore
from headgate.model import BundleRef


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def made(state: Path) -> BundleStore:
    found = BundleStore(state)
    found.prepare()
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return loaded(tmp_path / "rules", "1.0.0", rule("one"))


def activate(made: BundleStore, bundle: Bundle, how: How = How.FOLDER, **more: Any) -> Activation:
    return made.activate(bundle, how, **{"by": "ana", "now": NOW, "after": made.active(), **more})


# --------------------------------------------------------------------------------------------------------- the history


def test_before_anything_is_activated_nothing_is_active(made: BundleStore) -> None:
    assert (made.active(), made.history(), made.stored()) == (None, [], [])


def test_an_activation_is_there_for_another_process(made: BundleStore, state: Path, bundle: Bundle) -> None:
    entry = activate(made, bundle, How.ACTIVATE, note="INC-7")
    assert entry == Activation(1, How.ACTIVATE, bundle.sha256, "n", "1.0.0", NOW, "ana", "INC-7", None)
    assert BundleStore(state).active() == entry
    assert BundleStore(state).history() == [entry]


def test_each_activation_tells_what_was_active_before(made: BundleStore, tmp_path: Path, bundle: Bundle) -> None:
    other = loaded(tmp_path / "other", "1.1.0")
    activate(made, bundle)
    activate(made, other)
    made.refuse(BundleRef("n", "1.2.0", "f" * 64), "broken", by="ana", now=NOW, previous=other.sha256)
    entry = activate(made, bundle, How.ROLLBACK)
    assert (entry.id, entry.previous) == (4, other.sha256)
    assert told(made.history()) == ["folder 1.0.0", "folder 1.1.0", "refused 1.2.0", "rollback 1.0.0"]


def test_whoever_looked_before_another_activated_has_to_look_again(
    made: BundleStore, tmp_path: Path, bundle: Bundle
) -> None:
    seen = made.active()
    activate(made, bundle)
    with pytest.raises(SupersededError, match="look again"):
        activate(made, loaded(tmp_path / "other", "1.1.0"), after=seen)
    assert told(made.history()) == ["folder 1.0.0"]
    assert len(made.stored()) == 1


@pytest.mark.parametrize("change", ["update activations set by = 'eve'", "delete from activations"])
def test_the_history_only_grows(made: BundleStore, state: Path, bundle: Bundle, change: str) -> None:
    activate(made, bundle)
    with pytest.raises(sqlite3.IntegrityError, match="the history only grows"):
        ask(state, change)


def test_a_refusal_is_said_once_until_something_is_activated(made: BundleStore, bundle: Bundle) -> None:
    activate(made, bundle)
    for why in ("one", "one", "two", "one"):
        made.refuse(None, why, by="ana", now=NOW, previous=bundle.sha256)
    assert [entry.note for entry in made.history()] == ["", "one", "two"]
    made.refuse(bundle, "one", by="ana", now=NOW, previous=None)
    activate(made, bundle)
    made.refuse(None, "one", by="ana", now=NOW, previous=None)
    assert [entry.note for entry in made.history()] == ["", "one", "two", "one", "", "one"]
    assert made.history()[1].sha256 is None


def test_a_long_refusal_is_cut_and_no_terminal_obeys_it(made: BundleStore) -> None:
    made.refuse(None, "line\n\x1b[2J\ud800" + "x" * 5000, by="ana", now=NOW, previous=None)
    (entry,) = made.history()
    assert entry.note.startswith("line\n\ufffd[2J\ufffdxxx")
    assert len(entry.note) == store.MAX_NOTE


# --------------------------------------------------------------------------------------------------------- the bundles


def test_a_bundle_is_kept_with_every_file(made: BundleStore, bundle: Bundle) -> None:
    full = replace(bundle, contents={**bundle.contents, "keys/corp.json": b"\x00\xff", SIGNATURE: b"{}"})
    activate(made, full)
    assert made.contents(bundle.sha256) == full.contents
    (kept,) = made.stored()
    assert (kept.sha256, kept.name, kept.version, kept.time, kept.by) == (bundle.sha256, "n", "1.0.0", NOW, "ana")


def test_versions_share_the_files_in_which_they_do_not_differ(
    made: BundleStore, state: Path, tmp_path: Path, bundle: Bundle
) -> None:
    activate(made, bundle)
    activate(made, loaded(tmp_path / "rules", "1.1.0", rule("one")))
    assert ask(state, "select count(*) from bundle_files") == [(10,)]
    assert ask(state, "select count(*) from bundle_blobs") == [(6,)]


def test_what_is_stored_becomes_the_same_bundle_again(made: BundleStore, state: Path, bundle: Bundle) -> None:
    activate(made, bundle)
    again = restore(made.contents(bundle.sha256), bundle, state)
    assert again == bundle
    assert again.files == ()
    assert [ref.ref.file for ref in again.policy.rules] == [f"rules@1.0.0+{bundle.sha256[:8]}/policy.yaml"]
    assert not list(state.glob(".restoring-*"))


def test_problems_of_a_stored_bundle_show_its_version_and_no_folder(state: Path, bundle: Bundle) -> None:
    state.mkdir()
    said = refusal(lambda: restore({**bundle.contents, "policy.yaml": BROKEN.encode()}, bundle, state))
    assert said.startswith(f"rules@1.0.0+{bundle.sha256[:8]}/policy.yaml:2:1: not YAML")
    assert str(state) not in said
    assert not list(state.iterdir())


@pytest.mark.parametrize("name", ["../escaped.yaml", "/etc/escaped.yaml", "a/../../escaped.yaml", ""])
def test_no_name_leads_out_of_the_folder_it_is_written_to(state: Path, bundle: Bundle, name: str) -> None:
    state.mkdir()
    assert "is not inside the bundle's folder" in refusal(
        lambda: restore({**bundle.contents, name: b""}, bundle, state)
    )
    assert [path for path in state.parent.rglob("*") if "escaped" in path.name] == []


def test_other_content_under_the_same_hash_is_not_taken(state: Path, tmp_path: Path, bundle: Bundle) -> None:
    state.mkdir()
    other = loaded(tmp_path / "other", "1.0.0", rule("two"))
    assert "is not what was stored" in refusal(lambda: restore(other.contents, bundle, state))


TAMPERED = {
    "a file": (
        "update bundle_blobs set data = x'00'"
        " where digest in (select digest from bundle_files where name = 'policy.yaml')"
    ),
    "a file and its digest": (
        "update bundle_files set digest = (select digest from bundle_files where name = 'targets.yaml')"
        " where name = 'policy.yaml'"
    ),
    "a file that is gone": "delete from bundle_files where name = 'masking.yaml'",
    "a file that is new": "insert into bundle_files select sha256, 'policy/a.yaml', digest from bundle_files limit 1",
    "another name": "update bundle_files set name = 'policy/a.yaml' where name = 'policy.yaml'",
}


@pytest.mark.parametrize("sql", TAMPERED.values(), ids=TAMPERED)
def test_a_stored_bundle_that_was_changed_is_refused_and_mended_by_the_original(
    made: BundleStore, state: Path, bundle: Bundle, sql: str
) -> None:
    activate(made, bundle)
    ask(state, sql)
    with pytest.raises(HeadgateError, match=rf"rules {bundle.sha256[:8]} in the state .* are not as they were stored"):
        made.contents(bundle.sha256)
    assert made.keep(bundle, by="ana", now=NOW)
    assert made.contents(bundle.sha256) == bundle.contents
    assert not made.keep(bundle, by="ana", now=NOW)


def test_a_signature_that_comes_later_is_kept_and_one_that_is_missing_takes_none_away(
    made: BundleStore, bundle: Bundle
) -> None:
    activate(made, bundle)
    signed = replace(bundle, contents={**bundle.contents, SIGNATURE: b"{}"})
    assert made.keep(signed, by="ana", now=NOW)
    assert not made.keep(bundle, by="ana", now=NOW)
    activate(made, bundle, How.ROLLBACK)
    assert made.contents(bundle.sha256)[SIGNATURE] == b"{}"


def test_the_layout_of_the_first_stays(made: BundleStore, tmp_path: Path, bundle: Bundle) -> None:
    activate(made, bundle)
    again = loaded(tmp_path / "rules", "1.0.0", "# a comment\n" + rule("one"))
    assert again.sha256 == bundle.sha256
    activate(made, again, How.ACTIVATE)
    assert made.contents(bundle.sha256) == bundle.contents


def test_a_bundle_that_nobody_stored_is_not_there(made: BundleStore) -> None:
    with pytest.raises(HeadgateError, match="rules ffffffff are not in the state"):
        made.contents("f" * 64)


# ------------------------------------------------------------------------------------------------------ several at once

WRITER = """
import sys
from pathlib import Path
from headgate.bundle.load import load_bundle
from headgate.bundle.store import BundleStore, SupersededError
from headgate.bundle.versions import How

store, bundle, done = BundleStore(Path(sys.argv[1])), load_bundle(Path(sys.argv[2])), 0
sys.stdin.readline()
store.prepare()
while done < 15:
    try:
        store.activate(bundle, How.ACTIVATE, by="w", now=1.7e9, after=store.active())
        done += 1
    except SupersededError:
        pass
print("done")
"""


def test_processes_that_make_the_file_and_activate_at_once_each_follow_what_was_before(
    state: Path, tmp_path: Path
) -> None:
    folders = [str(tmp_path / name) for name in "abc"]
    for name in "abc":
        loaded(tmp_path / name, "1.0.0", rule(name))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(state), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for folder in folders
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate(timeout=60)[0] for writer in writers] == ["done\n"] * 3
    history = BundleStore(state).history()
    assert len(history) == 45
    assert [entry.previous for entry in history[1:]] == [entry.sha256 for entry in history[:-1]]


# ------------------------------------------------------------------------------------------------------------ the file


def test_the_file_is_its_owner_s_alone(made: BundleStore, state: Path, bundle: Bundle) -> None:
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    with closing(sqlite3.connect(state / "state.db")) as held:
        held.execute("select * from activations")
        activate(made, bundle)
        modes = {path.name: oct(path.stat().st_mode)[-3:] for path in state.iterdir()}
        assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm"), "600")
    assert ask(state, "pragma journal_mode") == [("wal",)]


def test_the_file_is_shared_with_other_parts_whoever_begins_it(tmp_path: Path, bundle: Bundle) -> None:
    for first, second in ((IdentityStore, BundleStore), (BundleStore, IdentityStore)):
        state = tmp_path / first.__name__
        first(state).prepare()
        second(state).prepare()
        activate(BundleStore(state), bundle)
        assert IdentityStore(state).revocations(NOW) == []
        sets = {name for (name,) in ask(state, "select migration_set from _sqlite_migrations")}
        assert sets == {"headgate-identity", "headgate-bundle"}


def test_a_state_of_an_older_headgate_is_read_once_a_proxy_has_brought_it_up(state: Path) -> None:
    IdentityStore(state).prepare()
    found = BundleStore(state)
    with pytest.raises(HeadgateError, match="is from an older Headgate: start the proxy once"):
        found.history()
    found.prepare()
    assert found.history() == []


def test_a_database_of_something_else_stays_as_it_is(state: Path, bundle: Bundle) -> None:
    state.mkdir()
    ask(state, "create table customers (id integer)")
    before = (state / "state.db").read_bytes()
    found = BundleStore(state)
    for use in (found.prepare, found.history, lambda: activate(found, bundle, after=None)):
        with pytest.raises(HeadgateError, match="is a database of something else"):
            use()
    assert (state / "state.db").read_bytes() == before


def test_a_file_from_a_newer_version_is_not_guessed_at(made: BundleStore, state: Path) -> None:
    ask(state, "insert into _sqlite_migrations values (99, 'headgate-bundle', 'm999', '')")
    for use in (made.prepare, made.history, made.active):
        with pytest.raises(HeadgateError, match="written by a newer Headgate"):
            use()


USES: dict[str, Callable[[BundleStore, Bundle], Any]] = {
    "history": lambda made, _: made.history(),
    "active": lambda made, _: made.active(),
    "stored": lambda made, _: made.stored(),
    "contents": lambda made, bundle: made.contents(bundle.sha256),
    "activate": lambda made, bundle: made.activate(bundle, How.FOLDER, by="ana", now=NOW, after=None),
    "keep": lambda made, bundle: made.keep(bundle, by="ana", now=NOW),
    "refuse": lambda made, bundle: made.refuse(bundle, "why", by="ana", now=NOW, previous=None),
}


@pytest.mark.parametrize("use", USES)
def test_where_no_proxy_ran_there_is_nothing_and_nothing_is_made(state: Path, bundle: Bundle, use: str) -> None:
    with pytest.raises(HeadgateError, match=r"there is no state at .*: name the state folder of a proxy that ran"):
        USES[use](BundleStore(state), bundle)
    assert not state.exists()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("garbage", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000, b"\0" * 4096])
def test_a_file_of_garbage_is_said_plainly_and_stays(
    made: BundleStore, state: Path, bundle: Bundle, use: str, garbage: bytes
) -> None:
    (state / "state.db").write_bytes(garbage)
    with pytest.raises(HeadgateError, match=r"the state `.*` cannot be (read|written): it is (damaged|not a SQLite)"):
        USES[use](made, bundle)
    assert (state / "state.db").read_bytes() == garbage


@pytest.mark.parametrize("use", ["activate", "refuse"])
def test_a_locked_file_is_said_plainly_and_still_read(
    made: BundleStore, state: Path, bundle: Bundle, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "WRITE_PATIENCE", 0.01)
    with closing(sqlite3.connect(state / "state.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(HeadgateError, match="cannot be written: another program keeps it locked"):
            USES[use](made, bundle)
        assert made.history() == []


def test_a_history_that_was_tampered_with_is_an_error(made: BundleStore, state: Path, bundle: Bundle) -> None:
    """As whoever can write the file can do: the checks of a table are only its own."""
    activate(made, bundle)
    ask(state, "drop table activations")
    ask(state, "create table activations (id, how, sha256, name, version, time, by, note, previous)")
    ask(state, "insert into activations values (1, 'magic', 'x', 'n', '1.0.0', 1.0, 'eve', '', null)")
    with pytest.raises(HeadgateError, match="was tampered with"):
        made.active()
