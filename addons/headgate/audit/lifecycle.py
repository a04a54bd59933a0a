"""What the log says of the proxy itself: that it started and stopped, and which rules it took up or refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.audit.leaf import Leaf, LeafKind, event_leaf
from headgate.model import BundleRef

REFUSED = "refused"
LONGEST_NOTE = 2000


def start_leaf(
    now: float,
    *,
    run: str,
    version: str,
    mitmproxy: str,
    bundle: BundleRef,
    options: Mapping[str, Any],
    listeners: Sequence[str],
) -> Leaf:
    """Before anything is listened to. `run` tells proxies that share a log apart and is the same after a restart: where
    it starts again without having stopped, it has crashed."""
    facts = {"version": version, "mitmproxy": mitmproxy, "options": dict(options), "listeners": list(listeners)}
    return event_leaf(LeafKind.START, now, run=run, bundle=_named(bundle), **facts)


def stop_leaf(now: float, *, run: str, counters: Mapping[str, int]) -> Leaf:
    return event_leaf(LeafKind.STOP, now, run=run, counters=dict(counters))


def activation_leaf(
    now: float, *, how: str, bundle: BundleRef | None, by: str, note: str, previous: str | None
) -> Leaf:
    """Rules that come into force here, or (`how` is `refused`, `note` says why) do not; `previous` is the hash of those
    that were in force before, and stay where these are refused. Rules that could not be read have no `bundle`."""
    said = {"how": how, "bundle": _named(bundle) if bundle else None, "by": by, "note": note[:LONGEST_NOTE]}
    return event_leaf(LeafKind.ACTIVATION, now, **said, previous=previous)


def _named(bundle: BundleRef) -> dict[str, str]:
    return {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
