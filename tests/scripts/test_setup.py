"""scripts/setup on machines that lack something.

Each machine is a PATH of a few real tools and of stubs: nothing is fetched, and what this machine has is not seen. A
stub logs how it was called and leaves behind what the real program would.
"""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[2]
FILES = (".python-version", "pyproject.toml", "requirements.lock", "requirements-dev.lock", "requirements-uv.lock")
TOOLS = ("bash", "sh", "env", "cat", "cp", "dirname", "ls", "mkdir", "rm", "sed", "uname")

STUBS = {
    # what a version manager leaves on the PATH for a program that it does not have
    "shim": "echo 'shim: no such version' >&2; exit 127",
    "uv": """case "$*" in
        'venv '*) mkdir -p .venv/bin && cp "$STUBS/python3.13" .venv/bin/python
            echo "$PWD/.venv" >.venv/bin/activate ;;
        'python find '* | 'python install '*) echo 'error: no interpreter found' >&2; exit 2 ;;
    esac""",
    "uv without a network": """case "$*" in
        'venv '*) exec "$STUBS/uv" "$@" ;;
        'pip sync '*) echo 'error: client error (Connect)' >&2; exit 1 ;;
    esac""",
    "python3.13": """case "$*" in
        *_base_executable*) echo "$0" ;;
        '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
        '-m pip install '*) cp "$STUBS/uv" "${0%/*}/uv" ;;
    esac""",
    "python3.11": """case "$*" in *'sys.argv[1]'*) exit 1 ;; esac""",
    "python3.11 without venv": "exit 1",
}


class Outcome(NamedTuple):
    code: int
    out: str
    err: str
    calls: list[str]

    def called(self, start: str) -> list[str]:
        return [call for call in self.calls if call.startswith(start)]


class Machine:
    """A copy of the project's scripts, and what is on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "the project"
        self._path, self._stubs, self._log = folder / "path", folder / "stubs", folder / "log"
        shutil.copytree(PROJECT / "scripts", self.project / "scripts")
        for file in FILES:
            shutil.copy(PROJECT / file, self.project / file)
        self._path.mkdir()
        for tool in TOOLS:
            (self._path / tool).symlink_to(str(shutil.which(tool)))
        self._stubs.mkdir()
        for name, does in STUBS.items():
            stub = self._stubs / name
            stub.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>"$LOG"\n{does}\n', encoding="utf-8")
            stub.chmod(0o755)

    def has(self, program: str, *, stub: str | None = None) -> None:
        (self._path / program).symlink_to(self._stubs / (stub or program))

    def sets_up(self, *arguments: str) -> Outcome:
        self._log.write_text("", encoding="utf-8")
        done = subprocess.run(
            [str(self.project / "scripts" / "setup"), *arguments],
            env={
                "PATH": str(self._path),
                "HOME": str(self.project.parent),
                "STUBS": str(self._stubs),
                "LOG": str(self._log),
            },
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, self._log.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def complete(machine: Machine) -> Machine:
    """A machine that lacks nothing."""
    machine.has("uv")
    machine.has("python3.13")
    return machine


def assert_ends_in_one_sentence(outcome: Outcome, *parts: str) -> None:
    assert outcome.code == 1
    assert outcome.err.startswith("setup: ")
    assert outcome.err.count("\n") == 1
    assert [part for part in parts if part not in outcome.err] == []


def test_it_installs_exactly_what_the_locks_name_with_hashes(complete: Machine) -> None:
    outcome = complete.sets_up()
    assert (outcome.code, outcome.err) == (0, "")
    (sync,) = outcome.called("uv pip sync")
    assert sync.endswith(
        "--no-build --python .venv/bin/python --require-hashes requirements.lock requirements-dev.lock"
    )
    (project,) = outcome.called("uv pip install")
    assert project.endswith("--offline --no-deps --no-build-isolation --editable .")


def test_it_says_and_does_nothing_the_second_time(complete: Machine) -> None:
    complete.sets_up()
    outcome = complete.sets_up()
    assert outcome[:3] == (0, "", "")
    assert outcome.called("uv") == []


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock", "requirements-dev.lock"])
def test_it_installs_again_when_what_is_wanted_changes(complete: Machine, file: str) -> None:
    complete.sets_up()
    with (complete.project / file).open("a", encoding="utf-8") as wanted:
        wanted.write("# changed\n")
    outcome = complete.sets_up()
    assert outcome.called("uv pip sync")
    assert not outcome.called("uv venv")


def test_it_remakes_an_environment_that_does_not_run(complete: Machine) -> None:
    complete.sets_up()
    python = complete.project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere")
    assert complete.sets_up().called("uv venv")


def test_it_remakes_an_environment_of_another_version(complete: Machine) -> None:
    complete.sets_up()
    python = complete.project / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert complete.sets_up().called("uv venv")


def test_it_remakes_an_environment_that_was_made_elsewhere(complete: Machine) -> None:
    """The commands in it would run the interpreter, and so the code, of the place it was made in."""
    complete.sets_up()
    complete.project = complete.project.rename(complete.project.with_name("moved"))
    assert complete.sets_up().called("uv venv")


def test_a_uv_that_does_not_run_counts_as_missing(machine: Machine) -> None:
    machine.has("uv", stub="shim")
    machine.has("python3.13")
    outcome = machine.sets_up()
    assert (outcome.code, outcome.err) == (0, "")
    (fetch,) = outcome.called("python -m pip install")
    assert fetch.endswith("--require-hashes --only-binary :all: -r requirements-uv.lock")
    assert outcome.called("uv pip sync")


def test_a_python_that_does_not_run_is_passed_over(machine: Machine) -> None:
    """uv itself ends at a shim named python3.13, so it is told which interpreter to take."""
    machine.has("uv")
    machine.has("python3.13", stub="shim")
    machine.has("python3", stub="python3.13")
    outcome = machine.sets_up()
    assert outcome.code == 0
    (made,) = outcome.called("uv venv")
    assert made.endswith("/path/python3 .venv")


def test_without_python_313_it_ends_in_one_sentence(machine: Machine) -> None:
    machine.has("uv")
    machine.has("python3", stub="python3.11")
    outcome = machine.sets_up()
    assert_ends_in_one_sentence(outcome, "Python 3.13 is not installed and could not be fetched")
    assert outcome.called("uv python install 3.13")
    assert not (machine.project / ".venv").exists()


@pytest.mark.parametrize("python", [None, "shim", "python3.11 without venv"])
def test_without_uv_and_without_venv_it_ends_in_one_sentence(machine: Machine, python: str | None) -> None:
    if python:
        machine.has("python3", stub=python)
    assert_ends_in_one_sentence(machine.sets_up(), "uv is not installed, and no Python 3 with `venv`", "python3-venv")


def test_without_a_network_it_ends_in_one_sentence(machine: Machine) -> None:
    machine.has("uv", stub="uv without a network")
    machine.has("python3.13")
    assert_ends_in_one_sentence(machine.sets_up(), "the packages could not be fetched", "scripts/setup --verbose")
    assert machine.sets_up().called("uv pip sync"), "what failed counts as done"


def test_on_request_it_shows_what_the_tools_say(machine: Machine) -> None:
    machine.has("uv", stub="uv without a network")
    machine.has("python3.13")
    assert "error: client error (Connect)" in machine.sets_up("--verbose").err
