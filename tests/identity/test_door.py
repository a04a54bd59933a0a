"""The stage behind a real mitmproxy: what raw clients sent, and what a raw upstream received."""

import asyncio
import base64
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster
from tests.identity.conftest import identity

from headgate.identity.addon import Identity, Sources
from headgate.identity.keys import KeyRing
from headgate.identity.provider import IdentityRules
from headgate.identity.replays import Replays
from headgate.identity.revocations import Revocations
from headgate.model import STRICT, Exchange

SECONDS = 10


class Upstream:
    """Answers every request with `ok` and keeps the bytes it was sent, and the names that it was asked for over TLS."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[bytes] = []
        self.names: list[str | None] = []
        self._tls = tls
        if tls:
            tls.sni_callback = lambda _connection, name, _context: self.names.append(name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, accepted: socket.socket) -> None:
        with self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted as connection:
            while data := read_head(connection):
                self.received.append(data)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self) -> None:
        self._listener.close()


def read_head(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    return data


class Guard:
    """The least that a guard is: an exchange for each flow, and an answer for those that were refused."""

    def __init__(self, issuer: Any, folder: Path, *names: str, rules: IdentityRules | None = None) -> None:
        """`names` are those of every target."""
        self.exchanges: dict[str, Exchange] = {}
        rules = rules or issuer.rules(folder)
        sources = Sources(
            rules=lambda _: rules,
            accepts_host=lambda _, host: host in names,
            path_rules=lambda *_: STRICT,
            loopback_only=lambda: True,
            own_ports=frozenset,
            development_key=lambda: None,
            revocations=lambda: Revocations.of(()),
            signer=lambda _: None,
            certificates=lambda _: (),
            randomness=lambda size: b"\x07" * size,
        )
        ring = KeyRing(lambda: issuer.now)
        self.stage = Identity(self.exchanges, sources, ring, Replays(started=0.0), lambda: issuer.now)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        self._judge(flow, self.stage.http_connect)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self._judge(flow, self.stage.requestheaders)

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges[flow.id]
        if not exchange.refusal:
            self.stage.request(flow)
            self._answer(flow, exchange)

    def client_disconnected(self, client: Client) -> None:
        self.stage.client_disconnected(client)

    def _judge(self, flow: http.HTTPFlow, hook: Callable[[http.HTTPFlow], Any]) -> None:
        exchange = self.exchanges[flow.id] = Exchange("id", 0)
        assert hook(flow) is None  # the keys are in a file: there is nothing to wait for
        self._answer(flow, exchange)

    def _answer(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.refusal:
            flow.response = http.Response.make(exchange.refusal.status, exchange.refusal.reason)


class Proxy:
    """A mitmproxy in a thread of its own."""

    def __init__(self, guard: Guard, mode: str, folder: Path) -> None:
        self._started, self._guard, self._mode, self._folder = threading.Event(), guard, mode, folder
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._started.wait(SECONDS)

    async def _run(self) -> None:
        options = Options(listen_host="127.0.0.1", listen_port=0, mode=[self._mode], confdir=str(self._folder))
        self.master = DumpMaster(options, with_termlog=False, with_dumper=False)
        self.master.options.update(connection_strategy="lazy", keep_host_header=True, ssl_insecure=True)
        self.master.addons.add(self._guard, self)
        self._loop = asyncio.get_running_loop()
        await self.master.run()
        await self.master.addons.get("proxyserver").servers.update([])  # mitmproxy leaves it to the process

    def running(self) -> None:
        server = self.master.addons.get("proxyserver")
        self.port: int = server.listen_addrs()[0][1]
        self._started.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.master.shutdown)
        self._thread.join(SECONDS)

    def send(self, *requests: bytes) -> bytes:
        """The last answer on one connection that these requests are written to, one after the other."""
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as connection:
            for request in requests:
                connection.sendall(request)
                answer = read_answer(connection)
        return answer


def read_answer(connection: socket.socket) -> bytes:
    """A response with its body, if it has a length; what there is when the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while missing > 0:
        more = connection.recv(65536)
        missing -= len(more) or missing
        data += more
    return data


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    started = Upstream()
    yield started
    started.close()


