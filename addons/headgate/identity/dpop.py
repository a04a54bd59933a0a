"""Whether a caller holds the key that its token is bound to: DPoP proofs (RFC 9449), each check with its own reason.

A proof is a small signed object made for one request. It brings its public key along, and that key counts only if its
thumbprint (RFC 7638) is the one in the verified token, so a proof proves nothing without the token. The thumbprint is
compared before the signature is verified: nothing costly is done with a key that anybody could have put there. The id
of the proof is looked up last of all, so that no proof which fails otherwise is remembered. Nothing here raises,
whatever the bytes are, and nothing reads a clock.

`session_binding:` of identity.yaml says whether proofs are asked for, and under which URL callers see this proxy.
"""

import hashlib
import json
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeIs

from pydantic import BeforeValidator

from headgate.errors import InvalidRules
from headgate.identity.authority import host_field, parse_authority
from headgate.identity.compact import FOREIGN_MEMBERS, Compact, is_signed, split
from headgate.identity.jwks import Key, KeysError, parse_jwks
from headgate.identity.paths import canonical
from headgate.identity.reasons import Malformed, Reason
from headgate.identity.replays import Replays
from headgate.identity.sources import is_loopback
from headgate.match import Section, Text
from headgate.model import STRICT, PathRules

MAX_PROOF = 8 * 1024
TYPE = "dpop+jwt"
ALGORITHMS = frozenset(("ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"))

_JTI_LENGTHS = range(8, 257)
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_URL = re.compile(r"(https?)://([^/?#]+)([^?#]*)([?#].*)?\Z", re.IGNORECASE | re.ASCII)
_PRINTABLE = re.compile(r"[!-~]+\Z")


def check_proof(
    proof: str,
    *,
    method: str,
    url: str,
    token: str,
    thumbprint: str,
    now: float,
    replays: Replays,
    path_rules: PathRules = STRICT,
) -> Reason | None:
    """Why `proof` does not prove that the caller of this request holds the key with `thumbprint`; None: it does.

    `url` is what the caller sees: the public URL of this proxy with the path of the request, which `path_rules` say how
    to read. `token` is the access token as it was sent, verified before, and `thumbprint` its `cnf.jkt`. A proof that
    is good is used up by this.
    """
    if len(proof) > MAX_PROOF:
        return Reason.PROOF_TOO_LONG
    parts = split(proof)
    if isinstance(parts, Reason):
        return Reason.PROOF_MALFORMED
    claims = parts.claims
    return (
        _unsigned(parts, thumbprint)
        or _for_other(claims, method, token, lambda htu: same_url(htu, url, path_rules))
        or _stale_or_used(claims, thumbprint, now, replays)
    )


def thumbprint_of(jwk: Mapping[str, Any]) -> str | None:
    """The SHA-256 thumbprint of a key (RFC 7638; RFC 8037 for OKP), of the members as they are spelled."""
    kty = jwk.get("kty")
    names = _THUMBPRINT_MEMBERS.get(kty, ()) if isinstance(kty, str) else ()
    members = {name: jwk.get(name) for name in names}
    if not members or not all(isinstance(value, str) for value in members.values()):
        return None
    return _sha256(json.dumps(members, separators=(",", ":"), sort_keys=True, ensure_ascii=False))


def same_url(one: str, other: str, rules: PathRules = STRICT) -> bool:
    """Whether two URLs name the same resource, query and fragment aside (RFC 9449, section 4.3, item 9).

    They are compared in the one spelling that this proxy has for them and forwards (RFC 3986, sections 6.2.2 and
    6.2.3): scheme, host and default port, and the canonical path. What has no such spelling equals nothing.
    """
    place = _place(one, rules)
    return place is not None and place == _place(other, rules)


# ---------------------------------------------------------------------------------------------------------- the proof


def _unsigned(proof: Compact, expected: str) -> Reason | None:
    """Why it is not signed as a proof by the key with the thumbprint `expected`."""
    header, algorithm = proof.header, proof.header.get("alg")
    if header.get("typ") != TYPE:
        return Reason.PROOF_TYPE_REFUSED
    if not FOREIGN_MEMBERS.isdisjoint(header):
        return Reason.PROOF_HEADER_REFUSED
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        return Reason.PROOF_ALGORITHM_REFUSED
    key = _key(header.get("jwk"), algorithm)
    if key is None:
        return Reason.PROOF_KEY_REFUSED
    if thumbprint_of(header["jwk"]) != expected:
        return Reason.PROOF_KEY_MISMATCH
    return None if is_signed(proof, key, algorithm) else Reason.PROOF_SIGNATURE_INVALID


