"""What the entries themselves tell of how the log was kept: crashes, and bodies that were pruned as recorded."""

import json
import re
from typing import Any

from headgate.audit.pruning import PRUNED

SILENT = (b'{"approval_id":', b'{"bytes":')
"""What decisions and outcomes begin with, whose names are sorted: they are only hashed, all others looked into."""

MOST = 10_000
"""Stretches of missing bodies, crashes, and proxies that share a log, that are told apart."""

LONGEST_RUN = 64
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z")


class Events:
    def __init__(self) -> None:
        self.pruned = 0
        self.crashes: list[int] = []
        self._running: set[str] = set()
        self._through = 0
        self._stretches: list[list[int]] = []

    def body_missing(self, seq: int) -> None:
        self.pruned += 1
        stretches = self._stretches
        if stretches and (stretches[-1][1] == seq - 1 or len(stretches) >= MOST):
            stretches[-1][1] = seq
        else:
            stretches.append([seq, seq])

    def read(self, seq: int, body: bytes) -> None:
        """An entry whose hash is right."""
        leaf = _object(body)
        kind, run = leaf.get("kind"), str(leaf.get("run", ""))[:LONGEST_RUN]
        if kind == "start":
            if run in self._running and len(self.crashes) < MOST:
                self.crashes.append(seq)
            if len(self._running) < MOST:
                self._running.add(run)
        elif kind == "stop":
            self._running.discard(run)
        elif kind == "act" and leaf.get("act") == PRUNED and isinstance(facts := leaf.get("facts"), dict):
            through = facts.get("through")
            if isinstance(through, int) and through < seq:
                self._through = max(self._through, through)

    def unrecorded(self) -> list[tuple[int, int]]:
        """Entries without a body that no act says were pruned, as (first, last)."""
        return [(max(first, self._through + 1), last) for first, last in self._stretches if last > self._through]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def time_of(body: bytes | None) -> str | None:
    """When an entry says that it is from; None for what is no time as the log writes it."""
    found = _object(body).get("time") if body else None
    return found if isinstance(found, str) and _TIME.fullmatch(found) else None
