"""What a capture of a million flows is asked, it answers along an index: plans and amounts of work, never seconds."""

import sqlite3
from contextlib import closing

import pytest

from headgate.capture.entries import Filter, Summary
from headgate.capture.listing import FEW, HOSTS, MOST_HOSTS, conditions, listed, listing, pattern, probes
from headgate.capture.record import Line
from headgate.capture.schema import connect
from headgate.capture.upkeep import schema
from headgate.capture.upkeep import writer as pruning
from headgate.model import Decision, Effect, Kind, Principal, denied, withheld

NOW = 1_800_000_000.0
PATIENCE = 20.0

ONE = [
    Filter(),
    Filter(principal="ana"),
    Filter(host="a.internal"),
    Filter(effect="deny"),
    Filter(reason="rule-denies"),
    Filter(refused=True),
    Filter(since=NOW),
    Filter(principal="ana", since=NOW),
    Filter(host="a.internal", since=NOW),
    Filter(effect="deny", since=NOW),
    Filter(reason="rule-denies", since=NOW),
]
SEVERAL = [
    Filter(principal="ana", effect="deny"),
    Filter(principal="ana", reason="rule-denies"),
    Filter(host="a.internal", refused=True),
    Filter(host="a.internal", principal="ana"),
    Filter(effect="deny", reason="rule-denies"),
    Filter(effect="deny", refused=True, reason="rule-denies"),
]
PATTERNS = [
    Filter(host="*.internal"),
    Filter(host="*.internal", refused=True),
    Filter(host="*x*", reason="rule-denies"),
]


@pytest.fixture
def empty(tmp_path):
    with closing(connect(tmp_path / "capture.db", 1.0)) as connection:
        yield connection


def plan(connection, sql, values=()):
    return [step for *_, step in connection.execute(f"explain query plan {sql}", values)]


def unsorted(steps):
    """Whether a plan sorts nothing and reads no table from end to end but in the order of an index."""
    tables = [step for step in steps if step.startswith("SCAN ") and "USING" not in step and "CONSTANT" not in step]
    return not tables and "TEMP B-TREE" not in " ".join(steps)


def name(wanted):
    return "-".join(field for field in Filter.__slots__ if getattr(wanted, field)) or "all"


# -- listing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ONE, ids=name)
def test_one_condition_walks_its_index(wanted, empty):
    sql, values = listing(wanted)
    assert unsorted(plan(empty, sql, [*values, 10]))
    assert probes(wanted) == {}


@pytest.mark.parametrize("wanted", SEVERAL, ids=name)
def test_of_several_that_many_flows_fulfil_the_newest_are_looked_at(wanted, empty):
    counts = dict.fromkeys(probes(wanted), FEW + 1)
    sql, values = listing(wanted, None, counts)
    assert unsorted(plan(empty, sql, [*values, 10]))


@pytest.mark.parametrize("wanted", SEVERAL, ids=name)
def test_the_one_that_few_fulfil_finds_them(wanted, empty):
    """They are sorted then; but nothing else is read."""
    indexes = {"host": "host=?", "principal": "principal=?", "effect": "effect=?", "refused": "idx_decisions_refused"}
    indexes |= {"reason": "reason=?", "refusal": "refusal_reason=?"}
    for rare in probes(wanted):
        sql, values = listing(wanted, None, {**dict.fromkeys(probes(wanted), FEW + 1), rare: 3})
        steps = plan(empty, sql, [*values, 10])
        assert [step for step in steps if indexes[rare] in step], (rare, steps)
        assert not [step for step in steps if step in ("SCAN d", "SCAN f")]


@pytest.mark.parametrize("wanted", PATTERNS, ids=name)
def test_hosts_of_a_pattern_are_each_walked_and_merged(wanted, empty):
    counts = dict.fromkeys(probes(wanted), FEW + 1)
    sql, values = listing(wanted, ["a.internal", "b.internal"], counts)
    steps = plan(empty, sql, [*values, 10])
    assert unsorted(steps)
    assert "MERGE (UNION ALL)" in steps[0]


def test_a_pattern_for_too_many_hosts_walks_all_flows_from_the_newest(empty):
    sql, values = listing(Filter(host="*"), None)
    assert unsorted(plan(empty, sql, [*values, 10]))


def test_counting_goes_along_an_index_and_no_further_than_it_has_to(empty):
    wanted = Filter(principal="ana", host="a.internal", effect="deny", reason="x", refused=True)
    assert set(probes(wanted)) == {"principal", "host", "effect", "reason", "refusal", "refused"}
    for sql, values in probes(wanted).values():
        assert f"limit {FEW + 1}" in sql
        assert any("INDEX" in step for step in plan(empty, sql, values)), sql


