"""A rules folder that somebody may change at any time: when it has come to rest, and a bundle of one state of it.

It is watched by what `lstat` says of all in it, and of a link by what it leads to besides: one that led elsewhere for a
moment has changed. A change counts once two looks in a row have found it unchanged, so that files which are still being
written are not taken up, and what was read counts only if nothing has changed while it was read, not even a name.
"""

import os
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path

from headgate.bundle.load import Bundle, load_bundle
from headgate.errors import HeadgateError

LOOKS = 3
"""How often is looked in one interval: to see a change, and twice to see that it has come to rest."""

ATTEMPTS = 5
"""How often a start reads a folder that changes meanwhile."""

Seen = tuple[int, ...]
Entry = tuple[str, Seen, str, Seen]
"""Of a path what it is itself, and of a link where it leads and what is there."""
Signature = tuple[Entry, ...]

_GONE: Seen = ()


class UnsettledError(HeadgateError):
    """The folder changed while it was read: what was read may be of two states."""


class Folder:
    """For one thread at a time."""

    def __init__(self, path: Path, load: Callable[[Path], Bundle] = load_bundle) -> None:
        self.path, self._load = path, load
        self._looks: deque[Signature] = deque(maxlen=LOOKS)
        self._files: tuple[Path, ...] = ()
        self._read: Signature = ()

    def look(self) -> tuple[bool, bool]:
        """Whether the folder is another than the one that was read, and whether it is at rest."""
        now = self.signature()
        self._looks.append(now)
        return now != self._read, self._looks.count(now) == LOOKS

    def read(self) -> Bundle:
        """The bundle in it; UnsettledError if it changed meanwhile, HeadgateError if it cannot be used."""
        self._read, names = self.signature(), _look(self.path)
        bundle = self._load(self.path)
        if (self.signature(), _look(self.path)) != (self._read, names):
            raise UnsettledError(f"the rules in `{self.path}` change while they are read")
        self._files = bundle.files
        return bundle

    def read_at_rest(self) -> Bundle:
        """The same for a start, which has no later look."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self.read()
            except UnsettledError:
                continue
        return self.read()

    def signature(self) -> Signature:
        """What tells one state of the folder from another; it also covers files that a broken bundle would need.

        What is hidden belongs to editors and to what mounts the folder, unless the rules name it.
        """
        paths = set(self._files)
        paths.update(up for file in self._files for up in file.parents if self.path in up.parents)
        for root, folders, names in self.path.walk():
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths.update(root / name for name in (*folders, *names) if not name.startswith("."))
        return tuple(_look(path) for path in sorted(paths))


def _look(path: Path) -> Entry:
    itself, target, behind = _GONE, "", _GONE
    try:
        found = path.lstat()
        itself = _seen(found)
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(path)
            behind = _seen(path.stat())
    except OSError:
        pass  # it is not there, or leads nowhere: that is seen, too
    return str(path), itself, target, behind


def _seen(found: os.stat_result) -> Seen:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
