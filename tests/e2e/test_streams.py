"""Responses that flow, at the door: what is masked as it flows, how it ends, and that nobody else gets at it.

Nothing here waits for time to pass: the upstream says the next thing when the client has heard the last, so that what
is held back too long never ends.
"""

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.e2e.canary import CANARY, EMAIL
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client, Fields
from tests.e2e.proxy import SCRIPTS, Proxy, write_rules
from tests.e2e.scripts.streamer import FORGED, TRICKS
from tests.e2e.scripts.wrecker import FAULTS
from tests.e2e.streams import (
    CHUNKED,
    CLEAN,
    CUT,
    EVENTS,
    Http2Upstream,
    Listener,
    Speaker,
    StreamUpstream,
)

from headgate.cli.main import main

POLICY = """
rules:
  - {id: support-may, effect: allow, match: {principal: {groups: [support]}, target: api}}
"""
LOCKED = POLICY + "  - {id: nobody-listens-any-more, effect: deny, match: {path: /chat}}\n"
MASKING = """
masks:
  - {id: ssn, match: {path: "/masked/{rest...}"}, fields: ["$..ssn", "header:X-Account-Email"]}
  - {id: not-for-all, match: {path: "/except/{rest...}"}, except: {principal: {id: officer}}, fields: ["$..ssn"]}
  - {id: found, match: {path: "/found/{rest...}"}, detect: [EMAIL_ADDRESS]}
  - {id: never-flows, match: {path: "/withheld/{rest...}"}, fields: ["$..ssn"], streams: withhold}
"""
NDJSON = "Content-Type: application/x-ndjson"
TEXT = "Content-Type: text/plain"
SECRET = f'{{"id": 7, "ssn": "{CANARY}-078-05", "note": "kept"}}'
MASKED = '{"id": 7, "ssn": "[REDACTED]", "note": "kept"}'


def event(data: str) -> str:
    return f"data: {data}\n\n"


def rules_in(folder: Path, **changed: str) -> Path:
    return write_rules(folder, **{"policy": POLICY, "masking": MASKING, **changed})


@pytest.fixture(scope="module")
def streams() -> Iterator[StreamUpstream]:
    server = StreamUpstream()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _forget(streams: StreamUpstream) -> None:
    streams.forget()


