"""A recorded request on the wire again, and what of the answer the client sees: its status.

It goes as HTTP/1.1 over a connection of its own, whatever it came by; fields about a connection are not a request's,
and the length is that of the body which was kept. Nothing is repaired beyond that: what h11 does not send is not sent.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

from headgate.errors import HeadgateError
from headgate.replay.matching import HOP_BY_HOP, asked_of

if TYPE_CHECKING:
    from headgate.capture.entries import Entry

Fields = tuple[tuple[bytes, bytes], ...]

ANEW = HOP_BY_HOP | {"content-length", "expect", "http2-settings", "traceparent", "tracestate"}
"""Fields that are not sent as recorded: another connection, another length, and no part of the trace of then."""

PIECE = 64 * 1024
LARGEST_HEAD = 256 * 1024


class NotSent(HeadgateError):
    """What cannot be put on the wire."""


@dataclass(frozen=True, slots=True)
class OnWire:
    method: bytes
    target: bytes
    fields: Fields = field(repr=False)
    body: bytes = field(repr=False)


def on_wire(entry: "Entry", without: Iterable[str] = ()) -> OnWire:
    """The request of a flow; `without` are fields (in lower case) that are not its caller's. NotSent if it is none."""
    asked, left_out = asked_of(entry), ANEW | frozenset(without)
    if not asked.target.startswith("/") and asked.target != "*":
        raise NotSent("its target is no path")
    kept = [(name, value) for name, value in asked.headers if name.lower() not in left_out]
    if not any(name.lower() == "host" for name, _ in kept):
        kept.insert(0, ("Host", asked.authority))
    if asked.body or asked.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        kept.append(("Content-Length", str(len(asked.body))))
    try:
        fields = tuple((name.encode("ascii"), value.encode("utf-8", "surrogateescape")) for name, value in kept)
        return OnWire(asked.method.encode("ascii"), asked.target.encode("utf-8"), fields, asked.body)
    except UnicodeEncodeError:
        raise NotSent("its line or the name of a header is not text that can be sent") from None


async def sent(request: OnWire, port: int, more: Fields) -> int:
    """The status of the answer that comes on loopback at `port`, once all of it is there. NotSent if the request is
    not well formed; OSError and h11.RemoteProtocolError for an answer that breaks off."""
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
    fields = [*request.fields, *more, (b"Connection", b"close")]
    try:
        out = talk.send(h11.Request(method=request.method, target=request.target, headers=fields)) or b""
        out += (talk.send(h11.Data(data=request.body)) or b"") + (talk.send(h11.EndOfMessage()) or b"")
    except h11.LocalProtocolError:
        raise NotSent("it is not well formed") from None
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(out)
        with suppress(ConnectionError):  # it may have been refused before all was read; the answer says so
            await writer.drain()
        return await _status(talk, reader)
    finally:
        writer.close()


async def _status(talk: h11.Connection, reader: asyncio.StreamReader) -> int:
    status = 0
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(PIECE))
        elif isinstance(event, h11.Response | h11.InformationalResponse) and event.status_code != 100:
            status = event.status_code
        elif event is h11.PAUSED or isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            if not status:
                raise ConnectionResetError("no answer")
            return status
