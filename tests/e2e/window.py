"""mitmweb as its user has it: the REST API with the password, and the WebSocket that the page listens to."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

PASSWORD = "looking-glass"
BODIES = ("request", "response")
CONNECTIONS = ("client_conn", "server_conn")


class Window:
    """A mitmweb user with the password and, for what writes, the cross-site token."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, **keywords: Any) -> httpx.Response:
        with self._client() as client:
            return client.request(method, path, **keywords)

    def _client(self) -> httpx.Client:
        headers = {
            "Authorization": f"Bearer {PASSWORD}",
            "X-XSRFToken": "x" * 32,
            "Cookie": f"_mitmproxy_xsrf={'x' * 32}; _xsrf={'x' * 32}",
        }
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, verify=False, timeout=20)  # noqa: S501 - plain HTTP

    def get(self, path: str) -> httpx.Response:
        return self.call("GET", path)

    def flows(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.get("/flows").json()
        return listed

    def shown(self) -> list[dict[str, Any]]:
        """The flows without the times at which their connections ended: those may come after the flow."""
        ended = {"timestamp_end": None}
        return [flow | {name: flow[name] | ended for name in CONNECTIONS if flow.get(name)} for flow in self.flows()]

    def everything(self) -> bytes:
        """All that can be read: lists, events, state, and of each flow its messages, as they are and prettified."""
        paths = ["/flows", "/flows.json", "/flows/dump", "/events", "/state", "/options", "/commands"]
        for flow in self.flows():
            bodies = [f"/flows/{flow['id']}/{body}" for body in BODIES if flow.get(body)]
            paths += [f"{body}/{content}" for body in bodies for content in ("content.data", "content/Auto.json")]
            if flow.get("websocket"):
                paths.append(f"/flows/{flow['id']}/messages/content/Auto.json")
        with self._client() as client:
            return b"\n".join([client.get(path).content for path in paths])

    def updates_while(self, act: Callable[[], object], until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """What the page is told while `act` runs, and after it until a message for which `until` holds."""
        return asyncio.run(self._listen(act, until))

    async def _listen(self, act: Callable[[], object], until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        address = self.url.replace("http:", "ws:") + "/updates"
        socket = await websocket_connect(HTTPRequest(address, headers={"Authorization": f"Bearer {PASSWORD}"}))
        told: list[dict[str, Any]] = []
        acting = asyncio.create_task(asyncio.to_thread(act))
        async with asyncio.timeout(20):
            while not (told and until(told[-1])):
                message = await socket.read_message()
                assert message is not None, "the page was cut off"
                told.append(json.loads(message))
        await acting
        socket.close()
        while await socket.read_message() is not None:
            pass
        return told
