"""Whether the log is what was signed.

Every body is hashed again, the tree is built from all hashes, and its root is compared at each checkpoint there is:
those beside the log, the one kept with its key, and those that somebody has kept elsewhere. Without the last, whoever
holds the key and the folder can have rewritten all of it. Where the tree differs, it goes on from the next checkpoint
whose frontier leads to what was signed, so that one finding does not spoil what follows.

The file is data from elsewhere and read in pages: memory does not grow with it, and a proxy goes on writing meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from headgate.audit.anchors import Anchor, Anchors, collect
from headgate.audit.events import SILENT, Events, time_of
from headgate.audit.keys import load_verifier
from headgate.audit.merkle import SIZE, leaf_hash
from headgate.audit.note import read_verifier
from headgate.audit.roots import Roots
from headgate.audit.schema import READ_FAULTS, Connection, cause, reading
from headgate.audit.verdicts import Finding, Report, Tail, Verdict

__all__ = ["Finding", "Report", "Tail", "Verdict", "verify"]

PAGE = 4096
PART = 128
"""Entries that are read in one query, and looked at together: a body may be as long as the file likes."""

MOST = 100
"""Findings that are listed; further ones are counted."""

LOWEST = -(2**63)

Row = tuple[int, Any, Any]
"""Number, body and leaf, of which the file may hold anything."""

Progress = Callable[[int, int], None]
"""Told how many entries were read, of how many."""


def verify(
    state: Path,
    *,
    given: Iterable[str] | None = None,
    verifier: str | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Recompute the log in `state`, and say all that is wrong with it; HeadgateError if it cannot be read at all.

    `given` is text in which checkpoints were kept elsewhere: signed notes, or JSON lines that hold them, in pieces of
    any number of whole lines. `verifier` is the key to believe (`name+hash+base64`), by default the one in the folder.
    """
    key = read_verifier(verifier) if verifier else load_verifier(state)
    with reading(state / "audit.db") as connection:
        connection.execute("begin")  # what follows is of one moment; after it, entries only become more
        try:
            anchors = collect(connection, state, key, given)
            tree = connection.execute("select size, frontier, origin from tree").fetchone()
            (last,) = connection.execute("select coalesce(max(seq), 0) from entries").fetchone()
        finally:
            connection.execute("commit")
        look = Look(connection, anchors.in_order(), last, progress)
        look.run()
        if look.complete:
            look.compare_ends(tree, key.name)
        return _report(look, anchors, key.name)


def _report(look: "Look", anchors: Anchors, origin: str) -> Report:
    findings = sorted([*anchors.findings, *look.findings, *look.roots.findings], key=lambda finding: finding.first)
    return Report(
        origin,
        look.entries,
        look.roots.root.hex(),
        anchors.beside,
        anchors.given,
        anchors.foreign,
        tuple(findings[:MOST]),
        max(0, len(findings) - MOST) + look.unlisted + anchors.unlisted,
        look.events.pruned,
        look.tail(),
        tuple(look.events.crashes),
        look.time(1),
        look.time(look.last),
    )


