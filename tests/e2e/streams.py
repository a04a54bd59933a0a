"""Responses that flow, by hand: an upstream that says what the test tells it to, and clients that tell how it ended."""

import contextlib
import queue
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h11
from tests.e2e.output import PATIENCE
from tests.e2e.sockets import Asked, head_on

EVENTS = "Content-Type: text/event-stream"
CHUNKED = "Transfer-Encoding: chunked"
RESET = b"\1\0\0\0\0\0\0\0"

CLEAN, CUT = "clean", "cut"


def asked_on(connection: socket.socket) -> Asked:
    head, rest = head_on(connection)
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (field.split(":", 1) for field in lines)
    return Asked(line, [(name, value.strip()) for name, value in pairs], rest)


class Speaker:
    """The upstream's side of one response."""

    def __init__(self, connection: socket.socket, asked: Asked) -> None:
        self.connection, self.asked = connection, asked
        self._chunked = False

    def head(self, *fields: str, status: str = "200 OK", version: str = "HTTP/1.1") -> None:
        self._chunked = CHUNKED in fields
        self.connection.sendall("\r\n".join([f"{version} {status}", *fields, "", ""]).encode("latin-1"))

    def say(self, data: bytes | str) -> None:
        data = data.encode() if isinstance(data, str) else data
        self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        if self._chunked:
            self.connection.sendall(b"0\r\n\r\n")
        else:
            self.hang_up()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()

    def again(self) -> "Speaker":
        """The next request on this connection."""
        return Speaker(self.connection, asked_on(self.connection))

    def hear_end(self) -> None:
        """Wait until the proxy has gone."""
        self.connection.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while self.connection.recv(65536):
                pass


@dataclass
class StreamUpstream:
    """Takes every connection; each request waits in `opened` for the test to answer it."""

    tls: ssl.SSLContext | None = None
    opened: "queue.Queue[Speaker]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.upstream = self
        self._connections: list[socket.socket] = []
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def accept(self, connection: socket.socket) -> None:
        connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
        self._connections.append(connection)
        self.opened.put(Speaker(connection, asked_on(connection)))

    def next(self) -> Speaker:
        return self.opened.get(timeout=PATIENCE)

    def forget(self) -> None:
        while not self.opened.empty():
            self.opened.get().hang_up()

    def stop(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.close()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256
    upstream: StreamUpstream

    def shutdown_request(self, request: Any) -> None:
        """The test ends it."""

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in the middle is part of these tests."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.upstream.accept(self.request)


class Http2Speaker:
    """The upstream's side of one response over HTTP/2, on a connection of its own; what the proxy sends is read at once
    and told by `head` and `hear_end`."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lock, self._gone = threading.Lock(), threading.Event()
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.stream = 0
        self.asked = threading.Event()
        self._h2.initiate_connection()
        self._send()

    def listen(self) -> None:
        """Until the proxy has gone, or wants no more of the response."""
        with contextlib.suppress(OSError):
            while data := self.connection.recv(65536):
                with self._lock:
                    for event in self._h2.receive_data(data):
                        self._hear(event)
                    self._send()
        self._gone.set()

    def head(self, *fields: str, status: str = "200") -> None:
        pairs = (field.split(": ", 1) for field in fields)
        with self._lock:
            self._h2.send_headers(self.stream, [(":status", status), *((name.lower(), value) for name, value in pairs)])
            self._send()

    def say(self, data: str) -> None:
        with self._lock:
            self._h2.send_data(self.stream, data.encode())
            self._send()

    def end(self, *trailers: tuple[str, str]) -> None:
        with self._lock:
            if trailers:
                self._h2.send_headers(self.stream, trailers, end_stream=True)
            else:
                self._h2.end_stream(self.stream)
            self._send()

    def reset(self) -> None:
        with self._lock:
            self._h2.reset_stream(self.stream)
            self._send()

    def hear_end(self) -> None:
        assert self._gone.wait(PATIENCE)

    def _hear(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.stream = event.stream_id
            self.asked.set()
        elif isinstance(event, h2.events.StreamReset):
            self._gone.set()

    def _send(self) -> None:
        self.connection.sendall(self._h2.data_to_send())


class Http2Upstream(StreamUpstream):
    """The same over HTTP/2; each connection has one request."""

    def accept(self, connection: socket.socket) -> None:
        assert self.tls
        connection = self.tls.wrap_socket(connection, server_side=True)
        self._connections.append(connection)
        speaker = Http2Speaker(connection)
        self.speakers.put(speaker)
        speaker.listen()

    def __post_init__(self) -> None:
        self.speakers: queue.Queue[Http2Speaker] = queue.Queue()
        super().__post_init__()

    def asked(self) -> Http2Speaker:
        speaker = self.speakers.get(timeout=PATIENCE)
        assert speaker.asked.wait(PATIENCE)
        return speaker


class Listener:
    """A client of HTTP/1 that reads one response as it comes; `raw` is all that it was sent."""

    def __init__(self, connection: socket.socket, request: bytes, method: str = "GET") -> None:
        self.connection, self.raw, self.body = connection, b"", b""
        self.status, self.headers = 0, list[tuple[str, str]]()
        self.ended: str | None = None
        self._speech = h11.Connection(h11.CLIENT)
        self._speech.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self._speech.send(h11.EndOfMessage())
        connection.settimeout(PATIENCE)
        connection.sendall(request)

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def hear_head(self) -> int:
        while not self.status and self.ended is None:
            self._read()
        return self.status

    def hear(self, said: bytes | str) -> bytes:
        """Wait until the body has `said` in it."""
        wanted = said.encode() if isinstance(said, str) else said
        while wanted not in self.body:
            assert self.ended is None, (self.ended, self.status, self.body)
            self._read()
        return self.body

    def hear_end(self) -> str:
        """How it ends: `clean`, or `cut` before the end that was announced."""
        while self.ended is None:
            self._read()
        return self.ended

    def hang_up(self) -> None:
        self.connection.close()

    def _read(self) -> None:
        try:
            data = self.connection.recv(65536)
            self.raw += data
            self._speech.receive_data(data)
            for event in self._events():
                if isinstance(event, h11.Response):
                    self.status = event.status_code
                    self.headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
                elif isinstance(event, h11.Data):
                    self.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self.ended = CLEAN
            if not data and self.ended is None:
                self.ended = CUT
        except (ConnectionError, h11.RemoteProtocolError):
            self.ended = self.ended or CUT

    def _events(self) -> Iterator[Any]:
        while (event := self._speech.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            yield event
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return
