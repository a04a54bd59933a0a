"""`headgate rules test` and `lint`: what they print, and how they exit."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main

FILES = {
    "bundle": "name: n\nversion: 1.0.0\n",
    "identity": "providers: [{name: dev, preset: development, audiences: [a]}]\n",
    "targets": "targets:\n- {name: pay, hosts: [pay.internal], environment: prod}\nisolate_environments: true\n",
    "masking": "masks: []\n",
}
RULES = """\
rules:
- id: reads
  effect: allow
  match:
    principal: {groups: [x]}
    target: pay
    path: /a
"""
READ = """\
- name: ana reads
  principal: {id: ana, kind: human, groups: [x], environment: prod}
  request: {url: "https://pay.internal/a"}
  expect: {effect: allow, rule: reads}
"""
TESTS = f"""\
tests:
{READ}\
- name: not elsewhere
  principal: {{id: ana, kind: human, groups: [x], environment: prod}}
  request: {{url: "https://pay.internal/b"}}
  expect: {{reason: no-rule-allows}}
- name: nor others
  principal: {{id: bob, kind: human, environment: prod}}
  request: {{url: "https://pay.internal/a"}}
  expect: {{reason: no-rule-allows}}
- name: nor from elsewhere
  principal: {{id: ana, kind: human, groups: [x], environment: dev}}
  request: {{url: "https://pay.internal/a"}}
  expect: {{reason: environment-mismatch}}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)])


def write(folder: Path, policy: str, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in (FILES | {"policy": policy} | files).items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def proven(tmp_path: Path) -> Path:
    return write(tmp_path / "rules", RULES + TESTS)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return write(tmp_path / "rules", RULES + TESTS.replace("rule: reads", "message: hello"))


# -- test -------------------------------------------------------------------------------------------------------------


def test_tests_that_pass_are_one_line(proven: Path) -> None:
    result = run("test", proven)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "ok: 4 tests passed\n", "")


def test_a_test_that_fails_is_a_line_with_its_place(broken: Path) -> None:
    result = run("test", broken)
    assert result.exit_code == 1
    assert result.stdout == "rules/policy.yaml:9: test `ana reads`: expected message `hello`, got none\n"
    assert result.stderr == "1 of 4 tests failed\n"


def test_the_folder_is_rules_unless_another_is_named(proven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(proven.parent)
    assert run("test").output == run("test", "rules").output
    assert run("lint").output == run("lint", "rules").output


def test_rules_without_tests_fail_none(tmp_path: Path) -> None:
    result = run("test", write(tmp_path / "rules", RULES))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there are no tests\n")


def test_a_test_of_no_rule_is_a_problem_of_the_rules(tmp_path: Path) -> None:
    folder = write(tmp_path / "rules", RULES + TESTS.replace("rule: reads", "rule: writes"))
    what = "rules/policy.yaml:12:33: `writes` is not a rule; accepted: the id of a rule of these files"
    assert run("check", folder).stdout.splitlines() == [what]
    result = run("test", folder)
    assert (result.exit_code, result.stderr) == (1, f"Error: {what}\n")
    as_json = run("test", folder, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (1, {"ok": False, "problems": [what]})


def test_tests_in_files_of_their_own_are_tests_of_all_rules(tmp_path: Path) -> None:
    folder = write(tmp_path / "rules", RULES)
    (folder / "policy").mkdir()
    (folder / "policy" / "tests.yaml").write_text(f"rules: []\n{TESTS}", encoding="utf-8")
    assert run("test", folder).stdout == "ok: 4 tests passed\n"


def test_check_says_how_many_tests_there_are(proven: Path) -> None:
    assert "1 rule, 4 tests, 0 masks" in run("check", proven).stdout
    assert json.loads(run("check", proven, "--json").stdout)["tests"] == 4


def test_the_report_as_json(broken: Path) -> None:
    result = run("test", broken, "--json", "--coverage", "--mutate")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["ok"], found["name"], found["passed"], found["failed"]) == (False, "n", 3, 1)
    assert found["tests"][0] == {
        "name": "ana reads",
        "file": "rules/policy.yaml",
        "line": 9,
        "passed": False,
        "failures": ["expected message `hello`, got none"],
        "effect": "allow",
        "reason": "allowed-by-rule",
        "rules": ["reads"],
    }
    assert found["coverage"]["rules"][0]["tests"] == ["ana reads"]
    assert "mutants" not in found  # they make sense only of tests that pass


# -- test --coverage --------------------------------------------------------------------------------------------------


def test_coverage_says_which_rules_and_conditions_the_tests_show(tmp_path: Path, proven: Path) -> None:
    assert run("test", proven, "--coverage").stdout.splitlines() == [
        "rules/policy.yaml:2: rule reads: 1 test; never failed: target",
        "1 of 1 rule covered",
        "ok: 4 tests passed",
    ]
    result = run("test", write(tmp_path / "other", f"{RULES}tests:\n{READ}"), "--coverage")
    assert result.stdout.splitlines()[0] == (
        "other/policy.yaml:2: rule reads: 1 test; never failed: target, principal.groups, path;"
        " no test that misses it by one condition"
    )
    assert (result.stdout.splitlines()[1], result.exit_code) == ("0 of 1 rule covered", 0)


# -- test --mutate ----------------------------------------------------------------------------------------------------


def test_mutants_that_are_all_noticed(proven: Path) -> None:
    result = run("test", proven, "--mutate")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["ok: 4 tests passed", "9 mutants, all noticed"]


def test_mutants_that_no_test_notices_are_lines_with_their_place(tmp_path: Path) -> None:
    result = run("test", write(tmp_path / "rules", f"{RULES}tests:\n{READ}"), "--mutate")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "rules/policy.yaml:5: condition principal.groups of reads dropped: no test noticed",
        "rules/policy.yaml:7: condition path of reads dropped: no test noticed",
        "rules/targets.yaml:3: isolate_environments turned off: no test noticed",
        "ok: 1 test passed",
    ]
    assert result.stderr == "9 mutants, 3 not noticed\n"