def _key(jwk: Any, algorithm: str) -> Key | None:
    """The key, under the demands on a provider's keys: public, of a known type and curve, strong, for signatures."""
    try:
        found = parse_jwks(json.dumps({"keys": [jwk]}).encode()).find(None, algorithm)
    except KeysError:
        return None
    return found if isinstance(found, Key) else None


def _for_other(claims: Mapping[str, Any], method: str, token: str, is_the_url: Callable[[str], bool]) -> Reason | None:
    """Why it was made for another request, or to go with another token."""
    if claims.get("htm") != method:
        return Reason.PROOF_METHOD_MISMATCH
    htu = claims.get("htu")
    if not isinstance(htu, str) or not is_the_url(htu):
        return Reason.PROOF_URL_MISMATCH
    return None if claims.get("ath") == _sha256(token) else Reason.PROOF_TOKEN_MISMATCH


def _stale_or_used(claims: Mapping[str, Any], thumbprint: str, now: float, replays: Replays) -> Reason | None:
    """Why it is too old, too young, or not new; what is good is remembered."""
    issued, starts, ends = claims.get("iat"), claims.get("nbf", 0), claims.get("exp", math.inf)
    if not _is_number(issued) or not _is_number(starts) or not _is_number(ends):
        return Reason.PROOF_TIME_INVALID
    if reason := replays.untimely(issued, now):
        return reason
    if ends <= now - replays.window:  # nobody asks for these two, but where they stand they hold (RFC 7519, 4.1)
        return Reason.PROOF_STALE
    if starts > now + replays.window:
        return Reason.PROOF_IN_FUTURE
    jti = claims.get("jti")
    if not isinstance(jti, str) or len(jti) not in _JTI_LENGTHS:
        return Reason.PROOF_ID_INVALID
    return replays.first_use(thumbprint, jti, issued, now)


def _is_number(value: object) -> TypeIs[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sha256(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()).rstrip(b"=").decode()


class _Place(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


def _place(url: str, rules: PathRules) -> _Place | None:
    found = _URL.match(url) if _PRINTABLE.match(url) else None
    authority = parse_authority(found[2].encode()) if found else None
    if not found or not authority:
        return None
    scheme, path = found[1].lower(), canonical(found[3] or "/", rules)
    port = authority.port_for(scheme)
    return None if port is None or isinstance(path, Malformed) else _Place(scheme, authority.host, port, path)


# -------------------------------------------------------------------------------------------------------- identity.yaml

Binding = Literal["off", "optional", "required"]


def _off(value: Any) -> Any:
    """YAML 1.1 reads a bare `off` as false; whoever writes it means the word."""
    return "off" if value is False else value


class SessionBindingSpec(Section):
    """`session_binding:`, as written; `dpop: off` and `dpop: "off"` are the same."""

    dpop: Annotated[Binding, BeforeValidator(_off, json_schema_input_type=Binding | Literal[False])]
    public_url: Text | None = None


@dataclass(frozen=True, slots=True)
class SessionBinding:
    """`public_url` is without a slash at its end, so that the path of a request can follow; empty where none is needed.

    off: tokens bound to a key are refused, since nothing here proves who holds it. optional: they need a proof, others
    none. required: every token must be bound to a key, and needs a proof.
    """

    dpop: Binding
    public_url: str


def compile_binding(spec: SessionBindingSpec | None) -> SessionBinding:
    """`spec` as it is used; InvalidRules says what is wrong, at its place within the section."""
    if spec is None:
        return SessionBinding("off", "")
    if spec.public_url is None:
        if spec.dpop != "off":
            what = f"`public_url` is missing; `dpop: {spec.dpop}` needs the URL under which callers see this proxy"
            raise InvalidRules([((), what)])
        return SessionBinding("off", "")
    place = _place(spec.public_url, STRICT)
    bare = place is not None and place.path == "/" and not re.search("[?#]", spec.public_url)
    if place is None or not bare or (place.scheme == "http" and not is_loopback(place.host.strip("[]"))):
        accepted = "`https://HOST`, or `http://` for a loopback host; no path, no query"
        raise InvalidRules([(("public_url",), f"not the URL of a host; accepted: {accepted}")])
    return SessionBinding(spec.dpop, f"{place.scheme}://{host_field(place.scheme, place.host, place.port)}")
