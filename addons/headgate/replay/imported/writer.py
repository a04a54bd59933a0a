"""Imported flows written into a capture, also while a proxy writes it; the same flow comes in once.

A flow whose id is there already, imported before or recorded by this very proxy, is left as it is. Each group is one
transaction that waits for its turn, so that what a failure leaves is whole flows, and the next attempt goes on there.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from headgate.capture.faults import cause
from headgate.capture.key import load_key
from headgate.capture.record import IMPORTED
from headgate.capture.rows import rows_of, spoken_rows_of
from headgate.capture.schema import connect
from headgate.capture.tables import Rows, SpokenRows, inserts
from headgate.errors import HeadgateError
from headgate.replay.imported.scrubbing import Import
from headgate.schema import create, immediate

PATIENCE = 10.0
GROUP = 100


class Written(NamedTuple):
    new: int = 0
    known: int = 0


class ImportWriter:
    """Writes to the capture in `state`, which is made if there is none."""

    def __init__(self, state: Path, randomness: Callable[[int], bytes]) -> None:
        self._path = state / "capture.db"
        try:
            self._key = load_key(state, randomness)
            create(self._path)
            self._connection = connect(self._path, PATIENCE)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from None

    def __enter__(self) -> "ImportWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def known(self, ids: Iterable[str]) -> set[str]:
        """Which of these flows are there already."""
        wanted = list(ids)
        sql = f"select distinct flow_id from flows where flow_id in ({', '.join('?' * len(wanted))})"  # noqa: S608 (only question marks)
        try:
            with closing(self._connection.execute(sql, wanted)) as found:
                return {str(name) for (name,) in found}
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def write(self, group: Sequence[Import]) -> Written:
        """Write those that are not there yet, all of them or none."""
        made = [(self._rows(one), [spoken_rows_of(said, self._key) for said in one.spoken]) for one in group]
        try:
            with immediate(self._connection):
                known = self.known(rows.flow.flow_id for rows, _ in made)
                fresh = {rows.flow.flow_id: (rows, said) for rows, said in made if rows.flow.flow_id not in known}
                new = list(fresh.values())
                self._insert([rows for rows, _ in new], [one for _, said in new for one in said])
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from None
        return Written(len(new), len(made) - len(new))

    def _rows(self, one: Import) -> Rows:
        rows = rows_of(one.record, self._key)
        return rows._replace(decision=rows.decision._replace(mode=IMPORTED))

    def _insert(self, rows: list[Rows], spoken: list[SpokenRows]) -> None:
        (first,) = self._connection.execute("select coalesce(max(id), 0) + 1 from flows").fetchone()
        most = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        for statement in inserts(rows, spoken, first, most):
            self._connection.execute(*statement)

    def _failed(self, error: sqlite3.Error | OSError) -> HeadgateError:
        return HeadgateError(f"the capture `{self._path}` cannot be written: {cause(error)}")
