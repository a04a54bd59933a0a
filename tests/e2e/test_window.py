"""mitmweb under the guard is a window: its reading routes show ended, masked flows, and nothing else answers."""

import json
import re
from typing import Any

import httpx
import pytest
from mitmproxy.tools.web import app
from tests.e2e.canary import CANARY, found_in
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.window import Window

READING = {
    *("/", "/filter-help", "/filter-help.json", "/commands", "/commands.json", "/events", "/events.json"),
    *("/flows", "/flows.json", "/flows/dump", "/options", "/options.json", "/state", "/state.json"),
    "/flows/{id}/request/content.data",
    *("/flows/{id}/request/content/Auto", "/flows/{id}/request/content/Auto.json"),
}
"""All that answers to GET; `/updates` does by WebSocket."""

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


@pytest.fixture(scope="module", params=["mitmweb", "headgate web"])
def proxy(request: pytest.FixtureRequest, proxies: Start, upstream: Upstream) -> Proxy:
    upstream.forget()
    return proxies(door=request.param, mode=f"reverse:{upstream.url}").warm()


@pytest.fixture
def flow(proxy: Proxy) -> str:
    """The id of a flow that mitmweb shows."""
    proxy.get("/customers/7")
    shown: str = proxy.window.flows()[-1]["id"]
    return shown


def routes() -> list[str]:
    """An address for every route that mitmweb knows, with `{id}` where it names a flow."""
    addresses: set[str] = set()
    for pattern, _handler in app.handlers:
        message = "request" if "message" in pattern else ""
        address = re.sub(r"\(\?P<flow_id>.*?\)", "{id}", pattern)
        address = re.sub(r"\(\?P<message>.*?\)", message, address)
        address = re.sub(r"\(\?P<content_view>.*?\)", "Auto", address)
        address = re.sub(r"\(\?P<cmd>.*?\)", "set", address)
        plain = address.replace(r"(?:\.json)?", "")
        addresses |= {plain, address.replace(r"(?:\.json)?", ".json")}
    return sorted(addresses)


ROUTES = routes()


def test_every_route_of_mitmweb_is_known_here() -> None:
    assert not [route for route in ROUTES if "(" in route or "\\" in route], "a new kind of pattern"
    assert len(ROUTES) >= len(app.handlers)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", METHODS)
def test_only_what_reads_answers(proxy: Proxy, flow: str, method: str, route: str) -> None:
    if route == "/updates" and method == "GET":
        assert proxy.window.get("/updates").status_code == 400, "it answers to a WebSocket only"
        return
    if route == "/" and method == "POST":
        return  # the login form: `test_the_login_form_takes_the_password_only`
    response = proxy.window.call(method, route.replace("{id}", flow))
    if method == "GET" and route in READING:
        assert response.status_code == 200
    elif method == "HEAD" and route in {*READING, "/updates"}:
        assert response.status_code in (403, 405)
    else:
        assert response.status_code == 403
        assert "this window only reads" in response.text or method == "HEAD"


def test_the_login_form_takes_the_password_only(proxy: Proxy) -> None:
    with httpx.Client(base_url=proxy.window.url, trust_env=False) as client:
        assert client.post("/", data={"password": "wrong"}).status_code == 403
        assert client.get("/flows").status_code == 403


@pytest.mark.parametrize("route", ["/flows", "/flows/dump", "/events", "/options", "/state", "/commands", "/updates"])
def test_without_the_password_nothing_is_shown(proxy: Proxy, route: str) -> None:
    response = httpx.get(proxy.window.url + route, trust_env=False)
    assert response.status_code == 403
    assert CANARY not in response.text


