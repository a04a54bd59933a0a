"""`headgate rules activate, rollback, history, diff, sign, verify`: what they do, print and refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.bundle.desk import BROKEN, ask, rule, told, write

from headgate.bundle.files import SIGNATURE
from headgate.bundle.store import BundleStore
from headgate.cli.main import main
from headgate.identity.store import IdentityStore


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a proxy that ran."""
    BundleStore(tmp_path / "state").prepare()
    return tmp_path / "state"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "rules", "1.0.0", rule("one"))


def write_key(folder: Path, name: str, private: Any) -> Path:
    path = folder / f"{name}.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; the public half lies beside it as `rules.pub`."""
    return write_key(tmp_path, "rules-key", ed25519.Ed25519PrivateKey.generate())


def run(*arguments: str | Path, **more: Any) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)], **more)


def done(*arguments: str | Path) -> Any:
    """What a command that succeeds reports."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str | Path) -> str:
    """What a command says that fails, in text and as JSON alike."""
    plain, as_json = run(*arguments), run(*arguments, "--json")
    assert (plain.exit_code, as_json.exit_code) == (1, 1), plain.output
    said = plain.stderr.removeprefix("Error: ").rstrip("\n")
    assert json.loads(as_json.stdout) == {"ok": False, "problems": said.splitlines()}
    assert "Traceback" not in plain.output
    return said


def history(state: Path) -> list[str]:
    return told(BundleStore(state).history())


# ------------------------------------------------------------------------------------------------------------- activate


def test_rules_are_activated_with_who_and_why(state: Path, rules: Path) -> None:
    result = run("activate", rules, "--state", state, "--note", "INC-7")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"activated `n` 1\.0\.0\+[0-9a-f]{8}, sha256 [0-9a-f]{64}\n", result.output)
    (entry,) = BundleStore(state).history()
    assert (entry.note, entry.version, entry.by != "") == ("INC-7", "1.0.0", True)
    assert BundleStore(state).contents(str(entry.sha256)).keys() == {path.name for path in rules.iterdir()}


def test_what_is_active_already_is_recorded_once(state: Path, rules: Path) -> None:
    assert done("activate", rules, "--state", state)["recorded"] is True
    again = run("activate", rules, "--state", state)
    assert (again.exit_code, again.output.endswith(" is active already\n")) == (0, True)
    assert done("activate", rules, "--state", state)["recorded"] is False
    assert history(state) == ["activate 1.0.0"]


def test_rules_that_cannot_be_used_are_not_activated(state: Path, rules: Path) -> None:
    (rules / "policy.yaml").write_text(BROKEN)
    assert refused("activate", rules, "--state", state).startswith("rules/policy.yaml:2:1: not YAML")
    assert history(state) == []


def test_a_lower_version_is_refused_and_told_how_to_go_back(state: Path, rules: Path, tmp_path: Path) -> None:
    done("activate", rules, "--state", state)
    said = refused("activate", write(tmp_path / "old", "0.9.0"), "--state", state)
    assert "version 0.9.0 is lower than 1.0.0, which is active; accepted: a higher one, or `headgate rules" in said
    assert history(state) == ["activate 1.0.0"]


def test_other_content_needs_another_version(state: Path, rules: Path) -> None:
    first = done("activate", rules, "--state", state)
    said = refused("activate", write(rules, "1.0.0", rule("two")), "--state", state)
    assert f"version 1.0.0 was activated with other content, {first['sha256'][:8]}; accepted: a higher version" in said


def test_a_pinned_rule_gives_way_only_to_unpin_and_that_is_recorded(state: Path, rules: Path) -> None:
    pinned = (
        "rules:\n- {id: a, effect: deny, match: {}, pinned: true}\n- {id: b, effect: deny, match: {}, pinned: true}\n"
    )
    done("activate", write(rules, "1.0.0", pinned), "--state", state)
    done("activate", write(rules, "1.1.0", pinned + "- {id: c, effect: deny, match: {}}\n"), "--state", state)
    write(rules, "1.2.0", "rules:\n- {id: a, effect: deny, match: {}}\n")
    assert "pinned rules `a` changed, `b` removed" in refused("activate", rules, "--state", state)
    result = run("activate", rules, "--state", state, "--unpin", "--note", "agreed")
    assert result.exit_code == 0
    assert result.stderr == "warning: pinned rules gave way: `a` changed, `b` removed\n"
    assert BundleStore(state).history()[-1].note == "unpinned: `a` changed, `b` removed; agreed"


TESTED = """\
rules: [{id: one, effect: EFFECT, match: {}}]
tests:
- name: ana is refused
  principal: {kind: human, id: ana}
  request: {method: GET, url: "https://a.example/v1"}
  expect: {effect: deny, rule: one}
