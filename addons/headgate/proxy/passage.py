"""The stages of an exchange, run in order up to the first refusal; one that fails, hangs or is cancelled refuses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter_ns

from mitmproxy import http

from headgate.model import Refusal, guard_error, withheld
from headgate.proxy.faults import describe, stay
from headgate.proxy.held import Held

log = logging.getLogger(__name__)

Judge = Callable[[http.HTTPFlow], Awaitable[None] | None]
"""A stage of the way in: it judges at once, or says what has to be awaited until it has."""

STAGE_DEADLINE = 30.0
"""Seconds a stage may take; masking has a shorter limit of its own for each job."""


def run(held: Held, stages: tuple[tuple[str, Judge], ...]) -> Awaitable[None] | None:
    """Run the stages of the way in up to the first refusal; what is returned has to be awaited for the rest."""
    for at, (name, hook) in enumerate(stages):
        started, pending = perf_counter_ns(), None
        try:
            pending = hook(held.flow)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a stage that fails refuses
            _failed(held, name, error, guard_error(f"{name}-failed"))
        if pending is not None:
            return _run_on(held, name, pending, stages[at + 1 :], started)
        held.took(name, perf_counter_ns() - started)
        if held.refusal:
            return None
    return None


async def _run_on(
    held: Held, name: str, pending: Awaitable[None], rest: tuple[tuple[str, Judge], ...], started: int
) -> None:
    """Wait for a stage, then run the others."""
    try:
        async with asyncio.timeout(STAGE_DEADLINE):
            await pending
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as above
        _failed(held, name, error, guard_error(f"{name}-failed"))
        stay()
    held.took(name, perf_counter_ns() - started)
    if not held.refusal and (further := run(held, rest)):
        await further


async def run_out(held: Held, name: str, hook: Judge) -> None:
    """Run one stage of the way out."""
    started = perf_counter_ns()
    try:
        result = hook(held.flow)
        if result is not None:
            async with asyncio.timeout(STAGE_DEADLINE):
                await result
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as above
        _failed(held, name, error, withheld(f"{name}-failed"))
        stay()
    held.took(name, perf_counter_ns() - started)


def _failed(held: Held, name: str, error: BaseException, refusal: Refusal) -> None:
    held.refusal, held.error = held.refusal or refusal, type(error).__name__
    log.error("%s failed, decision %s is a refusal: %s", name, held.decision_id, describe(error))
