"""What came of each scene, and whether it is what had to come of it.

Three witnesses are asked: the caller (what it got), the sample API (what reached it), and the record. A demo that only
looked at its own answers could not tell a refusal from a request that went through and was answered badly.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.capture.store import Entry
from headgate.demo.data import leaks
from headgate.demo.listener import Call
from headgate.demo.scenes import FORGED, Scene


@dataclass(frozen=True, slots=True)
class Got:
    """What the caller of a scene received."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scene, what the caller got, and what the record says of it."""

    scene: Scene
    got: Got
    entry: Entry

    @property
    def why(self) -> str:
        """The rule that decided, or the reason where none did or where the answer failed later."""
        summary = self.entry.summary
        if summary.refusal not in (None, "denied"):
            return summary.refusal_reason or summary.reason
        return summary.rule or summary.reason

    @property
    def message(self) -> str | None:
        """The operator's own words to a refused caller."""
        return self._problem.get("detail")

    @property
    def masked(self) -> Counter[str]:
        """How many values of each entity were masked."""
        found: Counter[str] = Counter()
        for mask in self.entry.masks:
            found[mask["entity"]] += mask["count"]
        return found

    @property
    def _problem(self) -> dict[str, Any]:
        if self.got.status < 400:
            return {}
        try:
            problem = json.loads(self.got.body)
        except ValueError:
            return {}
        return problem if isinstance(problem, dict) else {}

    def surprises(self) -> Iterator[str]:
        """Everything about it that had to be otherwise."""
        scene, summary = self.scene, self.entry.summary
        if self.got.status != scene.status:
            yield f"status {self.got.status} instead of {scene.status}"
        if self.why != scene.why:
            yield f"decided by `{self.why}` instead of `{scene.why}`"
        if frozenset(self.masked) != scene.masked:
            yield f"masked {_named(self.masked)} instead of {_named(scene.masked)}"
        if summary.status != self.got.status:
            yield f"recorded with status {summary.status}"
        if found := leaks(self.got.body + "\n".join(self.got.headers.values())):
            yield f"the caller received personal data: {', '.join(found)}"
        if self.got.status >= 400 and self._problem.get("decision_id") != summary.decision_id:
            yield "the refusal does not carry the decision's id"


def _named(entities: Iterable[str]) -> str:
    return ", ".join(sorted(entities)) or "nothing"


def about_the_api(scenes: Sequence[Scene], calls: Sequence[Call]) -> Iterator[str]:
    """What reached the sample API and should not have, or the reverse."""
    due = [(scene.method, scene.target) for scene in scenes if scene.arrives]
    arrived = [(call.method, call.target) for call in calls]
    if arrived != due:
        extra, missing = Counter(arrived) - Counter(due), Counter(due) - Counter(arrived)
        listed = [f"too many: {_lines(extra)}"] * bool(extra) + [f"missing: {_lines(missing)}"] * bool(missing)
        yield f"the sample API did not receive exactly the allowed requests ({'; '.join(listed) or 'another order'})"
    if any("authorization" in call.headers for call in calls):
        yield "a caller's token travelled on to the sample API"
    if any(name in call.headers for call in calls for name in FORGED):
        yield "a forged identity header reached the sample API"


def _lines(requests: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"`{method} {target}`" for method, target in requests)


def about_the_record(entries: Sequence[Entry], log: str, tokens: Iterable[str]) -> Iterator[str]:
    """What the record or the log holds and should not."""
    kept = "\n".join(_everything(entry) for entry in entries)
    for where, text in (("record", kept), ("proxy's log", log)):
        if found := leaks(text):
            yield f"the {where} holds personal data: {', '.join(found)}"
        if any(token.rpartition(".")[2] in text for token in tokens):
            yield f"the {where} holds a token"


def _everything(entry: Entry) -> str:
    messages = [message for message in (entry.request, entry.response) if message]
    bodies = "\n".join(message.body.decode("utf-8", "replace") for message in messages)
    headers = "\n".join(value for message in messages for _, value in message.headers or ())
    return "\n".join((entry.summary.path, entry.summary.query or "", headers, bodies))
