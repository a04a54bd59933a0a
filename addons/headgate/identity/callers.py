"""One caller, out of everything that was shown to prove one.

Each proof must verify; of several, all but one must come from providers that the rules mark `as: workload`, which
describe the code that calls and not who calls. What the moment decides (a proof of possession, a revocation, a release
that is no longer listed) is checked for every request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from headgate.identity.credentials import Presented, Shown
from headgate.identity.dpop import check_proof
from headgate.identity.memory import Memory, Verified
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.identity.tokens import KeysOf
from headgate.identity.xfcc import parse_xfcc
from headgate.model import STRICT, Kind, PathRules, Principal

MOST_TOKENS = 2
"""One of who calls, one of the code that calls: more are refused before they cost a signature each."""

ANONYMOUS = Principal(id="anonymous", kind=Kind.ANONYMOUS, provider="anonymous")


@dataclass(frozen=True, slots=True)
class Made:
    """What a proof of possession is made for; `path` is canonical, or None where none can be given, as in a tunnel."""

    method: str
    path: str | None
    path_rules: PathRules = STRICT


@dataclass(slots=True)
class Callers:
    """Who calls, by the rules in force; remembers what has been verified and which proofs have been used."""

    keys_of: KeysOf
    revocations: Callable[[], Revocations | None]
    replays: Replays
    memory: Memory

    def identify(self, shown: Presented, call: Made | None, rules: IdentityRules, now: float) -> Principal | Rejected:
        """The caller at `now` (seconds since the epoch). Without a `call` a proof of possession has been checked when
        it was shown, and is not checked again."""
        if shown.nothing:
            return ANONYMOUS if rules.anonymous else Rejected(Reason.NO_TOKEN)
        if len(shown.tokens) > MOST_TOKENS:
            return Rejected(Reason.TWO_TOKENS)
        found = self._verify(shown, call, rules, now)
        if isinstance(found, Rejected):
            return found
        caller = combine(found, anonymous=rules.anonymous)
        if isinstance(caller, Rejected):
            return caller
        revoked = self.revocations()
        if revoked is None:
            return Rejected(Reason.REVOCATIONS_UNKNOWN)
        if any(revoked.covers(verified.principal, now) for verified in found):
            return Rejected(Reason.REVOKED)
        return rules.releases.judged(caller, now) if rules.releases else caller

    def _verify(
        self, shown: Presented, call: Made | None, rules: IdentityRules, now: float
    ) -> list[Verified] | Rejected:
        """Each proof by itself; one that does not verify spoils the others. A proof of possession is used up by being
        checked, so that comes last."""
        found: list[Verified] = []
        tokens = [self.memory.token(token, rules, self.keys_of, now) for token in shown.tokens]
        for verified in (*tokens, *self._certificates(shown, rules, now)):
            if isinstance(verified, Rejected):
                return verified
            found.append(verified)
        for token, verified in zip(shown.tokens, found, strict=False):
            if reason := self._unproven(token, verified, shown.proof, call, rules, now):
                return Rejected(reason)
        return found

    def _unproven(
        self, token: Shown, verified: Verified, proof: bytes | None, call: Made | None, rules: IdentityRules, now: float
    ) -> Reason | None:
        """Why a token does not count as it was shown; one that is bound to a key counts with a proof of it only."""
        binding = rules.binding
        if binding.dpop == "off":
            if verified.thumbprint:
                return Reason.KEY_BOUND
            return Reason.UNSUPPORTED_SCHEME if token.bound else None
        if verified.thumbprint is None:
            return Reason.BINDING_REQUIRED if token.bound or binding.dpop == "required" else None
        if proof is None or not token.bound:
            return Reason.PROOF_MISSING
        if call is None:
            return None
        if call.path is None:
            return Reason.PROOF_MISSING
        return check_proof(
            proof.decode("latin-1"),
            method=call.method,
            url=binding.public_url + call.path,
            token=token.text,
            thumbprint=verified.thumbprint,
            now=now,
            replays=self.replays,
            path_rules=call.path_rules,
        )

    def _certificates(self, shown: Presented, rules: IdentityRules, now: float) -> list[Verified | Rejected]:
        found: list[Verified | Rejected] = []
        if shown.certificates:
            found.append(self.memory.certificates(shown.certificates, rules, now))
        if shown.forwarded is not None:
            found += [_forwarded(shown.forwarded, provider, now) for provider in rules.forwarded_certificates]
        return found


def _forwarded(said: bytes, provider: Provider, now: float) -> Verified | Rejected:
    """Whom a trusted peer has verified, without a word of when the certificate ends, or the provider's authorities."""
    claims = parse_xfcc(said, provider.authorities, now)
    if isinstance(claims, Reason):
        return Rejected(claims)
    principal = provider.mapped.principal(claims, frozenset(), claims.get("exp"))
    return Rejected(principal) if isinstance(principal, Reason) else Verified(provider, principal)


def combine(found: Sequence[Verified], *, anonymous: bool) -> Principal | Rejected:
    """The one caller, with what another proof says of its code."""
    callers = [verified for verified in found if not verified.provider.workload]
    workloads = [verified for verified in found if verified.provider.workload]
    if len(callers) > 1 or len(workloads) > 1:
        return Rejected(Reason.TWO_TOKENS)
    if not callers and not anonymous:
        return Rejected(Reason.WORKLOAD_ONLY)
    caller = callers[0].principal if callers else ANONYMOUS
    return _running(caller, workloads[0].principal) if workloads else caller


def _running(caller: Principal, code: Principal) -> Principal:
    """`caller` calling from `code`. Where both say in which environment, only what both say counts."""
    environments = caller.environments | code.environments
    if caller.environments and code.environments:
        environments = caller.environments & code.environments
    ends = [end for end in (caller.expires_at, code.expires_at) if end is not None]
    return replace(
        caller,
        workload=replace(code.workload, name=code.workload.name or code.id),
        environments=environments,
        expires_at=min(ends, default=None),
    )
