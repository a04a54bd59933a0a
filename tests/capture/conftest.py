"""Exchanges, records and writers on real files, for all tests of the capture."""

import dataclasses
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headgate.capture.backlog import Limits
from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.schema import connect
from headgate.capture.writer import Writer
from headgate.model import (
    BundleRef,
    Decision,
    Effect,
    Exchange,
    Kind,
    MaskCount,
    Principal,
    Request,
    RuleRef,
    Session,
    Target,
    Workload,
    ulid,
)

NOW = 1_800_000_000.0
PATIENCE = 20.0
"""Seconds after which a thing that should happen at once counts as not happening."""

ANA = Principal(
    "ana",
    Kind.HUMAN,
    "corp-sso",
    groups=frozenset({"support", "eu"}),
    email="ana@corp.example",
    environments=frozenset({"prod"}),
    workload=Workload("desk", version="1.2"),
    session=Session("s-1", frozenset({"read"}), NOW - 60),
    claims={"sub": "ana", "tenant": {"id": 7}, "jti": "a-token-id"},
    expires_at=NOW + 600,
)
RULE = RuleRef("support-reads", Effect.ALLOW, "rules/policy.yaml", 12)
RULES = BundleRef("demo", "1.0.0", "ab" * 32)
REQUEST = Request("GET", "http", "customers.internal", 80, "/v1/customers/1")


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    """An exchange that was allowed and masked; the n-th is n seconds younger than the first."""

    def make(n: int = 0, **changes: Any) -> Exchange:
        plain = Exchange(
            ulid(int((NOW + n) * 1000), n),
            NOW + n,
            bundle=RULES,
            source="127.0.0.1",
            request=REQUEST,
            principal=ANA,
            target=Target("customers", "prod"),
            decision=Decision(Effect.ALLOW, "allowed", (RULE,)),
            masks=(MaskCount("/email", "EMAIL_ADDRESS", "redact", 2),),
            masked=True,
            stage_us={"identity": 40, "policy": 11},
        )
        return dataclasses.replace(plain, **changes)

    return make


@pytest.fixture
def record() -> Callable[..., Record]:
    """A record as the addon would make it of such an exchange."""

    def make(n: int = 0, **changes: Any) -> Record:
        whole = Record(
            ulid(int((NOW + n) * 1000), n),
            f"{n:08x}-0000-4000-8000-000000000000",
            Mode.MASKED,
            NOW + n,
            NOW + n + 0.012,
            "127.0.0.1",
            Line(b"GET", "http", "customers.internal", 80, b"/v1/customers/1?fields=name", b"HTTP/1.1"),
            ANA,
            (),
            RULES,
            Target("customers", "prod"),
            Decision(Effect.ALLOW, "allowed", (RULE,)),
            None,
            200,
            Message(((b"accept", b"*/*"),)),
            Message(((b"content-type", b"application/json"),), b'{"email": "[EMAIL_ADDRESS]"}', 28),
            (MaskCount("/email", "EMAIL_ADDRESS", "redact", 2),),
            {"identity": 40, "policy": 11},
            None,
        )
        return dataclasses.replace(whole, **changes)

    return make


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start(state: Path) -> Iterator[Callable[..., Writer]]:
    """Starts writers that write at once and try again at once, and ends them."""
    started: list[Writer] = []

    def make(
        prepare: Callable[[sqlite3.Connection], object] = lambda _: None, folder: Path = state, **limits: Any
    ) -> Writer:
        def prepared(path: Path, busy_timeout: float) -> sqlite3.Connection:
            connection = connect(path, busy_timeout)
            try:
                prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        sealer = limits.pop("sealer", None)
        quick = {"interval": 0.001, "busy_timeout": 0.01, "first_pause": 0.001, "longest_pause": 0.01, **limits}
        writer = Writer(
            folder,
            clock=lambda: NOW,
            randomness=lambda size: b"k" * size,
            limits=Limits(**quick),
            connect=prepared,
            sealer=sealer,
        )
        started.append(writer)
        return writer

    yield make
    for writer in started:
        writer.close(PATIENCE)


@pytest.fixture
def ask(state: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Answers of plain sqlite3, as anybody may ask it."""

    def answer(sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(state / "capture.db")) as connection:
            return connection.execute(sql, values).fetchall()

    return answer


class Listener(logging.Handler):
    """Hears what the capture logs, and lets a test wait for it."""

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
    listener, logger = Listener(), logging.getLogger("headgate.capture")
    logger.addHandler(listener)
    yield listener
    logger.removeHandler(listener)
