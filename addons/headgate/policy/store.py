"""Which signals are set, and who set and cleared them, across restarts and processes (state.db).

Only `prepare` makes the file: a signal that is set in a new file beside the one that a proxy reads would look set and
not be. Every change is recorded together with what it changes, and no record is ever changed.
"""

import re
import sqlite3
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.match.signals import signal_name
from headgate.policy.schema import MIGRATIONS
from headgate.policy.signals import LONGEST, MOST, Change, Signal, Signals
from headgate.schema import StateFile

KEPT = 86400.0
"""Seconds for which a signal stays in the file after its end: for clocks that are wrong."""

MAX_NOTE = 500
_NOTE = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{0,{MAX_NOTE}}}\Z")

SELECT = "select name, since, until, reason, by from signals"
SET = """
insert into signals (name, since, until, reason, by) values (?, ?, ?, ?, ?)
on conflict (name) do update set
  since = excluded.since, until = excluded.until, reason = excluded.reason, by = excluded.by
"""
CLEAR = "delete from signals where name = ? and until > ? returning name, since, until, reason, by"
RECORD = "insert into signal_changes (time, what, name, until, reason, by) values (?, ?, ?, ?, ?, ?)"


class SignalStore:
    """state.db in the folder `state`; safe to use from several processes at once. Raises HeadgateError."""

    def __init__(self, state: Path) -> None:
        self._file = StateFile(state / "state.db", MIGRATIONS)
        self._latest: tuple[object, Signals] | None = None

    def prepare(self) -> None:
        """Make the file and its tables, if they are missing."""
        self._file.prepare()

    def set(self, name: str, *, lasts: float, reason: str = "", by: str, now: float) -> Signal:
        """Set a signal for `lasts` seconds from `now` on, whether or not it was set for longer."""
        _check(name, reason, by)
        if not 0 < lasts <= LONGEST:
            raise HeadgateError(f"a signal needs an end; accepted: within {LONGEST / 86400:g} days")
        signal = Signal(name, now, now + lasts, reason, by)
        with self._file.writing() as connection:
            connection.execute("delete from signals where until <= ?", [now - KEPT])
            connection.execute(SET, [name, now, signal.until, reason, by])
            (count,) = connection.execute("select count(*) from signals").fetchone()
            if count > MOST:
                raise HeadgateError(f"there are {MOST:,} signals: clear some, or wait until some have ended")
            connection.execute(RECORD, [now, "set", name, signal.until, reason, by])
        return signal

    def clear(self, name: str, *, reason: str = "", by: str, now: float) -> Signal:
        """End a signal now; it is returned as it was."""
        _check(name, reason, by)
        with self._file.writing() as connection:
            row = connection.execute(CLEAR, [name, now]).fetchone()
            if row is None:
                raise HeadgateError(f"signal `{name}` is not set; `headgate signal list` shows what is")
            connection.execute(RECORD, [now, "clear", name, None, reason, by])
        return Signal(**row)

    def signals(self, now: float) -> list[Signal]:
        """What is set at `now`, by name."""
        with self._file.reading() as connection:
            rows = connection.execute(f"{SELECT} where until > ? order by name", [now])
            return [Signal(**row) for row in rows]

    def changes(self) -> list[Change]:
        """Everything that was ever set or cleared, the oldest first."""
        with self._file.reading() as connection:
            rows = connection.execute("select id, time, what, name, until, reason, by from signal_changes order by id")
            return [Change(**row) for row in rows]

    def latest(self) -> Signals:
        """All signals, read only when they have changed; for one thread at a time."""
        file = self._file.identity()  # before it is opened: one that is put there meanwhile is read next time
        with self._file.reading() as connection:
            key = (file, _version(connection))
            if self._latest is None or self._latest[0] != key:
                self._latest = (key, self._all(connection))
        return self._latest[1]

    def _all(self, connection: sqlite3.Connection) -> Signals:
        rows = connection.execute(f"{SELECT} limit ?", [MOST + 1]).fetchall()
        if len(rows) > MOST:
            raise HeadgateError(f"the state `{self._file.path}` holds more than {MOST:,} signals")
        return Signals.of(Signal(**row) for row in rows)


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("select version from signal_version").fetchone()
    if row is None:
        raise HeadgateError("the state holds no version of its signals: it was tampered with")
    return int(row["version"])


def _check(name: str, reason: str, by: str) -> None:
    try:
        signal_name(name)
    except ValueError as error:
        raise HeadgateError(str(error)) from None
    if not _NOTE.match(reason) or not by or not _NOTE.match(by):
        raise HeadgateError(f"that is not plain text; accepted: one line of up to {MAX_NOTE} characters")
