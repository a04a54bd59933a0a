"""What one peer of a WebSocket says, masked: what goes on of it, and what is shown of it.

Both are the same where the same is due to the other peer and to the record. Where the other is excepted, or owed less,
what is shown is masked by itself; that may fail without the peer's missing anything, and from then on no text is shown.
"""

import asyncio
from asyncio import TimerHandle
from typing import NamedTuple

from headgate.masking.messages import showable
from headgate.masking.plan import CannotMask, Plan
from headgate.masking.socketmask import SocketMask, add_counts
from headgate.model import Exchange
from headgate.proxy.stages import SocketStages


class Said(NamedTuple):
    """Messages that go on, and as recorders may see them: the last of both is the one that was said, if one was."""

    out: list[bytes]
    shown: list[bytes]


class Speech:
    """One direction, for as long as `plan` is due to what goes on, and `recorded` to what is shown of it."""

    def __init__(
        self, stages: SocketStages, exchange: Exchange, plan: Plan | None, recorded: Plan | None, *, from_client: bool
    ) -> None:
        self._stages, self._exchange = stages, exchange
        self.due = (plan, recorded)
        self._same = recorded is None or recorded == plan
        self._shows = self._same or not from_client  # no mask of responses is for what a caller says
        self._mask: SocketMask | None = None
        self._recorder: SocketMask | None = None
        self._pause: TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether something is held back from the peer."""
        return self._mask is not None and self._mask.waits

    @property
    def pauses(self) -> bool:
        """Whether nothing has followed since what was waited for has come."""
        return self._pause is not None and self._pause.when() <= asyncio.get_running_loop().time()

    def wait(self, pause: TimerHandle | None) -> None:
        """Wait for this, and no more for what was waited for before."""
        if self._pause:
            self._pause.cancel()
        self._pause = pause

    async def message(self, content: bytes, *, is_text: bool) -> Said:
        """CannotMask: it may not go on, and nothing after it."""
        plan, recorded = self.due
        if not is_text:
            return Said([content], [showable(content, readable=self._same)])
        out = [content]
        if plan is not None:
            self._mask = self._mask or await self._stages.open(plan)
            out = await self._stages.messages(self._mask, content)
            add_counts(self._exchange, self._mask.take_counts())
        if self._same:
            return Said(out, _shown(out))
        known = await self._recorded(recorded, content) if recorded and self._shows else None
        return Said(out, [showable(content, readable=False)] if known is None else _shown(known))

    def rest(self, *, paused: bool = False) -> Said:
        """What is held back, or as much of it as could be the end; CannotMask: nothing may go on."""
        out = self._mask.rest(paused=paused) if self._mask else []
        if self._mask:
            add_counts(self._exchange, self._mask.take_counts())
        return Said(out, _shown(out if self._same else self._recorded_rest(paused=paused)))

    async def _recorded(self, plan: Plan, content: bytes) -> list[bytes] | None:
        try:
            self._recorder = self._recorder or await self._stages.open(plan)
            return await self._stages.messages(self._recorder, content)
        except CannotMask:
            self._recorder, self._shows = None, False
            return None

    def _recorded_rest(self, *, paused: bool) -> list[bytes]:
        try:
            return self._recorder.rest(paused=paused) if self._recorder else []
        except CannotMask:
            self._recorder, self._shows = None, False
            return []


def _shown(messages: list[bytes]) -> list[bytes]:
    return [showable(message, readable=True) for message in messages]
