"""Tokens that have been verified, so that a caller's next request does not pay for the same signature again.

What is remembered is what the token itself decides: that one provider, as the rules in force describe it, accepts its
signature and claims under one set of keys. What the moment decides is checked each time. A reload of the rules or a
fetch of the keys makes a new provider or a new set, and so forgets without being told. Tokens are kept as digests
only, and the longest unused goes first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from headgate.identity.jwks import KeySet
from headgate.identity.presets import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.tokens import Case, KeysOf, judged, read, untimely
from headgate.model import Principal

SIZE = 4096


@dataclass(slots=True)
class Memory:
    """Verified tokens, `size` at most."""

    size: int = SIZE
    _cases: OrderedDict[bytes, Case] = field(default_factory=OrderedDict, repr=False)

    def authenticate(
        self,
        text: str,
        rules: IdentityRules,
        keys_of: KeysOf,
        now: float,
        on_unknown_key: Callable[[Provider], None],
    ) -> Principal | Rejected:
        """Who calls with this token, by the one provider whose issuer it names."""
        digest = hashlib.sha256(text.encode()).digest()
        case = self._cases.get(digest)
        if case is None or rules.by_issuer.get(case.provider.issuer) is not case.provider:
            return self._verify(digest, text, rules, keys_of, now, on_unknown_key)
        keys = keys_of(case.provider)
        if keys is not case.keys:
            return self._verify(digest, text, rules, keys_of, now, on_unknown_key)
        self._cases.move_to_end(digest)
        if reason := untimely(case, now):
            return Rejected(reason)
        return case.principal or Rejected(Reason.ID_MISSING)

    def _verify(
        self,
        digest: bytes,
        text: str,
        rules: IdentityRules,
        keys_of: KeysOf,
        now: float,
        on_unknown_key: Callable[[Provider], None],
    ) -> Principal | Rejected:
        self._cases.pop(digest, None)
        token = read(text)
        if isinstance(token, Rejected):
            return token
        provider = rules.by_issuer.get(token.claims["iss"])
        if provider is None:
            return Rejected(Reason.ISSUER_UNKNOWN)
        case = judged(token, provider, keys_of(provider), now)
        if isinstance(case, Rejected):
            if case.reason is Reason.UNKNOWN_KEY:
                on_unknown_key(provider)
            return case
        if isinstance(case.keys, KeySet) and case.principal is not None:
            self._remember(digest, case)
        return case.principal or Rejected(Reason.ID_MISSING)

    def _remember(self, digest: bytes, case: Case) -> None:
        case.token.forget()
        self._cases[digest] = case
        while len(self._cases) > self.size:
            self._cases.popitem(last=False)
