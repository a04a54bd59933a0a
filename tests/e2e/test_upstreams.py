"""Behind another proxy, and in front of an upstream with TLS: the same chain, and nothing they say is quoted."""

import asyncio
import ssl
from collections.abc import Iterator

import pytest
from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration
from tests.e2e.agent import client, speak
from tests.e2e.canary import CANARY
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import Start
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import PERSONAL, Reply, Upstream


@pytest.fixture(scope="module")
def further() -> Iterator[Upstream]:
    """A proxy further on, which `upstream:` listeners use."""
    server = Upstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def behind(proxies: Start, upstream: Upstream, further: Upstream, certificates: Certificates) -> Proxy:
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    return served(proxies("--set", trust, mode=f"upstream:{further.url}"), further, upstream)


def served(proxy: Proxy, further: Upstream, upstream: Upstream) -> Proxy:
    """Wait until a masker has started."""
    proxy.ready()
    further.replies[f"{upstream.url}/customers/7"] = PERSONAL
    with client(proxy) as through:
        while through.get(upstream.url + "/customers/7").status_code == 502:
            pass
    return proxy


def test_plain_http_goes_by_way_of_the_proxy_further_on(behind: Proxy, upstream: Upstream, further: Upstream) -> None:
    further.forget()
    further.replies[f"{upstream.url}/customers/7"] = PERSONAL
    with client(behind) as through:
        response = through.get(upstream.url + "/customers/7")
    assert response.status_code == 200, response.text
    assert CANARY not in response.text
    assert further.paths() == [f"GET {upstream.url}/customers/7"]
    assert further.seen[0].header("proxy-authorization") == []


def test_a_tunnel_goes_by_way_of_the_proxy_further_on(behind: Proxy, tls_upstream: Upstream, further: Upstream) -> None:
    further.forget()
    with client(behind) as through:
        response = through.get(tls_upstream.url + "/customers/7")
    assert response.status_code == 200, response.text
    assert CANARY not in response.text
    assert further.paths() == [f"CONNECT 127.0.0.1:{tls_upstream.port}"]
    assert further.seen[0].header("proxy-authorization") == []


def test_what_is_refused_is_not_dialled_by_way_of_another_proxy_either(
    behind: Proxy, tls_upstream: Upstream, further: Upstream
) -> None:
    further.forget()
    with client(behind) as through:
        assert through.delete(tls_upstream.url + "/customers/7").status_code == 403
    speak(behind, f"127.0.0.1:{tls_upstream.port}", b"SSH-2.0-OpenSSH_9.9\r\n")
    assert (further.connections, tls_upstream.connections) == (0, 0)


def test_what_the_proxy_further_on_says_is_not_quoted(behind: Proxy, tls_upstream: Upstream, further: Upstream) -> None:
    further.forget()
    for raw in (b"HTTP/1.1 403 c4n4ry it's\r\n\r\n", b"c4n4ry it's\r\n\r\n", b"HTTP/1.1 c4n4ry\r\n\r\n"):
        further.replies[f"127.0.0.1:{tls_upstream.port}"] = Reply(raw=raw)
        with client(behind) as through:
            response = through.get(tls_upstream.url + "/customers/7")
        assert response.status_code == 502
        assert CANARY not in response.text
    assert tls_upstream.connections == 0


def test_in_front_of_tls_the_upstreams_certificate_is_verified(
    proxies: Start, tls_upstream: Upstream, certificates: Certificates
) -> None:
    tls_upstream.forget()
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    trusting = proxies("--set", trust, mode=f"reverse:{tls_upstream.url}")
    assert CANARY not in trusting.warm().get("/customers/7").text
    tls_upstream.forget()
    stranger = proxies(mode=f"reverse:{tls_upstream.url}").ready()
    assert stranger.get("/customers/7").status_code == 502
    assert tls_upstream.seen == []


async def knock(port: int) -> None:
    """Ask for HTTP/3, with a second of patience."""
    configuration = QuicConfiguration(alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, idle_timeout=1.0)
    async with connect("127.0.0.1", port, configuration=configuration):
        pass


def test_http3_is_not_spoken(proxies: Start, tls_upstream: Upstream) -> None:
    """A `reverse:https` listener opens a UDP port as well; whoever comes there is turned away unread."""
    tls_upstream.forget()
    proxy = proxies(mode=f"reverse:{tls_upstream.url}").ready()
    with pytest.raises(ConnectionError):
        asyncio.run(knock(proxy.port))
    proxy.output.wait_for("client kill connection")
    assert tls_upstream.connections == 0