EDIT = {"request": {"path": "/smuggled", "headers": [["X-Smuggled", "yes"]]}, "response": {"content": "forged"}}
ACTS: dict[str, tuple[str, str, Any]] = {
    "edit": ("PUT", "/flows/{id}", EDIT),
    "replay": ("POST", "/flows/{id}/replay", None),
    "duplicate": ("POST", "/flows/{id}/duplicate", None),
    "revert": ("POST", "/flows/{id}/revert", None),
    "resume": ("POST", "/flows/{id}/resume", None),
    "resume all": ("POST", "/flows/resume", None),
    "kill": ("POST", "/flows/{id}/kill", None),
    "kill all": ("POST", "/flows/kill", None),
    "delete": ("DELETE", "/flows/{id}", None),
    "clear": ("POST", "/clear", None),
    "rewrite a body": ("POST", "/flows/{id}/request/content.data", None),
    "run a script": ("POST", "/commands/script.run", {"arguments": ["@all", "evil.py"]}),
    "set an option": ("POST", "/commands/set", {"arguments": ["scripts", ""]}),
    "reset options": ("POST", "/commands/options.reset", {"arguments": []}),
    "load options": ("POST", "/commands/options.load", {"arguments": ["evil.yaml"]}),
    "replay by command": ("POST", "/commands/replay.client", {"arguments": ["@all"]}),
    "save flows": ("POST", "/commands/save.file", {"arguments": ["@all", "evil.mitm"]}),
    "create a flow": ("POST", "/commands/view.flows.create", {"arguments": ["get", "http://127.0.0.1/"]}),
    "load flows": ("POST", "/commands/view.flows.load", {"arguments": ["evil.mitm"]}),
    "unload scripts": ("PUT", "/options", {"scripts": []}),
    "listen elsewhere": ("PUT", "/options", {"mode": ["socks5"]}),
    "save options": ("POST", "/options/save", None),
}


@pytest.mark.parametrize("act", ACTS)
def test_who_looks_cannot_act(proxy: Proxy, upstream: Upstream, flow: str, act: str) -> None:
    method, route, body = ACTS[act]
    before, sent = proxy.window.shown(), upstream.paths()
    response = proxy.window.call(method, route.replace("{id}", flow), json=body)
    assert response.status_code == 403
    assert "headgate flows list" in response.text
    assert (proxy.window.shown(), upstream.paths()) == (before, sent)


def test_flows_that_are_injected_are_not_taken(proxy: Proxy, upstream: Upstream) -> None:
    dump = proxy.window.get("/flows/dump").content
    before, sent = proxy.window.shown(), upstream.paths()
    response = proxy.window.call("POST", "/flows/dump", files={"file": ("flows.mitm", dump)})
    assert response.status_code == 403
    assert (proxy.window.shown(), upstream.paths()) == (before, sent)


@pytest.mark.parametrize(
    "path", ["//flows/resume", "/flows/../options", "/%6fptions", "/flows/x/../kill", "/flows/dump/"]
)
def test_other_spellings_of_a_route_open_nothing(proxy: Proxy, path: str) -> None:
    for method in ("POST", "PUT"):
        assert proxy.window.call(method, path, json={"scripts": []}).status_code in (403, 404)


def test_a_flow_shows_its_verdict_and_nothing_that_was_masked(proxy: Proxy) -> None:
    proxy.get(f"/customers/7?token={CANARY}")
    proxy.request("DELETE", "/customers/7")
    allowed, refused = proxy.window.flows()[-2:]
    assert allowed["comment"].startswith("allowed: support-may, ")
    assert refused["comment"] == "refused: nobody-deletes"
    assert not found_in(json.dumps([allowed, refused]).encode())
    assert "comment" in proxy.window.get("/options").json()["web_columns"]["value"]


def test_while_a_flow_is_under_way_nothing_of_it_is_shown(proxy: Proxy, upstream: Upstream) -> None:
    """The upstream answers half and waits: neither request nor response is in any list yet."""
    half, rest = f'{{"ssn": "{CANARY}', '-12345"}'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(half + rest)}\r\n\r\n"
    upstream.replies["/slow"] = Reply(raw=(head + half).encode(), then="hold", late=rest.encode())
    before = len(proxy.window.flows())
    with proxy.connect() as client:
        request = (
            f"GET /slow?token={CANARY} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {proxy.token()}\r\n\r\n"
        )
        client.sendall(request.encode())
        assert upstream.arrived.wait(10)
        assert len(proxy.window.flows()) == before
        assert not found_in(proxy.window.everything())
        upstream.release.set()
        answer = client.recv(65536)
    assert b"200 OK" in answer
    assert CANARY.encode() not in answer
    assert len(proxy.window.flows()) == before + 1


def test_the_page_is_told_of_masked_flows_only(proxy: Proxy) -> None:
    def call() -> None:
        proxy.get(f"/customers/7?token={CANARY}")

    told = proxy.window.updates_while(call, lambda message: "flow" in json.dumps(message["payload"])[:400])
    assert [message for message in told if message["type"] == "flows/add"]
    assert not found_in(json.dumps(told).encode())


def test_the_window_has_a_page(proxy: Proxy) -> None:
    page = proxy.window.get("/")
    assert "<title>mitmproxy</title>" in page.text
    for asset in re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', page.text):
        assert Window(proxy.web_port).get("/" + asset.lstrip("./")).status_code == 200
