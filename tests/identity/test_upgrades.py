"""The one upgrade that goes on is that to a WebSocket, and rules see it as what it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.test_hygiene import nothing, raw_request

from headgate.identity.hygiene import Clean, check
from headgate.identity.reasons import Malformed
from headgate.match import effective_method
from headgate.model import Refusal, malformed

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASKED = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
REFUSED = malformed(Malformed.UPGRADE_REFUSED.value)


def checked(changes: dict[str, str | None] | None = None, **raw: Any) -> Clean | Refusal:
    fields = {**ASKED, **(changes or {})}
    headers = [[name, value] for name, value in fields.items() if value is not None]
    return check(raw_request(headers=headers, **raw), nothing)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Sec-WebSocket-Protocol": "chat, superchat"},
        {"Content-Length": "0"},
        {"Sec-WebSocket-Extensions": "permessage-deflate"},
    ],
)
def test_a_request_for_a_websocket_goes_on_without_extensions(changes: dict[str, str | None]) -> None:
    clean = checked(changes)
    assert isinstance(clean, Clean)
    assert effective_method(clean.request) == "WEBSOCKET"
    sent = dict(clean.fields)
    assert (sent[b"Upgrade"], sent[b"Connection"]) == (b"websocket", b"Upgrade")
    assert (sent[b"Sec-WebSocket-Key"], sent[b"Sec-WebSocket-Version"]) == (KEY.encode(), b"13")
    assert b"Sec-WebSocket-Extensions" not in sent
    assert sent.get(b"Sec-WebSocket-Protocol", b"").decode() == (changes.get("Sec-WebSocket-Protocol") or "")


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in ASKED if name != "Upgrade"),
        {"Upgrade": "websocket, h2c"},
        {"Upgrade": "h2c"},
        {"Upgrade": "websocket/13"},
        {"Connection": "close, Upgrade"},
        {"Connection": "Upgrade, te"},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Version": "13, 8"},
        {"Sec-WebSocket-Key": ""},
        {"Sec-WebSocket-Key": "AAAA"},
        {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZR=="},
        {"Sec-WebSocket-Key": KEY + KEY},
        {"Sec-WebSocket-Protocol": ""},
        {"Sec-WebSocket-Protocol": "chat;q=1"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Expect": "100-continue"},
        {"HTTP2-Settings": "AAMAAABkAAQAAP__"},
    ],
)
def test_whatever_differs_is_refused(changes: dict[str, str | None]) -> None:
    assert checked(changes) == REFUSED


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
def test_only_a_get_upgrades(method: str) -> None:
    assert checked(method=method) == REFUSED


def test_nor_does_another_version_of_http() -> None:
    assert checked(version="HTTP/1.0") == REFUSED
    assert checked({"Host": ""}, version="HTTP/2.0", authority="localhost:8080") == REFUSED


def test_nobody_calls_a_method_what_rules_call_an_upgrade() -> None:
    nothing_special = dict.fromkeys(ASKED)
    assert checked(nothing_special, method="WEBSOCKET") == malformed(Malformed.METHOD.value)


@pytest.mark.parametrize("name", ["Sec_WebSocket_Key", "Sec.WebSocket.Version", "Sec_WebSocket_Protocol"])
def test_a_header_of_the_handshake_has_one_spelling(name: str) -> None:
    assert checked({name: "x"}) == malformed(Malformed.ALIASED_HEADER.value)


@given(
    st.dictionaries(
        st.sampled_from([*ASKED, "Sec-WebSocket-Protocol", "Content-Length", "Expect", "Accept"]),
        st.sampled_from(
            ["websocket", "Upgrade", "upgrade, keep-alive", "13", KEY, "0", "100-continue", "close", "x", ""]
        ),
    ),
    st.sampled_from(["GET", "POST"]),
)
def test_rules_see_a_websocket_exactly_where_one_is_let_on(headers: dict[str, str], method: str) -> None:
    clean = check(raw_request(headers=[[*pair] for pair in headers.items()], method=method), nothing)
    if isinstance(clean, Clean):
        sent = {name.lower() for name, _ in clean.fields}
        assert (effective_method(clean.request) == "WEBSOCKET") == (b"upgrade" in sent)
        assert b"upgrade" not in sent or {name.lower().encode() for name in ASKED} <= sent
