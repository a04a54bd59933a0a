"""What is made of a bundle once, however many captured exchanges are judged under it."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from headgate.bundle import files
from headgate.masking.detection.cache import Cache
from headgate.masking.plan import Detect, Plan
from headgate.replay.keeping import ANY_KEY
from headgate.replay.rewritten import Rewriting, Texts

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle


@lru_cache(maxsize=16)
def rewriting_of(bundle: "Bundle") -> Rewriting:
    return Rewriting(bundle)


@lru_cache(maxsize=16)
def texts_of(bundle: "Bundle") -> Texts:
    return Texts(bundle.policy, bundle.masking)


@lru_cache(maxsize=16)
def paths_written(bundle: "Bundle") -> dict[str, tuple[str, ...]]:
    return {entry.rule.id: tuple(entry.rule.match.path or ()) for entry in bundle.policy.written.rules}


def targets_digest(bundle: "Bundle") -> str:
    """Of targets.yaml and all files that it may name."""
    return _digest(bundle, files.IDENTITY)


def identity_digest(bundle: "Bundle") -> str:
    """Of identity.yaml and all files that it may name."""
    return _digest(bundle, files.TARGETS)


@lru_cache(maxsize=32)
def _digest(bundle: "Bundle", other: str) -> str:
    others = {files.BUNDLE, files.MASKING, files.POLICY, files.SIGNATURE, other}
    digest = hashlib.sha256()
    for name, data in sorted(bundle.contents.items()):
        if name not in others and not name.startswith(f"{files.POLICY_FOLDER}/"):
            digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(data).digest())
    return digest.hexdigest()


def same_targets(one: "Bundle", other: "Bundle") -> bool:
    return one is other or targets_digest(one) == targets_digest(other)


def remembering() -> Callable[[Plan], Detect]:
    """Detectors without a budget that remember findings in values seen before, without the values."""
    from headgate.masking.detection.detector import Detector

    cache = Cache(ANY_KEY)
    return lru_cache(maxsize=64)(lambda plan: Detector(plan, cache=cache))
