"""Keys that are published one by one, each as a PEM at a URL that ends in its id; fetched when a token names them.

Anybody can name ids, so what that can cause is bounded on every side: only ids of the provider's own form, one request
at a time and a pause after it, few ids in the queue, and what the endpoint does not have is not asked for again for a
while. Load balancers of strangers publish at the same endpoint: of the keys that are kept, the longest unused goes
first, so that naming many real ones drives out none that is in use. Known keys take turns with those asked for.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import httpx

from headgate.identity.fetch import FetchError, fetch_key
from headgate.identity.following import Clock, Followed, Timing, arrived, log
from headgate.identity.jwks import Key, KeySet
from headgate.identity.reasons import Reason
from headgate.identity.sources import KeySource

MAX_QUEUED = 32
MAX_KEPT = 100
MAX_ABSENT = 1000
GONE = frozenset((403, 404))
"""Object stores answer 403 for what is not there to those who may not list it."""


class PemKeys(KeySet):
    """Keys that have to be named: which are here depends on who called before, so none may be the only one."""

    def __init__(self, keys: Iterable[Key], stale: frozenset[str], used: Callable[[str], None]) -> None:
        super().__init__(keys)
        self.stale, self._used = stale, used

    def find(self, kid: str | None, algorithm: str) -> Key | Reason:
        if kid is None:
            return Reason.KID_MISSING
        if kid in self.stale:
            return Reason.KEYS_STALE
        self._used(kid)
        return super().find(kid, algorithm)


@dataclass(slots=True)
class Kept:
    """A key that was fetched; `due` is when to fetch it again, by the loop's clock."""

    key: Key
    fetched_at: float
    due: float
    failures: int = 0


class FollowedPems(Followed):
    """A `pem` source. The set that it gives out stays the same object until a key comes, goes, changes or ages."""

    def __init__(self, provider: str, source: KeySource, clock: Clock, timing: Timing) -> None:
        super().__init__(provider, source, clock, timing)
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # the longest unused first
        self._queue: dict[str, None] = {}
        self._absent: dict[str, float] = {}
        self._fetching: str | None = None
        self._asked_last = False
        self._published, self._oldest = PemKeys((), frozenset(), self._use), float("inf")

    def keys(self) -> KeySet:
        """Without any key until one is asked for; a key that is too old is refused as stale by the set itself."""
        if not self._young(self._oldest):
            self._publish()
        return self._published

    def arrival(self, kid: str | None) -> Awaitable[None] | None:
        if kid is None or not self.source.accepts(kid) or self._is_absent(kid):
            return None
        if self.keys().holds(kid):
            return arrived()
        new = kid not in self._queue and kid != self._fetching
        if new and len(self._queue) >= MAX_QUEUED:
            return None
        waiter = self._waiting.join(kid)
        if waiter and new:
            self._queue[kid] = None
            self._wake.set()
        return waiter

    def missing(self) -> bool:
        """When all keys that are known are too old. None known is no failure: nobody has called yet."""
        return bool(self._kept) and not self.keys().keys

    async def follow(self, client: httpx.AsyncClient) -> None:
        while True:
            await self._serve(client, await self._next())
            await asyncio.sleep(self._timing.key_gap)

    async def _serve(self, client: httpx.AsyncClient, kid: str) -> None:
        """Fetch one key and let go who waits for it."""
        self._queue.pop(kid, None)
        self._fetching = kid
        try:
            await self._fetch(client, kid)
        finally:
            self._fetching = None
        self._waiting.release(self._waiting.of(lambda wanted: wanted == kid))

    async def _next(self) -> str:
        """The next id to fetch, once there is one."""
        while (kid := self._choice()) is None:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min((kept.due for kept in self._kept.values()), default=None)):
                    await self._wake.wait()
        return kid

    def _choice(self) -> str | None:
        """The first in the queue and the key that is due take turns: neither can hold up the other."""
        now = asyncio.get_running_loop().time()
        asked = next(iter(self._queue), None)
        overdue = [(kept.due, kid) for kid, kept in self._kept.items() if kept.due <= now]
        due = min(overdue)[1] if overdue else None
        self._asked_last = asked is not None and (due is None or not self._asked_last)
        return asked if self._asked_last else due

    async def _fetch(self, client: httpx.AsyncClient, kid: str) -> None:
        try:
            key = await fetch_key(client, self.source, kid)
        except FetchError as error:
            if error.status in GONE:
                self._drop(kid)
            else:
                self._retry(kid, error)
        else:
            self._take(kid, key)

    def _take(self, kid: str, key: Key) -> None:
        self._failures = 0
        due = asyncio.get_running_loop().time() + self._timing.interval
        self._kept[kid] = Kept(key, self._clock(), due)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        self._publish()

    def _drop(self, kid: str) -> None:
        """The endpoint has no such key, or no longer: what is kept of it must not be believed any more."""
        self._failures = 0
        self._absent.pop(kid, None)
        self._absent[kid] = self._clock()
        while len(self._absent) > MAX_ABSENT:
            del self._absent[next(iter(self._absent))]
        if self._kept.pop(kid, None):
            log.warning("key `%s` of provider `%s` is no longer published", kid, self.provider)
            self._publish()

    def _retry(self, kid: str, error: FetchError) -> None:
        self._failed(error)
        kept = self._kept.get(kid)
        if kept:
            kept.failures += 1
            kept.due = asyncio.get_running_loop().time() + self._timing.pause(kept.failures)

    def _is_absent(self, kid: str) -> bool:
        since = self._absent.get(kid)
        return since is not None and 0 <= self._clock() - since < self._timing.absent_for

    def _use(self, kid: str) -> None:
        if kid in self._kept:
            self._kept.move_to_end(kid)

    def _publish(self) -> None:
        young = {kid: kept for kid, kept in sorted(self._kept.items()) if self._young(kept.fetched_at)}
        self._oldest = min((kept.fetched_at for kept in young.values()), default=float("inf"))
        keys, stale = tuple(kept.key for kept in young.values()), frozenset(self._kept.keys() - young.keys())
        if keys != self._published.keys or stale != self._published.stale:
            self._published = PemKeys(keys, stale, self._use)
