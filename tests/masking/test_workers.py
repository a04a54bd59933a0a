"""Workers that hang, die or talk nonsense: the job is refused in time, and the next one is done."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headgate.masking.job import Done, Job
from headgate.masking.plan import CannotMask, Plan
from headgate.masking.response import Received
from headgate.masking.scrub import Sent
from headgate.masking.workers import Workers, command, environment

PATIENCE = 60.0
FAKE = Path(__file__).with_name("fake_worker.py")


def _job(path: str) -> Job:
    return Job(Plan(), Plan(), Sent(path.encode(), (), b""), None)


async def _outcome(workers: Workers, path: str) -> str:
    """The path that came back, or why nothing did."""
    try:
        return (await workers.run(_job(path))).sent.path.decode()
    except CannotMask as cannot:
        return cannot.reason


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "started"


@pytest.fixture
def with_fakes(log: Path) -> Callable[..., None]:
    """Run a test with fake workers; `script` says how each process begins, the first ones first."""

    def run(
        test: Callable[[Workers], Awaitable[None]],
        script: tuple[str, ...] = (),
        count: int = 1,
        deadline: float = PATIENCE,
        waiting: int = 64,
        cold: float = PATIENCE,
    ) -> None:
        log.with_suffix(".script").write_text("\n".join(script))

        async def around() -> None:
            workers = Workers(count, deadline, waiting, [sys.executable, str(FAKE), str(log)], cold)
            await workers.start()
            try:
                await test(workers)
            finally:
                await workers.stop()

        asyncio.run(around())

    return run


def _started(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def _runs(pid: int) -> bool:
    """Whether a child has not ended; one that has need not have been reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def test_jobs_handed_in_at_once_wait_for_the_worker_and_are_all_done(with_fakes: Callable[..., None]) -> None:
    async def test(workers: Workers) -> None:
        paths = [f"/{number}" for number in range(50)]
        assert await asyncio.gather(*(_outcome(workers, path) for path in paths)) == paths

    with_fakes(test, count=2)


@pytest.mark.parametrize("path", ["/die", "/half", "/print", "/other", "/short"])
def test_a_worker_that_dies_or_talks_nonsense_is_replaced(
    with_fakes: Callable[..., None], log: Path, path: str
) -> None:
    async def test(workers: Workers) -> None:
        assert await _outcome(workers, path) == "masking-worker-failed"
        assert await _outcome(workers, "/fine") == "/fine"

    with_fakes(test)
    assert len(_started(log)) == 2


def test_a_worker_that_dies_while_it_is_idle_costs_no_job(with_fakes: Callable[..., None], log: Path) -> None:
    async def test(workers: Workers) -> None:
        assert await _outcome(workers, "/fine") == "/fine"
        (first,) = _started(log)
        os.kill(first, signal.SIGKILL)
        while _runs(first):  # noqa: ASYNC110 - until it has ended
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert await _outcome(workers, "/fine") == "/fine"

    with_fakes(test)


def test_a_worker_that_hangs_is_killed_at_the_deadline_and_the_next_job_is_done(
    with_fakes: Callable[..., None], log: Path
) -> None:
    async def test(workers: Workers) -> None:
        assert await _outcome(workers, "/fine") == "/fine"
        workers.deadline = 0.2
        assert await _outcome(workers, "/hang") == "masking-too-slow"
        workers.deadline = PATIENCE
        assert await _outcome(workers, "/fine") == "/fine"
        assert not _runs(_started(log)[0])

    with_fakes(test)


@pytest.mark.parametrize("manner", ["die", "nonsense", "unready"])
def test_workers_that_do_not_start_are_tried_again(with_fakes: Callable[..., None], log: Path, manner: str) -> None:
    async def test(workers: Workers) -> None:
        assert await _outcome(workers, "/fine") == "/fine"

    with_fakes(test, script=(manner, manner))
    assert len(_started(log)) == 3


