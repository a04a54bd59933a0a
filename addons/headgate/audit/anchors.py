"""The checkpoints that a log is held against: those beside it, the one kept with its key, and those kept elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from headgate.audit import checkpoint
from headgate.audit.checkpoint import Checkpoint, claimed, notes_in
from headgate.audit.keys import load_last
from headgate.audit.merkle import Frontier
from headgate.audit.note import NoteError, Verifier, parse
from headgate.audit.schema import Connection
from headgate.audit.verdicts import Finding, Verdict
from headgate.errors import HeadgateError

BESIDE = "beside the log"
KEPT = "kept with the key"
GIVEN = "that was given"

PAGE = 1000
MOST = 100
"""Findings that are listed; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint whose signature is valid; `frontier`, if there is one, leads to its root and so is genuine, too."""

    size: int
    root: bytes
    where: str
    frontier: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the checkpoint of {self.size} entries {self.where}"


@dataclass(slots=True)
class Anchors:
    """Those that are valid, and what is wrong with the others; counts of those beside the log, given, and foreign, and
    of findings that are not listed."""

    valid: list[Anchor] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    beside: int = 0
    given: int = 0
    foreign: int = 0
    unlisted: int = 0

    def in_order(self) -> list[Anchor]:
        return sorted(self.valid, key=lambda anchor: (anchor.size, anchor.frontier is None))


def collect(connection: Connection, state: Path, verifier: Verifier, given: Iterable[str] | None) -> Anchors:
    anchors = Anchors()
    stored = _beside(anchors, connection, verifier)
    if (last := load_last(state)) is not None:
        _kept(anchors, last, verifier)
    if given is not None:
        _given(anchors, given, verifier)
    for anchor in {anchor.size: anchor for anchor in anchors.valid if anchor.where != BESIDE}.values():
        if anchor.size not in stored:
            _find(anchors, Verdict.REMOVED, anchor.size, f"{anchor} is no longer beside it")
    return anchors


def _beside(anchors: Anchors, connection: Connection, verifier: Verifier) -> set[int]:
    """Those in the file; returns the sizes that it has a row for."""
    sizes: set[int] = set()
    last = -(2**63)
    sql = "select size, root, note, frontier from checkpoints where size > ? order by size limit ?"
    while rows := connection.execute(sql, [last, PAGE]).fetchall():
        for size, root, note, frontier in rows:
            sizes.add(size)
            _stored(anchors, size, root, note, frontier, verifier)
        if rows[-1][0] <= last:
            _find(anchors, Verdict.DAMAGED, 0, f"checkpoints {BESIDE} do not come in the order of their sizes")
            break
        last = rows[-1][0]
    row = connection.execute("select checkpoints from tree").fetchone()
    if row and row[0] != len(sizes):
        missing = f"{len(sizes)} checkpoints are beside the log, and {row[0]} were signed there"
        _find(anchors, Verdict.REMOVED, 0, missing)
    return sizes


def _stored(anchors: Anchors, size: int, root: object, note: object, frontier: object, verifier: Verifier) -> None:
    try:
        said = checkpoint.read(note if isinstance(note, bytes) else b"", verifier)
    except NoteError as error:
        _find(anchors, Verdict.FORGED, size, f"the checkpoint of {size} entries {BESIDE} does not count: {error}")
        return
    genuine = _genuine(size, frontier, said)
    if said.size != size or said.root != root or genuine is None:
        _find(anchors, Verdict.FORGED, size, f"the checkpoint of {size} entries {BESIDE} differs from what was signed")
    anchors.valid.append(Anchor(said.size, said.root, BESIDE, genuine))
    anchors.beside += 1


def _genuine(size: int, frontier: object, said: Checkpoint) -> bytes | None:
    """The frontier, if it leads to the root that was signed."""
    try:
        tree = Frontier(size, frontier if isinstance(frontier, bytes) else b"")
    except ValueError:
        return None
    return tree.packed() if (tree.size, tree.root()) == (said.size, said.root) else None


def _kept(anchors: Anchors, note: str, verifier: Verifier) -> None:
    try:
        said = checkpoint.read(note, verifier)
    except NoteError as error:
        _find(anchors, Verdict.FORGED, 0, f"the checkpoint {KEPT} does not count: {error}")
        return
    anchors.valid.append(Anchor(said.size, said.root, KEPT))


def _given(anchors: Anchors, given: Iterable[str], verifier: Verifier) -> None:
    """Those of other logs are passed over, unless there are no others: then this log has come in the place of one."""
    seen: set[tuple[int, bytes]] = set()
    count = 0
    for count, note in enumerate(notes_in(given), 1):  # noqa: B007 - how many there are is asked below
        try:
            if claimed(parse(note)).origin != verifier.name:
                anchors.foreign += 1
                continue
            said = checkpoint.read(note, verifier)
        except NoteError as error:
            _find(anchors, Verdict.FORGED, 0, f"a checkpoint {GIVEN} does not count: {error}")
            continue
        if (said.size, said.root) not in seen:
            seen.add((said.size, said.root))
            anchors.valid.append(Anchor(said.size, said.root, GIVEN))
    anchors.given = len(seen)
    if not count:
        raise HeadgateError("no checkpoint was found in what was given: signed notes or JSON lines are accepted")
    if anchors.foreign == count:
        _find(anchors, Verdict.FORGED, 0, f"none of the checkpoints {GIVEN} is of this log, `{verifier.name}`")


def _find(anchors: Anchors, verdict: Verdict, size: int, message: str) -> None:
    if len(anchors.findings) < MOST:
        anchors.findings.append(Finding(verdict, size, size, message))
    else:
        anchors.unlisted += 1
