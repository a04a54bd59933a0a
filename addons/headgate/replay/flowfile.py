"""A recorded flow as mitmproxy has it, and back: so that mitmweb opens a record, and a flow of mitmproxy's can be kept.

The flow shows its verdict, by marker and comment, as it did when it was live. Its ids are made from the record's, so
that the same record gives the same bytes. What is read from a file is never believed to be masked, or decided.
"""

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, get_args

from mitmproxy import connection, exceptions, flow, http, tcp, websocket
from mitmproxy.addons import export
from mitmproxy.io import compat, tnetstring
from mitmproxy.net.http import status_codes
from wsproto.frame_protocol import Opcode

from headgate.capture.addon import ERRORS
from headgate.capture.connection import Close, Connection, Peer
from headgate.capture.entries import Entry, MessageEntry, Recorded
from headgate.capture.record import Kind, Line
from headgate.errors import HeadgateError
from headgate.replay import foreign
from headgate.replay.flowverdict import verdict_of
from headgate.replay.foreign import NAMESPACE, Damaged, Foreign, Part, Said
from headgate.replay.netstrings import pieces

HTTP_1 = "HTTP/1.1"

# -- from a record ----------------------------------------------------------------------------------------------------


def flow_of(entry: Entry, messages: Iterable[MessageEntry] = ()) -> http.HTTPFlow | tcp.TCPFlow:
    """The flow that `entry` is the record of; `messages` are those of the store."""
    summary, facts = entry.summary, entry.connection or {}
    client, server = _client(entry, facts), _server(entry, facts)
    made: http.HTTPFlow | tcp.TCPFlow
    if entry.kind == Kind.TCP:
        made = tcp.TCPFlow(client, server)
        made.messages = [tcp.TCPMessage(bool(one.from_client), one.body, one.time) for one in messages]
    else:
        made = _http_flow(entry, facts, client, server)
        if entry.kind == Kind.WEBSOCKET:
            made.websocket = _websocket(entry, facts, messages)
    made.id, made.timestamp_created = summary.flow_id, summary.time
    if summary.error:
        made.error = flow.Error(_said(summary.error), summary.ended or summary.time)
    made.marked, made.comment = verdict_of(entry)
    made.metadata = {"headgate_decision": summary.decision_id}
    return made


def write_flow(file: BinaryIO, entry: Entry, messages: Iterable[MessageEntry] = ()) -> None:
    """Append one flow to a file of mitmproxy's."""
    tnetstring.dump(flow_of(entry, messages).get_state(), file)


def raw_of(entry: Entry, messages: Iterable[MessageEntry] = ()) -> bytes:
    """The request and the response as HTTP/1 writes them; `HeadgateError` where there are none."""
    try:
        return bytes(export.raw(flow_of(entry, messages)))
    except exceptions.CommandError:
        raise HeadgateError(f"the flow `{entry.summary.flow_id}` has nothing that can be written as HTTP") from None


def _said(error: str) -> str:
    """mitmproxy's words for what a record calls `error`: it tells one of them from all others."""
    return next((message for message, known in ERRORS.items() if known == error), error)


def _http_flow(
    entry: Entry, facts: dict[str, Any], client: connection.Client, server: connection.Server
) -> http.HTTPFlow:
    summary, times = entry.summary, facts.get("times") or {}
    made = http.HTTPFlow(client, server)
    target = summary.path + (f"?{summary.query}" if summary.query else "")
    version = entry.http_version or HTTP_1
    begun = times.get("request_start", summary.time)
    made.request = http.Request(
        summary.host, summary.port, _bytes(summary.method), _bytes(summary.scheme), b"", _bytes(target),
        _bytes(version), _headers(entry.request), entry.request.body, None, begun, times.get("request_end", begun),
    )  # fmt: skip
    if summary.status is not None:
        answered = entry.response or Recorded(None, b"", 0, truncated=False)
        ended = times.get("response_end", summary.ended)
        made.response = http.Response(
            _bytes(version), summary.status, _bytes(status_codes.RESPONSES.get(summary.status, "")),
            _headers(answered), answered.body, None, times.get("response_start", ended or begun), ended,
        )  # fmt: skip
    return made


