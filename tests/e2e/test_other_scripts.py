"""Other `-s` scripts may look, not touch, whether they are loaded before the guard or after it.

A script is code in the same process and could do anything; what is shown here is that nothing it does through
mitmproxy's own means lets a request pass that was refused, sends one upstream that was not judged, or shows what was
masked.
"""

import contextlib
import shutil

import httpx
import pytest
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.proxy import SCRIPTS, Proxy
from tests.e2e.scripts.meddler import FORGED, TRICKS
from tests.e2e.upstream import Reply, Upstream

PLACES = ("before", "after")
SMUGGLED = b"smuggled"

SERVED = {"raises", "halts", "cancels", "options-error", "forges-metadata", "nothing"}
"""Tricks that change nothing about an allowed request: it is served, masked."""

REFUSED = {
    "request-changed": (
        *("path-early", "path", "method", "host", "port", "scheme", "authority", "version", "body", "header"),
        *("trailers", "replaces-request", "by-way-of", "names"),
    ),
    "answered-by-addon": ("answers", "answers-last", "unsets"),
}


@pytest.fixture(scope="module")
def proxy(proxies: Start, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    folder = tmp_path_factory.mktemp("scripts")
    before, after = (shutil.copy(SCRIPTS / "meddler.py", folder / f"{place}.py") for place in PLACES)
    upstream.forget()
    proxy = proxies(
        door="mitmweb", mode=f"reverse:{upstream.url}", scripts_before=[before], scripts_after=[after], peek=True
    )
    return proxy.warm()


def meddle(proxy: Proxy, place: str, trick: str, token: str | None = "") -> httpx.Response | None:
    """The answer to a request with a body, on which `trick` is played; None when the connection was cut."""
    headers = {f"X-Meddler-{place}": trick, "Content-Type": "application/json"}
    path, body = f"/customers/7?token={CANARY}", f'{{"ssn": "{CANARY}"}}'
    with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
        return proxy.request("POST", path, headers=headers, content=body, token=token)
    return None


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("place", PLACES)
def test_no_trick_lets_a_refused_request_pass(proxy: Proxy, upstream: Upstream, place: str, trick: str) -> None:
    response = meddle(proxy, place, trick, token=None)
    assert upstream.connections == 0
    assert response is None or response.status_code in (401, 503), response.text
    assert response is None or FORGED not in response.content


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("place", PLACES)
def test_no_trick_changes_what_is_sent_or_shows_what_is_masked(
    proxy: Proxy, upstream: Upstream, place: str, trick: str
) -> None:
    response = meddle(proxy, place, trick)
    assert upstream.paths() in ([], [f"POST /customers/7?token={CANARY}"])
    assert SMUGGLED not in upstream.received.lower()
    assert FORGED not in upstream.received
    if response is not None:
        assert CANARY not in response.text
        assert FORGED not in response.content
        assert response.status_code in (200, 502, 503)
    if trick in SERVED:
        assert response is not None
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(("reason", "trick"), [(reason, trick) for reason, of in REFUSED.items() for trick in of])
@pytest.mark.parametrize("place", PLACES)
def test_a_request_that_was_touched_is_refused(
    proxy: Proxy, upstream: Upstream, place: str, reason: str, trick: str
) -> None:
    response = meddle(proxy, place, trick)
    assert response is not None
    assert (response.status_code, response.json()["reason"]) == (503, reason)
    assert upstream.seen == []


@pytest.mark.parametrize("trick", ["replays-early", "replays", "loads-early", "loads"])
def test_a_copy_of_an_allowed_request_is_not_sent_again(proxy: Proxy, upstream: Upstream, trick: str) -> None:
    """A copy brings along what another script knows of the first, not the verdict."""
    before = len(proxy.window.flows())
    response = meddle(proxy, "after", trick)
    assert response is not None
    assert response.status_code == 200
    proxy.settle()
    assert len(upstream.seen) == 1
    verdicts = [flow["comment"] for flow in proxy.window.flows()[before:]]
    (allowed,) = [verdict for verdict in verdicts if verdict != "refused: replayed-flow"]
    assert allowed.startswith("allowed: ")


def test_a_refused_request_is_not_streamed_over_the_connection_of_an_allowed_one(
    proxy: Proxy, upstream: Upstream
) -> None:
    with httpx.Client(base_url=proxy.url, trust_env=False, timeout=10) as client:
        allowed = client.get("/customers/7", headers={"Authorization": f"Bearer {proxy.token()}"})
        assert allowed.status_code == 200
        with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
            refused = client.post("/refused", headers={"X-Meddler-after": "streams-last"}, content=SMUGGLED * 10)
            assert refused.status_code in (401, 503)
    assert upstream.paths() == ["GET /customers/7"]
    assert SMUGGLED not in upstream.received


def test_an_answer_without_a_known_length_is_not_streamed_either(proxy: Proxy, upstream: Upstream) -> None:
    body = f"40\r\n{CANARY:64}\r\n0\r\n\r\n"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream.replies["/customers/7"] = Reply(raw=(head + body).encode())
    for trick in ("streams-back", "streams-back-last"):
        response = meddle(proxy, "after", trick)
        assert response is None or CANARY not in response.text
