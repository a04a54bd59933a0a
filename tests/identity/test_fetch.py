"""One fetch, from a real server on loopback that behaves, and misbehaves, as real ones do."""

import asyncio
import json
import logging
import re
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.endpoint import Named, arrived, running

from headgate.identity.fetch import MAX_BYTES, FetchError, fetch, key_client
from headgate.identity.jwks import KeySet
from headgate.identity.keys import KeyRing
from headgate.identity.sources import KeySource, is_loopback

KIDS = re.compile(r"[A-Za-z0-9_.:/@~+=-]*")
"""Wider than any provider's: what must hold without the help of a strict form."""


class KeyServer:
    """Answers with what is set here; keeps what it was asked, and can hold an answer back until it is let go."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.body, self.status = b"", 200
        self.more: dict[str, str] = {}
        self.bodies: dict[str, bytes] = {}
        self.let_go = threading.Event()
        self.held = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.headers.append(dict(self.headers))
                if server.held:
                    server.let_go.wait(30)
                body = server.bodies.get(self.path, server.body)
                self.send_response(server.status)
                for name, value in {"Content-Length": str(len(body)), **server.more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                del args

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that do not trust this server hang up on it."""

        self._http = Server(("127.0.0.1", 0), Handler)
        if context:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.base = f"http{'s' if context else ''}://127.0.0.1:{self._http.server_address[1]}"
        self.url = f"{self.base}/jwks.json?key=s3cret"

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