@pytest.fixture(scope="module")
def proxy(proxies: Start, streams: StreamUpstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    proxy = proxies(
        *("--set", "body_size_limit=20k"),
        mode=f"reverse:{streams.url}",
        door="mitmweb",
        rules=rules_in(tmp_path_factory.mktemp("streams") / "rules"),
        scripts_after=[SCRIPTS / "hurry.py", SCRIPTS / "streamer.py", SCRIPTS / "wrecker.py"],
    ).ready()
    proxy.output.wait_for("Loading script .*wrecker.py")
    return warm(proxy, streams)


def warm(proxy: Proxy, streams: StreamUpstream) -> Proxy:
    """Wait until detection is loaded in the proxy's own process: the first stream may come too early for it."""
    status = 0
    while status != 200:
        with proxy.connect() as connection:
            listener, speaker = Listener(connection, proxy.written("GET", "/found/warm")), streams.next()
            with contextlib.suppress(OSError):
                speaker.head(EVENTS, CHUNKED)
                speaker.end()
            listener.hear_end()
            status = listener.status
            assert status == 200 or json.loads(listener.body)["reason"] == "masking-too-slow"
    return proxy


Ask = Callable[..., tuple[Listener, Speaker]]


@pytest.fixture
def ask(proxy: Proxy, streams: StreamUpstream) -> Iterator[Ask]:
    """Both sides of a request through the proxy, with a good token: `ask(path, *fields)`."""
    with contextlib.ExitStack() as connections:

        def asked(path: str, *fields: str, at: Proxy = proxy, method: str = "GET", **how: Any) -> Any:
            connection = connections.enter_context(at.connect())
            request = at.written(method, path, *fields, token=how.get("token", ""))
            request = request.replace(b" HTTP/1.1\r\n", how.get("version", b" HTTP/1.1") + b"\r\n", 1)
            return Listener(connection, request, method), streams.next()

        yield asked


def record(proxy: Proxy, *open_still: Listener | Speaker) -> dict[str, Any]:
    """What became of the last exchange, once all connections have ended."""
    for side in open_still:
        side.hang_up()
    listed = proxy.flows("list")
    shown: dict[str, Any] = proxy.flows("show", listed[0]["decision_id"])
    return shown


def text_of(recorded: dict[str, Any]) -> str:
    return str(recorded["recorded"]["response"]["body"]["text"])


# ---------------------------------------------------------------------------------------------------------- as it flows


FRAMED: dict[str, tuple[str, ...]] = {
    "chunks": (CHUNKED,),
    "a length": (f"Content-Length: {3 * len(event(SECRET))}",),
    "its end": (),
}


@pytest.mark.parametrize("framed", FRAMED)
@pytest.mark.parametrize("version", [b" HTTP/1.1", b" HTTP/1.0"])
def test_events_are_masked_one_by_one(ask: Ask, proxy: Proxy, framed: str, version: bytes) -> None:
    listener, speaker = ask("/masked/events", version=version)
    speaker.head(EVENTS, "X-Account-Email: mary@example.org", "ETag: x", *FRAMED[framed])
    assert listener.hear_head() == 200
    assert listener.header("x-account-email") == ["[REDACTED]"]
    assert listener.header("content-length") == listener.header("etag") == []
    assert listener.header("transfer-encoding") == (["chunked"] if version == b" HTTP/1.1" else [])
    assert listener.header("cache-control") == ["private, no-store"]
    for number in range(1, 4):
        speaker.say(event(SECRET))
        assert listener.hear(event(MASKED) * number) == (event(MASKED) * number).encode()
    speaker.end()
    assert listener.hear_end() == CLEAN
    recorded = record(proxy, listener, speaker)
    assert (recorded["verdict"], recorded["outcome"]["status"], recorded["outcome"]["error"]) == ("allowed", 200, None)
    assert {mask["location"]: mask["count"] for mask in recorded["outcome"]["masks"]} == {
        "header:x-account-email": 1,
        "/ssn": 3,
    }
    assert text_of(recorded) == event(MASKED) * 3
    assert not recorded["recorded"]["response"]["truncated"]


@pytest.mark.parametrize(
    ("kind", "said", "heard"),
    [
        (NDJSON, f"{SECRET}\n", f"{MASKED}\n"),
        ("Content-Type: application/json-seq", f"\x1e{SECRET}\n", f"\x1e{MASKED}\n"),
        (EVENTS, f"id: 1\nevent: x\n{event(SECRET)}: a comment\n", f"id: 1\nevent: x\n{event(MASKED)}: a comment\n"),
    ],
)
def test_lines_flow_as_events_do(ask: Ask, kind: str, said: str, heard: str) -> None:
    listener, speaker = ask("/masked/lines")
    speaker.head(kind, CHUNKED)
    for number in range(1, 4):
        speaker.say(said)
        assert listener.hear(heard * number) == (heard * number).encode()
    speaker.end()
    assert listener.hear_end() == CLEAN


@pytest.mark.parametrize("kind", [EVENTS, NDJSON, TEXT])
def test_what_no_mask_is_for_flows_as_it_is(ask: Ask, proxy: Proxy, kind: str) -> None:
    listener, speaker = ask("/chat")
    speaker.head(kind, CHUNKED, f"Set-Cookie: session={CANARY}")
    assert listener.hear_head() == 200
    assert listener.header("set-cookie") == [f"session={CANARY}"]
    for piece in ("data: {", f'"access_token": "{CANARY}"', "}\n\n"):
        speaker.say(piece)
        assert listener.hear(piece).decode().endswith(piece)
    speaker.end()
    assert listener.hear_end() == CLEAN
    recorded = record(proxy, listener, speaker)
    assert text_of(recorded) == 'data: {"access_token": "[redacted]"}\n\n'
    assert ["Set-Cookie", "session=[redacted]"] in recorded["recorded"]["response"]["headers"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/masked/coded", "/chat"])
def test_a_content_coding_is_undone_where_it_must_be_read(ask: Ask, proxy: Proxy, path: str, coding: str) -> None:
    listener, speaker = ask(path)
    speaker.head(EVENTS, CHUNKED, f"Content-Encoding: {coding}")
    coder = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    reader = zlib.decompressobj(wbits=47)
    listener.hear_head()
    coded = listener.header("content-encoding") == [coding]
    assert coded == (path == "/chat")
    data = event(f'{{"token": "{CANARY}", "n": 1}}' if coded else SECRET)
    piece = coder.compress(data.encode()) + coder.flush(zlib.Z_SYNC_FLUSH)
    speaker.say(piece)
    if coded:
        assert reader.decompress(listener.hear(piece)) == data.encode()
    else:
        assert listener.hear(event(MASKED)) == event(MASKED).encode()
    speaker.say(coder.flush())
    speaker.end()
    assert listener.hear_end() == CLEAN
    recorded = record(proxy, listener, speaker)
    assert text_of(recorded) == (data.replace(CANARY, "[redacted]") if coded else event(MASKED))


@pytest.mark.parametrize("at", range(1, len(event(SECRET)), 3))
def test_a_value_in_two_chunks_is_found(ask: Ask, at: int) -> None:
    listener, speaker = ask("/masked/split")
    speaker.head(EVENTS, CHUNKED)
    said = event(SECRET)
    speaker.say(said[:at])
    speaker.say(said[at:])
    assert listener.hear(event(MASKED)) == event(MASKED).encode()
    speaker.say(event("1"))
    speaker.end()
    assert listener.hear_end() == CLEAN
    assert CANARY.encode() not in listener.raw


MAIL = f"write to {EMAIL} today"
FOUND = "write to [EMAIL_ADDRESS] today"


@pytest.mark.parametrize("at", range(1, len(MAIL), 4))
@pytest.mark.parametrize("kind", [EVENTS, TEXT])
def test_what_is_detected_is_found_in_two_chunks(ask: Ask, kind: str, at: int) -> None:
    listener, speaker = ask("/found/split")
    speaker.head(kind, CHUNKED)
    said, heard = (f"{MAIL}\n", f"{FOUND}\n") if kind == TEXT else (event(MAIL), event(FOUND))
    at += len(said) - len(MAIL) - 1
    speaker.say(said[:at])
    speaker.say(said[at:])
    speaker.end()
    assert listener.hear_end() == CLEAN
    assert listener.body == heard.encode()


def delta(text: str) -> str:
    return event(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}))


