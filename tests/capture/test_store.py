"""Reading finds the newest first, by any filter, by any unique beginning of an id; and never writes."""

import json
import sqlite3
import zlib
from contextlib import closing

import pytest

from headgate.capture.layout import entry_json, summary_json
from headgate.capture.record import MAX_BODY, Line, Message
from headgate.capture.store import Filter, Store
from headgate.errors import HeadgateError
from headgate.model import Decision, Effect, Kind, Principal, denied, unauthenticated, withheld

NOW = 1_800_000_000.0
PATIENCE = 20.0
BOT = Principal("bot", Kind.AGENT, "corp-sso", owner="ana")


@pytest.fixture
def store(start, record, state):
    """Five flows: allowed, refused by a rule, refused unknown, withheld, failed; one second apart."""
    other = Line(b"DELETE", "https", "refunds.internal", 8443, b"/v1/refunds/9", b"HTTP/2.0")
    deny = Decision(Effect.DENY, "rule-denies")
    writer = start()
    writer.put(record(0))
    writer.put(record(1, line=other, principal=BOT, decision=deny, refusal=denied("rule-denies"), status=403))
    writer.put(record(2, principal=None, decision=None, target=None, refusal=unauthenticated("expired"), status=401))
    writer.put(record(3, refusal=withheld("content-coding-unknown"), status=502))
    writer.put(record(4, status=None, response=None, error="client-disconnected"))
    assert writer.flush(PATIENCE)
    return Store(state)


def numbers(found):
    return [int(summary.flow_id[:8], 16) for summary in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [4, 3, 2, 1, 0]),
        (Filter(principal="bot"), [1]),
        (Filter(principal="nobody"), []),
        (Filter(host="refunds.internal"), [1]),
        (Filter(host="*.INTERNAL"), [4, 3, 2, 1, 0]),
        (Filter(host="refunds*"), [1]),
        (Filter(host="[r]efunds*"), []),
        (Filter(host="?efunds*"), []),
        (Filter(effect="deny"), [2, 1]),
        (Filter(effect="allow"), [4, 3, 0]),
        (Filter(reason="rule-denies"), [1]),
        (Filter(reason="content-coding-unknown"), [3]),
        (Filter(refused=True), [3, 2, 1]),
        (Filter(since=NOW + 3), [4, 3]),
        (Filter(since=-1), [4, 3, 2, 1, 0]),
        (Filter(refused=True, effect="allow", since=NOW), [3]),
    ],
)
def test_the_newest_first_by_any_filter(wanted, found, store):
    assert numbers(store.summaries(wanted, 10)) == found


def test_a_limit_keeps_the_newest(store):
    assert numbers(store.summaries(Filter(), 2)) == [4, 3]


def test_verdicts(store):
    verdicts = [summary.verdict for summary in store.summaries(Filter(), 10)]
    assert verdicts == ["failed", "withheld", "refused", "refused", "allowed"]


OBSERVED = Decision(Effect.DENY, "no-rule-allows", observed=True)


def test_what_is_observed_is_not_refused_though_policy_said_so(start, record, state, ask):
    writer = start()
    writer.put(record(0, decision=OBSERVED))
    writer.put(record(1, decision=OBSERVED, error="client-disconnected"))
    writer.put(record(2, decision=OBSERVED, refusal=withheld("body-too-large")))
    assert writer.flush(PATIENCE)
    found = Store(state).summaries(Filter(), 10)
    assert [(one.verdict, one.mode, one.effect) for one in found] == [
        ("withheld", "observe", "deny"),
        ("failed", "observe", "deny"),
        ("observed", "observe", "deny"),
    ]
    assert ask("select verdict from flows_readable order by decision_id desc") == [(one.verdict,) for one in found]
    assert numbers(Store(state).summaries(Filter(refused=True), 10)) == [2]


@pytest.mark.parametrize("name", ["00000001-0000-4000-8000-000000000000", "00000001", "00000001-0"])
def test_a_flow_is_found_by_the_beginning_of_its_id(name, store):
    assert store.entry(name).summary.principal == "bot"


def test_a_flow_is_found_by_its_decision_id_in_either_case(store, record):
    decision_id = record(1).decision_id
    for name in (decision_id, decision_id.lower()):
        assert store.entry(name).summary.decision_id == decision_id


def test_a_flow_that_was_replayed_is_asked_for_by_decision(store, start, record):
    writer = start()
    writer.put(record(7, flow_id=record(0).flow_id))
    writer.flush(PATIENCE)
    with pytest.raises(HeadgateError, match="give one of their decision ids") as raised:
        store.entry("00000000")
    assert record(0).decision_id in str(raised.value)
    assert record(7).decision_id in str(raised.value)
    assert store.entry(record(7).decision_id).summary.time == NOW + 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0000", "is several recorded flows"),
        ("ffff", "no recorded flow has an id that begins with `ffff`"),
        ("", "is not an id"),
        ("-", "is not an id"),
        ("a%", "is not an id"),
        ("'; drop table flows", "is not an id"),
        ("\x1b[31m", "is not an id"),
        ("\u00e9", "is not an id"),
    ],
)
def test_what_is_no_unique_id_is_an_error_that_does_not_repeat_odd_characters(name, message, store):
    with pytest.raises(HeadgateError, match=message) as raised:
        store.entry(name)
    assert "\x1b" not in str(raised.value)


