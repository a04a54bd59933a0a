"""What a process prints, line by line, and waiting for some of it."""

import re
import threading
from typing import Any

PATIENCE = 30
"""Seconds after which something that a test waits for is not coming any more."""


class Output:
    """The lines a process prints, kept and waited for without polling."""

    def __init__(self, stream: Any) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str, count: int = 1, after: int = 0, seconds: float = PATIENCE) -> list[str]:
        """Every match of `pattern` from line `after` on, as soon as there are `count`; fails with what was printed."""

        def found() -> list[str]:
            return re.findall(pattern, "".join(self.lines[after:]))

        with self._news:
            self._news.wait_for(lambda: self._ended or len(found()) >= count, seconds)
        assert len(found()) >= count, f"never printed {pattern!r}:\n{self.text}"
        return found()

    def wait_for_end(self, seconds: float = PATIENCE) -> str:
        with self._news:
            assert self._news.wait_for(lambda: self._ended, seconds), f"still running:\n{self.text}"
        return self.text
