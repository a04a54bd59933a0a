"""mitmproxy's filter expressions mean the same here, with four terms more; SQL narrows, and loses nothing."""

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import flowfilter
from tests.cli.recording import ANA, NOW, PATIENCE, Sent, by
from tests.replay.exchanged import directions, entry, message, recorded

from headgate.capture.record import Message
from headgate.capture.store import Store
from headgate.model import Decision, Effect, MaskCount, RuleRef, denied, withheld
from headgate.replay import filters
from headgate.replay.expression import NoFilter
from headgate.replay.filters import parse, select
from headgate.replay.flowfile import flow_of
from headgate.replay.selection.demands import ANYTHING
from headgate.replay.selection.store import select_entries

ALLOWED = Decision(
    Effect.ALLOW, "allowed", (RuleRef("reads", Effect.ALLOW, "p.yaml", 1), RuleRef("more", Effect.ALLOW, "p.yaml", 2))
)
DENIED = Decision(Effect.DENY, "rule-denies", (RuleRef("never", Effect.DENY, "p.yaml", 3),))
MAIL = (MaskCount("/customer/email", "EMAIL_ADDRESS", "redact", 1),)
JSON = ((b"content-type", b"application/json"),)


@pytest.fixture
def store(tmp_path):
    """Six flows, one second apart."""
    from headgate.capture.writer import Writer

    records = [
        replace(Sent(headers=JSON, body=b"needle").record(0), decision=ALLOWED, masks=MAIL),
        replace(Sent("DELETE", "/v1/x", 403, by("bot/a"), refusal=denied("rule-denies")).record(1), decision=DENIED),
        replace(Sent(host="other.internal", status=502, refusal=withheld("no")).record(2), decision=ALLOWED),
        replace(Sent("POST", "/v1/y?q=1", 404, None).record(3), decision=ALLOWED),
        replace(Sent(status=None, who=by("bot/b"), error="killed").record(4), decision=ALLOWED, response=None),
        replace(Sent("GET", "/v2", 200, by("bot/a")).record(5), response=Message(JSON, b"needle", 6)),
    ]  # fmt: skip
    writer = Writer(tmp_path, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    assert all(writer.put(record) for record in records)
    assert writer.flush(PATIENCE)
    writer.close(PATIENCE)
    return Store(tmp_path)


def numbers(found):
    return [int(one.summary.flow_id[:8], 16) for one in found]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("~all", [0, 1, 2, 3, 4, 5]),
        ("~decision allow", [0, 2, 3, 4]),
        ("~decision deny", [1, 5]),
        ("~decision allowed", [0, 3]),
        ("~decision refused", [1]),
        ("~decision withheld", [2]),
        ("~decision failed", [4]),
        ("~decision observed", [5]),
        ("~decision imported", []),
        ("~rule reads", [0, 2, 3, 4]),
        ("~rule more", [0, 2, 3, 4]),
        ("~rule rea", []),
        ("~principal bot", [1, 4, 5]),
        ("~principal ^BOT/a$", [1, 5]),
        ("~principal ''", [0, 1, 2, 4, 5]),
        ("~mask email_address", [0]),
        ("~mask /customer/.*", [0]),
        ("~mask IBAN_CODE", []),
        ("~d other", [2]),
        ("~d internal & !~d other & ~m get", [0, 4, 5]),
        ("~m 'DELETE|POST'", [1, 3]),
        ("~c 404", [3]),
        ("~b needle", [0, 5]),
        ("~bq needle", [0]),
        ("~bs needle", [5]),
        ("~t json", [0, 5]),
        ("~e", [4]),
        ("~q", [4]),
        ("/v1/y", [3]),
        ("~marked & ~comment ^refused", [1]),
        ("~principal bot & (~decision refused | ~e)", [1, 4]),
        ("!(~principal bot | ~c 404) ~d other", [2]),
        ("!!~c 404", [3]),
        ("~tcp | ~websocket", []),
        ("(~e)|(~c 404)", [3, 4]),
    ],
)
def test_which_flows_are_meant(store, expression, found):
    assert numbers(select(store, expression)) == found
    assert numbers(select(store, expression, newest_first=True)) == found[::-1]


def test_times_narrow_too(store):
    assert numbers(select(store, "~all", since=NOW + 1, until=NOW + 3)) == [1, 2]
    assert numbers(select(store, "~principal bot", since=NOW + 2)) == [4, 5]


def test_bodies_are_read_only_where_somebody_needs_them(store):
    assert [one.request.body for one in select(store, "~rule reads & ~d api & ~c 200", bodies=False)] == [b""]
    assert [one.request.body for one in select(store, "~bq needle", bodies=False)] == [b"needle"]


@pytest.mark.parametrize(
    "expression", ["~principal bot & ~c 200", "~d internal & ~rule never", "~mask email & ~m get", "~decision refused"]
)
def test_what_sql_narrows_to_is_never_less_than_what_is_meant(store, expression):
    wanted = parse(expression)
    narrowed = set(numbers(select_entries(store, wanted.demands)))
    meant = {number for number, one in zip(range(6), select_entries(store, ANYTHING), strict=True) if wanted(one)}
    assert meant <= narrowed < set(range(6))


@pytest.mark.parametrize("page", [1, 2, 3])
def test_pages_join_without_a_gap_and_without_doubles(store, monkeypatch, page):
    monkeypatch.setattr("headgate.replay.selection.store.PAGE", page)
    for expression in ("~all", "~principal bot", "~d internal", "~principal . & ~d internal"):
        everything = [n for n, one in enumerate(select_entries(store, ANYTHING)) if parse(expression)(one)]
        assert numbers(select(store, expression)) == everything
        assert numbers(select(store, expression, newest_first=True)) == everything[::-1]


