"""Judge again what lasts: WebSockets, and requests that their upstream has not answered for long.

A verdict is as good as the moment it was given in. Tokens expire, sessions are revoked, rules change; so every
`INTERVAL` each exchange that is still under way is judged as if it came now, by the rules in force now. What may not
go on is closed and recorded as refused, and so is what cannot be judged. That nobody has judged a WebSocket for too
long (`overdue`) is reason enough to pass on none of its messages.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from headgate.model import BundleRef, Exchange, Refusal, guard_error, withheld
from headgate.proxy.faults import describe
from headgate.proxy.held import Held
from headgate.proxy.stages import Stages

log = logging.getLogger(__name__)

INTERVAL = 30.0
"""Seconds within which an exchange is judged again."""

LOOKS = 10
"""How often in one interval it is looked for exchanges that are due, so that not all come at once."""

PATIENCE = 3.0
"""Intervals after which an exchange that has not been judged again is not believed any more."""

AT_ONCE = 100
"""Exchanges that are judged before others get a turn."""

Again = Callable[[Held], Refusal | None]
"""Judges an exchange as if it came now; why it may not go on."""


class Rejudge:
    """`held` is what the guard knows of each flow; `close` ends one. The clock must not leap."""

    def __init__(
        self,
        held: Mapping[str, Held],
        again: Again,
        close: Callable[[Held, Refusal], None],
        clock: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self._held, self._again, self._close, self._clock = held, again, close, clock
        self.interval, self.patience = interval, PATIENCE

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self.interval / LOOKS)
            await self.look()

    async def look(self) -> None:
        """Judge what is due."""
        due_before = self._clock() - self.interval * (LOOKS - 2) / LOOKS  # a look may come late by as much as two
        judged = 0
        for held in list(self._held.values()):
            if not _lasts(held):
                continue
            if held.judged_at is None:
                held.judged_at = self._clock()
            elif held.judged_at <= due_before:
                self._judge(held)
                judged += 1
                if judged % AT_ONCE == 0:
                    await asyncio.sleep(0)

    def overdue(self, held: Held) -> bool:
        """Whether nobody has judged what lasts again for so long that its verdict does not count any more."""
        lasting = held.socket or held.flowing
        since = held.judged_at or (lasting.opened if lasting else 0.0)
        return self._clock() - since > self.interval * self.patience

    def _judge(self, held: Held) -> None:
        try:
            refusal = held.refusal or self._again(held)
        except Exception as error:  # noqa: BLE001 - whatever it is, the verdict no longer stands
            log.error("decision %s could not be judged again and ends: %s", held.decision_id, describe(error))
            refusal = guard_error("judging-again-failed")
        held.judged_at = self._clock()
        if refusal:
            log.info("decision %s holds no longer: %s", held.decision_id, refusal.reason)
            self._close(held, refusal)


def _lasts(held: Held) -> bool:
    """Whether it has been let pass and is still under way; of a WebSocket, also whether it should have ended."""
    if held.socket:
        return not held.socket.over
    return held.allowed and not held.finishing and not held.ended


def judged_again(held: Held, bundle: BundleRef | None, stages: Stages, now: float) -> Refusal | None:
    """What the rules in `bundle` say of an exchange at `now`, in seconds since the epoch; a WebSocket that may go on is
    masked as they say, and a response that flows ends where other masks are due than when it began. Judged is another
    exchange with what was sent and shown: the record of the first stays."""
    if bundle is None:
        return guard_error("not-ready")
    anew = Exchange(held.decision_id, now, bundle, source=held.source, request=held.request, shown=held.shown)
    refusal = stages.again(anew, bundle)
    if refusal is None and held.socket:
        held.socket.due = stages.sockets.due(anew)
    if refusal is None and held.flowing and not held.flowing.mask.applies(stages.streams.due(anew)):
        return withheld("masks-changed")
    return refusal
