"""From verified claims to a Principal: which claim says what, and what form it must have.

A claim that is mapped but has another form than it must have makes the token useless as a whole: a caller whose groups
cannot be read is not a caller without groups. Absent, null and empty claims are the same: nothing is known.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from headgate.identity.reasons import Reason
from headgate.match.pointers import Pointer, lookup
from headgate.model import Kind, Principal, Session, Workload

MAX_TEXT = 1024
_EMAIL = re.compile(r"[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+\Z")


Conditions = tuple[tuple[Pointer, tuple[str | int | bool | None, ...]], ...]
"""Pointers, each with the values of which one must stand there; None is for nothing at all."""


def hold(conditions: Conditions, claims: Mapping[str, Any]) -> bool:
    return all(_one_of(lookup(claims, path), accepted) for path, accepted in conditions)


class Row[Value](NamedTuple):
    """What callers are whose claims have, at each pointer, one of the listed values."""

    conditions: Conditions
    value: Value


def first_match[Value](rows: tuple[Row[Value], ...], claims: Mapping[str, Any]) -> Value | None:
    return next((row.value for row in rows if hold(row.conditions, claims)), None)


def _one_of(value: Any, accepted: tuple[str | int | bool | None, ...]) -> bool:
    """Equal in value and type: `true` is not 1, and a list never equals one of its items."""
    return any(type(value) is type(item) and value == item for item in accepted)


def _text(value: Any) -> str | None:
    """Text that looks like what it is: nothing in it is invisible, or turns the direction of what stands beside it."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable() else None


def _email(value: Any) -> str | None:
    return value if _text(value) and _EMAIL.match(value) else None


def _texts(value: Any) -> frozenset[str] | None:
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, tuple | list) or not all(_text(item) for item in items):
        return None
    return frozenset(items)


def _workload(found: Mapping[str, Any]) -> Workload:
    if not any(map(found.__contains__, WORKLOAD_PATHS)):
        return NO_WORKLOAD
    name, version, commit, digest, workflow, pod = (found.get(f"workload.{part}") for part in WORKLOAD)
    return Workload(name, version, commit, digest, workflow, pod)


NO_WORKLOAD = Workload()


def _scopes(value: Any) -> frozenset[str] | None:
    """In one text they are parted by spaces and by nothing else that may look like one (RFC 6749, section 3.3)."""
    return _texts([scope for scope in value.split(" ") if scope] if isinstance(value, str) else value)


def _began(claims: Mapping[str, Any]) -> float | None:
    """When the session began: with the caller's login, which outlives many tokens (OpenID Connect Core, section 2)."""
    begun: float | None = claims.get("auth_time", claims.get("iat"))
    return begun if isinstance(begun, int | float) and not isinstance(begun, bool) else None


def _is_theirs(path: Pointer, claims: Mapping[str, Any]) -> bool:
    """An address that the provider says it did not verify is whatever the caller typed (OpenID Connect, 5.1)."""
    return path[-1] != "email" or lookup(claims, (*path[:-1], "email_verified")) in (None, True, "true")


WORKLOAD = ("name", "version", "commit", "digest", "workflow", "pod")
WORKLOAD_PATHS = tuple(f"workload.{name}" for name in WORKLOAD)
FORMS: Mapping[str, Callable[[Any], Any]] = {
    "id": _text,
    "email": _email,
    "groups": _texts,
    "environment": _texts,
    "person": _text,
    **{f"workload.{name}": _text for name in WORKLOAD},
    "session.id": _text,
    "session.scopes": _scopes,
}
"""What a principal has, and the form the claim must have: None for any other."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """How one provider's claims are read.

    `paths` tells where each attribute stands; the first of several places that holds anything counts. The first row of
    `kinds` that matches says what the caller is, the first of `environments` where it runs, unless a claim says it.
    """

    provider: str
    issuer: str
    paths: Mapping[str, tuple[Pointer, ...]]
    kinds: tuple[Row[Kind], ...]
    environments: tuple[Row[str], ...] = ()

    def principal(
        self, claims: Mapping[str, Any], audiences: frozenset[str], expires_at: float | None
    ) -> Principal | Reason:
        """The caller that verified, read-only `claims` describe."""
        found = self._found(claims)
        if isinstance(found, Reason):
            return found
        subject = found.get("id")
        if subject is None:
            return Reason.ID_MISSING
        actor = self._actor(claims)
        if actor is Reason.ACTOR_INVALID:
            return Reason.ACTOR_INVALID
        kind = Kind.AGENT if actor else first_match(self.kinds, claims)
        if kind is None:
            return Reason.KIND_UNKNOWN
        environments = found.get("environment", frozenset())
        if self.environments:  # the rules say where it runs: no claim does then
            environment = first_match(self.environments, claims)
            environments = frozenset((environment,)) if environment else frozenset()
        return Principal(
            id=actor or subject,
            kind=kind,
            provider=self.provider,
            groups=found.get("groups", frozenset()),
            email=found.get("email"),
            owner=subject if actor else None,
            person=found.get("person"),
            environments=environments,
            audiences=audiences,
            workload=_workload(found),
            session=Session(found.get("session.id"), found.get("session.scopes", frozenset()), _began(claims)),
            claims=claims,
            expires_at=expires_at,
        )

    def _found(self, claims: Mapping[str, Any]) -> dict[str, Any] | Reason:
        """Each attribute that a claim gives, or why the token is useless: one has another form than it must have, or
        names the caller by an address that is not known to be the caller's."""
        found: dict[str, Any] = {}
        for name, places in self.paths.items():
            for path in places:
                value = lookup(claims, path)
                if value is None or value == "":
                    continue
                found[name] = FORMS[name](value)
                if found[name] is None:
                    return Reason.CLAIM_INVALID
                if not _is_theirs(path, claims):
                    if name != "email":
                        return Reason.EMAIL_UNVERIFIED
                    del found[name]
                break
        return found

    def _actor(self, claims: Mapping[str, Any]) -> str | Reason | None:
        """Who acts for the subject (RFC 8693, section 4.1); ids of another issuer could be mistaken for ours."""
        if "act" not in claims:
            return None
        act = claims["act"]
        if not isinstance(act, Mapping) or act.get("iss", self.issuer) != self.issuer:
            return Reason.ACTOR_INVALID
        return _text(act.get("sub")) or Reason.ACTOR_INVALID
