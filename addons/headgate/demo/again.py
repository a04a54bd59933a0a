"""The day once more: the log of what was decided is verified, and each recorded request decided and masked again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from headgate.audit.store import AuditStore
from headgate.audit.verify import verify
from headgate.bundle.load import load_bundle
from headgate.capture.store import Entry
from headgate.replay.comparison import drift
from headgate.replay.judge import as_recorded, decide_and_mask


def outcomes_logged(state: Path) -> int:
    """How many requests have their outcome in the log."""
    return sum(1 for _ in AuditStore(state).entries(kinds=("outcome",)))


def about_the_log(state: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """What the log lacks, or whether it was altered."""
    for kind in ("decision", "outcome"):
        logged = Counter(entry.leaf["decision_id"] for entry in AuditStore(state).entries(kinds=(kind,)) if entry.leaf)
        if logged != Counter(entry.summary.decision_id for entry in entries):
            yield f"the audit log does not hold one {kind} for each request"
    yield from (f"the audit log: {finding.message}" for finding in verify(state).findings)


def about_the_replay(entries: Sequence[Entry], rules: Path) -> Iterator[str]:
    """What the same rules say otherwise of what they have decided."""
    bundle = load_bundle(rules)
    for entry in entries:
        judged = decide_and_mask(bundle, entry, recorded_under=bundle)
        if drift(as_recorded(entry), judged):
            yield f"decided again from its record, `{entry.summary.decision_id}` comes to another end"
