"""The service behind the proxies: answers each GET with the same bytes, and does next to nothing for it.

Started as a process of its own: `python -m headgate.bench.upstream BODY_FILE`; prints the port it listens on.
"""

import asyncio
import sys
from pathlib import Path

END = b"\r\n\r\n"


def answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Fixed(asyncio.Protocol):
    """One connection; requests have no body, so an empty line ends each."""

    def __init__(self, reply: bytes) -> None:
        self._reply, self._rest = reply, b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(END)
        if requests:
            self._transport.write(self._reply * len(requests))


async def serve(body: bytes) -> None:
    reply = answer(body)
    server = await asyncio.get_running_loop().create_server(lambda: Fixed(reply), "127.0.0.1", 0)
    sys.stdout.write(f"upstream listening at {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes()))