@pytest.mark.parametrize("at", range(len("write to ") + 1, len(MAIL) - len(" today"), 4))
def test_what_is_detected_is_found_in_two_deltas(ask: Ask, proxy: Proxy, at: int) -> None:
    """As language models write: a piece of the text with each event."""
    listener, speaker = ask("/found/deltas")
    speaker.head(EVENTS, CHUNKED)
    for piece in (MAIL[:at], MAIL[at:]):
        speaker.say(delta(piece))
    speaker.say(event("[DONE]"))
    speaker.end()
    assert listener.hear_end() == CLEAN
    said = [json.loads(line[6:]) for line in listener.body.decode().split("\n") if line.startswith("data: {")]
    assert "".join(each["choices"][0]["delta"]["content"] for each in said) == FOUND
    assert event("[DONE]").encode() in listener.body
    assert CANARY not in text_of(record(proxy, listener, speaker))


def test_words_that_are_nothing_to_find_are_not_held_back(ask: Ask) -> None:
    """The next event is said when this one has been heard: what is held back here waits for ever."""
    listener, speaker = ask("/found/words")
    speaker.head(EVENTS, CHUNKED)
    for number in range(1, 6):
        speaker.say(event(f"a word, number {number}."))
        assert listener.hear(event(f"a word, number {number}."))


@pytest.mark.parametrize("path", ["/masked/long", "/chat"])
@pytest.mark.parametrize("length", [True, False])
def test_a_stream_may_be_longer_than_a_body(ask: Ask, proxy: Proxy, path: str, length: bool) -> None:
    """The limit of this proxy is 20 kB."""
    line = MASKED.replace("[REDACTED]", "-" * 90) + "\n"
    heard = (MASKED + "\n" if path == "/masked/long" else line) * 1000
    listener, speaker = ask(path)
    speaker.head(NDJSON, f"Content-Length: {len(line) * 1000}" if length else CHUNKED)
    for _ in range(10):
        speaker.say(line * 100)
    speaker.end()
    assert listener.hear_end() == CLEAN
    assert listener.body == heard.encode()
    assert record(proxy, listener, speaker)["outcome"]["bytes"] == len(heard)


def test_the_record_of_a_long_stream_is_cut_and_says_so(ask: Ask, proxy: Proxy) -> None:
    line = f"{SECRET[:-1]}, {'x' * 1000!r}: 1}}\n".replace("'", '"')
    listener, speaker = ask("/masked/long")
    speaker.head(NDJSON, CHUNKED)
    for _ in range(40):
        speaker.say(line * 50)
    speaker.end()
    assert listener.hear_end() == CLEAN
    recorded = record(proxy, listener, speaker)["recorded"]["response"]
    assert recorded["size"] == len(listener.body) > 2 * 1024 * 1024
    assert recorded["truncated"]


