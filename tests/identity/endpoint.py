"""What publishes keys, in virtual time; and the least that a provider has to be for its keys to be followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
from tests.identity.virtual_time import clock, now

from headgate.identity.jwks import KeySet
from headgate.identity.keys import KeyRing, Timing
from headgate.identity.reasons import Reason, Rejected
from headgate.identity.sources import KeySource

DEADLINE = 5.0


@dataclass(frozen=True)
class Named:
    """A provider, as far as its keys are concerned."""

    name: str
    keys: KeySource


class Endpoint:
    """Answers each path with a status and a body, after `takes` seconds; what it does not have, with 404.

    The answer is settled when the request comes, as a cache before the endpoint would.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[float, str]] = []
        self.takes = 0.0
        self.at_once = self.most_at_once = 0

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.asked]

    @property
    def paths(self) -> list[str]:
        return [path for _, path in self.asked]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        self.asked.append((now(), path))
        status, body = self.answers.get(path, (404, b""))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.at_once -= 1
        if not status:
            raise httpx.ConnectError("down")
        return httpx.Response(status, stream=httpx.ByteStream(body))

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def ring(self, *providers: Named, timing: Timing | None = None) -> KeyRing:
        ring = KeyRing(clock, timing, self.client)
        ring.configure(providers)
        return ring


@asynccontextmanager
async def running(ring: KeyRing) -> AsyncIterator[None]:
    task = asyncio.create_task(ring.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def arrived(ring: KeyRing, provider: Named, kid: str | None) -> bool:
    """Wait as a request does: once, and not for longer than its deadline; whether the key is there then."""
    arrival = ring.arrival(provider, kid)
    if arrival is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                await arrival
    keys = ring.keys(provider)
    return isinstance(keys, KeySet) and kid is not None and keys.holds(kid)


def names(keys: KeySet | Rejected) -> list[str | None] | Reason:
    return keys.reason if isinstance(keys, Rejected) else [key.kid for key in keys.keys]
