"""The bundles that were ever in force, whole, and the history of what was activated or refused (state.db).

Every method opens the file for itself, so that one that was moved away or replaced is noticed, and raises HeadgateError
in plain words. Only `prepare` makes the file: what is activated in a new file beside the one that a proxy reads would
look activated and not be.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.bundle.files import SIGNATURE
from headgate.bundle.load import Bundle
from headgate.bundle.schema import MIGRATIONS
from headgate.bundle.versions import Activation, How
from headgate.errors import HeadgateError
from headgate.model import BundleRef
from headgate.schema import StateFile

MAX_NOTE = 2000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

SELECT = "select id, how, sha256, name, version, time, by, note, previous from activations"
ACTIVE = f"{SELECT} where how <> 'refused' order by id desc limit 1"
INSERT = """
insert into activations (how, sha256, name, version, time, by, note, previous) values (?, ?, ?, ?, ?, ?, ?, ?)
"""
SAID = """
select 1 from activations where how = 'refused' and sha256 is ? and note = ?
  and id > coalesce((select max(id) from activations where how <> 'refused'), 0)
"""
FILES = """
select name, digest, data from bundle_files join bundle_blobs using (digest) where sha256 = ? order by name
"""
UPSERT = """
insert into bundles (sha256, name, version, digest, stored, by) values (?, ?, ?, ?, ?, ?)
on conflict (sha256) do update set digest = excluded.digest
"""
BLOB = """
insert into bundle_blobs values (?, ?) on conflict (digest) do update set data = excluded.data
where data <> excluded.data
"""
FILE = "insert or replace into bundle_files values (?, ?, ?)"


class SupersededError(HeadgateError):
    """Another process has changed what is active since it was looked at."""


@dataclass(frozen=True, slots=True)
class Stored(BundleRef):
    """A bundle that is kept whole; `time` is when it first was, in seconds since the epoch."""

    time: float
    by: str


class BundleStore:
    """state.db in the folder `state`; safe to use from several processes at once."""

    def __init__(self, state: Path) -> None:
        self.state, self.path = state, state / "state.db"
        self._file = StateFile(self.path, MIGRATIONS)

    def exists(self) -> bool:
        return self.path.is_file()

    def prepare(self) -> None:
        """Make the file and its tables, if they are missing."""
        self._file.prepare()

    def history(self) -> list[Activation]:
        """All activations and refusals, the oldest first."""
        with self._file.reading() as connection:
            return [_activation(row) for row in connection.execute(f"{SELECT} order by id")]

    def active(self) -> Activation | None:
        """The activation in force; quick, to be asked several times a second."""
        with self._file.reading() as connection:
            row = connection.execute(ACTIVE).fetchone()
            return _activation(row) if row else None

    def stored(self) -> list[Stored]:
        """Every bundle that is kept, the oldest first."""
        with self._file.reading() as connection:
            found = connection.execute("select name, version, sha256, stored as time, by from bundles order by stored")
            return [Stored(**row) for row in found]

    def contents(self, sha256: str) -> dict[str, bytes]:
        """The files of a bundle by name; HeadgateError for one that is not there, or not as it was stored."""
        with self._file.reading() as connection:
            kept = connection.execute("select 1 from bundles where sha256 = ?", [sha256]).fetchone()
            contents = _intact(connection, sha256)
        if kept is None:
            raise HeadgateError(f"rules {sha256[:8]} are not in the state `{self.path}`")
        if contents is None:
            raise HeadgateError(f"rules {sha256[:8]} in the state `{self.path}` are not as they were stored")
        return contents

    def activate(
        self, bundle: Bundle, how: How, *, by: str, now: float, after: Activation | None, note: str = ""
    ) -> Activation:
        """Keep `bundle` and record it as active; SupersededError unless `after` is still what is active."""
        with self._file.writing() as connection:
            row = connection.execute(ACTIVE).fetchone()
            if (row["id"] if row else None) != (after.id if after else None):
                raise SupersededError("another process has just activated other rules; look again")
            _keep(connection, bundle, by, now)
            previous = row["sha256"] if row else None
            return _insert(connection, how, bundle, now, by, note, previous)

    def keep(self, bundle: Bundle, *, by: str, now: float) -> bool:
        """Keep what is new of a bundle that is active already: its signature, and what was damaged; whether any was."""
        with self._file.reading() as connection:
            if not _is_new(bundle, _intact(connection, bundle.sha256)):
                return False
        with self._file.writing() as connection:
            _keep(connection, bundle, by, now)
        return True

    def refuse(self, refused: BundleRef | None, why: str, *, by: str, now: float, previous: str | None) -> None:
        """Record a refusal, unless the same has been said since something was last activated."""
        note, sha256 = _cut(why), refused.sha256 if refused else None
        with self._file.writing() as connection:
            if connection.execute(SAID, [sha256, note]).fetchone() is None:
                _insert(connection, How.REFUSED, refused, now, by, note, previous)


def _activation(row: sqlite3.Row) -> Activation:
    fields: dict[str, Any] = dict(row)
    try:
        fields["how"] = How(fields["how"])
        return Activation(**fields)
    except ValueError:
        raise HeadgateError("the history of activations cannot be read: it was tampered with") from None


def _insert(
    connection: sqlite3.Connection,
    how: How,
    bundle: BundleRef | None,
    now: float,
    by: str,
    note: str,
    previous: str | None,
) -> Activation:
    sha256, name, version = (bundle.sha256, bundle.name, bundle.version) if bundle else (None, None, None)
    done = connection.execute(INSERT, [how, sha256, name, version, now, by, note, previous])
    return Activation(done.lastrowid or 0, how, sha256, name, version, now, by, note, previous)


def _intact(connection: sqlite3.Connection, sha256: str) -> dict[str, bytes] | None:
    """The files of a stored bundle; None unless all are there, and as they were stored."""
    kept = connection.execute("select digest from bundles where sha256 = ?", [sha256]).fetchone()
    rows = connection.execute(FILES, [sha256]).fetchall()
    contents = {str(row["name"]): bytes(row["data"]) for row in rows}
    whole = kept is not None and kept["digest"] == _digest(contents)
    return contents if whole and all(row["digest"] == _hash(row["data"]) for row in rows) else None


def _is_new(bundle: Bundle, kept: Mapping[str, bytes] | None) -> bool:
    signature = bundle.contents.get(SIGNATURE)
    return kept is None or (signature is not None and kept.get(SIGNATURE) != signature)


def _keep(connection: sqlite3.Connection, bundle: Bundle, by: str, now: float) -> None:
    """Store what is not there yet. Of a known bundle only the signature may be new: its layout is that of the first."""
    kept = _intact(connection, bundle.sha256)
    if not _is_new(bundle, kept):
        return
    row = [bundle.sha256, bundle.name, bundle.version, _digest(bundle.contents), now, by]
    if kept is None:
        connection.execute(UPSERT, row)
        connection.execute("delete from bundle_files where sha256 = ?", [bundle.sha256])
    for name, data in bundle.contents.items():
        if kept is None or name == SIGNATURE:
            connection.execute(BLOB, [_hash(data), data])
            connection.execute(FILE, [bundle.sha256, name, _hash(data)])


def _digest(contents: Mapping[str, bytes]) -> str:
    listed = [[name, _hash(data)] for name, data in sorted(contents.items()) if name != SIGNATURE]
    return _hash(json.dumps(listed).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _cut(why: str) -> str:
    """At most so much of a report, without what a terminal could take for a command; its lines stay lines."""
    plain = _CONTROL.sub("\ufffd", why)
    return plain if len(plain) <= MAX_NOTE else f"{plain[: MAX_NOTE - 1]}\u2026"
