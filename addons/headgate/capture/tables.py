"""The rows of each table, and the statements that insert a group of them.

One named tuple for each table, its fields named as the columns are, but for the row numbers given at the insert. A
table takes one statement for many rows: every statement gives up and regains the interpreter's lock, for which the
event loop competes.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

SEEN = " on conflict (decision, n) do nothing"

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
    kind: str
    connection: str | None


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
    signals: str | None
    approval_id: str | None


class MaskRow(NamedTuple):
    decision: str
    location: str
    entity: str
    operator: str
    times: int


class MessageRow(NamedTuple):
    """One message of a WebSocket or of a TCP flow."""

    decision: str
    flow_id: str
    n: int
    time: float
    from_client: int
    kind: str
    body: str | None
    size: int
    truncated: int


class Rows(NamedTuple):
    """All of one flow; `original` is sealed."""

    principal: PrincipalRow | None
    ruleset: RulesetRow | None
    bodies: tuple[BodyRow, ...]
    flow: FlowRow
    decision: DecisionRow
    masks: tuple[MaskRow, ...]
    original: bytes | None = None


class SpokenRows(NamedTuple):
    """All of one message."""

    body: BodyRow | None
    message: MessageRow


def find_decisions(ids: Sequence[str]) -> Statement:
    """Which of these decisions are there already."""
    return f"select id from decisions where id in ({_marks(len(ids))})", list(ids)  # noqa: S608 (only question marks)


def inserts(group: Sequence[Rows], spoken: Sequence[SpokenRows], first: int, most: int) -> Iterator[Statement]:
    """Insert flows, numbered from `first`, and messages, with at most `most` values in a statement.

    What flows share (principals, rulesets, bodies) is inserted where it is missing, and so is a message.
    """
    numbered = list(enumerate(group, first))
    bodies = {body.key: body for row in group for body in row.bodies}
    bodies |= {row.body.key: row.body for row in spoken if row.body}
    yield from _shared("principals", PrincipalRow._fields, {row.principal for row in group if row.principal}, most)
    yield from _shared("rulesets", RulesetRow._fields, {row.ruleset for row in group if row.ruleset}, most)
    yield from _shared("bodies", BodyRow._fields, bodies.values(), most)
    yield from _insert("flows", ("id", *FlowRow._fields), [(n, *row.flow) for n, row in numbered], most)
    yield from _insert("decisions", ("flow", *DecisionRow._fields), [(n, *row.decision) for n, row in numbered], most)
    yield from _insert("masks", MaskRow._fields, [mask for row in group for mask in row.masks], most)
    yield from _insert("originals", ("flow", "data"), [(n, row.original) for n, row in numbered if row.original], most)
    yield from _insert("messages", MessageRow._fields, [row.message for row in spoken], most, SEEN)


def _shared(table: str, columns: Sequence[str], rows: Iterable[Sequence[object]], most: int) -> Iterator[Statement]:
    return _insert(table, columns, list(rows), most, f" on conflict ({columns[0]}) do nothing")


def _insert(
    table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], most: int, end: str = ""
) -> Iterator[Statement]:
    size = most // len(columns)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield _sql(table, tuple(columns), len(part), end), list(chain.from_iterable(part))


@lru_cache(maxsize=64)
def _sql(table: str, columns: tuple[str, ...], count: int, end: str) -> str:
    names, row_marks = ", ".join(f'"{column}"' for column in columns), f"({_marks(len(columns))})"
    values = ", ".join([row_marks] * count)
    return f"insert into {table} ({names}) values {values}{end}"  # noqa: S608 (our own names, question marks)


def _marks(count: int) -> str:
    return ", ".join("?" * count)
