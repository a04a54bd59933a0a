"""What each check of a token found and what it wanted, in words for the person who holds the token.

Values are shown as the token has them, shortened; its text and its signature are not. Every check has an entry here: a
new one without its words fails a test.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headgate.identity.jwks import KeySet
from headgate.identity.provider import IdentityRules
from headgate.identity.reasons import Rejected
from headgate.identity.tokens import FORBIDDEN_MEMBERS, MAX_TOKEN, Case, Token
from headgate.match.pointers import Pointer, lookup
from headgate.model import Principal

MAX_SHOWN = 120
MAX_LISTED = 12
_LATEST = 253402300800


class Finding(NamedTuple):
    found: str = ""
    required: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """What is known of a valid token's use: its caller, what the rules say of proofs, and what has become of it."""

    caller: Principal
    binding: str
    revoked: bool | None
    listed: Mapping[str, bool] | None


def of_provider(token: Token, rules: IdentityRules) -> Finding:
    """What the token says of whose it is, and whom the rules know."""
    claims = token.claims
    said = (("issuer", claims.get("iss")), ("signer", token.header.get("signer")), ("subject", claims.get("sub")))
    known = (name for provider in rules.providers for name in sorted(provider.names))
    return Finding(
        ", ".join(f"{what} {shown(value)}" for what, value in said if value) or "nothing", "one of " + listed(known)
    )


def shown(value: Any) -> str:
    """A value of a token: text as it is, anything else as JSON, never long."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def listed(values: Iterable[str]) -> str:
    items = list(values)
    more = len(items) - MAX_LISTED
    return ", ".join(items[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "") if items else "none"


def time(value: Any) -> str:
    """A NumericDate for people; whatever else it is, as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return shown(value)


def path(pointer: Pointer) -> str:
    """A pointer as rules may spell it: the name of one member, or with a slash before each."""
    return pointer[0] if len(pointer) == 1 else "".join(f"/{name}" for name in pointer)


# ---------------------------------------------------------------------------------------------------------------- form


def _size(token: Token) -> Finding:
    return Finding(f"{len(token.text):,} characters", f"up to {MAX_TOKEN:,}")


def _form(token: Token) -> Finding:
    count = token.text.count(".") + 1
    spelling = "base64url that ends in `=` where it can" if token.padded else "base64url without padding"
    return Finding(
        f"{count} segment{'' if count == 1 else 's'}", f"3 segments of {spelling}: a JSON object, another, a signature"
    )


def _header(token: Token) -> Finding:
    return Finding(listed(map(shown, sorted(token.header))), "none of " + listed(sorted(FORBIDDEN_MEMBERS)))


def _key_id(token: Token) -> Finding:
    return Finding(shown(token.header.get("kid")), "none, or up to 200 safe characters")


READ: Mapping[str, Callable[[Token], Finding]] = {
    "size": _size,
    "form": _form,
    "header": _header,
    "key id": _key_id,
}


# --------------------------------------------------------------------------------------------- against one provider


def _type(case: Case) -> Finding:
    members = case.provider.shape.header_members
    alone = "" if members is None else f"; no members but {listed(sorted(members))}"
    return Finding(
        shown(case.token.header.get("typ")), f"none, or one of {listed(sorted(case.provider.shape.types))}{alone}"
    )


def _algorithm(case: Case) -> Finding:
    return Finding(shown(case.token.algorithm), "one of " + listed(sorted(case.provider.algorithms)))


def _key(case: Case) -> Finding:
    kid = shown(case.token.kid)
    if isinstance(case.keys, Rejected):
        return Finding(kid, "keys of the provider")
    return Finding(kid, "one of " + listed(_keys(case.keys)) if case.keys.keys else "a key of the provider")


def _keys(keys: KeySet) -> Iterable[str]:
    return (f"{key.kid or 'no id'} ({'/'.join(sorted(key.algorithms))})" for key in keys.keys)


def _signature(case: Case) -> Finding:
    length = len(case.token.parts.signature)
    return Finding(f"{length} bytes", f"one by {shown(case.token.algorithm)} of key {shown(case.token.kid)}")


def _issuer(case: Case) -> Finding:
    if case.provider.shape.named_by == "trust-domain":
        return Finding(shown(case.token.claims.get("sub")), f"a SPIFFE ID in {case.provider.issuer}")
    where = " in the header" if "iss" in case.provider.shape.in_header else ""
    return Finding(shown(case.stated("iss")), case.provider.issuer + where)


def _signer(case: Case) -> Finding:
    if case.provider.shape.named_by != "signer":
        return Finding("", "any")
    return Finding(shown(case.stated("signer")), "one of " + listed(sorted(case.provider.names)))


def _purpose(case: Case) -> Finding:
    claims = case.token.claims
    found = [f"`{name}` {shown(claims[name])}" for name in ("events", "cnf") if name in claims]
    return Finding(", ".join(found), "no `events`, and no `cnf` but with `jkt` alone")


