"""Why a capture cannot be used, in words that name no content.

The text of an exception may quote what was being written; its SQLite name or system number cannot.
"""

import errno

REPLACE = "move it away to have a new one started"

SQLITE_CAUSES = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "another program keeps it locked",
    "SQLITE_LOCKED": "another program keeps it locked",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_PERM": "permission is denied",
    "SQLITE_CORRUPT": f"it is damaged ({REPLACE})",
    "SQLITE_NOTADB": f"it is not a SQLite database ({REPLACE})",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_IOERR": "reading or writing the disk failed",
}
SYSTEM_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.EEXIST: "a part of its path is not a folder",
    errno.ENOENT: "its folder is missing",
}


def cause(error: Exception) -> str:
    """What to tell of an OSError or an sqlite3.Error."""
    if isinstance(error, OSError):
        return SYSTEM_CAUSES.get(error.errno or 0, "the system refused it")
    name = str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))  # may be extended, as in SQLITE_IOERR_WRITE
    primary = "_".join(name.split("_")[:2])
    return SQLITE_CAUSES.get(primary, f"SQLite reports {name}")
