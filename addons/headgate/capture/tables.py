"""The rows of each table, and the statements that insert a group of them.

One named tuple for each table, its fields named as the columns are, but for the row numbers given at the insert. A
table takes one statement for many rows: every statement gives up and regains the interpreter's lock, for which the
event loop competes.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

Statement = tuple[str, list[object]]
"""SQL and the values for its question marks."""


class PrincipalRow(NamedTuple):
    key: str
    id: str
    kind: str
    provider: str
    owner: str | None
    person: str | None
    email: str | None
    groups: str
    environments: str
    audiences: str
    workload: str
    session_id: str | None
    session: str
    claims: str
    expires_at: float | None


class RulesetRow(NamedTuple):
    sha256: str
    name: str
    version: str


class BodyRow(NamedTuple):
    key: str
    size: int
    codec: str
    data: bytes


class FlowRow(NamedTuple):
    """Without `id`, which is given at the insert."""

    flow_id: str
    ts_start: float
    ts_end: float | None
    mode: str
    source: str
    principal: str | None
    principal_key: str | None
    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str | None
    query_names: str
    http_version: str
    status: int | None
    req_headers: str | None
    req_body: str | None
    req_size: int
    req_truncated: int
    resp_headers: str | None
    resp_body: str | None
    resp_size: int | None
    resp_truncated: int
    error: str | None


class DecisionRow(NamedTuple):
    """Without `flow`, which is given at the insert; `refusal` ends the problem's type, or is null for a release."""

    id: str
    ruleset: str | None
    target: str | None
    environment: str | None
    effect: str
    reason: str
    rule: str | None
    rules: str
    refusal: str | None
    refusal_reason: str | None
    masked: int
    stage_us: str
    mode: str
    shadow: str
    shadow_effect: str | None
    errors: str
    limits: str
    violations: str
    nearest: str | None
    trace_id: str | None
    trace_link: str | None


class MaskRow(NamedTuple):
    decision: str
    location: str
    entity: str
    operator: str
    times: int


class Rows(NamedTuple):
    principal: PrincipalRow | None
    ruleset: RulesetRow | None
    bodies: tuple[BodyRow, ...]
    flow: FlowRow
    decision: DecisionRow
    masks: tuple[MaskRow, ...]


def find_decisions(ids: Sequence[str]) -> Statement:
    """Which of these decisions are there already."""
    return f"select id from decisions where id in ({_marks(len(ids))})", list(ids)  # noqa: S608 (only question marks)


def inserts(group: Sequence[Rows], first: int, most: int) -> Iterator[Statement]:
    """Insert `group`, its flows numbered from `first`, with at most `most` values in a statement.

    What flows share (principals, rulesets, bodies) is inserted where it is missing.
    """
    numbered = list(enumerate(group, first))
    yield from _shared("principals", PrincipalRow._fields, {row.principal for row in group if row.principal}, most)
    yield from _shared("rulesets", RulesetRow._fields, {row.ruleset for row in group if row.ruleset}, most)
    yield from _shared("bodies", BodyRow._fields, {b.key: b for row in group for b in row.bodies}.values(), most)
    yield from _insert("flows", ("id", *FlowRow._fields), [(n, *row.flow) for n, row in numbered], most)
    yield from _insert("decisions", ("flow", *DecisionRow._fields), [(n, *row.decision) for n, row in numbered], most)
    yield from _insert("masks", MaskRow._fields, [mask for row in group for mask in row.masks], most)


def _shared(table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], most: int) -> Iterator[Statement]:
    return _insert(table, columns, list(rows), most, f" on conflict ({columns[0]}) do nothing")


def _insert(
    table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], most: int, end: str = ""
) -> Iterator[Statement]:
    size = most // len(columns)
    names, row_marks = ", ".join(f'"{column}"' for column in columns), f"({_marks(len(columns))})"
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        values = ", ".join([row_marks] * len(part))
        sql = f"insert into {table} ({names}) values {values}{end}"  # noqa: S608 (our own names, question marks)
        yield sql, list(chain.from_iterable(part))


def _marks(count: int) -> str:
    return ", ".join("?" * count)
