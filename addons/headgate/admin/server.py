"""The admin listener: a small HTTP server on the proxy's own event loop, beside the traffic and never in its path."""

from tornado.httpserver import HTTPServer

from headgate.admin.address import Address, names_loopback, on_loopback
from headgate.admin.pages import Status, application

IDLE_SECONDS = 30
BODY_SECONDS = 10
MAX_BYTES = 64 * 1024
"""Of the head, and of the body of a request; no page reads a body."""


class AdminListener:
    """Bound when it is made, so that a port in use ends the start; answers from `start` to `stop`."""

    def __init__(self, address: str, status: Status) -> None:
        """`address` is `HOST:PORT`; HeadgateError if that is none, or cannot be listened on."""
        wanted = Address.parse(address)
        self._socket = wanted.bind()
        self.address = Address(wanted.host, self._socket.getsockname()[1])
        closed = on_loopback(self._socket)  # one that others reach goes by any name
        self._server = HTTPServer(
            application(status, lambda host: not closed or names_loopback(host, wanted.host)),
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=BODY_SECONDS,
            max_header_size=MAX_BYTES,
            max_body_size=MAX_BYTES,
            max_buffer_size=2 * MAX_BYTES,
        )

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        """Answer, on the running event loop."""
        self._server.add_sockets([self._socket])

    async def stop(self) -> None:
        self._server.stop()
        await self._server.close_all_connections()
