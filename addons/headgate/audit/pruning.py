"""Dropping what old entries say, and keeping that they were there.

An act on record comes first, which says up to which entry bodies go: a body that is missing without one was taken away
by somebody else. Only what a checkpoint covers is pruned, and what the hash of an entry said stays said.
"""

import json
from collections.abc import Callable
from pathlib import Path

from headgate.audit.acts import record_act
from headgate.audit.leaf import timestamp
from headgate.audit.merkle import leaf_hash
from headgate.audit.schema import Connection, reading, writing
from headgate.errors import HeadgateError
from headgate.schema import immediate

PRUNED = "audit-prune"
STEP = 1000


def prune_bodies(
    state: Path,
    before: float,
    *,
    by: str,
    now: float,
    randomness: Callable[[int], bytes],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Drop the bodies of entries from before `before` (seconds since the epoch) that a checkpoint covers; their leaf
    hashes stay, so the log still verifies. Returns how many; an act on record says so first."""
    path, limit = state / "audit.db", timestamp(before)
    with reading(path) as connection:
        first, through = _range(connection, limit)
    if not through:
        return 0
    record_act(state, PRUNED, by=by, now=now, randomness=randomness, before=limit, first=first, through=through)
    dropped = 0
    with writing(path) as connection:
        for start in range(first, through + 1, STEP):
            end = min(start + STEP - 1, through)
            with immediate(connection):
                sql = "update entries set body = null where seq between ? and ? and body is not null"
                dropped += connection.execute(sql, [start, end]).rowcount
            progress(end - first + 1, through - first + 1)
    return dropped


def _range(connection: Connection, limit: str) -> tuple[int, int]:
    """The first entry that has a body, and the last one before the first that is not older than `limit`."""
    (covered,) = connection.execute("select coalesce(max(size), 0) from checkpoints").fetchone()
    sql = "select seq, body, leaf from entries where seq <= ? and body is not null order by seq"
    first = through = 0
    for seq, body, leaf in connection.execute(sql, [covered]):
        if _time(body) >= limit:
            break
        if type(body) is not bytes or leaf_hash(body) != leaf:
            raise HeadgateError(f"entry {seq} of the audit log is altered: nothing is pruned that would hide it")
        first, through = first or seq, seq
    return first, through


def _time(body: bytes) -> str:
    """When an entry says that it is from; one that says nothing is kept."""
    try:
        found = json.loads(body)["time"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "~"
    return found if isinstance(found, str) else "~"
