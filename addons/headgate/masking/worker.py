"""The process in which detection runs: jobs come on standard input, results go to standard output.

It ends when its input does, and ends itself when a job takes far too long even though nobody stops it, as when the
proxy was killed. Nothing in it can write to a log or a terminal: what it handles is what must not be shown.
"""

import logging
import os
import signal
import sys
from typing import BinaryIO

from headgate.masking.detection.cache import Cache
from headgate.masking.detection.detector import Detector, warm
from headgate.masking.job import run
from headgate.masking.plan import Detect, Plan, detect_nothing
from headgate.masking.wire import LENGTHS, Message, done_message, lengths, pack, read_job, unpack

CACHE_KEY = "HEADGATE_CACHE_KEY"
"""The name, in a worker's environment, of the key in hex under which it remembers findings; without it, it does not."""

READY = "ready"
"""The content of the first message, number 0: from then on jobs are taken."""


def main(limit: int) -> None:
    """`limit` is in seconds, for one job."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs, results = sys.stdin.buffer, _standard_output()
    key = bytes.fromhex(os.environ.pop(CACHE_KEY, ""))
    cache = Cache(key) if key else None
    warm()
    _send(results, Message(0, READY, []))
    while (message := _receive(jobs)) is not None:
        _alarm(limit)
        job = read_job(message)
        _send(results, done_message(message.number, run(job, lambda plan: _detector(plan, cache))))
        _alarm(0)


def _detector(plan: Plan, cache: Cache | None) -> Detect:
    return Detector(plan, cache=cache) if plan.detect else detect_nothing


def _standard_output() -> BinaryIO:
    """Keep the pipe to the proxy for results alone: whatever a library prints goes nowhere."""
    results = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return results


def _alarm(seconds: int) -> None:
    """The default action of SIGALRM ends the process, whatever it is busy with; Windows has no such signal."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _receive(jobs: BinaryIO) -> Message | None:
    head = jobs.read(LENGTHS.size)
    if len(head) < LENGTHS.size:
        return None
    text, bodies = lengths(head)
    return unpack(jobs.read(text), jobs.read(bodies))


def _send(results: BinaryIO, message: Message) -> None:
    results.write(pack(message))
    results.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
