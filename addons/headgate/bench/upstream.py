"""The service behind the proxies: answers each GET with the same bytes, and does next to nothing for it.

Two paths are answered otherwise: `/v1/large` and `/v1/unmasked` with one document after the other, so that nothing a
proxy has seen before comes soon again; `/v1/stream` with events that tell when they were sent.

Started as a process of its own: `python -m headgate.bench.upstream BODY_FILE DOCUMENTS_FILE`, of which the second has a
JSON document on each line; prints the port it listens on.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

END = b"\r\n\r\n"
EVENTS = 10
PAUSE = 0.05
"""Seconds between two events, so that none hides behind the one before."""

WORDS = "and then the order was delivered to the neighbour on the left side of the street "
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(now: float) -> bytes:
    """`now` is of a clock that all processes of this machine share."""
    text = f'data: {{"at": {now:.6f}, "text": "{WORDS}"}}\n\n'.encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


def answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Fixed(asyncio.Protocol):
    """One connection; requests have no body, so an empty line ends each."""

    def __init__(self, reply: bytes, documents: Iterator[bytes]) -> None:
        self._reply, self._documents, self._rest = reply, documents, b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(END)
        for request in requests:
            if request.startswith((b"GET /v1/large", b"GET /v1/unmasked")):
                self._transport.write(next(self._documents))
            elif request.startswith(b"GET /v1/stream"):
                self._transport.write(STREAM)
                self._tell(EVENTS)
            else:
                self._transport.write(self._reply)

    def _tell(self, left: int) -> None:
        self._transport.write(event(perf_counter()) if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(PAUSE, self._tell, left - 1)


async def serve(body: bytes, documents: list[bytes]) -> None:
    reply, answers = answer(body), itertools.cycle([answer(document) for document in documents])
    server = await asyncio.get_running_loop().create_server(lambda: Fixed(reply, answers), "127.0.0.1", 0)
    sys.stdout.write(f"upstream listening at {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_bytes().splitlines()))
