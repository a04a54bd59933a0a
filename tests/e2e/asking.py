"""One request on a connection of its own, and every byte that came back for it."""

import io
from http.client import HTTPMessage, HTTPResponse
from typing import Any, NamedTuple

from tests.e2e.proxy import Proxy


class Got(NamedTuple):
    """`raw` is all that was sent to the caller; `body` is without its framing, but in its content coding."""

    status: int
    headers: HTTPMessage
    body: bytes
    raw: bytes

    def header(self, name: str) -> list[str]:
        return self.headers.get_all(name, [])


class _Spoken:
    """What a socket has received, for who reads from sockets only."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._raw)


def ask(
    proxy: Proxy, target: str, *fields: str, method: str = "GET", body: bytes | None = None, token: str | None = ""
) -> Got:
    """The answer to a request; `fields` are header lines, to which a body adds its length."""
    length = () if body is None else (f"Content-Length: {len(body)}",)
    request = proxy.written(method, target, "Connection: close", *fields, *length, token=token, body=body or b"")
    return answer(proxy.raw(request), method)


def answer(raw: bytes, method: str = "GET") -> Got:
    """The one answer in `raw`, which must be whole."""
    response = HTTPResponse(_Spoken(raw), method=method)  # type: ignore[arg-type]
    response.begin()
    return Got(response.status, response.headers, response.read(), raw)


def chunked(body: bytes, *fields: str, size: int = 7) -> bytes:
    """A whole answer in chunks of `size` bytes."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields, "", ""]).encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
