"""WebSockets at the door: who may open one, what passes on it, what the other side hears, and when it ends.

Most go through one proxy, in which another script meddles when asked to and which judges again without the usual pause.
"""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.e2e.agent import basic
from tests.e2e.canary import CANARY, CARD, EMAIL, remember
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import SCRIPTS, Proxy, write_rules
from tests.e2e.scripts.socketeer import FORGED, TRICKS
from tests.e2e.sockets import EXTENSION, KEY, UPGRADE, Asked, Opening, Peer, SocketUpstream, agreed, asking, open_on
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import answer_on

from headgate.cli.main import main
from headgate.identity.development import DevelopmentKey

IDENTITY = "providers:\n  - {name: dev, preset: development, audiences: [headgate-dev], clock_skew: 0s}\n"
NOBODY = "providers:\n  - {name: other, preset: development, audiences: [elsewhere]}\n"
POLICY = """
rules:
  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}}
  - {id: guests-may-not, effect: deny, match: {principal: {id: guest}}}
  - {id: nobody-listens, effect: deny, match: {method: WEBSOCKET, path: /closed}}
  - {id: nobody-writes, effect: deny, match: {method: write, path: /readonly}}
"""
LOCKED = POLICY + "  - {id: nobody-chats-any-more, effect: deny, match: {path: /chat}}\n"
MASKING = """
masks:
  - {id: personal-data, match: {path: "/masked/{rest...}"}, fields: ["$..ssn"], detect: [EMAIL_ADDRESS, CREDIT_CARD]}
  - {id: found, match: {path: "/found/{rest...}"}, detect: [EMAIL_ADDRESS, CREDIT_CARD]}
  - {id: header, match: {path: "/headers/{rest...}"}, fields: ["header:X-Account-Email"]}
  - {id: both, match: {path: "/both/{rest...}"}, fields: ["$..ssn", "$.a.ssn"], request: true}
  - {id: not-for-all, match: {path: "/except/{rest...}"}, except: {principal: {id: officer}}, fields: ["$..ssn"]}
  - {id: found-both-ways, match: {path: "/talk/{rest...}"}, detect: [EMAIL_ADDRESS, CREDIT_CARD], request: true}
  - {id: heard-by-some, match: {path: "/heard/{rest...}"}, except: {principal: {id: officer}}, detect: [CREDIT_CARD]}
"""
CUSTOMER = f'{{"id": 7, "ssn": "{CANARY}-078", "note": "write to {EMAIL} or charge {CARD}"}}'
MASKED = {"id": 7, "ssn": "[REDACTED]", "note": "write to [EMAIL_ADDRESS] or charge [CREDIT_CARD]"}
MEGABYTE = 1024 * 1024

Chat = Callable[..., tuple[Peer, Peer]]


def rules_in(folder: Path, **changed: str) -> Path:
    return write_rules(folder, **{"identity": IDENTITY, "policy": POLICY, "masking": MASKING, **changed})


@pytest.fixture(scope="module")
def sockets() -> Iterator[SocketUpstream]:
    server = SocketUpstream()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _forget(sockets: SocketUpstream) -> None:
    sockets.forget()


