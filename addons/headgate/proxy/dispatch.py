"""mitmproxy's event dispatch, with the guard around every event, and who listens to what worked out once.

mitmproxy calls addons one after the other and goes on when one fails, so an addon in its chain cannot enforce
anything: another that fails, halts or is unloaded decides what the first one's verdict is worth. Here the guard is
not in that chain but around it. `before` runs ahead of every addon, `after` behind the last one whatever happened
between, and both answer for their own failures.

Recorders (the flow list of mitmweb, `-w`, HAR, the log lines of mitmdump) hear of a flow only when it has ended and
been masked; until then nothing of it can be shown, saved or searched.
"""

import asyncio
import inspect
import logging
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from mitmproxy import exceptions, hooks
from mitmproxy.addonmanager import AddonManager, traverse

from headgate.proxy.faults import describe, stay

log = logging.getLogger(__name__)

Hook = Callable[..., Any]

RECORDERS = ("view", "save", "savehar", "dumper")
UNFINISHED = frozenset({"requestheaders", "request", "responseheaders"})
FINISHED = frozenset({"response", "error"})
OF_A_SOCKET = frozenset({"websocket_start", "websocket_message", "websocket_end"})
OF_A_FLOW = UNFINISHED | FINISHED | OF_A_SOCKET | {"http_connect", "update"}
"""Events whose hooks run in a task of their own, which nobody has a reason to cancel."""


class Around(Protocol):
    """What stands around the dispatch of each event; neither function may raise."""

    def before(self, event: hooks.Hook) -> Awaitable[bool] | bool:
        """Judge; False keeps the event from every addon."""

    def after(self, event: hooks.Hook) -> None:
        """Have the last word."""


class Dispatch:
    """Replaces `trigger_event` of one AddonManager, for as long as the process lives."""

    def __init__(self, addons: AddonManager, around: Around, permanent: Any) -> None:
        self._addons, self._around, self._permanent = addons, around, permanent
        self._listeners: dict[str, list[list[Hook]]] = {}
        found = [addons.get(name) for name in RECORDERS]
        self._recorders = {id(addon) for addon in found if addon is not None}  # an empty view is false
        self._view = addons.get("view")

    def install(self) -> None:
        for name in ("register", "remove", "clear"):
            setattr(self._addons, name, self._forgetting(getattr(self._addons, name)))
        self._addons.trigger_event = self.trigger_event  # type: ignore[method-assign]

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Pass one event through the guard and along the chain."""
        try:
            go_on = self._around.before(event)
            if go_on is not True and go_on is not False:
                go_on = await go_on
            if go_on:
                await self._pass_along(event)
        finally:
            self._around.after(event)

    async def _pass_along(self, event: hooks.Hook) -> None:
        listeners = self._listeners.get(event.name)
        if listeners is None:
            listeners = self._listeners[event.name] = self._resolve(event.name)
        if not listeners:
            return
        arguments = event.args()
        for entry in listeners:
            try:
                for hook in entry:
                    result = hook(*arguments)
                    if result is not None and inspect.isawaitable(result):
                        await result
            except exceptions.AddonHalt:
                return
            except asyncio.CancelledError:
                if _being_cancelled() and event.name not in OF_A_FLOW:
                    raise
                stay()
                log.error("an addon was cancelled in `%s`", event.name)
            except Exception as error:  # noqa: BLE001 - as mitmproxy does; its own logging would show values
                log.error("an addon failed in `%s`: %s", event.name, describe(error))

    def _resolve(self, name: str) -> list[list[Hook]]:
        """The callables for one event, a list for each entry of the chain: a failure skips the rest of its entry."""
        entries = [list(self._hooks(entry, name)) for entry in self._addons.chain]
        return [entry for entry in entries if entry]

    def _hooks(self, entry: Any, name: str) -> Iterator[Hook]:
        for addon in traverse([entry]):
            if id(addon) in self._recorders:
                if name in UNFINISHED:
                    continue
                if name in FINISHED and addon is self._view:
                    yield addon.requestheaders  # a flow enters mitmweb's list when it has ended
            hook = getattr(addon, name, None)
            if callable(hook):
                yield hook
            elif hook is not None and not isinstance(hook, types.ModuleType):
                raise exceptions.AddonManagerError(f"addon handler `{name}` is not callable")

    def _forgetting(self, change: Hook) -> Hook:
        """`change`, after which who listens is worked out anew."""

        def changed(*arguments: Any) -> Any:
            if change.__name__ == "clear" or (change.__name__ == "remove" and self._permanent in traverse(arguments)):
                raise exceptions.AddonManagerError("headgate stays for as long as this process lives")
            try:
                return change(*arguments)
            finally:
                self._listeners.clear()

        return changed


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
