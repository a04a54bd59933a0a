"""How state.db is worked on, whatever is kept in it; what each part of Headgate keeps is tested with its store."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from headgate.errors import HeadgateError
from headgate.schema import CAUSES, StateError, StateFile

NOTES = Migrations("headgate-notes")


@NOTES()
def m001_notes(db: Database) -> None:
    db.execute("create table notes (text text not null check (length(text) < 10)) strict")


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    made = StateFile(tmp_path / "state" / "state.db", NOTES)
    made.prepare()
    return made


def write(file: StateFile, *texts: str) -> None:
    with file.writing() as connection:
        for text in texts:
            connection.execute("insert into notes values (?)", [text])


def texts(file: StateFile) -> list[str]:
    with file.reading() as connection:
        return [row["text"] for row in connection.execute("select text from notes")]


def test_a_commit_is_on_the_disk_and_the_file_s_own_definitions_are_not_trusted(file: StateFile) -> None:
    with file.writing() as connection:
        names = ("synchronous", "trusted_schema", "cell_size_check", "foreign_keys")
        assert [connection.execute(f"pragma {name}").fetchone()[0] for name in names] == [2, 0, 1, 1]


def test_a_file_that_cannot_be_written_is_said_plainly(file: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that has become read-only; what is in it can still be read."""
    write(file, "one")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **how: connect(name.replace("=rw", "=ro"), **how))
    with pytest.raises(StateError, match=r"the state `.*` cannot be written: it is read-only"):
        write(file, "two")
    assert texts(file) == ["one"]


def test_what_fails_is_undone_whole_and_said_without_what_was_being_written(file: StateFile) -> None:
    with pytest.raises(StateError) as raised:
        write(file, "one", "a secret that is too long")
    assert str(raised.value) == f"the state `{file.path}` cannot be written: SQLite reports SQLITE_CONSTRAINT_CHECK"
    assert raised.value.__suppress_context__
    assert texts(file) == []


def test_a_file_that_is_not_there_or_not_ours_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    """Whoever follows the rules asks for the difference: a fault of the disk is not put on record as one of theirs."""
    theirs = tmp_path / "state.db"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("create table customers (id integer)")
    for path in (tmp_path / "nowhere.db", theirs):
        with pytest.raises(HeadgateError) as raised:
            texts(StateFile(path, NOTES))
        assert not isinstance(raised.value, StateError)


def test_every_cause_is_one_that_sqlite_knows() -> None:
    assert [name for name in CAUSES if not hasattr(sqlite3, name)] == []
