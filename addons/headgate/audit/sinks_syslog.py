"""Events to syslog, each one message of RFC 5424: over UDP (RFC 5426), or to the daemon of this machine.

The message is JSON in ASCII, so that nothing in it can end it or begin another. One that is longer than a datagram can
be is not sent: half of it would look like something else.
"""

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from headgate.audit.sinks import CHECKPOINT, Event, UndeliveredError

LOCAL = ("/dev/log", "/var/run/syslog", "/var/run/log")
"""Where daemons listen on Linux, macOS and the BSDs."""

AUDIT = 13
NOTICE, INFORMATIONAL = 5, 6
"""The facility `log audit` and the severities (RFC 5424, 6.2.1)."""

LONGEST = 60_000
SECONDS = 5.0

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z\Z")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

Address = tuple[str, int] | None
"""Host and port of a collector; None for this machine's daemon."""


class Syslog:
    batch = 1

    def __init__(self, address: Address, host: str | None = None, local: Sequence[str] = LOCAL) -> None:
        self.name = f"syslog at {address[0]}:{address[1]}" if address else "this machine's syslog"
        self._address, self._local = address, local
        self._host = _word(host or socket.gethostname(), 255)
        self._socket: socket.socket | None = None

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            data = message(event, self._host, os.getpid())
            if len(data) > LONGEST:
                continue
            try:
                (self._socket or self._open()).send(data)
            except OSError:
                self.close()  # a daemon that was restarted listens on another socket
                raise

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None

    def _open(self) -> socket.socket:
        self._socket = _datagrams(*self._address) if self._address else _daemon(self._local)
        self._socket.settimeout(SECONDS)
        return self._socket


def message(event: Event, host: str, pid: int) -> bytes:
    """One message: its header, no structured data, and the event's own line (RFC 5424, section 6)."""
    severity = NOTICE if event.kind == CHECKPOINT else INFORMATIONAL
    time = event.time if _TIME.match(event.time) else "-"
    header = f"<{AUDIT * 8 + severity}>1 {time} {host} headgate {pid} {_word(event.kind, 32)} - "
    return header.encode("ascii") + event.line


def _word(text: str, longest: int) -> str:
    """A field of the header: printable ASCII without spaces, `-` for nothing."""
    return _UNPRINTABLE.sub("_", text)[:longest] or "-"


def _datagrams(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    opened.connect(address)
    return opened


def _daemon(places: Sequence[str]) -> socket.socket:
    path = next((place for place in places if Path(place).exists()), None)
    if path is None:
        raise UndeliveredError("no daemon listens on this machine")
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        opened.connect(path)
    except OSError:
        opened.close()
        raise
    return opened
