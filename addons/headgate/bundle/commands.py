"""What a person does to the versions in a state: activate one, roll back to one, name one.

Proxies with that state follow within a second, each after its own look at the signature. Nothing is recorded for rules
that do not meet what is demanded, and nothing twice for what is active already, unless a proxy has refused it since.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from headgate.bundle.activation import Demands, check_order, check_pins, shown, unpinned
from headgate.bundle.load import Bundle, label
from headgate.bundle.restore import restore
from headgate.bundle.store import BundleStore, Stored
from headgate.bundle.versions import Activation, History, How, active, former, was_refused
from headgate.errors import HeadgateError
from headgate.model import BundleRef

ACTIVE = "active"
SHORTEST = 4
"""Digits of a hash that may stand for it."""


class Done(NamedTuple):
    """What was activated; `entry` is None when it was active already. `unpinned`: the pinned rules that gave way."""

    bundle: Bundle
    entry: Activation | None
    unpinned: Sequence[str] = ()


def activate(
    store: BundleStore, bundle: Bundle, demands: Demands, *, by: str, now: float, note: str = "", unpin: bool = False
) -> Done:
    """Put a bundle in force; HeadgateError says why it must not be."""
    history = store.history()
    before = active(history)
    demands.check_signature(bundle, bundle.contents)
    lost: Sequence[str] = ()
    if before is not None and before.sha256 == bundle.sha256:
        is_new = store.keep(bundle, by=by, now=now)
        if not is_new and not was_refused(bundle.sha256, history):
            return Done(bundle, None)
    else:
        check_order(bundle, history, How.ACTIVATE)
        if unpin:
            lost = _lost(bundle, history, store)
        else:
            check_pins(bundle, history, store.contents)
    demands.check_tests(bundle, history)
    entry = store.activate(bundle, How.ACTIVATE, by=by, now=now, after=before, note=_noted(note, lost))
    return Done(bundle, entry, lost)


def roll_back(
    store: BundleStore, to: BundleRef | None, demands: Demands, *, by: str, now: float, note: str = ""
) -> Done:
    """Put a stored bundle in force again, by default the good one before the active one."""
    history = store.history()
    before = active(history)
    ref = to or _former(store, history)
    contents = store.contents(ref.sha256)
    demands.check_signature(ref, contents)
    bundle = restore(contents, ref, store.state)
    if before is not None and before.sha256 == ref.sha256:
        return Done(bundle, None)
    demands.check_tests(bundle, history)
    lost = _lost(bundle, history, store)
    entry = store.activate(bundle, How.ROLLBACK, by=by, now=now, after=before, note=_noted(note, lost))
    return Done(bundle, entry, lost)


def find(store: BundleStore, name: str) -> Stored:
    """The stored bundle that `name` means: `active`, a version, a version with the digits shown, or part of a hash."""
    stored = store.stored()
    if name == ACTIVE:
        now = store.active()
        found = [one for one in stored if now is not None and one.sha256 == now.sha256]
    else:
        found = [one for one in stored if _means(name, one)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"`{label(one)}`" for one in found[-5:])
        raise HeadgateError(f"`{name[:80]}` may mean several versions: {listed}; accepted: more of the hash")
    accepted = f"accepted: `{ACTIVE}`, a version, or {SHORTEST} digits or more of a hash, from `headgate rules history`"
    raise HeadgateError(f"`{name[:80]}` is no version in the state `{store.path}`; {accepted}")


def _means(name: str, stored: BundleRef) -> bool:
    if name in (stored.version, label(stored)):
        return True
    return bool(re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", name)) and stored.sha256.startswith(name)


def _former(store: BundleStore, history: History) -> BundleRef:
    sha256 = former(history)
    found = [one for one in store.stored() if one.sha256 == sha256]
    if not found:
        raise HeadgateError("nothing good was active before; accepted: the hash of a version to go back to")
    return found[0]


def _lost(bundle: Bundle, history: History, store: BundleStore) -> Sequence[str]:
    try:
        return unpinned(bundle, history, store.contents)
    except HeadgateError:
        return (f"what {shown(bundle)} replaces cannot be read",)


def _noted(note: str, lost: Sequence[str]) -> str:
    """What somebody says about it, and which pinned rules gave way."""
    return "; ".join(filter(None, (f"unpinned: {', '.join(lost)}" if lost else "", note)))
