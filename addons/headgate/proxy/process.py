"""A program started from here and ended from here: its output is kept, waited for, and quoted when it fails."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from headgate.errors import HeadgateError

HEADGATE = (sys.executable, "-P", "-c", "from headgate.cli.main import main; main()")
"""This `headgate`, whatever else is on the PATH or in the current folder."""

KEPT_LINES = 2000
QUOTED_LINES = 8


class Process:
    """Runs until `stop`, in a process group of its own: what it started ends with it, and Ctrl-C does not reach it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            list(command),
            cwd=folder,
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """The first line that holds `pattern`; raises HeadgateError with the last lines when there is none in time."""
        searched = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := searched.search(line))), None)

        with self._news:
            self._news.wait_for(lambda: self._ended or found(), seconds)
            match, ended = found(), self._ended
        if match is None:
            slow = f"{self.name} was not ready after {seconds:.0f} s{self._last_lines()}"
            raise HeadgateError(self.obituary() if ended else slow)
        return match

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def text(self) -> str:
        with self._news:
            return "".join(self.lines)

    def obituary(self) -> str:
        """That it has ended, and what it said last."""
        return f"{self.name} ended{self._last_lines()}"

    def wait(self) -> int:
        """Until it ends by itself; its exit code."""
        return self._process.wait()

    def stop(self, seconds: float = 10.0) -> int:
        """End it as a person would, with Ctrl-C; after `seconds`, it and all it started are killed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        self._reader.join(seconds)
        return code

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _last_lines(self) -> str:
        last = [line.rstrip() for line in list(self.lines)[-QUOTED_LINES:] if line.strip()]
        return "; its last lines:\n" + "\n".join(f"  {line}" for line in last) if last else ", and printed nothing"


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, without proxies: whatever is started here talks to the loopback interface only. What a test run makes of
    warnings is not for it either."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept.pop("PYTHONWARNINGS", None)
    return {**kept, "PYTHONUNBUFFERED": "1", **(added or {})}
