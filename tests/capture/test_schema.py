"""Whoever opens the file with ordinary tools finds tables that explain themselves, with the columns that we write."""

import sqlite3
from contextlib import closing

import pytest
import sqlite_utils

from headgate.capture import tables
from headgate.capture.schema import MIGRATIONS, connect
from headgate.capture.spoken import Spoken
from headgate.capture.store import Store
from headgate.errors import HeadgateError

PATIENCE = 20.0

WRITTEN = {
    "principals": tables.PrincipalRow._fields,
    "rulesets": tables.RulesetRow._fields,
    "bodies": tables.BodyRow._fields,
    "flows": ("id", *tables.FlowRow._fields),
    "decisions": ("flow", *tables.DecisionRow._fields),
    "masks": ("id", *tables.MaskRow._fields),
    "messages": ("id", *tables.MessageRow._fields),
    "originals": ("flow", "data"),
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
    assert keys >= {
        ("flows", "principal_key", "principals"),
        ("flows", "req_body", "bodies"),
        ("flows", "resp_body", "bodies"),
        ("decisions", "flow", "flows"),
        ("decisions", "ruleset", "rulesets"),
        ("masks", "decision", "decisions"),
        ("messages", "body", "bodies"),
        ("originals", "flow", "flows"),
    }


def test_the_file_is_set_up_for_a_reader_beside_the_writer_and_for_giving_space_back(database):
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
    assert [database.execute(f"pragma {name}").fetchone()[0] for name in pragmas] == ["wal", 1, 1, 2]


def test_opening_it_again_changes_nothing(tmp_path):
    for _ in range(2):
        with closing(connect(tmp_path / "capture.db", 1.0)) as connection:
            applied = connection.execute("select migration_set, name from _sqlite_migrations").fetchall()
    names = ["m001_flows", "m002_what_decisions_say", "m003_more_than_one_exchange_says"]
    assert applied[:3] == [("headgate-capture", name) for name in names]
    assert len(applied) == len(set(applied))


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
        assert connection.execute("select signals, approval_id from decisions").fetchone() == (None, None)
        assert connection.execute("select kind, connection, title from flows").fetchone() == ("http", None, " ")


@pytest.fixture
def older(tmp_path):
    path = tmp_path / "capture.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables = sqlite_utils.Database(connection, strict=True)
        MIGRATIONS.apply(tables, stop_before="m003_more_than_one_exchange_says")
        connection.execute(
            "insert into flows (id, flow_id, ts_start, mode, method, host) values (1, 'f', 0, 'masked', 'GET', 'a')"
        )
        connection.execute("insert into decisions (id, flow, effect, reason) values ('d', 1, 'deny', 'no-rule-allows')")
    return path


def test_a_small_capture_from_before_is_read_as_it_would_be_brought_up_and_stays_as_it_is(older):
    """Flows that were saved for tests are committed: no proxy will ever bring them up."""
    before = older.read_bytes()
    (entry,) = Store(older.parent).walk()
    assert (entry.summary.decision_id, entry.signals, entry.sealed) == ("d", None, False)
    assert older.read_bytes() == before


def test_a_large_capture_from_before_is_not_read_but_a_proxy_brings_it_up(older, monkeypatch):
    monkeypatch.setattr("headgate.capture.schema.LARGEST_COPY", 1000)
    with pytest.raises(HeadgateError, match="is from an older Headgate: start the proxy once to bring it up"):
        list(Store(older.parent).walk())
    connect(older, 1.0).close()
    assert len(list(Store(older.parent).walk())) == 1


def test_a_flow_bears_a_title_that_datasette_takes_for_its_label(start, record, ask):
    writer = start()
    writer.put(record())
    writer.flush(PATIENCE)
    assert ask("select title from flows") == [("GET customers.internal/v1/customers/1",)]
    assert ask("select title from principals") == [("ana (human)",)]
    with closing(sqlite3.connect(writer.path)) as connection:
        rows = list(sqlite_utils.Database(connection, execute_plugins=False)["flows"].rows)
    assert rows[0]["title"] == "GET customers.internal/v1/customers/1"


def test_views_can_be_read_by_tools_that_trust_no_schema(start, record, state):
    writer = start()
    writer.put(record())
    writer.put(Spoken(record().decision_id, "f", 0, 1_800_000_000.0, True, "text", b"hello", 5))
    writer.flush(PATIENCE)
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        connection.execute("pragma trusted_schema = off")
        (said,) = connection.execute("select time, sender, text, size, truncated from messages_readable").fetchall()
        assert said == ("2027-01-15T08:00:00.000Z", "caller", "hello", 5, 0)
        assert connection.execute("select flow_kind from flows_readable").fetchall() == [("http",)]


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
