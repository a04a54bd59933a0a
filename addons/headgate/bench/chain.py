"""The chain as a whole: rounds of load in turns, and the same with one request at a time for what each stage takes."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.bench.bundle import DETECT_PATH, FIELDS_PATH
from headgate.bench.figures import Bar, Figure
from headgate.bench.load import Plan
from headgate.bench.rig import RULES, Rig, Server
from headgate.bench.timing import Sample, ratios
from headgate.bench.traffic import Round, measured
from headgate.capture.store import Filter, Store
from headgate.errors import HeadgateError

CONNECTIONS = 8
DIRECT_SECONDS = 0.5
READ_ENTRIES = 300
RECORDED_SECONDS = 0.5
"""After so long everything of a round is in the record: it is written every tenth of a second."""

BAR = Bar("at least", 1.0, "1.0 x (aim 1.3 x)")

DETECTED = "chain, detection"
LANES = ("bare", "chain", "unrecorded", DETECTED, "direct")
"""What is asked in each cycle: `direct` is the load straight to the upstream."""

ALONE = ("bare", "chain", DETECTED)

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Alone:
    """One request at a time: milliseconds of a whole request, and the microseconds each stage takes of it (medians)."""

    p50_ms: float
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Chain:
    """Every round by its lane, cycle by cycle; and what single requests took."""

    rounds: Mapping[str, Sequence[Round]]
    alone: Mapping[str, Alone]


def measure(rig: Rig, cycles: int, seconds: float, told: Told) -> Chain:
    """`cycles` rounds in each lane, of `seconds` each, every other cycle in reverse order."""
    rounds: dict[str, list[Round]] = {lane: [] for lane in LANES}
    for cycle in range(cycles):
        for lane in LANES if cycle % 2 == 0 else reversed(LANES):
            told(f"{lane}, round {cycle + 1} of {cycles}")
            rounds[lane].append(_round(rig, lane, CONNECTIONS, DIRECT_SECONDS if lane == "direct" else seconds))
    alone: dict[str, Alone] = {}
    for lane in ALONE:
        told(f"{lane}, one request at a time")
        alone[lane] = _alone(rig, lane, seconds)
    return Chain(rounds, alone)


def _round(rig: Rig, lane: str, connections: int, seconds: float) -> Round:
    servers: Mapping[str, Server] = {"bare": rig.bare, "unrecorded": rig.unrecorded, "direct": rig.upstream}
    server = servers.get(lane, rig.chain)
    asked = rig.requests[DETECT_PATH if lane == DETECTED else FIELDS_PATH]
    return measured(Plan(server.port, asked, connections, seconds), server.process.pid, rig.upstream.process.pid)


def _alone(rig: Rig, lane: str, seconds: float) -> Alone:
    report = _round(rig, lane, 1, seconds).report
    return Alone(report.p50_ms, {} if lane == "bare" else _stages(rig, min(READ_ENTRIES, report.answered)))


def _stages(rig: Rig, count: int) -> dict[str, float]:
    """The medians of the newest `count` records, which are those of the last round."""
    time.sleep(RECORDED_SECONDS)
    store = Store(rig.state)
    entries = [store.entry(summary.decision_id).stage_us for summary in store.summaries(Filter(), count)]
    if not entries:
        raise HeadgateError("the chain recorded nothing of what was asked")
    names = dict.fromkeys(name for entry in entries for name in entry)
    return {name: statistics.median(entry.get(name, 0) for entry in entries) for name in names}


def figures(chain: Chain) -> list[Figure]:
    rates = {lane: [each.rate for each in rounds] for lane, rounds in chain.rounds.items()}
    bare = f"bare `mitmdump -q`, {statistics.median(rates['bare']):,.0f} requests/s"
    whole, silent = ratios(rates["chain"], rates["bare"]), ratios(rates["chain"], rates["unrecorded"])
    added = Sample(*((1 / each - 1) * 100 for each in (silent.median, silent.high, silent.low)))
    detected = ratios(rates[DETECTED], rates["bare"])
    return [
        Figure(
            f"throughput, {RULES} rules, fields masked", whole, "x", bare, Bar("at least", 1.0, "1.0 x (aim 1.3 x)")
        ),
        Figure("throughput, detection as well", detected, "x", bare),
        *_processor_time(chain),
        Figure("what the record adds to a request", added, "%", "the chain without a record", Bar("at most", 5, "5 %")),
    ]


def _processor_time(chain: Chain) -> list[Figure]:
    """Less disturbed by what else the machine does than throughput; tells nothing of what runs side by side."""
    spent = {lane: [each.cpu_us for each in chain.rounds[lane]] for lane in ("bare", "chain")}
    known = {lane: [value for value in values if value is not None] for lane, values in spent.items()}
    if any(len(known[lane]) < len(spent[lane]) for lane in spent):
        return []
    reference = f"bare `mitmdump -q`, {statistics.median(known['bare']):,.0f} us of processor time"
    return [Figure("processor time of a request, fields masked", ratios(known["chain"], known["bare"]), "x", reference)]


def soundness(chain: Chain) -> dict[str, Any]:
    """How it is known that neither load nor upstream was the bottleneck."""
    proxied = max(statistics.median(each.rate for each in chain.rounds[lane]) for lane in LANES if lane != "direct")
    direct = statistics.median(each.rate for each in chain.rounds["direct"])
    asked = [each for lane in LANES if lane != "direct" for each in chain.rounds[lane]]
    upstream = [each.upstream_busy for each in asked if each.upstream_busy is not None]
    return {
        "direct_requests_per_second": round(direct),
        "direct_over_fastest_proxied": round(direct / proxied, 1),
        "load_busy": round(statistics.median(each.report.busy for each in asked), 3),
        "upstream_busy": round(statistics.median(upstream), 3) if upstream else None,
    }
