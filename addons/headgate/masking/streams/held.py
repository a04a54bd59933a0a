"""What has arrived of something that is not whole yet, kept so that many small pieces cost no more than one."""

from headgate.masking.plan import CannotMask

LARGEST = 1024 * 1024
"""Characters that a record may have: a line, an event, a document."""


class Held:
    """`beside` counts characters of the same record that somebody else keeps."""

    __slots__ = ("_pieces", "_size", "beside")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = self.beside = 0

    def __len__(self) -> int:
        return self._size

    def add(self, text: str) -> None:
        """CannotMask when a record would be too long."""
        self._size += len(text)
        if self._size + self.beside > LARGEST:
            raise CannotMask("record-too-long")
        if text:
            self._pieces.append(text)

    def take(self) -> str:
        """All of it; nothing is left."""
        text = "".join(self._pieces)
        self._pieces, self._size = [], 0
        return text
