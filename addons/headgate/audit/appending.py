"""How entries are appended: everything that a transaction does, and what has to agree before it does anything.

Several processes may append to one log. So each transaction takes the lock first, reads how long the log is and the
frontier of its tree, and carries both on. A log that does not agree with itself, with what it has signed, or with what
this process has seen it hold, is not appended to: a signature over what somebody has rewritten would vouch for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headgate.audit import checkpoint
from headgate.audit.keys import AuditKey, Known
from headgate.audit.leaf import Leaf, act_leaf, canonical, timestamp
from headgate.audit.merkle import SIZE, Frontier, leaf_hash
from headgate.audit.note import NoteError
from headgate.audit.schema import Connection
from headgate.errors import HeadgateError

PAGE = 5000

BEGAN_ANEW = "log-began-anew"
SET_BACK = "log-set-back"
"""Acts that nobody meant to be recorded: the log that was known is gone, or the one there is not its continuation."""


class Contradiction(HeadgateError):
    """The log is not what it was signed as, or seen as; nothing may be appended to it."""


@dataclass(slots=True)
class Log:
    """The log within one transaction, whose lock is held."""

    connection: Connection
    path: Path
    key: AuditKey
    tree: Frontier
    checkpoints: int

    @property
    def known(self) -> Known:
        return Known(self.tree.size, self.tree.root(), self.tree.packed())

    def append(self, bodies: Sequence[bytes], hashes: Sequence[bytes]) -> int:
        """Append entries; returns the number of the first."""
        first = self.tree.size + 1
        values: list[object] = []
        for seq, (body, leaf) in enumerate(zip(bodies, hashes, strict=True), first):
            values += (seq, body.decode(), leaf)
        rows = ",".join(["(?,?,?)"] * len(bodies))
        done = self.connection.execute(f"insert into entries values {rows}", values)  # noqa: S608 - question marks alone
        if done.rowcount != len(bodies):  # as a trigger can have it, which nobody here has made
            raise _contradiction(self.path, "it does not take what is written to it")
        self.tree.extend(hashes)
        self._keep()
        return first

    def sign(self, now: float) -> str | None:
        """Sign a checkpoint of the log as it is; None if there is one, or nothing to sign."""
        size, root, _ = self.known
        if not size or self.connection.execute("select 1 from checkpoints where size = ?", [size]).fetchone():
            return None
        note = self.key.sign(size, root)
        row = (size, root, note, timestamp(now), self.tree.packed())
        self.connection.execute("insert into checkpoints values (?, ?, ?, ?, ?)", row)
        self.checkpoints += 1
        self._keep()
        return note

    def checkpoint(self) -> str | None:
        """The last one's note."""
        row = self.connection.execute("select note from checkpoints order by size desc limit 1").fetchone()
        return str(row[0]) if row else None

    def since_checkpoint(self) -> int:
        (last,) = self.connection.execute("select coalesce(max(size), 0) from checkpoints").fetchone()
        return self.tree.size - int(last)

    def holds(self, first: int, hashes: Sequence[bytes]) -> bool:
        """Whether these entries stand there from number `first` on: a commit that seemed to fail may have succeeded."""
        sql = "select leaf from entries where seq >= ? and seq < ? order by seq"
        found = self.connection.execute(sql, [first, first + len(hashes)]).fetchall()
        return [leaf for (leaf,) in found] == list(hashes)

    def _keep(self) -> None:
        values = (self.tree.size, self.tree.packed(), self.checkpoints, self.key.origin)
        self.connection.execute("update tree set size = ?, frontier = ?, checkpoints = ?, origin = ?", values)


def present(connection: Connection, path: Path, key: AuditKey, known: Known | None = None) -> Log:
    """The log as it stands; `Contradiction` if it does not agree with itself or has lost what was `known` of it.

    It looks at a few rows only, so that each transaction can begin with it.
    """
    row = connection.execute("select size, frontier, checkpoints, origin from tree").fetchone()
    if row is None:
        raise _contradiction(path, "its record of its own length is gone")
    size, packed, checkpoints, origin = row
    (last,) = connection.execute("select coalesce(max(seq), 0) from entries").fetchone()
    if size != last:
        raise _contradiction(path, f"it has entries up to {last} and was written up to {size}")
    try:
        log = Log(connection, path, key, Frontier(size, packed), checkpoints)
    except (ValueError, TypeError):
        raise _contradiction(path, "its tree does not fit its length") from None
    if origin not in ("", key.origin):
        raise HeadgateError(f"the audit log `{path}` is another log's, not `{key.origin}`: put back its own or its key")
    if known:
        hold(log, known)
    return log


