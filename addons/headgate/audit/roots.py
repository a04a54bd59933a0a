"""The tree over all entries, held against each checkpoint as its size is reached.

An entry whose body does not fit its hash may have lost the one or the other, so the tree is carried on both ways until
a checkpoint says which was signed. Where neither is it, or entries are missing, it is taken up again from the next
frontier that leads to a signed root.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from headgate.audit.anchors import Anchor
from headgate.audit.merkle import Frontier
from headgate.audit.verdicts import Finding, Verdict


class Roots:
    """`size` is how far the log has been gone through, `good` how far the tree is known to be what was signed."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self.size = self.good = 0
        self.findings: list[Finding] = []
        self._ahead = deque(anchors)
        self._tree: Frontier | None = Frontier()
        self._other: Frontier | None = None
        self._kept, self._differed = 0, False
        self._compare()

    @property
    def root(self) -> bytes:
        """Of all entries; none where too much is missing to tell."""
        return self._tree.root() if self._tree else b""

    def take(self, leaves: Sequence[bytes], others: Sequence[bytes] | None = None) -> None:
        """Go on by these leaf hashes; `others` are the same, with those of altered bodies in place of what stood
        beside them."""
        at = 0
        while at < len(leaves):
            end = min(len(leaves), at + self._ahead[0].size - self.size) if self._ahead else len(leaves)
            self._extend(leaves[at:end], others[at:end] if others else None)
            self.size += end - at
            at = end
            self._compare()

    def skip(self, through: int) -> None:
        """Entries up to number `through` are missing."""
        self._tree = self._other = None
        self.size = through
        while self._ahead and self._ahead[0].size < through:
            self._ahead.popleft()
        self._compare()

    def ends_in(self, packed: object) -> bool:
        """Whether the frontier that the log keeps of itself is that of its entries, if that can be said."""
        trees = [tree.packed() for tree in (self._tree, self._other) if tree]
        return not trees or packed in trees

    def _extend(self, leaves: Sequence[bytes], others: Sequence[bytes] | None) -> None:
        if not self._tree:
            return
        if others and others != leaves and not self._other:
            self._other = Frontier(self._tree.size, self._tree.packed())
        self._tree.extend(leaves)
        if self._other:
            self._other.extend(others or leaves)

    def _compare(self) -> None:
        """Hold the tree against all checkpoints of just this size."""
        while self._ahead and self._ahead[0].size == self.size:
            anchor = self._ahead.popleft()
            if self._tree and not self._fits(anchor):
                self._differ(anchor)
            if anchor.frontier is not None:
                self._tree, self._other = Frontier(anchor.size, anchor.frontier), None
                self.good = self.size

    def _fits(self, anchor: Anchor) -> bool:
        for tree in (self._tree, self._other):
            if tree and tree.root() == anchor.root:
                self._tree, self._other, self.good = tree, None, self.size
                self._kept = self.size if anchor.frontier is None else self._kept
                return True
        return False

    def _differ(self, anchor: Anchor) -> None:
        first = self.good + 1
        if anchor.frontier is None:  # one kept elsewhere: all that follow it differ as well
            if self._differed:
                return
            first, self._differed = self._kept + 1, True
        message = f"entries {first} to {self.size} were rewritten: {anchor} has another root"
        self.findings.append(Finding(Verdict.REWRITTEN, first, self.size, message))
