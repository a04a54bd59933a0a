"""A database for the test suite, of which the same content gives the same bytes.

It is made in memory, in one order, without a log, and packed; what SQLite notes in its header about itself (how often
the file was changed, by which version: sqlite.org/fileformat2.html, section 1.3) is set to what does not change.
"""

import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing

from headgate import schema
from headgate.capture.schema import MIGRATIONS
from headgate.capture.tables import PrincipalRow, Rows, RulesetRow, SpokenRows, inserts

PAGE = 1024
"""Bytes: there are many tables and indexes, and few rows."""

BORN = "1970-01-01 00:00:00.000000+00:00"
"""When the tables were made."""

CHANGES, VALID_FOR, VERSION = 24, 92, 96
"""Where the header has its counter of changes, for which of them its size holds, and the version that wrote it."""

OLDEST = 3_037_000
"""The version that is written there: the first to know the tables' types."""

MOST = 999
"""Values in a statement, whatever this SQLite could take: how rows come in groups is the same everywhere."""


def database(rows: Sequence[Rows], spoken: Sequence[SpokenRows]) -> bytes:
    """The bytes of a file with all tables of a capture, and these rows."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for pragma in (f"page_size = {PAGE}", "secure_delete = on", "foreign_keys = on", "trusted_schema = off"):
            connection.execute(f"pragma {pragma}")
        schema.migrate(connection, MIGRATIONS)
        connection.execute("update _sqlite_migrations set applied_at = ?", [BORN])
        with schema.immediate(connection):
            _insert_shared(connection, rows)
            for statement in inserts(rows, spoken, 1, MOST):
                connection.execute(*statement)
        connection.execute("vacuum")
        content = bytearray(connection.serialize())
    for place, value in ((CHANGES, 1), (VALID_FOR, 1), (VERSION, OLDEST)):
        struct.pack_into(">I", content, place, value)
    return bytes(content)


def _insert_shared(connection: sqlite3.Connection, rows: Sequence[Rows]) -> None:
    """Principals and rulesets in an order: `inserts` takes them from a set, and finds them there already."""
    principals = sorted({row.principal for row in rows if row.principal}, key=lambda one: one.key)
    rulesets = sorted({row.ruleset for row in rows if row.ruleset}, key=lambda one: one.sha256)
    for table, columns, found in (
        ("principals", PrincipalRow._fields, principals),
        ("rulesets", RulesetRow._fields, rulesets),
    ):
        names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        connection.executemany(f"insert into {table} ({names}) values ({marks})", found)  # noqa: S608 (our own names)
