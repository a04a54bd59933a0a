"""Which bundle is active, which was before it, and what may follow it: decided on the history of activations alone.

The history only grows. What is active is what the last activation that was not refused put in force; nothing else
says so. Versions never go back by themselves: an older bundle, or one that somebody rolled back from, returns by an
explicit act that is itself recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from headgate.errors import HeadgateError
from headgate.model import BundleRef


class How(StrEnum):
    """What put a bundle in force, or that it was refused."""

    FOLDER = "folder"
    ACTIVATE = "activate"
    ROLLBACK = "rollback"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Activation:
    """One line of the history; `time` is in seconds since the epoch, `previous` the hash that was active before.

    A refusal of rules that could not be read has no `sha256`, `name` and `version`; its `previous` stays in force.
    """

    id: int
    how: How
    sha256: str | None
    name: str | None
    version: str | None
    time: float
    by: str
    note: str
    previous: str | None


History = Sequence[Activation]
"""All activations, the oldest first."""


def precedence(version: str) -> tuple[Any, ...]:
    """A key that sorts versions as semver.org does (11): a pre-release before its release, build metadata no part."""
    numbers, dash, early = version.partition("+")[0].partition("-")
    try:
        major, minor, patch = map(int, numbers.split("."))
        return (major, minor, patch, not dash, tuple(map(_identifier, early.split("."))) if dash else ())
    except ValueError:
        raise HeadgateError(f"`{version[:20]}` is not a version; accepted: three numbers such as `1.4.0`") from None


def _identifier(text: str) -> tuple[bool, int, str]:
    """Numbers before words, numbers by size, words by their ASCII."""
    return (False, int(text), "") if text.isdecimal() else (True, 0, text)


def active(history: History) -> Activation | None:
    """The activation in force."""
    return next((entry for entry in reversed(history) if entry.how is not How.REFUSED), None)


def lineage(history: History) -> list[str]:
    """The hashes that were in force one after the other, the active one last; what was rolled back from is left out."""
    line: list[str] = []
    for entry in history:
        if entry.how is How.REFUSED or entry.sha256 is None:
            continue
        if entry.how is How.ROLLBACK and entry.sha256 in line:
            while line[-1] != entry.sha256:
                line.pop()
        if line[-1:] != [entry.sha256]:
            line.append(entry.sha256)
    return line


def former(history: History) -> str | None:
    """The hash that a rollback goes back to: the last before the active one that no proxy refused."""
    line = lineage(history)
    good = (sha256 for sha256 in reversed(line) if sha256 != line[-1] and not was_refused(sha256, history))
    return next(good, None)


def was_active(sha256: str, history: History) -> bool:
    return any(entry.sha256 == sha256 for entry in history if entry.how is not How.REFUSED)


def was_refused(sha256: str, history: History) -> bool:
    """Whether a proxy refused this since it was last activated, rather than a folder's copy of what was in force."""
    for entry in reversed(history):
        if entry.sha256 == sha256 and (entry.how is not How.REFUSED or entry.previous != sha256):
            return entry.how is How.REFUSED
    return False


def was_rolled_back(sha256: str, history: History) -> bool:
    """Whether somebody rolled back from this, and neither put it in force again nor has a folder brought another.

    A folder that still holds such a bundle must not undo the rollback.
    """
    for entry in reversed(history):
        if entry.how is How.ROLLBACK and entry.previous == sha256 != entry.sha256:
            return True
        if entry.how is How.FOLDER or (entry.how is not How.REFUSED and entry.sha256 == sha256):
            return False
    return False


def out_of_order(new: BundleRef, history: History, how: How) -> str | None:
    """Why the version of this bundle keeps it from following the active one; None when it may."""
    now = active(history)
    if now is None or now.version is None or now.sha256 == new.sha256 or how is How.ROLLBACK:
        return None
    if precedence(new.version) < precedence(now.version):
        lower = f"version {new.version} is lower than {now.version}, which is active"
        return f"{lower}; accepted: a higher one, or `headgate rules rollback` to what was active before"
    if how is How.ACTIVATE and (other := _of_same_version(new, history)):
        return f"version {new.version} was activated with other content, {other[:8]}; accepted: a higher version"
    return None


def _of_same_version(new: BundleRef, history: History) -> str | None:
    """The hash of another bundle that was last active under this version; None also if this very one was."""
    wanted = precedence(new.version)
    for entry in reversed(history):
        if entry.how is not How.REFUSED and entry.version and precedence(entry.version) == wanted:
            return None if entry.sha256 == new.sha256 else entry.sha256
    return None
