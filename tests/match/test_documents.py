"""Bodies and queries as documents: what can be read, what is unclear, and that nothing runs away."""

import gzip
import json
import zlib
from functools import partial
from itertools import count
from typing import Any

import pytest

from headgate.match.aliases import Name, member_key, parameter_key, parameter_keys
from headgate.match.documents import MAX_DEPTH, MAX_SIZE, MAX_VALUES, Document, document
from headgate.match.found import Found
from headgate.match.operations import MAX_BATCH, MAX_LENGTH, operations
from headgate.match.parameters import MAX_PARAMETERS, Parameters
from headgate.model import Request

zipped = partial(gzip.compress, mtime=0)
"""Without the time, which would make other tests of them each second."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def read(body: bytes | None, media_type: str = JSON, *codings: str) -> Document:
    headers = [("content-type", media_type), *(("content-encoding", coding) for coding in codings)]
    return document(Request("POST", "https", "a", 443, "/", "", tuple(headers), "", body))


PLAIN = b'{"a": 1}'


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (zipped(PLAIN), ("gzip",)),
        (zipped(PLAIN), ("X-GZIP",)),
        (zipped(PLAIN), ("identity, gzip",)),
        (zlib.compress(PLAIN), ("deflate",)),
        (PLAIN, ("",)),
    ],
    ids=count(),
)
def test_a_body_in_one_coding_is_read(body: bytes, codings: tuple[str, ...]) -> None:
    assert read(body, JSON, *codings).value == {"a": 1}


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (zipped(PLAIN)[:-1], ("gzip",)),
        (zipped(PLAIN) + b"x", ("gzip",)),
        (zipped(PLAIN) * 2, ("gzip",)),
        (zipped(zipped(PLAIN)), ("gzip", "gzip")),
        (zipped(PLAIN), ("gzip, gzip",)),
        (zlib.compress(PLAIN)[2:-4], ("deflate",)),
        (zipped(b" " * MAX_SIZE + PLAIN), ("gzip",)),
        (zipped(PLAIN.rjust(MAX_SIZE + 1)), ("gzip",)),
        (PLAIN, ("br",)),
        (PLAIN, ("zstd",)),
        (b" " * MAX_SIZE + PLAIN, ()),
        (b'\xef\xbb\xbf{"a": 1}', ()),
        ('{"a": 1}'.encode("utf-16"), ()),
        (b'{"a": "\xff"}', ()),
    ],
    ids=count(),
)
def test_a_body_that_may_be_read_in_two_ways_is_unclear(body: bytes, codings: tuple[str, ...]) -> None:
    assert read(body, JSON, *codings).unclear in {"body-not-readable", "body-is-not-json"}


def test_a_body_of_the_largest_size_is_read() -> None:
    assert read(PLAIN.rjust(MAX_SIZE)).value == {"a": 1}
    assert read(zipped(PLAIN.rjust(MAX_SIZE)), JSON, "gzip").value == {"a": 1}


def test_a_document_may_be_nested_so_deep_and_no_deeper() -> None:
    fits, deeper = (b"[" * depth + b"]" * depth for depth in (MAX_DEPTH, MAX_DEPTH + 1))
    assert read(fits).unclear is None
    assert read(deeper).unclear == "body-too-deep"
    assert read(b"[" * (MAX_VALUES - 1)).unclear == "body-is-not-json"
    assert read(b"[" * 10_000 + b"]" * 10_000).unclear in {"body-too-deep", "body-is-not-json"}


@pytest.mark.parametrize("value", [b"1.5", b'"a"', b"null"])
def test_a_document_may_have_so_many_values_and_no_more(value: bytes) -> None:
    fits, more = (b"[" + b",".join([value] * (count - 1)) + b"]" for count in (MAX_VALUES, MAX_VALUES + 1))
    assert read(fits).unclear is None
    assert read(more).unclear == "body-too-complex"


def test_containers_are_values() -> None:
    assert read(json.dumps([{}] * (MAX_VALUES // 2 - 1)).encode()).unclear is None
    assert read(json.dumps([{}] * (MAX_VALUES // 2)).encode()).unclear == "body-too-complex"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (r"\\ud83d", True),
        (r"\\\ud83d", False),
        (r"\ud83d\ude00", True),
        (r"\uD83D\uDE00", True),
        (r"\ud83d\\ude00", False),
        (r"\ud83d\ud83d\ude00", False),
        (r"\ud83d \ude00", False),
        (r"\ude00\ud83d", False),
        (r"\ud83d\u0041", False),
        (r"\ud7ff\ue000\n\"\/", True),
        (r"\ud83d\ude00" * 1000, True),
        (r"\ud83d\ude00" * 1000 + r"\udfff", False),
    ],
    ids=count(),
)
def test_half_a_character_is_noticed_however_it_is_escaped(text: str, whole: bool) -> None:
    assert read(f'["{text}", 1]'.encode()).unclear == (None if whole else "body-is-not-json")
    assert read(f'{{"{text}": 1}}'.encode()).unclear == (None if whole else "body-is-not-json")


def test_no_number_of_escapes_is_too_many() -> None:
    assert read(b'"' + rb"\u0041" * 170_000 + rb'\ud83d\ude00"').unclear is None


def test_many_shallow_containers_are_not_deep() -> None:
    assert read(json.dumps([[]] * 1000).encode()).unclear is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b"-Infinity",
        b"01",
        b"1.",
        b"'a'",
        b"{,}",
        b"[1,]",
        b"\v1",
        b'"\n"',
        b"1 2",
        b"9" * 5000,
        b'"\\ud800"',
    ],
    ids=count(),
)
def test_json_is_read_strictly(body: bytes) -> None:
    found = read(body)
    assert found == Document(absent=True) if not body else found.unclear == "body-is-not-json"


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/json", "json"),
        ("application/vnd.acme+json; version=2", "json"),
        ('application/json; a="x;y\\""; charset=UTF-8 ;', "json"),
        (FORM, "form"),
        (f"{FORM}; charset=utf-8", "form"),
        ("text/json", None),
        ("application/jsonp", None),
        ("application/json charset=utf-8", None),
        ("application/json; charset=latin1", None),
        ("application/json; charset=utf-8; charset=utf-16", None),
        ("application/json; charset", None),
        ("application/", None),
        ("", None),
        ("multipart/form-data; boundary=x", None),
        ("application/json;" + " " * 100_000 + "x", None),
        ("application/json; a=" + "a" * 300, None),
    ],
    ids=count(),
)
def test_a_content_type_is_read_strictly(media_type: str, kind: str | None) -> None:
    found = read(b"1", media_type)
    assert {"json": not found.form, "form": found.form}.get(str(kind)) is (True if kind else None)
    assert (found.unclear == "content-type-not-readable") is (kind is None)


@pytest.mark.parametrize(
    "body", [b'{"a":1}', b"[1]", b"<a/>", b"\xef\xbb\xbfa=1", b"a=\x00", b"a=1\r\n", b"a=\xc3\xa9"]
)
def test_what_is_no_form_is_unclear_as_one(body: bytes) -> None:
    assert read(body, FORM).unclear


@pytest.mark.parametrize(
    ("query", "unclear"),
    [
        ("a=1&" * MAX_PARAMETERS, "too-many-parameters"),
        ("a=1;" * MAX_PARAMETERS, "too-many-parameters"),
        ("x" * 257 + "=1", "parameter-name-unreadable"),
        ("a" + "[b]" * 17 + "=1", "parameter-name-unreadable"),
        ("a" + ".b" * 17 + "=1", "parameter-name-unreadable"),
        ("a" + ".b[c]" * 8 + ".d;a=1", "parameter-name-unreadable"),
        ("a b=1", "parameters-hold-odd-characters"),
        ("a=1#b", "parameters-hold-odd-characters"),
        ("é=1", "parameters-hold-odd-characters"),
        ("%FF=1;a", "parameter-name-unreadable"),
        ("a;%FF=1", "parameter-name-unreadable"),
    ],
    ids=count(),
)
def test_a_query_of_which_nothing_can_be_told(query: str, unclear: str) -> None:
    parameters = Parameters(query)
    assert parameters.unclear == unclear
    assert parameters.find(Name.of("z")) == parameters.everything() == Found(unclear=unclear)


def test_a_query_holds_as_many_parameters_as_a_reader_takes() -> None:
    assert len(Parameters("&".join(["a=1"] * MAX_PARAMETERS)).find(Name.of("a")).values) == MAX_PARAMETERS


def test_empty_pairs_are_none() -> None:
    assert Parameters("&&a=1&").everything() == Found(("1",))


@pytest.mark.parametrize(
    ("query", "unclear"),
    [("a=1&a=2", "parameter-repeated"), ("a=1&A=2", "parameter-ambiguous"), ("a[b]=1", "parameter-nested"), ("", None)],
)
def test_all_parameters_are_clear_or_none(query: str, unclear: str | None) -> None:
    assert Parameters(query).everything() == Found(unclear=unclear)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("force", "FORCE", True),
        ("force", " force", True),
        ("force", "force[]", True),
        ("dry_run", "dry.run", True),
        ("dry_run", "dryRun", True),
        ("a[b]", "a[B]", True),
        ("a[b]", "a[c]", False),
        ("force", "forced", False),
        ("$filter", "filter", True),
        ("_", "-", False),
    ],
)
def test_spellings_of_a_parameter_have_one_key(first: str, second: str, same: bool) -> None:
    assert (parameter_key(first) == parameter_key(second)) is same


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Amount", ("amount",)),
        ("order[amount]", ("order[amount",)),
        ("order.amount", ("orderamount", "order[amount")),
        ("order[amount", ("orderamount", "order[amount")),
        ("items[0].Amount", ("items[0amount", "items[0[amount")),
        ("items.0.amount", ("items0amount", "items[0[amount")),
        ("a['b']", ("a[b",)),
        (".a.", ("a",)),
        ("a.b\0.c", ("ab", "a[b")),
        (".", (".",)),
        ("\0.", ("",)),
    ],
)
def test_a_name_with_parts_has_a_key_for_each_way_of_reading_it(name: str, keys: tuple[str, ...]) -> None:
    assert parameter_keys(name) == keys


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("a", "A", True), ("a_b", "aB", True), ("_id", "id", False), ("$ref", "ref", False), ("straße", "STRASSE", True)],
)
def test_spellings_of_a_member_have_one_key(first: str, second: str, same: bool) -> None:
    assert (member_key(first) == member_key(second)) is same


def ask(body: Any) -> str | None:
    found = read(json.dumps(body).encode())
    request = Request("POST", "https", "a", 443, "/")
    return operations(request, Parameters(""), found).unclear


@pytest.mark.parametrize(
    ("body", "unclear"),
    [
        ({"query": "{a}" + " " * MAX_LENGTH}, "graphql-too-large"),
        ([{"query": "{a}" + " " * (MAX_LENGTH // 2)}] * 2, "graphql-too-large"),
        ({"query": "{" + "a " * 4000 + "}"}, "graphql-not-readable"),
        ({"query": "#\n" * 4000 + "{a}"}, "graphql-not-readable"),
        ({"query": "{a" * 1000 + "}" * 1000}, "graphql-not-readable"),
        ({"query": "type T { a: Int }"}, "graphql-not-executable"),
        ({"query": "fragment F on T { a }"}, "graphql-operation-not-found"),
        ({"query": "{a} {b}"}, "graphql-operation-not-found"),
        ({"query": "{...F} fragment F on T {a} fragment F on T {b}"}, "graphql-fragment-repeated"),
        ({"query": ""}, "graphql-stored-operation"),
        ({"query": "{a}", "documentId": 1}, "graphql-stored-operation"),
        ([{"query": "{a}"}, [{"query": "mutation {b}"}]], "graphql-batch-of-other-entries"),
        ({"query": 1}, "graphql-member-not-text"),
        ([{}] * MAX_BATCH + [{"query": "{a}"}], "graphql-batch-too-large"),
        ([{"query": "{" + "a " * 200 + "}"}] * MAX_BATCH, "graphql-not-readable"),
        ([1] * (MAX_BATCH + 1), None),
        ([{"query": "{a}"}] * MAX_BATCH, None),
    ],
    ids=count(),
)
def test_a_graphql_request_that_cannot_be_read_says_why(body: Any, unclear: str | None) -> None:
    assert ask(body) == unclear