def _websocket(entry: Entry, facts: dict[str, Any], messages: Iterable[MessageEntry]) -> websocket.WebSocketData:
    close = facts.get("close") or {}
    said = [
        websocket.WebSocketMessage(
            Opcode.TEXT if one.kind == "text" else Opcode.BINARY, bool(one.from_client), one.body, one.time
        )
        for one in messages
    ]
    return websocket.WebSocketData(said, close.get("by_client"), close.get("code"), None, entry.summary.ended)


def _client(entry: Entry, facts: dict[str, Any]) -> connection.Client:
    peer, times = facts.get("client") or {}, facts.get("times") or {}
    address = peer.get("address") or entry.source
    made = connection.Client(
        peername=(address, peer.get("port") or 0),
        sockname=("", 0),
        id=_id(entry, "client"),
        timestamp_start=times.get("client_connected", entry.summary.time),
        timestamp_end=entry.summary.ended,
        timestamp_tls_setup=times.get("client_tls"),
        state=connection.ConnectionState.CLOSED,
    )
    _secure(made, peer)
    return made


def _server(entry: Entry, facts: dict[str, Any]) -> connection.Server:
    peer, times, summary = facts.get("upstream") or {}, facts.get("times") or {}, entry.summary
    made = connection.Server(
        address=(summary.host, summary.port),
        id=_id(entry, "server"),
        peername=(peer["address"], peer.get("port") or summary.port) if peer.get("address") else None,
        timestamp_start=times.get("connected"),
        timestamp_tcp_setup=times.get("connected"),
        timestamp_tls_setup=times.get("tls"),
        timestamp_end=summary.ended,
        state=connection.ConnectionState.CLOSED,
    )
    _secure(made, peer)
    return made


def _secure(made: connection.Connection, peer: dict[str, Any]) -> None:
    made.tls, version = bool(peer.get("tls")), peer.get("tls")
    made.tls_version = version if version in get_args(connection.TlsVersion) else None  # no state has another
    made.cipher, made.sni = peer.get("cipher"), peer.get("sni")
    made.alpn = _bytes(peer["alpn"]) if peer.get("alpn") else None


def _id(entry: Entry, side: str) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{side} {entry.summary.decision_id}"))


def _headers(part: Recorded) -> http.Headers:
    return http.Headers([(_bytes(name), _bytes(value)) for name, value in part.headers or ()])


