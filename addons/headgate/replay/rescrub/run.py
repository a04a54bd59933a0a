"""All of a capture, from the first record to the last, masked again in groups, each of which is written at once.

It can be interrupted and run again: what was done by the same masks is not done a second time, so that a second run
changes nothing. What is recorded meanwhile comes, too.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import batched
from pathlib import Path
from typing import NamedTuple

from headgate.bundle.load import Bundle
from headgate.capture.entries import Entry
from headgate.capture.fulltext.writer import Index
from headgate.capture.key import keyed
from headgate.capture.search import MOST_MESSAGES
from headgate.capture.store import Store
from headgate.masking.formats import Counts
from headgate.masking.plan import Detect, Plan
from headgate.replay.decoding import decoded
from headgate.replay.rescrub.due import Former, Keys, owed, owed_to_nobody
from headgate.replay.rescrub.masks import Detectors, merged, scrubbed, untouched
from headgate.replay.rescrub.spoken import Change, changes
from headgate.replay.rescrub.writer import Done, RescrubWriter

GROUP = 50
"""Records that are written at once."""

TRIES = 5
"""How often a record is masked anew that somebody else has changed meanwhile; the next run finds it otherwise."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`flows` were looked at, of which `changed` changed; `lost` bodies could not be masked. `skipped` were masked by
    these rules before, or recorded under them; `originals` are sealed, and stay as they are. `unsettled` were changed
    by somebody else each time."""

    flows: int = 0
    changed: int = 0
    messages: int = 0
    lost: int = 0
    skipped: int = 0
    originals: int = 0
    unsettled: int = 0


class Rescrub:
    """`bundle` has the rules; `former` gives those of before, `keys` the keys of both; `detectors` detect for a plan.

    `write`: False only counts what would change. HeadgateError where the capture cannot be read or written.
    """

    def __init__(
        self,
        state: Path,
        bundle: Bundle,
        key: bytes,
        *,
        former: Former,
        keys: Keys,
        detectors: Detectors,
        clock: Callable[[], float],
        write: bool = True,
    ) -> None:
        self._store, self._bundle, self._key = Store(state), bundle, key
        self._former, self._keys, self._clock = lru_cache(64)(former), keys, clock
        self._detect = _remembered(detectors)
        self._writer = RescrubWriter(self._store.path, key, decoded)
        self._does_write = write
        self.outcome = Outcome()

    def run(self) -> Iterator[int]:
        """How many records are done after each group."""
        self.outcome = replace(self.outcome, originals=self._writer.originals())
        for group in batched(self._store.walk(), GROUP, strict=False):
            self._group(list(group))
            yield len(group)
        for decision in self._writer.lonely():
            self._messages_alone(decision)

    def finish(self) -> bool:
        """Leave nothing in the file of what stood there; whether there was anything to do."""
        if not self._does_write:
            return False
        if not self._writer.is_unfinished():  # by this run, or by one before that did not come so far
            return False
        index, first = Index(self._store.path, decoded), True
        while index.exists() and index.merge(first=first):
            first = False
        return self._writer.finish()

    def _group(self, entries: list[Entry], tries: int = TRIES) -> None:
        known = self._writer.plans(entry.summary.decision_id for entry in entries)
        masked = [done for entry in entries if (done := self._masked(entry, known))]
        left: list[str] = []
        if self._does_write:
            left = self._writer.write([one.done for one in masked], self._bundle.sha256, self._clock())
        settled = [one for one in masked if one.done.entry.summary.decision_id not in left]
        self._count(settled, len(entries) - len(masked), 0 if tries > 1 else len(left))
        if left and tries > 1:
            self._group([self._store.entry(decision) for decision in left], tries - 1)

    def _count(self, settled: list["_Masked"], skipped: int, unsettled: int) -> None:
        before = self.outcome
        self.outcome = replace(
            before,
            flows=before.flows + len(settled) + skipped + unsettled,
            changed=before.changed + sum(not one.done.same or bool(one.messages) for one in settled),
            messages=before.messages + sum(one.messages for one in settled),
            lost=before.lost + sum(one.done.scrubbed.lost + one.lost for one in settled),
            skipped=before.skipped + skipped,
            unsettled=before.unsettled + unsettled,
        )

    def _masked(self, entry: Entry, known: set[tuple[str, str]]) -> "_Masked | None":
        """None for what was done before."""
        plan, left = owed(entry, self._bundle, self._former, self._keys)
        name = keyed(self._key, plan.json.encode()) if plan else ""
        decision = entry.summary.decision_id
        if plan is None or left is None or (decision, name) in known:
            return None
        new = scrubbed(entry, left, self._detect)
        said, masks = self._said(decision, left)
        done = Done(entry, new, merged(entry.masks, new.counts + masks, left, self._detect), said.near, name)
        same = new == replace(untouched(entry), counts=new.counts)
        done = done._replace(scrubbed=untouched(entry)) if same else done
        return _Masked(done, said.messages, said.lost)

    def _said(self, decision: str, plan: Plan) -> tuple["_Said", Counts]:
        """The messages that change; those that are far into a flow are written at once, for there may be many."""
        masks: Counts = Counter()
        near, far, messages, lost = list[Change](), list[Change](), 0, 0
        for change in changes(lambda: self._store.messages(decision), plan, self._detect(plan), masks):
            if change.after == change.before:
                continue
            messages, lost = messages + 1, lost + (change.after is None)
            (near if change.n < MOST_MESSAGES else far).append(change)
            if len(far) == MOST_MESSAGES:
                self._put_far(decision, far)
        self._put_far(decision, far)
        return _Said(near, messages, lost), masks

    def _put_far(self, decision: str, far: list[Change]) -> None:
        if far and self._does_write:
            self._writer.write_messages(decision, far)
        far.clear()

    def _messages_alone(self, decision: str) -> None:
        """What was said on a connection of which nothing else is recorded."""
        plan = owed_to_nobody(self._bundle, self._keys)
        if plan is None:
            return
        said, _ = self._said(decision, plan)
        if said.near and self._does_write:
            self._writer.write_messages(decision, said.near)
        before = self.outcome
        self.outcome = replace(
            before,
            changed=before.changed + bool(said.messages),
            messages=before.messages + said.messages,
            lost=before.lost + said.lost,
        )


class _Said(NamedTuple):
    near: list[Change]
    messages: int
    lost: int


class _Masked(NamedTuple):
    done: Done
    messages: int
    lost: int


def _remembered(detectors: Detectors) -> Detectors:
    """One detector for each plan: a capture has few, and one takes long to make."""
    made: dict[Plan, Detect] = {}

    def detect(plan: Plan) -> Detect:
        if plan not in made:
            made[plan] = detectors(plan)
        return made[plan]

    return detect
