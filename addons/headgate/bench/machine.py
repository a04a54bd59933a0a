"""What the figures were taken on, and whose processor time they were: without it they mean nothing to others."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

PROC = Path("/proc")


def description() -> dict[str, str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("mitmproxy", "presidio-analyzer", "PyJWT"))
    return {
        "processor": _processor(),
        "cores": str(len(cores())),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": packages,
    }


def _processor() -> str:
    info = PROC / "cpuinfo"
    named = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return named[1] if named else platform.processor() or "unknown"


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def aside() -> int | None:
    """The core that load and upstream keep to, so that the proxy has the others to itself; None where there is one."""
    mine = cores()
    return mine[-1] if len(mine) > 1 and hasattr(os, "sched_setaffinity") else None


def cpu_seconds(pid: int) -> float | None:
    """Processor time of a process and of all it started; None on a system that does not tell."""
    try:
        return sum(_own_seconds(each) for each in _family(pid))
    except OSError:
        return None


def _own_seconds(pid: int) -> float:
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    children = [int(child) for task in (PROC / str(pid) / "task").iterdir() for child in _words(task / "children")]
    return [pid, *(member for child in children for member in _family(child))]


def _words(path: Path) -> list[str]:
    return path.read_text().split()
