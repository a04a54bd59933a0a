"""Whatever a peer sent becomes rows that SQLite takes, without losing a byte of a header; hashes tell nothing."""

import hashlib
import json
import sqlite3
import zlib
from contextlib import closing
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.capture.record import MAX_BODY, Line, Message, Mode, message_of
from headgate.capture.rows import query_names, recorded_claims, rows_of
from headgate.capture.store import Filter, Store
from headgate.capture.tables import inserts
from headgate.model import Decision, Effect, LimitUse, MaskCount, Refusal, RuleRef, malformed

KEY = b"k" * 32
PATIENCE = 20.0


def message(body, *headers):
    return Message(headers, body, len(body))


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_is_named_by_a_keyed_hash_that_says_only_the_same(record):
    one, same, other = (
        rows_of(record(request=message(body)), key).bodies[0].key
        for body, key in ((b"4111", KEY), (b"4111", KEY), (b"4111", b"j" * 32))
    )
    assert one == same != other
    assert one != hashlib.sha256(b"4111").hexdigest()


@pytest.mark.parametrize(
    ("body", "headers", "codec"),
    [
        (b"small", (), "identity"),
        (b"a" * 1025, (), "zlib"),
        (b"a" * 1024, (), "identity"),
        (hashlib.shake_128(b"").digest(5000), (), "identity"),
        (b"a" * 5000, ((b"Content-Encoding", b"gzip"),), "identity"),
    ],
    ids=["small", "repeats", "at the limit", "incompressible", "encoded already"],
)
def test_a_body_is_compressed_when_it_helps(body, headers, codec, record):
    kept = rows_of(record(request=message(body, *headers)), KEY).bodies[0]
    assert (kept.codec, kept.size) == (codec, len(body))
    assert (zlib.decompress(kept.data) if codec == "zlib" else kept.data) == body


def test_the_same_body_is_kept_once(start, record, ask):
    writer = start()
    for n in range(3):
        writer.put(record(n, request=message(b"the same")))
    writer.flush(PATIENCE)
    assert ask("select count(*) from bodies where data = ?", b"the same") == [(1,)]


def test_a_long_body_is_cut_and_marked_and_its_size_still_told(record):
    long = message_of((), b"x" * (MAX_BODY + 1), Mode.MASKED)
    flow = rows_of(record(request=long), KEY).flow
    assert (len(long.body), flow.req_size, flow.req_truncated, flow.resp_truncated) == (MAX_BODY, MAX_BODY + 1, 1, 0)


# -- what is kept of whom ---------------------------------------------------------------------------------------------


def test_claims_are_kept_only_where_the_rules_may_read_them_and_absence_is_told(record):
    kept = rows_of(record(claims=("/tenant/id", "/absent", "/sub/deeper")), KEY).principal
    assert json.loads(kept.claims) == {"/tenant/id": 7, "/absent": None, "/sub/deeper": None}
    assert "a-token-id" not in str(rows_of(record(), KEY))


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("/a~1b", 1), ("/c~0d", 2), ("/e/f", 3), ("/e/g", None), ("/a~1b/x", None), ("/~01", 4), ("/h/1", 6)],
)
def test_a_claim_is_found_by_json_pointer(pointer, found):
    claims = {"a/b": 1, "c~d": 2, "e": {"f": 3}, "~1": 4, "h": (5, 6)}
    assert recorded_claims(claims, (pointer,)) == {pointer: found}


def test_nothing_is_said_of_what_lies_below_a_claim_that_is_no_object():
    claims = {"tenant": {"id": 7}, "name": "ana"}
    pointers = ("/tenant/id", "/tenant", "/name/first", "/name", "/gone", "/gone/x")
    assert recorded_claims(claims, pointers) == {
        "/tenant": {"id": 7},
        "/tenant/id": 7,
        "/name": "ana",
        "/gone": None,
    }


def test_a_claim_that_is_an_object_is_kept_as_one(record):
    caller = replace(record().principal, claims=MappingProxyType({"tenant": MappingProxyType({"ids": (1, 2)})}))
    kept = rows_of(record(principal=caller, claims=("/tenant",)), KEY).principal
    assert kept.claims == '{"/tenant":{"ids":[1,2]}}'


def test_metadata_leaves_out_headers_bodies_and_the_values_of_the_query(record):
    secret = b"s3cr3t"
    line = Line(b"GET", "http", "a.internal", 80, b"/path?token=" + secret + b"&a=1&a=2", b"HTTP/1.1")
    sent = message_of(((b"cookie", secret),), secret, Mode.METADATA)
    rows = rows_of(record(line=line, request=sent, response=sent, mode=Mode.METADATA), KEY)
    assert "s3cr3t" not in str(rows)
    flow = rows.flow
    assert (flow.path, flow.query, flow.query_names, flow.req_headers) == ("/path", None, '["token","a"]', None)
    assert (flow.req_size, flow.req_truncated, flow.resp_size) == (6, 0, 6)


