"""Each file of a load is read once, by whatever spelling it is asked for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.bundled import MAX_FILE, Files, NotAFileError, Unusable, contents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.json").write_bytes(b"first")
    return tmp_path


def refusal(reading: Callable[[], bytes]) -> str:
    with pytest.raises(Unusable) as caught:
        reading()
    return str(caught.value)


@pytest.mark.parametrize("again", ["keys/a.json", "./keys/a.json", "keys//a.json", "keys/./a.json", "keys/a.json/"])
def test_a_file_that_was_replaced_is_still_what_was_read_first(folder: Path, again: str) -> None:
    files = Files(folder)
    assert files.contents("keys/a.json") == b"first"
    (folder / "keys" / "a.json").write_bytes(b"second")
    assert files.contents(again) == files.read(again) == b"first"
    assert files.named == {"keys/a.json": b"first"}
    assert contents(folder, again) == b"second"


def test_a_file_that_was_missing_stays_missing(folder: Path) -> None:
    files = Files(folder)
    said = refusal(lambda: files.contents("b.json"))
    (folder / "b.json").touch()
    assert (
        refusal(lambda: files.contents("b.json")) == said == "file `b.json` cannot be read: no such file or directory"
    )
    with pytest.raises(FileNotFoundError):
        files.read("b.json")
    assert files.named == {}


@pytest.mark.parametrize(("one", "other"), [("a.json", "A.json"), ("stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301")])
def test_names_that_are_one_on_some_systems_are_not_both_accepted(tmp_path: Path, one: str, other: str) -> None:
    for name in (one, other):
        (tmp_path / name).touch()
    files = Files(tmp_path)
    files.contents(one)
    accepted = "accepted: one spelling of each name"
    said = refusal(lambda: files.contents(other))
    assert said == f"`{other}` differs from `{one}` only in case or accents; {accepted}"


def test_rules_cannot_be_named_in_another_spelling(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").touch()
    files = Files(tmp_path)
    files.read("policy.yaml")
    assert "only in case" in refusal(lambda: files.contents("Policy.yaml"))


def test_only_what_rules_name_is_named(folder: Path) -> None:
    files = Files(folder)
    files.read("keys/a.json")
    assert files.named == {}


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "keys/../keys/a.json", "/etc/passwd"])
def test_a_name_stays_inside_the_folder(folder: Path, name: str) -> None:
    assert "is not inside the bundle's folder" in refusal(lambda: Files(folder).contents(name))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_no_file(folder: Path, name: str) -> None:
    assert "cannot be read: no such file" in refusal(lambda: Files(folder).contents(name))


def test_folders_and_pipes_are_no_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for name in ("pipe", "keys"):
        with pytest.raises(NotAFileError):
            Files(folder).read(name)


def test_a_file_that_is_too_long_is_refused(folder: Path) -> None:
    with (folder / "long").open("wb") as long:
        long.truncate(MAX_FILE + 1)
    files = Files(folder)
    assert refusal(lambda: files.contents("long")) == "file `long` is longer than 16 MiB"
    assert files.named == {}
