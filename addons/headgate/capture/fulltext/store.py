"""Asking the index of a capture: the flows in which words are, the newest first, as far as they pass a filter."""

from pathlib import Path

from headgate.capture.entries import Filter, Summary
from headgate.capture.listing import conditions
from headgate.capture.reading import SUMMARY
from headgate.capture.search import expression
from headgate.capture.upkeep.schema import INDEX, has_index, reading
from headgate.errors import HeadgateError

FOUND = f"""
select {SUMMARY}
from {INDEX} s cross join flows f on f.id = s.rowid cross join decisions d on d.flow = f.id
  left join principals p on p.key = f.principal_key
where s.{INDEX} match ?
"""  # noqa: S608 - our own names


def search(path: Path, text: str, wanted: Filter, limit: int) -> list[Summary]:
    """The last recorded first, at most `limit`; HeadgateError where there is no index, or nothing to search for."""
    sql, values = searching(text, wanted)
    with reading(path) as connection:
        if not has_index(connection):
            raise HeadgateError(f"`{path}` has no index yet: `headgate flows index` makes it")
        return [Summary(**row) for row in connection.execute(sql, [*values, limit])]


def searching(text: str, wanted: Filter) -> tuple[str, list[object]]:
    """The query, whose last value is the limit."""
    chosen = conditions(wanted)
    rest = "".join(f" and {condition}" for condition, _ in chosen)
    values = [value for _, values in chosen for value in values]
    return f"{FOUND}{rest} order by s.rowid desc limit ?", [expression(text), *values]
