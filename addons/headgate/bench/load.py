"""The load: connections that each send the next request as soon as the last is answered.

Started as a process of its own for each round: `python -m headgate.bench.load`, with a `Plan` as JSON on standard
input; prints a `Report` as JSON. Bare sockets, so that as little as possible is spent here.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter, process_time
from typing import Any

END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plan:
    """`requests` are taken in turn by all connections together; `warm` and `seconds` follow each other."""

    port: int
    requests: list[str]
    connections: int
    seconds: float
    warm: float = 0.3


@dataclass(frozen=True, slots=True)
class Report:
    """What was answered in `seconds`; `busy` is the share of the time that this process itself needed."""

    answered: int
    seconds: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    busy: float

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


@dataclass(slots=True)
class Tally:
    """What the connections of a round have in common."""

    requests: Sequence[bytes]
    at: int = 0
    counting: bool = False
    closed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def next(self) -> bytes:
        self.at = (self.at + 1) % len(self.requests)
        return self.requests[self.at]


class Caller(asyncio.Protocol):
    """One connection that is kept open."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._received, self._due, self._sent = tally, b"", 0, 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self._tally.closed += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._due:
            end = self._received.find(END)
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            self._due = end + len(END) + (int(length[1]) if length else 0)
        if len(self._received) >= self._due:
            self._answered()
            self._send()

    def _answered(self) -> None:
        if self._tally.counting:
            self._tally.latencies.append(perf_counter() - self._sent)
            self._tally.statuses[self._received[9:12].decode("ascii", "replace")] += 1
        self._received, self._due = self._received[self._due :], 0

    def _send(self) -> None:
        self._sent = perf_counter()
        self._transport.write(self._tally.next())


async def run(plan: Plan) -> Report:
    tally = Tally([request.encode() for request in plan.requests])
    connect = asyncio.get_running_loop().create_connection
    opened = [await connect(lambda: Caller(tally), "127.0.0.1", plan.port) for _ in range(plan.connections)]
    await asyncio.sleep(plan.warm)
    started, cpu, tally.counting = perf_counter(), process_time(), True
    await asyncio.sleep(plan.seconds)
    tally.counting = False
    elapsed, busy = perf_counter() - started, process_time() - cpu
    if tally.closed:
        tally.statuses["closed"] = tally.closed
    for transport, _ in opened:
        transport.abort()
    return report(tally, elapsed, busy / elapsed)


def report(tally: Tally, seconds: float, busy: float) -> Report:
    ordered = sorted(tally.latencies) or [0.0]
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    return Report(len(tally.latencies), seconds, dict(tally.statuses), p50, p99, busy)


def main(given: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(asdict(asyncio.run(run(Plan(**given))))) + "\n")


if __name__ == "__main__":
    main(json.load(sys.stdin))
