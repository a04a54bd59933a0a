"""Processes that mask, and the rule that they can fail, hang or die without anything passing unmasked.

A job has one deadline, from the moment it is handed in; before it, the first jobs wait for the first process, which has
Presidio to import. A worker that is not done by then, that dies, or that answers
what is no result, is killed; its job ends in CannotMask, and another process takes its place, after a pause that
grows while none gets anything done. Jobs wait in a queue of bounded length.
"""

import asyncio
import os
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Self

from headgate.masking.job import Done, Job
from headgate.masking.plan import CannotMask
from headgate.masking.wire import LENGTHS, Garbled, Message, job_message, lengths, pack, read_done, unpack
from headgate.masking.worker import CACHE_KEY, READY

COUNT = 2
DEADLINE = 5.0
WAITING = 64
COLD = 20.0
"""Seconds for which jobs wait until any process has been ready for the first time."""

START = 60.0
"""Seconds until a new process must be ready; importing Presidio takes two on an idle machine."""

PAUSE = 0.1
LONGEST_PAUSE = 5.0

TOO_SLOW = "masking-too-slow"
FAILED = "masking-worker-failed"
BUSY = "masking-busy"
STOPPED = "masking-not-running"


def command(deadline: float) -> list[str]:
    """How a worker is started. Nothing is imported from the working folder (-P)."""
    return [sys.executable, "-P", "-m", "headgate.masking.worker", str(int(deadline) + 2)]


def environment(given: Mapping[str, str], cache_key: bytes = b"") -> dict[str, str]:
    """What a worker is told of the environment: where Headgate and its libraries are, and to use one thread."""
    addons = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (addons, given.get("PYTHONPATH"))))
    kept = {name: given[name] for name in ("HOME", "SYSTEMROOT", "VIRTUAL_ENV") if name in given}
    kept |= {CACHE_KEY: cache_key.hex()} if cache_key else {}
    return {**kept, "PYTHONPATH": paths, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(slots=True)
class _Ticket:
    """A job that somebody waits for; `outcome` becomes its result, or the reason why there is none."""

    message: Message
    deadline: float
    outcome: asyncio.Future[Done | str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, outcome: Done | str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Workers:
    """`deadline` is in seconds for each job; `waiting` is how many jobs may wait for a free worker.

    With a `cache_key` of random bytes, workers remember findings in values, without the values.
    """

    def __init__(
        self,
        count: int = COUNT,
        deadline: float = DEADLINE,
        waiting: int = WAITING,
        command: Sequence[str] | None = None,
        cold: float = COLD,
        cache_key: bytes = b"",
    ) -> None:
        self._count, self._waiting, self._cold = count, waiting, cold
        self._early = 0  # jobs that wait for the first process
        self.deadline = deadline
        self._command, self._cache_key = command, cache_key
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the processes without waiting for them; jobs may be handed in at once."""
        self._numbers, self._warm = count(1), asyncio.Event()
        self._tickets: asyncio.Queue[_Ticket] = asyncio.Queue(self._waiting)
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(self._count)]

    async def stop(self) -> None:
        """End the processes; whoever still waits is told so."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            self._warm.set()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while tasks and not self._tickets.empty():
            self._tickets.get_nowait().settle(STOPPED)

    async def run(self, job: Job) -> Done:
        """CannotMask when there is no result in time."""
        if self._tasks and not self._warm.is_set():
            await self._first_process()
        if not self._tasks:
            raise CannotMask(STOPPED)
        deadline = asyncio.get_running_loop().time() + self.deadline
        ticket = _Ticket(job_message(next(self._numbers), job), deadline)
        try:
            self._tickets.put_nowait(ticket)
            async with asyncio.timeout_at(deadline):
                outcome = await ticket.outcome
        except asyncio.QueueFull:
            raise CannotMask(BUSY) from None
        except TimeoutError:
            raise CannotMask(TOO_SLOW) from None
        if isinstance(outcome, str):
            raise CannotMask(outcome)
        return outcome

    async def _first_process(self) -> None:
        if self._early >= self._waiting:
            raise CannotMask(BUSY)
        self._early += 1
        try:
            async with asyncio.timeout(self._cold):
                await self._warm.wait()
        except TimeoutError:
            raise CannotMask(TOO_SLOW) from None
        finally:
            self._early -= 1

    async def _serve(self) -> None:
        """Keep one process running for as long as the pool does."""
        pause = PAUSE
        while True:
            useful = await self._run_one()
            pause = PAUSE if useful else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _run_one(self) -> bool:
        """One process from its start to its end; whether it has done anything. Jobs wait for the next one."""
        try:
            worker = await _Worker.start(self._command or command(self.deadline), self._cache_key)
        except OSError:
            return False
        try:
            await worker.ready()
            self._warm.set()
            while await self._attend(worker, await self._tickets.get()):
                pass
        except (OSError, EOFError, Garbled):
            return False
        finally:
            await worker.kill()
        return worker.useful

    async def _attend(self, worker: "_Worker", ticket: _Ticket) -> bool:
        """Have one job done; False when the worker is not to be trusted with another."""
        if ticket.outcome.done():
            return True
        if worker.ended:
            self._tickets.put_nowait(ticket)  # there is room: it has only just been taken
            return False
        outcome: Done | str = FAILED
        try:
            async with asyncio.timeout_at(ticket.deadline):
                outcome = await worker.work(ticket.message)
        except TimeoutError:
            outcome = TOO_SLOW
        except (OSError, EOFError, Garbled):
            pass  # it has died or talks nonsense
        finally:
            ticket.settle(outcome)
        return not isinstance(outcome, str)


def _process(command: Sequence[str], end: int, cache_key: bytes) -> Popen[bytes]:
    env = environment(os.environ, cache_key)
    return Popen(command, stdin=end, stdout=end, stderr=DEVNULL, env=env)  # noqa: S603 (no part of it comes from traffic)


class _Worker:
    """One process; `useful` once it has finished a job."""

    def __init__(self, process: Popen[bytes], results: StreamReader, jobs: StreamWriter) -> None:
        self.useful = False
        self._process, self._results, self._jobs = process, results, jobs

    @classmethod
    async def start(cls, command: Sequence[str], cache_key: bytes) -> Self:
        """A process that may not be ready yet; its errors are not read, for they may quote what it handles.

        It talks over a socket: asyncio's own subprocesses never end when they are cancelled while they start, and
        would keep a proxy from exiting.
        """
        ours, theirs = socket.socketpair()
        with ExitStack() as failing:
            failing.callback(ours.close)
            with theirs:
                process = _process(command, theirs.fileno(), cache_key)
            failing.callback(process.wait)
            failing.callback(process.kill)
            worker = cls(process, *await asyncio.open_connection(sock=ours))
            failing.pop_all()
            return worker

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    async def ready(self) -> None:
        async with asyncio.timeout(START):
            if (await self._receive()).content != READY:
                raise Garbled("the worker is not ready")

    async def work(self, message: Message) -> Done:
        self._jobs.write(pack(message))
        await self._jobs.drain()
        answer = await self._receive()
        if answer.number != message.number:
            raise Garbled("the answer is to another job")
        done = read_done(answer)
        self.useful = True
        return done

    async def kill(self) -> None:
        if not self.ended:
            self._process.kill()
        self._jobs.close()
        await asyncio.to_thread(self._process.wait)

    async def _receive(self) -> Message:
        text, bodies = lengths(await self._results.readexactly(LENGTHS.size))
        return unpack(await self._results.readexactly(text), await self._results.readexactly(bodies))
