"""An entry of an archive that we have written: what stands beside the places of the format gives it back exactly.

It is no more to be believed than anybody else's: of what was decided nothing is read.
"""

from base64 import b64decode
from typing import Any

from headgate.capture.connection import TIMES, Close, Connection, Peer
from headgate.capture.record import Kind, Line
from headgate.replay import foreign
from headgate.replay.foreign import Foreign, Part, Said, known_error

OURS = "_headgate"
BINARY = 2
"""The opcode of a binary message (RFC 6455, section 5.2)."""

LOOSE = ("utf-8", "surrogateescape")
Json = dict[str, Any]


def of_ours(entry: Json, own: Json, flow_id: str) -> Foreign:
    sent, got = entry["request"], entry["response"]
    method, scheme, host, port, target = own["request"]["line"]
    version = str(sent["httpVersion"]).encode()
    line = Line(_raw(method), str(scheme), str(host), foreign.port(port), _raw(target), version)
    status = foreign.status(got["status"]) or None
    posted = str(sent.get("postData", {}).get("text", "")).encode(*LOOSE)
    content = got["content"]
    plain = b64decode(content["text"]) if content.get("encoding") else str(content.get("text", "")).encode(*LOOSE)
    return Foreign(
        flow_id,
        Kind(own["kind"]),
        foreign.began(own["time"]),
        foreign.moment(own["ended"]),
        line,
        _exact(own["request"], sent["headers"], posted),
        status,
        _exact(own["response"], got["headers"], plain) if status and own["response"].get("recorded") else None,
        messages_of(entry),
        known_error(own["error"]),
        _connection(own.get("connection")),
    )


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _exact(own: Json, shown: list[Json], plain: bytes) -> Part:
    if "headers" in own:
        fields = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in own["headers"])
    else:
        fields = tuple((_raw(field["name"]), _raw(field["value"])) for field in shown)
    body = b64decode(own["body"]) if "body" in own else plain
    return Part(fields, body, len(body))


def messages_of(entry: Json) -> tuple[Said, ...]:
    return tuple(map(_said, entry.get("_webSocketMessages") or ()))


def _said(one: Json) -> Said:
    binary = one.get("opcode") == BINARY
    content = b64decode(one["data"]) if binary else _raw(one["data"])
    text = not binary or bool((one.get(OURS) or {}).get("text"))
    return Said(foreign.began(one["time"]), one["type"] == "send", text, content)


def _connection(facts: Any) -> Connection | None:
    if not isinstance(facts, dict):
        return None
    times, close = facts.get("times") or {}, facts.get("close")
    return Connection(
        _peer(facts.get("client")),
        _peer(facts.get("upstream")),
        tuple(foreign.moment(times.get(name)) for name in TIMES),
        _close(close) if isinstance(close, dict) else None,
    )


def _close(facts: Json) -> Close:
    code, by = facts.get("code"), facts.get("by_client")
    return Close(int(code) if code is not None else None, bool(by) if by is not None else None)


def _peer(facts: Any) -> Peer | None:
    if not isinstance(facts, dict):
        return None
    texts = {name: str(facts[name])[:200] if facts.get(name) is not None else None for name in Peer._fields}
    port = foreign.port(facts["port"]) if facts.get("port") is not None else None
    return Peer(**{**texts, "port": port, "alpn": _raw(texts["alpn"]) if texts["alpn"] else None})  # type: ignore[arg-type]
