"""The one upgrade that goes on: a GET over HTTP/1.1 that asks for a WebSocket and for nothing else.

Everything that RFC 6455, section 4.2.1, demands must be there and be unambiguous. Extensions are not part of it: their
header is dropped, so that none is negotiated and every message can be read as it travels.
"""

import re

from headgate.identity.headers import Headers

OPTIONS = frozenset((b"upgrade", b"keep-alive"))
"""What `Connection` may say of such a request."""

UNEXPECTED = (b"transfer-encoding", b"http2-settings", b"expect")
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==\Z")  # sixteen bytes in base64, in the one spelling without loose bits
_PROTOCOLS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*,[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+)*\Z")


def is_websocket(method: bytes, version: bytes, headers: Headers) -> bool:
    """Whether this asks for a WebSocket; such a request has nothing that other requests are refused for."""
    found = headers.found
    if method != b"GET" or version != b"HTTP/1.1" or found.get(b"upgrade", b"").lower() != b"websocket":
        return False
    options = {option.strip().lower() for option in found.get(b"connection", b"").split(b",")}
    return (
        b"upgrade" in options
        and options <= OPTIONS
        and found.get(b"sec-websocket-version") == b"13"
        and _KEY.match(found.get(b"sec-websocket-key", b"")) is not None
        and _PROTOCOLS.match(found.get(b"sec-websocket-protocol", b"none")) is not None
        and found.get(b"content-length", b"0") == b"0"
        and not any(name in found for name in UNEXPECTED)
    )
