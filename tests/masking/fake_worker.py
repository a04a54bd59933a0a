"""A worker that answers each job with the request it got, until it is told to misbehave by the path of one."""

import os
import signal
import sys
from pathlib import Path

from headgate.masking.job import Done
from headgate.masking.wire import LENGTHS, Message, done_message, lengths, pack, read_job, unpack
from headgate.masking.worker import READY


def say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def start(log: Path) -> str:
    """How this process is to begin: the n-th one takes the n-th line of the log's script."""
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    begun = len(log.read_text().splitlines())
    script = log.with_suffix(".script")
    manners = script.read_text().splitlines() if script.exists() else []
    return manners[begun - 1] if begun <= len(manners) else "ready"


def main() -> None:
    manner = start(Path(sys.argv[1]))
    if manner == "die":
        sys.exit(1)
    say(
        {"nonsense": b"Traceback (most recent call last)\n", "unready": pack(Message(0, "not yet", []))}.get(
            manner, b""
        )
    )
    if manner == "hang":
        signal.pause()
    if manner == "ready":
        say(pack(Message(0, READY, [])))
    while head := sys.stdin.buffer.read(LENGTHS.size):
        text, bodies = lengths(head)
        message = unpack(sys.stdin.buffer.read(text), sys.stdin.buffer.read(bodies))
        job = read_job(message)
        path = job.sent.path
        if path == b"/die":
            sys.exit(1)
        if path == b"/hang":
            signal.pause()
        if path == b"/print":
            say(b"\0\0\0\3\0\0\0\0[1]")
        number = message.number + (path == b"/other")
        answer = Message(number, ["x"], []) if path == b"/short" else done_message(number, Done(job.sent, None, None))
        say(pack(answer)[: 9 if path == b"/half" else None])
        if path == b"/half":
            sys.exit(0)


if __name__ == "__main__":
    main()
