"""A capture as a proxy would have written it, for tests of commands that read one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.writer import Writer
from headgate.model import BundleRef, Decision, Effect, Kind, Principal, Refusal, Session, Target, ulid

NOW = 1_800_000_000.0
PATIENCE = 20.0
RULES = BundleRef("test", "1.0.0", "ab" * 32)
OBSERVED = Decision(Effect.DENY, "no-rule-allows", observed=True)
ANA = Principal(
    "ana",
    Kind.HUMAN,
    "dev",
    frozenset({"support"}),
    environments=frozenset({"prod"}),
    session=Session("s-1", frozenset({"read"}), NOW - 60),
)


@dataclass(frozen=True)
class Sent:
    """One exchange to be recorded; the n-th of a capture is n seconds younger than the first."""

    method: str = "GET"
    path: str = "/v1/customers/42"
    status: int | None = 200
    who: Principal | None = ANA
    host: str = "api.internal"
    refusal: Refusal | None = None
    error: str | None = None
    mode: Mode = Mode.MASKED
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def record(self, n: int) -> Record:
        kept = self.mode is Mode.MASKED
        return Record(
            ulid(int((NOW + n) * 1000), n),
            f"{n:08x}-0000-4000-8000-000000000000",
            self.mode,
            NOW + n,
            NOW + n + 0.01,
            "127.0.0.1",
            Line(self.method.encode(), "https", self.host, 443, self.path.encode(), b"HTTP/1.1"),
            self.who,
            (),
            RULES,
            Target("api", "prod", observe=True),
            OBSERVED,
            self.refusal,
            self.status,
            Message(self.headers, self.body, len(self.body)) if kept else Message(size=len(self.body)),
            Message() if self.status is not None else None,
            (),
            {},
            self.error,
        )


def write_capture(state: Path, sent: Iterable[Sent]) -> Path:
    writer = Writer(state, clock=lambda: NOW, randomness=lambda size: b"k" * size)
    try:
        for number, one in enumerate(sent):
            while not writer.put(one.record(number)):
                assert writer.flush(PATIENCE)
        assert writer.flush(PATIENCE)
    finally:
        writer.close(PATIENCE)
    return state


def by(name: str, *groups: str, **more: Any) -> Principal:
    return replace(ANA, id=name, groups=frozenset(groups), **more)
