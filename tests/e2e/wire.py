"""Answers read off a connection by hand."""

import contextlib
import socket
from http.client import HTTPMessage, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes


def answer_on(connection: socket.socket, method: str = "GET") -> Answer:
    """The next answer on a connection, which stays open; status 0 when it was closed without one."""
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
        sized = response.length is not None or response.chunked
        return Answer(response.status, response.headers, response.read() if sized else b"")
    except (RemoteDisconnected, ConnectionError, IncompleteRead):
        return Answer(0, HTTPMessage(), b"")
    finally:
        response.close()


def received(connection: socket.socket) -> bytes:
    """All that comes on a connection until its end."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            answer += chunk
    return answer