def test_an_entry_holds_everything(store, record):
    entry = store.entry("00000000")
    assert entry.principal == {
        "id": "ana",
        "kind": "human",
        "provider": "corp-sso",
        "owner": None,
        "person": None,
        "email": "ana@corp.example",
        "groups": ["eu", "support"],
        "environment": ["prod"],
        "audiences": [],
        "workload": {
            "name": "desk",
            "version": "1.2",
            "commit": None,
            "digest": None,
            "workflow": None,
            "pod": None,
            "verified": False,
        },
        "session_id": "s-1",
        "scopes": ["read"],
        "claims": {},
    }
    assert entry.bundle == {"name": "demo", "version": "1.0.0", "sha256": "ab" * 32}
    assert entry.rules == [{"id": "support-reads", "effect": "allow", "file": "rules/policy.yaml", "line": 12}]
    assert entry.masks == [{"location": "/email", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 2}]
    assert entry.stage_us == {"identity": 40, "policy": 11}
    assert entry.issued_at == NOW - 60
    assert (entry.request.headers, entry.request.body) == ((("accept", "*/*"),), b"")
    assert entry.response.body == record().response.body


def test_what_is_absent_stays_absent(store):
    entry = store.entry("00000002")
    assert (entry.principal, entry.target, entry.rules) == (None, None, [])
    assert (entry.shadow, entry.shadow_effect, entry.errors, entry.limits, entry.violations) == ([], None, [], [], [])
    assert (entry.nearest, entry.trace_id, entry.trace_link, entry.issued_at) == (None, None, None, None)
    assert store.entry("00000004").response is None


def test_the_layout_of_a_record(store):
    shown = json.loads(json.dumps(entry_json(store.entry("00000003"))))
    assert shown["request"] == {
        "method": "GET",
        "scheme": "http",
        "host": "customers.internal",
        "port": 80,
        "path": "/v1/customers/1",
        "query_names": ["fields"],
    }
    assert (shown["mode"], shown["nearest"], shown["shadow"], shown["limits"]) == ("enforce", None, [], [])
    assert (shown["time"], shown["verdict"], shown["effect"]) == ("2027-01-15T08:00:03.000Z", "withheld", "allow")
    assert shown["outcome"] == {
        "status": 502,
        "refusal": {"type": "withheld", "reason": "content-coding-unknown"},
        "error": None,
        "masks": [{"location": "/email", "entity": "EMAIL_ADDRESS", "operator": "redact", "count": 2}],
        "bytes": 28,
        "stage_us": {"identity": 40, "policy": 11},
    }
    assert shown["recorded"]["response"]["body"] == {"text": '{"email": "[EMAIL_ADDRESS]"}'}
    summary = summary_json(store.summaries(Filter(principal="bot"), 1)[0])
    assert (summary["principal"], summary["reason"]) == ({"id": "bot", "kind": "agent"}, "rule-denies")


def test_bytes_that_are_no_text_come_as_base64(start, record, state):
    writer = start()
    writer.put(record(response=Message((), b"\xff\x00", 2)))
    writer.flush(PATIENCE)
    assert entry_json(Store(state).entry("00000000"))["recorded"]["response"]["body"] == {"base64": "/wA="}


# -- files that are not as they should be -----------------------------------------------------------------------------


def test_no_capture_is_a_clear_error_and_makes_none(tmp_path):
    with pytest.raises(HeadgateError, match=r"there is no capture at .*: name the state folder"):
        Store(tmp_path / "nowhere").summaries(Filter(), 1)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"these are notes\n" * 100, "it is not a SQLite database"), (b"", "is from an older Headgate")],
)
def test_another_file_is_a_clear_error(content, message, tmp_path):
    (tmp_path / "capture.db").write_bytes(content)
    with pytest.raises(HeadgateError, match=message):
        Store(tmp_path).summaries(Filter(), 1)
    assert (tmp_path / "capture.db").read_bytes() == content


def test_a_body_that_would_unpack_beyond_what_a_record_holds_is_cut(store, state):
    bomb = zlib.compress(b"\0" * (MAX_BODY * 50), 9)
    with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
        connection.execute("update bodies set codec = 'zlib', data = ?", [bomb])
    assert len(store.entry("00000000").response.body) == MAX_BODY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("update bodies set codec = 'zlib'", "a recorded body is damaged"),
        ("update bodies set codec = 'lzma'", "has a codec that this version does not know"),
        ("update flows set req_headers = '{'", "a recorded value is damaged"),
    ],
)
def test_a_damaged_record_is_a_clear_error(change, message, store, state):
    with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
        connection.execute(change)
    with pytest.raises(HeadgateError, match=message):
        store.entry("00000000")


def test_reading_goes_on_while_a_writer_writes(store, start, record):
    writer = start()
    for n in range(10, 400):
        writer.put(record(n))
        if n % 50 == 0:
            assert len(store.summaries(Filter(), 1000)) >= 5
    writer.flush(PATIENCE)
    assert len(store.summaries(Filter(), 1000)) == 395
