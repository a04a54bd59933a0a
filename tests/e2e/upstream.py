"""The service behind the proxy: answers what a test tells it to, well formed or not, and keeps what it was sent."""

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.e2e.canary import CANARY, CUSTOMER, EMAIL

HOLD_SECONDS = 30
RESET = struct.pack("ii", 1, 0)


@dataclass
class Seen:
    """One request as the upstream received it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Reply:
    """What the upstream answers on a path; `raw` is sent as it is in place of a proper answer.

    Afterwards the connection is kept, closed, reset, or held open in silence until the test sets `Upstream.release`.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: bytes | None = None
    then: Literal["keep", "close", "reset", "hold"] = "keep"
    late: bytes = b""  # sent after a hold


PERSONAL = Reply(
    CUSTOMER,
    headers={
        "Content-Type": "application/json",
        "X-Account-Email": EMAIL,
        "Set-Cookie": f"session={CANARY}; HttpOnly",
    },
)
"""An answer in which body, header and cookie have to be masked for recorders, body and header for the caller too."""


class Upstream:
    """An HTTP/1.1 server that answers with what `replies` says for a path, and keeps every request in `seen`."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self.received = b""
        self.replies: dict[str, Reply] = {}
        self.release, self.arrived = threading.Event(), threading.Event()
        if tls:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self._server = _Server(self, tls, port)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        self.release.set()
        self.release, self.arrived = threading.Event(), threading.Event()
        self.seen.clear()
        self.server_names.clear()
        self.replies = {"/customers/7": PERSONAL}
        self.connections, self.received = 0, b""

    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: Upstream, tls: ssl.SSLContext | None, port: int) -> None:
        self.upstream, self._tls = upstream, tls
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        self.upstream.connections += 1
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in the middle is part of these tests."""


class _Tapped:
    """What is read from a connection, kept whether or not it is HTTP."""

    def __init__(self, file: Any, upstream: Upstream) -> None:
        self._file, self._upstream = file, upstream

    def readline(self, *arguments: Any) -> bytes:
        return self._keep(self._file.readline(*arguments))

    def read(self, *arguments: Any) -> bytes:
        return self._keep(self._file.read(*arguments))

    def _keep(self, data: bytes) -> bytes:
        self._upstream.received += data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile = _Tapped(self.rfile, self.server.upstream)  # type: ignore[assignment]

    def do(self) -> None:
        upstream = self.server.upstream
        body = self._chunks() if self.headers.get("transfer-encoding") else self._length()
        reply = upstream.replies.get(self.path.partition("?")[0], Reply())
        release = upstream.release
        upstream.seen.append(Seen(self.command, self.path, list(self.headers.items()), body))
        upstream.arrived.set()
        self._answer(reply) if reply.raw is None else self.wfile.write(reply.raw)
        self._afterwards(reply, release)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do  # noqa: N815

    def do_CONNECT(self) -> None:
        """As a proxy further on: open the tunnel, unless a reply says otherwise."""
        upstream = self.server.upstream
        upstream.seen.append(Seen("CONNECT", self.path, list(self.headers.items()), b""))
        if reply := upstream.replies.get(self.path):
            self.wfile.write(reply.raw or b"")
            self.close_connection = True
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=HOLD_SECONDS) as onward:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pour, args=(onward, self.connection), daemon=True)
            back.start()
            _pour(self.connection, onward)
            back.join(HOLD_SECONDS)

    def _length(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            body += b"+trailer"
        return body

    def _answer(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not {"Content-Length", "Transfer-Encoding"} & set(reply.headers):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _afterwards(self, reply: Reply, release: threading.Event) -> None:
        self.close_connection = reply.then != "keep"
        if reply.then == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.close()
        if reply.then == "hold":
            release.wait(HOLD_SECONDS)
            with contextlib.suppress(OSError):
                self.wfile.write(reply.late)
            self.close_connection = False

    def log_message(self, *_: Any) -> None:
        """Silence."""


def _pour(source: socket.socket, into: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            into.sendall(data)
        into.shutdown(socket.SHUT_WR)
