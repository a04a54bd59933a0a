"""The keys of each provider, fetched off the request path.

`KeyRing.keys` answers at once from what has been fetched: a key set, or why there is none. `KeyRing.run` fetches each
source at start, then every five minutes, then again and again with growing pauses while it fails. What was fetched last
counts for a day; then the provider's callers are refused. There is no default key.

A token that names an unknown key makes it be fetched: made-up key ids cost the provider little, and a rotated key is in
use after one round trip. `KeyRing.arrival` is how a request waits for that, so that a rotation drops nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import httpx

from headgate.identity.fetch import key_client
from headgate.identity.following import Clock, Followed, Timing
from headgate.identity.jwks import KeySet
from headgate.identity.keysets import FollowedSet
from headgate.identity.pemkeys import FollowedPems
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.sources import KeySource

__all__ = ["Clock", "KeyRing", "Keyed", "Timing"]


class Keyed(Protocol):
    """What of a provider matters here; names are unique among those configured together."""

    @property
    def name(self) -> str: ...

    @property
    def keys(self) -> KeySource: ...


class KeyRing:
    """Keys for the providers of the active rules; it lives on the loop that `run` runs on."""

    def __init__(
        self, clock: Clock, timing: Timing | None = None, client: Callable[[], httpx.AsyncClient] = key_client
    ) -> None:
        self._clock, self._timing, self._client = clock, timing or Timing(), client
        self._followed: dict[str, Followed] = {}
        self._changed = asyncio.Event()

    def configure(self, providers: Iterable[Keyed]) -> None:
        """Follow the sources of these providers; what has been fetched from a source that stays is kept."""
        followed: dict[str, Followed] = {}
        for provider in providers:
            if provider.keys.fetched:
                followed[provider.name] = self._find(provider) or self._begin(provider)
                followed[provider.name].source = provider.keys  # an equal one: it is found faster as the same object
        gone = set(self._followed.values()) - set(followed.values())
        self._followed = followed
        for source in gone:
            source.abandon()
        self._changed.set()

    def keys(self, provider: Keyed) -> KeySet | Rejected:
        """The provider's keys as they are now; refused when there are none, or none young enough."""
        if provider.keys.static is not None:
            return provider.keys.static
        followed = self._find(provider)
        return followed.keys() if followed else Rejected(Reason.KEYS_UNAVAILABLE)

    def arrival(self, provider: Keyed, kid: str | None) -> Awaitable[None] | None:
        """Await it, with a deadline, before looking for this key once more: the next fetch that may bring it has ended.

        None where waiting is pointless: the keys are not fetched, the id is of no acceptable form or its endpoint said
        a moment ago that there is no such key, or too many wait already.
        """
        followed = self._find(provider)
        return followed.arrival(kid) if followed else None

    def missing(self) -> tuple[str, ...]:
        """The providers without usable keys, for readiness checks."""
        return tuple(name for name, followed in self._followed.items() if followed.missing())

    async def run(self) -> None:
        """Fetch for as long as this task lives; one task for each source, so that a slow one holds up no other."""
        try:
            async with self._client() as client, asyncio.TaskGroup() as group:
                await self._follow_all(client, group)
        finally:
            for followed in self._followed.values():
                followed.abandon()

    async def _follow_all(self, client: httpx.AsyncClient, group: asyncio.TaskGroup) -> None:
        tasks: dict[Followed, asyncio.Task[None]] = {}
        while True:
            self._changed.clear()
            followed = set(self._followed.values())
            for gone in tasks.keys() - followed:
                tasks.pop(gone).cancel()
            for new in followed - tasks.keys():
                tasks[new] = group.create_task(new.follow(client))
            await self._changed.wait()

    def _find(self, provider: Keyed) -> Followed | None:
        """Who follows just this source; a provider of replaced rules may have had another under its name."""
        followed = self._followed.get(provider.name)
        if followed is None or followed.source is provider.keys:
            return followed
        return followed if followed.source == provider.keys else None

    def _begin(self, provider: Keyed) -> Followed:
        kind = FollowedPems if provider.keys.pem else FollowedSet
        return kind(provider.name, provider.keys, self._clock, self._timing)
