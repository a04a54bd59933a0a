"""The walk of README.md from nothing to enforced, command by command as it stands there, so that it cannot rot.

Only the ports are others. Terminal 1 runs the first block, whose last command stays; terminal 2 the rest, and waits
where a person would have taken longer than the proxy does.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.e2e.output import PATIENCE, Output
from tests.e2e.proxy import BIN, ROOT, free_port

from headgate.capture.store import Filter, Store

SECTION = "From nothing to enforced in ten minutes"
README = (ROOT / "README.md").read_text(encoding="utf-8")
TAKES_EFFECT = re.compile(r"--write|sed -i|rollback")
"""Commands after which the proxy runs by other rules."""

IN_FORCE = r"rules `starter` \S+ are in force"


class Terminal:
    """A shell that runs blocks of commands, one after the other."""

    def __init__(self, folder: Path) -> None:
        own = {"HOME": str(folder / "home"), "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [shutil.which("bash") or "/bin/bash", "--norc", "--noprofile"],
            cwd=folder,
            env={**os.environ, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = Output(self.process.stdout)
        self._blocks = 0

    def send(self, commands: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(commands)
        self.process.stdin.flush()

    def run(self, commands: str) -> str:
        """What the commands print, once the last of them has ended."""
        start, self._blocks = len(self.output.lines), self._blocks + 1
        self.send(f"{commands}\necho; echo block {self._blocks} ended\n")
        self.output.wait_for(f"(?m)^block {self._blocks} ended$", after=start, seconds=PATIENCE * 2)
        return "".join(self.output.lines[start:])

    def close(self) -> None:
        """End the shell and what it has started: they are a session of their own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
        self.process.wait(PATIENCE)
        assert self.process.stdin is not None
        self.process.stdin.close()


def blocks() -> list[str]:
    """The commands of the section, in the order in which they stand there."""
    section = README.split(f"## {SECTION}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


class Walk(NamedTuple):
    """What each block printed (of the first all that it has printed by the end), and what became of the first calls."""

    printed: list[str]
    verdicts: list[tuple[str, str]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("walk")
    (folder / "home").mkdir()
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").write_text("")  # PATH has it
    ports = {port: str(free_port()) for port in ("9000", "8080")}
    first, *rest = [re.sub(r"\b(9000|8080)\b", lambda port: ports[port[0]], block) for block in blocks()]
    started = first.replace("headgate run", f"headgate run --listen-port {ports['8080']} --set headgate_admin=", 1)
    one, two = Terminal(folder), Terminal(folder)
    try:
        one.send(started)
        one.output.wait_for("headgate guards with rules `starter`", seconds=PATIENCE * 2)
        printed: list[str] = []
        verdicts: list[tuple[str, str]] = []
        for block in rest:
            changes = len(re.findall(IN_FORCE, one.output.text))
            if "rules suggest" in block:
                verdicts = recorded(folder / "shop" / ".headgate", 3)
            printed.append(two.run(block))
            if TAKES_EFFECT.search(block):
                one.output.wait_for(IN_FORCE, count=changes + 1)
        yield Walk([one.output.text, *printed], verdicts)
    finally:
        one.close()
        two.close()


def recorded(state: Path, flows: int) -> list[tuple[str, str]]:
    """Each verdict and its reason, once so many flows are recorded, which takes the proxy a moment."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = Store(state).summaries(Filter(), flows + 1)
        if len(found) >= flows:
            return [(summary.verdict, summary.reason) for summary in found]
        time.sleep(0.05)
    raise AssertionError("the flows were never recorded")


def test_the_section_is_there_with_all_its_steps() -> None:
    commands = "\n".join(blocks())
    steps = ("init", "run", "flows list", "rules suggest", "rules check", "rules test", "rules lint", "rules explain")
    for step in (*steps, "rules history", "rules rollback"):
        assert f"headgate {step}" in commands


def test_nothing_is_enforced_at_first_and_the_proxy_says_so(walk: Walk) -> None:
    assert "target `local` is OBSERVED" in walk.printed[0]
    used = walk.printed[1]
    assert used.count("[EMAIL_ADDRESS]") == 3
    assert "ana@example.com" not in used
    assert walk.verdicts == [("observed", "no-rule-allows")] * 3


def test_a_rule_is_suggested_as_the_document_shows(walk: Walk) -> None:
    suggested = walk.printed[2]
    assert "together they allow 3 of 3 (100 %)" in suggested
    shown = re.search(r"```yaml\n(rules:\n.*?)```", README.split(SECTION, 1)[1], re.DOTALL)
    assert shown is not None
    lines = [line for line in shown[1].splitlines() if not line.strip().startswith("#")]
    assert "\n".join(lines) in re.sub(r"(?m)^ +#.*\n", "", suggested)


def test_the_rules_prove_themselves_and_a_refusal_is_explained(walk: Walk) -> None:
    proven = walk.printed[3]
    assert "ok: starter 1.0.0, 1 provider, 1 target, 3 rules, 9 tests, 1 mask" in proven
    assert "ok: 9 tests passed" in proven
    assert "target local is observed" in proven
    assert "not enforced (observed target), else refused: no-rule-allows" in proven
    assert "principal.groups does not hold: expected support, got sales" in proven


def test_then_it_is_enforced_and_taken_back(walk: Walk) -> None:
    """Each call is answered as the comment behind it says."""
    said = [re.findall(r"(?m)^curl .*# (\d{3})$", block) for block in blocks()]
    came = [re.findall(r"(?m) (\d{3})$", block) for block in walk.printed]
    assert said[5:] == came[5:]
    assert said[5] == ["200", "403"]
    assert said[7] == ["200"]
    assert walk.printed[5].count(" folder ") == 3
    assert "rolled back to `starter` 1.0.0+" in walk.printed[6]


def test_no_command_failed(walk: Walk) -> None:
    assert not re.search(r"Traceback|command not found|No such file|Usage:|Error:", "".join(walk.printed))
