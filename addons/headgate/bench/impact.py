"""Captured flows a second that are decided, or decided and masked, again under two sets of rules: in one process.

`flows impact` shares its pages out to as many processes as there are processors, so that two do about twice as much.
The proposed rules differ from the old ones in what is detected, so that no flow is masked once for both.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from headgate.bench.bundle import BODY, MASKS, write_bundle
from headgate.bench.figures import Bar, Figure
from headgate.bench.timing import Sample, in_turns
from headgate.bundle.load import Bundle, load_bundle
from headgate.capture.record import Line, Message, Mode, Record
from headgate.capture.writer import Writer
from headgate.demo.provider import Signer
from headgate.errors import HeadgateError
from headgate.masking.due import due
from headgate.masking.job import Done, Job, run
from headgate.masking.response import Received
from headgate.masking.scrub import Sent
from headgate.match import Subject
from headgate.model import BundleRef, Kind, MaskCount, Principal, Request, ulid
from headgate.policy.engine import PolicyRules
from headgate.policy.judgement import judge
from headgate.replay.impact import Task, source_of
from headgate.replay.once import remembering
from headgate.replay.pages.store import Pages
from headgate.replay.pagework import Work

RULES = 1_000
PORT = 9
FLOWS, PAGE = 1_500, 100
WRITTEN_SECONDS = 60.0
DECIDED, MASKED = "flows decided again", "flows decided and masked again"
BENCH = frozenset({"bench"})
HEADERS = ((b"content-type", b"application/json"), (b"server", b"bench"))


def measure(folder: Path, rounds: int, clock: Callable[[], float]) -> list[Figure]:
    """`rounds` pages of each, one after the other."""
    task = prepare(folder, FLOWS, clock())
    beginnings = Pages(task.state).beginnings(size=PAGE)
    works = {name: _pages(task, beginnings, masks=name == MASKED) for name in (DECIDED, MASKED)}
    taken = in_turns(works, rounds)
    bars = {DECIDED: Bar("at least", 850, "850/s"), MASKED: Bar("at least", 170, "170/s")}
    reference = f"none; {RULES:,} rules against {RULES:,}, in one process"
    return [
        Figure(name, Sample.of([1e6 / microseconds for microseconds in taken[name]]), "/s", reference, bar)
        for name, bar in bars.items()
    ]


def _pages(task: Task, beginnings: list[str], *, masks: bool) -> Callable[[], int]:
    """Compares another page each time, beginning anew with caches that know nothing after the last."""
    left: list[str] = []
    work = Work(replace(task, masks=masks))

    def page() -> int:
        nonlocal left, work
        if not left:
            left = list(beginnings)
            work = Work(replace(task, masks=masks))
        return work.page(left.pop(0)).flows

    return page


def prepare(folder: Path, flows: int, now: float) -> Task:
    """A capture of so many flows under some rules, and others to compare them with."""
    old = _bundle(folder / "old", MASKS)
    masks: Any = MASKS
    others = [{**mask, "detect": mask["detect"][:-1]} if "detect" in mask else mask for mask in masks]
    new = _bundle(folder / "new", others)
    writer = Writer(folder / "captured", clock=lambda: now, randomness=bytes)
    try:
        for record in _records(old, flows, now):
            while not writer.put(record):
                writer.flush(WRITTEN_SECONDS)
        if not writer.flush(WRITTEN_SECONDS):
            raise HeadgateError(f"the flows were not written within {WRITTEN_SECONDS:.0f} s")
    finally:
        writer.close()
    return Task(
        folder / "captured",
        "capture.db",
        source_of(new, folder / "new"),
        source_of(old, folder / "old"),
        page=PAGE,
    )


def _bundle(folder: Path, masks: Any) -> Bundle:
    write_bundle(folder, PORT, Signer(lambda: 0.0), RULES)
    (folder / "masking.yaml").write_text(yaml.safe_dump({"masks": masks}), encoding="utf-8")
    return load_bundle(folder)


def _records(bundle: Bundle, flows: int, now: float) -> Iterator[Record]:
    """Each with a body and a header of its own, decided and masked as live traffic is."""
    detector = remembering()
    for n in range(flows):
        who = Principal(
            f"caller-{n % 40}", Kind.HUMAN, "bench", frozenset({"bench"}), environments=frozenset({"bench"})
        )
        path = f"/v1/{'fields' if n % 3 else 'detect'}/{n}"
        request = Request("GET", "http", "127.0.0.1", PORT, path, "", (("accept", "*/*"),), "127.0.0.1", b"")
        target = bundle.targets.resolve("http", "127.0.0.1", PORT)
        said = judge(PolicyRules(bundle.targets, bundle.policy), Subject(who, request, target, now, frozenset()))
        if said.refusal is not None:
            raise HeadgateError(f"the bench is refused by its own rules: {said.refusal.reason}")
        owed = due(bundle.masking, who, request, target, now=now)
        body = json.dumps(json.loads(BODY) | {"id": n}).encode()
        received = Received("GET", 200, (*HEADERS, (b"x-request-id", b"%08x" % n)), body)
        done = run(Job(owed.caller, owed.record, Sent(path.encode(), (), b""), received), detector)
        yield replace(_record(bundle, n, now, received, done), principal=who, target=target, decision=said.decision)


def _record(bundle: Bundle, n: int, now: float, received: Received, done: Done) -> Record:
    shown = received.body if done.masked is None or done.masked.body is None else done.masked.body
    counts = done.masked.counts if done.masked else {}
    return Record(
        decision_id=ulid(int(now * 1000) + n, n),
        flow_id=f"flow-{n}",
        mode=Mode.MASKED,
        started=now + n / 1000,
        ended=now + n / 1000 + 0.002,
        source="127.0.0.1",
        line=Line(b"GET", "http", "127.0.0.1", PORT, done.sent.path, b"HTTP/1.1"),
        principal=None,
        claims=(),
        bundle=BundleRef(bundle.name, bundle.version, bundle.sha256),
        target=None,
        decision=None,
        refusal=None,
        status=200,
        request=Message(((b"accept", b"*/*"),)),
        response=Message(received.headers, shown, len(shown)),
        masks=tuple(MaskCount(*place, count) for place, count in sorted(counts.items())),
        stage_us={},
        error=None,
        signals=frozenset(),
    )