def test_a_job_waits_no_longer_than_its_deadline_for_a_worker(with_fakes: Callable[..., None]) -> None:
    async def test(workers: Workers) -> None:
        assert await _outcome(workers, "/fine") == "masking-too-slow"

    with_fakes(test, script=("hang",), deadline=0.5, cold=0.2)


def test_a_command_that_does_not_exist_refuses_every_job() -> None:
    async def test() -> None:
        workers = Workers(1, 0.5, command=["/nonexistent/worker"], cold=0.2)
        await workers.start()
        assert await _outcome(workers, "/fine") == "masking-too-slow"
        await workers.stop()

    asyncio.run(test())


def test_the_first_jobs_wait_for_the_first_process(with_fakes: Callable[..., None]) -> None:
    """Several processes die before one is ready: that takes longer than a job may."""

    async def test(workers: Workers) -> None:
        assert await _outcome(workers, "/fine") == "/fine"

    with_fakes(test, script=("die", "die", "die", "die"), deadline=1.0)


def test_only_so_many_wait_for_the_first_process(with_fakes: Callable[..., None]) -> None:
    async def test(workers: Workers) -> None:
        outcomes = await asyncio.gather(*(_outcome(workers, f"/{number}") for number in range(3)))
        assert outcomes == ["masking-too-slow", "masking-busy", "masking-busy"]

    with_fakes(test, script=("hang",), waiting=1, cold=0.2)


def test_who_waits_for_the_first_process_is_told_that_there_will_be_none(with_fakes: Callable[..., None]) -> None:
    async def test(workers: Workers) -> None:
        waiting = asyncio.create_task(_outcome(workers, "/fine"))
        await asyncio.sleep(0)
        await workers.stop()
        assert await waiting == "masking-not-running"

    with_fakes(test, script=("hang",))


def test_the_queue_has_an_end(with_fakes: Callable[..., None]) -> None:
    async def test(workers: Workers) -> None:
        outcomes = await asyncio.gather(*(_outcome(workers, f"/{number}") for number in range(5)))
        assert outcomes == ["/0", "/1", "masking-busy", "masking-busy", "masking-busy"]

    with_fakes(test, waiting=2)


def test_whoever_waits_when_the_workers_stop_is_told(with_fakes: Callable[..., None], log: Path) -> None:
    async def test(workers: Workers) -> None:
        assert await _outcome(workers, "/fine") == "/fine"
        waiting = [asyncio.create_task(_outcome(workers, path)) for path in ("/hang", "/fine")]
        await asyncio.sleep(0)
        await workers.stop()
        assert {await task for task in waiting} <= {"masking-not-running", "masking-worker-failed"}
        assert await _outcome(workers, "/fine") == "masking-not-running"

    with_fakes(test)
    assert not any(_runs(pid) for pid in _started(log))


@pytest.mark.parametrize("begun", [False, True])
def test_workers_that_are_still_starting_are_stopped_at_once(
    with_fakes: Callable[..., None], log: Path, begun: bool
) -> None:
    async def test(workers: Workers) -> None:
        await asyncio.sleep(0)
        while begun and not _started(log):  # noqa: ASYNC110 - until a process runs, which is never ready
            await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE / 4):
            await workers.stop()

    with_fakes(test, script=("hang", "hang"), count=2)
    assert not any(_runs(pid) for pid in _started(log))


def test_a_job_before_the_start_is_refused() -> None:
    assert asyncio.run(_outcome(Workers(), "/fine")) == "masking-not-running"


def test_a_caller_that_gives_up_does_not_disturb_the_others(with_fakes: Callable[..., None]) -> None:
    async def test(workers: Workers) -> None:
        given_up = asyncio.create_task(_outcome(workers, "/first"))
        others = [asyncio.create_task(_outcome(workers, f"/{number}")) for number in range(3)]
        await asyncio.sleep(0)
        given_up.cancel()
        assert [await other for other in others] == ["/0", "/1", "/2"]

    with_fakes(test)


