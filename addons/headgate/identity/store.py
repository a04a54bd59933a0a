"""What identity remembers across restarts: what has been revoked, and which release list was last accepted (state.db).

Every method opens the file for itself, so that one that was moved away or replaced is noticed, and raises HeadgateError
in plain words. Only `prepare` makes the file: a revocation that lands in a new file beside the one that a proxy reads
would look like one and be none.
"""

import re
import sqlite3
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.identity.revocations import KINDS, LONGEST, MOST, Kind, Revocation, Revocations
from headgate.identity.schema import MIGRATIONS
from headgate.schema import StateFile

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


class IdentityStore:
    """state.db in the folder `state`; safe to use from several processes at once."""

    def __init__(self, state: Path) -> None:
        self.path = state / "state.db"
        self._file = StateFile(self.path, MIGRATIONS)
        self._latest: tuple[object, Revocations] | None = None

    def prepare(self) -> None:
        """Make the file and its tables, if they are missing."""
        self._file.prepare()

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
        with self._file.writing() as connection:
            connection.execute("delete from revocations where expires <= ?", [now - KEPT])
            row = connection.execute(UPSERT, [kind, provider, value, reason, now, now + lasts, by]).fetchone()
            (count,) = connection.execute("select count(*) from revocations").fetchone()
            if count > MOST:
                raise HeadgateError(f"there are {MOST:,} revocations: lift some, or wait until some have ended")
        return Revocation(**row)

    def lift(self, number: int) -> Revocation:
        """End a revocation now; it is returned as it was."""
        with self._file.writing() as connection:
            row = connection.execute(REMOVE, [number if 0 < number <= _MAX_INTEGER else 0]).fetchone()
        if row is None:
            raise HeadgateError(f"there is no revocation {number}; `headgate sessions list` shows what there is")
        return Revocation(**row)

    def revocations(self, now: float) -> list[Revocation]:
        """What is revoked at `now`, the oldest first."""
        with self._file.reading() as connection:
            rows = connection.execute(f"{SELECT} where expires > ? order by id", [now])
            return [Revocation(**row) for row in rows]

    def version(self) -> int:
        """A number that changes with every change of the revocations."""
        with self._file.reading() as connection:
            return _version(connection)

    def latest(self) -> Revocations:
        """All revocations, read only when they have changed; for one thread at a time."""
        file = self._file.identity()  # before it is opened: one that is put there meanwhile is read next time
        with self._file.reading() as connection:
            key = (file, _version(connection))
            if self._latest is None or self._latest[0] != key:
                self._latest = (key, _all(connection, self.path))
        return self._latest[1]

    def accepted_release(self) -> tuple[int, str] | None:
        """Revision and digest of the release list that was last accepted."""
        with self._file.reading() as connection:
            row = connection.execute("select revision, digest from accepted_releases").fetchone()
        return (row["revision"], row["digest"]) if row else None

    def accept_release(self, revision: int, digest: str, now: float) -> None:
        """Take note of an accepted list; HeadgateError for a lower revision, or another list of the same one."""
        if not 0 <= revision <= _MAX_INTEGER:
            raise HeadgateError(f"`{str(revision)[:40]}` is no revision of a release list")
        with self._file.writing() as connection:
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