def hold(log: Log, known: Known) -> None:
    """`Contradiction` if the log is shorter than it was, or another one up to there.

    What other processes have appended since is read again, so that nothing is signed which only looks longer.
    """
    size, root, frontier = known
    if frontier is not None and log.tree.size > size:
        tree = Frontier(size, frontier)
        _carry_on(log, tree)
        same = tree.packed() == log.tree.packed()
    else:
        same = log.tree.size > size or (log.tree.size, log.tree.root()) == (size, root)
    if not same:
        raise _contradiction(log.path, f"it had {size} entries, and these are not the same")


def check(log: Log) -> None:
    """What a start looks at: the last checkpoint is ours, and what follows it leads to the tree as it stands."""
    tree = Frontier()
    row = log.connection.execute("select size, root, note, frontier from checkpoints order by size desc limit 1")
    if found := row.fetchone():
        size, root, note, frontier = found
        try:
            tree = Frontier(size, frontier)
            said = checkpoint.read(note, log.key.verifier)
        except (ValueError, TypeError, NoteError) as error:
            reason = str(error) if isinstance(error, NoteError) else "its row is damaged"
            raise _contradiction(log.path, f"its last checkpoint does not count: {reason}") from None
        if said.size != size or not said.root == root == tree.root():
            raise _contradiction(log.path, "its last checkpoint is not what was signed")
    _carry_on(log, tree)
    if (tree.size, tree.packed()) != (log.tree.size, log.tree.packed()):
        raise _contradiction(log.path, f"its entries after number {tree.size} do not lead to its tree")


def continues(log: Log, known: Known) -> bool:
    """Whether the log begins with what is known of it: for a file that has come in the place of another."""
    if log.tree.size < known.size:
        return False
    row = log.connection.execute("select root from checkpoints where size = ?", [known.size]).fetchone()
    if row:
        return bool(row[0] == known.root)
    tree = Frontier()
    for leaves in _leaves(log, known.size):
        tree.extend(leaves)
    return tree.root() == known.root


def resume(log: Log, known: Known | None, now: float) -> Leaf | None:
    """What is done before the first append: the log is checked, and where it is not the one that was `known`, it is
    made to say so. Returns what it says then."""
    check(log)
    if known is None or continues(log, known):
        return None
    what = SET_BACK if log.tree.size else BEGAN_ANEW
    leaf = act_leaf(what, "headgate", now, entries=known.size, root=known.root.hex())
    body = canonical(leaf)
    log.append([body], [leaf_hash(body)])
    return leaf


def _carry_on(log: Log, tree: Frontier) -> None:
    """Append to `tree` what the log holds after it; bodies are hashed again, they may have been altered."""
    sql = "select seq, body, leaf from entries where seq > ? order by seq limit ?"
    while rows := log.connection.execute(sql, [tree.size, PAGE]).fetchall():
        for expected, (seq, body, leaf) in enumerate(rows, tree.size + 1):
            if seq != expected:
                raise _contradiction(log.path, f"entry {expected} is missing")
            if not _fits(body, leaf):
                raise _contradiction(log.path, f"entry {seq} is altered")
        tree.extend([leaf for _, _, leaf in rows])


def _fits(body: object, leaf: object) -> bool:
    """Whether an entry's hash is its body's, or could be where that was pruned; a damaged file may hold anything."""
    if isinstance(body, str):
        return leaf_hash(body.encode()) == leaf
    return body is None and isinstance(leaf, bytes) and len(leaf) == SIZE


def _leaves(log: Log, through: int) -> Iterator[list[bytes]]:
    sql = "select seq, leaf from entries where seq > ? and seq <= ? order by seq limit ?"
    after = 0
    while rows := log.connection.execute(sql, [after, through, PAGE]).fetchall():
        yield [leaf for _, leaf in rows]
        if rows[-1][0] <= after:
            raise _contradiction(log.path, "its entries do not come in the order of their numbers")
        after = rows[-1][0]


def _contradiction(path: Path, what: str) -> Contradiction:
    remedy = "see `headgate audit verify`; move it away to have a new one begun"
    return Contradiction(f"the audit log `{path}` contradicts itself: {what} ({remedy})")
