"""Keys over the network: from a real server on loopback that behaves, and misbehaves, as real ones do."""

import asyncio
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.identity.fetch import MAX_BYTES, FetchError, fetch, key_client
from headgate.identity.jwks import KeySet
from headgate.identity.keys import KeyRing, Timing
from headgate.identity.presets import IdentityRules, Provider
from headgate.identity.reasons import Reason, Rejected

OFTEN = Timing(interval=0.01, first_retry=0.01, longest_retry=0.02)
SELDOM = Timing(interval=3600, first_retry=3600, longest_retry=3600)


class KeyServer:
    """Answers each request with what `answer` does; counts them, and can hold one back until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.body, self.status, self.more = b"", 200, {}
        self.let_go = threading.Event()
        self.held = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.headers.append(dict(self.headers))
                if server.held:
                    server.let_go.wait(30)
                self.send_response(server.status)
                for name, value in {"Content-Length": str(len(server.body)), **server.more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *args: object) -> None:
                del args

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/jwks.json?key=s3cret"

    def close(self) -> None:
        self.let_go.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(issuer: Any) -> Iterator[KeyServer]:
    started = KeyServer()
    started.body = issuer.jwks("ec")
    yield started
    started.close()


@pytest.fixture
def slow_server() -> Iterator[KeyServer]:
    started = KeyServer()
    started.held = True
    yield started
    started.close()


class Time:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(ring: KeyRing) -> AsyncIterator[None]:
    task = asyncio.create_task(ring.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def names(keys: KeySet | Rejected) -> list[str | None] | Reason:
    return keys.reason if isinstance(keys, Rejected) else [key.kid for key in keys.keys]


def rules_for(issuer: Any, folder: Path, url: str, **changes: Any) -> IdentityRules:
    rules: IdentityRules = issuer.rules(folder, jwks=url, **changes)
    return rules


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]  # every test is a coroutine function


def test_keys_are_unavailable_until_fetched(issuer: Any, server: KeyServer, tmp_path: Path) -> None:
    rules = rules_for(issuer, tmp_path, server.url)
    ring = KeyRing(Time(), SELDOM)
    provider = rules.providers[0]
    assert ring.keys(provider) == Rejected(Reason.KEYS_UNAVAILABLE)
    ring.configure(rules)
    assert ring.keys(provider) == Rejected(Reason.KEYS_UNAVAILABLE)
    assert ring.missing() == ("corp-sso",)

    async def test() -> None:
        async with running(ring):
            await until(lambda: names(ring.keys(provider)) == ["ec"])
            assert ring.missing() == ()

    run(test)


def test_keys_from_a_file_need_no_fetching(issuer: Any, tmp_path: Path) -> None:
    provider = issuer.provider(tmp_path)
    assert isinstance(KeyRing(Time()).keys(provider), KeySet)


def test_a_rotated_key_is_fetched_on_schedule(issuer: Any, server: KeyServer, tmp_path: Path) -> None:
    rules, ring = rules_for(issuer, tmp_path, server.url), KeyRing(Time(), OFTEN)
    ring.configure(rules)

    async def test() -> None:
        async with running(ring):
            await until(lambda: names(ring.keys(rules.providers[0])) == ["ec"])
            server.body = issuer.jwks("rsa", "ec")
            await until(lambda: names(ring.keys(rules.providers[0])) == ["rsa", "ec"])

    run(test)


def test_an_unknown_key_is_looked_for_once_in_a_while(issuer: Any, server: KeyServer, tmp_path: Path) -> None:
    time, rules = Time(), rules_for(issuer, tmp_path, server.url)
    ring, provider = KeyRing(time, SELDOM), rules.providers[0]
    ring.configure(rules)

    async def test() -> None:
        async with running(ring):
            await until(lambda: names(ring.keys(provider)) == ["ec"])
            server.body = issuer.jwks("rsa")
            for _ in range(100):
                ring.want(provider)
            await asyncio.sleep(0.05)
            assert len(server.asked) == 1
            time.now += 10
            server.held = True
            for _ in range(100):
                ring.want(provider)
            await until(lambda: len(server.asked) == 2)
            for _ in range(100):
                ring.want(provider)
            server.let_go.set()
            await until(lambda: names(ring.keys(provider)) == ["rsa"])
            await asyncio.sleep(0.05)
            assert len(server.asked) == 2

    run(test)


def test_the_last_good_keys_count_for_a_day(issuer: Any, server: KeyServer, tmp_path: Path) -> None:
    time, rules = Time(), rules_for(issuer, tmp_path, server.url)
    ring, provider = KeyRing(time, OFTEN), rules.providers[0]
    ring.configure(rules)

    async def test() -> None:
        async with running(ring):
            await until(lambda: names(ring.keys(provider)) == ["ec"])
            server.status = 500
            asked = len(server.asked) + 3
            await until(lambda: len(server.asked) > asked)
            time.now += 24 * 3600 - 1
            assert names(ring.keys(provider)) == ["ec"]
            time.now += 2
            assert names(ring.keys(provider)) is Reason.KEYS_STALE
            assert ring.missing() == ("corp-sso",)
            server.status = 200
            await until(lambda: names(ring.keys(provider)) == ["ec"])

    run(test)


def test_a_set_with_a_secret_key_does_not_replace_the_last_good_one(
    issuer: Any, server: KeyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules, ring = rules_for(issuer, tmp_path, server.url), KeyRing(Time(), OFTEN)
    ring.configure(rules)

    async def test() -> None:
        async with running(ring):
            await until(lambda: names(ring.keys(rules.providers[0])) == ["ec"])
            server.body = b'{"keys": [{"kty": "oct", "k": "aHVzaGh1c2g"}]}'
            await until(lambda: bool(caplog.records))
            assert names(ring.keys(rules.providers[0])) == ["ec"]

    with caplog.at_level(logging.DEBUG, logger="headgate"):
        run(test)
    record = caplog.records[0]
    assert record.levelno == logging.WARNING
    host = "keys of provider `corp-sso` could not be fetched from `127.0.0.1`"
    assert record.getMessage().startswith(f"{host}: it holds private or symmetric keys")
    assert "s3cret" not in caplog.text
    assert "aHVzaGh1c2g" not in caplog.text


def test_a_reload_keeps_what_was_fetched_and_drops_what_is_gone(issuer: Any, server: KeyServer, tmp_path: Path) -> None:
    first = rules_for(issuer, tmp_path, server.url)
    longer = rules_for(issuer, tmp_path, server.url, clock_skew="1m")
    moved = rules_for(issuer, tmp_path, server.url.replace("jwks.json", "moved.json"))
    ring = KeyRing(Time(), SELDOM)
    ring.configure(first)

    async def test() -> None:
        async with running(ring):
            await until(lambda: names(ring.keys(first.providers[0])) == ["ec"])
            ring.configure(longer)
            assert names(ring.keys(longer.providers[0])) == ["ec"]
            server.body = issuer.jwks("rsa")
            ring.configure(moved)
            assert names(ring.keys(moved.providers[0])) is Reason.KEYS_UNAVAILABLE
            assert names(ring.keys(first.providers[0])) is Reason.KEYS_UNAVAILABLE
            await until(lambda: names(ring.keys(moved.providers[0])) == ["rsa"])
            assert [path.partition("?")[0] for path in server.asked] == ["/jwks.json", "/moved.json"]

    run(test)


def test_a_slow_source_holds_up_no_other(
    issuer: Any, server: KeyServer, slow_server: KeyServer, tmp_path: Path
) -> None:
    both = rules_for(issuer, tmp_path, server.url)
    other = issuer.rules(tmp_path, jwks=slow_server.url, name="slow", issuer="https://slow.example")
    ring = KeyRing(Time(), SELDOM)
    ring.configure(IdentityRules((*other.providers, *both.providers)))

    async def test() -> None:
        async with running(ring):
            await until(lambda: bool(slow_server.asked) and names(ring.keys(both.providers[0])) == ["ec"])
            assert names(ring.keys(other.providers[0])) is Reason.KEYS_UNAVAILABLE
            assert ring.missing() == ("slow",)

    run(test)


def fetched(url: str, seconds: float = 5) -> list[str | None] | Reason:
    async def go() -> KeySet:
        async with key_client() as client:
            return await fetch(client, url, seconds)

    return names(asyncio.run(go()))


def refused(url: str, seconds: float = 5) -> str:
    with pytest.raises(FetchError) as caught:
        fetched(url, seconds)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def test_a_redirect_is_refused(server: KeyServer) -> None:
    for status in (301, 302, 307, 308):
        server.status, server.more = status, {"Location": server.url}
        assert refused(server.url) == f"status {status}; accepted: 200, redirects are not followed"
    assert len(server.asked) == 4


def test_another_status_is_refused(server: KeyServer) -> None:
    for status in (201, 404, 500):
        server.status = status
        assert refused(server.url).startswith(f"status {status}")


def test_an_answer_without_end_is_cut_off(server: KeyServer, issuer: Any) -> None:
    server.body = issuer.jwks("ec") + b" " * (MAX_BYTES - len(issuer.jwks("ec")))
    assert fetched(server.url) == ["ec"]
    server.body += b" "
    assert refused(server.url) == "more than 256 KiB"


def test_a_slow_answer_is_given_up(server: KeyServer) -> None:
    server.held = True
    assert refused(server.url, 0.05) == "it took too long"


def test_a_compressed_answer_is_refused(server: KeyServer) -> None:
    server.more = {"Content-Encoding": "gzip"}
    assert refused(server.url) == "the answer is compressed, which was not asked for"
    assert server.headers[0]["Accept-Encoding"] == "identity"


def test_garbage_is_refused(server: KeyServer) -> None:
    for body in (b"", b"<html>s3cret</html>", b'{"keys": []}', b"\xff\xfe"):
        server.body = body
        assert refused(server.url).startswith("it ")


def test_no_answer_is_an_error_like_any_other(server: KeyServer) -> None:
    url = server.url
    server.close()
    assert refused(url) == "no answer (ConnectError)"
    assert refused("http://[::1") == "no answer (InvalidURL)"


def test_a_certificate_that_nobody_signed_is_refused(server: KeyServer) -> None:
    assert refused(server.url.replace("http:", "https:")) == "its certificate is not trusted, or TLS failed otherwise"


def test_proxies_and_netrc_of_the_environment_do_not_count(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password eve")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetched(server.url) == ["ec"]
    assert "Authorization" not in server.headers[0]


def test_the_http_library_logs_no_url(server: KeyServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fetched(server.url)
    assert "s3cret" not in caplog.text


def test_the_client_verifies_certificates() -> None:
    client = key_client()
    pool: Any = client._transport._pool  # type: ignore[attr-defined]  # httpx has no public way to ask
    assert pool._ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert pool._ssl_context.check_hostname
    assert isinstance(client, httpx.AsyncClient)
    asyncio.run(client.aclose())


def test_a_failing_source_is_asked_less_and_less() -> None:
    ring = KeyRing(Time())
    pauses = [ring._pause(failures) for failures in (0, 1, 2, 3, 8, 9, 10, 1000)]
    assert pauses == [300, 1, 2, 4, 128, 256, 300, 300]


def test_wanting_a_key_of_a_provider_without_a_source_does_nothing(issuer: Any, tmp_path: Path) -> None:
    provider: Provider = issuer.provider(tmp_path)
    KeyRing(Time()).want(provider)
