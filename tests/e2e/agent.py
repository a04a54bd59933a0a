"""A client of a forward proxy: an agent with HTTPS_PROXY set, or one that speaks CONNECT itself."""

import base64
import socket
import ssl

import httpx
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import Proxy
from tests.e2e.wire import Answer, answer_on


def client(proxy: Proxy, token: str | None = "") -> httpx.Client:
    """An HTTP client as an agent has it: HTTPS_PROXY with a token, trusting mitmproxy's authority."""
    auth = None if token is None else ("token", token or proxy.token())
    authority = proxy.folder / "conf/mitmproxy-ca-cert.pem"
    return httpx.Client(
        proxy=httpx.Proxy(proxy.url, auth=auth),
        verify=ssl.create_default_context(cafile=str(authority)),
        trust_env=False,
        timeout=PATIENCE,
    )


def basic(token: str) -> str:
    return "Proxy-Authorization: Basic " + base64.b64encode(f"token:{token}".encode()).decode()


def opened(proxy: Proxy, target: str, *fields: str, then: bytes = b"", token: str | None = "") -> Answer:
    """What comes back for a CONNECT; `then` is sent without waiting for it, as a hasty client does."""
    given = [] if token is None else [basic(token or proxy.token())]
    connection = proxy.connect()
    connection.sendall(proxy.written("CONNECT", target, f"Host: {target}", *given, *fields, token=None) + then)
    answer = answer_on(connection, "CONNECT")
    proxy.hang_up(connection)
    return answer


def speak(proxy: Proxy, target: str, data: bytes) -> None:
    """Open a tunnel, say something in it, and go away."""
    connection = proxy.connect()
    connection.sendall(proxy.written("CONNECT", target, f"Host: {target}", basic(proxy.token()), token=None))
    assert answer_on(connection, "CONNECT").status == 200
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    proxy.hang_up(connection)
