"""What tests of the audit log do alike: make one, look into it, and change it as nobody should."""

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from headgate.audit.leaf import Leaf, LeafKind, canonical, event_leaf
from headgate.audit.merkle import Frontier, leaf_hash
from headgate.audit.verify import Report, verify
from headgate.audit.writer import AuditWriter, Limits

NOW = 1_800_000_000.0
PATIENCE = 20.0
"""Seconds after which a thing that should happen at once counts as not happening."""

_drawn = itertools.count()


def entropy(size: int) -> bytes:
    """Different each time, and the same in each run."""
    return hashlib.shake_128(str(next(_drawn)).encode()).digest(size)


def entry(n: int) -> Leaf:
    return event_leaf(LeafKind.ACT, NOW + n, act="tested", n=n)


def build(state: Path, count: int = 23, *, every: int = 5, emit=lambda _kind, _what: None) -> None:
    """A log of `count` entries, with a checkpoint after every `every` and at its end."""
    limits = Limits(group=1)
    writer = AuditWriter(
        state, clock=lambda: NOW, randomness=entropy, every=every, seconds=3600, emit=emit, limits=limits
    )
    for n in range(1, count + 1):
        assert writer.put(lambda n=n: entry(n))
    assert writer.close(PATIENCE)


@contextmanager
def opened(state: Path) -> Iterator[sqlite3.Connection]:
    """As somebody opens it who wants to change it: without its triggers."""
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as connection:
        triggers = connection.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f"drop trigger {name}")
        yield connection


def rehash(connection: sqlite3.Connection) -> None:
    """Make everything that nobody signs fit again: numbers, hashes, and the record of the tree."""
    bodies = connection.execute("select body from entries order by seq").fetchall()
    connection.execute("delete from entries")
    hashes = [leaf_hash(body.encode()) for (body,) in bodies]
    rows = [(seq, body, leaf) for seq, ((body,), leaf) in enumerate(zip(bodies, hashes, strict=True), 1)]
    connection.executemany("insert into entries values (?, ?, ?)", rows)
    tree = Frontier()
    tree.extend(hashes)
    (count,) = connection.execute("select count(*) from checkpoints").fetchone()
    connection.execute("update tree set size = ?, frontier = ?, checkpoints = ?", (tree.size, tree.packed(), count))


def verdicts(report: Report) -> list[tuple[str, int, int]]:
    return [(finding.verdict.value, finding.first, finding.last) for finding in report.findings]


def found(state: Path, **options) -> list[tuple[str, int, int]]:
    return verdicts(verify(state, **options))


def forged(n: int) -> str:
    return canonical(event_leaf(LeafKind.ACT, NOW + n, act="never happened", n=n)).decode()
