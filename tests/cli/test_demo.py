"""`headgate demo` as a person runs it: in any folder, from nothing, with a real proxy."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from headgate.cli.main import main
from headgate.demo.data import leaks
from headgate.demo.scenes import SCENES

HEADGATE = str(Path(sys.executable).with_name("headgate"))
ENDED_BY_SIGTERM = 128 + signal.SIGTERM


def run_demo(*options: str) -> Result:
    return CliRunner().invoke(main, ["demo", *options])


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the JSON of one demo."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [HEADGATE, "demo", "--json"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads(done.stdout)


def test_every_scene_ends_as_it_must(shown: tuple[Path, dict[str, Any]]) -> None:
    _, result = shown
    assert result["as_expected"] is True
    assert [scene["surprises"] for scene in result["scenes"]] == [[]] * len(SCENES)


def test_support_reads_a_customer_masked(shown: tuple[Path, dict[str, Any]]) -> None:
    scene = next(scene for scene in shown[1]["scenes"] if scene["what"] == "reads a customer")
    assert (scene["status"], scene["verdict"], scene["why"]) == (200, "allowed", "support-reads-customers")
    assert {"EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "field"} <= set(scene["masked"])


def test_a_refusal_carries_the_operators_message(shown: tuple[Path, dict[str, Any]]) -> None:
    scene = next(scene for scene in shown[1]["scenes"] if scene["why"] == "agents-change-nothing")
    assert scene["who"].startswith("copilot")
    assert "Ask the person" in scene["message"]


def test_everybody_of_the_story_calls(shown: tuple[Path, dict[str, Any]]) -> None:
    callers = {scene["who"].partition(" (")[0] for scene in shown[1]["scenes"]}
    assert callers == {"stranger", "ana", "CI job", "CI job of staging", "copilot"}
    verdicts = {scene["verdict"] for scene in shown[1]["scenes"]}
    assert verdicts == {"allowed", "refused", "withheld"}


def test_the_commands_it_names_work(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, result = shown
    commands = [command for command in result["where_to_look"].values() if " flows " in command]
    assert len(commands) == 4
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert leaks(done.stdout) == []


def test_nothing_personal_is_in_the_state_folder(shown: tuple[Path, dict[str, Any]]) -> None:
    """The state folder as bytes; bodies that are compressed there are read by the demo itself."""
    files = [path for path in (shown[0] / ".headgate-demo" / "state").rglob("*") if path.is_file()]
    assert any(path.name == "capture.db" for path in files)
    assert leaks("".join(path.read_bytes().decode("latin-1") for path in files)) == []


def test_git_ignores_its_folder(shown: tuple[Path, dict[str, Any]]) -> None:
    assert (shown[0] / ".headgate-demo" / ".gitignore").read_text() == "*\n"


def test_a_second_run_starts_from_nothing_and_fits_a_narrow_terminal(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.demo.show.WIDE", 80)
    old = elsewhere / ".headgate-demo" / "state" / "capture.db"
    old.parent.mkdir(parents=True)
    old.write_text("left by somebody")
    result = run_demo()
    assert result.exit_code == 0, result.output
    assert f"All {len(SCENES)} verdicts as expected" in result.stdout
    assert all(f"  {scene.why}" in result.stdout for scene in SCENES)
    assert "headgate flows list --state .headgate-demo/state" in result.stdout


@pytest.mark.usefixtures("elsewhere")
def test_a_missing_deny_rule_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asserts is what happened: take away a rule, and it says what that let through."""
    from headgate.demo import rules

    weaker = rules.POLICY.replace("match: {principal: {kind: agent}", "match: {principal: {kind: service}")
    assert weaker != rules.POLICY
    monkeypatch.setattr(rules, "POLICY", weaker)
    result = run_demo("--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["as_expected"] is False
    assert "too many: `POST /v1/refunds`" in told["wrong"][0]
    assert any("status 201 instead of 403" in scene["surprises"] for scene in told["scenes"])


@pytest.mark.usefixtures("elsewhere")
def test_a_missing_mask_fails_the_demo_without_showing_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    from headgate.demo import rules

    monkeypatch.setattr(rules, "MASKING", rules.MASKING.replace("EMAIL_ADDRESS, ", ""))
    result = run_demo()
    assert result.exit_code == 1
    assert "did not end as expected" in result.stdout
    assert "email of customer 42" in result.stdout
    assert "the record holds personal data" in result.stdout
    assert leaks(result.stdout) == []


@pytest.mark.usefixtures("elsewhere")
def test_a_proxy_that_does_not_come_up_is_told_with_its_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from headgate.demo import rules

    monkeypatch.setattr(rules, "POLICY", "rules: nothing\n")
    result = run_demo()
    assert result.exit_code == 1
    assert "the proxy ended; its last lines:" in result.stderr
    assert "policy.yaml:1" in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_used_is_told(elsewhere: Path) -> None:
    (elsewhere / ".headgate-demo").write_text("in the way")
    result = run_demo()
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that stays up, and what it printed."""
    process = subprocess.Popen(
        [HEADGATE, "demo", "--keep"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "the rules that decided" in line:
            break
    yield process, "".join(lines)
    process.terminate()
    process.communicate(timeout=30)


def test_kept_up_it_can_be_explored_and_ends_with_all_it_started(
    kept: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, printed = kept
    web, _, token = re.search(r"mitmweb +(\S+)", printed)[1].partition("?")  # type: ignore[index]
    with httpx.Client(trust_env=False, timeout=20) as client:
        listed = client.get(f"{web}flows?{token}")
        assert listed.status_code == 200
        assert len(listed.json()) == len(SCENES)
        assert leaks(listed.text) == []
        for answer in _tried(client, printed):
            assert leaks(answer.text) == []

    second = subprocess.run([HEADGATE, "demo"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert "another demo runs in" in second.stderr

    process.terminate()
    assert process.wait(30) == ENDED_BY_SIGTERM
    with pytest.raises(httpx.ConnectError), httpx.Client(trust_env=False) as client:
        client.get(web)


def _tried(client: httpx.Client, printed: str) -> Iterator[httpx.Response]:
    """The curl commands that go through the proxy, each made as it stands."""
    proxy = re.search(r"the proxy +(http\S+)", printed)[1]  # type: ignore[index]
    commands = [line[line.index("curl") :] for line in printed.splitlines() if f"{proxy}/" in line and "curl" in line]
    assert len(commands) == 4
    for command in commands:
        source = re.search(r"\$\(curl -s (\S+)\)", command)
        bearer = {"Authorization": f"Bearer {client.get(source[1]).text}"} if source else {}
        body = re.search(r"-d '([^']*)'", command)
        url = command.split()[-1]
        yield client.post(url, headers=bearer, content=body[1]) if body else client.get(url, headers=bearer)