@pytest.mark.parametrize("trailers", [True, False])
def test_the_connection_serves_the_next_request(ask: Ask, proxy: Proxy, trailers: bool) -> None:
    """Trailers end a body as nothing does, and go no further."""
    listener, speaker = ask("/masked/first")
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event(SECRET))
    speaker.connection.sendall(b"0\r\nX-Trailer: c4n4ry\r\n\r\n" if trailers else b"0\r\n\r\n")
    assert listener.hear_end() == CLEAN
    assert CANARY.encode() not in listener.raw
    again = Listener(listener.connection, proxy.written("GET", "/masked/second"))
    second = speaker.again()
    second.head(EVENTS, CHUNKED)
    second.say(event(SECRET))
    assert again.hear(event(MASKED))


@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error", "503 Service Unavailable"])
def test_errors_flow_as_well(ask: Ask, status: str) -> None:
    listener, speaker = ask("/masked/error")
    speaker.head(EVENTS, CHUNKED, status=status)
    speaker.say(event(SECRET))
    assert listener.hear(event(MASKED))
    assert listener.status == int(status[:3])


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [
        ("HEAD", "200 OK", (EVENTS, CHUNKED)),
        ("HEAD", "200 OK", (EVENTS, "Content-Length: 99")),
        ("GET", "204 No Content", (EVENTS,)),
        ("GET", "304 Not Modified", (TEXT,)),
        ("GET", "200 OK", (EVENTS, "Content-Length: 0")),
    ],
)
def test_what_has_no_body_ends_with_its_head(
    ask: Ask, proxy: Proxy, method: str, status: str, fields: tuple[str, ...]
) -> None:
    listener, speaker = ask("/chat", method=method)
    speaker.head(*fields, status=status)
    assert listener.hear_end() == CLEAN
    assert (listener.status, listener.body) == (int(status[:3]), b"")
    assert record(proxy, listener, speaker)["verdict"] == "allowed"


def test_an_interim_answer_of_such_a_type_does_not_flow(ask: Ask) -> None:
    listener, speaker = ask("/chat")
    speaker.head(EVENTS, status="103 Early Hints")
    assert listener.hear_end() == CLEAN
    assert (listener.status, json.loads(listener.body)["reason"]) == (502, "unexpected-upgrade")


# --------------------------------------------------------------------------------------------- when it cannot be masked


DAMAGED: dict[str, tuple[tuple[str, ...], bytes, str]] = {
    "bytes that are no text": ((EVENTS,), b'data: {"ssn": "c4n4ry \xff\xfe"}\n\n', "charset-wrong"),
    "json that is none": ((NDJSON,), b'{"ssn": "c4n4ry\n', "invalid-json"),
    "a coding that lies": ((EVENTS, "Content-Encoding: gzip"), b"data: c4n4ry\n\n", "content-coding-damaged"),
}


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("version", [b" HTTP/1.1", b" HTTP/1.0"])
def test_what_cannot_be_masked_ends_it(ask: Ask, proxy: Proxy, damaged: str, version: bytes) -> None:
    """The caller can tell that it was cut off, the upstream has nobody to talk to, and the record says why."""
    fields, bad, reason = DAMAGED[damaged]
    listener, speaker = ask("/masked/damaged", version=version)
    speaker.head(CHUNKED, *fields)
    assert listener.hear_head() == 200
    speaker.say(bad)
    assert listener.hear_end() == CUT
    speaker.hear_end()
    assert CANARY.encode() not in listener.raw
    recorded = record(proxy, listener, speaker)
    assert (recorded["verdict"], recorded["outcome"]["refusal"]["reason"]) == ("withheld", reason)
    assert recorded["outcome"]["error"] == "cut-off"
    proxy.output.wait_for(rf"a stream has ended, decision \w+: withheld: {reason} \(cut off after 0 bytes\)")


def test_what_came_before_is_recorded(ask: Ask, proxy: Proxy) -> None:
    listener, speaker = ask("/masked/damaged")
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event(SECRET))
    listener.hear(event(MASKED))
    speaker.say(b"data: c4n4ry \xff\n\n")
    assert listener.hear_end() == CUT
    assert listener.body == event(MASKED).encode()
    recorded = record(proxy, listener, speaker)
    assert text_of(recorded) == event(MASKED)
    assert [mask["count"] for mask in recorded["outcome"]["masks"]] == [1]
    (shown,) = [flow for flow in proxy.window.flows() if "charset-wrong" in flow["comment"]][-1:]
    assert shown["comment"] == f"withheld: charset-wrong (cut off after {len(event(MASKED))} bytes)"
    assert shown["error"]["msg"] == "cut-off"


