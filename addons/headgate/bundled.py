"""Files of a rules folder and those that its rules name: inside the folder, regular, of limited size, each read once.

Whoever may write to the folder may replace a file between two looks at it. So a load has one `Files`: what it compiles,
hashes, finds signed and stores are the same bytes.
"""

import errno
import os
import stat
import unicodedata
from pathlib import Path, PurePosixPath

MAX_FILE = 16 * 1024 * 1024


class Unusable(ValueError):
    """Why a named file cannot be used, in words for the one who wrote the rules; never quotes what is in it."""


class NotAFileError(OSError):
    """A folder, a pipe or a device."""


class Files:
    """The files of one folder as one load sees them: each is opened once, also where that failed.

    `named` are the bytes of all that rules have named, by their paths in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.named: dict[str, bytes] = {}
        self._folder = folder
        self._found: dict[str, bytes | OSError] = {}
        self._spelled: dict[str, str] = {}

    def contents(self, name: str) -> bytes:
        """The bytes of a file of up to 16 MiB that the rules name; Unusable says what is wrong with it."""
        inside = _inside(name)
        same = self._spelled.get(_folded(inside), inside)
        if same != inside:  # one file on some systems, two on others
            accepted = "accepted: one spelling of each name"
            raise Unusable(f"`{name[:80]}` differs from `{same[:80]}` only in case or accents; {accepted}")
        try:
            read = self.read(inside)
        except OSError as error:
            reason = (error.strerror or "no such file").lower()
            raise Unusable(f"file `{name[:80]}` cannot be read: {reason}") from None
        if len(read) > MAX_FILE:
            raise Unusable(f"file `{name[:80]}` is longer than {MAX_FILE // 1024 // 1024} MiB")
        self.named[inside] = read
        return read

    def read(self, name: str) -> bytes:
        """The bytes of a file, at most one more than 16 MiB; OSError, and the same one each time, if there are none."""
        inside = _inside(name)
        if inside not in self._found:
            self._spelled.setdefault(_folded(inside), inside)
            try:
                self._found[inside] = beginning(self._folder / inside, MAX_FILE + 1)
            except OSError as error:
                self._found[inside] = error.with_traceback(None)
        found = self._found[inside]
        if isinstance(found, OSError):
            raise type(found)(*found.args)
        return found


def located(folder: Path, name: str) -> Path:
    """The path of `name` (relative, with `/`) in the bundle's folder."""
    return folder / _inside(name)


def contents(folder: Path, name: str) -> bytes:
    """The bytes of a single file of up to 16 MiB, for who reads no other; Unusable says what is wrong with it."""
    return Files(folder).contents(name)


def beginning(path: Path, most: int) -> bytes:
    """The first bytes of a file; OSError, also for pipes and devices, since those could keep us waiting."""
    try:
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK)) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise NotAFileError(errno.EINVAL, "not a file")
            return opened.read(most)
    except IsADirectoryError as error:
        raise NotAFileError(error.errno, error.strerror) from None
    except ValueError:  # a name may hold a NUL, or half a surrogate
        raise FileNotFoundError(errno.ENOENT, "no such file") from None


def _inside(name: str) -> str:
    """The one spelling of a path in the folder: without `./`, `//` and a `/` at its end."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise Unusable(f"`{name[:80]}` is not inside the bundle's folder; accepted: a path within it, without `..`")
    return str(inside)


def _folded(inside: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", inside).casefold())
