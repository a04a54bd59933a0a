"""What was recorded is found by its words, the newest first; what is gone is not; no text means more than its words."""

import gzip
import sqlite3
from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.capture.entries import Filter
from headgate.capture.fulltext.store import search, searching
from headgate.capture.fulltext.writer import Index
from headgate.capture.record import Line, Message, Mode
from headgate.capture.retention import Retention
from headgate.capture.search import Message as Said
from headgate.capture.search import Searched, expression, words_of
from headgate.capture.spoken import Spoken
from headgate.capture.upkeep.writer import Pruner
from headgate.errors import HeadgateError
from headgate.model import Decision, Effect, Kind, Principal, denied

NOW = 1_800_000_000.0
PATIENCE = 20.0
JSON = ((b"content-type", b"application/json"),)


def decode(body, codings):
    return gzip.decompress(body) if codings == ["gzip"] else None


@pytest.fixture
def index(state):
    return Index(state / "capture.db", decode)


@pytest.fixture
def find(state):
    def found(text, limit=10, **wanted):
        return [int(one.flow_id[:8], 16) for one in search(state / "capture.db", text, Filter(**wanted), limit)]

    return found


def fill(index):
    index.establish()
    while index.advance():
        pass


@pytest.fixture
def flows(start, record, index):
    """Six flows with something of each kind that can be searched for."""
    writer = start()
    bot = Principal("build-bot", Kind.AGENT, "corp-sso", owner="ana@corp.example")
    zipped = gzip.compress(b'{"city": "Krak\\u00f3w"}')
    puts = [
        record(0, line=Line(b"POST", "https", "pay.internal", 443, b"/v1/caf%C3%A9?card=4711+0815", b"HTTP/1.1")),
        record(1, principal=bot),
        record(2, decision=Decision(Effect.DENY, "rule-denies"), refusal=denied("rule-denies"), status=403),
        record(3, response=Message((*JSON, (b"content-encoding", b"gzip")), zipped, len(zipped))),
        record(4, request=Message(((b"x-request-id", b"req-7f3a"),), b'{"note": "first\\nsecond"}', 25)),
    ]
    for one in puts:
        assert writer.put(one)
    socket = record(5)
    writer.put(Spoken(socket.decision_id, socket.flow_id, 0, NOW, True, "text", b"hello there", 11))
    writer.put(socket)
    assert writer.flush(PATIENCE)
    fill(index)
    return writer


# -- what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("café", [0]),
        ("cafe", [0]),
        ("CAFE", [0]),
        ("4711", [0]),
        ("4711 0815", [0]),
        ('"4711 0815"', [0]),
        ('"0815 4711"', []),
        ("0815 4711", [0]),
        ("47*", [0]),
        ("47", []),
        ("build-bot", [1]),
        ("ana@corp.example", [5, 4, 3, 2, 1, 0]),
        ("rule-denies", [2]),
        ("krakow", [3]),
        ("second", [4]),
        ("req-7f3a", [4]),
        ("EMAIL_ADDRESS", [5, 4, 2, 1, 0]),
        ("hello", [5]),
        ("hello krakow", []),
        ("customers.internal", [5, 4, 3, 2, 1]),
    ],
)
@pytest.mark.usefixtures("flows")
def test_words_of_every_part_of_a_flow(text, found, find):
    assert find(text) == found


@pytest.mark.usefixtures("flows")
def test_the_newest_first_and_no_more_than_asked_for(find):
    assert find("corp.example", limit=2) == [5, 4]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"principal": "build-bot"}, [1]),
        ({"host": "pay.*"}, [0]),
        ({"host": "pay.internal"}, [0]),
        ({"effect": "deny"}, [2]),
        ({"refused": True}, [2]),
        ({"reason": "rule-denies"}, [2]),
        ({"since": NOW + 4}, [5, 4]),
    ],
)
@pytest.mark.usefixtures("flows")
def test_together_with_the_other_filters(wanted, found, find):
    assert find("corp.example", **wanted) == found


