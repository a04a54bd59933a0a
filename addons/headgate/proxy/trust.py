"""What stands beside the requests: the keys of providers and of this proxy, what has been revoked, which release list
was last accepted, and which signals are set.

`prepare` is asked before rules come into force: rules whose secrets cannot be had, or whose release list is older than
the one before, are refused as a whole, and the last good ones stay. `take_up` follows what the rules in force name.
"""

import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from headgate.bundle.load import Bundle
from headgate.errors import HeadgateError
from headgate.identity.assertion import AssertionKey, AssertionKeys
from headgate.identity.development import DevelopmentKey
from headgate.identity.keys import KeyRing
from headgate.identity.presets import DEVELOPMENT
from headgate.identity.provider import IdentityRules
from headgate.identity.releases import Releases
from headgate.identity.replays import Replays
from headgate.identity.revocations import RevocationList
from headgate.identity.store import IdentityStore
from headgate.masking.detection.language import require_model
from headgate.masking.rules import MaskingRules
from headgate.masking.tokens import FIELD, token, token_key
from headgate.policy.signals import SignalBoard
from headgate.policy.store import SignalStore


class Trust:
    """Everything of one proxy process that identity asks; nothing of it is read from a disk while a request waits."""

    def __init__(self, state: Path) -> None:
        self._state, self._store = state, IdentityStore(state)
        self._base = Path.cwd()  # as it is now: a deployment may take the folder away under a running proxy
        self._signers: dict[tuple[str, ...], AssertionKeys] = {}
        self._token_keys: dict[str, bytes] = {}
        self.development: DevelopmentKey | None = None
        self.keys = KeyRing(time.time)
        self.revocations = RevocationList(self._store.latest, time.monotonic)
        self.replays = Replays(time.time())
        self._signals = SignalStore(state)
        self.signals = SignalBoard(self._signals.latest, time.monotonic)

    def open(self) -> None:
        """Make or open the state folder's part of it; HeadgateError when that cannot be."""
        _make_folder(self._state)
        self._store.prepare()
        self.revocations.read_now()
        self._signals.prepare()
        self.signals.read_now()

    def prepare(self, bundle: Bundle) -> None:
        """Have everything ready that these rules need; HeadgateError when they must not come into force.

        May be called in a thread. The order matters: a release list counts as accepted only if nothing else fails.
        """
        rules = bundle.identity
        if self.development is None and any(provider.preset == DEVELOPMENT for provider in rules.providers):
            self.development = DevelopmentKey.open(self._state)
        if rules.forward:
            self._signers[rules.forward.keys] = AssertionKeys.open(rules.forward.keys, os.environ, self._base)
        self._prepare_masks(bundle.masking)
        if rules.releases:
            self._accept(rules.releases)

    def _prepare_masks(self, masks: MaskingRules) -> None:
        if masks.token_key:
            key = token_key(masks.token_key, os.environ, self._base)
            token("0000", FIELD, key)  # the first takes half a second, which no request is to wait for
            self._token_keys[masks.token_key] = key
        if masks.needs_model:
            require_model()

    def token_key(self, masks: MaskingRules) -> bytes:
        """The key of the tokens and hashes of these masks; nothing if they make none."""
        return self._token_keys[masks.token_key] if masks.token_key else b""

    def take_up(self, bundle: Bundle) -> None:
        """Follow the keys that the rules now in force name."""
        self.keys.configure(bundle.identity.providers)

    def signer(self, rules: IdentityRules) -> AssertionKey | None:
        """The key that signs what the upstream is told under these rules."""
        keys = self.published(rules)
        return keys.signing if keys else None

    def published(self, rules: IdentityRules) -> AssertionKeys | None:
        return self._signers.get(rules.forward.keys) if rules.forward else None

    def work(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What has to run for as long as the proxy does, by name."""
        return {
            "the key fetcher": self.keys.run(),
            "the reader of revocations": self.revocations.run(),
            "the reader of signals": self.signals.run(),
        }

    def _accept(self, releases: Releases) -> None:
        if problem := releases.accepts(self._store.accepted_release()):
            raise HeadgateError(problem)
        self._store.accept_release(releases.revision, releases.digest, time.time())


def _make_folder(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise HeadgateError(f"the state folder `{state}` cannot be made: {reason}") from None