@pytest.mark.parametrize("fault", [*FAULTS, "nothing"])
@pytest.mark.parametrize("path", ["/masked/wrecked", "/chat"])
def test_a_masker_that_fails_ends_it(ask: Ask, proxy: Proxy, path: str, fault: str) -> None:
    listener, speaker = ask(path)
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event('{"n": 1}'))
    listener.hear('{"n": 1}')
    speaker.say(f"data: {CANARY} wreck: {fault} {CANARY}\n\n")
    with contextlib.suppress(OSError):
        speaker.say(event(CANARY))
    assert listener.hear_end() == CUT
    assert CANARY.encode() not in listener.raw
    recorded = record(proxy, listener, speaker)
    assert recorded["outcome"]["refusal"]["reason"] == "masking-failed"


REFUSED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "an unknown coding": ("/masked/x", (EVENTS, "Content-Encoding: rot13"), "content-coding-unknown"),
    "two codings": ("/masked/x", (EVENTS, "Content-Encoding: gzip, br"), "content-coding-stacked"),
    "an unknown charset": ("/masked/x", (f"{EVENTS}; charset=utf-7",), "charset-not-maskable"),
    "a part": ("/masked/x", (EVENTS,), "partial-response"),
    "a mask that lets none flow": ("/withheld/x", (EVENTS,), "streams-withheld"),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_could_never_be_masked_is_refused_at_once(ask: Ask, proxy: Proxy, refused: str) -> None:
    """The upstream would go on for ever."""
    path, fields, reason = REFUSED[refused]
    listener, speaker = ask(path)
    speaker.head(CHUNKED, *fields, status="206 Partial Content" if reason == "partial-response" else "200 OK")
    speaker.say(event(CANARY))
    assert listener.hear_end() == CLEAN
    assert (listener.status, json.loads(listener.body)["reason"]) == (502, reason)
    assert CANARY.encode() not in listener.raw
    speaker.hear_end()
    assert record(proxy, listener, speaker)["outcome"]["refusal"]["reason"] == reason


@pytest.mark.parametrize(
    ("said", "status", "heard"),
    [(f"{SECRET}\n", 200, f"{MASKED}\n"), (f"ssn {CANARY}\n", 502, "fields-in-text")],
)
def test_a_text_that_may_hold_fields_is_masked_as_a_whole(ask: Ask, said: str, status: int, heard: str) -> None:
    listener, speaker = ask("/masked/text")
    speaker.head(TEXT, CHUNKED)
    speaker.say(said)
    speaker.end()
    assert listener.hear_end() == CLEAN
    assert (listener.status, heard in listener.body.decode()) == (status, True)
    assert CANARY.encode() not in listener.raw


def test_lines_that_may_not_flow_are_masked_as_a_whole(ask: Ask) -> None:
    listener, speaker = ask("/withheld/lines")
    speaker.head(NDJSON, CHUNKED)
    speaker.say(f"{SECRET}\n")
    speaker.end()
    assert listener.hear_end() == CLEAN
    assert (listener.status, listener.body) == (200, f"{MASKED}\n".encode())


# ------------------------------------------------------------------------------------------------------ who is excepted


def test_an_excepted_caller_alone_gets_the_original(ask: Ask, proxy: Proxy) -> None:
    listener, speaker = ask("/except/events", token=proxy.token(sub="officer"))
    other, other_speaker = ask("/except/events")
    for each in (speaker, other_speaker):
        each.head(EVENTS, CHUNKED)
        each.say(event(SECRET))
    assert listener.hear(event(SECRET)) == event(SECRET).encode()
    assert other.hear(event(MASKED)) == event(MASKED).encode()
    assert listener.header("cache-control") == other.header("cache-control") == ["private, no-store"]
    assert CANARY.encode() not in proxy.everything_shown()
    for each in (speaker, other_speaker):
        each.end()
    assert (listener.hear_end(), other.hear_end()) == (CLEAN, CLEAN)
    recorded = record(proxy, listener, speaker, other, other_speaker)
    assert text_of(recorded) == event(MASKED)
    assert CANARY.encode() not in proxy.everything_shown()


def test_a_record_that_cannot_be_masked_is_without_the_text(ask: Ask, proxy: Proxy) -> None:
    listener, speaker = ask("/except/events", token=proxy.token(sub="officer"))
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event(SECRET))
    speaker.say(event(f"{CANARY} \xff").encode("latin-1"))
    speaker.say(event(SECRET))
    listener.hear(b" \xff\n\n" + event(SECRET).encode())
    speaker.end()
    assert listener.hear_end() == CLEAN
    recorded = record(proxy, listener, speaker)
    assert recorded["verdict"] == "allowed"
    assert recorded["recorded"]["response"]["body"] is None
    assert recorded["recorded"]["response"]["truncated"]


