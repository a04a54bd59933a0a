"""Another script in the same proxy, which does to a flow what the flow asks for: `X-Meddler-NAME: trick`.

NAME is the name of this file, so that copies of it can be loaded ahead of the guard and behind it. A trick is a table
of hooks and what to do in them.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mitmproxy import ctx, exceptions, flow, http
from mitmproxy.proxy.layers import TCPLayer

HEADER = f"X-Meddler-{Path(__file__).stem}"
FORGED = b"forged by another script"
ELSEWHERE = ("127.0.0.1", int(os.environ.get("ELSEWHERE", "9")))
FLOW_HOOKS = ("requestheaders", "request", "responseheaders", "response", "error", "http_connect", "update")
SECRET = "c4n4ry in the text of an exception"

Trick = Callable[[http.HTTPFlow], Any]
_asked: dict[str, str] = {}
_loading: set[asyncio.Task[None]] = set()


def raising(error: Callable[[], BaseException]) -> Trick:
    def act(_flow: http.HTTPFlow) -> None:
        raise error()

    return act


def everywhere(act: Trick) -> dict[str, Trick]:
    return dict.fromkeys(FLOW_HOOKS, act)


def unset(flow: http.HTTPFlow) -> None:
    flow.response = None


def answered(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(200, FORGED)


def approved(flow: http.HTTPFlow) -> None:
    """Make the answer that stands on the flow another one, in place."""
    if flow.response:
        flow.response.status_code, flow.response.content = 200, FORGED


def forged(flow: http.HTTPFlow) -> None:
    flow.metadata.update({"headgate": "allowed", "verdict": "allow", "masked": True})


def sent_as(**changes: Any) -> Trick:
    """Change attributes of the request."""

    def act(flow: http.HTTPFlow) -> None:
        for name, value in changes.items():
            setattr(flow.request, name, value)

    return act


def header(flow: http.HTTPFlow) -> None:
    flow.request.headers["X-Smuggled"] = "yes"


def trailers(flow: http.HTTPFlow) -> None:
    flow.request.trailers = http.Headers(x_smuggled="yes")


def replaced(flow: http.HTTPFlow) -> None:
    flow.request = http.Request.make("GET", f"http://{ELSEWHERE[0]}:{ELSEWHERE[1]}/smuggled")


def streamed(flow: http.HTTPFlow) -> None:
    flow.request.stream = True


def streamed_unanswered(flow: http.HTTPFlow) -> None:
    flow.response, flow.request.stream = None, True


def streamed_back(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.stream = True


def by_way_of(flow: http.HTTPFlow) -> None:
    flow.server_conn.via = ("http", ELSEWHERE)


def named(flow: http.HTTPFlow) -> None:
    flow.server_conn.sni = "smuggled.example.org"


def intercepted(flow: http.HTTPFlow) -> None:
    flow.intercept()


def held_and_rewritten(flow: http.HTTPFlow) -> None:
    """Hold the flow as mitmweb would, then let it go with another path."""

    def rewrite() -> None:
        flow.request.path = "/smuggled"
        flow.resume()

    flow.intercept()
    asyncio.get_running_loop().call_soon(rewrite)


def killed(flow: http.HTTPFlow) -> None:
    if flow.killable:
        flow.kill()


def dead(flow: http.HTTPFlow) -> None:
    flow.live = False


def replayed(flow: http.HTTPFlow) -> None:
    flow.is_replay = "request"


def backed_up(flow: http.HTTPFlow) -> None:
    flow.backup()


def edited(flow: http.HTTPFlow) -> None:
    if flow.response:
        flow.response.content, flow.response.headers["X-Smuggled"] = FORGED, "yes"


def without_guard(_flow: http.HTTPFlow) -> None:
    ctx.master.addons.remove(ctx.master.addons.get("headgate"))


def without_addons(_flow: http.HTTPFlow) -> None:
    ctx.master.addons.clear()


def without_layers(_flow: http.HTTPFlow) -> None:
    ctx.master.addons.remove(ctx.master.addons.get("nextlayer"))


def replayed_by_command(flow: http.HTTPFlow) -> None:
    if flow.live and not flow.is_replay:
        ctx.master.commands.call("replay.client", [flow.copy()])


def loaded(flow: http.HTTPFlow) -> None:
    """Have a copy pass through all hooks once more, as mitmproxy does with flows from a file."""
    if flow.live:
        task = asyncio.get_running_loop().create_task(ctx.master.load_flow(flow.copy()))
        _loading.add(task)
        task.add_done_callback(_loading.discard)


TRICKS: dict[str, dict[str, Trick]] = {
    "nothing": {},
    "raises": everywhere(raising(lambda: ValueError(SECRET))),
    "halts": everywhere(raising(exceptions.AddonHalt)),
    "cancels": everywhere(raising(lambda: asyncio.CancelledError(SECRET))),
    "options-error": everywhere(raising(lambda: exceptions.OptionsError(SECRET))),
    "forges-metadata": everywhere(forged),
    "unsets-early": {"requestheaders": unset},
    "unsets": {"request": unset},
    "unsets-last": {"update": unset},
    "unsets-everywhere": everywhere(unset),
    "answers-early": {"requestheaders": answered},
    "answers": {"request": answered},
    "answers-last": {"update": answered},
    "approves": everywhere(approved),
    "path-early": {"requestheaders": sent_as(path="/smuggled")},
    "path": {"request": sent_as(path="/smuggled")},
    "path-last": {"update": sent_as(path="/smuggled")},
    "method": {"request": sent_as(method="DELETE")},
    "host": {"request": sent_as(host="localhost")},
    "port": {"request": sent_as(port=ELSEWHERE[1])},
    "scheme": {"request": sent_as(scheme="https")},
    "authority": {"request": sent_as(authority="smuggled.example.org")},
    "version": {"request": sent_as(http_version="HTTP/1.0")},
    "body": {"request": sent_as(content=FORGED)},
    "header": {"request": header},
    "header-last": {"update": header},
    "trailers": {"request": trailers},
    "replaces-request": {"request": replaced},
    "streams-early": {"requestheaders": streamed},
    "streams": {"request": streamed},
    "streams-last": {"update": streamed_unanswered},
    "streams-back": {"responseheaders": streamed_back},
    "streams-back-last": {"update": streamed_back},
    "by-way-of": {"request": by_way_of},
    "names": {"request": named},
    "holds-early": {"requestheaders": intercepted},
    "holds": {"request": intercepted},
    "holds-answer": {"responseheaders": intercepted, "response": intercepted},
    "holds-last": {"update": intercepted},
    "holds-and-rewrites": {"request": held_and_rewritten},
    "holds-and-rewrites-last": {"update": held_and_rewritten},
    "kills-early": {"requestheaders": killed},
    "kills": {"request": killed},
    "kills-answer": {"response": killed},
    "kills-last": {"update": killed},
    "is-dead": {"requestheaders": dead, "request": dead},
    "is-replayed": {"requestheaders": replayed, "request": replayed},
    "backs-up-early": {"requestheaders": backed_up},
    "backs-up": {"request": backed_up},
    "edits-answer": {"response": edited},
    "edits-answer-last": {"update": edited},
    "replaces-answer": {"response": answered},
    "unsets-answer": {"response": unset},
    "removes-guard": {"requestheaders": without_guard, "request": without_guard},
    "removes-addons": {"requestheaders": without_addons, "request": without_addons},
    "edits-when-dialled": {"server_connected": sent_as(path="/smuggled")},
    "tunnels": {"http_connect": approved},
    "replays-early": {"request": replayed_by_command},
    "replays": {"response": replayed_by_command},
    "loads-early": {"request": loaded},
    "loads": {"response": loaded},
}


def _act(hook: str, flow: http.HTTPFlow) -> None:
    trick = _asked.setdefault(flow.id, flow.request.headers.get(HEADER, "nothing"))
    act = TRICKS[trick].get(hook)
    if act:
        act(flow)


def requestheaders(flow: http.HTTPFlow) -> None:
    _act("requestheaders", flow)


def request(flow: http.HTTPFlow) -> None:
    _act("request", flow)


def responseheaders(flow: http.HTTPFlow) -> None:
    _act("responseheaders", flow)


def response(flow: http.HTTPFlow) -> None:
    _act("response", flow)


def error(flow: http.HTTPFlow) -> None:
    _act("error", flow)


def http_connect(flow: http.HTTPFlow) -> None:
    _act("http_connect", flow)


def update(flows: list[flow.Flow]) -> None:
    for each in flows:
        if isinstance(each, http.HTTPFlow):
            _act("update", each)


def server_connected(data: Any) -> None:
    for held in list(ctx.master.addons.get("headgate").guard._held.values()):
        if held.flow.client_conn is data.client:
            _act("server_connected", held.flow)


def next_layer(data: Any) -> None:
    if data.data_client().startswith(b"RAW "):
        data.layer = TCPLayer(data.context)


def tls_clienthello(data: Any) -> None:
    if data.client_hello.sni == "ignored.example.org":
        data.ignore_connection = True
