"""Makes the stages of the guard fail as a request asks: `X-Fault: masking response ValueError`.

The fault is remembered by flow, since a stage that has run may have taken the header away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import ctx, exceptions, http

from headgate.proxy import passage

SECRET = "c4n4ry in the text of an exception"
BRIEFLY = 0.2
"""Seconds a stage may take when it is to hang."""

SLOWLY = 0.5
"""Seconds a slow stage takes."""

FAULTS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError(SECRET),
    "RecursionError": lambda: RecursionError(SECRET),
    "AddonHalt": exceptions.AddonHalt,
    "OptionsError": lambda: exceptions.OptionsError(SECRET),
    "CancelledError": lambda: asyncio.CancelledError(SECRET),
    "TimeoutError": lambda: TimeoutError(SECRET),
    "ExceptionGroup": lambda: ExceptionGroup(SECRET, [ValueError(SECRET)]),
}

HOOKS = ("on_connect", "on_requestheaders", "on_request", "on_response", "on_error")
_wanted: dict[str, str] = {}


def running() -> None:
    stages = ctx.master.addons.get("headgate").guard.stages
    for hook in HOOKS:
        sabotaged = tuple((name, _sabotaged(hook[3:], name, stage)) for name, stage in getattr(stages, hook))
        setattr(stages, hook, sabotaged)
    logging.info("sabotage is in place.")


def _sabotaged(hook: str, name: str, stage: Callable[[http.HTTPFlow], Any]) -> Callable[[http.HTTPFlow], Any]:
    def call(flow: http.HTTPFlow) -> Any:
        asked = flow.request.headers.get("X-Fault", "nobody never nothing")
        stage_name, at, kind = _wanted.setdefault(flow.id, asked).split()
        return _fail(kind, flow, stage) if (stage_name, at) == (name, hook) else stage(flow)

    return call


def _fail(kind: str, flow: http.HTTPFlow, stage: Callable[[http.HTTPFlow], Any]) -> Any:
    if kind == "does-nothing":
        return None
    if kind == "later-hang":
        return _hang()
    if kind == "later-slow":
        return _dawdle(stage(flow))
    if kind.startswith("later-"):
        return _fail_later(kind.removeprefix("later-"), stage(flow))
    raise FAULTS[kind]()


def _hang() -> Awaitable[None]:
    """Never done; its deadline, which the guard reads once it has this, is short."""
    usual, passage.STAGE_DEADLINE = passage.STAGE_DEADLINE, BRIEFLY

    async def forever() -> None:
        passage.STAGE_DEADLINE = usual
        await asyncio.Event().wait()

    return forever()


async def _dawdle(work: Awaitable[None]) -> None:
    logging.info("masking is slow now")
    await asyncio.sleep(SLOWLY)
    await work


async def _fail_later(kind: str, work: Awaitable[None] | None) -> None:
    """Do the work of the stage, then fail; or have the whole task cancelled, as `asyncio` does it."""
    if work is not None:
        await work
    if kind == "cancelled":
        task = asyncio.current_task()
        assert task
        task.cancel(SECRET)
        await asyncio.sleep(0)
    raise FAULTS[kind]()
