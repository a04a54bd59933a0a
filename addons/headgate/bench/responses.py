"""What masking adds to a response of 10 kB, and how soon the first of a stream comes through.

Each is measured on the whole chain, one request at a time: a response masked by detection against one of the same size
that no mask is due for, in turns; and the age of each event of a masked stream when it arrives, by a clock that all
processes of a machine share.
"""

import re
import socket
from time import perf_counter

from headgate.bench.bundle import LARGE_PATH, STREAM_PATH, UNMASKED_PATH
from headgate.bench.figures import Bar, Figure
from headgate.bench.load import Plan
from headgate.bench.rig import Rig
from headgate.bench.timing import Sample
from headgate.bench.traffic import ask
from headgate.errors import HeadgateError

PATIENCE = 30.0
_AT = re.compile(rb'"at": ([0-9.]+),')


def measure(rig: Rig, rounds: int, seconds: float) -> list[Figure]:
    """`rounds` of `seconds` each, and as many streams."""
    added = [_added(rig, at % 2 == 0, seconds) for at in range(rounds)]
    delays = [_delay(rig, rig.requests[STREAM_PATH][0]) for _ in range(rounds)]
    return [
        Figure(
            "what masking by detection adds to a response of 10 kB", Sample.of(added), "ms",
            "the same chain without a mask, medians of one request at a time", Bar("at most", 5, "5 ms"),
        ),
        Figure(
            "first event of a masked stream", Sample.of(delays), "ms", "when the upstream sent it",
            Bar("at most", 20, "20 ms"),
        ),
    ]  # fmt: skip


def _added(rig: Rig, first: bool, seconds: float) -> float:
    taken: dict[str, float] = {}
    for path in (LARGE_PATH, UNMASKED_PATH) if first else (UNMASKED_PATH, LARGE_PATH):
        report = ask(Plan(rig.chain.port, rig.requests[path], 1, seconds))
        if set(report.statuses) != {"200"}:
            raise HeadgateError(f"not every request was answered with 200: {report.statuses}")
        taken[path] = report.p50_ms
    return taken[LARGE_PATH] - taken[UNMASKED_PATH]


def _delay(rig: Rig, request: str) -> float:
    """Milliseconds from the sending of the first event to its arrival."""
    with socket.create_connection(("127.0.0.1", rig.chain.port), PATIENCE) as connection:
        connection.sendall(request.encode())
        received = b""
        while not (sent := _AT.search(received)):
            piece = connection.recv(65536)
            if not piece:
                raise HeadgateError("the stream ended before its first event")
            received += piece
        return (perf_counter() - float(sent[1])) * 1000
