"""Another script in the same proxy, which does to a response that flows what its request asks for: `X-Streamer: trick`.

A trick is played in each hook that hears of the flow, and again and again while the response flows.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from mitmproxy import exceptions, http

FORGED = b"forged by another script"
PAUSE = 0.01

_asked: dict[str, str] = {}
_playing: set[asyncio.Task[None]] = set()


def streams(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.stream = True


def transforms(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.stream = lambda data: data + FORGED


def buffers(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.stream = False


def replaces(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(200, FORGED)
    flow.response.stream = True


def unsets(flow: http.HTTPFlow) -> None:
    flow.response = None


def edits(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.status_code, flow.response.content = 201, FORGED
        flow.response.headers["X-Smuggled"] = "yes"
        flow.response.trailers = http.Headers(x_smuggled="yes")


def lengthens(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.headers["Content-Length"] = "1"


def backs_up(flow: http.HTTPFlow) -> None:
    flow.backup()


def intercepts(flow: http.HTTPFlow) -> None:
    flow.intercept()


def raises(_flow: http.HTTPFlow) -> None:
    raise ValueError("c4n4ry in the text of an exception")


def halts(_flow: http.HTTPFlow) -> None:
    raise exceptions.AddonHalt


def cancels(_flow: http.HTTPFlow) -> None:
    raise asyncio.CancelledError


def kills(flow: http.HTTPFlow) -> None:
    """Not before the response flows: that is nothing new."""
    if flow.killable and flow.response and flow.response.status_code == 200:
        flow.kill()


TRICKS: dict[str, Callable[[http.HTTPFlow], Any]] = {
    trick.__name__: trick
    for trick in (
        *(streams, transforms, buffers, replaces, unsets, edits, lengthens, backs_up),
        *(intercepts, raises, halts, cancels, kills),
    )
}


def requestheaders(flow: http.HTTPFlow) -> None:
    _asked[flow.id] = flow.request.headers.get("X-Streamer", "")


def _play(flow: http.HTTPFlow) -> None:
    if trick := TRICKS.get(_asked.get(flow.id, "")):
        trick(flow)


response = error = _play


def responseheaders(flow: http.HTTPFlow) -> None:
    if _asked.get(flow.id):
        task = asyncio.get_running_loop().create_task(_play_on(flow))
        _playing.add(task)
        task.add_done_callback(_playing.discard)
    _play(flow)


async def _play_on(flow: http.HTTPFlow) -> None:
    while flow.live:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            _play(flow)
        await asyncio.sleep(PAUSE)


def update(flows: Any) -> None:
    for flow in flows:
        if isinstance(flow, http.HTTPFlow) and flow.response:
            _play(flow)
