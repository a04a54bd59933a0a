"""Where the pages of a capture begin, so that each can be read by whoever has time."""

from headgate.capture.store import PAGE, Store
from headgate.model import ulid

EVERY = """
select id from (select id, row_number() over (order by id) as n from decisions where id >= ? and id < ?) where n % ? = 0
"""
LAST = "~"
"""Comes after every decision id."""


class Pages(Store):
    """A capture, of which pages are named by the decisions they come after."""

    def beginnings(self, since: float | None = None, until: float | None = None, size: int = PAGE) -> list[str]:
        """What `page` is asked for, one after the other, to read everything as it is now."""
        first = "" if since is None else _at(since)
        with self._reading() as connection:
            found = connection.execute(EVERY, [first, LAST if until is None else _at(until), size])
            return [first, *(str(row[0]) for row in found)]


def _at(time: float) -> str:
    return ulid(max(0, int(time * 1000)), 0)
