"""What can be wrong with a log, each by its own name, and what is said of one that was looked through."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`altered`: an entry's body is not what its hash says. `missing`: numbers are left out. `truncated`: the log is
    shorter than it was. `rewritten`: every entry fits its hash, and together they are not what was signed: something
    was inserted, swapped, taken out and numbered anew, or hashed again."""

    ALTERED = "altered"
    MISSING = "missing"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    FORGED = "checkpoint-forged"
    REMOVED = "checkpoints-removed"
    PRUNED = "pruned-unrecorded"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Finding:
    """It is about entries `first` to `last` (0: about none in particular); `message` is one line."""

    verdict: Verdict
    first: int
    last: int
    message: str


@dataclass(frozen=True, slots=True)
class Tail:
    """Entries that no checkpoint covers: no error, but nothing proves them either. `since` is the first one's time."""

    first: int
    last: int
    since: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """`entries` were read, with this `root` (hex); `checkpoints` beside the log and `given` ones were valid, `foreign`
    ones given are another log's. `pruned` bodies are gone, as was recorded. `crashes` are the numbers of starts before
    which nothing had stopped. `more` counts findings that are not listed; times are those of the first and last entry.
    """

    origin: str
    entries: int
    root: str
    checkpoints: int
    given: int
    foreign: int
    findings: tuple[Finding, ...]
    more: int
    pruned: int
    tail: Tail | None
    crashes: tuple[int, ...]
    first_time: str | None
    last_time: str | None

    @property
    def ok(self) -> bool:
        return not self.findings
