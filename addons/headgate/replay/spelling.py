"""The path of a captured request as it would be read where its target is described otherwise: what is recorded is the
spelling that was decided on and sent, by what the target's `paths` then said.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.identity.paths import canonical
from headgate.identity.reasons import Malformed
from headgate.model import STRICT, Target
from headgate.replay.recorded import Recorded

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry


def target_of(bundle: "Bundle", entry: "Entry") -> Target | None:
    """Where a captured request goes; a tunnel carries TLS."""
    summary = entry.summary
    scheme = "https" if summary.method == "CONNECT" else summary.scheme
    return bundle.targets.resolve(scheme, summary.host, summary.port)


def spelled_for(known: Recorded, before: Target | None, now: Target | None) -> tuple[Recorded, str | None]:
    """The request with its path as `now` spells it, or why that one refuses it; where what it was before is not
    recorded, nothing that asks for it is known. `before` is None where it is not known how it was spelled."""
    rules = now.paths if now else STRICT
    were = before.paths if before else rules
    if "path" in known.lost or (before is not None and rules == were):
        return known, None
    if (were.fold_case and not rules.fold_case) or (were.merge_slashes and not rules.merge_slashes):
        return replace(known, lost=known.lost | {"path"}), None
    spelled = canonical(known.request.path, rules)
    if isinstance(spelled, Malformed):
        return (known, spelled.value) if before is not None else (known, None)
    return replace(known, request=replace(known.request, path=spelled)), None
