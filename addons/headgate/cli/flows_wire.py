"""What `headgate flows show` says of the wire: the connections of a flow, and each message of a WebSocket."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headgate.cli.screen import visible

if TYPE_CHECKING:
    from headgate.capture.entries import Entry, MessageEntry


def connections(entry: "Entry") -> Iterator[tuple[str, str]]:
    """Label and text of each end, of how long the upstream took, and of what was in force."""
    found = entry.connection or {}
    for name in ("client", "upstream"):
        if end := found.get(name):
            yield name, _end(end)
    times: dict[str, float] = found.get("times", {})
    if "request_end" in times and "response_start" in times:
        yield "waited", f"{(times['response_start'] - times['request_end']) * 1000:,.1f} ms for the response"
    if entry.signals:
        yield "signals", ", ".join(entry.signals)
    if entry.sealed:
        yield "original", "sealed (--open KEYFILE)"


def _end(end: dict[str, Any]) -> str:
    place = f"{end.get('address') or 'unknown'}:{end.get('port') or '?'}"
    secured = [end[name] for name in ("tls", "cipher", "alpn") if end.get(name)]
    named = [f"sni {end['sni']}"] if end.get("sni") else []
    via = [f"via {end['via']}"] if end.get("via") else []
    return ", ".join([place, *map(str, (*secured, *named, *via))])


def said_line(message: "MessageEntry") -> str:
    from headgate.capture.layout import iso

    arrow = "->" if message.from_client else "<-"
    shown = visible(message.body.decode("utf-8", "replace")) if message.kind == "text" else ""
    kept = shown if message.body and message.kind == "text" else f"({visible(message.kind)}, {message.size:,} bytes)"
    return f"{iso(message.time)} {arrow} {kept}{' ... cut' if message.truncated and message.body else ''}"
