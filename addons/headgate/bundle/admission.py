"""What a proxy does before a bundle comes into force in it: judged by the history, its demands met, put on record.

A bundle of the folder is recorded before it is in force, so that every proxy with the same state, and this one after a
restart, runs it too; what is active already is recorded once, whoever of them was first. A bundle of the state was
judged and recorded by whoever activated it; that it is what was stored and, where that is required, signed, is for each
proxy to see.
"""

from collections.abc import Callable

from headgate.bundle.activation import Demands, check_order, check_pins
from headgate.bundle.load import Bundle
from headgate.bundle.restore import restore
from headgate.bundle.store import BundleStore, SupersededError
from headgate.bundle.versions import Activation, History, How, active, out_of_order, was_active, was_rolled_back
from headgate.errors import HeadgateError
from headgate.model import BundleRef

ATTEMPTS = 5
"""How often a bundle is judged anew because others were activated meanwhile."""

Prepare = Callable[[Bundle], None]


class Admission:
    """`prepare` has the last word on a bundle: what it raises refuses it. Everything here may wait for a disk."""

    def __init__(
        self, store: BundleStore, demands: Demands, prepare: Prepare, clock: Callable[[], float], by: str
    ) -> None:
        self.store, self._demands, self._prepare = store, demands, prepare
        self._clock, self._by = clock, by

    def of_folder(self, bundle: Bundle, *, starting: bool, fresh: bool) -> Activation | None:
        """Under which activation the folder's bundle may be in force; None where another one stays by right.

        `fresh`: the folder holds another bundle than when it was last judged. HeadgateError refuses the bundle.
        """
        for _ in range(ATTEMPTS):
            history = self.store.history()
            now = active(history)
            if now is not None and now.sha256 == bundle.sha256:
                self._demands.check_signature(bundle, bundle.contents)
                self._prepare(bundle)
                self.store.keep(bundle, by=self._by, now=self._clock())
                return now
            if now is not None and (not fresh or stays_away(bundle, history, starting=starting)):
                return None
            self._check(bundle, history)
            self._prepare(bundle)
            try:
                return self.store.activate(bundle, How.FOLDER, by=self._by, now=self._clock(), after=now)
            except SupersededError:
                continue
        raise HeadgateError("other rules are activated again and again; the folder's are tried later")

    def of_state(self, ref: BundleRef) -> Bundle:
        """A bundle that was activated, as it was stored; HeadgateError when it must not be in force here."""
        contents = self.store.contents(ref.sha256)
        self._demands.check_signature(ref, contents)
        bundle = restore(contents, ref, self.store.state)
        self._prepare(bundle)
        return bundle

    def refused(self, bundle: BundleRef | None, why: HeadgateError, previous: BundleRef | None) -> None:
        """Put a refusal on record; `previous` stays in force."""
        sha256 = previous.sha256 if previous else None
        self.store.refuse(bundle, str(why), by=self._by, now=self._clock(), previous=sha256)

    def _check(self, bundle: Bundle, history: History) -> None:
        self._demands.check_signature(bundle, bundle.contents)
        check_order(bundle, history, How.FOLDER)
        check_pins(bundle, history, self.store.contents)
        self._demands.check_tests(bundle, history)


def stays_away(bundle: BundleRef, history: History, *, starting: bool) -> bool:
    """Whether a folder rightly holds what is not in force: it was rolled back from, or newer rules were activated."""
    if was_rolled_back(bundle.sha256, history):
        return True
    older = out_of_order(bundle, history, How.FOLDER) is not None
    return starting and older and was_active(bundle.sha256, history)
