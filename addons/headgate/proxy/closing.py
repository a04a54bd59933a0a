"""A connection that is to be closed is closed, even if something has just come on it.

mitmproxy closes a connection by cancelling the task that reads from it. Where that task has read something and waits
for its turn to pass it on, it ends without closing anything: the peer waits for ever, and what it goes on to send
stays in memory. An upstream that says more just as its response is cut off is such a peer.
"""

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy.server import ConnectionHandler

_handle_connection = ConnectionHandler.handle_connection


def close_for_good() -> None:
    """Have every connection of this process closed when nobody reads from it any more."""
    ConnectionHandler.handle_connection = _handled  # type: ignore[method-assign]


async def _handled(self: ConnectionHandler, connection: Connection) -> None:
    try:
        await _handle_connection(self, connection)
    finally:
        left = self.transports.pop(connection, None)
        if left is not None and left.writer is not None:
            connection.state = ConnectionState.CLOSED
            left.writer.close()
