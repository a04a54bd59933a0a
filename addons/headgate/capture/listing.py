"""The query for a filter, made so that it takes as long for a million flows as for ten: along an index, unsorted.

A condition on a reason is about one of two columns, each with an index of its own, and hosts with `*` are several: each
of them is a query, and SQLite merges them by the order they all have. Of several conditions SQLite cannot tell which is
rare. `probes` ask for that: by one that few flows fulfil these are found and then sorted; without such a one they are
looked at from the newest on, and there will soon be enough of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from headgate.capture.entries import Filter
from headgate.capture.reading import FLOWS, SUMMARY
from headgate.model import ulid

Condition = tuple[str, list[object]]
"""SQL and the values for its question marks."""

REFUSED = "(d.refusal is not null or (d.effect <> 'allow' and d.mode = 'enforce'))"
"""As the index of refusals has it, so that SQLite knows which flows are in it."""

HOSTS = """
with recursive hosts (host) as (
  select min(host) from flows
  union all
  select (select min(host) from flows where host > hosts.host) from hosts where hosts.host is not null
)
select host from hosts where host glob ? limit ?
"""
"""The hosts that a pattern means: it goes from one to the next in the index."""

MOST_HOSTS = 50
"""Hosts that are asked for one by one; a pattern that means more is tried on every flow, the newest first."""

FEW = 5000
"""Flows that are found and sorted in a moment."""

PROBES = {
    "host": "select 1 from flows where host = ?",
    "principal": "select 1 from flows where principal = ?",
    "effect": "select 1 from decisions where effect = ?",
    "reason": "select 1 from decisions where reason = ?",
    "refusal": "select 1 from decisions where refusal_reason = ?",
    "refused": f"select 1 from decisions d where {REFUSED}",  # noqa: S608 - our own condition
}

LEEWAY = 60.0
"""Seconds by which a flow may begin before the time that its decision's id tells."""


NOTHING_COUNTED: Mapping[str, int] = MappingProxyType({})


def probes(wanted: Filter) -> dict[str, Condition]:
    """For each condition by which flows could be found, if there are several, what counts them up to `FEW` and one."""
    given: dict[str, list[object]] = {}
    if wanted.host is not None and "*" not in wanted.host:
        given["host"] = [wanted.host.lower()]
    if wanted.principal is not None:
        given["principal"] = [wanted.principal]
    if wanted.effect is not None:
        given["effect"] = [wanted.effect]
    if wanted.reason is not None:
        given["reason"] = given["refusal"] = [wanted.reason]
    if wanted.refused:
        given["refused"] = []
    alone = len(given) - (wanted.reason is not None) + ("*" in (wanted.host or "")) < 2
    return {
        name: (f"select count(*) from ({PROBES[name]} limit {FEW + 1})", values)  # noqa: S608 - our own names
        for name, values in ({} if alone else given).items()
    }


def listing(
    wanted: Filter, hosts: Sequence[str] | None = None, counts: Mapping[str, int] = NOTHING_COUNTED
) -> tuple[str, list[object]]:
    """The query for `wanted`, whose last value is the limit. `hosts` are those that its pattern means, if it has one
    (None: too many), `counts` what the probes have found."""
    order = "decision_id" if wanted.principal is None and wanted.host is None else "time"
    queries = [_query(part) for part in _parts(wanted, hosts, counts)]
    sql = " union all ".join(sql for sql, _ in queries)
    return f"{sql} order by {order} desc limit ?", [value for _, values in queries for value in values]


Ask = Callable[[str, list[object]], Sequence[Any]]
"""What a capture answers: the rows of a query, each of which can be asked by number."""


def listed(wanted: Filter, limit: int, ask: Ask) -> Sequence[Any]:
    """The newest flows that are wanted, at most `limit`, as rows of `SUMMARY`."""
    hosts: list[str] | None = None
    if "*" in (wanted.host or ""):
        found = [str(row[0]) for row in ask(HOSTS, [pattern(wanted.host or ""), MOST_HOSTS + 1])]
        hosts = found if len(found) <= MOST_HOSTS else None
    counts = {name: int(ask(*probe)[0][0]) for name, probe in probes(wanted).items()}
    sql, values = listing(wanted, hosts, counts)
    return ask(sql, [*values, limit])


