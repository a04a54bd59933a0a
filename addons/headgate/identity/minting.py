"""Tokens in the shape of a provider's, signed with a key of one's own, for trying rules out on one's own machine.

Such a token is believed where the provider's keys, as the rules name them, hold that key, and nowhere else. Its issuer,
audience, signer and the claims that are required come from the rules, the rest from the example in `shapes`; then come
the wishes of whoever asks for it. At the end the checks of the proxy say whether it would be accepted.
"""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from headgate.errors import HeadgateError
from headgate.identity.claims import first_match
from headgate.identity.localkeys import LocalKey
from headgate.identity.presets import CERTIFICATE, DEVELOPMENT, FORWARDED_CERTIFICATE
from headgate.identity.provider import Provider
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.shapes import ACCOUNT, SERVICE_TOKEN, SHAPES, Shape
from headgate.identity.tokens import judged, read
from headgate.match.pointers import Pointer, pointer
from headgate.model import Kind

USUAL_LIFETIME = 3600.0
EMAIL = "dev@example.com"
GROUPS = ("support",)

_SLOT = re.compile(r"\{([a-z_]+)\}")
_OPENSSL = (
    "openssl req -x509 -CA ca.pem -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
    "-subj /CN=dev -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=clientAuth "
    "-addext subjectAltName=URI:spiffe://example.org/dev -keyout dev.key -out dev.pem"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a token should say; None where anything will do. `attributes` are those that a provider maps (`email`,
    `groups`, ...); `claims` replace members, by name or JSON Pointer, last of all. `lifetime` is in seconds."""

    id: str | None = None
    kind: Kind | None = None
    owner: str | None = None
    audiences: tuple[str, ...] = ()
    lifetime: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token and what is in it; `refused` is why the proxy would not take it all the same."""

    token: str = field(repr=False)
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    refused: Reason | None


def mint(provider: Provider, key: LocalKey, wishes: Wishes, *, now: float, token_id: str) -> Minted:
    """A token of this provider from `now` on (seconds since the epoch); HeadgateError says why there can be none."""
    shape = shape_of(provider, wishes.kind)
    algorithm = key.algorithm(usual_algorithms(provider))
    if algorithm is None:
        accepted = ", ".join(usual_algorithms(provider))
        raise HeadgateError(f"the key signs with none of the algorithms of provider `{provider.name}`: {accepted}")
    facts = _facts(provider, shape, wishes, now, token_id)
    header = {"alg": algorithm, "kid": key.kid, **_filled(shape.header, facts)}
    claims: dict[str, Any] = _filled(shape.claims, facts)
    _require(claims, provider, wishes)
    _wish(header, claims, provider, wishes, facts)
    text = _signed(header, claims, key, algorithm, padded=provider.shape.padding == "always")
    token = read(text, padded=provider.shape.pads(text))
    case = token if isinstance(token, Rejected) else judged(token, provider, key.keys, now)
    return Minted(text, header, claims, case.reason if isinstance(case, Rejected) else None)


def shape_of(provider: Provider, kind: Kind | None = None) -> Shape:
    """The example to follow; HeadgateError for a provider that takes no tokens, and says what it takes."""
    if CERTIFICATE in provider.shape.places:
        raise HeadgateError(
            f"provider `{provider.name}` takes client certificates, not tokens; one of your authority: `{_OPENSSL}`"
        )
    if FORWARDED_CERTIFICATE in provider.shape.places:
        raise HeadgateError(
            f"provider `{provider.name}` takes what a peer in `trusted_proxies` says of certificates, not tokens; "
            "send from there `X-Forwarded-Client-Cert: URI=spiffe://example.org/dev`"
        )
    if provider.preset == "cloudflare-access" and kind is Kind.SERVICE:
        return SERVICE_TOKEN
    if provider.preset == DEVELOPMENT:
        raise HeadgateError(f"provider `{provider.name}` believes the key in the state folder only; leave the key out")
    return SHAPES[provider.preset]


def usual_algorithms(provider: Provider) -> tuple[str, ...]:
    """Those that count for this provider, the most usual first."""
    known = provider.shape.algorithms or ("ES256", "RS256", *sorted(provider.algorithms))
    return tuple(dict.fromkeys(name for name in known if name in provider.algorithms))


# -------------------------------------------------------------------------------------------------------- what it says


def _facts(provider: Provider, shape: Shape, wishes: Wishes, now: float, token_id: str) -> dict[str, Any]:
    """What the example is filled with."""
    required = {path[0]: values[0] for path, values in provider.exact if len(path) == 1}
    given = {name: value for name, value in {**required, **wishes.claims}.items() if name in shape.facts}
    facts: dict[str, Any] = {
        "issuer": provider.issuer,
        "host": urlsplit(provider.issuer).hostname or provider.issuer,
        "signer": min(provider.names, default=""),
        "audience": _audience(provider, wishes),
        "email": EMAIL,
        "groups": list(GROUPS),
        "now": int(now),
        "exp": int(now + lifetime_of(provider, wishes)),
        "token_id": token_id,
        **shape.facts,
        **given,
    }
    project = facts.get("repository") or facts.get("project_path") or ""
    facts["owner"] = str(project).rpartition("/")[0]
    facts["id"] = _id(provider, wishes.owner or wishes.id or _filled(shape.id, facts))
    facts["namespace"], _, facts["account"] = str(facts["id"]).removeprefix(ACCOUNT).partition(":")
    return facts


def lifetime_of(provider: Provider, wishes: Wishes) -> float:
    longest = provider.max_lifetime
    if wishes.lifetime is None:
        return min(USUAL_LIFETIME, longest or USUAL_LIFETIME)
    if longest is not None and wishes.lifetime > longest:
        raise HeadgateError(f"a token of provider `{provider.name}` may live {longest:g} s; accepted: up to that")
    return wishes.lifetime


def _audience(provider: Provider, wishes: Wishes) -> str:
    if len(wishes.audiences) > 1:
        raise HeadgateError("more than one audience; accepted: one, or `--claim` with a list")
    return wishes.audiences[0] if wishes.audiences else min(provider.audiences, default="")


def _id(provider: Provider, wished: str) -> str:
    """Spelled in full where the provider's ids have a part that is always the same."""
    if provider.preset == "spiffe-jwt" and not wished.startswith("spiffe://"):
        return f"{provider.issuer}/{wished.lstrip('/')}"
    if provider.preset == "kubernetes" and not wished.startswith(ACCOUNT):
        namespace, slash, account = wished.partition("/")
        return f"{ACCOUNT}{namespace}:{account}" if slash else f"{ACCOUNT}default:{wished}"
    return wished


def _require(claims: dict[str, Any], provider: Provider, wishes: Wishes) -> None:
    """The first of the values that each required claim may have, and what makes the kind of caller that is wished."""
    for path, values in provider.exact:
        put(claims, path, values[0])
    if wishes.kind is None or wishes.owner:
        return
    if first_match(provider.mapped.kinds, claims) is wishes.kind:
        return
    row = next((row for row in provider.mapped.kinds if row.value is wishes.kind), None)
    for path, values in row.conditions if row else ():
        put(claims, path, values[0])
    if first_match(provider.mapped.kinds, claims) is not wishes.kind:
        raise HeadgateError(f"no token of provider `{provider.name}` makes a caller of kind `{wishes.kind.value}`")


def _wish(
    header: dict[str, Any], claims: dict[str, Any], provider: Provider, wishes: Wishes, facts: Mapping[str, Any]
) -> None:
    """What was asked for, where this provider reads it."""
    paths = provider.mapped.paths
    if paths["id"][0] != pointer(provider.shape.claims["id"][0]):
        put(claims, paths["id"][0], facts["id"])
    if wishes.owner:
        claims["act"] = {"sub": wishes.id or "dev"}
    for name, value in wishes.attributes.items():
        if name not in paths:
            known = ", ".join(paths)
            raise HeadgateError(f"provider `{provider.name}` reads no `{name}` from its tokens; it reads: {known}")
        put(claims, paths[name][0], value)
    for name, value in wishes.claims.items():
        put(header if name in provider.shape.in_header else claims, pointer(name), value)


def put(claims: dict[str, Any], path: Pointer, value: Any) -> None:
    """Set the value at `path`; whatever is in its way and holds no members is replaced."""
    *way, last = path
    for name in way:
        if not isinstance(claims.get(name), dict):
            claims[name] = {}
        claims = claims[name]
    claims[last] = value


def _filled(value: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(item, facts) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, facts) for item in value]
    if not isinstance(value, str):
        return value
    alone = _SLOT.fullmatch(value)
    if alone:
        return facts[alone[1]]
    return _SLOT.sub(lambda slot: str(facts[slot[1]]), value)


def _signed(
    header: Mapping[str, Any], claims: Mapping[str, Any], key: LocalKey, algorithm: str, *, padded: bool
) -> str:
    def segment(data: bytes) -> str:
        text = urlsafe_b64encode(data).decode()
        return text if padded else text.rstrip("=")

    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
    text = ".".join(map(segment, parts))
    return f"{text}.{segment(key.sign(text.encode(), algorithm))}"
