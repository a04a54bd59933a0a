"""Another script in the same proxy, which does to a WebSocket what its request asks for: `X-Socketeer: trick`."""

import asyncio
from collections.abc import Callable
from typing import Any

from mitmproxy import ctx, exceptions, http
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

FORGED = b"forged by another script"

_asked: dict[str, str] = {}


def alters(flow: http.HTTPFlow) -> None:
    flow.websocket.messages[-1].content = FORGED


def drops(flow: http.HTTPFlow) -> None:
    flow.websocket.messages[-1].drop()


def injects(flow: http.HTTPFlow) -> None:
    for to_client in (True, False):
        ctx.master.commands.call("inject.websocket", flow, to_client, FORGED)


def appends(flow: http.HTTPFlow) -> None:
    flow.websocket.messages.append(WebSocketMessage(Opcode.TEXT, True, FORGED))


def clears(flow: http.HTTPFlow) -> None:
    flow.websocket.messages.clear()


def unsets(flow: http.HTTPFlow) -> None:
    flow.websocket = flow.response = None


def kills(flow: http.HTTPFlow) -> None:
    flow.kill()


def intercepts(flow: http.HTTPFlow) -> None:
    flow.intercept()


def raises(_flow: http.HTTPFlow) -> None:
    raise ValueError("c4n4ry in the text of an exception")


def halts(_flow: http.HTTPFlow) -> None:
    raise exceptions.AddonHalt


def cancels(_flow: http.HTTPFlow) -> None:
    raise asyncio.CancelledError


TRICKS: dict[str, Callable[[http.HTTPFlow], Any]] = {
    trick.__name__: trick
    for trick in (alters, drops, injects, appends, clears, unsets, kills, intercepts, raises, halts, cancels)
}


def requestheaders(flow: http.HTTPFlow) -> None:
    _asked[flow.id] = flow.request.headers.get("X-Socketeer", "")


def _play(flow: http.HTTPFlow) -> None:
    if trick := TRICKS.get(_asked.get(flow.id, "")):
        trick(flow)


websocket_start = websocket_message = websocket_end = _play


def update(flows: Any) -> None:
    for flow in flows:
        if isinstance(flow, http.HTTPFlow) and flow.websocket and flow.websocket.messages:
            _play(flow)
