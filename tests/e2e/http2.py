"""An HTTP/2 client that sends what no honest client sends."""

import socket
import ssl
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.events

Fields = list[tuple[bytes, bytes]]


@dataclass
class _Told:
    """What has come on one stream."""

    status: int | str = "nothing"
    headers: Fields = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    body: bytes = b""
    ended: int | str | None = None


class Client:
    """One connection; each `request` is a stream of its own and gives status and body, or the name of what ended it."""

    def __init__(self, port: int, server_name: str | None = None, context: ssl.SSLContext | None = None) -> None:
        context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket = context.wrap_socket(plain, server_hostname=server_name)
        assert self._socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(
            header_encoding=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._h2 = h2.connection.H2Connection(config)
        self._told: dict[int, _Told] = {}
        self.reads_on = True
        self._h2.initiate_connection()
        self._send()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, fields: Fields, body: bytes = b"", trailers: Fields | None = None) -> int:
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, fields, end_stream=not (body or trailers))
        if body:
            self._h2.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self._h2.send_headers(stream, trailers, end_stream=True)
        self._send()
        return stream

    def reset(self, stream: int) -> None:
        self._h2.reset_stream(stream)
        self._send()

    def request(self, fields: Fields, body: bytes = b"", trailers: Fields | None = None) -> tuple[int | str, bytes]:
        return self.answer(self.send(fields, body, trailers))

    def answer(self, stream: int) -> tuple[int | str, bytes]:
        told = self._told_on(stream)
        while told.ended is None:
            self._read()
        return told.ended, told.body

    def hear(self, stream: int, said: bytes = b"") -> bytes:
        """Wait until the head of an answer is there, and `said` is in its body."""
        told = self._told_on(stream)
        while not isinstance(told.status, int) or said not in told.body:
            assert told.ended is None, (told.ended, told.status, told.body)
            self._read()
        return told.body

    def headers(self, stream: int) -> Fields:
        return self._told_on(stream).headers

    def trailers(self, stream: int) -> Fields:
        return self._told_on(stream).trailers

    def _told_on(self, stream: int) -> "_Told":
        return self._told.setdefault(stream, _Told())

    def _read(self) -> None:
        data = self._socket.recv(65536)
        for event in self._h2.receive_data(data) if data else ():
            if isinstance(event, h2.events.ConnectionTerminated):
                self._end("connection terminated")
            told = self._told_on(getattr(event, "stream_id", None) or 0)
            if isinstance(event, h2.events.ResponseReceived):
                told.headers = list(event.headers or [])
                told.status = int(dict(told.headers)[b":status"])
            elif isinstance(event, h2.events.TrailersReceived):
                told.trailers = list(event.headers or [])
            elif isinstance(event, h2.events.DataReceived):
                told.body += event.data or b""
                if self.reads_on:
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                told.ended = "stream reset"
            elif isinstance(event, h2.events.StreamEnded):
                told.ended = told.status
        if data:
            self._send()
        else:
            self._end("connection closed")

    def _end(self, how: str) -> None:
        for told in self._told.values():
            told.ended = told.ended or how

    def _send(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
