"""What a bundle has to meet before it comes into force, whoever asks for that: the command, or a proxy for its folder.

Each check raises HeadgateError, which names the bundle that is refused and the one that stays. Whether signatures are
required, and by which key, is set outside of all bundles, so that none can switch it off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headgate.bundle import signing
from headgate.bundle.files import SIGNATURE
from headgate.bundle.load import Bundle, label
from headgate.bundle.versions import Activation, History, How, active, out_of_order
from headgate.bundle.written import pinned
from headgate.errors import HeadgateError
from headgate.model import BundleRef

SHOWN = 10
"""How many failed tests are named."""


def no_tests(_: Bundle) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Demands:
    """`prove` runs a bundle's own tests and gives a line for each that fails; `key` must have signed each bundle."""

    prove: Callable[[Bundle], list[str]] = no_tests
    key: Ed25519PublicKey | None = None

    def check_signature(self, bundle: BundleRef, contents: Mapping[str, bytes]) -> None:
        if self.key is not None:
            signing.check(bundle, contents.get(SIGNATURE), self.key)

    def check_tests(self, bundle: Bundle, history: History) -> None:
        failed = self.prove(bundle)
        if failed:
            lines = [f"{shown(bundle)} fail {len(failed)} of their own tests{staying(history)}:", *failed[:SHOWN]]
            lines += [f"and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
            raise HeadgateError("\n".join(lines))


def check_order(bundle: Bundle, history: History, how: How) -> None:
    if problem := out_of_order(bundle, history, how):
        raise HeadgateError(f"{shown(bundle)} are not activated{staying(history)}: {problem}")


def unpinned(bundle: Bundle, history: History, stored: Callable[[str], Mapping[str, bytes]]) -> list[str]:
    """The pinned rules of the active bundle that the new one changes or lacks, in words."""
    now = active(history)
    pins = pinned(stored(now.sha256)) if now and now.sha256 else {}
    if not pins:
        return []
    there = pinned(bundle.contents)
    known = {rule.ref.id for rule in bundle.policy.rules}
    lost = [name for name, rule in sorted(pins.items()) if there.get(name) != rule]
    return [f"`{name}` {'changed' if name in known else 'removed'}" for name in lost]


def check_pins(bundle: Bundle, history: History, stored: Callable[[str], Mapping[str, bytes]]) -> None:
    """`stored` gives the files of a bundle by its hash."""
    accepted = "accepted: pinned rules as they are, or `headgate rules activate --unpin`"
    try:
        lost = unpinned(bundle, history, stored)
    except HeadgateError as error:
        what = f"{error}, so that nobody knows what it pins"
        raise HeadgateError(f"{shown(bundle)} are not activated{staying(history)}: {what}; {accepted}") from None
    if lost:
        what = f"pinned rule{'' if len(lost) == 1 else 's'} {', '.join(lost)}"
        raise HeadgateError(f"{shown(bundle)} are not activated{staying(history)}: {what}; {accepted}")


def shown(bundle: BundleRef) -> str:
    return f"rules `{bundle.name}` {label(bundle)}"


def ref_of(entry: Activation) -> BundleRef:
    return BundleRef(entry.name or "", entry.version or "", entry.sha256 or "")


def staying(history: History) -> str:
    now = active(history)
    return f", {label(ref_of(now))} stays active" if now else ""