@pytest.mark.parametrize(
    ("query", "names"),
    [("", []), ("a=1&b=&c", ["a", "b", "c"]), ("a=1&a=2", ["a"]), ("x%20y=1&&=z", ["x y", ""]), ("%00=1", ["\\x00"])],
)
def test_query_names(query, names):
    assert query_names(query) == names


# -- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_refusal_before_policy_was_asked_is_a_deny_with_its_reason(record):
    decision = rows_of(record(decision=None, refusal=malformed("duplicate-header")), KEY).decision
    assert (decision.effect, decision.reason, decision.rules) == ("deny", "duplicate-header", "[]")
    assert (decision.refusal, decision.refusal_reason) == ("malformed-request", "duplicate-header")


def test_an_exchange_nobody_judged_is_a_deny(record):
    decision = rows_of(record(decision=None), KEY).decision
    assert (decision.effect, decision.reason, decision.refusal) == ("deny", "not-judged", None)


def test_what_policy_said_and_what_came_of_it_are_both_kept(record):
    withheld = Refusal(502, "withheld", "title", "content-coding-unknown")
    decision = rows_of(record(refusal=withheld), KEY).decision
    assert (decision.effect, decision.reason, decision.rule) == ("allow", "allowed", "support-reads")
    assert (decision.refusal, decision.refusal_reason) == ("withheld", "content-coding-unknown")
    assert decision.rules == '[{"id":"support-reads","effect":"allow","file":"rules/policy.yaml","line":12}]'


def test_what_is_not_enforced_is_kept_beside_the_answer(record):
    shadow = RuleRef("deny-all", Effect.DENY, "rules/policy.yaml", 30)
    said = Decision(
        Effect.ALLOW,
        "allowed",
        shadow=(shadow,),
        shadow_effect=Effect.DENY,
        errors=("broken",),
        observed=True,
        limits=(LimitUse("per-caller", 7, enforced=False),),
        violations=("/body/amount\0",),
    )
    decision = rows_of(record(decision=said, trace_id="ab" * 16, trace_link="cd" * 16), KEY, '{"rule":{}}').decision
    assert (decision.mode, decision.shadow_effect, decision.errors) == ("observe", "deny", '["broken"]')
    assert decision.shadow == '[{"id":"deny-all","effect":"deny","file":"rules/policy.yaml","line":30}]'
    assert decision.limits == '[{"id":"per-caller","remaining":7,"exhausted":false,"enforced":false}]'
    assert decision.violations == '["/body/[redacted]"]'
    assert (decision.nearest, decision.trace_id, decision.trace_link) == ('{"rule":{}}', "ab" * 16, "cd" * 16)


def test_a_plain_decision_says_none_of_it(record):
    decision = rows_of(record(), KEY).decision
    assert (decision.mode, decision.shadow, decision.shadow_effect, decision.errors) == ("enforce", "[]", None, "[]")
    assert (decision.limits, decision.violations, decision.nearest, decision.trace_id) == ("[]", "[]", None, None)


def test_what_is_needed_to_decide_again_is_kept(record):
    known, unknown = record(signals=frozenset({"freeze", "a\0b"})), record(signals=None)
    assert rows_of(known, KEY).decision.signals == '["a\\\\x00b","freeze"]'
    assert rows_of(record(signals=frozenset()), KEY).decision.signals == "[]"
    assert rows_of(unknown, KEY).decision.signals is None


# -- anything at all --------------------------------------------------------------------------------------------------

odd_text = st.text(st.characters(), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.binary(max_size=8),
    target=st.binary(max_size=20),
    host=odd_text,
    fields=st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=4),
    body=st.binary(max_size=400),
    name=odd_text,
    location=odd_text,
)
def test_whatever_was_sent_can_be_stored_and_read_back(
    tmp_path_factory, record, start, method, target, host, fields, body, name, location
):
    folder = tmp_path_factory.mktemp("odd")
    made = record(
        line=Line(method, "http", host, 80, target, b"HTTP/1.1"),
        request=Message(tuple(fields), body, len(body)),
        principal=replace(record().principal, id=name, email=name),
        masks=(MaskCount(location, "field", "drop", 1),),
    )
    writer = start(folder=folder)
    writer.put(made)
    assert writer.close(PATIENCE)
    entry = Store(folder).entry(made.decision_id)
    assert entry.stage_us == made.stage_us
    assert entry.request.body == body
    encoded = [tuple(part.encode("utf-8", "surrogateescape") for part in field) for field in entry.request.headers]
    assert encoded == fields
    assert Store(folder).summaries(Filter(), 1)[0].decision_id == made.decision_id
    with closing(sqlite3.connect(folder / "capture.db")) as connection:
        texts = connection.execute("select host, path, query, principal, location from flows, masks").fetchone()
    assert all(text is None or "\0" not in text for text in texts)


def test_a_group_is_split_where_a_statement_takes_fewer_values(record):
    rows = [rows_of(record(n), KEY) for n in range(10)]
    statements = list(inserts(rows, [], 1, most=60))
    assert all(len(values) <= 60 for _, values in statements)
    assert sum(sql.startswith("insert into flows") for sql, _ in statements) == 5
    assert sum(sql.startswith("insert into principals") for sql, _ in statements) == 1