# --------------------------------------------------------------------------------------------------- when it ends early


@pytest.mark.parametrize("how", ["hang_up", "reset"])
@pytest.mark.parametrize("path", ["/masked/dying", "/chat"])
def test_an_upstream_that_dies_is_no_end(ask: Ask, proxy: Proxy, path: str, how: str) -> None:
    listener, speaker = ask(path)
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event('{"n": 1}') + "data: half of")
    listener.hear('{"n": 1}')
    getattr(speaker, how)()
    assert listener.hear_end() == CUT
    recorded = record(proxy, listener)
    assert (recorded["verdict"], recorded["outcome"]["error"]) == ("failed", "connection-failed")
    assert text_of(recorded).startswith(event('{"n": 1}'))


@pytest.mark.parametrize("path", ["/masked/left", "/chat"])
def test_a_caller_that_leaves_ends_it(ask: Ask, proxy: Proxy, path: str) -> None:
    listener, speaker = ask(path)
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event('{"n": 1}'))
    listener.hear('{"n": 1}')
    listener.hang_up()
    speaker.hear_end()
    recorded = record(proxy, speaker)
    assert (recorded["verdict"], recorded["outcome"]["error"]) == ("failed", "client-disconnected")
    assert text_of(recorded) == event('{"n": 1}')


def test_a_caller_that_leaves_before_anything_is_said_ends_it(ask: Ask, proxy: Proxy) -> None:
    listener, speaker = ask("/masked/left")
    speaker.head(EVENTS, CHUNKED)
    assert listener.hear_head() == 200
    listener.hang_up()
    speaker.hear_end()
    assert record(proxy, speaker)["outcome"]["error"] == "client-disconnected"


