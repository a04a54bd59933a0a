"""Entries a second that are verified: each hashed again, the tree built, its root compared at every checkpoint."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from headgate.audit.leaf import Leaf
from headgate.audit.verify import verify
from headgate.audit.writer import AuditWriter
from headgate.bench.figures import Figure
from headgate.bench.timing import Sample, in_turns
from headgate.errors import HeadgateError
from headgate.model import ulid

WAVE = 5_000
WRITTEN_SECONDS = 60.0


def measure(folder: Path, rounds: int, clock: Callable[[], float], randomness: Callable[[int], bytes]) -> list[Figure]:
    folder.mkdir(mode=0o700)
    writer = AuditWriter(folder, clock=clock, randomness=randomness)
    try:
        appended = in_turns({"appended": _wave(writer)}, rounds)["appended"]
    finally:
        writer.close(WRITTEN_SECONDS)
    verified = in_turns({"verified": lambda: _verified(folder)}, rounds)["verified"]
    return [
        Figure("audit entries appended", _rates(appended), "/s", f"none; {WAVE:,} at a time, each group on disk"),
        Figure("audit entries verified", _rates(verified), "/s", f"none; a log of {_verified(folder):,}"),
    ]


def _rates(microseconds: list[float]) -> Sample:
    return Sample.of([1e6 / each for each in microseconds])


def _wave(writer: AuditWriter) -> Callable[[], int]:
    entries = [_decision(at) for at in range(WAVE)]

    def work() -> int:
        for entry in entries:
            if not writer.put(partial(dict, entry)):
                raise HeadgateError("the writer of the audit log refused an entry")
        if not writer.flush(WRITTEN_SECONDS):
            raise HeadgateError(f"the entries were not written within {WRITTEN_SECONDS:.0f} s")
        return WAVE

    return work


def _verified(folder: Path) -> int:
    report = verify(folder)
    if not report.ok:
        raise HeadgateError("the log that was just written does not verify")
    return report.entries


def _decision(at: int) -> Leaf:
    """As long as that of a request by a person usually is."""
    principal: dict[str, Any] = {
        "id": f"caller-{at % 32}", "kind": "human", "provider": "bench", "owner": None, "groups": ["bench"],
        "environment": ["bench"], "workload": {}, "session_id": f"session-{at % 64}", "scopes": [],
    }  # fmt: skip
    return {
        "kind": "decision", "time": "2026-01-07T12:00:00.000Z", "decision_id": ulid(at, at), "flow_id": f"flow-{at}",
        "trace_id": None, "bundle": {"name": "bench", "version": "1.0.0", "sha256": "0" * 64}, "principal": principal,
        "source": "127.0.0.1", "target": {"name": "bench", "environment": "bench"},
        "request": {"method": "GET", "host": "bench.internal", "path": f"/v1/fields/{at}", "query_names": [],
                    "body_digest": None},
        "effect": "allow", "mode": "enforce", "reason": "allowed-by-rule", "rules": ["bench-reads"], "shadow": [],
        "approval_id": None, "limits": [],
    }  # fmt: skip
