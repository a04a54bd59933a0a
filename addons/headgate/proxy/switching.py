"""Whether an upstream's answer opens the WebSocket that was asked for (RFC 6455, section 4.1).

It does only as an answer to a request that was judged as WEBSOCKET, with the hash of that request's key, without any
extension, and with no subprotocol but one that was offered. Any other 101 would make a connection of bytes that nobody
reads.
"""

import base64
import hashlib

from mitmproxy import http

from headgate.match import effective_method
from headgate.model import Request

SWITCHING = 101
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OPTIONS = frozenset(("upgrade", "keep-alive"))


def opens(request: Request | None, response: http.Response | None, headers: http.Headers | None = None) -> bool:
    """Whether this response does so, with `headers` where they are to take the place of its own."""
    if response is None or response.status_code != SWITCHING:
        return False
    if request is None or effective_method(request) != "WEBSOCKET":
        return False
    found: dict[str, list[str]] = {}
    for name, value in (headers or response.headers).fields:
        found.setdefault(name.lower().decode("latin-1"), []).append(value.strip().decode("latin-1"))
    return (
        response.data.http_version == b"HTTP/1.1"
        and [value.lower() for value in found.get("upgrade", ())] == ["websocket"]
        and "upgrade" in (options := _listed([value.lower() for value in found.get("connection", ())]))
        and options <= OPTIONS
        and found.get("sec-websocket-accept") == [accept(key) for key in request.values("sec-websocket-key")]
        and "sec-websocket-extensions" not in found
        and "transfer-encoding" not in found
        and found.get("content-length", ["0"]) == ["0"]
        and _was_offered(request, found.get("sec-websocket-protocol", []))
    )


def accept(key: str) -> str:
    """What proves that the upstream has read this key."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID.encode(), usedforsecurity=False).digest()).decode()


def _was_offered(request: Request, chosen: list[str]) -> bool:
    return not chosen or (len(chosen) == 1 and chosen[0] in _listed(request.values("sec-websocket-protocol")))


def _listed(values: list[str]) -> set[str]:
    return {item.strip() for value in values for item in value.split(",")}
