"""WebSockets by hand: an upstream that takes them, a client that opens them, and what each hears, told by the test."""

import base64
import contextlib
import queue
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.output import PATIENCE
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage

from headgate.proxy.switching import accept

KEY = base64.b64encode(b"sixteen bytes..!").decode()
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
EXTENSION = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

Heard = str | bytes | tuple[Any, ...] | None
"""A message; ("ping", payload), ("pong", payload), ("close", code, reason); None when the connection has ended."""


class Peer:
    """One side of a WebSocket; a `polite` one answers a close frame with its own."""

    polite = True

    def __init__(self, connection: socket.socket, kind: ConnectionType, already: bytes = b"") -> None:
        self.connection, self._speech = connection, Connection(kind)
        self._said: list[Heard] = []
        self._part: list[Any] = []
        connection.settimeout(PATIENCE)
        self._take(already)

    def say(self, *events: Event) -> None:
        for event in events:
            self.connection.sendall(self._speech.send(event))

    def text(self, *pieces: str) -> None:
        """A text message, in as many fragments."""
        last = len(pieces) - 1
        self.say(*(TextMessage(piece, message_finished=at == last) for at, piece in enumerate(pieces)))

    def binary(self, data: bytes) -> None:
        self.say(BytesMessage(data))

    def ping(self, payload: bytes) -> None:
        self.say(Ping(payload))

    def pong(self, payload: bytes) -> None:
        self.say(Pong(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.say(CloseConnection(code, reason))

    def hang_up(self) -> None:
        self.connection.close()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def hear(self) -> Heard:
        """The next thing said, whole."""
        while not self._said:
            try:
                data = self.connection.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self._take(data)
        return self._said.pop(0)

    def hear_end(self) -> Heard:
        """How it ends: the close frame, or nothing; what was said before does not count."""
        while isinstance(heard := self.hear(), str | bytes) or (heard and heard[0] != "close"):
            pass
        return heard

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._speech.receive_data(data)
        for event in self._speech.events():
            if isinstance(event, Message):
                self._part.append(event.data)
                if event.message_finished:
                    self._said.append(type(event.data)().join(self._part))
                    self._part = []
            elif isinstance(event, Ping | Pong):
                self._said.append((type(event).__name__.lower(), bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                self._said.append(("close", int(event.code), event.reason or ""))
                if self.polite and self._speech.state is ConnectionState.REMOTE_CLOSING:
                    with contextlib.suppress(OSError):
                        self.say(event.response())


@dataclass
class Asked:
    """A request for a WebSocket as the upstream received it."""

    line: str
    headers: list[tuple[str, str]]
    rest: bytes = b""

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def agreed(asked: Asked, *fields: str) -> bytes:
    """The answer that opens a WebSocket."""
    (key,) = asked.header("sec-websocket-key")
    lines = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept(key)}", *fields)
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode()


@dataclass
class SocketUpstream:
    """Takes every connection; `answer` makes what it answers, and each WebSocket that opens waits in `opened`."""

    tls: ssl.SSLContext | None = None
    answer: Callable[[Asked], bytes] = agreed
    asked: list[Asked] = field(default_factory=list)
    opened: "queue.Queue[Peer]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        self.connections: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.upstream = self
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def forget(self) -> None:
        self.answer = agreed
        self.asked.clear()
        while not self.opened.empty():
            self.opened.get().hang_up()

    def next(self) -> Peer:
        return self.opened.get(timeout=PATIENCE)

    def stop(self) -> None:
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.close()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256
    upstream: SocketUpstream

    def shutdown_request(self, request: Any) -> None:
        """The test ends it."""

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in the middle is part of these tests."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        upstream = self.server.upstream
        connection = upstream.tls.wrap_socket(self.request, server_side=True) if upstream.tls else self.request
        upstream.connections.append(connection)
        while (read := head_on(connection))[0]:
            line, *lines = read[0].decode("latin-1").split("\r\n")
            pairs = (field.split(":", 1) for field in lines)
            asked = Asked(line, [(name, value.strip()) for name, value in pairs], read[1])
            upstream.asked.append(asked)
            answer = upstream.answer(asked)
            connection.sendall(answer)
            if answer.startswith(b"HTTP/1.1 101"):
                upstream.opened.put(Peer(connection, ConnectionType.SERVER, read[1]))
                return


def head_on(connection: socket.socket) -> tuple[bytes, bytes]:
    """The next head on a connection, and what has come after it."""
    connection.settimeout(PATIENCE)
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            return b"", data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


@dataclass
class Opening:
    """What came of asking for a WebSocket; `peer` talks on it if it was opened."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    peer: Peer

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def open_on(connection: socket.socket, request: bytes) -> Opening:
    """Ask for a WebSocket on a connection to the proxy."""
    connection.sendall(request)
    head, rest = head_on(connection)
    line, *lines = head.decode("latin-1").split("\r\n")
    status = int(line.split()[1]) if line else 0
    headers = [(name, value.strip()) for name, _, value in (field.partition(":") for field in lines)]
    opened = Opening(status, headers, rest, Peer(connection, ConnectionType.CLIENT, rest if status == 101 else b""))
    length = int((opened.header("content-length") or ["0"])[0])
    while status != 101 and len(opened.body) < length:
        opened.body += connection.recv(65536)
    return opened


def asking(path: str, host: str, *fields: str, upgrade: Iterable[str] = UPGRADE) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *upgrade, *fields]
    return "\r\n".join([*lines, "", ""]).encode()
