"""Who is cut off although the token still holds: revoked sessions, callers and tokens.

`Revocations` is the list as it was read, and decides. `RevocationList` has it read again and again beside the requests,
so that a revocation counts within a second. When the list cannot be read, the last one counts for a few seconds more;
then there is none, and nobody is believed: a list that might lack somebody is no list.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from headgate.followed import Followed
from headgate.model import Principal

Kind = Literal["session", "principal", "token"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LONGEST = 30 * 86400.0
"""Seconds that a revocation may last: tokens do not live longer, and a list without an end only grows."""

MOST = 100_000
"""How many there may be: all are kept in memory."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One of them; `provider` None means whichever provider says it. Times in epoch seconds."""

    id: int
    kind: Kind
    provider: str | None
    value: str
    reason: str
    created: float
    expires: float
    by: str


Named = tuple[Kind, str | None, str]


@dataclass(frozen=True, slots=True)
class Revocations:
    """When the revocation of each (kind, provider, value) ends."""

    ends: Mapping[Named, float]

    @classmethod
    def of(cls, entries: Iterable[Revocation]) -> "Revocations":
        ends: dict[Named, float] = {}
        for entry in entries:
            named = (entry.kind, entry.provider, entry.value)
            ends[named] = max(entry.expires, ends.get(named, entry.expires))
        return cls(MappingProxyType(ends))

    def covers(self, principal: Principal, now: float) -> bool:
        """Whether any name that this caller has is revoked at `now`."""
        return bool(self.ends) and any(
            self.ends.get((kind, provider, value), now) > now
            for kind, value in _names(principal)
            for provider in (principal.provider, None)
        )


def _names(principal: Principal) -> Iterator[tuple[Kind, str]]:
    """An agent is also whom it acts for, and a caller also the person that several providers know."""
    for name in (principal.id, principal.owner, principal.person):
        if name is not None:
            yield "principal", name
    if principal.session.id is not None:
        yield "session", principal.session.id
    token = principal.claims.get("jti")
    if isinstance(token, str):
        yield "token", token


class RevocationList(Followed[Revocations]):
    """The list as it is now; while it is not known, nobody may be believed."""

    log = logging.getLogger(__name__)
    lost = "every caller is refused"
    found = "the list of revocations can be read again"
