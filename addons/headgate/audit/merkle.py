"""The Merkle tree of RFC 6962 (and RFC 9162), section 2.1: its root while entries come, and proofs about it.

A leaf is hashed behind the byte 0, a node behind the byte 1, so that neither can pass for the other. Of a tree that
grows only its frontier is needed: the roots of the complete subtrees that it is made of, one for each bit of its size,
the largest first. It is stored with the log and carried on, so that nothing is ever read again to append.
"""

from collections.abc import Sequence
from hashlib import sha256

SIZE = 32
"""Bytes of a hash."""

EMPTY = sha256().digest()


def leaf_hash(body: bytes) -> bytes:
    return sha256(b"\0" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree of `size` leaves as far as it takes to append to it, and to tell its root."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, packed: bytes = b"") -> None:
        """From what `packed` gave; ValueError if that cannot be the frontier of so many leaves."""
        if size < 0 or len(packed) != size.bit_count() * SIZE:
            raise ValueError("not a frontier")
        self.size = size
        self._peaks = [packed[at : at + SIZE] for at in range(0, len(packed), SIZE)]

    def packed(self) -> bytes:
        return b"".join(self._peaks)

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY
        *others, found = self._peaks
        for peak in reversed(others):
            found = node_hash(peak, found)
        return found

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes: in the largest subtrees that are complete where they stand, for speed."""
        at, end = 0, len(leaves)
        while at < end:
            height = (end - at).bit_length() - 1
            if self.size:
                height = min(height, (self.size & -self.size).bit_length() - 1)
            self._push(_complete(leaves[at : at + (1 << height)]), height)
            at += 1 << height

    def _push(self, peak: bytes, height: int) -> None:
        """Add a complete subtree; equal ones join, as ones do where a binary number is counted up."""
        size = self.size
        while size >> height & 1:
            peak = node_hash(self._peaks.pop(), peak)
            size ^= 1 << height
            height += 1
        self._peaks.append(peak)
        self.size = size | 1 << height


def _complete(level: Sequence[bytes]) -> bytes:
    """The root of a complete tree over these hashes."""
    while len(level) > 1:
        level = [sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def root(leaves: Sequence[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


# -- proofs: RFC 9162, sections 2.1.3 and 2.1.4 -----------------------------------------------------------------------


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What shows that `leaves[index]` is in the tree of all `leaves`, from the bottom up."""
    if not 0 <= index < len(leaves):
        raise ValueError("no such leaf")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """What shows that the tree of the first `old` leaves is the beginning of the tree of all."""
    if not 0 < old <= len(leaves):
        raise ValueError("no such tree")
    return _subproof(leaves, old, whole=True)


def _subproof(leaves: Sequence[bytes], old: int, *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old <= split:
        return [*_subproof(leaves[:split], old, whole=whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], old - split, whole=False), root(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def includes(root: bytes, size: int, leaf: bytes, index: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree with this root holds the leaf hash at `index`."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for other in proof:
        if not last:
            return False
        if place & 1 or place == last:
            found = node_hash(other, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, other)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def extends(old_root: bytes, old: int, new_root: bytes, new: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `new` leaves begins with that of `old` leaves."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for other in path[1:]:
        if not last:
            return False
        if place & 1 or place == last:
            before, after = node_hash(other, before), node_hash(other, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, other)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root
