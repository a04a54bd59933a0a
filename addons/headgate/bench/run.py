"""Everything that is measured, in order, and what came of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from headgate.bench import audit, capture, chain, decisions, detection, impact, machine, precision, responses, tokens
from headgate.bench.figures import Figure
from headgate.bench.rig import rig

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done: cycles of the chain's rounds and their seconds, rounds of each part alone, bytes of JSON,
    and of the largest document."""

    cycles: int
    seconds: float
    rounds: int
    documents: int
    sizes: tuple[int, ...]
    largest: int


FULL = Scale(cycles=11, seconds=3.0, rounds=25, documents=7, sizes=(10_000, 100_000), largest=10_000_000)
QUICK = Scale(cycles=4, seconds=1.0, rounds=7, documents=3, sizes=(10_000,), largest=1_000_000)


@dataclass(frozen=True, slots=True)
class Result:
    machine: Mapping[str, str]
    figures: Sequence[Figure]
    alone: Mapping[str, chain.Alone]
    soundness: Mapping[str, Any]

    def json(self) -> dict[str, Any]:
        alone = {lane: {"p50_ms": round(each.p50_ms, 3), "stage_us": each.stages} for lane, each in self.alone.items()}
        return {
            "machine": self.machine,
            "figures": [figure.json() for figure in self.figures],
            "one_request_at_a_time": alone,
            "soundness": self.soundness,
        }


def run(folder: Path, scale: Scale, told: Told, clock: Callable[[], float]) -> Result:
    """Measure in `folder`, which is empty; the parts alone come after everything that was started has ended."""
    told("starting bare mitmdump and the chain")
    with rig(folder, clock) as up:
        whole = chain.measure(up, scale.cycles, scale.seconds, told)
        told("masking a response of 10 kB, and a stream")
        masked = responses.measure(up, max(3, scale.cycles), scale.seconds)
    figures = [*chain.figures(whole), *masked]
    for name, measure in _parts(folder, scale, clock).items():
        told(name)
        figures += measure()
    return Result(machine.description(), figures, whole.alone, chain.soundness(whole))


def _parts(folder: Path, scale: Scale, clock: Callable[[], float]) -> dict[str, Callable[[], list[Figure]]]:
    return {
        "decisions": partial(decisions.measure, scale.rounds),
        "tokens": partial(tokens.measure, scale.rounds, clock),
        "recording": partial(capture.measure, folder / "recorded", max(3, scale.rounds // 4), clock),
        "the audit log": partial(audit.measure, folder / "audited", max(3, scale.rounds // 4), clock, os.urandom),
        "impact": partial(impact.measure, folder / "compared", max(3, scale.rounds // 4), clock),
        **{f"masking {size // 1000} kB": partial(detection.measure, size, scale.documents) for size in scale.sizes},
        "masking, growth": partial(detection.growth, 3, scale.largest),
        "precision": precision.measure,
    }


def steps(scale: Scale) -> int:
    """How many times `told` hears something."""
    return 1 + scale.cycles * len(chain.LANES) + len(chain.ALONE) + 8 + len(scale.sizes)
