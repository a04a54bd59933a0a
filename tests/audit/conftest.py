"""Logs on real files, and what they say, for all tests of the audit."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.audit.logs import NOW, PATIENCE, entropy

from headgate.audit.backlog import Limits
from headgate.audit.schema import Connection, connect
from headgate.audit.writer import AuditWriter


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start(state: Path) -> Iterator[Callable[..., AuditWriter]]:
    """Starts writers that write at once and try again at once, and ends them."""
    started: list[AuditWriter] = []

    def make(
        prepare: Callable[[Connection], object] = lambda _: None,
        folder: Path = state,
        *,
        limits: dict[str, Any] | None = None,
        **options: Any,
    ) -> AuditWriter:
        def prepared(path: Path, busy_timeout: float) -> Connection:
            connection = connect(path, busy_timeout)
            try:
                prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        quick = {"interval": 0.001, "busy_timeout": 0.05, "first_pause": 0.001, "longest_pause": 0.01}
        writer = AuditWriter(
            folder,
            **{"clock": lambda: NOW, "randomness": entropy, "seconds": 3600.0, **options},
            limits=Limits(**{**quick, "longest_wait": PATIENCE, **(limits or {})}),
            connect=prepared,
        )
        started.append(writer)
        return writer

    yield make
    for writer in started:
        writer.close(PATIENCE)


class Listener(logging.Handler):
    """Hears what the log's own logger says, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._news:
            self.lines.append(record.getMessage())
            self._news.notify_all()

    def heard(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def wait(self, text: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.heard(text), PATIENCE), f"nobody said {text!r}: {self.lines}"


@pytest.fixture
def log() -> Iterator[Listener]:
    listener, logger = Listener(), logging.getLogger("headgate.audit")
    logger.addHandler(listener)
    yield listener
    logger.removeHandler(listener)