def test_a_worker_gets_no_more_of_the_environment_than_it_needs() -> None:
    given = {"PATH": "/bin", "HOME": "/home/x", "HEADGATE_TOKEN_KEY": "secret", "PYTHONPATH": "/lib"}
    told = environment(given)
    assert "secret" not in str(told)
    assert told["PYTHONPATH"].split(os.pathsep)[1:] == ["/lib"]
    assert (Path(told["PYTHONPATH"].split(os.pathsep)[0]) / "headgate" / "masking").is_dir()


# -- the real worker ---------------------------------------------------------------------------------------------------

JSON = ((b"Content-Type", b"application/json"),)
ENDLESS = (
    b'["' + b'", "'.join(b"a-a-call +1 212 555 %04d or +44 20 7946 %05d" % (at, at) for at in range(100_000)) + b'"]'
)
"""What takes many seconds, for there is so much of it."""
"""An e-mail pattern takes minutes for this: its time grows with the square of the length."""


def _response(body: bytes) -> Received:
    return Received("GET", 200, JSON, body)


def test_a_whole_exchange_is_masked_in_one_round(
    loop: asyncio.Runner, workers: Workers, plan_of: Callable[..., Plan]
) -> None:
    sent = Sent(b"/users/ana@example.com", JSON, b'["ana@example.com"]')
    plan = plan_of(detect=["EMAIL_ADDRESS"])
    job = Job(plan, plan, sent, _response(b'{"to": "ben@example.com"}'))
    done = loop.run(workers.run(job))
    assert done.masked is not None
    assert done.masked.body == b'{"to": "[EMAIL_ADDRESS]"}'
    assert done.sent.path == b"/users/[EMAIL_ADDRESS]"
    assert done.sent.body == b'["[EMAIL_ADDRESS]"]'


def test_a_response_that_cannot_be_masked_leaves_the_worker_alive(
    loop: asyncio.Runner, workers: Workers, plan_of: Callable[..., Plan]
) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS"])
    for body in (b"{", b"\xff", b"[" * 200, b'"\\ud800 a@\\udfff.com"'):
        done: Done = loop.run(workers.run(Job(plan, plan, Sent(b"/", (), b""), _response(body))))
        assert done.refused or done.masked


def test_what_takes_too_long_is_stopped_at_the_deadline(
    plan_of: Callable[..., Plan], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(detect=["EMAIL_ADDRESS", "PHONE_NUMBER"])

    async def test() -> None:
        workers = Workers(1, PATIENCE)
        await workers.start()
        await workers.run(Job(plan, plan, Sent(b"/", (), b""), _response(b"[]")))
        workers.deadline = 1.0
        with pytest.raises(CannotMask, match="masking-too-slow"):
            await workers.run(Job(plan, plan, Sent(b"/", (), b""), _response(ENDLESS)))
        workers.deadline = PATIENCE
        done = await workers.run(Job(plan, plan, Sent(b"/", (), b""), _response(b'["ana@example.com"]')))
        assert done.masked is not None
        assert done.masked.body == b'["[EMAIL_ADDRESS]"]'
        await workers.stop()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(test())
    assert "a-a-" not in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_worker_ends_when_its_input_does() -> None:
    process = subprocess.run(
        command(5.0), input=b"", capture_output=True, env=environment(os.environ), timeout=PATIENCE
    )
    assert process.returncode == 0
    assert process.stderr == b""


def test_a_worker_that_nobody_stops_ends_itself(plan_of: Callable[..., Plan]) -> None:
    from headgate.masking.wire import job_message, pack

    plan = plan_of(detect=["PHONE_NUMBER"])
    job = pack(job_message(1, Job(plan, plan, Sent(b"/", (), b""), _response(ENDLESS))))
    limit = [*command(5.0)[:-1], "1"]
    process = subprocess.run(limit, input=job, capture_output=True, env=environment(os.environ), timeout=PATIENCE)
    assert process.returncode < 0