def pattern(host: str) -> str:
    """A host as SQLite's GLOB takes it: only `*` is special."""
    return host.lower().replace("[", "[[]").replace("?", "[?]")


def conditions(wanted: Filter) -> list[Condition]:
    """All of `wanted`, whatever index there is: for a query that finds flows in another way."""
    if wanted.reason is None:
        return [*_of_host(wanted, "+"), *_others(wanted, "search")]
    reason: Condition = ("(d.reason = ? or d.refusal_reason = ?)", [wanted.reason, wanted.reason])
    return [*_of_host(wanted, "+"), reason, *_others(wanted, "search")]


def _parts(wanted: Filter, hosts: Sequence[str] | None, counts: Mapping[str, int]) -> list[list[Condition]]:
    """The queries that together find what is wanted, each flow once."""
    parts: list[list[Condition]] = []
    for reason in ("reason", "refusal") if wanted.reason is not None else (None,):
        rare = _rare(counts, reason)
        others = [*_of_reason(wanted, reason, rare), *_others(wanted, rare)]
        if hosts is not None and rare is None:
            parts += [[("f.host = ?", [host]), *others] for host in hosts]
        else:
            parts.append([*_of_host(wanted, _sign("host", wanted, rare)), *others])
    return parts or [[("0", [])]]


def _rare(counts: Mapping[str, int], reason: str | None) -> str | None:
    """The condition that the fewest flows fulfil, if they are few; of the two on a reason, the one at hand counts."""
    found = {
        name: count for name, count in counts.items() if name in (reason, "host", "principal", "effect", "refused")
    }
    fewest = min(found, key=found.__getitem__, default=None)
    return fewest if fewest and found[fewest] <= FEW else None


def _sign(name: str, wanted: Filter, rare: str | None) -> str:
    """A `+` keeps SQLite from the index of a condition, by which it would find most flows, and sort them."""
    if rare is not None:
        return "" if name == rare else "+"
    by_time = wanted.principal is not None or wanted.host is not None
    return "+" if by_time and name not in ("principal", "host") else ""


def _of_reason(wanted: Filter, which: str | None, rare: str | None) -> list[Condition]:
    if which is None:
        return []
    sign = _sign(which, wanted, rare)
    if which == "reason":
        return [(f"{sign}d.reason = ?", [wanted.reason])]
    return [(f"{sign}d.refusal_reason = ? and d.reason is not ?", [wanted.reason, wanted.reason])]


def _of_host(wanted: Filter, sign: str) -> list[Condition]:
    if wanted.host is None:
        return []
    if "*" in wanted.host:
        return [("f.host glob ?", [pattern(wanted.host)])]
    return [(f"{sign}f.host = ?", [wanted.host.lower()])]


def _others(wanted: Filter, rare: str | None) -> list[Condition]:
    chosen: list[Condition] = []
    if wanted.principal is not None:
        chosen.append((f"{_sign('principal', wanted, rare)}f.principal = ?", [wanted.principal]))
    if wanted.effect is not None:
        chosen.append((f"{_sign('effect', wanted, rare)}d.effect = ?", [wanted.effect]))
    if wanted.refused:
        chosen.append((f"{_sign('refused', wanted, rare)}{REFUSED}", []))
    if wanted.since is not None:
        chosen.append((f"{'+' if rare else ''}d.id >= ?", [ulid(max(0, int(wanted.since * 1000)), 0)]))
        if wanted.principal is not None or wanted.host is not None:  # where an index is by this time
            chosen.append((f"{'+' if rare else ''}f.ts_start >= ?", [wanted.since - LEEWAY]))
    return chosen


def _query(chosen: Iterable[Condition]) -> Condition:
    chosen = list(chosen)
    where = f" where {' and '.join(condition for condition, _ in chosen)}" if chosen else ""
    sql = f"select {SUMMARY} from {FLOWS}{where}"  # noqa: S608 - our own conditions, question marks
    return sql, [value for _, values in chosen for value in values]