@pytest.fixture(scope="module")
def proxy(proxies: Start, sockets: SocketUpstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    proxy = proxies(
        mode=f"reverse:{sockets.url}",
        door="mitmweb",
        rules=rules_in(tmp_path_factory.mktemp("sockets") / "rules"),
        scripts_after=[SCRIPTS / "hurry.py", SCRIPTS / "socketeer.py"],
    ).ready()
    proxy.output.wait_for("Loading script .*socketeer.py")
    return proxy


@pytest.fixture
def ask(proxy: Proxy) -> Iterator[Callable[..., Opening]]:
    """Asks the proxy for a WebSocket, with a good token: `ask(path, *fields)`."""
    with contextlib.ExitStack() as connections:

        def asked(path: str, *fields: str, token: str | None = "", upgrade: Any = UPGRADE, at: Any = None) -> Opening:
            through: Proxy = at or proxy
            shown = [] if token is None else [f"Authorization: Bearer {token or through.token()}"]
            connection = connections.enter_context(through.connect())
            return open_on(connection, asking(path, f"127.0.0.1:{through.port}", *shown, *fields, upgrade=upgrade))

        yield asked


@pytest.fixture
def chat(ask: Callable[..., Opening], sockets: SocketUpstream) -> Chat:
    """Both sides of a WebSocket through the proxy."""

    def opened(path: str = "/chat", *fields: str, **keywords: Any) -> tuple[Peer, Peer]:
        opening = ask(path, *fields, **keywords)
        assert opening.status == 101, (opening.status, opening.body)
        return opening.peer, sockets.next()

    return opened


def reason(opening: Opening) -> str:
    return str(json.loads(opening.body)["reason"])


def last_record(proxy: Proxy, *open_still: Peer) -> dict[str, Any]:
    """What became of the last exchange, once all connections have ended."""
    for peer in open_still:
        peer.hang_up()
    record: dict[str, Any] = proxy.flows("list")[0]
    return record


# ----------------------------------------------------------------------------------------------------- who may open one


def test_an_allowed_upgrade_passes_messages_both_ways(proxy: Proxy, chat: Chat, sockets: SocketUpstream) -> None:
    client, upstream = chat()
    client.text("hello ", "there")
    assert upstream.hear() == "hello there"
    upstream.binary(b"\x00\xff")
    assert client.hear() == b"\x00\xff"
    upstream.text("¡hola! ☃" * 10_000)
    assert client.hear() == "¡hola! ☃" * 10_000
    client.close(1000, "done")
    assert upstream.hear() == ("close", 1000, "done")
    assert client.hear() == ("close", 1000, "done")
    assert client.hear() is None
    (asked,) = sockets.asked
    assert asked.header("authorization") == []
    record = last_record(proxy, client, upstream)
    assert (record["verdict"], record["rule"], record["outcome"]["status"]) == ("allowed", "support-may", 101)
    proxy.output.wait_for(
        r"a WebSocket has ended, decision \w+: allowed: support-may \(1 messages from the caller, 2 to"
    )


@pytest.mark.parametrize(("path", "rule"), [("/closed", "nobody-listens"), ("/readonly", "nobody-writes")])
def test_rules_refuse_it_by_its_method(
    ask: Callable[..., Opening], sockets: SocketUpstream, proxy: Proxy, path: str, rule: str
) -> None:
    refused = ask(path)
    assert (refused.status, json.loads(refused.body)["rule"]) == (403, rule)
    assert sockets.asked == []
    assert last_record(proxy, refused.peer)["verdict"] == "refused"


def test_nobody_opens_one_without_a_token(ask: Callable[..., Opening], sockets: SocketUpstream) -> None:
    refused = ask("/chat", token=None)
    assert (refused.status, reason(refused)) == (401, "no-token")
    assert sockets.asked == []


@pytest.mark.parametrize(
    "upgrade",
    [
        [line for line in UPGRADE if "Key" not in line],
        [line for line in UPGRADE if "Version" not in line],
        [line for line in UPGRADE if "Connection" not in line],
        [line.replace("websocket", "websocket, h2c") for line in UPGRADE],
        [line.replace("websocket", "h2c") for line in UPGRADE],
    ],
)
def test_what_asks_for_something_else_is_refused(
    ask: Callable[..., Opening], sockets: SocketUpstream, upgrade: list[str]
) -> None:
    refused = ask("/chat", upgrade=upgrade)
    assert (refused.status, reason(refused)) == (400, "upgrade-refused")
    assert sockets.asked == []


def test_the_upstream_sees_no_extension_and_the_protocols_offered(chat: Chat, sockets: SocketUpstream) -> None:
    chat("/chat", EXTENSION, "Sec-WebSocket-Protocol: chat.v2, chat")
    (asked,) = sockets.asked
    assert asked.header("sec-websocket-extensions") == []
    assert asked.header("sec-websocket-protocol") == ["chat.v2, chat"]
    assert (asked.header("upgrade"), asked.header("connection")) == (["websocket"], ["Upgrade"])


def test_the_caller_learns_the_protocol_and_recorders_do_not(
    ask: Callable[..., Opening], sockets: SocketUpstream, proxy: Proxy
) -> None:
    """Browsers can set no other header, so that tokens travel in it."""
    protocol = f"bearer.{CANARY}"
    sockets.answer = lambda asked: agreed(asked, f"Sec-WebSocket-Protocol: {protocol}", f"Set-Cookie: s={CANARY}")
    opening = ask("/chat", f"Sec-WebSocket-Protocol: chat, {protocol}")
    assert (opening.status, opening.header("sec-websocket-protocol")) == (101, [protocol])
    assert opening.header("set-cookie") == [f"s={CANARY}"]
    sockets.next().text("hello")
    assert opening.peer.hear() == "hello"
    assert CANARY.encode() not in proxy.everything_shown()


def test_the_answers_headers_are_masked(ask: Callable[..., Opening], sockets: SocketUpstream) -> None:
    sockets.answer = lambda asked: agreed(asked, f"X-Account-Email: {EMAIL}")
    opening = ask("/headers/chat")
    assert (opening.status, opening.header("x-account-email")) == (101, ["[REDACTED]"])
    sockets.next().binary(b"no mask reads this")
    assert opening.peer.hear() == b"no mask reads this"


def without(asked: Asked, name: str) -> bytes:
    return b"\r\n".join(line for line in agreed(asked).split(b"\r\n") if not line.startswith(name.encode() + b":"))


def test_what_an_upstream_says_along_with_its_answer_is_masked_too(
    ask: Callable[..., Opening], sockets: SocketUpstream
) -> None:
    said = f"write to {EMAIL}".encode()
    sockets.answer = lambda asked: agreed(asked) + bytes((0x81, len(said))) + said
    opening = ask("/found/chat")
    assert opening.status == 101
    assert opening.peer.hear() == "write to [EMAIL_ADDRESS]"


def test_http2_has_no_websockets(proxy: Proxy, sockets: SocketUpstream) -> None:
    """Neither by a CONNECT that names the protocol (RFC 8441) nor by the headers of HTTP/1.1."""
    line = [(b":scheme", b"https"), (b":authority", b"127.0.0.1:%d" % proxy.port), (b":path", b"/chat")]
    token = (b"authorization", b"Bearer " + proxy.token().encode())
    connect = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *line, token]
    upgrade = [(b":method", b"GET"), *line, token, (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    for fields in (connect, upgrade):
        with Client(proxy.port) as client:
            status, _ = client.request(fields)
        assert status not in (200, 101)
    assert sockets.asked == []


WRONG: dict[str, Callable[[Asked], bytes]] = {
    "another key's hash": lambda asked: agreed(asked).replace(b"Accept: ", b"Accept: x"),
    "no hash": lambda asked: without(asked, "Sec-WebSocket-Accept"),
    "two hashes": lambda asked: agreed(asked, "Sec-WebSocket-Accept: x"),
    "an extension": lambda asked: agreed(asked, "Sec-WebSocket-Extensions: permessage-deflate"),
    "a protocol that was not offered": lambda asked: agreed(asked, "Sec-WebSocket-Protocol: other"),
    "two protocols": lambda asked: agreed(asked, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
    "another protocol than WebSocket": lambda asked: agreed(asked).replace(b"websocket", b"h2c"),
    "no upgrade": lambda asked: without(asked, "Upgrade"),
    "a body": lambda asked: agreed(asked, "Content-Length: 5"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_does_not_open_it_is_withheld(
    ask: Callable[..., Opening], sockets: SocketUpstream, proxy: Proxy, wrong: str
) -> None:
    said = f"\x81\x06{CANARY}".encode("latin-1")
    sockets.answer = lambda asked: WRONG[wrong](asked) + said
    opening = ask("/chat", "Sec-WebSocket-Protocol: chat")
    assert (opening.status, reason(opening)) == (502, "unexpected-upgrade")
    assert CANARY.encode() not in opening.body
    assert last_record(proxy, opening.peer)["verdict"] == "withheld"


def test_an_upgrade_nobody_asked_for_is_withheld(ask: Callable[..., Opening]) -> None:
    key = f"Sec-WebSocket-Key: {KEY}"
    opening = ask("/chat", key, "Sec-WebSocket-Version: 13", upgrade=())
    assert (opening.status, reason(opening)) == (502, "unexpected-upgrade")


def test_an_answer_without_an_upgrade_is_nobodys_to_read(ask: Callable[..., Opening], sockets: SocketUpstream) -> None:
    """What was let on as a WebSocket has not been judged as a GET."""
    sockets.answer = lambda _: b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nnone"
    opening = ask("/chat")
    assert (opening.status, json.loads(opening.body)["reason"]) == (502, "not-upgraded")


# ------------------------------------------------------------------------------------------------------ what is masked


def test_messages_to_the_caller_are_masked_as_a_body_is(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/masked/chat")
    upstream.text(CUSTOMER)
    heard = client.hear()
    assert isinstance(heard, str)
    assert json.loads(heard) == MASKED
    upstream.text('"nothing to mask"')
    assert client.hear() == '"nothing to mask"'
    client.text(CUSTOMER)
    assert upstream.hear() == CUSTOMER, "what is sent upstream is not masked"
    client.close()
    assert upstream.hear() == ("close", 1000, "")
    assert client.hear_end() == ("close", 1000, "")
    assert last_record(proxy, client, upstream)["outcome"]["masked"] == 3


def test_a_message_in_fragments_is_masked_as_a_whole(chat: Chat) -> None:
    client, upstream = chat("/found/chat")
    half = len(CANARY) // 2
    upstream.text(f"write to {CANARY[:half]}", f"{CANARY[half:]}.mary@exam", "ple.org", "")
    assert client.hear() == "write to [EMAIL_ADDRESS]"
    upstream.text("☃" * 3000 + f" {EMAIL} " + "☃" * 3000)
    assert client.hear() == "☃" * 3000 + " [EMAIL_ADDRESS] " + "☃" * 3000


SSN = f'{{"ssn": "{CANARY}-078", "id": 7}}'
NO_SSN = '{"ssn": "[REDACTED]", "id": 7}'


def test_messages_are_masked_both_ways_where_a_mask_is_for_requests_too(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/both/chat")
    client.text(SSN)
    assert upstream.hear() == NO_SSN
    upstream.text(SSN)
    assert client.hear() == NO_SSN
    client.text("nothing to mask: true")
    assert client.hear() == ("close", 1011, "fields-in-text")
    assert upstream.hear() == ("close", 1011, "")
    record = last_record(proxy, client, upstream)
    assert (record["verdict"], record["outcome"]["masked"]) == ("withheld", 2)
    (shown,) = proxy.window.flows()[-1:]
    messages = proxy.window.get(f"/flows/{shown['id']}/messages/content/Auto.json").json()
    assert [message["text"].count("[REDACTED]") for message in messages] == [1, 1]


@pytest.mark.parametrize(
    ("say", "told"),
    [
        (lambda peer: peer.binary(CANARY.encode()), "binary-message"),
        (lambda peer: peer.text(f'{{"ssn": "{CANARY}'), "fields-in-text"),
    ],
)
def test_what_cannot_be_masked_is_not_sent_upstream(
    chat: Chat, proxy: Proxy, say: Callable[[Peer], None], told: str
) -> None:
    client, upstream = chat("/both/chat")
    say(client)
    assert upstream.hear() == ("close", 1011, "")
    assert client.hear() == ("close", 1011, told)
    record = last_record(proxy, client, upstream)
    assert (record["verdict"], record["outcome"]["refusal"]["reason"]) == ("withheld", told)


def test_neither_peer_hears_what_the_other_puts_into_control_frames_where_both_are_masked(chat: Chat) -> None:
    client, upstream = chat("/both/chat")
    for source, target in ((client, upstream), (upstream, client)):
        source.ping(CANARY.encode())
        kind, payload = target.hear()  # type: ignore[misc]
        assert (kind, payload != CANARY.encode()) == ("ping", True)
        target.pong(CANARY.encode())
        assert source.hear() == ("pong", b"")
        target.pong(payload)
        assert source.hear() == ("pong", CANARY.encode())
    client.close(4001, CANARY)
    assert upstream.hear() == ("close", 4001, "")


def test_an_excepted_caller_alone_hears_the_original(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/except/chat", token=proxy.token(sub="officer"))
    upstream.text(SSN)
    assert client.hear() == SSN
    upstream.binary(CANARY.encode())
    assert client.hear() == CANARY.encode()
    other, other_upstream = chat("/except/chat")
    other_upstream.text(SSN)
    assert other.hear() == NO_SSN
    assert CANARY.encode() not in proxy.everything_shown()
    (shown,) = [flow for flow in proxy.window.flows() if flow.get("websocket")][-2:-1]
    messages = proxy.window.get(f"/flows/{shown['id']}/messages/content/Auto.json").json()
    assert [message["text"] for message in messages][1:] == ["[6 bytes]"]
    assert "[REDACTED]" in messages[0]["text"]
    assert last_record(proxy, client, upstream, other, other_upstream)["outcome"]["masked"] == 1


DONE = '{"type": "response.text.done"}'


def deltas(text: str, size: int = 5) -> list[str]:
    return [json.dumps({"delta": text[at : at + size]}) for at in range(0, len(text), size)]


def heard_until_done(peer: Peer) -> str:
    """The text that a peer hears in pieces."""
    text = ""
    while (heard := peer.hear()) != DONE:
        assert isinstance(heard, str), heard
        text += json.loads(heard)["delta"]
    return text


def shown_messages(proxy: Proxy) -> list[str]:
    """The messages of the last WebSocket, as mitmweb shows them."""
    shown = [flow for flow in proxy.window.flows() if flow.get("websocket")][-1]
    messages = proxy.window.get(f"/flows/{shown['id']}/messages/content/Auto.json").json()
    return [json.dumps(json.loads(message["text"])) for message in messages]


def test_a_value_that_is_split_over_messages_is_masked_both_ways(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/talk/chat")
    said = f"write to {EMAIL}, or charge {CARD} now"
    for source, target in ((upstream, client), (client, upstream)):
        for message in [*deltas(said), DONE]:
            source.text(message)
        assert heard_until_done(target) == "write to [EMAIL_ADDRESS], or charge [CREDIT_CARD] now"
    shown = shown_messages(proxy)
    texts = [json.loads(message).get("delta", "|") for message in shown]
    assert "".join(texts) == "write to [EMAIL_ADDRESS], or charge [CREDIT_CARD] now|" * 2
    assert last_record(proxy, client, upstream)["outcome"]["masked"] == 4


def test_so_it_is_in_texts_that_are_no_json(chat: Chat) -> None:
    client, upstream = chat("/found/chat")
    for piece in ("please ", "do charge ", "4111 11", "11 1111 1", "111 or ", "none "):
        upstream.text(piece)
    upstream.close()
    heard = []
    while isinstance(message := client.hear(), str):
        heard.append(message)
    assert "".join(heard) == "please do charge [CREDIT_CARD] or none "
    assert message == ("close", 1000, "")


def test_what_is_held_back_comes_before_the_goodbye(chat: Chat) -> None:
    client, upstream = chat("/talk/chat")
    for source, target in ((upstream, client), (client, upstream)):
        source.text('{"delta": "hello there"}')
        assert target.hear() == '{"delta": "hello "}'
    upstream.close(1000, "done")
    assert client.hear() == '{"delta": "there"}'
    assert client.hear() == ("close", 1000, "")


def test_the_last_words_of_a_text_come_though_nothing_says_that_it_has_ended(chat: Chat) -> None:
    client, upstream = chat("/found/chat")
    upstream.text('{"delta": "hello there"}')
    assert client.hear() == '{"delta": "hello "}'
    assert client.hear() == '{"delta": "there"}'
    upstream.text('{"delta": ", you "}')
    assert client.hear() == '{"delta": ", you "}'


def test_a_value_that_is_split_is_not_shown_where_the_caller_hears_it(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/heard/chat", token=proxy.token(sub="officer"))
    for message in [*deltas(f"charge {CARD} now"), DONE]:
        upstream.text(message)
    assert heard_until_done(client) == f"charge {CARD} now"
    texts = [json.loads(message).get("delta", "|") for message in shown_messages(proxy)]
    assert "".join(texts) == "charge [CREDIT_CARD] now|"


def test_a_long_message_between_the_pieces_of_a_text_keeps_its_place(chat: Chat) -> None:
    client, upstream = chat("/found/chat")
    long = json.dumps({"to": EMAIL, "words": ["word"] * 10_000})
    for message in ('{"delta": "pay 4111 1111"}', long, '{"delta": " 1111 1111 now"}', DONE):
        upstream.text(message)
    assert client.hear() == '{"delta": "pay "}'
    assert client.hear() == long.replace(EMAIL, "[EMAIL_ADDRESS]")
    assert heard_until_done(client) == "[CREDIT_CARD] now"


def test_messages_come_in_order_however_long_masking_takes(chat: Chat) -> None:
    client, upstream = chat("/found/chat")
    sent = [f"{EMAIL} " * (200 if number % 5 == 0 else 1) + str(number) for number in range(30)]
    for message in sent:
        upstream.text(message)
    assert [client.hear() for _ in sent] == [message.replace(EMAIL, "[EMAIL_ADDRESS]") for message in sent]


@pytest.mark.parametrize(
    ("path", "say", "code", "told"),
    [
        ("/masked/chat", lambda peer: peer.binary(CANARY.encode()), 1011, "binary-message"),
        ("/found/chat", lambda peer: peer.binary(b""), 1011, "binary-message"),
        ("/masked/chat", lambda peer: peer.text(f"ssn {CANARY}"), 1011, "fields-in-text"),
        ("/masked/chat", lambda peer: peer.text(f'{{"ssn": "{CANARY}'), 1011, "fields-in-text"),
    ],
)
def test_what_is_due_and_cannot_be_masked_ends_it(
    chat: Chat, proxy: Proxy, path: str, say: Callable[[Peer], None], code: int, told: str
) -> None:
    client, upstream = chat(path)
    say(upstream)
    upstream.text("too late")
    assert client.hear() == ("close", code, told)
    assert client.hear() is None
    assert upstream.hear() == ("close", code, "")
    assert upstream.hear() is None
    record = last_record(proxy, client, upstream)
    assert (record["verdict"], record["outcome"]["status"], record["outcome"]["refusal"]["reason"]) == (
        "withheld",
        502,
        told,
    )


def test_nothing_that_an_upstream_may_choose_passes_in_pings_or_close_reasons(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/masked/chat")
    upstream.ping(CANARY.encode())
    kind, payload = client.hear()  # type: ignore[misc]
    assert (kind, payload != CANARY.encode()) == ("ping", True)
    client.pong(payload)
    assert upstream.hear() == ("pong", CANARY.encode()), "the upstream has its own bytes back"
    client.ping(b"mine")
    assert upstream.hear() == ("ping", b"mine")
    upstream.pong(b"mine")
    assert client.hear() == ("pong", b"mine")
    upstream.pong(CANARY.encode())
    assert client.hear() == ("pong", b"")
    upstream.close(4001, CANARY)
    assert client.hear() == ("close", 4001, "")
    assert CANARY.encode() not in proxy.everything_shown()


def test_pings_pongs_and_close_codes_pass(chat: Chat) -> None:
    client, upstream = chat()
    for source, target in ((client, upstream), (upstream, client)):
        source.ping(b"are you there")
        assert target.hear() == ("ping", b"are you there")
        target.pong(b"are you there")
        assert source.hear() == ("pong", b"are you there")
    upstream.close(4001, "come back later")
    assert client.hear() == ("close", 4001, "come back later")


# ---------------------------------------------------------------------------------------------------- what is too much


@pytest.mark.parametrize("finished", [True, False])
def test_a_message_that_is_too_long_ends_it(chat: Chat, proxy: Proxy, finished: bool) -> None:
    client, upstream = chat()
    client.text("x" * MEGABYTE)
    assert upstream.hear() == "x" * MEGABYTE
    pieces = ("x" * (MEGABYTE // 2), "x" * (MEGABYTE // 2), "x")
    with contextlib.suppress(ConnectionError):
        client.text(*pieces, *(() if finished else ("x" * MEGABYTE, "x" * MEGABYTE)))
    assert upstream.hear() == ("close", 1009, "")
    assert client.hear() in (("close", 1009, "message-too-long"), None)
    assert last_record(proxy, client, upstream)["outcome"]["refusal"]["reason"] == "message-too-long"


def test_one_to_the_caller_may_be_as_long_as_a_response(chat: Chat) -> None:
    client, upstream = chat()
    upstream.text("x" * 3 * MEGABYTE)
    assert client.hear() == "x" * 3 * MEGABYTE
    with contextlib.suppress(ConnectionError):
        upstream.binary(b"x" * 17 * MEGABYTE)
    assert client.hear() == ("close", 1009, "message-too-long")


def test_an_upstream_faster_than_masking_is_slowed_down(chat: Chat) -> None:
    """What it says would wait in memory otherwise; beyond a limit that ends the connection."""
    client, upstream = chat("/found/chat")
    message = json.dumps({"to": EMAIL, "words": ["word"] * 10_000})
    sending = threading.Thread(target=lambda: [upstream.text(message) for _ in range(100)])  # 10 MB
    sending.start()
    for _ in range(100):
        heard = client.hear()
        assert isinstance(heard, str), heard
        assert heard.startswith('{"to": "[EMAIL_ADDRESS]", "words": ["word"')
    sending.join(PATIENCE)


def test_broken_frames_end_it_without_a_word_of_them(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat()
    upstream.connection.sendall(b"\x81\x03\xff\xfe\xfd")
    assert client.hear() == ("close", 1007, "")
    client, upstream = chat()
    client.connection.sendall(b"\x83\x80\0\0\0\0" + CANARY.encode())
    assert upstream.hear() == ("close", 1002, "")
    assert CANARY.encode() not in proxy.everything_shown()


def test_a_hundred_at_once(chat: Chat, proxy: Proxy) -> None:
    pairs = [chat("/found/chat") for _ in range(100)]
    for number, (client, upstream) in enumerate(pairs):
        client.text(f"from {number}")
        upstream.text(f"to {number} {EMAIL}")
    for number, (client, upstream) in enumerate(pairs):
        assert upstream.hear() == f"from {number}"
        assert client.hear() == f"to {number} [EMAIL_ADDRESS]"
    for client, _ in pairs[:50]:
        client.hang_up()
    for _, upstream in pairs[50:]:
        upstream.hang_up()
    for _, upstream in pairs[:50]:
        assert upstream.hear() is None
    for client, _ in pairs[50:]:
        assert client.hear() is None
    proxy.settle()


# ------------------------------------------------------------------------------------------------- when it is over


@pytest.mark.parametrize("end", ["hang_up", "reset"])
@pytest.mark.parametrize("side", [0, 1])
def test_a_side_that_goes_away_leaves_nothing_behind(chat: Chat, proxy: Proxy, side: int, end: str) -> None:
    pair = chat("/masked/chat")
    pair[1 - side].text("{}")
    assert pair[side].hear() == "{}"
    getattr(pair[side], end)()
    assert pair[1 - side].hear() is None
    proxy.settle()


def test_a_side_that_only_stops_sending_has_ended_it(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat()
    client.connection.shutdown(1)
    assert (upstream.hear(), client.hear()) == (None, None)
    proxy.settle()


def test_a_caller_that_leaves_while_its_message_is_masked_leaves_nothing_behind(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat("/found/chat")
    for _ in range(20):
        upstream.text(f"{EMAIL} " * 2000)
    client.hang_up()
    assert upstream.hear() is None
    proxy.settle()


def revoke(proxy: Proxy, *named: str) -> None:
    done = CliRunner().invoke(main, ["sessions", "revoke", *named, "--state", str(proxy.state), "--json"])
    assert done.exit_code == 0, done.output


def test_a_revocation_closes_it(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat(token=proxy.token(sub="eve", jti="t-eve"))
    other, other_upstream = chat()
    revoke(proxy, "--token", "t-eve")
    assert client.hear() == ("close", 1008, "revoked")
    assert client.hear() is None
    assert upstream.hear() == ("close", 1008, "")
    other.text("still here")
    assert other_upstream.hear() == "still here"
    proxy.output.wait_for(r"a WebSocket has ended, decision \w+: refused: revoked")
    for peer in (other, other_upstream):
        peer.hang_up()
    refused = [record for record in proxy.flows("list") if record["principal"]["id"] == "eve"]
    assert [(record["verdict"], record["outcome"]["status"]) for record in refused] == [("refused", 401)]


def test_the_end_of_its_token_closes_it(chat: Chat, proxy: Proxy) -> None:
    claims = {"sub": "ana", "kind": "human", "groups": ["support"], "env": "dev", "aud": "headgate-dev"}
    token = remember(DevelopmentKey.open(proxy.state).mint(claims, lifetime=2, now=time.time()))
    client, upstream = chat(token=token)
    client.text("hello")
    assert upstream.hear() == "hello"
    assert client.hear() == ("close", 1008, "expired")
    assert upstream.hear() == ("close", 1008, "")


def test_a_peer_that_does_not_answer_is_closed_all_the_same(chat: Chat, proxy: Proxy) -> None:
    client, upstream = chat(token=proxy.token(sub="mallory", jti="t-mallory"))
    with contextlib.suppress(TimeoutError):  # neither side reads on
        upstream.connection.settimeout(2)
        while True:
            upstream.text("x" * MEGABYTE)
    revoke(proxy, "--token", "t-mallory")
    proxy.settle()
    assert last_record(proxy, client, upstream)["outcome"]["refusal"]["reason"] == "revoked"


def change(proxy: Proxy, **files: str) -> None:
    before = len(proxy.output.lines)
    rules_in(proxy.rules, **files)
    proxy.output.wait_for(r"rules `test` .* are in force", after=before)


@pytest.fixture
def changeable(proxies: Start, sockets: SocketUpstream, tmp_path: Path) -> Proxy:
    """A proxy whose rules a test may change."""
    rules = rules_in(tmp_path / "rules")
    return proxies(mode=f"reverse:{sockets.url}", rules=rules, scripts_after=[SCRIPTS / "hurry.py"]).ready()


def test_changed_rules_close_it_or_mask_it_from_then_on(chat: Chat, changeable: Proxy) -> None:
    client, upstream = chat(at=changeable)
    reader, reader_upstream = chat("/elsewhere", at=changeable)
    reader_upstream.text("mary@example.org")
    assert reader.hear() == "mary@example.org"
    everywhere = MASKING + "  - {id: all, match: {}, detect: [EMAIL_ADDRESS]}\n"
    change(changeable, policy=LOCKED, masking=everywhere)
    assert client.hear() == ("close", 1008, "denied-by-rule")
    assert upstream.hear() == ("close", 1008, "")
    changeable.output.wait_for("refused: nobody-chats-any-more")
    deadline = time.monotonic() + PATIENCE
    heard = ""
    while heard != "[EMAIL_ADDRESS]":
        assert time.monotonic() < deadline, heard
        reader_upstream.text("mary@example.org")
        heard = str(reader.hear())


def test_a_provider_that_is_gone_closes_it(chat: Chat, changeable: Proxy) -> None:
    client, _ = chat(at=changeable)
    change(changeable, identity=NOBODY)
    heard = client.hear()
    assert heard in (("close", 1008, "audience-mismatch"), ("close", 1008, "issuer-unknown")), heard


def test_a_request_that_waits_for_its_upstream_is_judged_again(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    rules = rules_in(tmp_path / "rules")
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, scripts_after=[SCRIPTS / "hurry.py"]).ready()
    upstream.replies["/slow"] = Reply(
        raw=b"", then="hold", late=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + CANARY.encode()
    )
    with proxy.connect() as connection:
        connection.sendall(proxy.written("GET", "/slow", token=proxy.token(jti="t-slow")))
        assert upstream.arrived.wait(PATIENCE)
        revoke(proxy, "--token", "t-slow")
        answer = answer_on(connection)
    upstream.release.set()
    assert answer.status == 502
    assert CANARY.encode() not in answer.body
    record = last_record(proxy)
    assert (record["verdict"], record["outcome"]["refusal"]["reason"]) == ("refused", "revoked")


def test_the_end_of_the_proxy_is_recorded(chat: Chat, changeable: Proxy) -> None:
    client, upstream = chat(at=changeable)
    client.text("hello")
    assert upstream.hear() == "hello"
    assert changeable.stop() == 0
    (record,) = changeable.flows("list")
    assert (record["outcome"]["status"], record["outcome"]["error"]) == (101, "proxy-stopped")


# -------------------------------------------------------------------------------------------------- what is shown of it


@pytest.mark.parametrize("path", ["/masked/chat", "/chat"])
def test_recorders_see_what_is_masked_and_no_more_than_the_last_messages(chat: Chat, proxy: Proxy, path: str) -> None:
    client, upstream = chat(path)
    secret = f'{{"token": "{CANARY}", "ssn": "", "n": %d}}'
    for number in range(150):
        upstream.text(secret % number)
        assert client.hear() is not None
    client.text(secret % 150)
    assert upstream.hear() == secret % 150
    (shown,) = [
        flow for flow in proxy.window.flows() if flow.get("websocket") and flow["websocket"]["timestamp_end"] is None
    ]
    assert shown["websocket"]["messages_meta"]["count"] == 100
    messages = proxy.window.get(f"/flows/{shown['id']}/messages/content/Auto.json").json()
    assert ("149" in messages[-2]["text"], "[redacted]" in messages[-2]["text"]) == (True, True)
    assert CANARY.encode() not in proxy.everything_shown()
    client.close()
    assert upstream.hear() == ("close", 1000, "")
    proxy.settle()
    assert CANARY.encode() not in proxy.everything_shown()


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("path", ["/chat", "/found/chat"])
def test_what_another_script_does_has_no_effect(chat: Chat, proxy: Proxy, path: str, trick: str) -> None:
    client, upstream = chat(path, f"X-Socketeer: {trick}")
    for number in range(3):
        upstream.text(f"to {number}")
        assert client.hear() == f"to {number}"
        client.text(f"from {number}")
        assert upstream.hear() == f"from {number}"
    client.close(1000)
    assert upstream.hear() == ("close", 1000, "")
    assert client.hear() == ("close", 1000, "")
    assert last_record(proxy, client, upstream)["outcome"]["status"] == 101
    assert FORGED not in proxy.window.everything()


# --------------------------------------------------------------------------------------------------- as a forward proxy


@pytest.fixture(scope="module")
def tls_sockets(certificates: Certificates) -> Iterator[SocketUpstream]:
    server = SocketUpstream(certificates.server())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def forward(proxies: Start, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    rules = rules_in(tmp_path_factory.mktemp("forward") / "rules")
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    return proxies("--set", trust, mode="regular", rules=rules, scripts_after=[SCRIPTS / "hurry.py"]).ready()


@pytest.fixture(scope="module")
def behind(proxies: Start, certificates: Certificates, further: Upstream, tmp_path_factory: Any) -> Proxy:
    """A proxy that goes by way of another one."""
    rules = rules_in(tmp_path_factory.mktemp("behind") / "rules")
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    hurry = [SCRIPTS / "hurry.py"]
    return proxies("--set", trust, mode=f"upstream:{further.url}", rules=rules, scripts_after=hurry).ready()


@pytest.fixture(scope="module")
def further() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture
def tunnel(forward: Proxy) -> Iterator[Callable[..., Any]]:
    """A connection through the proxy to `upstream`, with TLS in it where that speaks TLS."""
    with contextlib.ExitStack() as connections:

        def opened(upstream: SocketUpstream, token: str = "", through: Proxy = forward) -> Any:
            connection = connections.enter_context(through.connect())
            target = f"127.0.0.1:{upstream.port}"
            shown = basic(token or through.token())
            connection.sendall(through.written("CONNECT", target, f"Host: {target}", shown, token=None))
            assert answer_on(connection, "CONNECT").status == 200
            if upstream.tls is None:
                return connection
            context = ssl.create_default_context(cafile=str(through.folder / "conf/mitmproxy-ca-cert.pem"))
            return connections.enter_context(context.wrap_socket(connection, server_hostname="127.0.0.1"))

        yield opened


@pytest.mark.parametrize("listener", ["forward", "behind"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_it_works_in_a_tunnel(
    tunnel: Callable[..., Any],
    sockets: SocketUpstream,
    tls_sockets: SocketUpstream,
    request: pytest.FixtureRequest,
    encrypted: bool,
    listener: str,
) -> None:
    through: Proxy = request.getfixturevalue(listener)
    far = tls_sockets if encrypted else sockets
    host = f"127.0.0.1:{far.port}"
    token = through.token(sub="zoe", jti=f"t-{encrypted}")
    inside = tunnel(far, token, through)
    opening = open_on(inside, asking("/found/chat", host, f"Authorization: Bearer {CANARY}", EXTENSION))
    assert opening.status == 101, opening.body
    upstream = far.next()
    assert far.asked[-1].header("authorization") == [f"Bearer {CANARY}"], "it is the upstream's own"
    assert far.asked[-1].header("sec-websocket-extensions") == []
    upstream.text(f"write to {EMAIL}")
    assert opening.peer.hear() == "write to [EMAIL_ADDRESS]"
    opening.peer.text("thanks")
    assert upstream.hear() == "thanks"
    revoke(through, "--token", f"t-{encrypted}")
    assert opening.peer.hear() == ("close", 1008, "revoked")
    assert upstream.hear() == ("close", 1008, "")


def test_rules_hold_in_a_tunnel(tunnel: Callable[..., Any], tls_sockets: SocketUpstream) -> None:
    tls_sockets.asked.clear()
    opening = open_on(tunnel(tls_sockets), asking("/closed", f"127.0.0.1:{tls_sockets.port}"))
    assert opening.status == 403
    assert tls_sockets.asked == []


def test_a_message_that_cannot_be_masked_ends_it_in_a_tunnel(
    tunnel: Callable[..., Any], tls_sockets: SocketUpstream
) -> None:
    opening = open_on(tunnel(tls_sockets), asking("/found/chat", f"127.0.0.1:{tls_sockets.port}"))
    upstream = tls_sockets.next()
    upstream.binary(CANARY.encode())
    assert opening.peer.hear() == ("close", 1011, "binary-message")
    assert opening.peer.hear() is None
    assert upstream.hear() == ("close", 1011, "")
