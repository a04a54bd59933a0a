"""Why a token is or is not accepted, check by check, for the person who holds it.

It runs the very checks of tokens.py, in their order, and adds what each found and what it wanted. A signature is never
part of it, nor is the token's text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headgate.identity.jwks import KeySet
from headgate.identity.presets import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.tokens import JUDGING, READING, Case, KeysOf, Token
from headgate.model import Principal


@dataclass(frozen=True, slots=True)
class Step:
    """One check: `reason` is None when it passed; `found` and `required` are shown as they are, or empty."""

    name: str
    reason: Reason | None
    found: str = ""
    required: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """All checks up to the first that failed, and the names of those not reached."""

    steps: tuple[Step, ...]
    not_reached: tuple[str, ...]
    provider: str | None
    principal: Principal | None

    @property
    def reason(self) -> Reason | None:
        return self.steps[-1].reason


def inspect(text: str, rules: IdentityRules, keys_of: KeysOf, now: float) -> Inspection:
    token = Token(text)
    steps: list[Step] = []
    for name, check in READING:
        steps.append(Step(name, check(token)))
        if steps[-1].reason:
            return _ended(steps, None, None)
    provider = rules.by_issuer.get(token.claims["iss"])
    known = ", ".join(rules.by_issuer) or "no provider"
    steps.append(Step("provider", None if provider else Reason.ISSUER_UNKNOWN, token.claims["iss"], known))
    if provider is None:
        return _ended(steps, None, None)
    case = Case(token, provider, keys_of(provider), now)
    for step, judge in JUDGING:
        reason = judge(case)
        found, required = FACTS.get(step, _nothing)(case)
        steps.append(Step(step, reason, found, required))
        if reason:
            return _ended(steps, provider, None)
    return _ended(steps, provider, case.principal)


def _ended(steps: list[Step], provider: Provider | None, principal: Principal | None) -> Inspection:
    order = [*(name for name, _ in READING), "provider", *(name for name, _ in JUDGING)]
    return Inspection(tuple(steps), tuple(order[len(steps) :]), provider.name if provider else None, principal)


def _nothing(case: Case) -> tuple[str, str]:  # noqa: ARG001 - one signature for all facts
    return "", ""


def _algorithm(case: Case) -> tuple[str, str]:
    return str(case.token.algorithm), ", ".join(sorted(case.provider.algorithms))


def _key(case: Case) -> tuple[str, str]:
    kid = case.token.kid or "no kid"
    if isinstance(case.keys, Rejected):
        return kid, "no keys"
    return kid, _kids(case.keys)


def _kids(keys: KeySet) -> str:
    return ", ".join(f"{key.kid or 'no kid'} ({', '.join(sorted(key.algorithms))})" for key in keys.keys)


def _issuer(case: Case) -> tuple[str, str]:
    return str(case.token.claims["iss"]), case.provider.issuer


def _audience(case: Case) -> tuple[str, str]:
    named = case.token.claims.get("aud", "none")
    found = ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    return found, "one of " + ", ".join(sorted(case.provider.audiences))


def _expiry(case: Case) -> tuple[str, str]:
    return _time(
        case.token.claims.get("exp")
    ), f"after {_time(case.now)}, {case.provider.clock_skew:g} s of skew granted"


def _not_before(case: Case) -> tuple[str, str]:
    return _time(case.token.claims.get("nbf")), f"absent, or not after {_time(case.now)}"


def _issued_at(case: Case) -> tuple[str, str]:
    return _time(case.token.claims.get("iat")), f"absent, or not after {_time(case.now)}"


def _lifetime(case: Case) -> tuple[str, str]:
    longest = case.provider.max_lifetime
    return "", "any" if longest is None else f"up to {longest:.0f} s after its time of issue"


def _caller(case: Case) -> tuple[str, str]:
    caller = case.principal
    return (f"{caller.kind} {caller.id}" if caller else "none"), "an id, a kind, and well-formed claims"


FACTS: Mapping[str, Callable[[Case], tuple[str, str]]] = {
    "algorithm": _algorithm,
    "key": _key,
    "issuer": _issuer,
    "audience": _audience,
    "expiry": _expiry,
    "not before": _not_before,
    "issued at": _issued_at,
    "lifetime": _lifetime,
    "caller": _caller,
}


def _time(value: Any) -> str:
    """A NumericDate for people; whatever else it is, as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 253402300800:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    return "none" if value is None else str(value)[:80]
