"""Flows a second into SQLite, from handing them over until they are in the file."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from headgate.bench.bundle import BODY
from headgate.bench.figures import Bar, Figure
from headgate.bench.timing import Sample, in_turns
from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.model import BundleRef, Decision, Effect, Kind, MaskCount, Principal, RuleRef, Target, ulid

WAVE = 5_000
"""Flows handed over at once: half of what the writer's queue takes."""

WRITTEN_SECONDS = 60.0
CALLERS = 32


def measure(folder: Path, rounds: int, clock: Callable[[], float]) -> list[Figure]:
    writer = Writer(folder, clock=clock, randomness=bytes)
    try:
        taken = in_turns({"written": batch(writer, clock(), WAVE)}, rounds)["written"]
    finally:
        writer.close()
    rates = Sample.of([1e6 / microseconds for microseconds in taken])
    bar = Bar("at least", 10_000, "10,000/s")
    return [Figure("flows recorded", rates, "/s", f"none; {WAVE:,} at a time, in groups of 100", bar)]


def batch(writer: Writer, now: float, size: int) -> Callable[[], int]:
    """A wave of records that differ as real ones do; each wave has new ones."""
    numbers = count()
    bodies = [BODY.replace(b"7731", str(at).encode()) for at in range(100)]
    samples = [_record(now, at, bodies[at]) for at in range(100)]

    def work() -> int:
        for _ in range(size):
            at = next(numbers)
            record = replace(samples[at % 100], decision_id=ulid(int(now * 1000) + at, at), flow_id=f"flow-{at}")
            if not writer.put(record):
                raise HeadgateError("the writer of the record refused a flow")
        if not writer.flush(WRITTEN_SECONDS):
            raise HeadgateError(f"the flows were not written within {WRITTEN_SECONDS:.0f} s")
        return size

    return work


def _record(now: float, at: int, body: bytes) -> Record:
    caller = f"caller-{at % CALLERS}"
    principal = Principal(caller, Kind.HUMAN, "bench", frozenset({"bench"}), environments=frozenset({"bench"}))
    fields = ((b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode()))
    return Record(
        decision_id="",
        flow_id="",
        mode=Mode.MASKED,
        started=now,
        ended=now + 0.002,
        source="127.0.0.1",
        line=Line(b"GET", "http", "127.0.0.1", 8080, b"/v1/fields/%d" % at, b"HTTP/1.1"),
        principal=principal,
        claims=(),
        bundle=BundleRef("bench", "1.0.0", "0" * 64),
        target=Target("bench", "bench"),
        decision=Decision(Effect.ALLOW, "allowed-by-rule", (RuleRef("bench-reads", Effect.ALLOW, "policy.yaml", 2),)),
        refusal=None,
        status=200,
        request=Message(((b"Host", b"127.0.0.1:8080"), (b"Authorization", b"[REDACTED]"))),
        response=Message(fields, body, len(body)),
        masks=tuple(MaskCount(place, "field", "redact", 1) for place in ("/name", "/email", "/payment/iban")),
        stage_us={"capture": 5, "identity": 180, "policy": 12, "masking": 120},
        error=None,
    )
