"""Records as an HTTP Archive (HAR 1.2), and the flows of an archive.

What the format has a place for stands there, as mitmproxy writes it and browsers read it. What it has none for (bytes
that are no text, coded bodies, the verdict, connections) stands beside it under `_headgate`, so that a record comes
back as it was. An archive of somebody else is read by mitmproxy's own reader.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from mitmproxy import http
from mitmproxy.addons.savehar import SaveHar
from mitmproxy.io.har import request_to_flow

from headgate import __version__
from headgate.capture.entries import Entry, MessageEntry, Recorded
from headgate.capture.record import Fields, Kind
from headgate.replay import foreign
from headgate.replay.flowfile import flow_of, foreign_of
from headgate.replay.foreign import Damaged, Foreign
from headgate.replay.harentries import BOM, entries
from headgate.replay.harours import BINARY, LOOSE, OURS, Json, messages_of, of_ours

# -- writing ----------------------------------------------------------------------------------------------------------


class HarFile:
    """Writes an archive entry by entry."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._separator = file, b"\n"
        creator = json.dumps({"name": "headgate", "version": __version__})
        file.write(b'{"log": {"version": "1.2", "creator": ' + creator.encode() + b', "pages": [], "entries": [')

    def add(self, entry: Entry, messages: Iterable[MessageEntry] = ()) -> bool:
        """False for what an archive cannot hold: a flow that is no HTTP."""
        made = entry_of(entry, messages)
        if made is None:
            return False
        self._file.write(self._separator + json.dumps(made).encode())
        self._separator = b",\n"
        return True

    def close(self) -> None:
        self._file.write(b"\n]}}\n")


def entry_of(entry: Entry, messages: Iterable[MessageEntry] = ()) -> Json | None:
    """A record as an entry of an archive; None for what is no HTTP."""
    said = list(messages)
    flow = flow_of(entry, said)
    if not isinstance(flow, http.HTTPFlow):
        return None
    made: Json = SaveHar().flow_entry(_showable(flow), set())
    own = _own(entry)
    _write_request(made["request"], own, flow.request)
    if flow.response:
        _write_response(made["response"], own, flow.response, entry.response)
    if said:
        made["_webSocketMessages"] = [_message(one) for one in said]
    made["comment"], made[OURS] = flow.comment, own
    shown: Json = _unicode(made)
    return shown


def _showable(flow: http.HTTPFlow) -> http.HTTPFlow:
    """Without messages: some are no text, at which mitmproxy's writer stops."""
    if flow.websocket:
        shown: Any = flow.copy()
        shown.websocket.messages = []
        flow = shown
    return flow


def _own(entry: Entry) -> Json:
    summary = entry.summary
    target = summary.path + (f"?{summary.query}" if summary.query else "")
    return {
        "flow_id": summary.flow_id,
        "decision_id": summary.decision_id,
        "kind": entry.kind,
        "time": summary.time,
        "ended": summary.ended,
        "verdict": summary.verdict,
        "effect": summary.effect,
        "reason": summary.reason,
        "rule": summary.rule,
        "principal": summary.principal,
        "masks": entry.masks,
        "error": summary.error,
        "connection": entry.connection,
        "request": {"line": [summary.method, summary.scheme, summary.host, summary.port, target]},
        "response": {},
    }


def _write_request(shown: Json, own: Json, request: http.Request) -> None:
    body = request.raw_content or b""
    shown["url"] = request.url
    if body:
        posted = {"mimeType": request.headers.get("content-type", ""), "params": []}
        shown["postData"] = {**posted, "text": request.get_text(strict=False) or ""} | shown.get("postData", {})
    else:
        shown.pop("postData", None)
    _keep_exact(own["request"], request.headers.fields, body, shown.get("postData", {}).get("text", "").encode(*LOOSE))


