"""Nothing leaves: while a replay is offline, this process opens no connection but to the ports that it names.

A second lock behind the first, which is that there is nobody to dial but a responder on loopback. CPython tells an
audit hook (PEP 578) of each connection and each name that is looked up, before it happens, whatever library asks; what
the hook raises there ends it. Hooks cannot be taken out again: this one is put in once, and idle outside of
`nothing_leaves`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CONNECTIONS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
LOOPBACK = frozenset({"127.0.0.1", "::1"})


class Leaves(OSError):
    """Somebody tried to reach another machine, or a port that is no part of the replay."""


class _Lock:
    def __init__(self) -> None:
        self.ports: list[set[int]] = []
        self.installed = False
        self.stopped = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.ports or not event.startswith("socket."):
            return
        if (event in CONNECTIONS and self._elsewhere(arguments[-1])) or (
            event in LOOKUPS and not self._literal(arguments[0])
        ):
            self.stopped += 1
            raise Leaves("nothing is dialled while a replay is offline")

    def _elsewhere(self, address: Any) -> bool:
        if address is None or isinstance(address, str | bytes):  # of a connection that is there; of a local socket
            return False
        return address[0] not in LOOPBACK or not any(address[1] in ports for ports in self.ports)

    def _literal(self, host: Any) -> bool:
        name = host[0] if isinstance(host, tuple) else host
        return name in LOOPBACK or name is None


_LOCK = _Lock()


@contextmanager
def nothing_leaves() -> Iterator[set[int]]:
    """Yields the ports of loopback that may be dialled: whoever opens one adds it."""
    if not _LOCK.installed:
        sys.addaudithook(_LOCK)
        _LOCK.installed = True
    ports: set[int] = set()
    _LOCK.ports.append(ports)
    try:
        yield ports
    finally:
        _LOCK.ports.remove(ports)
