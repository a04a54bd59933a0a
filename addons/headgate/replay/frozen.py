"""A recorded request as it was judged then: who called, from where and when, with which signals and what was left.

No record holds a credential, so nobody can prove again who he is. What stands in for that proof lives in the process
that replays, and nowhere else: it takes the caller of a request from the recording that the request names by a word
which nobody else knows and which counts once. A request that names none is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from headgate.errors import HeadgateError
from headgate.model import Principal
from headgate.policy.buckets import Outcome as Levels
from headgate.policy.buckets import Standing
from headgate.policy.limits import Due, Limit
from headgate.replay.differences import MARK
from headgate.replay.matching import DAMAGED
from headgate.replay.recorded import recorded

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry


@dataclass(frozen=True, slots=True)
class Frozen:
    """Where the request went, who called, and when (seconds since the epoch). `signals` are those set then, None if
    that was not recorded; `exhausted` and `remaining` are what limits said, by id. `notes` say in words what of the
    request is not as it was sent."""

    scheme: str
    host: str
    port: int
    source: str
    principal: Principal = field(repr=False)
    at: float
    signals: frozenset[str] | None
    remaining: Mapping[str, int]
    exhausted: frozenset[str]
    notes: tuple[str, ...] = ()


def frozen_of(entry: "Entry", bundle: "Bundle") -> Frozen | None:
    """What is known of a flow; None where nobody knew who called. HeadgateError for a recording that is none."""
    try:
        found = recorded(entry, bundle)
        if found.principal is None:
            return None
        summary, signals = entry.summary, entry.signals
        return Frozen(
            summary.scheme,
            summary.host,
            summary.port,
            entry.source,
            found.principal,
            float(summary.time),
            None if signals is None else frozenset(map(str, signals)),
            {str(use["id"]): int(use["remaining"]) for use in entry.limits},
            frozenset(str(use["id"]) for use in entry.limits if use["exhausted"]),
            _notes(entry, found.lost),
        )
    except DAMAGED:
        raise HeadgateError(f"the recording {str(entry.summary.decision_id)[:26]!r} is damaged") from None


def _notes(entry: "Entry", lost: frozenset[str]) -> tuple[str, ...]:
    """What the upstream and the rules see otherwise than when it was recorded."""
    sent, summary = entry.request, entry.summary
    texts = {"path": summary.path, "query": summary.query or ""}
    lost |= {part for part, text in texts.items() if MARK.search(unquote(text))}
    said = [f"the {part} of the request was masked or not kept: it is sent as recorded" for part in sorted(lost)]
    masked = sorted({name.lower() for name, value in sent.headers or () if MARK.search(value)})
    said += [f"the header `{name}` of the request was masked: it is sent as recorded" for name in masked]
    if sent.truncated:
        said.append(f"the request's body was cut after {len(sent.body):,} of {sent.size:,} bytes")
    elif sent.size and not sent.body:
        said.append(f"the request's body of {sent.size:,} bytes was not kept: it is sent without")
    if entry.response is not None and entry.response.truncated:
        said.append("the recorded answer was cut: only its beginning is compared")
    if entry.signals is None:
        said.append("signals were not recorded: conditions on them are unknown")
    return tuple(said)


class Moments:
    """Time, signals and limits of whichever exchange is being judged; outside of that nothing is known, and asking is
    an error, which refuses. Judging takes no pause, so that no other exchange comes between."""

    def __init__(self) -> None:
        self._frozen: Frozen | None = None

    def during[Result](self, frozen: Frozen | None, judge: Callable[[], Result]) -> Result:
        before, self._frozen = self._frozen, frozen
        try:
            return judge()
        finally:
            self._frozen = before

    def now(self) -> float:
        return self._current.at

    def signals(self) -> frozenset[str] | None:
        return self._current.signals

    @property
    def _current(self) -> Frozen:
        if self._frozen is None:
            raise HeadgateError("a moment is asked for outside of a judgement")
        return self._frozen

    def spend(self, dues: Sequence[Due], now: float) -> Levels:
        """What each limit said then; one that is new since has all that it may have."""
        return Levels(now, tuple(self._standing(limit) for limit, _ in dues))

    peek = spend

    def _standing(self, limit: Limit) -> Standing:
        if limit.id in self._current.exhausted:
            return Standing(limit, 0, True, limit.rate.seconds / limit.rate.count)
        return Standing(limit, self._current.remaining.get(limit.id, limit.burst - 1), False, 0.0)
