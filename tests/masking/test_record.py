"""What of a body recorders may show: credentials go, from whatever is nearly JSON, too, and without taking long."""

import gzip
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.plan import Fields
from headgate.masking.record import HIDDEN, LARGEST, MOST, recordable

TOKEN = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"
JSON: Fields = ((b"Content-Type", b"application/json"),)

names = st.sampled_from(["password", "client_secret", "accessToken", "p\u00e4ss token"])
harmless = st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=3))
secrets = st.recursive(
    st.just("S3CRET") | st.just('a"S3CRET\\'),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1),
)


@given(st.dictionaries(st.sampled_from(["a", "b", 'c":"']), harmless), names, secrets, st.sampled_from([None, 1]))
def test_no_credential_in_json_survives_and_all_else_does(
    beside: dict[str, Any], name: str, secret: Any, indent: int | None
) -> None:
    body = json.dumps([{**beside, name: secret, "z": 1}], indent=indent).encode()
    _, cleaned = recordable(JSON, body)
    assert json.loads(cleaned) == [{**beside, name: "[redacted]", "z": 1}]


@pytest.mark.parametrize(
    "body", [b'{"password": "S3CRET', b'{"password":S3CRET\n', b'{"tokens": ["S3CRET"', b'x "pin" : {"a":"S3CRET"}']
)
def test_what_is_broken_off_is_no_less_secret(body: bytes) -> None:
    assert b"S3CRET" not in recordable((), body)[1]


def test_a_token_goes_from_any_text() -> None:
    for kind in (b"text/html", b"image/svg+xml", b"application/octet-stream"):
        cleaned = recordable(((b"Content-Type", kind),), b'<a x="\\n' + TOKEN + b'">')[1]
        assert cleaned == b'<a x="\\n[redacted]">'


def test_pictures_are_left_alone() -> None:
    for kind in (b"image/png", b"Application/ZIP", b"video/mp4; x=y"):
        headers = ((b"Content-Type", kind),)
        assert recordable(headers, TOKEN) == (headers, TOKEN)


CODED: Fields = (*JSON, (b"Content-Encoding", b"gzip"), (b"Content-Length", b"9"))


def test_a_coded_body_is_shown_plain_once_something_has_gone() -> None:
    assert recordable(CODED, gzip.compress(b'{"pin": 1}')) == (
        (*JSON, (b"Content-Length", b"21")),
        b'{"pin": "[redacted]"}',
    )
    harmless = gzip.compress(b'{"a": 1}')
    assert recordable(CODED, harmless) == (CODED, harmless)


@pytest.mark.parametrize("body", [b"{}", gzip.compress(b" " * (LARGEST + 1))])
def test_a_coded_body_that_cannot_be_read_is_not_kept(body: bytes) -> None:
    assert recordable(CODED, body) == ((*JSON, (b"Content-Length", b"0")), b"")


def test_of_a_long_body_the_beginning_is_kept() -> None:
    body = b'{"pin": "' + b"x" * 10 + b'", "a": "' + b"y" * LARGEST
    _, cleaned = recordable(JSON, body)
    assert cleaned == b'{"pin": ' + HIDDEN + body[len(b'{"pin": "xxxxxxxxxx"') : LARGEST]


def test_form_answers_are_cleaned_too() -> None:
    headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
    assert recordable(headers, b"access_token=x&scope=y")[1] == b"access_token=[redacted]&scope=y"


def test_json_that_is_called_a_form_is_cleaned_as_json() -> None:
    headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
    assert recordable(headers, b'{"password": "x=1&y"}')[1] == b'{"password": "[redacted]"}'


PIECES = [b'"', b'"":', b'"pin":1,', b'{"pin":[', b'{"pin":', b"[", b'"\\', b'"\\u0041', b"eyJ", b"eyJaaaaaaaa.", b" "]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("before", [b"", b'{"pin":', b'{"pin":[', b'{"pin":"'])
def test_nothing_takes_long(before: bytes, piece: bytes) -> None:
    body = before + piece * (LARGEST // len(piece))
    begun = time.process_time()
    recordable(JSON, body)
    assert time.process_time() - begun < 1.5


def test_a_body_with_too_many_credentials_ends_there() -> None:
    body = b'{"pin":1}' * (MOST + 5)
    assert recordable(JSON, body)[1] == b'{"pin":"[redacted]"}' * MOST + b'{"pin":' + HIDDEN
