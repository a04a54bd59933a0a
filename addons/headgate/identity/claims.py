"""From verified claims to a Principal: which claim says what, and what form it must have.

A claim that is mapped but has another form than it must have makes the token useless as a whole: a caller whose groups
cannot be read is not a caller without groups. Absent, null and empty claims are the same: nothing is known.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from headgate.identity.reasons import Reason
from headgate.model import Kind, Principal, Session, Workload

Pointer = tuple[str, ...]
"""A JSON Pointer (RFC 6901), split into its unescaped reference tokens."""

_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,1024}\Z")
_EMAIL = re.compile(r"[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+\Z")


def pointer(text: str) -> Pointer:
    """Split a JSON Pointer, or without a leading slash the name of one member; ValueError says what is wrong."""
    if not text.startswith("/"):
        if not text:
            raise ValueError("a claim needs a name; accepted: a member such as `sub`, or a JSON Pointer such as `/sub`")
        return (text,)
    if re.search(r"~(?![01])", text):
        raise ValueError("`~` stands in a JSON Pointer only as `~0` (for `~`) or `~1` (for `/`)")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def lookup(claims: Any, path: Pointer) -> Any:
    """The value at `path`, or None where there is none."""
    value = claims
    for token in path:
        if isinstance(value, Mapping):
            value = value.get(token)
        elif isinstance(value, tuple | list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            return None
    return value


class KindRow(NamedTuple):
    """Callers whose claims have, at each pointer, one of the listed values, are of this kind."""

    conditions: tuple[tuple[Pointer, tuple[str | int | bool, ...]], ...]
    kind: Kind

    def holds(self, claims: Mapping[str, Any]) -> bool:
        return all(_one_of(lookup(claims, path), accepted) for path, accepted in self.conditions)


def _one_of(value: Any, accepted: tuple[str | int | bool, ...]) -> bool:
    """Equal in value and type: `true` is not 1, and a list never equals one of its items."""
    return any(type(value) is type(item) and value == item for item in accepted)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and _TEXT.match(value) else None


def _email(value: Any) -> str | None:
    return value if _text(value) and _EMAIL.match(value) else None


def _texts(value: Any) -> frozenset[str] | None:
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, tuple | list) or not all(_text(item) for item in items):
        return None
    return frozenset(items)


def _workload(found: Mapping[str, Any]) -> Workload:
    get = found.get
    return Workload(get("workload.name"), get("workload.version"), get("workload.commit"), get("workload.digest"))


def _scopes(value: Any) -> frozenset[str] | None:
    return _texts(value.split() if isinstance(value, str) else value)


FORMS: Mapping[str, Callable[[Any], Any]] = {
    "id": _text,
    "email": _email,
    "groups": _texts,
    "environment": _texts,
    "person": _text,
    "workload.name": _text,
    "workload.version": _text,
    "workload.commit": _text,
    "workload.digest": _text,
    "session.id": _text,
    "session.scopes": _scopes,
}
"""What a principal has, and the form the claim must have: None for any other."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """How one provider's claims are read: where each attribute stands, and the first-match table of kinds."""

    provider: str
    issuer: str
    paths: Mapping[str, Pointer]
    kinds: tuple[KindRow, ...]

    def principal(self, claims: Mapping[str, Any], audiences: frozenset[str]) -> Principal | Reason:
        """The caller that verified, read-only `claims` describe; `exp` has been checked to be a number."""
        found: dict[str, Any] = {}
        for name, path in self.paths.items():
            value = lookup(claims, path)
            if value in (None, ""):
                continue
            found[name] = FORMS[name](value)
            if found[name] is None:
                return Reason.CLAIM_INVALID
        subject = found.get("id")
        if subject is None:
            return Reason.ID_MISSING
        actor = self._actor(claims)
        if actor is Reason.ACTOR_INVALID:
            return Reason.ACTOR_INVALID
        kind = Kind.AGENT if actor else self._kind(claims)
        if kind is None:
            return Reason.KIND_UNKNOWN
        return Principal(
            id=actor or subject,
            kind=kind,
            provider=self.provider,
            groups=found.get("groups", frozenset()),
            email=found.get("email") if self._email_is_theirs(claims) else None,
            owner=subject if actor else None,
            person=found.get("person"),
            environments=found.get("environment", frozenset()),
            audiences=audiences,
            workload=_workload(found),
            session=Session(found.get("session.id"), found.get("session.scopes", frozenset()), claims.get("iat")),
            claims=claims,
            expires_at=claims["exp"],
        )

    def _actor(self, claims: Mapping[str, Any]) -> str | Reason | None:
        """Who acts for the subject (RFC 8693, section 4.1); ids of another issuer could be mistaken for ours."""
        if "act" not in claims:
            return None
        act = claims["act"]
        if not isinstance(act, Mapping) or act.get("iss", self.issuer) != self.issuer:
            return Reason.ACTOR_INVALID
        return _text(act.get("sub")) or Reason.ACTOR_INVALID

    def _kind(self, claims: Mapping[str, Any]) -> Kind | None:
        return next((row.kind for row in self.kinds if row.holds(claims)), None)

    def _email_is_theirs(self, claims: Mapping[str, Any]) -> bool:
        """An address that the provider says it did not verify is whatever the caller typed (OpenID Connect, 5.1)."""
        path = self.paths.get("email")
        verified = lookup(claims, (*path[:-1], "email_verified")) if path and path[-1] == "email" else None
        return verified in (None, True, "true")