def test_metadata_has_its_path_and_no_values(start, record, index, find):
    writer = start()
    writer.put(record(0, mode=Mode.METADATA, request=Message(), response=Message(size=9)))
    assert writer.flush(PATIENCE)
    fill(index)
    assert find("customers") == [0]
    assert find("name") == []


def test_what_is_no_text_and_what_cannot_be_decoded_is_left_out_alone(start, record, index, find):
    writer = start()
    coded = ((b"content-encoding", b"br"),)
    for n, message in enumerate(
        (Message((), b"\x89PNG\0word", 9), Message(coded, b"word", 4), Message((), b"\xffword", 5))
    ):
        writer.put(record(n, response=message))
    writer.put(record(3, response=Message(((b"content-type", b"text/plain; charset=iso-8859-1"),), b"caf\xe9 word", 9)))
    writer.put(record(4, response=Message((), "word é".encode()[:-1], 6)))
    assert writer.flush(PATIENCE)
    fill(index)
    assert find("word") == [4, 3]
    assert find("café") == [3]
    assert find("customers") == [4, 3, 2, 1, 0]


# -- bringing it up to date -------------------------------------------------------------------------------------------


def test_there_is_no_index_until_somebody_asks_for_one(start, record, index, find, ask):
    writer = start()
    writer.put(record(0))
    assert writer.flush(PATIENCE)
    assert not index.exists()
    assert index.advance() == 0
    with pytest.raises(HeadgateError, match="has no index yet: `headgate flows index` makes it"):
        find("customers")
    assert ask("select count(*) from sqlite_master where name like 'search%'") == [(0,)]


def test_it_is_made_once_and_goes_on_where_it_was(flows, record, index, find):
    assert index.establish() is False
    assert index.advance() == 0
    assert index.behind() == 0
    flows.put(record(6, line=Line(b"GET", "https", "late.internal", 443, b"/", b"HTTP/1.1")))
    assert flows.flush(PATIENCE)
    assert find("late") == []
    assert index.behind() == 1
    assert index.advance() == 1
    assert find("late") == [6]


def test_a_step_adds_no_more_than_so_many_flows_or_so_much_text(start, record, index, monkeypatch):
    writer = start()
    for n in range(12):
        writer.put(record(n))
    assert writer.flush(PATIENCE)
    index.establish()
    assert index.advance(5) == 5
    monkeypatch.setattr("headgate.capture.fulltext.writer.STEP_TEXT", 10)
    assert index.advance(5) == 1
    assert index.behind() == 6


def test_no_text_is_in_the_file_twice(start, record, index, state):
    writer = start()
    sentence = b"an-unusual-first-word and-an-unusual-second-word"
    writer.put(record(0, response=Message((), sentence, len(sentence))))
    assert writer.flush(PATIENCE)
    fill(index)
    assert writer.close(PATIENCE)
    assert b"".join(file.read_bytes() for file in state.glob("capture.db*")).count(sentence) == 1


@pytest.mark.usefixtures("flows")
def test_an_index_of_another_version_is_made_anew(index, find, state):
    with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
        connection.execute("update meta set value = '0' where key = 'search_version'")
    assert index.establish() is True
    assert find("hello") == []
    fill(index)
    assert find("hello") == [5]


def test_vacuum_does_not_lead_it_astray(flows, find, state):
    assert flows.close(PATIENCE)
    Pruner(state / "capture.db", decode).step(Retention(0.5), NOW + 2)
    with closing(sqlite3.connect(state / "capture.db", isolation_level=None)) as connection:
        connection.execute("vacuum")
    assert find("hello") == [5]
    assert find("req-7f3a") == [4]


# -- what is deleted --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("flows")
def test_what_is_deleted_is_out_of_the_index(state, find):
    pruner = Pruner(state / "capture.db", decode)
    while pruner.step(Retention(1.5), NOW + 5) is not None:
        pass
    assert find("corp.example") == [5, 4]
    assert found_in_index(state, "krakow") == found_in_index(state, "café") == []
    assert found_in_index(state, "hello") == [6]