"""


def test_a_bundle_that_fails_its_own_tests_is_neither_activated_nor_rolled_back_to(
    state: Path, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = "targets: []\nunknown: allow\nisolate_environments: false\n"
    good = write(rules, "1.0.0", TESTED.replace("EFFECT", "deny"), targets=open_to_all)
    before = done("activate", good, "--state", state)["sha256"]
    write(rules, "1.1.0", TESTED.replace("EFFECT", "allow"), targets=open_to_all)
    first, *failed = refused("activate", rules, "--state", state).splitlines()
    assert re.fullmatch(
        rf"rules `n` 1\.1\.0\+[0-9a-f]{{8}} fail 1 of their own tests, 1\.0\.0\+{before[:8]} stays active:", first
    )
    assert [line.split(": ")[1] for line in failed] == ["test `ana is refused`"]
    assert history(state) == ["activate 1.0.0"]

    done("activate", write(rules, "1.2.0", rule("two")), "--state", state)
    monkeypatch.setattr("headgate.policy.proofs.prove", lambda _: ["no longer passes"])
    assert "no longer passes" in refused("rollback", "--state", state)
    assert history(state) == ["activate 1.0.0", "activate 1.2.0"]


@pytest.mark.parametrize("mode", ["mode: shadow", "message: Never."])
def test_a_pinned_rule_is_changed_by_whatever_changes_it(state: Path, rules: Path, mode: str) -> None:
    done("activate", write(rules, "1.0.0", rule("a", more=", pinned: true")), "--state", state)
    write(rules, "1.1.0", rule("a", more=f", pinned: true, {mode}"))
    assert "pinned rule `a` changed" in refused("activate", rules, "--state", state)


def test_a_pinned_rule_may_move_and_be_laid_out_anew(state: Path, rules: Path) -> None:
    done("activate", write(rules, "1.0.0", rule("a", more=", pinned: true")), "--state", state)
    write(rules, "1.1.0")
    (rules / "policy.yaml").unlink()
    (rules / "policy").mkdir()
    moved = "# first\nrules:\n- pinned: true\n  match: {}\n  effect: deny\n  id: a\n"
    (rules / "policy" / "1.yaml").write_text(moved)
    done("activate", rules, "--state", state)


def test_an_activation_may_demand_a_signature(state: Path, rules: Path, key: Path) -> None:
    public = key.with_suffix(".pub")
    assert "are not signed" in refused("activate", rules, "--state", state, "--key", public)
    done("sign", rules, "--key", key)
    done("activate", rules, "--state", state, "--key", public)


def test_a_signature_that_comes_later_is_activated_with_the_same_rules(state: Path, rules: Path, key: Path) -> None:
    """Proxies that refused them look again."""
    done("activate", rules, "--state", state)
    done("sign", rules, "--key", key)
    assert done("activate", rules, "--state", state)["recorded"] is True
    assert SIGNATURE in BundleStore(state).contents(str(BundleStore(state).history()[-1].sha256))


@pytest.mark.parametrize("note", ["a\nb", "\x1b[2J", "x" * 501, "\u202e"])
def test_a_note_is_one_line(state: Path, rules: Path, note: str) -> None:
    for command in (["activate", rules], ["rollback"]):
        result = run(*command, "--state", state, "--note", note)
        assert (result.exit_code, "one line of up to 500 characters" in result.output) == (2, True)
    assert history(state) == []


# ------------------------------------------------------------------------------------------------------------- rollback


@pytest.fixture
def three(state: Path, rules: Path) -> list[str]:
    """Three versions, each active after the other; their hashes."""
    versions = ("1.0.0", "1.1.0", "1.2.0")
    return [done("activate", write(rules, one, rule(f"r-{one}")), "--state", state)["sha256"] for one in versions]


def test_without_a_name_each_rollback_goes_one_further_back(state: Path, three: list[str]) -> None:
    assert [done("rollback", "--state", state)["sha256"] for _ in range(2)] == [three[1], three[0]]
    assert "nothing good was active before" in refused("rollback", "--state", state)
    assert history(state)[3:] == ["rollback 1.1.0", "rollback 1.0.0"]


@pytest.mark.parametrize("name", ["version", "label", "hash", "part"])
def test_a_version_is_named_by_number_or_hash(state: Path, three: list[str], name: str) -> None:
    names = {"version": "1.0.0", "label": f"1.0.0+{three[0][:8]}", "hash": three[0], "part": three[0][:6]}
    result = run("rollback", names[name], "--state", state, "--note", "INC-8")
    assert result.output == f"rolled back to `n` 1.0.0+{three[0][:8]}, sha256 {three[0]}\n"
    entry = BundleStore(state).history()[-1]
    assert (entry.previous, entry.note) == (three[2], "INC-8")


@pytest.mark.parametrize("name", ["1.0.9", "ffffffff", "abc", "", "active ", "../rules", "%", "\x1b[2J", "a" * 300])
def test_a_name_of_nothing_is_refused(state: Path, three: list[str], name: str) -> None:
    said = refused("rollback", name, "--state", state)
    assert "is no version in the state" in said
    assert len(said.splitlines()) == 1
    assert len(history(state)) == len(three)


def test_a_name_of_several_lists_them(state: Path, rules: Path) -> None:
    IdentityStore(state).prepare()
    first = done("activate", rules, "--state", state)["label"]
    ask(
        state,
        "insert into bundles select replace(sha256, substr(sha256, 5), '0'), name, version, '', 0, '' from bundles",
    )
    said = refused("rollback", "1.0.0", "--state", state)
    assert "may mean several versions" in said
    assert f"`{first}`" in said


def test_to_roll_back_to_what_is_active_records_nothing(state: Path, three: list[str]) -> None:
    assert done("rollback", "active", "--state", state) == {
        "ok": True,
        "name": "n",
        "version": "1.2.0",
        "sha256": three[2],
        "label": f"1.2.0+{three[2][:8]}",
        "recorded": False,
        "unpinned": [],
        "previous": None,
    }
    assert len(history(state)) == 3


def test_a_stored_version_that_was_changed_is_not_rolled_back_to(state: Path, three: list[str]) -> None:
    ask(state, "update bundle_blobs set data = x'00' where cast(data as text) like '%r-1.1.0%'")
    assert "are not as they were stored" in refused("rollback", "--state", state)
    assert len(history(state)) == len(three)


def test_a_rollback_says_which_pinned_rules_it_takes_away(state: Path, rules: Path) -> None:
    done("activate", rules, "--state", state)
    pinned = "rules: [{id: one, effect: deny, match: {}}, {id: two, effect: deny, match: {}, pinned: true}]\n"
    done("activate", write(rules, "1.1.0", pinned), "--state", state)
    assert done("rollback", "--state", state)["unpinned"] == ["`two` removed"]
    assert BundleStore(state).history()[-1].note == "unpinned: `two` removed"


def test_a_rollback_may_demand_a_signature(state: Path, three: list[str], key: Path) -> None:
    assert "are not signed" in refused("rollback", "--state", state, "--key", key.with_suffix(".pub"))
    assert len(history(state)) == len(three)


# -------------------------------------------------------------------------------------------------------- history, diff


def test_the_history_is_a_table_with_the_latest_first(state: Path, three: list[str]) -> None:
    done("rollback", "--state", state, "--note", "INC-9")
    store = BundleStore(state)
    store.refuse(None, "rules/policy.yaml:2:1: not YAML\nand more", by="proxy", now=1e9, previous=three[1])
    lines = [re.split(r"\s{2,}", line.strip()) for line in run("history", "--state", state).output.splitlines()]
    assert lines[0] == ["when", "how", "rules", "by", "before", "note"]
    assert lines[1][1:] == ["refused", "-", "proxy", three[1][:8], "rules/policy.yaml:2:1: not YAML (and 1 more)"]
    assert lines[2][0] == "*"
    assert lines[2][2:4] == ["rollback", f"n 1.1.0+{three[1][:8]}"]
    assert lines[2][5:] == [three[2][:8], "INC-9"]
    assert [line[1] for line in lines[3:]] == ["activate"] * 3


def test_the_history_as_json(state: Path, three: list[str]) -> None:
    first, *_, last = done("history", "--state", state)
    assert (first["active"], first["sha256"], first["previous"]) == (True, three[2], three[1])
    assert last["time"].endswith("Z")
    assert set(last) == {
        "id", "time", "how", "name", "version", "label", "sha256", "previous", "by", "note", "active",
    }  # fmt: skip


def test_before_anything_the_history_is_empty(state: Path) -> None:
    result = run("history", "--state", state)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing was activated yet\n")
    assert done("history", "--state", state) == []


def test_what_stands_in_a_history_moves_no_cursor(state: Path) -> None:
    BundleStore(state).refuse(None, "a\u202e[bold]\u2028", by="\x1b[2Jeve", now=1e9, previous=None)
    output = run("history", "--state", state).output
    assert "\\x1b[2Jeve" in output
    assert "[bold]" in output
    assert all(line.isprintable() for line in output.splitlines())


def test_a_difference_is_told_in_words(state: Path, rules: Path) -> None:
    first = done("activate", rules, "--state", state)
    write(rules, "1.1.0", rule("one", "allow"))
    result = run("diff", "active", rules, "--state", state)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "bundle: version changed from `1.0.0` to `1.1.0`",
        "rule one: effect changed from `deny` to `allow` (looser)",
    ]
    assert result.stderr.startswith(f"from `n` {first['label']} to `n` 1.1.0+")
    found = done("diff", rules, first["sha256"][:8], "--state", state)
    assert (found["from"]["version"], found["to"]["version"]) == ("1.1.0", "1.0.0")
    assert [change["meaning"] for change in found["changes"]] == [None, "stricter"]


def test_two_folders_are_compared_without_any_state(rules: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", "1.0.0", rule("one"))
    result = run("diff", rules, other, "--state", tmp_path / "none")
    assert (result.exit_code, result.stdout, result.stderr.endswith("nothing differs\n")) == (0, "", True)


def test_what_cannot_be_compared_is_said(state: Path, rules: Path, tmp_path: Path) -> None:
    assert "is no folder, and there is no state" in refused("diff", rules, "gone", "--state", tmp_path / "none")
    assert "is no version in the state" in refused("diff", rules, "active", "--state", state)
    (rules / "policy.yaml").write_text(BROKEN)
    assert "rules/policy.yaml:2:1: not YAML" in refused("diff", rules, rules, "--state", state)


# ------------------------------------------------------------------------------------------------------------- signing


def test_rules_are_signed_and_verified(rules: Path, key: Path) -> None:
    public = key.with_suffix(".pub")
    assert "are not signed" in refused("verify", rules, "--key", public)
    result = run("sign", rules, "--key", key)
    assert result.exit_code == 0
    assert re.match(r"signed `n` 1\.0\.0\+[0-9a-f]{8} with key [0-9a-f]{16}, into `.*bundle\.sig`\n", result.output)
    assert run("verify", rules, "--key", public).output.startswith("ok: `n` 1.0.0+")
    write(rules, "1.0.0", "# laid out anew\n" + rule("one"))
    assert done("verify", rules, "--key", public)["ok"] is True
    write(rules, "1.0.0", rule("two"))
    assert "it was made for other content" in refused("verify", rules, "--key", public)


def test_the_key_may_come_from_the_environment(rules: Path, key: Path) -> None:
    result = run("sign", rules, "--key", "env:RULES_KEY", env={"RULES_KEY": key.read_text()})
    assert result.exit_code == 0, result.output
    assert done("verify", rules, "--key", key.with_suffix(".pub"))["ok"] is True


def test_several_sign_one_after_the_other(rules: Path, key: Path, tmp_path: Path) -> None:
    other = write_key(tmp_path, "other", ed25519.Ed25519PrivateKey.generate())
    for one in (key, other):
        done("sign", rules, "--key", one)
    for one in (key, other):
        assert done("verify", rules, "--key", one.with_suffix(".pub"))["ok"] is True


def test_a_key_that_does_not_do_is_refused_and_never_shown(rules: Path, key: Path, tmp_path: Path) -> None:
    curve = write_key(tmp_path, "curve", ec.generate_private_key(ec.SECP256R1()))
    assert "rules are signed with Ed25519" in refused("sign", rules, "--key", curve)
    assert "is not set" in refused("sign", rules, "--key", "env:NOT_SET_ANYWHERE")
    assert "cannot be read: no such file" in refused("sign", rules, "--key", tmp_path / "gone")
    pasted = run("sign", rules, "--key", key.read_text())
    assert (pasted.exit_code, "that is a key itself" in pasted.output) == (2, True)
    assert key.read_text().splitlines()[1] not in pasted.output
    key.chmod(0o644)
    assert "others may read the key" in refused("sign", rules, "--key", key)
    assert not (rules / SIGNATURE).exists()


def test_rules_that_cannot_be_used_are_not_signed(rules: Path, key: Path) -> None:
    (rules / "policy.yaml").write_text(BROKEN)
    assert refused("sign", rules, "--key", key).startswith("rules/policy.yaml:2:1: not YAML")
    assert not (rules / SIGNATURE).exists()


# --------------------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("command", ["activate", "rollback", "history"])
def test_a_folder_that_no_proxy_uses_is_not_made(rules: Path, tmp_path: Path, command: str) -> None:
    arguments = [rules] if command == "activate" else []
    assert "there is no state at" in refused(command, *arguments, "--state", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("command", ["activate", "rollback", "history", "diff"])
def test_a_state_that_cannot_be_used_is_one_plain_line(state: Path, rules: Path, command: str) -> None:
    (state / "state.db").write_bytes(b"garbage" * 1000)
    arguments = {"activate": [rules], "diff": ["active", rules]}.get(command, [])
    said = refused(command, *arguments, "--state", state)
    assert "it is not a SQLite database" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("command", ["activate", "rollback", "history", "diff", "sign", "verify"])
def test_help_shows_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"\n  headgate rules {command}" in result.output
