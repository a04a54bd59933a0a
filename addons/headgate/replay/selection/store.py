"""Entries of a capture that fulfil demands, read in pages and in order of time.

Which callers and hosts a regex means is asked of the few distinct names, which an index gives without a look at the
flows. Where they are few, the flows of each are walked by that index and merged; else all decisions are. Everything
else that is demanded is a condition of the same query. So the flows of one caller among a million are quickly found.
"""

import heapq
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from headgate.capture.entries import Entry
from headgate.capture.store import PAGE, Store, entries_where
from headgate.model import ulid
from headgate.replay.selection.demands import Demands, Matches

FEW = 64
"""Names that are walked one by one."""

DISTINCT = """
with recursive names(name) as (
  select min({column}) from flows
  union all
  select (select min({column}) from flows where {column} > name) from names where name is not null
)
select name from names where name is not null
"""
WALK = "from decisions d cross join flows f on f.id = d.flow"
INDEXED = "from flows f cross join decisions d on d.flow = f.id"
RULE = "instr(d.rules, ?)"
MASK = "exists (select 1 from masks m where m.decision = d.id and (upper(m.entity) = ? or {}(m.location)))"
REFUSED = "(d.refusal is not null or d.effect <> 'allow')"

Function = tuple[str, Matches]
Place = tuple[float, str]
"""Where a walk stands: the time of a flow, and its decision."""


class Clause(NamedTuple):
    sql: str
    values: tuple[object, ...] = ()


def select_entries(
    store: Store,
    demands: Demands,
    *,
    since: float | None = None,
    until: float | None = None,
    bodies: bool = True,
    newest_first: bool = False,
) -> Iterator[Entry]:
    """What may be wanted: all that fulfils `demands`, and perhaps a little more."""
    return Selection(store.path.parent, store.path.name).entries(demands, since, until, bodies, newest_first)


class Selection(Store):
    """A capture, asked for what is demanded."""

    def entries(
        self, demands: Demands, since: float | None, until: float | None, bodies: bool, newest_first: bool
    ) -> Iterator[Entry]:
        functions, clauses = _conditions(demands, since, until)
        for column, wanted in (("principal", demands.principals), ("host", demands.hosts)):
            names = self._names(column, wanted) if wanted else None
            if names is not None and len(names) <= FEW:
                walks = [
                    self._walk(Clause(f"f.{column} = ?", (name,)), clauses, functions, bodies, newest_first)
                    for name in names
                ]
                found = heapq.merge(*walks, key=lambda pair: pair[0], reverse=newest_first)
                return (entry for _, entry in found)
        return (entry for _, entry in self._walk(None, clauses, functions, bodies, newest_first))

    def session(self, session: str, provider: str | None = None) -> Iterator[Entry]:
        """The requests of one session, the oldest first, without their bodies."""
        sql = "select key, id from principals where session_id = ? and (? is null or provider = ?)"
        with self._reading() as connection:
            found = [tuple(row) for row in connection.execute(sql, [session, provider, provider])]
        walks = [
            self._walk(Clause("f.principal = ?", (name,)), [Clause("f.principal_key = ?", (key,))], [], False, False)
            for key, name in found
        ]
        return (entry for _, entry in heapq.merge(*walks, key=lambda pair: pair[0]))

    def providers(self, session: str) -> list[str]:
        """Whose sessions have this id."""
        sql = "select distinct provider from principals where session_id = ? order by provider"
        with self._reading() as connection:
            return [str(row[0]) for row in connection.execute(sql, [session])]

    def _names(self, column: str, wanted: tuple[Matches, ...]) -> list[str]:
        with self._reading() as connection:
            rows = connection.execute(DISTINCT.format(column=column))
            return [name for (name,) in rows if isinstance(name, str) and all(matches(name) for matches in wanted)]

    def _walk(
        self,
        driver: Clause | None,
        clauses: list[Clause],
        functions: list[Function],
        bodies: bool,
        newest_first: bool,
    ) -> Iterator[tuple[Place, Entry]]:
        last: Place | None = None
        while page := self._page_after(last, driver, clauses, functions, bodies, newest_first):
            yield from page
            last = page[-1][0]

    def _page_after(
        self,
        last: Place | None,
        driver: Clause | None,
        clauses: list[Clause],
        functions: list[Function],
        bodies: bool,
        newest_first: bool,
    ) -> list[tuple[Place, Entry]]:
        sql, values = _query(driver, clauses, last, newest_first)
        with self._reading() as connection:
            for name, matches in functions:
                connection.create_function(name, 1, _guarded(matches), deterministic=True)
            places = [(float(row["ts_start"]), str(row["id"])) for row in connection.execute(sql, [*values, PAGE])]
            marks = ", ".join("?" * len(places))
            read = entries_where(connection, f"d.id in ({marks})", [name for _, name in places], bodies=bodies)
            found = {entry.summary.decision_id: entry for entry in read}
            return [(place, found[place[1]]) for place in places if place[1] in found]


def _query(
    driver: Clause | None, clauses: list[Clause], last: Place | None, newest_first: bool
) -> tuple[str, list[object]]:
    """A page of places, whose last value is its length; by time where an index by time is walked, else by id."""
    further, order = ("<", "desc") if newest_first else (">", "asc")
    every = [driver, *clauses] if driver else list(clauses)
    if last is not None and driver:
        every.append(Clause(f"f.ts_start {further}= ?", (last[0],)))
        every.append(Clause(f"(f.ts_start, d.id) {further} (?, ?)", last))
    elif last is not None:
        every.append(Clause(f"d.id {further} ?", (last[1],)))
    where = f"where {' and '.join(clause.sql for clause in every)}" if every else ""
    by = f"f.ts_start {order}, d.id {order}" if driver else f"d.id {order}"
    sql = f"select d.id, f.ts_start {INDEXED if driver else WALK} {where} order by {by} limit ?"
    return sql, [value for clause in every for value in clause.values]


def _conditions(demands: Demands, since: float | None, until: float | None) -> tuple[list[Function], list[Clause]]:
    functions: list[Function] = []

    def function(matches: Matches) -> str:
        functions.append((f"headgate_{len(functions)}", matches))
        return functions[-1][0]

    clauses = [Clause("d.effect = ?", (effect,)) for effect in demands.effects]
    clauses += [Clause(REFUSED)] if demands.refused else []
    clauses += [Clause("d.id >= ?", (_first(since),))] if since is not None else []
    clauses += [Clause("d.id < ?", (_first(until),))] if until is not None else []
    clauses += [Clause(RULE, (rule,)) for rule in demands.rules]
    clauses += [Clause("f.status = ?", (status,)) for status in demands.statuses]
    for column, wanted in (("host", demands.hosts), ("principal", demands.principals), ("method", demands.methods)):
        clauses += [Clause(f"{function(matches)}(f.{column})") for matches in wanted]
    clauses += [Clause(MASK.format(function(matches)), (entity.upper(),)) for entity, matches in demands.masks]
    return functions, clauses


def _guarded(matches: Matches) -> Callable[[object], bool]:
    """As SQLite may call it, for each row; few values are new."""
    return lru_cache(maxsize=4096)(lambda value: isinstance(value, str) and matches(value))


def _first(at: float) -> str:
    """The smallest decision id of that time."""
    return ulid(max(0, int(at * 1000)), 0)
