"""One round of load against one server, by a process of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from headgate.bench.load import Plan, Report
from headgate.bench.machine import aside, cpu_seconds
from headgate.errors import HeadgateError

PIN = "import os, runpy, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); sys.argv = sys.argv[2:]; "
PIN += "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


@dataclass(frozen=True, slots=True)
class Round:
    """A report, and the shares of one core that the server and the upstream were busy; None where nobody tells."""

    report: Report
    server_busy: float | None
    upstream_busy: float | None

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.report.rate

    @property
    def cpu_us(self) -> float | None:
        """Microseconds of processor time for each request, all processes of the server together."""
        return self.server_busy / self.rate * 1e6 if self.server_busy else None


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """`command`, which runs `python -P -m MODULE`, kept to one core from its start."""
    if core is None:
        return list(command)
    python, safe, _, *rest = command
    return [python, safe, "-c", PIN, str(core), *rest]


def ask(plan: Plan) -> Report:
    """Send what `plan` says, and wait for the report."""
    command = pinned([sys.executable, "-P", "-m", "headgate.bench.load"], aside())
    done = subprocess.run(  # noqa: S603 - our own command
        command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=False, timeout=plan.seconds + 60
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it gave no reason"]
        raise HeadgateError(f"the load generator failed: {said[-1]}")
    return Report(**json.loads(done.stdout))


def measured(plan: Plan, server_pid: int, upstream_pid: int) -> Round:
    """`ask`, and how busy the others were meanwhile, warming up included."""
    before = cpu_seconds(server_pid), cpu_seconds(upstream_pid)
    report = ask(plan)
    after = cpu_seconds(server_pid), cpu_seconds(upstream_pid)
    if set(report.statuses) != {"200"}:
        raise HeadgateError(f"not every request was answered with 200: {report.statuses}")
    lasted = report.seconds + plan.warm
    busy = [(b - a) / lasted if a is not None and b is not None else None for a, b in zip(before, after, strict=True)]
    return Round(report, *busy)