class Look:
    """One look through all entries up to number `last`; `complete` once all could be read."""

    def __init__(self, connection: Connection, anchors: Sequence[Anchor], last: int, progress: Progress) -> None:
        self.roots, self.events = Roots(anchors), Events()
        self.findings: list[Finding] = []
        self.entries = self.unlisted = 0
        self.complete = False
        self._connection, self.last, self._progress = connection, last, progress
        self._signed = max((anchor.size for anchor in anchors), default=0)
        self._covered = max((anchor.size for anchor in anchors if anchor.size <= last), default=0)
        self._next = 1
        self._leaves: list[bytes] = []
        self._altered: dict[int, bytes] = {}

    def run(self) -> None:
        try:
            for rows in self._pages():
                self._page(rows)
                self._progress(min(self.entries, self.last), self.last)
            self.complete = True
        except READ_FAULTS as error:
            self._find(Verdict.DAMAGED, self._next, self.last, f"entries cannot be read: {cause(error)}")
        for first, last in self.events.unrecorded():
            self._find(
                Verdict.PRUNED, first, last, f"bodies of entries {first} to {last} are gone, which nobody recorded"
            )

    def tail(self) -> Tail | None:
        first = self._covered + 1
        return Tail(first, self.last, self.time(first)) if self.last >= first else None

    def time(self, seq: int) -> str | None:
        """When that entry says that it is from."""
        try:
            row = self._connection.execute("select body from entries where seq = ?", [seq]).fetchone()
        except READ_FAULTS:
            return None
        return time_of(row[0]) if row and isinstance(row[0], bytes) else None

    def compare_ends(self, tree: tuple[object, ...] | None, origin: str) -> None:
        """What the log says of its own length, and what was signed of it, against what is there."""
        size, frontier, written = tree or (None, None, b"")
        last = self.last
        if self._signed > last:
            was = f"a checkpoint shows that there were {self._signed}"
            self._find(Verdict.TRUNCATED, last + 1, self._signed, f"the log ends at entry {last}: {was}")
        elif not isinstance(size, int) or size < 0:
            self._find(Verdict.DAMAGED, 0, 0, "the log's record of its own length is gone")
        elif size > last:
            self._find(Verdict.TRUNCATED, last + 1, size, f"the log ends at entry {last}: it was written up to {size}")
        elif size < last:
            self._find(Verdict.REWRITTEN, size + 1, last, f"entries after {size} were put there by something else")
        elif not self.roots.ends_in(frontier) and not self.roots.findings:  # else that is what it was made to fit
            self._differs(last)
        if written not in (b"", origin.encode()):
            self._find(Verdict.FORGED, 0, 0, "the log says that it is another one than its key is for")

    def _differs(self, last: int) -> None:
        if self.roots.good == last:
            self._find(Verdict.DAMAGED, 0, 0, "the log's record of its own tree is not that of its entries")
        else:
            first = self.roots.good + 1
            message = f"entries {first} to {last} were rewritten: they do not lead to the tree that the log had"
            self._find(Verdict.REWRITTEN, first, last, message)

    def _pages(self) -> Iterator[list[Row]]:
        """Pages in parts of which each fits into memory, however long its entries are."""
        sql = "select seq, body, leaf from entries where seq >= ? and seq <= ? order by seq limit ?"
        start = last = LOWEST
        while start <= self.last:
            page = self._connection.execute(sql, [start, self.last, PAGE])
            while rows := page.fetchmany(PART):
                yield rows
                last = rows[-1][0]
            if last < start:
                return  # there are no more, or they do not come in the order of their numbers, which was noticed
            start = last + 1

    def _page(self, rows: list[Row]) -> None:
        """Most are as they should be, and are looked at together."""
        numbers, bodies, leaves = zip(*rows, strict=True)
        first = numbers[0]
        if first != self._next or numbers != tuple(range(first, first + len(rows))) or not _fit(bodies, leaves):
            self._one_by_one(rows)
            return
        self._next = first + len(rows)
        for seq, body in enumerate(bodies, first):
            if not body.startswith(SILENT):
                self.events.read(seq, body)
        self.entries += len(rows)
        self.roots.take(leaves)

    def _one_by_one(self, rows: list[Row]) -> None:
        for seq, body, leaf in rows:
            if seq != self._next and not self._jump(seq):
                continue
            self._next = seq + 1
            digest = leaf_hash(body) if type(body) is bytes else None
            if digest != leaf or digest is None:
                leaf = self._differing(seq, body, leaf, digest)
            else:
                self.events.read(seq, body)
            self._leaves.append(leaf)
        self._flush()

    def _flush(self) -> None:
        leaves = self._leaves
        others = [self._altered.get(at, leaf) for at, leaf in enumerate(leaves)] if self._altered else None
        self.entries += len(leaves)
        self.roots.take(leaves, others)
        leaves.clear()
        self._altered = {}

    def _jump(self, seq: int) -> bool:
        """A number that is not the next: whether its entry is read all the same."""
        if seq < self._next:
            self._find(Verdict.REWRITTEN, seq, seq, f"entry {seq} has a number that no entry is given there")
            return False
        self._flush()
        one = self._next == seq - 1
        which = f"entry {self._next} is" if one else f"entries {self._next} to {seq - 1} are"
        self._find(Verdict.MISSING, self._next, seq - 1, f"{which} missing")
        self.roots.skip(seq - 1)
        return True

    def _differing(self, seq: int, body: Any, leaf: Any, digest: bytes | None) -> bytes:
        """An entry that was pruned, or altered; returns the hash that the tree goes on with."""
        whole = isinstance(leaf, bytes) and len(leaf) == SIZE
        if body is None and whole:
            self.events.body_missing(seq)
        else:
            self._find(Verdict.ALTERED, seq, seq, f"entry {seq} is altered: its body and its hash do not fit")
            if digest:
                self._altered[len(self._leaves)] = digest
        return bytes(leaf) if whole else digest or bytes(SIZE)

    def _find(self, verdict: Verdict, first: int, last: int, message: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append(Finding(verdict, first, last, message))
        else:
            self.unlisted += 1


def _fit(bodies: Sequence[Any], leaves: Sequence[Any]) -> bool:
    """Whether each body has its hash."""
    try:
        return [sha256(b"\0" + body).digest() for body in bodies] == list(leaves)
    except TypeError:  # pruned, or nothing that a log holds
        return False
