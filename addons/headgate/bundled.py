"""Files that the rules name: inside the bundle's folder, regular, and of limited size."""

import errno
import os
import stat
from pathlib import Path, PurePosixPath

MAX_FILE = 16 * 1024 * 1024


class Unusable(ValueError):
    """Why a named file cannot be used, in words for the one who wrote the rules; never quotes what is in it."""


def located(folder: Path, name: str) -> Path:
    """The path of `name` (relative, with `/`) in the bundle's folder."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise Unusable(f"`{name[:80]}` is not inside the bundle's folder; accepted: a path within it, without `..`")
    return folder / inside


def contents(folder: Path, name: str) -> bytes:
    """The bytes of a file of up to 16 MiB; no pipe or device, since those could keep us waiting."""
    path = located(folder, name)
    try:
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK)) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a file")
            read = opened.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:  # a name may hold a NUL, or half a surrogate
        reason = (getattr(error, "strerror", None) or "no such file").lower()
        raise Unusable(f"file `{name[:80]}` cannot be read: {reason}") from None
    if len(read) > MAX_FILE:
        raise Unusable(f"file `{name[:80]}` is longer than {MAX_FILE // 1024 // 1024} MiB")
    return read
