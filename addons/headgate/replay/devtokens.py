"""Development tokens for tests: any caller, for proxies whose state folder is one's own."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headgate.errors import HeadgateError
from headgate.identity.development import RESERVED, DevelopmentKey
from headgate.identity.minting import put
from headgate.match.pointers import pointer

Texts = str | Iterable[str]

NO_CLAIMS: Mapping[str, Any] = {}


def mint(
    state: Path,
    *,
    id: str = "dev",  # noqa: A002 - what rules and commands call it
    kind: str = "human",
    groups: Texts = ("support",),
    environment: Texts = ("dev",),
    audience: Texts = ("headgate-dev",),
    email: str | None = None,
    scopes: Texts = (),
    owner: str | None = None,
    lifetime: float = 3600.0,
    claims: Mapping[str, Any] = NO_CLAIMS,
) -> str:
    """A token signed with the key of a state folder; the defaults are those of `headgate token mint`."""
    found: dict[str, Any] = {}
    for name, value in claims.items():
        put(found, _place(name), value)
    said = {
        "sub": owner or id,
        "act": {"sub": id} if owner else None,
        "kind": "agent" if owner else kind,
        "aud": _listed(audience),
        "groups": _listed(groups),
        "env": _listed(environment),
        "email": email,
        "scope": " ".join(_listed(scopes)),
    }
    found |= {name: value for name, value in said.items() if value}
    return DevelopmentKey.open(state).mint(found, lifetime, now=time.time())


def _listed(values: Texts) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _place(name: str) -> tuple[str, ...]:
    try:
        place = pointer(name)
    except ValueError:
        place = ("",)
    if not place[0] or place[0] in RESERVED:
        but = ", ".join(sorted(RESERVED))
        raise HeadgateError(f"`{name[:40]}` cannot be set; accepted: a name or JSON Pointer other than {but}")
    return place
