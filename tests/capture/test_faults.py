"""Every way in which a file fails has a cause in words, never the text of the exception."""

import errno
import sqlite3

import pytest

from headgate.capture.faults import SQLITE_CAUSES, cause


def failure(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("near: a value that was being written")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SQLITE_FULL", "the disk is full"),
        ("SQLITE_IOERR_WRITE", "reading or writing the disk failed"),
        ("SQLITE_READONLY_DBMOVED", "it is read-only"),
        ("SQLITE_BUSY_SNAPSHOT", "another program keeps it locked"),
        ("SQLITE_TOOBIG", "SQLite reports SQLITE_TOOBIG"),
    ],
)
def test_sqlite_failures(name, words):
    assert cause(failure(name)) == words


def test_all_names_are_sqlites_own():
    assert [name for name in SQLITE_CAUSES if not hasattr(sqlite3, name)] == []


def test_failures_without_a_name_and_of_the_system():
    assert cause(sqlite3.OperationalError("a value")) == "SQLite reports SQLITE_ERROR"
    assert cause(OSError(errno.ENOSPC, "a value")) == "the disk is full"
    assert cause(OSError("a value")) == "the system refused it"
