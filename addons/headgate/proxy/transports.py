"""The connections of a client below what is spoken on them: to pause them, to end them, and to cut them off."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mitmproxy.proxy.server import ConnectionHandler

from headgate.proxy.held import Held


def transports(handler: ConnectionHandler | None) -> Iterator[Any]:
    """Every connection of a client: over HTTP/1.1 none of them is for anything else."""
    for stream in handler.transports.values() if handler else ():
        if (transport := getattr(stream.writer, "transport", None)) is not None:
            yield transport


@contextmanager
def silence(handler: ConnectionHandler | None) -> Iterator[None]:
    """Nothing is read from the peers meanwhile: what they say would wait in memory."""
    silenced = [transport for transport in transports(handler) if transport.is_reading()]
    for transport in silenced:
        transport.pause_reading()
    try:
        yield
    finally:
        for transport in silenced:
            transport.resume_reading()


def hang_up(handler: ConnectionHandler, held: Held) -> None:
    """End a request that waits for its upstream by a connection that is for nothing else, the upstream's if it can be,
    so that the client is answered. Where both speak HTTP/2, the request is refused once its answer is there."""
    server = held.flow.server_conn
    if server in handler.transports and server.alpn != b"h2":
        handler.close_connection(server)
    elif held.client in handler.transports and held.client.alpn != b"h2":
        handler.close_connection(held.client)


def cut(connections: Iterable[Any]) -> None:
    for transport in connections:
        transport.abort()