def _bytes(text: str) -> bytes:
    """The bytes that a record keeps as this text."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


# -- from a file ------------------------------------------------------------------------------------------------------


def read_flows(path: Path) -> Iterator[Foreign | None]:
    """The flows of a file that some mitmproxy wrote, one after the other; None for one of a kind that is not kept.

    `Damaged` says which could not be read.
    """
    with path.open("rb") as file:
        yield from _flows(file, path)


def _flows(file: BinaryIO, path: Path) -> Iterator[Foreign | None]:
    number = 1
    try:
        for kind, content in pieces(file):
            yield foreign_of(_parsed(kind, content))
            number += 1
    except Damaged as error:
        raise Damaged(f"flow {number} of `{path.name[:80]}` cannot be read: {error}") from None


def _parsed(kind: int, content: bytes) -> flow.Flow:
    """One flow, migrated from whichever version wrote it."""
    try:
        state = tnetstring.parse(kind, memoryview(content))
        if not isinstance(state, dict):
            raise Damaged("something that is no flow")
        return flow.Flow.from_state(compat.migrate_flow(state))
    except Damaged:
        raise
    except Exception as error:  # noqa: BLE001 - the migrations of twenty versions raise whatever a hostile file leads to
        newer = isinstance(error, ValueError) and "cannot read files with flow format version" in str(error)
        raise Damaged("a newer mitmproxy wrote it" if newer else "a flow that no mitmproxy writes") from None


def foreign_of(found: flow.Flow) -> Foreign | None:
    """A flow as plain values; None for one of a kind that is not kept."""
    try:
        if isinstance(found, http.HTTPFlow):
            return _of_http(found)
        return _of_tcp(found) if isinstance(found, tcp.TCPFlow) else None
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError):
        raise Damaged("a flow that no mitmproxy writes") from None


def _of_http(found: http.HTTPFlow) -> Foreign:
    sent, got, said = found.request.data, found.response, found.websocket
    started = foreign.began(sent.timestamp_start)
    ended = [found.error.timestamp if found.error else None, said.timestamp_end if said else None]
    ended += [got.timestamp_end or got.timestamp_start] if got else []
    return Foreign(
        foreign.known_id(found.id),
        Kind.WEBSOCKET if said else Kind.HTTP,
        started,
        foreign.moment(next((time for time in ended if time), None)),
        Line(sent.method, str(found.request.scheme), sent.host, foreign.port(sent.port), sent.path, sent.http_version),
        _part(sent.headers, sent.content),
        foreign.status(got.status_code) if got else None,
        _part(got.data.headers, got.data.content) if got else None,
        tuple(_message(one) for one in said.messages) if said else (),
        foreign.known_error(ERRORS.get(found.error.msg, found.error.msg) if found.error else None),
        _connection(found),
    )


def _of_tcp(found: tcp.TCPFlow) -> Foreign:
    host, number = (found.server_conn.address or ("", 0))[:2]
    started = foreign.began(found.client_conn.timestamp_start or found.timestamp_created)
    return Foreign(
        foreign.known_id(found.id),
        Kind.TCP,
        started,
        foreign.moment(found.server_conn.timestamp_end),
        Line(b"", "tcp", str(host), foreign.port(number), b"", b""),
        Part(),
        messages=tuple(
            Said(foreign.began(one.timestamp), one.from_client, False, one.content) for one in found.messages
        ),
        error=foreign.FAILED if found.error else None,
        connection=_connection(found),
    )


def _spoken(one: tcp.TCPMessage) -> Said:
    return Said(foreign.began(one.timestamp), bool(one.from_client), text=False, content=bytes(one.content))


def _message(one: websocket.WebSocketMessage) -> Said:
    return Said(foreign.began(one.timestamp), bool(one.from_client), one.type == Opcode.TEXT, bytes(one.content))


def _part(headers: http.Headers, content: bytes | None) -> Part:
    return Part(tuple((bytes(name), bytes(value)) for name, value in headers.fields), content, len(content or b""))


def _connection(found: flow.Flow) -> Connection:
    client, server = found.client_conn, found.server_conn
    sent = found.request if isinstance(found, http.HTTPFlow) else None
    got = found.response if isinstance(found, http.HTTPFlow) else None
    times = (
        client.timestamp_start, client.timestamp_tls_setup, server.timestamp_tcp_setup, server.timestamp_tls_setup,
        sent.timestamp_start if sent else None, sent.timestamp_end if sent else None,
        got.timestamp_start if got else None, got.timestamp_end if got else None,
    )  # fmt: skip
    return Connection(_peer(client), _peer(server), tuple(foreign.moment(time) for time in times), _close(found))


def _close(found: flow.Flow) -> Close | None:
    said = found.websocket if isinstance(found, http.HTTPFlow) else None
    if said is None:
        return None
    return Close(said.close_code, said.closed_by_client)


def _peer(side: connection.Connection) -> Peer | None:
    if not side.peername:
        return None
    tls = side.tls_version or ("TLS" if side.tls else None)
    return Peer(str(side.peername[0])[:100], foreign.port(side.peername[1]), tls, side.cipher, side.alpn, side.sni)
