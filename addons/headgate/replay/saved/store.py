"""What of a capture is copied as it is: who called, what was decided, under which rules."""

from typing import Any, NamedTuple

from headgate.capture.store import Store
from headgate.capture.tables import DecisionRow, FlowRow, PrincipalRow, RulesetRow
from headgate.errors import HeadgateError

FLOW = "select {} from flows where id = (select flow from decisions where id = ?)"
PRINCIPAL = "select {} from principals where key = ?"
DECISION = "select {} from decisions where id = ?"
RULESET = "select {} from rulesets where sha256 = ?"


class Copied(NamedTuple):
    flow: FlowRow
    decision: DecisionRow
    principal: PrincipalRow | None
    ruleset: RulesetRow | None


class Copies(Store):
    """A capture, read row by row."""

    def copy(self, decision_id: str) -> Copied:
        with self._reading() as connection:

            def row[Row: tuple[Any, ...]](kind: type[Row], sql: str, name: object) -> Row | None:
                columns = ", ".join(kind._fields)  # type: ignore[attr-defined]  # a named tuple
                found = connection.execute(sql.format(columns), [name]).fetchone()
                return None if found is None else kind(*found)

            flow, decision = row(FlowRow, FLOW, decision_id), row(DecisionRow, DECISION, decision_id)
            if flow is None or decision is None:
                raise HeadgateError(f"the flow `{decision_id}` was removed meanwhile: try again")
            return Copied(
                flow,
                decision,
                row(PrincipalRow, PRINCIPAL, flow.principal_key),
                row(RulesetRow, RULESET, decision.ruleset),
            )
