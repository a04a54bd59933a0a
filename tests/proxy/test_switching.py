"""Which answers open a WebSocket: the accepted and refused ones at the door are in tests/e2e/test_websockets.py."""

import pytest
from mitmproxy import http

from headgate.model import Request
from headgate.proxy.switching import accept, opens

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HASH = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Of RFC 6455, section 1.3."""


def request(*headers: tuple[str, str], method: str = "GET") -> Request:
    asked = (("upgrade", "websocket"), ("sec-websocket-key", KEY), *headers)
    return Request(method, "http", "chat.internal", 80, "/", headers=asked)


def answer(status: int = 101, **headers: str | None) -> http.Response:
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Accept": HASH, **headers}
    response = http.Response.make(status)
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items() if value is not None]
    response.headers = http.Headers(named)
    return response


def test_the_hash_is_that_of_the_rfc() -> None:
    assert accept(KEY) == HASH


@pytest.mark.parametrize(
    "headers",
    [{}, {"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"}, {"Content_Length": "0"}, {"X_Other": "x"}],
)
def test_the_agreed_answer_opens_it(headers: dict[str, str | None]) -> None:
    assert opens(request(), answer(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": None},
        {"Upgrade": "websocket, h2c"},
        {"Connection": None},
        {"Connection": "close"},
        {"Connection": "upgrade, x-account"},
        {"Sec_WebSocket_Accept": None},
        {"Sec_WebSocket_Accept": HASH.lower()},
        {"Sec_WebSocket_Extensions": "permessage-deflate"},
        {"Sec_WebSocket_Extensions": ""},
        {"Sec_WebSocket_Protocol": "chat"},
        {"Sec_WebSocket_Protocol": ""},
        {"Content_Length": "1"},
        {"Transfer_Encoding": "chunked"},
    ],
)
def test_nothing_else_does(headers: dict[str, str | None]) -> None:
    assert not opens(request(), answer(**headers))


def test_a_protocol_must_have_been_offered() -> None:
    asked = request(("sec-websocket-protocol", "chat, superchat"))
    assert opens(asked, answer(Sec_WebSocket_Protocol="superchat"))
    for chosen in ("super", "chat, superchat", "Chat"):
        assert not opens(asked, answer(Sec_WebSocket_Protocol=chosen))


def test_only_a_request_that_was_judged_as_one() -> None:
    plain = Request("GET", "http", "chat.internal", 80, "/", headers=(("sec-websocket-key", KEY),))
    assert not opens(plain, answer())
    assert not opens(request(method="POST"), answer())
    assert not opens(None, answer())
    assert not opens(request(), None)
    assert not opens(request(), answer(status=200))
