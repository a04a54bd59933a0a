"""What commands do to the state of Headgate goes on record, too, whether a proxy runs or not."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headgate.audit.appending import Log, present, resume
from headgate.audit.entries import make
from headgate.audit.keys import keep_last, last_known, load_key
from headgate.audit.leaf import Leaf, act_leaf
from headgate.audit.schema import plainly, writing
from headgate.schema import immediate


def record_act(state: Path, what: str, *, by: str, now: float, randomness: Callable[[int], bytes], **facts: Any) -> int:
    """Append one act to the log in `state`, and sign a checkpoint that covers it; returns its number.

    It is on disk when this returns; HeadgateError when it could not be put there. The log is begun if there is none.
    """
    return record(state, act_leaf(what, by, now, **facts), now=now, randomness=randomness)


def record(state: Path, leaf: Leaf, *, now: float, randomness: Callable[[int], bytes]) -> int:
    """The same for any leaf, such as an activation that a command has made."""
    made = make(leaf)
    with _at_end(state, now, randomness) as log:
        return log.append([made.body], [made.hash])


def sign_checkpoint(state: Path, *, now: float, randomness: Callable[[int], bytes]) -> str | None:
    """The checkpoint of the log as it is now, signed if nobody has; None for a log without entries."""
    with _at_end(state, now, randomness) as log:
        log.sign(now)
        return log.checkpoint()


@contextmanager
def _at_end(state: Path, now: float, randomness: Callable[[int], bytes]) -> Generator[Log]:
    """The log, to append to in one transaction; it is checked before, and signed after."""
    path = state / "audit.db"
    with plainly(path, "written"):
        key = load_key(state, randomness)
        known = last_known(state, key)
    with writing(path) as connection:
        with immediate(connection):
            log = present(connection, path, key)
            resume(log, known, now)
            yield log
            note = log.sign(now)
        if note:
            keep_last(state, note)
