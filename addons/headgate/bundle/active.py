"""The rules in force: the last good bundle, replaced whole when its folder changes or another version is activated.

Two places are looked at, off the event loop: the rules folder, and the history of activations in the state, by which
what a command activates or rolls back to is followed. Whatever cannot be used changes nothing: the last good bundle
stays, at a start the last that was activated, and `problem` says why. That is reported once for each different report,
and tried again now and then: what was missing may lie elsewhere, such as a secret or a state that was locked.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headgate.bundle.activation import ref_of
from headgate.bundle.admission import Admission
from headgate.bundle.folder import LOOKS, Folder, UnsettledError
from headgate.bundle.load import Bundle, label, load_bundle
from headgate.bundle.versions import Activation, History, How, lineage
from headgate.errors import HeadgateError
from headgate.model import BundleRef
from headgate.schema import StateError

log = logging.getLogger(__name__)

AGAIN = 30
"""How many intervals after rules were refused they are tried again, unchanged as they are."""

CHANGED = "the changed rules cannot be used, the last good ones stay in force:\n%s"
ACTIVATED = "the activated rules cannot be used, the last good ones stay in force:\n%s"
RESUMED = "the rules that should be in force cannot be used, the last good ones are taken from the state:\n%s"
UNREAD = "the history of activations cannot be read, the rules in force stay:\n%s"


@dataclass(slots=True)
class Trouble:
    """What is wrong with one of the places, and for how many looks it has been so."""

    error: HeadgateError | None = None
    sha256: str | None = None
    waited: int = 0

    def note(self, error: HeadgateError, sha256: str | None) -> bool:
        """Whether this is another report than the last."""
        news = str(error) != str(self.error)
        self.error, self.sha256, self.waited = error, sha256, 0
        return news

    def is_due(self) -> bool:
        """Asked at each look: whether to try again."""
        self.waited += 1
        return self.error is not None and self.waited >= AGAIN * LOOKS

    def clear(self) -> None:
        self.error, self.sha256, self.waited = None, None, 0


class Told(Protocol):
    """Hears of rules before they come into force, and of those that do not; it may be called in a thread."""

    def activated(self, entry: Activation) -> None: ...
    def refused(self, bundle: BundleRef | None, error: HeadgateError, previous: BundleRef | None) -> None: ...


class ActiveBundle:
    """`current` is one reference, replaced at once: whoever took it keeps a whole bundle."""

    def __init__(
        self,
        folder: Path,
        admission: Admission,
        load: Callable[[Path], Bundle] = load_bundle,
        record: Told | None = None,
    ) -> None:
        self.current: Bundle | None = None
        self._told = record
        self._folder, self._admission, self._store = Folder(folder, load), admission, admission.store
        self._of_folder, self._of_state = Trouble(), Trouble()
        self._judged: str | None = None  # the hash of what the folder held when it was last found good
        self._followed: int | None = None  # the activation that is in force here
        self._passed: int | None = None  # a later one that was refused here
        self._refusals: list[
            tuple[BundleRef | None, HeadgateError]
        ] = []  # to be put on record once it is known what runs

    @property
    def problem(self) -> HeadgateError | None:
        """Why what the folder or the state holds is not in force."""
        return self._of_folder.error or self._of_state.error

    # ---------------------------------------------------------------------------------------------------------- start

    def load_now(self, before: Callable[[], None] = lambda: None) -> Bundle:
        """Put the folder's bundle in force, or else the last good one; HeadgateError if there is none.

        `before` is called before the state is touched, and not at all where no rules could be in force.
        """
        bundle, unread = None, None
        try:
            bundle = self._folder.read_at_rest()
        except HeadgateError as error:
            if not self._store.exists():
                raise
            unread = error
        before()
        self._store.prepare()
        if unread is not None:
            self._refuse(self._of_folder, None, unread)
        found = self._admitted(bundle, starting=True) if bundle else None
        self.current = found or self._resumed()
        self._record(is_news=True)
        troubles = "\n".join(str(trouble.error) for trouble in (self._of_folder, self._of_state) if trouble.error)
        if self.current is None:
            raise HeadgateError(troubles or "no rules are active")
        if troubles:
            log.warning(RESUMED, troubles)
        return self.current

    def _resumed(self) -> Bundle | None:
        """The last good bundle of the state: the active one, or one that was before it."""
        for entry in candidates(self._store.history()):
            try:
                bundle = self._admission.of_state(ref_of(entry))
            except HeadgateError as error:
                self._refuse(self._of_state, ref_of(entry), error)
                self._passed = self._passed or entry.id
            else:
                self._followed = entry.id
                self._tell(entry)
                return bundle
        return None

    # ------------------------------------------------------------------------------------------------------ following

    async def follow(
        self, interval: float = 1.0, changed: Callable[[Bundle], None] | None = None, folder: bool = True
    ) -> None:
        """Until cancelled: have what is activated, and each change of the folder, in force within about `interval`
        seconds; with `folder` false, only what is activated.

        `changed` is called on the event loop with each bundle, after it has come into force.
        """
        while True:
            await asyncio.sleep(interval / LOOKS)
            bundle = await asyncio.to_thread(self._look, folder)
            if bundle is not None:
                self.current = bundle
                log.info("rules `%s` %s are in force", bundle.name, label(bundle))
                if changed:
                    changed(bundle)

    def _look(self, folder: bool) -> Bundle | None:
        """What is to be in force from now on, if anything new is."""
        return (self._look_at_folder() if folder else None) or self._look_at_state()

    def _look_at_folder(self) -> Bundle | None:
        is_other, at_rest = self._folder.look()
        again = self._of_folder.is_due()
        if not (at_rest and (is_other or again)):
            return None
        try:
            bundle = self._folder.read()
        except UnsettledError:
            return None  # the next looks see that it is another
        except HeadgateError as error:
            if self._refuse(self._of_folder, None, error):
                log.warning(CHANGED, error)
            return None
        return self._admitted(bundle, starting=False)

    def _admitted(self, bundle: Bundle, *, starting: bool) -> Bundle | None:
        """The folder's bundle, if it may be in force; else it is refused, or another stays by right."""
        fresh, self._judged = bundle.sha256 != self._judged, None
        try:
            entry = self._admission.of_folder(bundle, starting=starting, fresh=fresh)
        except HeadgateError as error:
            if self._refuse(self._of_folder, bundle, error) and not starting:
                log.warning(CHANGED, error)
            return None
        self._judged = bundle.sha256
        self._of_folder.clear()
        if entry is None:
            log.info("the rules in the folder, %s, stay out of force: others were activated", label(bundle))
            return None
        self._take(entry)
        return bundle

    def _look_at_state(self) -> Bundle | None:
        try:
            entry = self._store.active()
        except HeadgateError as error:
            if self._of_state.note(error, None):
                log.warning(UNREAD, error)
            return None
        again = self._of_state.is_due()
        if entry is None or entry.id == self._followed:
            self._of_state.clear()
            return None
        if entry.id == self._passed and not again:
            return None
        return self._activated(entry)

    def _activated(self, entry: Activation) -> Bundle | None:
        """What somebody activated or rolled back to, if it may be in force here and is not."""
        ref = ref_of(entry)
        if self.current is not None and self.current.sha256 == ref.sha256:
            self._take(entry)
            return None
        try:
            bundle = self._admission.of_state(ref)
        except HeadgateError as error:
            self._passed = entry.id
            if self._refuse(self._of_state, ref, error):
                log.warning(ACTIVATED, error)
            return None
        self._take(entry)
        return bundle

    def _take(self, entry: Activation) -> None:
        """This activation is what is in force here from now on; a folder that was refused with the same is at peace."""
        if self._followed != entry.id:
            self._tell(entry)
        self._followed, self._passed = entry.id, None
        self._of_state.clear()
        if self._of_folder.sha256 == entry.sha256:
            self._of_folder.clear()
            self._judged = entry.sha256

    def _tell(self, entry: Activation) -> None:
        if self._told:
            self._told.activated(entry)

    def _refuse(self, trouble: Trouble, refused: BundleRef | None, error: HeadgateError) -> bool:
        """Take note of a refusal and, when rules are in force, put it on record; whether it says anything new."""
        is_news = trouble.note(error, refused.sha256 if refused else None)
        if is_news and self._told:
            self._told.refused(refused, error, self.current)
        if not isinstance(error, StateError):  # which is no fault of the rules, and could not be written down either
            self._refusals.append((refused, error))
        if self.current is not None:
            self._record(is_news)
        return is_news

    def _record(self, is_news: bool) -> None:
        try:
            for refused, error in self._refusals:
                self._admission.refused(refused, error, self.current)
        except HeadgateError as failed:
            if is_news:
                log.warning("the refusal cannot be put on record: %s", failed)
        self._refusals.clear()


def candidates(history: History) -> list[Activation]:
    """What may run when the active bundle cannot: first those in the line that led to it, then what was rolled back
    from, for only a proxy that could not follow a rollback comes to that. Each once, the latest first."""
    latest = {entry.sha256: entry for entry in history if entry.how is not How.REFUSED}
    line = dict.fromkeys(reversed(lineage(history)))
    others = (entry.sha256 for entry in reversed(history) if entry.sha256 in latest)
    return [latest[sha256] for sha256 in dict.fromkeys((*line, *others))]
