"""Whoever opens the file with ordinary tools finds tables that explain themselves, with the columns that we write."""

import sqlite3
from contextlib import closing

import pytest
import sqlite_utils

from headgate.capture import tables
from headgate.capture.schema import MIGRATIONS, connect

PATIENCE = 20.0

WRITTEN = {
    "principals": tables.PrincipalRow._fields,
    "rulesets": tables.RulesetRow._fields,
    "bodies": tables.BodyRow._fields,
    "flows": ("id", *tables.FlowRow._fields),
    "decisions": ("flow", *tables.DecisionRow._fields),
    "masks": ("id", *tables.MaskRow._fields),
}


@pytest.fixture
def database(tmp_path):
    with closing(connect(tmp_path / "capture.db", 1.0)) as connection:
        yield sqlite_utils.Database(connection, execute_plugins=False)


@pytest.mark.parametrize("table", WRITTEN)
def test_each_table_has_exactly_the_columns_that_are_written(table, database):
    assert {column.name for column in database[table].columns} == set(WRITTEN[table])


def test_every_table_is_strict(database):
    assert [table.name for table in database.tables if not table.strict] == []


def test_foreign_keys_lead_from_each_row_to_what_it_is_about(database):
    keys = {(key.table, key.column, key.other_table) for table in database.tables for key in table.foreign_keys}
    assert keys == {
        ("flows", "principal_key", "principals"),
        ("flows", "req_body", "bodies"),
        ("flows", "resp_body", "bodies"),
        ("decisions", "flow", "flows"),
        ("decisions", "ruleset", "rulesets"),
        ("masks", "decision", "decisions"),
    }


def test_the_file_is_set_up_for_a_reader_beside_the_writer_and_for_giving_space_back(database):
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
    assert [database.execute(f"pragma {name}").fetchone()[0] for name in pragmas] == ["wal", 1, 1, 2]


def test_opening_it_again_changes_nothing(tmp_path):
    for _ in range(2):
        with closing(connect(tmp_path / "capture.db", 1.0)) as connection:
            applied = connection.execute("select migration_set, name from _sqlite_migrations").fetchall()
    names = ["m001_flows", "m002_what_decisions_say"]
    assert applied == [("headgate-capture", name) for name in names]


def test_a_capture_from_before_is_brought_up_with_what_it_holds(tmp_path):
    path = tmp_path / "capture.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        MIGRATIONS.apply(sqlite_utils.Database(connection, strict=True), stop_before="m002_what_decisions_say")
        connection.execute(
            "insert into flows (id, flow_id, ts_start, mode, method, host) values (1, 'f', 0, '', '', '')"
        )
        connection.execute("insert into decisions (id, flow, effect, reason) values ('d', 1, 'deny', 'no-rule-allows')")
    with closing(connect(path, 1.0)) as connection:
        row = connection.execute("select mode, shadow, errors, limits, violations, nearest, trace_id from decisions")
        assert row.fetchone() == ("enforce", "[]", "[]", "[]", "[]", None, None)
        assert connection.execute("select verdict from flows_readable").fetchone() == ("refused",)


def test_plain_sqlite_reads_who_did_what_when_and_why(start, record, ask):
    writer = start()
    writer.put(record())
    assert writer.flush(PATIENCE)
    columns = "time, ms, principal, kind, groups, method, url, target, verdict, rule, status, masked, bundle"
    assert ask(f"select {columns} from flows_readable") == [  # noqa: S608 (our own columns)
        (
            "2027-01-15T08:00:00.000Z",
            12.0,
            "ana",
            "human",
            '["eu","support"]',
            "GET",
            "http://customers.internal:80/v1/customers/1",
            "customers",
            "allowed",
            "support-reads",
            200,
            2,
            "demo 1.0.0",
        )
    ]
    assert ask("select text from bodies_readable") == [('{"email": "[EMAIL_ADDRESS]"}',)]
    assert ask("select location, entity, operator, times from masks") == [("/email", "EMAIL_ADDRESS", "redact", 2)]
    assert ask("select value from meta where key = 'created'") == [("2027-01-15T08:00:00+00:00",)]
    assert ask("pragma foreign_key_check") == []


def test_headers_are_json_that_sqlite_itself_can_search(start, record, ask):
    writer = start()
    writer.put(record())
    writer.flush(PATIENCE)
    found = ask("select json_extract(value, '$[1]') from flows, json_each(resp_headers) where value like '%type%'")
    assert found == [("application/json",)]


def test_a_reference_to_nothing_is_refused(database):
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("insert into masks (decision, location, entity, operator, times) values ('no', '', '', '', 1)")
