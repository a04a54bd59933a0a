"""A connection whose reader is cancelled while it waits for its turn is closed all the same."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy.server import ConnectionIO

from headgate.proxy import closing

Reading = Callable[[Any, Connection], Awaitable[None]]


class Writer:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Handler:
    """As much of mitmproxy's handler of connections as reading from one takes; `turn` is waited for with each event."""

    def __init__(self, connection: Connection) -> None:
        self.reader, self.writer, self.turn = asyncio.StreamReader(), Writer(), asyncio.Event()
        self.waits = asyncio.Event()
        self.transports = {connection: ConnectionIO(reader=self.reader, writer=self.writer)}  # type: ignore[arg-type]

    async def server_event(self, _: object) -> None:
        self.waits.set()
        await self.turn.wait()

    async def drain_writers(self) -> None:
        pass


async def cancelled(read: Reading, *, waiting: bool) -> tuple[Handler, Connection]:
    """What is left of a connection after its reader was cancelled: as it waits for its turn, or for the peer."""
    connection = Server(address=("127.0.0.1", 1))
    connection.state = ConnectionState.OPEN
    handler = Handler(connection)
    task = asyncio.ensure_future(read(handler, connection))
    if waiting:
        handler.reader.feed_data(b"more")
        await handler.waits.wait()
    else:
        handler.turn.set()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return handler, connection


@pytest.mark.parametrize("waiting", [True, False])
def test_it_is_closed_once(waiting: bool) -> None:
    handler, connection = asyncio.run(cancelled(closing._handled, waiting=waiting))  # type: ignore[arg-type]
    assert (handler.writer.closed, handler.transports) == (1, {})
    assert connection.state is ConnectionState.CLOSED


def test_mitmproxy_itself_would_leave_it_open() -> None:
    """When this fails, `closing` is not needed any more."""
    handler, connection = asyncio.run(cancelled(closing._handle_connection, waiting=True))  # type: ignore[arg-type]
    assert (handler.writer.closed, list(handler.transports)) == (0, [connection])