def _write_response(shown: Json, own: Json, response: http.Response, recorded: Recorded | None) -> None:
    body = response.raw_content or b""
    content = shown["content"]
    plain = b64decode(content["text"]) if content.get("encoding") else str(content.get("text", "")).encode(*LOOSE)
    content["size"], content["compression"] = len(plain), len(plain) - len(body)
    _keep_exact(own["response"], response.headers.fields, body, plain)
    own["response"]["recorded"] = recorded is not None


def _keep_exact(own: Json, fields: Fields, body: bytes, plain: bytes) -> None:
    """What the places for it in the format cannot give back."""
    if not all(_is_text(piece) for field in fields for piece in field):
        own["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]
    if body != plain or not _is_text(body):
        own["body"] = b64encode(body).decode()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _message(one: MessageEntry) -> Json:
    binary = one.kind != "text" or not _is_text(one.body)
    data = b64encode(one.body).decode() if binary else one.body.decode()
    shown = {"type": "send" if one.from_client else "receive", "time": one.time, "opcode": BINARY if binary else 1}
    return {**shown, "data": data} | ({OURS: {"text": True}} if binary and one.kind == "text" else {})


def _unicode(value: Any) -> Any:
    """Without halves of characters, which stand for bytes that are no text: no JSON may hold them."""
    if isinstance(value, str):
        return value if value.isascii() else _shown(value)
    if isinstance(value, list | tuple):
        return [_unicode(each) for each in value]
    return {name: _unicode(each) for name, each in value.items()} if isinstance(value, dict) else value


def _shown(text: str) -> str:
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


# -- reading ----------------------------------------------------------------------------------------------------------


def read_har(path: Path) -> Iterator[Foreign]:
    """The flows of an archive, one after the other; `Damaged` says which could not be read."""
    seen: dict[str, int] = {}
    number = 1
    try:
        with path.open("rb") as file:
            if file.read(len(BOM)) != BOM:
                file.seek(0)
            for text, entry in entries(file):
                yield _foreign(entry, _known_id(entry, text, seen))
                number += 1
    except Damaged as error:
        raise Damaged(f"entry {number} of `{path.name[:80]}` cannot be read: {error}") from None


def _known_id(entry: Json, text: bytes, seen: dict[str, int]) -> str:
    """The id of an entry without one goes by its text, and by how many alike came before."""
    own = entry.get(OURS)
    if isinstance(own, dict) and "flow_id" in own:
        return foreign.known_id(own["flow_id"])
    found = foreign.stand_in(text)
    seen[found] = seen.get(found, 0) + 1
    return found if seen[found] == 1 else foreign.stand_in(f"{found} {seen[found]}".encode())


def _foreign(entry: Json, flow_id: str) -> Foreign:
    try:
        own = entry.get(OURS)
        found = of_ours(entry, own, flow_id) if isinstance(own, dict) else _of_others(entry, flow_id)
        return found
    except Damaged:
        raise
    except Exception:  # noqa: BLE001 - mitmproxy's reader raises whatever an entry of the wrong shape leads to
        raise Damaged("an entry that is not as HAR 1.2 has it") from None


def _of_others(entry: Json, flow_id: str) -> Foreign:
    entry["time"] = entry["time"] if isinstance(entry.get("time"), int | float) else 0
    if isinstance(posted := entry["request"].get("postData"), dict):
        posted["text"] = posted.get("text") or ""
    elif "postData" in entry["request"]:
        del entry["request"]["postData"]
    flow = request_to_flow(entry)
    flow.id = flow_id
    found = foreign_of(flow)
    if found is None:
        raise Damaged("an entry that is no HTTP")
    messages = messages_of(entry)
    changed: Json = {"connection": None, "messages": messages, "kind": Kind.WEBSOCKET if messages else Kind.HTTP}
    if not found.status:  # which is how a browser writes that there was no answer
        changed |= {"status": None, "response": None, "error": "connection-failed"}
    return replace(found, **changed)
