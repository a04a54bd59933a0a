"""One page of a capture compared, by whichever process has time for it."""

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.bundle.load import Bundle, load_bundle
from headgate.bundle.restore import restore
from headgate.bundle.store import BundleStore
from headgate.errors import HeadgateError
from headgate.replay.comparison import Change, compare, drift
from headgate.replay.judge import Judged, as_recorded
from headgate.replay.judging import Judge
from headgate.replay.masks import Masking
from headgate.replay.once import identity_digest, remembering
from headgate.replay.pages.store import Pages
from headgate.replay.tally import Key, Tally, template_of

if TYPE_CHECKING:
    from headgate.capture.entries import Entry
    from headgate.replay.impact import Source, Task

ORIGINS = 16
"""Bundles that are loaded at once besides the two: those that flows were recorded under."""

_NONE = "the rules that flows were recorded under are not in the state; accepted: `--against` with the rules to compare"


class Work:
    """Loads the rules, and compares under them page by page."""

    def __init__(self, task: "Task") -> None:
        self._task = task
        self._store = Pages(task.state, task.capture)
        self._kept = BundleStore(task.rules_state or task.state)
        self._origin = lru_cache(maxsize=ORIGINS)(self._restored)
        self._judge_of = lru_cache(maxsize=ORIGINS)(self._made)
        self._masking = Masking(remembering())
        self._new_bundle = self._loaded(task.new)
        self._new = Judge(self._new_bundle, masking=self._masking)
        self._old = self._judge(task.old)
        self._fallback = self._judge(task.fallback)
        self._chosen = self._filter(task.text)

    def page(self, beginning: str) -> Tally:
        tally = Tally(self._task.examples)
        for entry in self._entries(beginning):
            judge = self._judge_for(entry)
            tally.callers += identity_digest(judge.bundle) != identity_digest(self._new_bundle)
            tally.count(entry.summary.decision_id, self._compared(entry, judge))
        rules = self._new_bundle.policy.rules
        tally.unhit = frozenset(rules[at].ref.id for at in self._new.unhit)
        return tally

    def _entries(self, beginning: str) -> "Iterator[Entry]":
        until = self._task.until
        needed = self._task.masks or any(rule.matcher.reads_body for rule in self._new_bundle.policy.rules)
        bodies = needed or self._old is None or self._chosen is not None
        page = islice(self._store.walk(beginning, until=until, bodies=bodies), self._task.page)
        if self._chosen is None:
            return page
        return (entry for entry in page if self._chosen(entry, self._store.messages))

    def _judge_for(self, entry: "Entry") -> Judge:
        """Who says what became of it by the rules that it is compared with."""
        origin = self._origin_of(entry)
        judge = self._old or (self._judge_of(origin) if origin is not None else self._fallback)
        if judge is None:
            raise HeadgateError(_NONE)
        return judge

    def _origin_of(self, entry: "Entry") -> Bundle | None:
        return self._origin(entry.bundle["sha256"]) if entry.bundle else None

    def _compared(self, entry: "Entry", judge: Judge) -> list[tuple[Key, Change]]:
        origin = self._origin_of(entry)
        original = self._original(entry)
        ask = {"recorded_under": origin, "original": original, "masks": self._task.masks}
        old, new = judge(entry, **ask), self._new(entry, **ask)
        changes = compare(old, new)
        if origin is not None and judge.bundle.sha256 == origin.sha256 and original is None:
            found = drift(as_recorded(entry), old, masks=self._task.masks)
            changes += [found] if found else []
        return [(self._key(entry, judge, old, new, change, exact=original is not None), change) for change in changes]

    def _key(self, entry: "Entry", judge: Judge, old: Judged, new: Judged, change: Change, *, exact: bool) -> Key:
        summary, rules = entry.summary, change.rules
        location, entity = change.place or ("", "")
        if change.place and not rules:
            before, after = judge.mask_ids(entry, entity), self._new.mask_ids(entry, entity)
            rules = (*(before or ["-"]), "→", *(after or ["-"]))
        if exact:
            location = _shown(location, entry)
        path = template_of(summary.path, self._written(judge, old, new))
        return Key(change.kind, change.what, rules, summary.method, summary.host, path, entity, location)

    def _written(self, judge: Judge, old: Judged, new: Judged) -> tuple[str, ...]:
        """The paths that the deciding rules write."""
        ids = [rule.id for rule in (*old.rules, *new.rules)]
        return tuple(dict.fromkeys(text for one in (judge, self._new) for name in ids for text in one.paths_of(name)))

    # -- what is needed ------------------------------------------------------------------------------------------------

    def _original(self, entry: "Entry") -> Any:
        if self._task.key is None or not entry.sealed:
            return None
        return self._store.original(entry.summary.decision_id, self._task.key)

    def _judge(self, source: "Source | None") -> Judge | None:
        return None if source is None else self._made(self._loaded(source))

    def _made(self, bundle: Bundle) -> Judge:
        return Judge(bundle, masking=self._masking)

    def _loaded(self, source: "Source") -> Bundle:
        if source.folder is None:
            found = self._restored(source.sha256)
            if found is None:
                raise HeadgateError(f"rules {source.sha256[:8]} are not in the state `{self._kept.path}`")
            return found
        bundle = load_bundle(source.folder)
        if bundle.sha256 != source.sha256:
            raise HeadgateError(f"the rules in `{source.folder}` have changed meanwhile")
        return bundle

    def _restored(self, sha256: str) -> Bundle | None:
        """The rules of this hash, as they are kept in the state; None where they are not, or cannot be used."""
        for source in (self._task.new, self._task.old):
            if source is not None and source.folder is not None and source.sha256 == sha256:
                return self._loaded(source)
        return restored(self._kept, sha256)

    @staticmethod
    def _filter(text: str | None) -> Any:
        if text is None:
            return None
        from headgate.replay.filters import parse

        return parse(text)


def restored(store: BundleStore, sha256: str) -> Bundle | None:
    """The rules of this hash, as they are kept in a state; None where they are not, or cannot be used any more."""
    if not store.exists():
        return None
    try:
        ref = next((one for one in store.stored() if one.sha256 == sha256), None)
        if ref is None:
            return None
        with tempfile.TemporaryDirectory(prefix="headgate-") as scratch:
            return restore(store.contents(sha256), ref, Path(scratch))
    except HeadgateError:
        return None


def _shown(location: str, entry: "Entry") -> str:
    """A place in an original, by names that its masked record has, too."""
    kept = entry.response.body.decode("utf-8", "replace") if entry.response else ""
    if not location.startswith("/"):
        return location
    return "/".join(step if step in kept else "*" for step in location.split("/"))


# -- in a process of its own -------------------------------------------------------------------------------------------

_begun: list[Work | HeadgateError] = []


def begin(task: "Task") -> None:
    """What a process does first; what goes wrong is told with its first page."""
    try:
        _begun[:] = [Work(task)]
    except HeadgateError as error:
        _begun[:] = [error]


def do(beginning: str) -> Tally:
    (work,) = _begun
    if isinstance(work, HeadgateError):
        raise HeadgateError(str(work))
    return work.page(beginning)
