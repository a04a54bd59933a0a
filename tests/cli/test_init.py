"""`headgate init` writes a rules folder that every check passes, whole or not at all, and says what to do with it."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hatchling.builders.wheel import WheelBuilder

from headgate.bundle.files import schemas
from headgate.bundle.load import load_bundle
from headgate.cli.main import main

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "addons/headgate/starter"
OIDC = ("--provider", "oidc", "--issuer", "https://sso.example.com", "--audience", "payments", "--audience", "chat")
WAYS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "enforcing": ("--enforce",),
    "one target": ("--target", "payments=payments.internal"),
    "several targets": ("--target", "payments=*.payments.internal", "--target", "ledger=10.1.2.3:8443", "--enforce"),
    "by address": ("--target", "six=[2001:db8::1]:8443"),
    "oidc": (*OIDC, "--target", "payments=payments.internal"),
    "oidc with keys": (*OIDC, "--jwks", "https://sso.example.com/keys"),
}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def init(folder: Path, *options: str, code: int = 0) -> Result:
    result = run("init", folder, *options)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    init(tmp_path / "rules", *request.param)
    return tmp_path / "rules"


# -- what is written --------------------------------------------------------------------------------------------------


def test_it_can_be_used_as_it_is(made: Path) -> None:
    assert run("rules", "check", made).stdout.startswith("ok: starter 1.0.0, 1 provider, ")


def test_its_tests_pass_and_notice_every_small_mistake(made: Path) -> None:
    found = json.loads(run("rules", "test", made, "--mutate", "--json").stdout)
    assert (found["ok"], found["failed"], found["mutants"]["survivors"]) == (True, 0, [])
    assert found["passed"] >= 7


def test_lint_remarks_nothing_but_that_targets_are_observed(made: Path) -> None:
    findings = json.loads(run("rules", "lint", made, "--json").stdout)["findings"]
    observed = sum(target.observe for target in set(load_bundle(made).targets.by_entry.values()))
    assert [finding["code"] for finding in findings] == ["observed-target"] * observed


def test_each_file_tells_editors_its_schema_and_readers_its_purpose(made: Path) -> None:
    for path in made.glob("*.yaml"):
        first, second, third, *_ = path.read_text(encoding="utf-8").splitlines()
        schema = made / first.removeprefix("# yaml-language-server: $schema=")
        assert json.loads(schema.read_text(encoding="utf-8")) == schemas()[path.name]
        assert (second, third[:2]) == ("#", "# ")
    assert {path.name for path in made.iterdir()} == {*schemas(), "schema"}


def contents(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))


def test_without_options_it_observes_any_service_on_this_machine(tmp_path: Path) -> None:
    init(tmp_path / "rules")
    hosts = ["localhost", "127.0.0.1", "[::1]"]
    local = {"name": "local", "hosts": hosts, "environment": "dev", "observe": True}
    assert contents(tmp_path / "rules", "targets")["targets"] == [local]
    assert contents(tmp_path / "rules", "identity")["providers"][0]["preset"] == "development"


def test_targets_and_the_provider_are_those_named(tmp_path: Path) -> None:
    init(tmp_path / "rules", *WAYS["several targets"], *OIDC)
    assert contents(tmp_path / "rules", "targets")["targets"] == [
        {"name": "payments", "hosts": ["*.payments.internal"], "environment": "prod", "observe": False},
        {"name": "ledger", "hosts": ["10.1.2.3:8443"], "environment": "prod", "observe": False},
    ]
    provider = contents(tmp_path / "rules", "identity")["providers"][0]
    assert (provider["issuer"], provider["audiences"]) == ("https://sso.example.com", ["payments", "chat"])
    assert "jwks" not in provider


def test_what_is_installed_has_the_starter() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"headgate/starter/{path.name}" for path in STARTER.iterdir()} <= included
    assert len(list(STARTER.iterdir())) == 6


# -- whole or not at all ----------------------------------------------------------------------------------------------


def test_an_empty_folder_is_taken_and_missing_ones_above_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    init(tmp_path / "empty")
    init(tmp_path / "a" / "b" / "rules")
    assert load_bundle(tmp_path / "empty").sha256 == load_bundle(tmp_path / "a" / "b" / "rules").sha256


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "notes").write_text("mine")
    result = init(folder, code=1)
    assert result.stderr.endswith("` is there and not empty; accepted: a folder that is new or empty\n")
    assert [path.name for path in folder.iterdir()] == ["notes"]
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]


def test_a_file_or_a_link_that_leads_nowhere_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        assert "is there and not empty" in init(tmp_path / name, code=1).stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_the_folder_one_is_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is the folder that you are in" in init(Path(), code=1).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--target", "a b=x.internal"), "`a b` is not a name"),
        (("--target", "a=x.internal", "--target", "b=x.internal"), "`x.internal` is also a host of target `a`"),
        (("--target", "unknown=x.internal"), "`unknown` stands for every other system"),
        ((*OIDC[:2], "--issuer", "not a url", "--audience", "x"), "identity.yaml:"),
    ],
)
def test_rules_that_could_not_be_used_are_not_written(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    result = init(tmp_path / "rules", *options, code=1)
    assert result.stderr.startswith("Error: nothing was written, for these rules could not be used:\nrules/")
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    assert init(tmp_path / "rules", code=1).stderr.endswith("cannot be written: no space left on device\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--target", "payments"), "`payments` is not a target; accepted: `NAME=HOST` or `NAME=HOST:PORT`"),
        (("--target", "=x.internal"), "`=x.internal` is not a target"),
        (("--target", "a=x:99999"), "`x:99999` is not a host of a target"),
        (("--target", "a=\x1b[2J"), "is not a host"),
        (("--provider", "oidc"), "--provider oidc needs --issuer and --audience"),
        (("--provider", "oidc", "--issuer", "https://x.example"), "--provider oidc needs --audience"),
        (("--issuer", "https://x.example"), "accepted: with --provider oidc"),
    ],
)
def test_wrong_usage_is_said(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    result = init(tmp_path / "rules", *options, code=2)
    assert says in " ".join(result.stderr.split())
    assert "\x1b" not in result.stderr
    assert list(tmp_path.iterdir()) == []


# -- what to do next --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--enforce",), WAYS["oidc"]])
def test_the_commands_that_it_names_exist(tmp_path: Path, options: tuple[str, ...]) -> None:
    steps = json.loads(init(tmp_path / "guard", *options, "--json").stdout)["next"]
    commands = [shlex.split(step) for step in steps if step.startswith("headgate ")]
    assert len(commands) >= 3
    for _, group, *words in commands:
        if group != "run":  # whose options are mitmdump's
            shown = run(group, words[0], "--help")
            assert shown.exit_code == 0
            assert all(word in shown.stdout for word in words if word.startswith("--"))


def test_it_tells_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("init").stdout.splitlines()
    assert lines[0] == "wrote rules: bundle.yaml, identity.yaml, targets.yaml, policy.yaml, masking.yaml, schema/"
    assert "  headgate run --mode reverse:http://127.0.0.1:9000 " in lines[3]
    assert lines[-1].startswith("  set `observe: false` in rules/targets.yaml")
    assert "observe" not in run("init", "other", "--enforce").stdout


def test_as_json(tmp_path: Path) -> None:
    found = json.loads(init(tmp_path / "guard", "--json", "--target", "payments=payments.internal").stdout)
    assert (found["folder"], found["targets"], found["observe"]) == (str(tmp_path / "guard"), ["payments"], True)
    assert {"bundle.yaml", "policy.yaml", "schema/policy.json"} < set(found["files"])
    assert all(os.path.exists(tmp_path / "guard" / name) for name in found["files"])
