"""The admin listener of a real proxy: how it is and what its keys are, for this machine, whatever else goes on."""

import re
import socket
import time
from pathlib import Path

import httpx
import pytest
from tests.e2e.canary import CANARY
from tests.e2e.conftest import Start
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import RULES, Proxy, free_port, write_rules
from tests.e2e.test_start import ended
from tests.e2e.upstream import Upstream
from tests.e2e.wire import received

from headgate.demo.listener import Answer, Listener
from headgate.demo.provider import Signer

JWKS = "/.well-known/headgate/jwks.json"


@pytest.fixture(scope="module", params=["mitmdump", "headgate run", "headgate web"])
def proxy(request: pytest.FixtureRequest, proxies: Start, upstream: Upstream) -> Proxy:
    return proxies(door=request.param, mode=f"reverse:{upstream.url}", admin="127.0.0.1:0").ready()


def ask(proxy: Proxy, path: str, method: str = "GET", **keywords: object) -> httpx.Response:
    (url,) = proxy.output.wait_for(r"headgate shows its state and its public keys on (http://127\.0\.0\.1:\d+)")
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        return client.request(method, url + path, **keywords)  # type: ignore[arg-type]


def ask_until(proxy: Proxy, path: str, status: int) -> httpx.Response:
    """The first answer with this status; what makes it change has been done."""
    deadline = time.monotonic() + PATIENCE
    while (answer := ask(proxy, path)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    return answer


def test_it_is_healthy_under_the_rules_that_its_records_name(proxy: Proxy) -> None:
    answer = ask(proxy, "/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    bundle = answer.json()["bundle"]
    assert (bundle["name"], bundle["version"]) == ("test", "1.0.0")
    assert re.fullmatch("[0-9a-f]{64}", bundle["sha256"])
    assert f"`test` 1.0.0+{bundle['sha256'][:8]}" in proxy.output.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_is_ready(proxy: Proxy) -> None:
    answer = ask(proxy, "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})


def test_it_publishes_no_keys_while_it_signs_nothing(proxy: Proxy) -> None:
    answer = ask(proxy, JWKS)
    assert (answer.status_code, answer.json()) == (200, {"keys": []})
    assert answer.headers["cache-control"] == "public, max-age=60"


def test_all_else_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    for path, method, host, status in (
        ("/", "GET", "127.0.0.1", 404),
        ("/customers/7", "GET", "127.0.0.1", 404),
        ("/healthz", "POST", "127.0.0.1", 405),
        (JWKS, "PUT", "localhost", 405),
        ("/healthz", "GET", "rebound.example", 421),
        (JWKS, "GET", "localhost.rebound.example", 421),
    ):
        answer = ask(proxy, path, method, headers={"Host": host})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "lines",
    [
        f"GET /{CANARY} {CANARY} HTTP/1.1\r\nHost: a",
        f"GET / HTTP/1.1\r\nHost: {CANARY} {CANARY}",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CANARY}\x01",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization {CANARY}",
        f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {CANARY}",
    ],
)
def test_what_it_cannot_read_it_does_not_repeat(proxy: Proxy, lines: str) -> None:
    (port,) = proxy.output.wait_for(r"public keys on http://127\.0\.0\.1:(\d+)")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE) as connection:
        connection.sendall(f"{lines}\r\n\r\n".encode())
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert CANARY not in answer.decode() + proxy.output.text


def test_it_is_no_way_to_the_proxy_nor_the_proxy_one_to_it(proxy: Proxy, upstream: Upstream) -> None:
    assert ask(proxy, "/healthz", headers={"Authorization": f"Bearer {proxy.token()}"}).status_code == 200
    assert proxy.get("/healthz", token=None).status_code == 401
    assert upstream.connections == 0


def test_it_lives_and_ends_with_its_proxy(attempt: Start, upstream: Upstream) -> None:
    port = free_port()
    proxy = attempt(mode=f"reverse:{upstream.url}", admin=f"localhost:{port}").ready()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as idle:
        assert proxy.stop() == 0, proxy.output.text
        assert idle.recv(1) == b"", "a connection that asks nothing holds up nobody"
    assert "Traceback" not in proxy.output.text
    socket.create_server(("127.0.0.1", port)).close()


def test_rules_that_are_refused_show_as_degraded_until_they_are_mended(
    proxies: Start, upstream: Upstream, tmp_path: Path
) -> None:
    rules = write_rules(tmp_path / "rules")
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0").ready()
    before = ask(proxy, "/healthz").json()
    (rules / "policy.yaml").write_text("rules:\n  - {id: secret-rule, effect: perhaps}\n")
    proxy.output.wait_for("the changed rules cannot be used")
    answer = ask(proxy, "/healthz")
    assert (answer.status_code, answer.json()) == (200, {**before, "status": "degraded", "degraded": "rules-refused"})
    assert "secret-rule" not in answer.text
    assert "policy.yaml" not in answer.text
    assert ask(proxy, "/readyz").status_code == 200
    (rules / "policy.yaml").write_text(RULES["policy.yaml"] + "  - {id: more, effect: deny, match: {path: /no}}\n")
    proxy.output.wait_for(r"rules `test` \S+ are in force")
    after = ask(proxy, "/healthz").json()
    assert after["status"] == "ok"
    assert after["bundle"]["sha256"] != before["bundle"]["sha256"]


def test_it_is_ready_only_when_every_provider_has_keys(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    port = free_port()
    provider = (
        "providers:\n  - {name: sso, preset: oidc, issuer: 'https://sso.example', audiences: [a], kind: human,\n"
        f"     algorithms: [ES256], jwks: 'http://127.0.0.1:{port}/jwks.json'}}\n"
    )
    rules = write_rules(tmp_path / "rules", identity=provider)
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules, admin="127.0.0.1:0").ready()
    waiting = ask(proxy, "/readyz")
    assert (waiting.status_code, waiting.json()) == (503, {"ready": False, "waiting_for": "keys"})
    assert ask(proxy, "/healthz").json()["status"] == "ok"
    keys = Listener(lambda _: Answer(Signer(time.time).jwks()), port)
    try:
        assert ask_until(proxy, "/readyz", 200).json() == {"ready": True}
    finally:
        keys.close()


@pytest.mark.parametrize("door", ["mitmdump", "headgate run"])
def test_a_port_in_use_ends_the_start(attempt: Start, door: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (problem,) = ended(attempt(door=door, admin=address))
    assert problem == (
        f"option `headgate_admin`: cannot listen on `{address}`: address already in use; "
        "accepted: another `HOST:PORT`, or empty for none (`--set headgate_admin=`)"
    )


def test_a_value_that_is_no_address_ends_the_start(attempt: Start) -> None:
    (problem,) = ended(attempt(admin="8082"))
    assert problem.startswith("option `headgate_admin`: `8082` is no address; accepted: `HOST:PORT`")


@pytest.mark.parametrize("door", ["mitmdump", "headgate run"])
def test_with_an_empty_value_there_is_none(attempt: Start, upstream: Upstream, door: str) -> None:
    proxy = attempt(mode=f"reverse:{upstream.url}", door=door, admin="").ready()
    assert proxy.stop() == 0
    assert "shows its state" not in proxy.output.text
