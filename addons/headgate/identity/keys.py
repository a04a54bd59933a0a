"""The keys of each provider, fetched off the request path and never waited for.

`KeyRing.keys` answers at once from what has been fetched: a key set, or why there is none. `KeyRing.run` fetches each
source at start, then every five minutes, then again and again with growing pauses while it fails. The last good set
counts for a day after it was fetched; then the provider's callers are refused. There is no default key.

A token that names an unknown key is refused with `unknown-key` and makes its source be fetched now, at most once in ten
seconds: a rotated key is in use after one round trip, and made-up key ids cost the provider nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from headgate.identity.fetch import FetchError, fetch, key_client
from headgate.identity.jwks import KeySet
from headgate.identity.presets import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: between fetches; first and longest pause after a failure; between fetches for unknown keys; for how long
    the last good set counts."""

    interval: float = 300.0
    first_retry: float = 1.0
    longest_retry: float = 300.0
    wanted_gap: float = 10.0
    good_for: float = 24 * 3600.0


@dataclass(slots=True, eq=False)
class Source:
    """One URL of one provider, and what was last fetched from it."""

    provider: str
    url: str
    keys: KeySet | None = None
    fetched_at: float = 0.0
    attempted_at: float = float("-inf")
    failures: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class KeyRing:
    """Keys for the providers of the active rules. `configure` and `want` are called on the loop that `run` runs on."""

    def __init__(
        self, clock: Clock, timing: Timing | None = None, client: Callable[[], httpx.AsyncClient] = key_client
    ) -> None:
        self._clock, self._timing, self._client = clock, timing or Timing(), client
        self._sources: dict[tuple[str, str], Source] = {}
        self._changed = asyncio.Event()

    def configure(self, rules: IdentityRules) -> None:
        """Follow the sources of these rules; what has been fetched from a source that stays is kept."""
        wanted = [(provider.name, provider.jwks_url) for provider in rules.providers if provider.jwks_url]
        self._sources = {(name, url): self._sources.get((name, url)) or Source(name, url) for name, url in wanted}
        self._changed.set()

    def keys(self, provider: Provider) -> KeySet | Rejected:
        """The provider's keys as they are now; refused when there are none, or none young enough."""
        if provider.static_keys is not None:
            return provider.static_keys
        source = self._sources.get((provider.name, provider.jwks_url or ""))
        if source is None or source.keys is None:
            return Rejected(Reason.KEYS_UNAVAILABLE)
        if self._clock() - source.fetched_at > self._timing.good_for:
            return Rejected(Reason.KEYS_STALE)
        return source.keys

    def want(self, provider: Provider) -> None:
        """A token named a key that is not here: fetch again, unless that was done a moment ago."""
        source = self._sources.get((provider.name, provider.jwks_url or ""))
        if source and self._clock() - source.attempted_at >= self._timing.wanted_gap:
            source.wake.set()

    def missing(self) -> tuple[str, ...]:
        """The providers without usable keys, for readiness checks."""
        young = self._clock() - self._timing.good_for
        return tuple(s.provider for s in self._sources.values() if s.keys is None or s.fetched_at < young)

    async def run(self) -> None:
        """Fetch for as long as this task lives; one task for each source, so that a slow one holds up no other."""
        async with self._client() as client, asyncio.TaskGroup() as group:
            following: dict[Source, asyncio.Task[None]] = {}
            while True:
                self._changed.clear()
                sources = set(self._sources.values())
                for gone in following.keys() - sources:
                    following.pop(gone).cancel()
                for new in sources - following.keys():
                    following[new] = group.create_task(self._follow(new, client))
                await self._changed.wait()

    async def _follow(self, source: Source, client: httpx.AsyncClient) -> None:
        while True:
            source.wake.clear()
            await self._refresh(source, client)
            try:
                async with asyncio.timeout(self._pause(source.failures)):
                    await source.wake.wait()
            except TimeoutError:
                continue

    async def _refresh(self, source: Source, client: httpx.AsyncClient) -> None:
        source.attempted_at = self._clock()
        try:
            source.keys = await fetch(client, source.url)
        except FetchError as error:
            source.failures += 1
            host = urlsplit(source.url).hostname
            log.warning("keys of provider `%s` could not be fetched from `%s`: %s", source.provider, host, error)
        else:
            source.fetched_at, source.failures = self._clock(), 0

    def _pause(self, failures: int) -> float:
        if not failures:
            return self._timing.interval
        return min(self._timing.first_retry * float(1 << min(failures - 1, 20)), self._timing.longest_retry)
