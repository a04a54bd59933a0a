"""Queries and bodies that ask for another method are found in every spelling that servers know, and no others are."""

import json
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.identity.overrides import body_refusal, in_query
from headgate.identity.reasons import Malformed

FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
OVERRIDE, UNREADABLE = Malformed.METHOD_OVERRIDE, Malformed.FORM_UNREADABLE


def refused(body: bytes | str, content_type: str | None = FORM, coding: str | None = None) -> Malformed | None:
    given = {"Content-Type": content_type, "content-encoding": coding}
    fields = tuple((name.encode(), value.encode()) for name, value in given.items() if value is not None)
    return body_refusal(fields, body.encode() if isinstance(body, str) else body)


def part(header: str) -> str:
    return f"--x\r\n{header}\r\n\r\nDELETE\r\n--x--\r\n"


FORMS = {
    "plain": "_method=DELETE",
    "after another field": "a=1&_method=DELETE",
    "after a semicolon": "a=1;_method=DELETE",
    "in escapes": "%5F%6d%65%74%68%6F%64=DELETE",
    "in capitals": "_METHOD=DELETE",
    "with a dot, which PHP makes an underscore": ".method=DELETE",
    "with a blank before it, which PHP takes off": "a=1&+_method=DELETE",
    "with a line end before it": "a=1&%0D%0A_method=DELETE",
    "in a list": "_method[]=DELETE",
    "cut off by a NUL": "_method%00=DELETE",
    "without a value": "a=1&_method",
    "Salesforce's": "_HttpMethod=DELETE",
    "by the name of a header": "X-HTTP-Method-Override=DELETE",
    "Google's": "%24httpMethod=DELETE",
}


@pytest.mark.parametrize("how", FORMS)
def test_a_form_that_asks_for_another_method_is_refused(how: str) -> None:
    assert refused(FORMS[how]) is OVERRIDE
    assert in_query(FORMS[how])


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "APPLICATION/X-WWW-FORM-URLENCODED",
        "application/x-www-form-urlencoded ; charset=UTF-8",
        'application/x-www-form-urlencoded;charset="iso-8859-1"',
        "application/x-www-form-urlencoded, text/plain",
        "",
        None,
    ],
)
def test_a_form_is_one_by_every_name_that_servers_read_as_one(content_type: str | None) -> None:
    assert refused("_method=DELETE", content_type) is OVERRIDE


HEADERS = {
    "plain": 'Content-Disposition: form-data; name="_method"',
    "in capitals": 'CONTENT-DISPOSITION: FORM-DATA; NAME="_METHOD"',
    "without quotes": "Content-Disposition: form-data; name=_method",
    "in single quotes": "Content-Disposition: form-data; name='_method'",
    "with blanks": 'Content-Disposition : form-data; name = "_method"',
    "in a folded line": 'Content-Disposition: form-data;\r\n\tname="_method"',
    "with a backslash": 'Content-Disposition: form-data; name="\\_method"',
    "in the extended form": "Content-Disposition: form-data; name*=utf-8''_method",
    "in the extended form with escapes": "Content-Disposition: form-data; name*=utf-8''%5Fmethod",
    "behind a file name": 'Content-Disposition: form-data; filename="a"; name="_method"',
    "after another header": 'Content-Type: text/plain\r\nContent-Disposition: form-data; name="_method"',
    "with a bare line feed": 'Content-Type: text/plain\nContent-Disposition: form-data;name="_method"',
    "behind a byte above ASCII": 'Content-Disposition: form-data; filename="\xff"; name="_method"',
}


@pytest.mark.parametrize("how", HEADERS)
def test_a_form_in_parts_that_asks_for_another_method_is_refused(how: str) -> None:
    assert refused(part(HEADERS[how]).encode("latin-1"), PARTS) is OVERRIDE
    assert refused(part(HEADERS[how]).encode("latin-1"), "Multipart/Related;boundary=x") is OVERRIDE


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"_method": "DELETE"}', "application/json"),
        ('{"a": 1, "\\u005fmethod" : "DELETE"}', "application/vnd.api+json"),
        ('\n {"_METHOD":"DELETE"}', "text/plain"),
        ('{"_method":"DELETE"}', None),
    ],
)
def test_json_that_asks_for_another_method_is_refused(body: str, content_type: str | None) -> None:
    assert refused(body, content_type) is OVERRIDE


HONEST: dict[str, tuple[Any, str | None]] = {
    "no body": ("", FORM),
    "a form": ("method=card&payment_method=1&_methods=2&_method_id=3&a=_method&b=x_method", FORM),
    "a form whose value holds a URL": ("url=https://x/?_method=1", FORM),
    "a form in parts": (part('Content-Disposition: form-data; name="method"'), PARTS),
    "a page with such a form, uploaded": (
        part('Content-Disposition: form-data; name="page"') + '<input name="_method">',
        PARTS,
    ),
    "JSON": (json.dumps({"method": "card", "text": '"_method":', "list": ["_method"]}), "application/json"),
    "text": ("_method=DELETE", "text/plain"),
    "bytes": (bytes(range(256)), "application/octet-stream"),
}


@pytest.mark.parametrize("what", HONEST)
def test_what_asks_for_nothing_goes_on(what: str) -> None:
    assert refused(*HONEST[what]) is None


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "x"])
def test_a_form_that_cannot_be_read_is_refused(coding: str) -> None:
    assert refused("a=1", FORM, coding) is UNREADABLE
    assert refused("a=1", PARTS, coding) is UNREADABLE
    assert refused("a=1", "application/json", coding) is None
    assert refused("a=1", FORM, "Identity") is None


@pytest.mark.parametrize(
    "charset", ["utf-16", "utf-7", "ibm037", "shift_jis", "", '"utf-16le"', "utf-8; charset=utf-16", "x-utf-8"]
)
def test_a_form_whose_letters_may_be_others_is_refused(charset: str) -> None:
    assert refused("a=1", f"{FORM}; charset={charset}") is UNREADABLE
    assert refused("a=1", f"{PARTS}; CHARSET = {charset}") is UNREADABLE
    assert refused("a=1", f"{FORM}; charset*=utf-8''utf-16") is UNREADABLE


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_a_form_is_refused_exactly_if_a_field_of_that_name_is_in_it(fields: dict[str, str]) -> None:
    query = urlencode(fields)
    assert not in_query(query) or any("method" in name.lower() or "header" in name.lower() for name in fields)
    assert in_query("&".join(filter(None, [query, "_method=x"])))
    assert "_method" in parse_qs("&".join(filter(None, [query, "_method=x"])))


@given(st.binary(), st.none() | st.text(max_size=40), st.none() | st.text(max_size=10))
def test_any_bytes_of_any_type_give_an_answer(body: bytes, content_type: str | None, coding: str | None) -> None:
    assert refused(body, content_type, coding) in (None, OVERRIDE, UNREADABLE)
