"""Tokens that have been verified, so that a caller's next request does not pay for the same signature again.

What is remembered is what the token itself decides: that one provider, as the rules in force describe it, accepts its
signature and claims under one set of keys. What the moment decides is checked each time. A reload of the rules or a
fetch of the keys makes a new provider or a new set, and so forgets without being told. That a signature does not verify
is remembered for some seconds, apart from the others, so that it can drive none of them out. Tokens are kept as
digests only, and the longest unused goes first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from headgate.identity.certificates import verify_certificate
from headgate.identity.credentials import Shown
from headgate.identity.jwks import KeySet
from headgate.identity.presets import PADDED
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.tokens import Case, KeysOf, judged, read, untimely
from headgate.model import Principal

SIZE = 4096
BAD_FOR = 5.0
"""Seconds for which a bad signature is remembered."""
CHAIN_GOOD_FOR = 60.0
"""Seconds for which a chain is believed without being verified again: one of its authorities may expire meanwhile."""

MISSING_KEYS = frozenset((Reason.UNKNOWN_KEY, Reason.KEYS_UNAVAILABLE, Reason.KEYS_STALE))


@dataclass(frozen=True, slots=True)
class KeyWanted(Rejected):
    """A caller that would perhaps be believed if the keys of `provider` were newer."""

    provider: Provider
    kid: str | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What one proof shows. With a `thumbprint` it counts only together with a proof of that key's possession."""

    provider: Provider
    principal: Principal
    thumbprint: str | None = None


@dataclass(frozen=True, slots=True)
class _Bad:
    provider: Provider
    keys: KeySet
    until: float


@dataclass(slots=True)
class Memory:
    """Verified tokens and certificates, `size` of each at most."""

    size: int = SIZE
    _cases: OrderedDict[bytes, Case] = field(default_factory=OrderedDict, repr=False)
    _bad: OrderedDict[bytes, _Bad] = field(default_factory=OrderedDict, repr=False)
    _chains: OrderedDict[bytes, tuple[Verified, float]] = field(default_factory=OrderedDict, repr=False)

    def token(self, shown: Shown, rules: IdentityRules, keys_of: KeysOf, now: float) -> Verified | Rejected:
        """Who calls with this token, by the one provider whose it says it is."""
        digest = hashlib.sha256(" ".join((*shown.places, shown.text)).encode()).digest()
        case = self._cases.get(digest)
        if case is None or case.provider not in rules or keys_of(case.provider) is not case.keys:
            return self._verify(digest, shown, rules, keys_of, now)
        self._cases.move_to_end(digest)
        if reason := untimely(case, now):
            return Rejected(reason)
        return _verified(case)

    def _verify(
        self, digest: bytes, shown: Shown, rules: IdentityRules, keys_of: KeysOf, now: float
    ) -> Verified | Rejected:
        self._cases.pop(digest, None)
        padded = any(PADDED[place].pads(shown.text) for place in shown.places if place in PADDED)
        token = read(shown.text, padded=padded)
        if isinstance(token, Rejected):
            return token
        provider = rules.provider_of(token.header, token.claims, shown.places)
        if isinstance(provider, Reason):
            return Rejected(provider)
        keys = keys_of(provider)
        bad = self._bad.get(digest)
        if bad and bad.provider is provider and bad.keys is keys and now < bad.until:
            return Rejected(Reason.SIGNATURE_INVALID)
        case = judged(token, provider, keys, now)
        if isinstance(case, Rejected):
            if case.reason is Reason.SIGNATURE_INVALID and isinstance(keys, KeySet):
                _put(self._bad, digest, _Bad(provider, keys, now + BAD_FOR), self.size)
            newer = case.reason in MISSING_KEYS or (case.reason is Reason.SIGNATURE_INVALID and token.kid is None)
            return KeyWanted(case.reason, provider, token.kid) if newer else case
        if isinstance(keys, KeySet) and case.principal is not None:
            case.token.forget()
            _put(self._cases, digest, case, self.size)
        return _verified(case)

    def certificates(self, chain: Sequence[bytes], rules: IdentityRules, now: float) -> Verified | Rejected:
        """Whose certificates these are (DER, the caller's own first), by the one provider whose authorities say so."""
        digest = hashlib.sha256(b"".join(hashlib.sha256(der).digest() for der in chain)).digest()
        known, until = self._chains.get(digest, (None, 0.0))
        if known is not None and known.provider in rules and now < until:
            self._chains.move_to_end(digest)
            return known
        tried = [_certificate(chain, provider, now) for provider in rules.certificates]
        found = [verified for verified in tried if isinstance(verified, Verified)]
        if len(found) > 1:
            return Rejected(Reason.ISSUER_AMBIGUOUS)
        if not found:
            return next((one for one in tried if isinstance(one, Rejected)), Rejected(Reason.NO_TOKEN))
        until = min(now + CHAIN_GOOD_FOR, found[0].principal.expires_at or now)
        _put(self._chains, digest, (found[0], until), self.size)
        return found[0]


def _certificate(chain: Sequence[bytes], provider: Provider, now: float) -> Verified | Rejected:
    if provider.authorities is None:
        return Rejected(Reason.KEYS_UNAVAILABLE)
    claims = verify_certificate(chain, provider.authorities, now)
    if isinstance(claims, Reason):
        return Rejected(claims)
    principal = provider.mapped.principal(claims, frozenset(), claims["exp"])
    return Rejected(principal) if isinstance(principal, Reason) else Verified(provider, principal)


def _verified(case: Case) -> Verified | Rejected:
    if case.principal is None:
        return Rejected(Reason.ID_MISSING)
    return Verified(case.provider, case.principal, case.thumbprint)


def _put[Value](memory: OrderedDict[bytes, Value], digest: bytes, value: Value, size: int) -> None:
    memory[digest] = value
    memory.move_to_end(digest)
    while len(memory) > size:
        memory.popitem(last=False)
