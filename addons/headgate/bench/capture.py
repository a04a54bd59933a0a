"""Flows a second into SQLite, from handing them over until they are in the file; and how long it takes to find some."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from headgate.bench.bundle import BODY
from headgate.bench.figures import Bar, Figure
from headgate.bench.timing import Sample, in_turns
from headgate.capture.entries import Filter
from headgate.capture.fulltext.store import search
from headgate.capture.fulltext.writer import Index
from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.store import Store
from headgate.capture.writer import Writer
from headgate.errors import HeadgateError
from headgate.model import BundleRef, Decision, Effect, Kind, MaskCount, Principal, RuleRef, Target, ulid
from headgate.replay.decoding import decoded

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
    recorded = Figure("flows recorded", rates, "/s", f"none; {WAVE:,} at a time, in groups", bar)
    return [recorded, *_found(folder, WAVE * (rounds + 1), rounds)]


def _found(folder: Path, flows: int, rounds: int) -> list[Figure]:
    """What a person waits for who looks into the capture, without the start of the command."""
    store, index = Store(folder), Index(folder / "capture.db", decoded)
    index.establish()
    while index.advance():
        pass
    asked: dict[str, Callable[[], object]] = {
        "the newest 50 listed": lambda: store.summaries(Filter(), 50),
        "one caller's newest 50 listed": lambda: store.summaries(Filter(principal="caller-7"), 50),
        "flows with a word found": lambda: search(folder / "capture.db", "/v1/fields/42", Filter(), 50),
    }
    taken = in_turns({name: partial(_once, ask) for name, ask in asked.items()}, rounds * 3)
    bar = Bar("at most", 1000, "1 s")
    spent = {name: Sample.of([microseconds / 1000 for microseconds in each]) for name, each in taken.items()}
    return [Figure(name, each, "ms", f"none; of {flows:,}", bar) for name, each in spent.items()]


def _once(ask: Callable[[], object]) -> int:
    if not ask():
        raise HeadgateError("nothing was found in the capture that was just written")
    return 1


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
