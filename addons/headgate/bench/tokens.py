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
from headgate.identity.claims import KindRow, Mapped, pointer
from headgate.identity.jwks import parse_jwks
from headgate.identity.memory import Memory
from headgate.identity.presets import PRESETS, IdentityRules, Provider
from headgate.model import Kind, Principal

BATCH = 100


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
    rules, memory = IdentityRules((known,), by_issuer={ISSUER: known}), Memory()

    def work() -> int:
        for _ in range(BATCH):
            found = memory.authenticate(next(tokens), rules, lambda _: keys, clock(), lambda _: None)
            if not isinstance(found, Principal):
                raise HeadgateError(f"a token of the benchmark is not believed: {found.reason}")
        return BATCH

    return work


def provider() -> Provider:
    paths = {name: pointer(path) for name, path in {**PRESETS["oidc"].claims, "environment": "/env"}.items()}
    mapped = Mapped("bench", ISSUER, paths, (KindRow((), Kind.HUMAN),))
    return Provider("bench", "oidc", ISSUER, frozenset({AUDIENCE}), frozenset({ALGORITHM}), mapped, clock_skew=30.0)


def _pyjwt(signer: Signer, tokens: Iterator[str]) -> Callable[[], int]:
    key = jwt.PyJWK(json.loads(signer.jwks())["keys"][0]).key

    def work() -> int:
        for _ in range(BATCH):
            jwt.decode(next(tokens), key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER)
        return BATCH

    return work
