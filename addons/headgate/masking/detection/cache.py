"""What was found in values seen before, without the values.

Responses repeat themselves: the same customer, page after page. A finding depends on the text, the name it stands
under and what is looked for, and on nothing else. These are kept as one keyed digest, so that whoever reads the memory
cannot try values against it; what is remembered for it are entities, places and scores.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from headgate.masking.plan import Leaf, Span

SIZE = 8192
"""Leaves remembered; each takes some hundred bytes."""

DIGEST = 20


class Cache:
    """The least recently used is forgotten first. `key` is of 16 to 64 random bytes, new in each process."""

    def __init__(self, key: bytes, size: int = SIZE) -> None:
        if not 16 <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"a key of {len(key)} bytes; accepted: 16 to {blake2b.MAX_KEY_SIZE}")
        self._key, self._size = key, size
        self._known: OrderedDict[bytes, Sequence[Span]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def place(self, detector: bytes, leaf: Leaf) -> bytes:
        """Under which digest the findings of a leaf are remembered, by a detector that its own digest stands for."""
        digest = blake2b(digest_size=DIGEST, key=self._key)
        for part in (detector, bytes(leaf.number), leaf.key.encode("utf-8", "surrogatepass")):
            digest.update(len(part).to_bytes(4))
            digest.update(part)
        digest.update(leaf.text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, place: bytes) -> Sequence[Span] | None:
        found = self._known.get(place)
        if found is not None:
            self._known.move_to_end(place)
        return found

    def put(self, place: bytes, found: Sequence[Span]) -> None:
        self._known[place] = tuple(found)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
