"""One caller's session, from its first request to its last: what was asked, what came of it, and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from headgate.capture.entries import Entry
from headgate.capture.layout import iso, summary_json
from headgate.capture.store import Store
from headgate.errors import HeadgateError
from headgate.replay.expectations import printable
from headgate.replay.selection.store import Selection

GAP = 60.0
"""Seconds without a request from which on a pause is shown."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request of a session: `after` are seconds since its first, `pause` those since the one before."""

    entry: Entry
    after: float
    pause: float


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    principal: dict[str, Any]
    steps: tuple[Step, ...]

    def count(self, *verdicts: str) -> int:
        return sum(step.entry.summary.verdict in verdicts for step in self.steps)

    @property
    def masked(self) -> int:
        return sum(step.entry.summary.masked for step in self.steps)


def session_of(store: Store, name: str, provider: str | None = None) -> Session:
    """The session with this id, or the one that a flow or a decision of this id was in."""
    selection = Selection(store.path.parent, store.path.name)
    providers = selection.providers(name)
    if not providers:
        name, provider = _of_flow(store, name)
    elif provider is None and len(providers) > 1:
        listed = ", ".join(f"`{one}`" for one in providers[:10])
        raise HeadgateError(f"`{name[:80]}` is a session of several providers: {listed}; accepted: --provider")
    steps = tuple(_steps(selection.session(name, provider)))
    if not steps:
        raise HeadgateError(f"nothing is recorded of the session `{name[:80]}`")
    return Session(name, steps[0].entry.principal or {}, steps)


def _of_flow(store: Store, name: str) -> tuple[str, str]:
    try:
        entry = store.entry(name)
    except HeadgateError as error:
        raise HeadgateError(f"no session has the id `{name[:80]}`, and as a flow: {error}") from None
    who = entry.principal
    if who is None:
        raise HeadgateError("nobody knows who called there, so that it belongs to no session")
    if who["session_id"] is None:
        shown = printable(who["id"])
        raise HeadgateError(f"the caller's token named no session; accepted: `headgate flows list --principal {shown}`")
    return str(who["session_id"]), str(who["provider"])


def _steps(entries: Iterable[Entry]) -> Iterable[Step]:
    first = before = None
    for entry in entries:
        at = entry.summary.time
        first = at if first is None else first
        yield Step(entry, at - first, 0.0 if before is None else at - before)
        before = at


def session_json(session: Session) -> dict[str, Any]:
    first, last = session.steps[0].entry.summary, session.steps[-1].entry.summary
    return {
        "session_id": session.id,
        "principal": session.principal,
        "first": iso(first.time),
        "last": iso(last.time),
        "requests": len(session.steps),
        "refused": session.count("refused"),
        "withheld": session.count("withheld"),
        "masked": session.masked,
        "steps": [
            {
                "after": round(step.after, 3),
                "pause": round(step.pause, 3),
                **summary_json(step.entry.summary),
                "masks": step.entry.masks,
            }
            for step in session.steps
        ],
    }