def test_a_number_that_is_given_again_is_indexed_again(flows, record, state, index, find):
    """When all flows are gone, the next one has the first's number."""
    pruner = Pruner(state / "capture.db", decode)
    while pruner.step(Retention(1.0), NOW + 100) is not None:
        pass
    flows.put(record(9, line=Line(b"GET", "https", "next.internal", 443, b"/", b"HTTP/1.1")))
    assert flows.flush(PATIENCE)
    assert index.advance() == 1
    assert find("next") == [9]
    assert find("hello") == []


def test_after_merging_nothing_of_what_was_deleted_is_left_in_it(flows, state, index):
    """The pages of FTS5 hold words as they are: deleted ones, too, until they are merged away."""
    pruner = Pruner(state / "capture.db", decode)
    while pruner.step(Retention(1.5), NOW + 5) is not None:
        pass
    assert index.merge(first=True)
    while index.merge(first=False):
        pass
    assert flows.close(PATIENCE)
    assert pruner.settle()
    assert b"krakow" not in (state / "capture.db").read_bytes()


@pytest.mark.usefixtures("flows")
def test_a_damaged_index_is_dropped_rather_than_left_with_what_is_gone(state, index, ask):
    with closing(sqlite3.connect(state / "capture.db")) as connection, connection:
        connection.execute("update search_data set block = x'00'")
    pruner = Pruner(state / "capture.db", decode)
    while pruner.step(Retention(1.5), NOW + 5) is not None:
        pass
    assert ask("select count(*) from flows") == [(2,)]
    assert not index.exists()


def found_in_index(state, text):
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        sql = "select rowid from search where search match ? order by rowid"
        return [row for (row,) in connection.execute(sql, [expression(text)])]


# -- what a person writes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("one two", '"one" "two"'),
        ('"one two" three', '"one two" "three"'),
        ("pre*", '"pre"*'),
        ('"one two"*', '"one two"*'),
        ("a AND b", '"a" "AND" "b"'),
        ("NEAR(a b)", '"NEAR(a" "b)"'),
        ("what:x", '"what:x"'),
        ("-x ^y", '"-x" "^y"'),
        ('un"closed phrase', '"un" "closed phrase"'),
        ("***", None),
        ("- -- ' )", None),
        ("", None),
        ('""', None),
    ],
)
def test_words_are_words_whatever_fts5_would_make_of_them(text, query):
    if query is None:
        with pytest.raises(HeadgateError, match="nothing to search for"):
            expression(text)
    else:
        assert expression(text) == query


@pytest.mark.parametrize("text", ["x" * 1001, "x " * 65])
def test_too_much_to_search_for_is_said(text):
    with pytest.raises(HeadgateError, match="accepted: up to"):
        expression(text)


@given(st.text(max_size=60))
@example('" OR 1 --')
@example("\0a\0")
@example("\ud800 b")
@example('"')
@example("a" + '"' * 5 + "*b")
@example("ⅷ ٣ ﷺ")
def test_no_text_breaks_a_query(text):
    try:
        query = expression(text)
    except HeadgateError:
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create virtual table search using fts5(what, content = '', columnsize = 0)")
        assert connection.execute("select rowid from search where search match ?", [query]).fetchall() == []


@given(st.binary(max_size=80), st.text(max_size=20))
def test_the_words_of_a_flow_are_always_the_same_and_always_storable(body, path):
    flow = Searched("GET", "h", path, None, None, (None,), ("r",), Said([], body), Said(JSON_TEXT, body), (body,))
    first, second = words_of(flow, lambda _body, _codings: None), words_of(flow, lambda _body, _codings: None)
    assert first == second
    assert all(text.encode() is not None and "\0" not in text for text in first)


JSON_TEXT = [("content-type", "application/json")]


@pytest.mark.usefixtures("flows")
def test_searching_sorts_nothing(state):
    sql, values = searching("corp", Filter(principal="ana", host="*.internal"))
    with closing(sqlite3.connect(state / "capture.db")) as connection:
        plan = [step for *_, step in connection.execute(f"explain query plan {sql}", [*values, 10])]
    assert "TEMP B-TREE" not in " ".join(plan)
    assert plan[0].startswith("SCAN s VIRTUAL TABLE INDEX")
