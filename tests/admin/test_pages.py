"""What the admin listener answers, asked over a socket, in a process that holds nothing else."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from headgate.admin import server
from headgate.admin.pages import HEADERS, JWKS_PATH, Status
from headgate.admin.server import MAX_BYTES, AdminListener
from headgate.model import BundleRef

RULES = BundleRef("payments-guard", "1.4.0", "ab" * 32)
KEY = {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": "one", "alg": "ES256", "use": "sig"}


def status(
    bundle: BundleRef | None = RULES,
    degraded: str | None = None,
    keys_missing: bool = False,
    keys: tuple[Mapping[str, str], ...] = (),
) -> Status:
    return Status(lambda: bundle, lambda: degraded, lambda: keys_missing, lambda: {"keys": list(keys)})


def asked(
    path: str, method: str = "GET", told: Status | None = None, address: str = "127.0.0.1:0", **keywords: Any
) -> httpx.Response:
    """The answer of a listener to one request."""

    async def ask() -> httpx.Response:
        listener = AdminListener(address, told or status())
        listener.start()
        url = f"http://127.0.0.1:{listener.address.port}{path}"
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return await client.request(method, url, **keywords)
        finally:
            await listener.stop()

    return asyncio.run(ask())


def sent(data: bytes) -> bytes:
    """What comes back for bytes as they are, until the listener closes."""

    async def send() -> bytes:
        listener = AdminListener("127.0.0.1:0", status())
        listener.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.address.port)
            writer.write(data)
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
            return received
        finally:
            await listener.stop()

    return asyncio.run(send())


# ------------------------------------------------------------------------------------------------------- the pages


def test_the_public_keys_may_be_kept_for_a_minute() -> None:
    answer = asked(JWKS_PATH, told=status(keys=(KEY,)))
    assert (answer.status_code, answer.json()) == (200, {"keys": [KEY]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=60"


def test_without_an_assertion_there_are_no_keys() -> None:
    assert asked(JWKS_PATH).json() == {"keys": []}


def test_a_healthy_proxy_says_under_which_rules_it_judges() -> None:
    answer = asked("/healthz")
    bundle = {"name": "payments-guard", "version": "1.4.0", "sha256": "ab" * 32}
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "bundle": bundle})


def test_refused_rules_show_as_degraded_and_never_as_down_or_unready() -> None:
    told = status(degraded="rules-refused")
    healthy = asked("/healthz", told=told)
    assert healthy.status_code == 200
    assert healthy.json()["status"] == "degraded"
    assert healthy.json()["degraded"] == "rules-refused"
    assert asked("/readyz", told=told).status_code == 200


@pytest.mark.parametrize(
    ("told", "code", "document"),
    [
        (status(), 200, {"ready": True}),
        (status(bundle=None), 503, {"ready": False, "waiting_for": "rules"}),
        (status(keys_missing=True), 503, {"ready": False, "waiting_for": "keys"}),
    ],
    ids=["ready", "no rules", "no keys"],
)
def test_it_is_ready_when_rules_and_keys_are_there(told: Status, code: int, document: dict[str, Any]) -> None:
    answer = asked("/readyz", told=told)
    assert (answer.status_code, answer.json()) == (code, document)


def test_without_rules_it_is_healthy_all_the_same() -> None:
    answer = asked("/healthz", told=status(bundle=None))
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", [JWKS_PATH, "/healthz", "/readyz"])
def test_head_says_what_get_would_without_the_body(path: str) -> None:
    head, got = asked(path, "HEAD"), asked(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == got.headers[name]


def test_answers_may_be_neither_kept_nor_run_nor_framed_and_do_not_name_the_server() -> None:
    for answer in (asked("/healthz"), asked("/nowhere"), asked("/healthz", "POST"), asked("/", headers={"Host": "x"})):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "server" not in answer.headers
        assert "etag" not in answer.headers
    assert "cache-control" in asked(JWKS_PATH).headers


# -------------------------------------------------------------------------------------------------- what is refused


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", answer.status_code)
    return answer.status_code, problem["title"]


@pytest.mark.parametrize(
    "path", ["/", "/healthz/", "/healthz%00", "/HEALTHZ", "//healthz", "/.well-known/", "/metrics"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_that_is_not_listed_is_not_found(path: str, method: str) -> None:
    assert refused(asked(path, method)) == (404, "Not Found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", [JWKS_PATH, "/healthz", "/readyz"])
def test_nothing_can_be_written(path: str, method: str) -> None:
    answer = asked(path, method)
    assert refused(answer) == (405, "Method Not Allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", [JWKS_PATH, "/healthz", "/readyz", "/nowhere"])
def test_a_request_that_names_another_host_is_not_answered(path: str) -> None:
    assert refused(asked(path, headers={"Host": "rebound.example"})) == (421, "Misdirected Request")


def test_a_listener_that_others_reach_goes_by_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "on_loopback", lambda _: False)  # without letting them
    assert asked("/healthz", headers={"Host": "guard.internal"}).status_code == 200


def test_a_host_of_its_own_is_answered() -> None:
    assert asked("/healthz", headers={"Host": "localhost:9"}).status_code == 200


def test_an_absolute_target_does_not_stand_in_for_the_host() -> None:
    answer = sent(b"GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: rebound.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: rebound.example\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /x/../healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * MAX_BYTES + b"\r\n\r\n",
    ],
    ids=["no host", "two", "two others", "two lengths", "too long", "tls", "dots", "h2", "large"],
)
def test_what_is_no_clear_request_gets_no_page(data: bytes) -> None:
    answer = sent(data)
    assert b"200" not in answer.partition(b"\r\n")[0]
    assert b"payments-guard" not in answer


def test_a_page_that_fails_says_nothing_but_that(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> BundleRef:
        raise ValueError("c4n4ry")

    told = Status(fail, lambda: None, lambda: False, lambda: {"keys": []})
    with caplog.at_level(logging.DEBUG):
        answer = asked("/healthz?c4n4ry", told=told, headers={"Authorization": "Bearer c4n4ry"})
    assert refused(answer) == (500, "Internal Server Error")
    assert "c4n4ry" not in answer.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("headgate", "tornado"))]
    assert ours == ["the admin page `Healthz` failed: ValueError"]


def test_what_is_asked_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        asked("/healthz")
        asked("/nowhere")
        asked("/healthz", "POST")
    assert [record.name for record in caplog.records if record.name.startswith(("headgate", "tornado"))] == []


def test_each_answer_is_worked_out_anew() -> None:
    """Rules and keys change while the listener is up."""
    seen: list[dict[str, Any]] = []
    published: list[Mapping[str, str]] = []

    async def ask() -> None:
        told = Status(lambda: RULES, lambda: None, lambda: False, lambda: {"keys": published})
        listener = AdminListener("127.0.0.1:0", told)
        listener.start()
        async with httpx.AsyncClient(trust_env=False, base_url=listener.url) as client:
            for _ in range(2):
                seen.append(json.loads((await client.get(JWKS_PATH)).text))
                published.append(KEY)
        await listener.stop()

    asyncio.run(ask())
    assert seen == [{"keys": []}, {"keys": [KEY]}]


def test_a_stopped_listener_frees_its_port() -> None:
    async def twice() -> None:
        first = AdminListener("127.0.0.1:0", status())
        first.start()
        await first.stop()
        second = AdminListener(str(first.address), status())
        second.start()
        await second.stop()

    asyncio.run(twice())