@pytest.fixture(autouse=True)
def nothing_received(upstream: Upstream) -> None:
    upstream.received.clear()


@pytest.fixture(scope="module")
def reverse(issuer: Any, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("reverse")
    proxy = Proxy(Guard(issuer, folder), f"reverse:http://127.0.0.1:{upstream.port}", folder)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def forward(issuer: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("forward")
    proxy = Proxy(Guard(issuer, folder), "regular", folder)
    yield proxy
    proxy.stop()


def get(*lines: str, line: str = "GET /v1/x HTTP/1.1", host: str = "localhost") -> bytes:
    return "\r\n".join([line, f"Host: {host}", *lines, "", ""]).encode("latin-1")


def test_an_honest_request_arrives_as_it_was_judged(issuer: Any, reverse: Proxy, upstream: Upstream) -> None:
    token = f"Authorization: Bearer {issuer.token()}"
    sent = get(token, "Accept: a", "X-Forwarded-User: eve", "TE: trailers", line="GET /%76%31/x?q=%2e HTTP/1.1")
    assert reverse.send(sent).startswith(b"HTTP/1.1 200 OK")
    expected = f"GET /v1/x?q=%2e HTTP/1.1\r\nHost: 127.0.0.1:{upstream.port}\r\nAccept: a\r\n\r\n"
    assert upstream.received == [expected.encode()]


@pytest.mark.parametrize(
    ("line", "headers", "reason"),
    [
        ("get /v1/x HTTP/1.1", [], b"method"),
        ("GET /v1/../x HTTP/1.1", [], b"path-dot-segment"),
        ("GET /v1/%2e%2e/x HTTP/1.1", [], b"path-dot-segment"),
        ("GET /v1%2fx HTTP/1.1", [], b"path-encoded-slash"),
        ("GET /v1//x HTTP/1.1", [], b"path-empty-segment"),
        ("GET /v1\\x HTTP/1.1", [], b"path-backslash"),
        ("GET /v1;a=b/x HTTP/1.1", [], b"path-parameter"),
        ("GET /v1#x HTTP/1.1", [], b"path-delimiter"),
        ("GET /v1%00 HTTP/1.1", [], b"path-character"),
        ("GET /caf\xe9 HTTP/1.1", [], b"path-character"),
        ("GET http://evil.example/v1/x HTTP/1.1", [], b"authority-mismatch"),
        ("GET /v1/x HTTP/1.1", ["Host: evil.example"], b"duplicate-header"),
        ("GET /v1/x HTTP/1.1", ["Authorization: Bearer x"], b"duplicate-header"),
        ("GET /v1/x HTTP/1.1", ["X_Forwarded_User: eve"], b"aliased-header"),
        ("GET /v1/x HTTP/1.1", ["X.Authenticated.User: eve"], b"aliased-header"),
        ("GET /v1/x HTTP/1.1", ["Connection: X-Forwarded-User"], b"connection-header"),
        ("GET /v1/x HTTP/1.1", ["X-A: b", " c: d"], b"control-character"),
        ("GET /v1/x HTTP/1.1", ["X-A: b\x00"], b"control-character"),
        ("GET /v1/x HTTP/1.1", ["X-A: b\xff"], b"header-not-utf8"),
        ("GET /v1/x HTTP/1.1", ["X-HTTP-Method-Override: DELETE"], b"override-header"),
        ("GET /v1/x HTTP/1.1", ["Connection: upgrade", "Upgrade: websocket"], b"upgrade-refused"),
        ("GET /v1/x HTTP/2.0", [], b"http-version"),
        ("OPTIONS * HTTP/1.1", [], b"path-form"),
        ("TRACE /v1/x HTTP/1.1", [], b"method"),
    ],
)
def test_a_malformed_request_never_arrives(
    issuer: Any, reverse: Proxy, upstream: Upstream, line: str, headers: list[str], reason: bytes
) -> None:
    answer = reverse.send(get(f"Authorization: Bearer {issuer.token()}", *headers, line=line))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert answer.endswith(b"\r\n\r\n" + reason)
    assert upstream.received == []


def test_a_request_for_a_name_that_somebody_points_here_never_arrives(
    issuer: Any, reverse: Proxy, upstream: Upstream
) -> None:
    answer = reverse.send(get(f"Authorization: Bearer {issuer.token()}", host="evil.example"))
    assert answer.endswith(b"host-mismatch")
    assert upstream.received == []


def test_a_caller_without_a_token_never_arrives(reverse: Proxy, upstream: Upstream) -> None:
    assert reverse.send(get()).startswith(b"HTTP/1.1 401")
    assert reverse.send(get("Authorization: Bearer x.y.z")).startswith(b"HTTP/1.1 401")
    assert upstream.received == []


def basic(token: str) -> str:
    return "Proxy-Authorization: Basic " + base64.b64encode(f"token:{token}".encode()).decode()


def test_a_forward_request_arrives_without_the_token(issuer: Any, forward: Proxy, upstream: Upstream) -> None:
    place = f"127.0.0.1:{upstream.port}"
    line = f"GET http://{place}/v1/x HTTP/1.1"
    sent = get(basic(issuer.token()), "Authorization: Basic upstream", line=line, host=place)
    assert forward.send(sent).startswith(b"HTTP/1.1 200 OK")
    assert upstream.received == [
        f"GET /v1/x HTTP/1.1\r\nHost: {place}\r\nAuthorization: Basic upstream\r\n\r\n".encode()
    ]
    upstream.received.clear()
    assert forward.send(get(line=line, host=place)).startswith(b"HTTP/1.1 407")
    assert forward.send(get(basic(issuer.token()), line=line, host="evil.example")).endswith(b"authority-mismatch")
    assert upstream.received == []


def test_a_tunnel_has_the_caller_of_its_connect(issuer: Any, forward: Proxy, upstream: Upstream) -> None:
    place = f"127.0.0.1:{upstream.port}"
    opening = get(basic(issuer.token()), line=f"CONNECT {place} HTTP/1.1", host=place)
    inner = get("Authorization: Basic upstream", host=place)
    assert forward.send(opening, inner, inner).startswith(b"HTTP/1.1 200 OK")
    arrived = f"GET /v1/x HTTP/1.1\r\nHost: {place}\r\nAuthorization: Basic upstream\r\n\r\n".encode()
    assert upstream.received == [arrived, arrived]
    upstream.received.clear()
    assert forward.send(opening, get(host="evil.example")).endswith(b"authority-mismatch")
    assert forward.send(opening, get(basic(issuer.token(sub="eve")), host=place)).endswith(b"other-token")
    assert upstream.received == []


def test_a_refused_connect_leaves_no_caller_behind(issuer: Any, forward: Proxy, upstream: Upstream) -> None:
    place = f"127.0.0.1:{upstream.port}"
    opening = get(basic(issuer.token(aud="web")), line=f"CONNECT {place} HTTP/1.1", host=place)
    assert forward.send(opening).startswith(b"HTTP/1.1 407")
    later = get(line=f"GET http://{place}/v1/x HTTP/1.1", host=place)
    assert b"200 OK" not in forward.send(opening, later)
    assert upstream.received == []


def test_this_proxy_is_not_asked_through_itself(issuer: Any, forward: Proxy) -> None:
    place = f"127.0.0.1:{forward.port}"
    opening = get(basic(issuer.token()), line=f"CONNECT {place} HTTP/1.1", host=place)
    assert forward.send(opening).endswith(b"proxy-loop")


def through_tls(forward: Proxy, opening: bytes, inner: bytes, sni: str | None) -> bytes:
    """The answer to `inner`, sent over TLS inside the tunnel that `opening` asks for."""
    with socket.create_connection(("127.0.0.1", forward.port), SECONDS) as plain:
        plain.sendall(opening)
        assert read_answer(plain).startswith(b"HTTP/1.1 200")
        with unverified().wrap_socket(plain, server_hostname=sni) as connection:
            connection.sendall(inner)
            return read_answer(connection)


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_tls_in_a_tunnel_is_for_the_host_that_the_tunnel_leads_to(issuer: Any, forward: Proxy) -> None:
    opening = get(basic(issuer.token()), line="CONNECT api.example:443 HTTP/1.1", host="api.example:443")
    other = through_tls(forward, opening, get(host="api.example"), "evil.example")
    assert other.endswith(b"sni-mismatch")
    elsewhere = through_tls(forward, opening, get(host="evil.example"), "api.example")
    assert elsewhere.endswith(b"sni-mismatch")
    both = through_tls(forward, opening, get(host="evil.example"), "evil.example")
    assert both.endswith(b"authority-mismatch")
    aliased = through_tls(forward, opening, get("X_Forwarded_User: eve", host="api.example"), "api.example")
    assert aliased.endswith(b"aliased-header")


# ------------------------------------------------------------------------------------------- behind an access proxy


TEAM, TAG = "https://team.cloudflareaccess.com", "0" * 64


@pytest.fixture(scope="module")
def access(issuer: Any, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A reverse proxy for callers that come by Cloudflare Access, with its token in a header, a cookie, or both."""
    folder = tmp_path_factory.mktemp("access")
    cloudflare = {"name": "access", "preset": "cloudflare-access", "issuer": TEAM, "audiences": [TAG]}
    rules = identity(folder, {**cloudflare, "jwks": issuer.key_file(folder)})
    proxy = Proxy(Guard(issuer, folder, rules=rules), f"reverse:http://127.0.0.1:{upstream.port}", folder)
    yield proxy
    proxy.stop()


def access_token(issuer: Any, sub: str = "ana") -> str:
    times = {"iat": issuer.now - 10, "exp": issuer.now + 600}
    claims = {"iss": TEAM, "aud": [TAG], "sub": sub, "email": "ana@corp.example", "type": "app", **times}
    token: str = issuer.sign({"alg": "RS256", "kid": "rsa"}, claims, "rsa")
    return token


def test_a_token_in_header_and_cookie_is_taken_off_and_nothing_else(
    issuer: Any, access: Proxy, upstream: Upstream
) -> None:
    token = access_token(issuer)
    shown = [f"Cf-Access-Jwt-Assertion: {token}", f"Cookie: a=1; CF_Authorization={token}; b=2"]
    for lines in (shown, [*shown[:1], "Cookie: a=1; b=2"], shown[1:]):
        sent = get(*lines, "Authorization: Basic dXBzdHJlYW0=", "Cf-Access-Authenticated-User-Email: eve@corp.example")
        assert access.send(sent).startswith(b"HTTP/1.1 200 OK")
    arrived = b"Cookie: a=1; b=2\r\nAuthorization: Basic dXBzdHJlYW0=\r\n\r\n"
    assert [sent.partition(b"\r\nHost: ")[2].partition(b"\r\n")[2] for sent in upstream.received] == [arrived] * 3


def test_the_crumbs_of_a_cookie_over_http2_are_one(issuer: Any, access: Proxy, upstream: Upstream) -> None:
    """HTTP/2 clients send each cookie in a field of its own (RFC 9113, section 8.2.3)."""
    crumbs = [("cookie", "a=1"), ("cookie", f"CF_Authorization={access_token(issuer)}"), ("cookie", "b=2")]
    head = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/v1/x")]
    assert http2(access.port, [*head, *crumbs]) == ("200", b"ok")
    (arrived,) = upstream.received
    assert b"\r\ncookie: a=1; b=2\r\n" in arrived.lower()
    assert b"CF_Authorization" not in arrived


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["Cf-Access-Jwt-Assertion: {ana}", "Cookie: CF_Authorization={eve}"], (401, b"two-tokens")),
        (["Cookie: CF_Authorization={ana}; CF_Authorization={eve}"], (401, b"two-tokens")),
        (["Cookie: CF_Authorization={ana}", "Cookie: CF_Authorization={eve}"], (401, b"two-tokens")),
        (["Cf-Access-Jwt-Assertion: {ana}", "Cookie: CF_Authorization=x"], (401, b"token-segments")),
        (["Cookie: cf_authorization={ana}; XCF_Authorization={ana}"], (401, b"no-token")),
        (['Cookie: CF_Authorization="{ana}"'], (401, b"credentials-malformed")),
        (["Authorization: Bearer {ana}"], (401, b"no-token")),
        (["Cf-Access-Jwt-Assertion: Bearer {ana}"], (401, b"credentials-malformed")),
        (["Cf_Access_Jwt_Assertion: {ana}"], (400, b"aliased-header")),
        (["Cf.Access.Jwt.Assertion: {ana}"], (400, b"aliased-header")),
        (["Cf-Access-Jwt-Assertion: {ana}", "cf-access-jwt-assertion: {ana}"], (400, b"duplicate-header")),
        (["Cf-Access-Jwt-Assertion: {ana}", "Connection: Cf-Access-Jwt-Assertion"], (400, b"connection-header")),
        (["Cf-Access-Jwt-Assertion: {ana}", " {ana}"], (400, b"control-character")),
        (["Cf-Access-Jwt-Assertion: {ana}\xff"], (401, b"credentials-malformed")),
        (["Cf-Access-Jwt-Assertion: {ana}", "Cookie: a=\xff"], (400, b"header-not-utf8")),
    ],
)
def test_a_caller_of_an_access_proxy_proves_it_in_one_way_or_never_arrives(
    issuer: Any, access: Proxy, upstream: Upstream, lines: list[str], answer: tuple[int, bytes]
) -> None:
    tokens = {"ana": access_token(issuer), "eve": access_token(issuer, "eve")}
    answered = access.send(get(*(line.format(**tokens) for line in lines)))
    assert (int(answered.split()[1]), answered.rpartition(b"\r\n\r\n")[2]) == answer
    assert upstream.received == []


# ------------------------------------------------------------------------------------------------------ TLS upstream


@pytest.fixture(scope="module")
def tls_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    chain = tmp_path_factory.mktemp("upstream") / "chain.pem"
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).sign(key, hashes.SHA256())
    forms = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    chain.write_bytes(key.private_bytes(pem, *forms) + built.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    started = Upstream(context)
    yield started
    started.close()


@pytest.fixture(scope="module")
def aliased_forward(issuer: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A forward proxy whose targets are called `www.example` as well."""
    folder = tmp_path_factory.mktemp("aliased")
    proxy = Proxy(Guard(issuer, folder, "www.example"), "regular", folder)
    yield proxy
    proxy.stop()


@pytest.mark.parametrize(
    ("host", "named", "sni", "asked"),
    [
        ("localhost", "localhost", "localhost", "localhost"),
        ("localhost", "localhost", None, "localhost"),
        ("localhost", "www.example", "www.example", "localhost"),
        ("localhost", None, "www.example", "localhost"),
        ("127.0.0.1", "www.example", "www.example", None),
    ],
)
def test_the_caller_does_not_choose_which_name_the_upstream_of_a_tunnel_is_asked_for(
    issuer: Any,
    aliased_forward: Proxy,
    tls_upstream: Upstream,
    host: str,
    named: str | None,
    sni: str | None,
    asked: str | None,
) -> None:
    tls_upstream.names.clear()
    place = f"{host}:{tls_upstream.port}"
    opening = get(basic(issuer.token()), line=f"CONNECT {place} HTTP/1.1", host=place)
    inner = get(host=place if named == host else named) if named else b"GET /v1/x HTTP/1.0\r\n\r\n"
    assert b"200 OK" in through_tls(aliased_forward, opening, inner, sni)
    assert tls_upstream.names == [asked]


def test_a_tunnel_without_a_host_in_it_is_not_a_way_to_another_name(
    issuer: Any, aliased_forward: Proxy, tls_upstream: Upstream
) -> None:
    tls_upstream.names.clear()
    place = f"localhost:{tls_upstream.port}"
    opening = get(basic(issuer.token()), line=f"CONNECT {place} HTTP/1.1", host=place)
    answer = through_tls(aliased_forward, opening, b"GET /secret HTTP/1.0\r\n\r\n", "admin.internal")
    assert answer.endswith(b"sni-mismatch")
    assert tls_upstream.names == []


def test_the_caller_does_not_choose_which_name_the_upstream_of_a_service_is_asked_for(
    issuer: Any, tls_upstream: Upstream, tmp_path: Path
) -> None:
    proxy = Proxy(Guard(issuer, tmp_path, "www.example"), f"reverse:https://localhost:{tls_upstream.port}", tmp_path)
    tls_upstream.names.clear()
    authority = {"authority": "www.example"}
    assert http2(proxy.port, request2(issuer, **authority), sni="www.example") == ("200", b"ok")
    assert http2(proxy.port, request2(issuer), sni="localhost") == ("200", b"ok")
    proxy.stop()
    assert tls_upstream.names == ["localhost", "localhost"]


# --------------------------------------------------------------------------------------------------------------- HTTP/2


def http2(port: int, headers: list[tuple[str, str]], sni: str = "localhost") -> tuple[str, bytes] | str:
    """Status and body of one request over HTTP/2, sent without the client library's own checks; or how it ended."""
    context = unverified()
    context.set_alpn_protocols(["h2"])
    unchecked = {"validate_outbound_headers": False, "normalize_outbound_headers": False}
    with (
        socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=sni) as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, **unchecked))
        http2.initiate_connection()
        http2.send_headers(1, headers, end_stream=True)
        connection.sendall(http2.data_to_send())
        status, body = "", b""
        while data := connection.recv(65536):
            for event in http2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return type(event).__name__
        return "closed"


def request2(issuer: Any, *more: tuple[str, str], **pseudo: str) -> list[tuple[str, str]]:
    given = {"method": "GET", "scheme": "https", "authority": "localhost", "path": "/v1/x", **pseudo}
    head = [(f":{name}", value) for name, value in given.items()]
    return [*head, ("authorization", f"Bearer {issuer.token()}"), *more]


def test_an_honest_request_over_http2_arrives_as_it_was_judged(issuer: Any, reverse: Proxy, upstream: Upstream) -> None:
    assert http2(reverse.port, request2(issuer, ("x-forwarded-user", "eve"))) == ("200", b"ok")
    assert upstream.received == [f"GET /v1/x HTTP/1.1\r\nHost: 127.0.0.1:{upstream.port}\r\n\r\n".encode()]


@pytest.mark.parametrize(
    ("pseudo", "more", "expected"),
    [
        ({"path": "/v1/../x"}, [], ("400", b"path-dot-segment")),
        ({"path": "v1/x"}, [], ("400", b"path-form")),
        ({"path": "/v1 x"}, [], ("400", b"path-character")),
        ({"method": "get"}, [], ("400", b"method")),
        ({"authority": "evil.example"}, [], ("400", b"sni-mismatch")),
        ({"method": "POST"}, [("content-length", "50")], ("400", b"length-mismatch")),
        ({"authority": "user@localhost"}, [], None),
        ({}, [("host", "evil.example")], None),
        ({}, [("x_forwarded_user", "eve")], ("400", b"aliased-header")),
        ({}, [("authorization", "Bearer x")], ("400", b"duplicate-header")),
        ({}, [("x-a", "b\r\nx-user: eve")], None),
        ({}, [("x-a\r\nx-user", "eve")], None),
        ({"method": "GET /admin HTTP/1.1\r\nX:"}, [], None),
        ({"path": "/\r\nx-user: eve"}, [], None),
    ],
)
def test_a_malformed_request_over_http2_never_arrives(
    issuer: Any,
    reverse: Proxy,
    upstream: Upstream,
    pseudo: dict[str, str],
    more: list[tuple[str, str]],
    expected: object,
) -> None:
    """None: the proxy's own HTTP/2 parser refuses it, one way or another."""
    result = http2(reverse.port, request2(issuer, *more, **pseudo))
    assert result == expected if expected else (isinstance(result, str) or result[0] == "400")
    assert upstream.received == []
