"""The locks hold what scripts/lock promises: every version once, every file by its hash, nothing of the machine."""

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock")


def versions(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (PROJECT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (PROJECT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_registry_and_no_path_of_a_machine_is_in_a_lock(lock: str) -> None:
    assert re.findall(r".*(?:://|file:|--index|--find-links|\s/).*", (PROJECT / lock).read_text(encoding="utf-8")) == []


def test_both_locks_agree_on_every_version() -> None:
    runtime, dev = versions("requirements.lock"), versions("requirements-dev.lock")
    both = runtime.keys() & dev.keys()
    assert {name: dev[name] for name in both} == {name: runtime[name] for name in both}


def test_the_locks_name_what_the_project_asks_for() -> None:
    """A dependency added without running scripts/lock would be missing for everybody else."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert names(project["project"]["dependencies"]) <= versions("requirements.lock").keys()
    assert names(project["dependency-groups"]["dev"]) <= versions("requirements-dev.lock").keys()
    assert names(project["dependency-groups"]["bootstrap"]) <= versions("requirements-uv.lock").keys()
