"""What identity remembers across restarts: what has been revoked, and which release list was last accepted (state.db).

Every method opens the file for itself, so that one that was moved away or replaced is noticed, and raises HeadgateError
in plain words. Only `prepare` makes the file: a revocation that lands in a new file beside the one that a proxy reads
would look like one and be none.
"""

import re
import sqlite3
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.identity import schema as tables
from headgate.identity.revocations import KINDS, LONGEST, MOST, Kind, Revocation, Revocations
from headgate.schema import create, immediate

READ_PATIENCE = 1.0
WRITE_PATIENCE = 5.0
"""Seconds to wait for a lock that somebody else holds."""

KEPT = 86400.0
"""Seconds for which a revocation stays in the file after its end: for clocks that are wrong, and for questions."""

MAX_TEXT = 8 * 1024
_TEXT = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_TEXT}}}\Z")
_MAX_INTEGER = 2**63 - 1

UPSERT = """
insert into revocations (kind, provider, value, reason, created, expires, by) values (?, ?, ?, ?, ?, ?, ?)
on conflict (kind, coalesce(provider, ''), value) do update set
  reason = excluded.reason, created = excluded.created, expires = max(expires, excluded.expires), by = excluded.by
returning id, kind, provider, value, reason, created, expires, by
"""
REMOVE = """
delete from revocations where id = ? returning id, kind, provider, value, reason, created, expires, by
"""
SELECT = "select id, kind, provider, value, reason, created, expires, by from revocations"
CAUSES = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "another program keeps it locked",
    "SQLITE_LOCKED": "another program keeps it locked",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_PERM": "permission is denied",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_NOTADB": "it is not a SQLite database",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_IOERR": "reading or writing the disk failed",
}


class IdentityStore:
    """state.db in the folder `state`; safe to use from several processes at once."""

    def __init__(self, state: Path) -> None:
        self.path = state / "state.db"
        self._latest: tuple[object, Revocations] | None = None

    def prepare(self) -> None:
        """Make the file and its tables, if they are missing."""
        with self._plainly("made"):
            create(self.path)
        with self._writing():
            pass

    def revoke(
        self,
        kind: Kind,
        value: str,
        *,
        provider: str | None = None,
        reason: str = "",
        by: str,
        now: float,
        lasts: float,
    ) -> Revocation:
        """Revoke for `lasts` seconds from `now` on; what is revoked already stays so for the longer of both."""
        _check(kind, (value,) if provider is None else (value, provider), (reason, by), lasts)
        with self._writing() as connection:
            connection.execute("delete from revocations where expires <= ?", [now - KEPT])
            row = connection.execute(UPSERT, [kind, provider, value, reason, now, now + lasts, by]).fetchone()
            (count,) = connection.execute("select count(*) from revocations").fetchone()
            if count > MOST:
                raise HeadgateError(f"there are {MOST:,} revocations: lift some, or wait until some have ended")
        return Revocation(**row)

    def lift(self, number: int) -> Revocation:
        """End a revocation now; it is returned as it was."""
        with self._writing() as connection:
            row = connection.execute(REMOVE, [number if 0 < number <= _MAX_INTEGER else 0]).fetchone()
        if row is None:
            raise HeadgateError(f"there is no revocation {number}; `headgate sessions list` shows what there is")
        return Revocation(**row)

    def revocations(self, now: float) -> list[Revocation]:
        """What is revoked at `now`, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(f"{SELECT} where expires > ? order by id", [now])
            return [Revocation(**row) for row in rows]

    def version(self) -> int:
        """A number that changes with every change of the revocations."""
        with self._reading() as connection:
            return _version(connection)

    def latest(self) -> Revocations:
        """All revocations, read only when they have changed; for one thread at a time."""
        file = _identity(self.path)  # before it is opened: one that is put there meanwhile is read next time
        with self._reading() as connection:
            key = (file, _version(connection))
            if self._latest is None or self._latest[0] != key:
                self._latest = (key, _all(connection, self.path))
        return self._latest[1]

    def accepted_release(self) -> tuple[int, str] | None:
        """Revision and digest of the release list that was last accepted."""
        with self._reading() as connection:
            row = connection.execute("select revision, digest from accepted_releases").fetchone()
        return (row["revision"], row["digest"]) if row else None

    def accept_release(self, revision: int, digest: str, now: float) -> None:
        """Take note of an accepted list; HeadgateError for a lower revision, or another list of the same one."""
        if not 0 <= revision <= _MAX_INTEGER:
            raise HeadgateError(f"`{str(revision)[:40]}` is no revision of a release list")
        with self._writing() as connection:
            row = connection.execute("select revision, digest from accepted_releases").fetchone()
            if row and revision < row["revision"]:
                raise HeadgateError(
                    f"release list {revision} is older than {row['revision']}, which was accepted before"
                )
            if row and revision == row["revision"] and digest != row["digest"]:
                raise HeadgateError(f"another release list of revision {revision} was accepted before")
            if not row or revision > row["revision"]:
                accepted = [revision, digest, now]
                connection.execute("insert or replace into accepted_releases values (1, ?, ?, ?)", accepted)

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._plainly("read"), self._opened("ro", READ_PATIENCE) as connection:
            if tables.unapplied(connection, self.path):
                raise HeadgateError(f"`{self.path}` is from an older Headgate: start the proxy once to bring it up")
            yield connection

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One transaction; whoever waits for the lock sees what the other has written."""
        with self._plainly("written"), self._opened("rw", WRITE_PATIENCE) as connection:
            tables.prepare(connection, self.path)
            with immediate(connection):
                yield connection

    def _opened(self, mode: str, patience: float) -> AbstractContextManager[sqlite3.Connection]:
        if not self.path.is_file():
            raise HeadgateError(f"there is no state at `{self.path}`: name the state folder of a proxy that ran")
        return tables.opened(self.path, mode=mode, busy_timeout=patience)

    @contextmanager
    def _plainly(self, done: str) -> Generator[None]:
        """Say what fails in words that quote nothing; the text of an exception may hold what was being written."""
        try:
            yield
        except sqlite3.Error as error:
            name = str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))  # may be extended: SQLITE_IOERR_WRITE
            cause = CAUSES.get("_".join(name.split("_")[:2]), f"SQLite reports {name}")
            raise HeadgateError(f"the state `{self.path}` cannot be {done}: {cause}") from None
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            raise HeadgateError(f"the state `{self.path}` cannot be {done}: {cause}") from None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("select version from revocation_changes").fetchone()
    if row is None:
        raise HeadgateError("the state holds no version of its revocations: it was tampered with")
    return int(row["version"])


def _all(connection: sqlite3.Connection, path: Path) -> Revocations:
    rows = connection.execute(f"{SELECT} limit ?", [MOST + 1]).fetchall()
    if len(rows) > MOST:
        raise HeadgateError(f"the state `{path}` holds more than {MOST:,} revocations")
    return Revocations.of(Revocation(**row) for row in rows)


def _check(kind: str, names: tuple[str, ...], notes: tuple[str, ...], lasts: float) -> None:
    if kind not in KINDS:
        raise HeadgateError(f"`{kind[:40]}` cannot be revoked; accepted: {', '.join(KINDS)}")
    if not all(_TEXT.match(text) for text in names) or not all(text == "" or _TEXT.match(text) for text in notes):
        raise HeadgateError(
            f"that is not plain text; accepted: 1 to {MAX_TEXT:,} characters without control characters"
        )
    if not 0 < lasts <= LONGEST:
        raise HeadgateError("a revocation needs an end; accepted: within 30 days")
