"""An HTTP/2 client that sends what no honest client sends."""

import socket
import ssl
from typing import Self

import h2.config
import h2.connection
import h2.events

Fields = list[tuple[bytes, bytes]]


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
        status: int | str = "nothing"
        body = b""
        while data := self._socket.recv(65536):
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    return "connection terminated", body
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers or [])[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                elif isinstance(event, h2.events.StreamReset):
                    return "stream reset", body
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
            self._send()
        return "connection closed", body

    def _send(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
