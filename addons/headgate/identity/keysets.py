"""A key set that is fetched as a whole, from its own URL or the one that the issuer's discovery document names.

It is fetched at start, then on schedule. An unknown key id makes it be fetched at once, or when the gap since the last
fetch is over: made-up ids cost the provider one request in that time, however many they are, and keep nobody from
getting a rotated key with the very next one. An id that was not there is not remembered as absent: some providers sign
with a key a moment before they publish it everywhere.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import httpx

from headgate.identity.fetch import FetchError, fetch_set
from headgate.identity.following import Clock, Followed, Timing, arrived
from headgate.identity.jwks import KeySet, safe_kid
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.sources import KeySource


class FollowedSet(Followed):
    """A `jwks` or `discovery` source. A set that was fetched again with the same keys stays the same object."""

    def __init__(self, provider: str, source: KeySource, clock: Clock, timing: Timing) -> None:
        super().__init__(provider, source, clock, timing)
        self._keys: KeySet | None = None
        self._fetched_at = 0.0

    def keys(self) -> KeySet | Rejected:
        if self._keys is None:
            return Rejected(Reason.KEYS_UNAVAILABLE)
        return self._keys if self._young(self._fetched_at) else Rejected(Reason.KEYS_STALE)

    def arrival(self, kid: str | None) -> Awaitable[None] | None:
        """For a token without a key id, the next fetch: it may bring another key than the one that does not fit."""
        if kid is not None and not safe_kid(kid):
            return None
        if self._holds(kid):
            return arrived()
        waiter = self._waiting.join(kid)
        if waiter:
            self._wake.set()
        return waiter

    def missing(self) -> bool:
        return isinstance(self.keys(), Rejected)

    async def follow(self, client: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await self._fetch(client)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.pause(self._failures)):
                    await self._wake.wait()
                    await asyncio.sleep(started + self._timing.set_gap - loop.time())

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        """Fetch once; let go who waited when it began, and who has come since and has what was wanted.

        Others who came meanwhile wait for the next: this answer may be older than their key.
        """
        self._wake.clear()
        served, before = self._waiting.all(), self.keys()
        try:
            self._take(await fetch_set(client, self.source))
        except FetchError as error:
            self._failed(error)
        renewed = self.keys() is not before and not self.missing()
        self._waiting.release(served)
        self._waiting.release(self._waiting.of(lambda kid: renewed if kid is None else self._holds(kid)))
        if not len(self._waiting):
            self._wake.clear()

    def _take(self, fetched: KeySet) -> None:
        self._fetched_at, self._failures = self._clock(), 0
        if self._keys is None or self._keys.keys != fetched.keys:
            self._keys = fetched

    def _holds(self, kid: str | None) -> bool:
        keys = self.keys()
        return kid is not None and isinstance(keys, KeySet) and keys.holds(kid)
