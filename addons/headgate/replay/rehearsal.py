"""A whole replay: the chain, what stands behind it, and every recorded request once through both.

With an upstream, requests go there. Offline there is only a responder that knows the recordings, and this process opens
no other connection.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.replay.asked import Matching
from headgate.replay.differences import Rules
from headgate.replay.matching import Fetch, Miss, Recordings
from headgate.replay.offline import nothing_leaves
from headgate.replay.replaying import BAD, Outcome, Plan, State, replayed
from headgate.replay.responder import Responder
from headgate.replay.runner import Chain, Upstream

if TYPE_CHECKING:
    from headgate.bundle.load import Bundle
    from headgate.capture.entries import Entry

Choose = Callable[[], Iterable["Entry"]]
"""Reads the recordings from their beginning: offline that is done twice."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`to` is the upstream's URL, None for a replay offline; `own_host` names that upstream in Host instead of the
    recorded host. The rest is as in `Plan`."""

    bundle: "Bundle"
    to: str | None
    rules: Rules
    matching: Matching = field(default_factory=Matching)
    own_host: bool = False
    seconds: float = 30.0
    jobs: int = 1
    twice: bool = False


@dataclass(slots=True)
class Counts:
    """How many of each state, and why some were skipped."""

    states: Counter[State] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.states[outcome.state] += 1
        if outcome.state is State.SKIPPED:
            self.skipped[(outcome.why or "").partition(":")[0]] += 1

    @property
    def replayed(self) -> int:
        return self.states.total() - self.states[State.SKIPPED]

    @property
    def fine(self) -> bool:
        """Whether something was replayed, and nothing came out otherwise."""
        return self.replayed > 0 and not any(self.states[state] for state in BAD)


async def rehearse(
    choose: Choose, fetch: Fetch, settings: Settings, told: Callable[[Outcome], object], counts: Counts
) -> None:
    """Tell of each outcome in the order of the recordings, and count it. HeadgateError when it cannot go on."""
    async with AsyncExitStack() as around:
        misses: dict[int, Miss] | None = None
        url, ports = settings.to, set[int]()
        if url is None:
            ports = around.enter_context(nothing_leaves())
            recordings = around.enter_context(closing(Recordings(choose(), fetch, settings.matching)))
            responder = around.enter_context(Responder(recordings))
            url, misses = responder.url, responder.misses
            ports.add(responder.port)
        named, workers = misses is not None, min(settings.jobs, 2)
        chain = Chain(settings.bundle, Upstream(url), own_host=settings.own_host, named=named, workers=workers)
        await around.enter_async_context(chain)
        ports.add(chain.port)
        plan = Plan(settings.bundle, chain, settings.rules, settings.seconds, settings.jobs, settings.twice, misses)
        async for outcome in replayed(choose(), plan):
            counts.add(outcome)
            told(outcome)