def test_one_callers_flows_are_found_without_a_look_at_the_others(store, monkeypatch):
    """Its pages go by the index of callers: not one row of anybody else is read."""
    plans = []
    real = sqlite3.connect

    def watched(*args, **more):
        connection = real(*args, **more)
        connection.set_trace_callback(plans.append)
        return connection

    monkeypatch.setattr("headgate.capture.store.sqlite3.connect", watched)
    assert numbers(select(store, "~principal ^bot/a$")) == [1, 5]
    page = next(sql for sql in plans if "f.principal = 'bot/a'" in sql)
    with real(store.path) as connection:
        connection.create_function("headgate_0", 1, lambda _: True)
        steps = [row[3] for row in connection.execute(f"explain query plan {page}")]
    connection.close()
    assert steps[0].startswith("SEARCH f USING")
    assert "idx_flows_principal_ts_start (principal=?" in steps[0]
    assert steps[1].startswith("SEARCH d USING INDEX idx_decisions_flow")


# -- the same as in mitmproxy -----------------------------------------------------------------------------------------

words = st.sampled_from(["a", "b.*", "api", "200", "'a b'", '"x\\\\d"', '"y\\"z"', "^/", "json", "!a", "n|t"])
codes = st.sampled_from(["b", "bq", "bs", "h", "hq", "t", "u", "m", "src"])
terms = st.one_of(
    st.sampled_from(["~q", "~s", "~e", "~all", "~http", "~a", "~marked", "~websocket", "~c 200", "~c 404"]),
    st.builds(lambda code, word: f"~{code} {word}", codes, words),
    st.sampled_from(["api", "internal", "'v1'", "^https"]),
)
expressions = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.builds(lambda one: f"! ( {one} )", inner),
        st.builds(lambda one, sign, other: f"( {one} {sign} {other} )", inner, st.sampled_from(["&", "|"]), inner),
    ),
    max_leaves=6,
)
"""With spaces before `)`, where mitmproxy wants them."""


@given(expressions, directions, directions)
def test_every_expression_means_what_it_means_in_mitmproxy(expression, request_, response):
    one = entry(request_, response)
    assert parse(expression)(one) == bool(flowfilter.parse(expression)(flow_of(one)))


@given(st.lists(terms, min_size=2, max_size=4), st.lists(st.sampled_from([" & ", " | ", " "]), min_size=3, max_size=3))
def test_signs_bind_as_in_mitmproxy(several, signs):
    text = several[0] + "".join(sign + term for sign, term in zip(signs, several[1:], strict=False))
    one = entry(recorded(((b"content-type", b"text/json"),), b"a"))
    assert parse(text)(one) == bool(flowfilter.parse(text)(flow_of(one)))


def test_mitmproxys_own_filters_stay_as_they_are():
    parse("~decision allow & ~principal x")
    with pytest.raises(ValueError, match="Invalid filter"):
        flowfilter.parse("~decision allow")
    assert {action.code for action in flowfilter.filter_rex}.isdisjoint(filters.OWN)


def test_messages_of_a_websocket_are_bodies_too():
    socket = entry(kind="websocket")
    assert parse("~bq hello")(socket, lambda _: [message(0, b"hello")])
    assert not parse("~bs hello")(socket, lambda _: [message(0, b"hello")])


# -- what cannot be meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "nothing to match at its end"),
        ("~d", "a term without its argument at character 1, `~d`"),
        ("~d api & ", "nothing to match at its end"),
        ("& ~q", "nothing to match at character 1"),
        ("~q & | ~s", "nothing to match at character 6, `| ~s`"),
        ("(~q", "a `(` without its `)` at character 1"),
        ("~q)", "a `)` without its `(` at character 3"),
        ("()", "nothing to match at character 2"),
        ("~nope x", "an unknown term at character 1, `~nope x`; accepted: `~a`, "),
        ("~d 'x", "a quote that is not closed at character 4"),
        ("~c abc", "`abc` is no number; accepted: such as `~c 404`"),
        ("~q | ~decision yes", "at character 6: `yes` is neither an effect nor a verdict; accepted: `allow`, "),
        ("~u '('", "at character 1: `(` is not a regex; accepted: the syntax of RE2"),
        ("~u '(?=x)'", "is not a regex; accepted: the syntax of RE2"),
        ("~b \x1b[2J(", "nothing to match at its end"),
        ("~b x \x1b~", "an unknown term"),
        ("(" * 60 + "~q" + ")" * 60, "more than 50 parentheses"),
        ("x" * 10_001, "has 10001 characters; accepted: up to 10000"),
        ("~u " + "x" * 1001, "a regex of 1001 characters; accepted: up to 1000"),
    ],
)
def test_the_error_says_what_is_wrong_where_and_what_is_accepted(expression, says):
    with pytest.raises(NoFilter) as caught:
        parse(expression)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@given(st.text(alphabet="~dcbq()&|!'\"\\ ax1\t", max_size=20))
def test_no_text_makes_it_raise_anything_else(text):
    try:
        parse(text)
    except NoFilter:
        return


def test_a_pattern_made_to_run_away_does_not():
    one = entry(recorded((), b"a" * 200_000 + b"!"))
    assert not parse("~bq '^(a+)+$'")(one)


def test_who_called_goes_by_what_the_record_says_of_him(store):
    assert {one.summary.principal for one in select(store, f"~principal ^{ANA.id}$")} == {"ana"}
