"""`headgate rules`: what it prints, and how it exits."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main

SHIPPED = Path(__file__).parent.parent.parent / "rules"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for file in SHIPPED.glob("*.yaml"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "policy.yaml").write_text("rules:\n- {id: a,efect: allow, effect: deny, match: {}}\n")
    (folder / "bundle.yaml").write_text("name: n\n")
    return folder


def test_good_rules_are_summed_up_in_one_line() -> None:
    result = run("check", SHIPPED)
    assert result.exit_code == 0
    counts = r"1 provider, 4 targets, 15 rules, \d+ tests, 3 masks"
    assert re.match(rf"ok: payments-guard 1\.0\.0, {counts}, sha256 [0-9a-f]{{64}}\n", result.output)
    assert result.output.count("\n") == 1


def test_the_folder_is_rules_unless_another_is_named(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(broken.parent)
    assert run("check").output == run("check", "rules").output


def test_every_problem_is_a_line(broken: Path) -> None:
    result = run("check", broken)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "rules/bundle.yaml:1:1: `version` is missing",
        "rules/policy.yaml:2:10: unknown key `efect`, did you mean `effect`?;"
        " accepted: `id`, `effect`, `match`, `when`, `mode`, `pinned`, `message`, `approval`, `set_headers`,"
        " `remove_headers`, `remove_query`",
    ]
    assert result.stderr == "2 problems\n"


def test_a_missing_folder_is_a_problem_and_no_traceback() -> None:
    result = run("check", "nowhere")
    assert (result.exit_code, result.stdout.count("\n")) == (1, 1)
    assert result.stdout.startswith("nowhere: the folder cannot be read: no such file or folder")


def test_the_report_as_json(broken: Path) -> None:
    good, bad = run("check", SHIPPED, "--json"), run("check", broken, "--json")
    assert (good.exit_code, bad.exit_code) == (0, 1)
    fine = json.loads(good.output)
    assert (fine["ok"], fine["name"], fine["rules"], len(fine["sha256"])) == (True, "payments-guard", 15, 64)
    assert json.loads(bad.output)["problems"][0] == {
        "file": "rules/bundle.yaml",
        "line": 1,
        "column": 1,
        "message": "`version` is missing",
    }


def test_the_schema_of_one_file_or_of_all() -> None:
    one, every = json.loads(run("schema", "policy.yaml").output), json.loads(run("schema").output)
    assert one["properties"].keys() == {"rules", "limits", "tests"}
    assert one == every["policy.yaml"] == json.loads(run("schema", "policy").output)
    assert list(every) == ["bundle.yaml", "identity.yaml", "targets.yaml", "policy.yaml", "masking.yaml"]


def test_the_schema_of_a_file_that_is_none_is_wrong_usage() -> None:
    result = run("schema", "approvals.yaml")
    assert result.exit_code == 2
    assert "`approvals.yaml` is not a file of a bundle; accepted: bundle.yaml, identity.yaml" in result.output


def test_schemas_are_written_into_a_folder(tmp_path: Path) -> None:
    assert run("schema", "--into", tmp_path / "schema").exit_code == 0
    written = {file.name for file in (tmp_path / "schema").iterdir()}
    assert written == {"bundle.json", "identity.json", "targets.json", "policy.json", "masking.json"}
    assert run("schema", "policy", "--into", tmp_path / "one").exit_code == 0
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["policy.json"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("schema", "--into", tmp_path / "file" / "schema")
    assert result.exit_code == 1
    assert "cannot be written: not a directory" in result.output