def pem(issuer: Any, name: str = "ec") -> bytes:
    data: bytes = issuer.private[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def fetched(
    source: KeySource, kid: str | None = None, seconds: float = 5, trust: Path | None = None
) -> list[str | None]:
    async def go() -> KeySet:
        async with key_client() as client:
            if trust:
                client._transport._pool._ssl_context.load_verify_locations(trust)  # type: ignore[attr-defined]
            return await fetch(client, source, kid, seconds)

    return [key.kid for key in asyncio.run(go()).keys]


def refused(source: KeySource, kid: str | None = None, seconds: float = 5) -> str:
    with pytest.raises(FetchError) as caught:
        fetched(source, kid, seconds)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def jwks(server: KeyServer) -> KeySource:
    return KeySource(jwks=server.url)


def pems(server: KeyServer) -> KeySource:
    return KeySource(pem=f"{server.base}/keys/", kid=KIDS)


def test_a_redirect_is_refused(server: KeyServer) -> None:
    for status in (301, 302, 303, 307, 308):
        server.status, server.more = status, {"Location": server.url}
        expected = f"status {status}; accepted: 200, redirects are not followed"
        assert refused(jwks(server)) == refused(pems(server), "ec") == expected
        assert refused(KeySource(discovery=server.base)) == expected
    assert len(server.asked) == 15


def test_another_status_is_refused(server: KeyServer) -> None:
    for status in (201, 203, 404, 500):
        server.status = status
        assert refused(jwks(server)).startswith(f"status {status}")


def test_an_answer_without_end_is_cut_off(server: KeyServer, issuer: Any) -> None:
    server.body = issuer.jwks("ec") + b" " * (MAX_BYTES - len(issuer.jwks("ec")))
    assert fetched(jwks(server)) == ["ec"]
    server.body += b" "
    assert refused(jwks(server)) == refused(pems(server), "ec") == "more than 256 KiB"


def test_a_slow_answer_is_given_up(server: KeyServer) -> None:
    server.held = True
    for source in (jwks(server), pems(server), KeySource(discovery=server.base)):
        assert refused(source, "ec", 0.05) == "it took too long"


def test_a_compressed_answer_is_refused(server: KeyServer) -> None:
    server.more = {"Content-Encoding": "gzip"}
    for source in (jwks(server), pems(server), KeySource(discovery=server.base)):
        assert refused(source, "ec") == "the answer is compressed, which was not asked for"
    assert [headers["Accept-Encoding"] for headers in server.headers] == ["identity"] * 3


def test_an_answer_of_another_kind_is_refused(server: KeyServer, issuer: Any) -> None:
    for body in (b"", b"<html>s3cret</html>", b'{"keys": []}', b"\xff\xfe", pem(issuer)):
        server.body = body
        assert refused(jwks(server)).startswith("it ")
    for body in (b"", b"<html>s3cret</html>", issuer.jwks("ec"), b"\xff\xfe", pem(issuer) * 2):
        server.body = body
        assert refused(pems(server), "ec").startswith("it is not one public key in PEM")


def test_no_answer_is_an_error_like_any_other(server: KeyServer) -> None:
    source = jwks(server)
    server.close()
    assert refused(source) == "no answer (ConnectError)"


def test_the_status_of_an_answer_is_told_apart_from_none(server: KeyServer) -> None:
    server.status = 403
    with pytest.raises(FetchError) as answered:
        fetched(pems(server), "ec")
    server.close()
    with pytest.raises(FetchError) as unanswered:
        fetched(pems(server), "ec")
    assert (answered.value.status, unanswered.value.status) == (403, None)


def test_proxies_and_netrc_of_the_environment_do_not_count(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password eve")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetched(jwks(server)) == ["ec"]
    assert "Authorization" not in server.headers[0]


def test_a_provider_leaves_nothing_with_us_that_it_gets_back(server: KeyServer) -> None:
    server.more = {"Set-Cookie": "seen=before; Path=/"}

    async def test() -> None:
        async with key_client() as client:
            for _ in range(2):
                await fetch(client, jwks(server), None)

    asyncio.run(test())
    assert len(server.headers) == 2
    assert not any("Cookie" in headers for headers in server.headers)


def test_the_http_library_logs_no_url(server: KeyServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fetched(jwks(server))
    assert "s3cret" not in caplog.text


def test_a_ring_fetches_like_this_unless_told_otherwise(server: KeyServer, issuer: Any) -> None:
    sets, single = Named("sets", jwks(server)), Named("single", pems(server))
    server.bodies["/keys/a"] = pem(issuer)

    async def test() -> None:
        ring = KeyRing(lambda: 0.0)
        ring.configure([sets, single])
        async with running(ring):
            assert await arrived(ring, sets, "ec")
            assert await arrived(ring, single, "a")

    asyncio.run(test())


# --------------------------------------------------------------------------------------------------- certificates


@pytest.fixture
def own_certificate(tmp_path: Path) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.OID_COMMON_NAME, "self")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "own.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path


@pytest.fixture
def tls_server(issuer: Any, own_certificate: Path) -> Iterator[KeyServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)
    started = KeyServer(context)
    started.body = issuer.jwks("ec")
    yield started
    started.close()


def test_a_certificate_that_nobody_signed_is_refused(tls_server: KeyServer, own_certificate: Path) -> None:
    told = "its certificate is not trusted, or TLS failed otherwise"
    assert refused(jwks(tls_server)) == refused(pems(tls_server), "ec") == told
    assert refused(KeySource(discovery=tls_server.base)) == told
    assert tls_server.asked == []
    assert fetched(jwks(tls_server), trust=own_certificate) == ["ec"]


def test_a_certificate_for_another_host_is_refused(tls_server: KeyServer, own_certificate: Path) -> None:
    elsewhere = KeySource(jwks=tls_server.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(FetchError, match="certificate is not trusted"):
        fetched(elsewhere, trust=own_certificate)


def test_the_client_verifies_certificates() -> None:
    client = key_client()
    pool: Any = client._transport._pool  # type: ignore[attr-defined]  # httpx has no public way to ask
    assert pool._ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert pool._ssl_context.check_hostname
    asyncio.run(client.aclose())


# ------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "url",
    ["http://sso.example.com/jwks", "http://127.0.0.1.example.com/", "http://localhost.example.com/", "http://127.1/",
     "http://0.0.0.0/", "http://2130706433/", "ftp://sso.example.com/", "file:///etc/passwd", "data:,x",
     "//sso.example.com/", "sso.example.com", "", "https://", "https:///jwks", "https://user@sso.example.com/",
     "https://u:p@sso.example.com/",
     "https://sso.example.com/#keys", "http://[::1", "http://127.0.0.1\\@sso.example.com/", "https://sso.example.com:x/",
     "https://sso.example.com:99999/", "https://sso.example.com/\n", "https://\x00/"],
)  # fmt: skip
def test_keys_come_over_https_from_a_plain_address_only(url: str) -> None:
    """The rules refuse these as well; this is the last door."""
    for source in (KeySource(jwks=url), KeySource(discovery=url), KeySource(pem=url, kid=KIDS)):
        assert re.match(r"(?:not an? |a URL without)", served(source, {}, "ec")[1])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_keys_may_come_without_tls_from_this_machine(issuer: Any, host: str) -> None:
    url = f"http://{host}:8080/jwks.json"
    assert served(KeySource(jwks=url), {url: issuer.jwks("ec")}) == ([url], ["ec"])


def test_a_host_is_this_machine_by_its_name_alone() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.255.0.9", "::1")))
    everywhere = "0.0.0.0"  # noqa: S104 - refused
    for host in (
        everywhere,
        "",
        "localhost.",
        "LOCALHOST.example",
        "127.0.0.1.example",
        "10.0.0.1",
        "::",
        "[::1]",
        "127.1",
    ):
        assert not is_loopback(host)


def served(source: KeySource, bodies: dict[str, bytes], kid: str | None = None) -> tuple[list[str], Any]:
    """What was asked of a network where these URLs answer, and the ids of the keys or why there are none."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        body = bodies.get(asked[-1])
        return httpx.Response(404 if body is None else 200, stream=httpx.ByteStream(body or b""))

    async def go() -> KeySet:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            return await fetch(client, source, kid)

    try:
        return asked, [key.kid for key in asyncio.run(go()).keys]
    except FetchError as error:
        return asked, str(error)


# ------------------------------------------------------------------------------------------------------ discovery

SSO = "https://sso.example.com"
KEYS = "https://keys.example.net/jwks"


def discovered(issuer: Any, document: object, name: str = SSO, keys: str = KEYS) -> tuple[list[str], Any]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    well_known = name.removesuffix("/") + "/.well-known/openid-configuration"
    return served(KeySource(discovery=name), {well_known: data, keys: issuer.jwks("ec")})


def test_discovery_leads_to_the_keys_of_the_issuer(issuer: Any, server: KeyServer) -> None:
    for name in (SSO, f"{SSO}/", f"{SSO}/realms/corp", f"{SSO}/realms/corp/"):
        asked, found = discovered(issuer, {"issuer": name, "jwks_uri": KEYS, "token_endpoint": "file:///etc"}, name)
        assert asked == [name.removesuffix("/") + "/.well-known/openid-configuration", KEYS]
        assert found == ["ec"]
    document = {"issuer": server.base, "jwks_uri": f"{server.base}/keys"}
    server.bodies["/.well-known/openid-configuration"] = json.dumps(document).encode()
    assert fetched(KeySource(discovery=server.base)) == ["ec"]
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "named",
    [None, 7, [SSO], "", f"{SSO}/", f"{SSO} ", "https://SSO.example.com", "http://sso.example.com",
     f"{SSO}.evil.example", f"{SSO}:443", f"{SSO}/other", "sso.example.com"],
)  # fmt: skip
def test_a_document_of_another_issuer_is_refused(issuer: Any, named: object) -> None:
    asked, why = discovered(issuer, {"issuer": named, "jwks_uri": KEYS})
    assert why == "its discovery document is of another issuer"
    assert KEYS not in asked


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"<html>",
        b"\xff",
        b'{"issuer": "https://sso.example.com", "jwks_uri": "https://evil.example", "jwks_uri": "https://keys.example.net/jwks"}',
        '{"issuer": "https://sso.example.com", "jwks_uri": "https://keys.example.net/jwks"}'.encode("utf-16"),
    ],
)
def test_a_document_that_could_be_read_in_two_ways_is_refused(issuer: Any, data: bytes) -> None:
    asked, why = discovered(issuer, data)
    assert why == "its discovery document is not one JSON object with each member once"
    assert KEYS not in asked


@pytest.mark.parametrize(
    "address",
    [None, 7, [KEYS], {}, "", "http://keys.example.net/jwks", "http://127.0.0.1/jwks", "http://[::1]/jwks",
     "http://localhost/jwks", "file:///etc/passwd", "https://user@keys.example.net/jwks", "https://keys.example.net/jwks#a",
     "/jwks", "//keys.example.net/jwks", "https:/jwks", "data:application/json,{}"],
)  # fmt: skip
def test_a_document_that_names_no_https_address_is_refused(issuer: Any, address: object) -> None:
    asked, why = discovered(issuer, {"issuer": SSO, "jwks_uri": address})
    assert why.startswith("its discovery document's `jwks_uri`: ")
    assert asked == [f"{SSO}/.well-known/openid-configuration"]


def test_an_issuer_on_this_machine_may_name_this_machine_and_no_other_without_tls(issuer: Any) -> None:
    own, keys = "http://127.0.0.1:8080", "http://localhost:9090/jwks"
    assert discovered(issuer, {"issuer": own, "jwks_uri": keys}, own, keys)[1] == ["ec"]
    assert discovered(issuer, {"issuer": own, "jwks_uri": KEYS}, own)[1] == ["ec"]
    plain = "http://keys.example.net/jwks"
    assert "jwks_uri" in discovered(issuer, {"issuer": own, "jwks_uri": plain}, own, plain)[1]


@pytest.mark.parametrize("name", [f"{SSO}?tenant=a", f"{SSO}/?", "https://u:p@sso.example.com", f"{SSO}#a"])
def test_an_issuer_that_is_more_than_an_address_is_not_asked(issuer: Any, name: str) -> None:
    assert discovered(issuer, {"issuer": name, "jwks_uri": KEYS}, name)[0] == []


def test_a_discovered_set_is_held_to_the_same_rules(server: KeyServer, issuer: Any) -> None:
    document = {"issuer": server.base, "jwks_uri": f"{server.base}/keys"}
    server.bodies["/.well-known/openid-configuration"] = json.dumps(document).encode()
    server.bodies["/keys"] = issuer.jwks("ec") + b" " * MAX_BYTES
    assert refused(KeySource(discovery=server.base)) == "more than 256 KiB"
    server.bodies["/keys"] = b'{"keys": [{"kty": "oct", "k": "czNjcmV0"}]}'
    assert "private or symmetric" in refused(KeySource(discovery=server.base))


def test_a_discovered_set_is_read_for_the_uses_that_count(issuer: Any) -> None:
    document = json.dumps({"issuer": SSO, "jwks_uri": KEYS}).encode()
    keys = json.dumps({"keys": [issuer.jwk("ec", use="jwt-svid"), issuer.jwk("rsa", use="sig")]}).encode()
    bodies = {f"{SSO}/.well-known/openid-configuration": document, KEYS: keys}
    for uses, expected in ((frozenset(("jwt-svid",)), ["ec"]), (frozenset(("jwt-svid", "sig")), ["ec", "rsa"])):
        assert served(KeySource(discovery=SSO, uses=uses), bodies)[1] == expected
        assert served(KeySource(jwks=KEYS, uses=uses), bodies)[1] == expected


@given(address=st.text() | st.text().map("https://".__add__) | st.text().map("http://127.0.0.1".__add__))
def test_whatever_address_a_document_names_there_is_one_error_type(issuer: Any, address: str) -> None:
    discovered(issuer, json.dumps({"issuer": SSO, "jwks_uri": address}, ensure_ascii=True))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "xn--", "[::1%25lo]", "127.0.0.1:0"])
def test_a_host_that_cannot_exist_is_an_error_like_any_other(host: str) -> None:
    """A discovery document could name it; one that ended the fetching would end it for every provider."""
    assert refused(KeySource(jwks=f"https://{host}/"), seconds=1)


# -------------------------------------------------------------------------------------------------- keys by their id

FOLDER = "https://public-keys.example.com/keys/"
SINGLE = KeySource(pem=FOLDER, kid=KIDS)


def test_a_key_id_is_the_last_segment_and_nothing_else(issuer: Any) -> None:
    for kid, segment in {
        "a1b2-c3": "a1b2-c3",
        "A.b_c~d": "A.b_c~d",
        "a/b": "a%2Fb",
        "a@b": "a%40b",
        "a:b": "a%3Ab",
        "a=b+c": "a%3Db%2Bc",
    }.items():
        asked, found = served(SINGLE, {FOLDER + segment: pem(issuer)}, kid)
        assert asked == [FOLDER + segment]
        assert found == [kid]


@pytest.mark.parametrize(
    "kid",
    [
        None,
        "",
        "..",
        "../x",
        "a/../b",
        "a..b",
        "/x",
        ".x",
        "a?b",
        "a#b",
        "a b",
        "a\nb",
        "a%2fb",
        "%2e%2e",
        "a\\b",
        "é",
        "a\0",
    ],
)
def test_a_key_id_of_no_safe_form_is_never_asked_for(kid: str | None) -> None:
    everything = KeySource(pem=FOLDER, kid=re.compile(r"(?s).*"))
    assert served(everything, {}, kid) == ([], "the key id has not the form that this provider's key ids have")


def test_a_key_id_must_have_the_form_of_its_provider_whole() -> None:
    uuid = KeySource(pem=FOLDER, kid=re.compile(r"[0-9a-f]{4}"))
    assert served(uuid, {}, "0a1b")[0] == [FOLDER + "0a1b"]
    for kid in ("0a1b0", "x0a1b", "0a1b/x", "0A1B"):
        assert served(uuid, {}, kid)[0] == []
    assert served(KeySource(pem=FOLDER), {}, "0a1b")[0] == []


@pytest.mark.parametrize(
    "prefix", [FOLDER.rstrip("/"), FOLDER + "?kid=", FOLDER + "#", "https://", "https:///", FOLDER + "x"]
)
def test_a_key_id_is_appended_to_a_folder_only(prefix: str) -> None:
    assert served(KeySource(pem=prefix, kid=KIDS), {}, "evil.example")[0] == []


def test_a_single_key_carries_the_id_it_was_asked_for_by(issuer: Any) -> None:
    asked, found = served(SINGLE, {FOLDER + "a": pem(issuer, "rsa")}, "a")
    assert (len(asked), found) == (1, ["a"])
    assert served(SINGLE, {FOLDER + "a": pem(issuer, "ed")}, "a")[1].startswith(
        "it is not a key of a kind that may sign"
    )


@given(kid=st.text(alphabet="abAB01-_.:=+/@~%?#\\ ", max_size=12))
def test_whatever_the_key_id_the_host_and_the_folder_stay(kid: str) -> None:
    for url in served(SINGLE, {}, kid)[0]:
        assert re.fullmatch(re.escape(FOLDER) + r"[A-Za-z0-9_.~%-]+", url)
        assert ".." not in url
