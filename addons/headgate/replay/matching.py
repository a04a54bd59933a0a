"""Which recording answers a request, and if none does, which came nearest and what differs.

    recordings = Recordings(entries, fetch, Matching(ignore_json=("$.request_id",)))
    match recordings.answer(Asked("POST", "api.internal", "/v1/refunds", (), b'{"amount": 5}')):
        case Answer(): ...    # status, headers, body as recorded: masked, without credentials
        case Miss() as miss: print(miss.text)

Each recording answers once, the first recorded first. That all have been used is another thing than that none is the
same, and is said to be. Nothing here ever asks anybody else. Of the recordings only what they are found by is held,
in a temporary file of SQLite's own, so that memory does not grow with them; `fetch` reads one again when it answers.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from headgate.errors import HeadgateError
from headgate.replay.asked import Asked, Matching, differing
from headgate.replay.found.store import Found

if TYPE_CHECKING:
    from headgate.capture.entries import Entry

CANDIDATES = 20
"""Recordings that are looked at for the nearest one."""

USED_UP, DIFFERENT, EMPTY = "used-up", "different", "nothing-recorded"

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Fields about one connection (RFC 9110, section 7.6.1): another has its own."""

DAMAGED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
"""What a value of another shape than a record's comes to: files of recordings come from anywhere."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00\r\n]*")

Fetch = Callable[[str], "Entry"]
"""The recorded flow with this decision id."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the recording answers; `complete` is false where only the beginning of the body was kept, or nothing."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    decision_id: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Miss:
    """Why the recording has no answer: `reason` is used-up, different or nothing-recorded. `nearest` is the decision
    id of the recording that comes nearest, `place` its method and path, `fields` say where it differs."""

    reason: str
    asked: str
    nearest: str | None = None
    place: str | None = None
    fields: tuple[str, ...] = ()
    times: int = 0

    @property
    def text(self) -> str:
        if self.reason == USED_UP:
            count = f"its {self.times:,} answers are" if self.times > 1 else "its one answer is"
            return f"the recording of `{self.asked}` is used up: {count} taken, or another flow's"
        if self.nearest is None:
            return f"`{self.asked}` is not in the recording, which answers nothing"
        shown = ", ".join(self.fields[:8]) + (f" and {len(self.fields) - 8} more" if len(self.fields) > 8 else "")
        nearest = f"the nearest, {self.nearest} (`{self.place}`), differs in {shown}"
        return f"`{self.asked}` is not in the recording: {nearest}"


class Recordings:
    """Answers from recorded flows. May be asked by several threads."""

    def __init__(self, entries: Iterable["Entry"], fetch: Fetch, matching: Matching | None = None) -> None:
        """ValueError for a JSONPath in `matching` that is none, HeadgateError for recordings that cannot be read."""
        self._matching = matching or Matching()
        self._reader = self._matching.reader()
        self._fetch, self._lock, self._found = fetch, Lock(), Found()
        try:
            for entry in entries:
                if answers(entry):
                    asked = asked_of(entry)
                    self._found.add(str(entry.summary.decision_id), self._reader.key(asked), asked)
        except DAMAGED as error:
            raise HeadgateError(f"the recordings are damaged: {type(error).__name__}") from None

    def __len__(self) -> int:
        return len(self._found)

    def answer(self, asked: Asked, own: str | None = None) -> Answer | Miss:
        """What the recording answers; raises HeadgateError only if it cannot be read. `own` is the decision id of the
        recorded flow that is being replayed, if it is one: its own answer is for it alone."""
        try:
            return self._answer(asked, own)
        except DAMAGED as error:
            raise HeadgateError(f"a recording is damaged: {type(error).__name__}") from None

    def close(self) -> None:
        self._found.close()

    def _answer(self, asked: Asked, own: str | None) -> Answer | Miss:
        key = self._reader.key(asked)
        with self._lock:
            decision_id, times = self._found.take(key, own=own, repeat=self._matching.repeat)
        if decision_id is not None:
            return answer_of(self._fetch(decision_id))
        place = f"{asked.method} {asked.path}"
        return Miss(USED_UP, place, times=times) if times else self._nearest(asked, place, own)

    def _nearest(self, asked: Asked, place: str, own: str | None) -> Miss:
        with self._lock:
            candidates = self._found.near(asked, CANDIDATES, own)
        if not candidates:
            return Miss(EMPTY, place)
        wanted = self._reader.fields(asked)
        near = []
        for at, decision_id in enumerate(candidates):
            recorded = asked_of(self._fetch(decision_id))
            fields = differing(self._reader.fields(recorded), wanted)
            weight = sum(10 if name in ("method", "path", "host") else 1 for name in fields)
            near.append((weight, at, decision_id, f"{recorded.method} {recorded.path}", fields))
        _, _, decision_id, where, fields = min(near)
        return Miss(DIFFERENT, place, decision_id, where, fields)


def answers(entry: "Entry") -> bool:
    """Whether a flow holds an upstream's answer: refused, withheld and failed ones do not, nor do WebSockets."""
    summary = entry.summary
    plain = entry.kind == "http" and summary.status is not None and summary.status >= 200
    return plain and entry.response is not None and summary.refusal is None and summary.error is None


def asked_of(entry: "Entry") -> Asked:
    """A recorded request as its upstream saw it, as far as it was kept."""
    summary = entry.summary
    headers = entry.request.headers or ()
    usual = {"http": 80, "https": 443}.get(summary.scheme) == summary.port
    place = summary.host if usual else f"{summary.host}:{summary.port}"
    named = next((value for name, value in headers if name.lower() == "host"), place)
    target = f"{summary.path}?{summary.query}" if summary.query else summary.path
    return Asked(summary.method, named, target, headers, entry.request.body)


def answer_of(entry: "Entry") -> Answer:
    summary, got = entry.summary, entry.response
    if got is None or summary.status is None:
        raise HeadgateError(f"the recording of {summary.decision_id} has changed while it was replayed")
    headers = tuple((name, value) for name, value in got.headers or () if _passes_on(summary, name))
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers):
        raise HeadgateError(f"the recorded answer of {summary.decision_id} is damaged: a header field is none")
    complete = got.headers is not None and not got.truncated and (len(got.body) == got.size)
    return Answer(summary.status, headers, got.body, summary.decision_id, complete)


def _passes_on(summary: object, name: str) -> bool:
    lower = name.lower()
    if lower == "content-length":
        return getattr(summary, "method", "") == "HEAD"
    return lower not in HOP_BY_HOP