def revoke(proxy: Proxy, *named: str) -> None:
    done = CliRunner().invoke(main, ["sessions", "revoke", *named, "--state", str(proxy.state), "--json"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("path", ["/masked/revoked", "/chat"])
@pytest.mark.parametrize("version", [b" HTTP/1.1", b" HTTP/1.0"])
def test_a_revocation_ends_it(ask: Ask, proxy: Proxy, path: str, version: bytes) -> None:
    name = f"t{path}{version.decode()}"
    listener, speaker = ask(path, token=proxy.token(sub="eve", jti=name), version=version)
    other, other_speaker = ask(path)
    for each in (speaker, other_speaker):
        each.head(EVENTS, CHUNKED)
        each.say(event("1"))
    assert listener.hear(event("1"))
    revoke(proxy, "--token", name)
    assert listener.hear_end() == CUT
    speaker.hear_end()
    other_speaker.say(event("2"))
    assert other.hear(event("2"))
    record(proxy, listener, speaker, other, other_speaker)
    (refused,) = [found for found in proxy.flows("list", "--principal", "eve") if found["request"]["path"] == path][:1]
    assert (refused["verdict"], refused["outcome"]["refusal"]["reason"]) == ("refused", "revoked")
    assert refused["outcome"]["error"] == "cut-off"


def test_a_caller_that_reads_nothing_is_cut_off_all_the_same(ask: Ask, proxy: Proxy) -> None:
    listener, speaker = ask("/chat", token=proxy.token(sub="mallory", jti="t-mallory"))
    speaker.head(EVENTS, CHUNKED)
    assert listener.hear_head() == 200
    speaker.connection.settimeout(2)
    with contextlib.suppress(TimeoutError):  # until every buffer on the way is full
        while True:
            speaker.say("x" * 1024 * 1024)
    revoke(proxy, "--token", "t-mallory")
    proxy.output.wait_for(r"a stream has ended, decision \w+: refused: revoked")
    proxy.settle()


@pytest.fixture
def changeable(proxies: Start, streams: StreamUpstream, tmp_path: Path) -> Proxy:
    """A proxy whose rules a test may change."""
    rules = rules_in(tmp_path / "rules")
    return proxies(mode=f"reverse:{streams.url}", rules=rules, scripts_after=[SCRIPTS / "hurry.py"]).ready()


def change(proxy: Proxy, **files: str) -> None:
    before = len(proxy.output.lines)
    rules_in(proxy.rules, **files)
    proxy.output.wait_for(r"rules `test` .* are in force", after=before)


def test_changed_rules_end_it(ask: Ask, changeable: Proxy) -> None:
    """A response that flows cannot be masked otherwise from some point on."""
    denied, denied_speaker = ask("/chat", at=changeable)
    other, other_speaker = ask("/elsewhere", at=changeable)
    masked, masked_speaker = ask("/masked/same", at=changeable)
    for speaker in (denied_speaker, other_speaker, masked_speaker):
        speaker.head(EVENTS, CHUNKED)
        speaker.say(event("1"))
    for listener in (denied, other, masked):
        listener.hear(event("1"))
    more = MASKING + '  - {id: elsewhere, match: {path: /elsewhere}, fields: ["$..ssn"]}\n'
    change(changeable, policy=LOCKED, masking=more)
    assert (denied.hear_end(), other.hear_end()) == (CUT, CUT)
    changeable.output.wait_for("refused: nobody-listens-any-more")
    changeable.output.wait_for("withheld: masks-changed")
    masked_speaker.say(event(SECRET))
    assert masked.hear(event(MASKED))


def test_the_end_of_the_proxy_is_recorded(ask: Ask, changeable: Proxy) -> None:
    listener, speaker = ask("/masked/stopped", at=changeable)
    speaker.head(EVENTS, CHUNKED)
    speaker.say(event(SECRET))
    listener.hear(event(MASKED))
    assert changeable.stop() == 0
    assert listener.hear_end() == CUT
    (listed,) = changeable.flows("list")
    assert (listed["outcome"]["status"], listed["outcome"]["error"]) == (200, "proxy-stopped")
    assert text_of(changeable.flows("show", listed["decision_id"])) == event(MASKED)


# --------------------------------------------------------------------------------------------------------- who looks on


@pytest.mark.parametrize("path", ["/masked/shown", "/chat"])
def test_nothing_of_it_is_shown_before_it_has_ended(ask: Ask, proxy: Proxy, path: str) -> None:
    said = event(f'{{"token": "{CANARY}", "ssn": ""}}')
    listener, speaker = ask(f"{path}?token={CANARY}", f"Cookie: session={CANARY}")
    speaker.head(EVENTS, CHUNKED, f"X-Api-Key: {CANARY}")
    speaker.say(said)
    listener.hear('"ssn": ')
    assert CANARY.encode() not in proxy.everything_shown()
    assert path not in {flow["request"]["path"].partition("?")[0] for flow in proxy.window.flows()[-1:]}
    speaker.end()
    assert listener.hear_end() == CLEAN
    record(proxy, listener, speaker)
    assert CANARY.encode() not in proxy.everything_shown()
    (shown,) = proxy.window.flows()[-1:]
    content = proxy.window.get(f"/flows/{shown['id']}/response/content.data").content
    assert content.startswith(b'data: {"token": "[redacted]"')


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("path", ["/masked/meddled", "/chat"])
def test_what_another_script_does_has_no_effect(ask: Ask, proxy: Proxy, path: str, trick: str) -> None:
    secret, masked = (SECRET, MASKED) if path != "/chat" else ('{"token": ""}', '{"token": ""}')
    listener, speaker = ask(path, f"X-Streamer: {trick}")
    speaker.head(EVENTS, CHUNKED)
    assert listener.hear_head() == 200
    for number in range(1, 6):
        speaker.say(event(secret))
        assert listener.hear(event(masked) * number) == (event(masked) * number).encode()
    speaker.end()
    assert listener.hear_end() == (CUT if trick == "kills" else CLEAN)
    assert FORGED not in listener.raw
    assert b"smuggled" not in listener.raw.lower()
    recorded = record(proxy, listener, speaker)
    assert (recorded["outcome"]["status"], text_of(recorded)) == (200, event(masked) * 5)
    assert FORGED not in proxy.window.everything()


# --------------------------------------------------------------------------------------------------------------- HTTP/2


@pytest.fixture(scope="module")
def http2_streams(certificates: Certificates) -> Iterator[Http2Upstream]:
    server = Http2Upstream(certificates.server(("h2",)))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def http2_proxy(
    proxies: Start, http2_streams: Http2Upstream, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    rules = rules_in(tmp_path_factory.mktemp("http2") / "rules")
    scripts = [SCRIPTS / "hurry.py"]
    mode = f"reverse:{http2_streams.url}"
    return proxies("--set", trust, mode=mode, door="mitmweb", rules=rules, scripts_after=scripts).ready()


def fields(proxy: Proxy, path: str, token: str = "", method: bytes = b"GET") -> Fields:
    line = [(b":method", method), (b":scheme", b"https"), (b":authority", b"127.0.0.1:%d" % proxy.port)]
    return [*line, (b":path", path.encode()), (b"authorization", b"Bearer " + (token or proxy.token()).encode())]


def test_it_flows_over_http2(proxy: Proxy, streams: StreamUpstream) -> None:
    with Client(proxy.port) as client:
        stream = client.send(fields(proxy, "/masked/http2"))
        speaker = streams.next()
        speaker.head(EVENTS, CHUNKED)
        for number in range(1, 4):
            speaker.say(event(SECRET))
            assert client.hear(stream, (event(MASKED) * number).encode()) == (event(MASKED) * number).encode()
        assert b"transfer-encoding" not in dict(client.headers(stream))
        speaker.end()
        assert client.answer(stream) == (200, (event(MASKED) * 3).encode())


def test_it_flows_from_http2(http2_proxy: Proxy, http2_streams: Http2Upstream) -> None:
    """An upstream that speaks HTTP/2 is spoken to in it where the client does."""
    with Client(http2_proxy.port) as client:
        stream = client.send(fields(http2_proxy, "/masked/http2"))
        speaker = http2_streams.asked()
        speaker.head(EVENTS)
        for number in range(1, 4):
            speaker.say(event(SECRET))
            assert client.hear(stream, (event(MASKED) * number).encode()) == (event(MASKED) * number).encode()
        speaker.end(("x-trailer", CANARY))
        assert client.answer(stream) == (200, (event(MASKED) * 3).encode())


def test_one_that_cannot_be_masked_is_reset_and_the_others_flow_on(proxy: Proxy, streams: StreamUpstream) -> None:
    with Client(proxy.port) as client:
        bad, good = client.send(fields(proxy, "/masked/bad")), client.send(fields(proxy, "/masked/good"))
        speakers = {speaker.asked.line.split()[1]: speaker for speaker in (streams.next(), streams.next())}
        for speaker in speakers.values():
            speaker.head(EVENTS, CHUNKED)
            speaker.say(event(SECRET))
        assert client.hear(bad, event(MASKED).encode())
        speakers["/masked/bad"].say(b"data: c4n4ry \xff\n\n")
        assert client.answer(bad) == ("stream reset", event(MASKED).encode())
        speakers["/masked/bad"].hear_end()
        speakers["/masked/good"].say(event(SECRET))
        assert client.hear(good, event(MASKED).encode() * 2)
        speakers["/masked/good"].end()
        assert client.answer(good)[0] == 200


@pytest.mark.parametrize("path", ["/masked/revoked", "/chat"])
def test_a_revocation_resets_it(http2_proxy: Proxy, http2_streams: Http2Upstream, path: str) -> None:
    """Nothing comes from the upstream any more, and no connection is for this request alone."""
    token = http2_proxy.token(sub="eve", jti=f"t-http2-{path}")
    with Client(http2_proxy.port) as client:
        stream = client.send(fields(http2_proxy, path, token))
        speaker = http2_streams.asked()
        speaker.head(EVENTS)
        speaker.say(event("1"))
        assert client.hear(stream, event("1").encode())
        revoke(http2_proxy, "--token", f"t-http2-{path}")
        assert client.answer(stream) == ("stream reset", event("1").encode())
        speaker.hear_end()


def test_an_http2_client_that_resets_it_ends_it(http2_proxy: Proxy, http2_streams: Http2Upstream) -> None:
    with Client(http2_proxy.port) as client:
        stream = client.send(fields(http2_proxy, "/masked/left"))
        speaker = http2_streams.asked()
        speaker.head(EVENTS)
        speaker.say(event("1"))
        assert client.hear(stream, event("1").encode())
        client.reset(stream)
        speaker.hear_end()


@pytest.mark.parametrize("how", ["reset", "end"])
def test_an_http2_upstream_that_ends_it(http2_proxy: Proxy, http2_streams: Http2Upstream, how: str) -> None:
    with Client(http2_proxy.port) as client:
        stream = client.send(fields(http2_proxy, "/masked/dying"))
        speaker = http2_streams.asked()
        speaker.head(EVENTS)
        speaker.say(event("1"))
        assert client.hear(stream, event("1").encode())
        getattr(speaker, how)()
        assert client.answer(stream) == (200 if how == "end" else "stream reset", event("1").encode())


def test_a_client_that_opens_no_window_does_not_fill_the_memory(proxy: Proxy, streams: StreamUpstream) -> None:
    with Client(proxy.port) as client:
        client.reads_on = False
        stream = client.send(fields(proxy, "/chat"))
        speaker = streams.next()
        speaker.head(EVENTS, CHUNKED)
        client.hear(stream)
        with contextlib.suppress(OSError):
            for _ in range(64):
                speaker.say("x" * 1024 * 1024)
        proxy.output.wait_for("withheld: caller-too-slow")
        assert client.answer(stream)[0] == "stream reset"
