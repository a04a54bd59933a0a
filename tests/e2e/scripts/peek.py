"""Tells, each time a client has gone, when the guard has let go of everything and its record is written."""

import asyncio
import logging

from mitmproxy import connection, ctx

FLUSH_SECONDS = 2.0
_telling: set[asyncio.Task[None]] = set()


def client_disconnected(client: connection.Client) -> None:
    task = asyncio.get_running_loop().create_task(_tell(client.peername[1]))
    _telling.add(task)
    task.add_done_callback(_telling.discard)


async def _tell(port: int) -> None:
    headgate = ctx.master.addons.get("headgate")
    while headgate.guard._held or headgate.guard.wire:  # noqa: ASYNC110 - the guard has no event to wait for
        await asyncio.sleep(0.05)
    runtime = headgate._runtime
    written = await asyncio.to_thread(runtime._writer.flush, FLUSH_SECONDS)
    written = await asyncio.to_thread(runtime._audit.writer.flush, FLUSH_SECONDS) and written
    logging.info(f"peek: {port} has gone, nothing held, written: {written}.")