def test_the_hosts_are_found_by_jumping_from_one_to_the_next(empty):
    steps = plan(empty, HOSTS, [pattern("*"), MOST_HOSTS])
    assert not [step for step in steps if step.startswith("SCAN flows")], steps


# -- the same flows whatever the way ----------------------------------------------------------------------------------


@pytest.fixture
def capture(start, record, state):
    """Forty flows of several callers, hosts and outcomes."""
    deny = Decision(Effect.DENY, "rule-denies")
    writer = start()
    for n in range(40):
        who = Principal(("ana", "bo", "cy")[n % 3], Kind.HUMAN, "corp-sso")
        line = Line(b"GET", "https", f"{'abcde'[n % 5]}.internal", 443, b"/", b"HTTP/1.1")
        ends = {"decision": deny, "refusal": denied("rule-denies"), "status": 403} if n % 4 == 0 else {}
        ends = {"refusal": withheld("allowed" if n % 8 else "body-cut"), "status": 502} if n % 7 == 3 else ends
        assert writer.put(record(n, principal=who, line=line, **ends))
    assert writer.flush(PATIENCE)
    return state / "capture.db"


REASONS = (None, "allowed", "rule-denies", "body-cut", "nothing")
COMBINED = [
    Filter(principal=principal, host=host, effect=effect, reason=reason, refused=refused, since=since)
    for principal in (None, "ana")
    for host in (None, "a.internal", "*.internal", "[ab]*", "zz*")
    for effect in (None, "deny")
    for reason in REASONS
    for refused in (False, True)
    for since in (None, NOW + 11)
]


@pytest.mark.parametrize("few", [FEW, 3, -1], ids=["all-rare", "some-rare", "none-rare"])
@pytest.mark.parametrize("hosts", [MOST_HOSTS, 2], ids=["few-hosts", "many-hosts"])
def test_every_way_finds_the_same_flows_in_the_same_order(few, hosts, capture, monkeypatch):
    """All are compared with the conditions alone, asked of every flow."""
    monkeypatch.setattr("headgate.capture.listing.FEW", few)
    monkeypatch.setattr("headgate.capture.listing.MOST_HOSTS", hosts)
    with closing(sqlite3.connect(capture)) as connection:
        connection.row_factory = sqlite3.Row
        everything = {row["decision_id"]: row for row in connection.execute(listing(Filter())[0], [100])}
        for wanted in COMBINED:
            chosen = conditions(wanted)
            where = "".join(f" and {condition}" for condition, _ in chosen)
            sql = (
                f"select d.id from decisions d join flows f on f.id = d.flow where 1{where} order by d.id desc limit 9"  # noqa: S608
            )
            expected = [row["id"] for row in connection.execute(sql, [v for _, values in chosen for v in values])]
            found = listed(wanted, 9, lambda sql, values: connection.execute(sql, values).fetchall())
            assert [row["decision_id"] for row in found] == expected, wanted
            assert all(Summary(**row) == Summary(**everything[row["decision_id"]]) for row in found)


# -- deleting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (pruning.DUE, {"before": NOW, "most": 1}),
        (pruning.OLDEST, {"before": None, "most": 1}),
        ("select 1 from flows where principal_key = ?", ["x"]),
        ("select 1 from flows where req_body = ?", ["x"]),
        ("select 1 from flows where resp_body = ?", ["x"]),
        ("select 1 from messages where body = ?", ["x"]),
        ("select 1 from messages where decision in (?, ?)", ["x", "y"]),
        ("select 1 from masks where decision in (?, ?)", ["x", "y"]),
        ("select 1 from decisions where flow in (?, ?)", [1, 2]),
    ],
    ids=["due", "oldest", "principal", "request", "response", "message-body", "messages", "masks", "decisions"],
)
def test_what_a_step_looks_for_has_an_index(sql, values, empty):
    steps = plan(empty, sql, values)
    assert unsorted(steps)
    assert all("INDEX" in step for step in steps)


def test_a_step_does_as_much_work_whatever_is_in_the_file(start, record, state, monkeypatch):
    """Counted in instructions of SQLite's machine."""
    writer = start()
    costs = []
    for size in (300, 2400):
        for n in range(writer.counters.written, size):
            assert writer.put(record(n))
        assert writer.flush(PATIENCE)
        costs.append(_instructions(state, monkeypatch))
    assert costs[1] < costs[0] * 1.5, costs


def _instructions(state, monkeypatch):
    count = 0

    def tick():
        nonlocal count
        count += 1

    prepare = schema.prepare

    def prepared(connection, path):
        prepare(connection, path)
        connection.set_progress_handler(tick, 100)

    monkeypatch.setattr(schema, "prepare", prepared)
    pruner = pruning.Pruner(state / "capture.db", lambda body, _codings: body)
    assert pruner.step(pruning.Retention(1.0), NOW + 10_000, 20).flows == 20
    monkeypatch.setattr(schema, "prepare", prepare)
    return count
