"""Why a token is or is not accepted, check by check, for the person who holds it.

It runs the very checks that judge traffic, in their order, and adds what each found and what it wanted (`findings`).
The token's text and its signature are no part of it. Where it would stand in a request is not known here, so whoever
could be meant by it, at any place, is thought of; what a single request adds, a proof of possession, is left out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from headgate.identity.callers import Callers, Made
from headgate.identity.credentials import Presented, Shown
from headgate.identity.findings import IN_USE, JUDGED, READ, Finding, Use, of_provider
from headgate.identity.jwks import KeySet
from headgate.identity.memory import Memory
from headgate.identity.presets import BEARER, CERTIFICATE, FORWARDED_CERTIFICATE
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.releases import Releases
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.identity.tokens import JUDGING, READING, Case, Token
from headgate.model import Principal

KeysFor = Callable[[Provider, str | None], KeySet | Rejected]
"""The keys of a provider that a token naming this key id may be verified with."""

PROVIDER = "provider"
NOT_ALONE = {Reason.PROOF_MISSING, Reason.WORKLOAD_ONLY}
"""What is missing from a request that shows this token and nothing else, which is no fault of the token's."""

_NOBODY = Revocations({})


@dataclass(frozen=True, slots=True)
class Step:
    """One check: `reason` is None when it passed; `found` and `required` are in words, or empty."""

    name: str
    reason: Reason | None
    found: str = ""
    required: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """All checks up to the first that failed, and the names of those not reached.

    `places` are where the token must stand. Only of an accepted one: `principal` is its caller, as the list of releases
    has it now; `listed` says for each of its environments whether its code is on that list, None where there is none;
    `revoked` is None where it is not known; with `needs_proof` each request needs a proof of the key that it is bound
    to; with `workload` another token has to say who calls.
    """

    steps: tuple[Step, ...]
    not_reached: tuple[str, ...]
    provider: str | None = None
    places: tuple[str, ...] = ()
    principal: Principal | None = None
    needs_proof: bool = False
    workload: bool = False
    revoked: bool | None = None
    listed: Mapping[str, bool] | None = None

    @property
    def reason(self) -> Reason | None:
        return self.steps[-1].reason


ORDER = (*(name for name, _ in READING), PROVIDER, *(name for name, _ in JUDGING), *IN_USE)


def inspect(
    text: str, rules: IdentityRules, keys_for: KeysFor, now: float, revocations: Revocations | None = None
) -> Inspection:
    """What the rules make of the token at `now` (seconds since the epoch); `revocations` is None where none are known.

    Of several providers, at several places, that it may be meant for, the one that gets furthest with it tells.
    """
    token = Token(text, padded="=" in text)
    steps = _read(token)
    if steps[-1].reason:
        return _ended(steps)
    meant = _meant(token, rules)
    if isinstance(meant, Reason):
        return _ended([*steps, _step(PROVIDER, meant, of_provider(token, rules))])
    found = [_of(provider, text, rules, keys_for, now, revocations) for provider in meant]
    return max(found, key=lambda one: (one.reason is None, len(one.steps)))


def in_words(place: str, *, bound: bool = False) -> str:
    """A place as people know it; `bound` is for a token that needs a proof of possession."""
    kind, _, name = place.partition(":")
    if place == BEARER:
        return "`Authorization: DPoP`" if bound else "`Authorization: Bearer`, to a forward proxy `Proxy-Authorization`"
    return f"{kind} `{name}`" if name else f"the {kind} of the connection"


def _read(token: Token) -> list[Step]:
    steps: list[Step] = []
    for name, check in READING:
        steps.append(_step(name, check(token), READ[name](token)))
        if steps[-1].reason:
            break
    return steps


def _meant(token: Token, rules: IdentityRules) -> list[Provider] | Reason:
    """Whose token it says it is: one provider for each place that any reads, or why there is none."""
    places = [place for place in rules.places if place not in (CERTIFICATE, FORWARDED_CERTIFICATE)]
    at_places = [rules.provider_of(token.header, token.claims, (place,)) for place in places]
    found = {provider.name: provider for provider in at_places if isinstance(provider, Provider)}
    if found:
        return list(found.values())
    nobody = rules.provider_of(token.header, token.claims, places)
    return nobody if isinstance(nobody, Reason) else [nobody]


def _of(
    provider: Provider,
    text: str,
    rules: IdentityRules,
    keys_for: KeysFor,
    now: float,
    revocations: Revocations | None,
) -> Inspection:
    """The token as this provider's; its segments are read as they must be at its places."""
    token = Token(text, provider.shape.pads(text))
    steps = _read(token)
    if steps[-1].reason:
        return _ended(steps, provider)
    steps.append(_step(PROVIDER, None, of_provider(token, rules)))
    case = Case(token, provider, keys_for(provider, token.kid), now)
    for name, check in JUDGING:
        steps.append(_step(name, check(case), JUDGED[name](case)))
        if steps[-1].reason:
            return _ended(steps, provider)
    return _in_use(case, case.principal, rules, revocations, steps) if case.principal else _ended(steps, provider)


def _in_use(
    case: Case, principal: Principal, rules: IdentityRules, revocations: Revocations | None, steps: list[Step]
) -> Inspection:
    """What the moment decides of a token that is valid."""
    alone = _shown_alone(case, rules)
    use = Use(
        caller=rules.releases.judged(principal, case.now) if rules.releases else principal,
        binding=rules.binding.dpop,
        revoked=None if revocations is None else revocations.covers(principal, case.now),
        listed=_listed(principal, rules.releases, case.now) if rules.releases else None,
    )
    failed = {
        "possession": None if alone in NOT_ALONE else alone,
        "revocation": Reason.REVOKED if use.revoked else None,
    }
    for name, finding in IN_USE.items():
        steps.append(_step(name, failed.get(name), finding(case, use)))
        if steps[-1].reason:
            return _ended(steps, case.provider)
    return replace(
        _ended(steps, case.provider),
        principal=use.caller,
        needs_proof=alone is Reason.PROOF_MISSING,
        workload=case.provider.workload,
        revoked=use.revoked,
        listed=use.listed,
    )


def _shown_alone(case: Case, rules: IdentityRules) -> Reason | None:
    """Why a request with this token and nothing else is refused, whatever has been revoked."""
    callers = Callers(lambda _: case.keys, lambda: _NOBODY, Replays(case.now), Memory())
    token = Shown(case.token.text, case.provider.shape.places, bound=case.thumbprint is not None)
    outcome = callers.identify(Presented((token,)), Made("GET", "/"), rules, case.now)
    return outcome.reason if isinstance(outcome, Rejected) else None


def _listed(principal: Principal, releases: Releases, now: float) -> Mapping[str, bool]:
    """Whether the caller's code is a release, for each of its environments by itself."""

    def verified(environments: Iterable[str]) -> bool:
        return releases.judged(replace(principal, environments=frozenset(environments)), now).workload.verified

    return {environment: verified((environment,)) for environment in sorted(principal.environments)}


def _step(name: str, reason: Reason | None, finding: Finding) -> Step:
    return Step(name, reason, finding.found, finding.required)


def _ended(steps: list[Step], provider: Provider | None = None) -> Inspection:
    name, places = (provider.name, provider.shape.places) if provider else (None, ())
    return Inspection(tuple(steps), ORDER[len(steps) :], name, places)