def test_mutants_as_json(tmp_path: Path) -> None:
    result = run("test", write(tmp_path / "rules", f"{RULES}tests:\n{READ}"), "--mutate", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"]) == (1, False)
    assert (found["mutants"]["made"], found["mutants"]["noticed"]) == (9, 6)
    assert found["mutants"]["survivors"][1] == {
        "file": "rules/policy.yaml",
        "line": 7,
        "what": "condition path of reads dropped",
    }


def test_mutants_are_not_tried_while_a_test_fails(broken: Path) -> None:
    result = run("test", broken, "--mutate")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1] == "no mutants were tried: they need tests that pass"


# -- lint -------------------------------------------------------------------------------------------------------------


def test_rules_of_which_there_is_nothing_to_say(proven: Path) -> None:
    result = run("lint", proven, "--strict")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing found\n")


def test_a_finding_is_a_line_with_its_place_and_a_warning_fails(tmp_path: Path) -> None:
    more = "- {id: again, effect: allow, match: {target: pay, path: /a, method: GET, principal: {groups: [x]}}}\n"
    result = run("lint", write(tmp_path / "rules", f"{RULES}{more}"))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "rules/policy.yaml:8: warning: rule again: it changes nothing beside reads (rules/policy.yaml:2);"
        " remove it, or narrow the other rule [redundant-rule]",
        "rules/policy.yaml: info: nothing shows what the rules do; add `tests:`, at least one for each rule [no-tests]",
    ]
    assert result.stderr == "1 warning, 1 info\n"


def test_information_fails_only_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "rules", RULES)
    assert (run("lint", folder).exit_code, run("lint", folder, "--strict").exit_code) == (0, 1)


def test_findings_are_in_the_files_that_they_are_about(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "rules",
        RULES + TESTS,
        targets=FILES["targets"] + "unknown: allow\n",
        identity=FILES["identity"] + "anonymous: allow\ntrusted_proxies:\n- 10.0.0.1\n- 10.0.0.0/7\n",
    )
    places = [line.partition(": ")[0] for line in run("lint", folder).stdout.splitlines()]
    assert places == ["rules/identity.yaml:5", "rules/identity.yaml:2", "rules/targets.yaml:4"]


def test_findings_as_json(tmp_path: Path) -> None:
    result = run("lint", write(tmp_path / "rules", "rules: [{id: a, effect: allow, match: {}}]\n"), "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"], found["name"]) == (1, False, "n")
    assert found["findings"][0] == {
        "severity": "error",
        "code": "allow-everything",
        "file": "rules/policy.yaml",
        "line": 1,
        "message": "rule a allows everybody everything",
        "advice": "say who may do what, and where",
    }


def test_rules_that_cannot_be_used_are_problems_and_no_findings(tmp_path: Path) -> None:
    result = run("lint", write(tmp_path / "rules", "rules: [{id: a}]\n"))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: rules/policy.yaml:1:")


@pytest.mark.parametrize("command", ["test", "lint"])
def test_help_has_examples(command: str) -> None:
    assert f"headgate rules {command}\n" in run(command, "--help").output