def _audience(case: Case) -> Finding:
    where = case.provider.shape.audience_in
    audience = case.token.claims.get("aud") if where == "claims" else case.token.header.get(where)
    accepted = case.provider.names if where == "signer" else case.provider.audiences
    member = "" if where == "claims" else f", as `{where}` in the header"
    return Finding(shown(audience), f"one of {listed(sorted(accepted))}{member}")


def _expiry(case: Case) -> Finding:
    skew = f", {case.provider.clock_skew:g} s of skew granted"
    where = ", in the header" if "exp" in case.provider.shape.in_header else ""
    return Finding(time(case.stated("exp")), f"after {time(case.now)}{skew}{where}")


def _not_before(case: Case) -> Finding:
    return Finding(time(case.token.claims.get("nbf")), f"none, or up to {time(case.now)} and the skew")


def _issued_at(case: Case) -> Finding:
    return Finding(time(case.token.claims.get("iat")), f"none, or up to {time(case.now)} and the skew")


def _lifetime(case: Case) -> Finding:
    longest, in_header = case.provider.max_lifetime, "exp" in case.provider.shape.in_header
    begun = case.now if in_header else case.token.claims.get("iat")
    lives = "" if begun is None else f"{case.stated('exp') - begun:.0f} s"
    if longest is None:
        return Finding(lives, "any")
    return Finding(lives, f"up to {longest:g} s from {'now, and the skew' if in_header else 'its time of issue'}")


def _form_of_claims(case: Case) -> Finding:
    claims, examples = case.token.claims, case.provider.shape.forms.values()
    forms = [(path(pointer), shown(lookup(claims, pointer))) for pointer, _ in case.provider.forms]
    required = [f"{name}: {form.example}" for (name, _), form in zip(forms, examples, strict=True)]
    if case.provider.subject:
        forms.append(("sub", shown(claims.get("sub"))))
        required.append(f"sub: {case.provider.subject[0].format('NAMESPACE', 'NAME')}, of these")
    return Finding("; ".join(f"{name}: {value}" for name, value in forms), "; ".join(required) or "any")


def _required_claims(case: Case) -> Finding:
    conditions = case.provider.exact
    found = (f"{path(pointer)}: {shown(lookup(case.token.claims, pointer))}" for pointer, _ in conditions)
    required = (f"{path(pointer)}: {' or '.join(map(shown, values))}" for pointer, values in conditions)
    return Finding("; ".join(found), "; ".join(required) or "none")


def _caller(case: Case) -> Finding:
    mapped = case.provider.mapped.paths
    read = {name: (lookup(case.token.claims, pointer) for pointer in places) for name, places in mapped.items()}
    values = {name: next((value for value in found if value not in (None, "")), None) for name, found in read.items()}
    found = "; ".join(f"{name}: {shown(value)}" for name, value in values.items() if value is not None)
    where = "; ".join(f"{name}: {' or '.join(map(path, places))}" for name, places in mapped.items())
    if case.principal:
        runs = ", ".join(sorted(case.principal.environments)) or "none, so no target of one can be reached"
        found += f"; kind: {case.principal.kind.value}; environment: {runs}"
    return Finding(found, f"an id and a kind, all well-formed ({where})")


JUDGED: Mapping[str, Callable[[Case], Finding]] = {
    "type": _type,
    "algorithm": _algorithm,
    "key": _key,
    "signature": _signature,
    "issuer": _issuer,
    "signer": _signer,
    "purpose": _purpose,
    "audience": _audience,
    "expiry": _expiry,
    "not before": _not_before,
    "issued at": _issued_at,
    "lifetime": _lifetime,
    "form of claims": _form_of_claims,
    "required claims": _required_claims,
    "caller": _caller,
}


# ----------------------------------------------------------------------------------------------- what the moment says


def _possession(case: Case, use: Use) -> Finding:
    wanted = {
        "off": "bound to no key: `session_binding` is off",
        "optional": "none, or a proof of the key with each request (DPoP)",
        "required": "bound to a key, and a proof of it with each request (DPoP)",
    }
    return Finding(f"bound to key {case.thumbprint}" if case.thumbprint else "bound to no key", wanted[use.binding])


def _revocation(_case: Case, use: Use) -> Finding:
    return Finding({None: "not known: no state", True: "revoked", False: "not revoked"}[use.revoked], "not revoked")


def _release(_case: Case, use: Use) -> Finding:
    if use.listed is None:
        return Finding("", "any: the rules name no `releases`")
    code = use.caller.workload
    parts = ((name, getattr(code, name)) for name in ("name", "commit", "digest", "workflow", "pod"))
    told = ", ".join(f"{name} {shown(value)}" for name, value in parts if value) or "no code"
    where = ", ".join(f"{name}: {'listed' if yes else 'not listed'}" for name, yes in use.listed.items())
    return Finding(f"{told}; {where or 'no environment'}", "listed in each environment, to be a verified workload")


IN_USE: Mapping[str, Callable[[Case, Use], Finding]] = {
    "possession": _possession,
    "revocation": _revocation,
    "release": _release,
}
