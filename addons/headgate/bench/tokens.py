"""Verifying an ES256 token that was never seen before, against what PyJWT alone takes for it; and one seen before.

PyJWT is asked for the same: signature, issuer, audience, expiry. The chain checks more (each member once, canonical
encodings, the key's declared use, the form of each claim) and makes a principal of it.
"""

import json
from collections.abc import Callable, Iterator
from itertools import repeat

import jwt

from headgate.bench.bundle import token
from headgate.bench.figures import Bar, Figure
from headgate.bench.timing import Sample, in_turns, ratios
from headgate.demo.provider import ALGORITHM, AUDIENCE, ISSUER, Signer
from headgate.errors import HeadgateError
from headgate.identity.callers import Callers, Made
from headgate.identity.claims import Mapped, Row
from headgate.identity.credentials import Presented, Shown
from headgate.identity.jwks import parse_jwks
from headgate.identity.memory import Memory
from headgate.identity.presets import BEARER, PRESETS
from headgate.identity.provider import IdentityRules, Provider
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.match.pointers import pointer
from headgate.model import Kind, Principal

BATCH = 100
CALL = Made("GET", "/")


def measure(rounds: int, clock: Callable[[], float]) -> list[Figure]:
    signer = Signer(clock)
    minted = 2 * BATCH * (rounds + 1)  # each new token is verified once only, by one of the two
    new = iter([token(signer, f"caller-{at}") for at in range(minted)])
    works = {
        "new": _headgate(signer, new, clock),
        "again": _headgate(signer, repeat(token(signer, "caller")), clock),
        "alone": _pyjwt(signer, new),
    }
    each = in_turns(works, rounds)
    taken = {name: Sample.of(values) for name, values in each.items()}
    reference = f"PyJWT's own `decode` alone, {taken['alone'].median:.0f} us"
    against = ratios(each["new"], each["alone"])
    return [
        Figure("verifying a new ES256 token", against, "x", reference, Bar("at most", 1.3, "1.3 x")),
        Figure("verifying a new ES256 token", taken["new"], "us", "none"),
        Figure("verifying a token seen before", taken["again"], "us", "none", Bar("at most", 15, "15 us")),
    ]


def _headgate(signer: Signer, tokens: Iterator[str], clock: Callable[[], float]) -> Callable[[], int]:
    keys, known = parse_jwks(signer.jwks()), provider()
    rules, nobody = IdentityRules((known,)), Revocations.of(())
    callers = Callers(lambda _: keys, lambda: nobody, Replays(0.0), Memory())

    def work() -> int:
        for _ in range(BATCH):
            shown = Presented((Shown(next(tokens), (BEARER,)),))
            found = callers.identify(shown, CALL, rules, clock())
            if not isinstance(found, Principal):
                raise HeadgateError(f"a token of the benchmark is not believed: {found.reason}")
        return BATCH

    return work


def provider() -> Provider:
    places = {**PRESETS["oidc"].claims, "environment": ("/env",)}
    paths = {name: tuple(map(pointer, alternatives)) for name, alternatives in places.items()}
    return Provider(
        name="bench",
        preset="oidc",
        issuer=ISSUER,
        audiences=frozenset({AUDIENCE}),
        algorithms=frozenset({ALGORITHM}),
        mapped=Mapped("bench", ISSUER, paths, (Row((), Kind.HUMAN),)),
        clock_skew=30.0,
        names=frozenset({ISSUER}),
    )


def _pyjwt(signer: Signer, tokens: Iterator[str]) -> Callable[[], int]:
    key = jwt.PyJWK(json.loads(signer.jwks())["keys"][0]).key

    def work() -> int:
        for _ in range(BATCH):
            jwt.decode(next(tokens), key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER)
        return BATCH

    return work
