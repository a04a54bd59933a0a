"""Attacks on identity at the door: the client gets a refusal with its reason, and the upstream sees nothing at all.

What is tried over HTTP/1.1 is tried over HTTP/2 too, as far as it can be said there. That no token of these attacks is
in any log or record is asserted when the module ends (`Proxy.finish`).
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.e2e.agent import basic, client, opened
from tests.e2e.canary import remember
from tests.e2e.conftest import Start
from tests.e2e.http2 import Client
from tests.e2e.issuer import ALGORITHMS, Key, base64url, jwks
from tests.e2e.output import PATIENCE
from tests.e2e.proxy import Proxy, write_rules
from tests.e2e.upstream import Reply, Upstream
from tests.e2e.wire import answer_on, received

ISSUER, PARTNER, LATE = "https://sso.corp.example", "https://sso.partner.example", "https://late.corp.example"
TEAM, TAG = "https://acme.cloudflareaccess.com", "0123456789abcdef" * 4
TARGETS = """
targets:
  - {name: api, hosts: [127.0.0.1, localhost, "*.localhost", 127.0.0.2, "[::1]", 0.0.0.0], environment: dev}
unknown: refuse
"""
POLICY = """
rules:
  - {id: all-may, effect: allow, match: {target: api, method: [GET, POST]}}
"""
IAP = "x-goog-iap-jwt-assertion"

Field = tuple[str, str]
Refused = tuple[int, str]


class Parties:
    """Everybody's keys, and what each makes with them; all keys go by the id that their provider calls them."""

    def __init__(self) -> None:
        self.sso, self.partner, self.stranger, self.late = Key("k"), Key("k"), Key("k"), Key("late")
        self.access = Key("k", "RS256")
        self.server = Upstream()
        self.server.replies["/late.json"] = Reply(jwks(self.late))
        self.made = {
            "ana": self.token(),
            "eve": self.token(sub="eve"),
            "access": self.access_token(),
            "other": self.access_token(sub="eve"),
            **self._forged(),
        }
        for text in self.made.values():
            remember("." + text.split(".")[1])  # of some the signature is empty, or one that many have

    def token(self, key: Key | None = None, **claims: Any) -> str:
        given = {"iss": ISSUER, "aud": "guard", "sub": "ana", "env": "dev", **claims}
        return (key or self.sso).token(**given)

    def access_token(self, **claims: Any) -> str:
        return self.access.token(**{"iss": TEAM, "aud": [TAG], "sub": "ana", "type": "app", **claims})

    def _signed(self, header: dict[str, Any], key: Key | None = None, **claims: Any) -> str:
        times = {"iat": int(time.time()), "exp": int(time.time()) + 600}
        return (key or self.sso).sign(header, {"iss": ISSUER, "aud": "guard", "sub": "ana", **times, **claims})

    def _forged(self) -> dict[str, str]:
        """What has to be computed, by what it is to be refused for."""
        good = self.token()
        signed, _, encoded = good.rpartition(".")
        raw = base64.urlsafe_b64decode(encoded + "==")
        der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        segments = good.split(".")
        hs = self._signed({"alg": "HS256"}).rpartition(".")[0]
        bom = f"{segments[0]}.{base64url(json.dumps({'sub': 'ana'}).encode('utf-16'))}"
        return {
            "none": f"{self._signed({'alg': 'nOnE'}).rpartition('.')[0]}.AAAA",
            "unsigned": f"{signed}.",
            "hs": f"{hs}.{base64url(hmac.digest(self.sso.pem, hs.encode(), hashlib.sha256))}",
            "jwk": self._signed({"jwk": self.stranger.jwk}, self.stranger),
            "jku": self._signed({"jku": f"{self.server.url}/stranger.json"}, self.stranger),
            "x5u": self._signed({"x5u": f"{self.server.url}/stranger.pem"}, self.stranger),
            "zip": self._signed({"zip": "DEF"}),
            "nested": self._signed({"cty": "JWT"}),
            "kid": self._signed({"kid": "../../dev/null"}),
            "sql": self._signed({"kid": "k' OR 1=1 --"}),
            "stranger": self.token(self.stranger),
            "partner": self.token(self.partner),
            "partners": self.token(iss=PARTNER),
            "der": f"{signed}.{base64url(der)}",
            "zero": f"{signed}.{base64url(b'\0' * 64)}",
            "short": f"{signed}.{base64url(raw[:-1])}",
            "padded": ".".join(f"{segment}=" for segment in segments),
            "trailing": f"{good}.AAAA",
            "utf-16": f"{bom}.{base64url(ALGORITHMS['ES256'].sign(bom.encode(), self.sso.private))}",
            "long": self.token(filler="x" * 7000),
            "suffix": self.token(iss=f"{ISSUER}.evil.example"),
            "below": self.token(iss="https://evil.sso.corp.example"),
            "part": self.token(aud="guar"),
            "listed": self.token(aud=[["guard"]]),
            "expired": self.token(exp=int(time.time()) - 60),
            "endless": self.token(exp=None),
            "text": self.token(exp="9999999999"),
            "huge": self.token(exp=10**30),
            "early": self.token(nbf=int(time.time()) + 600),
            "logout": self._signed({"typ": "logout+jwt"}),
        }


@pytest.fixture(scope="module")
def parties() -> Iterator[Parties]:
    made = Parties()
    yield made
    made.server.stop()


def rules_in(folder: Path, parties: Parties, **identity: Any) -> Path:
    oidc = {"preset": "oidc", "audiences": ["guard"], "algorithms": ["ES256"], "kind": "human", "clock_skew": "0s"}
    environment = {"claims": {"environment": "/env"}}
    providers = [
        {"name": "sso", **oidc, **environment, "issuer": ISSUER, "jwks": "file:sso.json"},
        {"name": "partner", **oidc, **environment, "issuer": PARTNER, "jwks": "file:partner.json"},
        {"name": "late", **oidc, "environment": "dev", "issuer": LATE, "jwks": f"{parties.server.url}/late.json"},
        {
            "name": "access",
            "preset": "cloudflare-access",
            "issuer": TEAM,
            "audiences": [TAG],
            "jwks": "file:access.json",
            "environment": "dev",
        },
    ]
    document = json.dumps({"providers": providers, **identity})
    write_rules(folder, identity=document, targets=TARGETS, policy=POLICY, masking="masks: []\n")
    for name, key in (("sso", parties.sso), ("partner", parties.partner), ("access", parties.access)):
        (folder / f"{name}.json").write_bytes(jwks(key))
    return folder


@pytest.fixture(scope="module")
def guard(
    proxies: Start, upstream: Upstream, parties: Parties, tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    rules = rules_in(tmp_path_factory.mktemp("guard") / "rules", parties)
    return proxies("--set", "termlog_verbosity=debug", mode=f"reverse:{upstream.url}", rules=rules).ready()


def over_http1(proxy: Proxy, fields: list[Field], path: str, body: bytes) -> Refused:
    given = [f"{name}: {value}" for name, value in fields]
    method = "POST" if body else "GET"
    length = [f"Content-Length: {len(body)}"] if body else []
    with proxy.connect() as connection:
        connection.sendall(proxy.written(method, path, *given, *length, token=None, body=body))
        answer = answer_on(connection, method)
    return answer.status, reason_of(answer.body)


def over_http2(proxy: Proxy, fields: list[Field], path: str, body: bytes) -> Refused:
    line = {"method": "POST" if body else "GET", "scheme": "https", "authority": f"127.0.0.1:{proxy.port}", "path": path}
    given = [*((f":{name}", value) for name, value in line.items()), *((name.lower(), value) for name, value in fields)]
    given += [("content-length", str(len(body)))] if body else []
    with Client(proxy.port) as connection:
        status, answer = connection.request([(name.encode(), value.encode("latin-1")) for name, value in given], body)
    return (status, reason_of(answer)) if isinstance(status, int) else (0, status)


WAYS = {"http/1.1": over_http1, "http/2": over_http2}


def reason_of(body: bytes) -> str:
    """The reason of a refusal; nothing for another answer."""
    try:
        return str(json.loads(body).get("reason", ""))
    except ValueError:
        return ""


# ---------------------------------------------------------------------------------------------------------- the tokens

BY_TOKEN = {
    "none": "algorithm-refused",
    "unsigned": "token-encoding",
    "hs": "algorithm-refused",
    "jwk": "header-refused",
    "jku": "header-refused",
    "x5u": "header-refused",
    "zip": "header-refused",
    "nested": "header-refused",
    "kid": "kid-refused",
    "sql": "kid-refused",
    "stranger": "signature-invalid",
    "partner": "signature-invalid",
    "partners": "signature-invalid",
    "der": "signature-invalid",
    "zero": "signature-invalid",
    "short": "signature-invalid",
    "padded": "token-encoding",
    "trailing": "token-segments",
    "utf-16": "token-json",
    "long": "token-too-long",
    "suffix": "issuer-unknown",
    "below": "issuer-unknown",
    "part": "audience-mismatch",
    "listed": "audience-invalid",
    "expired": "expired",
    "endless": "expiry-missing",
    "text": "expiry-invalid",
    "huge": "expiry-invalid",
    "early": "not-yet-valid",
    "logout": "type-refused",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_good_token_is_good(guard: Proxy, upstream: Upstream, parties: Parties, way: str) -> None:
    """Or the refusals below would prove nothing; a scheme has no case, and blanks may follow it."""
    for fields in (
        [("Authorization", f"Bearer {parties.made['ana']}")],
        [("AUTHORIZATION", f"BEARER   {parties.made['ana']}")],
        [("Cookie", f"a=1;\tCF_Authorization = {parties.made['access']} ;b=2")],
    ):
        assert WAYS[way](guard, fields, "/things", b"") == (200, "")
    seen = upstream.received.lower()
    assert len(upstream.seen) == 3
    assert b"cf_authorization" not in seen
    assert b"authorization:" not in seen
    assert not any(text.split(".")[2].lower().encode() in seen for text in (parties.made["ana"], parties.made["access"]))


@pytest.mark.parametrize("way", WAYS)
def test_no_forged_token_gets_through(guard: Proxy, upstream: Upstream, parties: Parties, way: str) -> None:
    asked = len(parties.server.seen)
    found = {
        name: WAYS[way](guard, [("Authorization", f"Bearer {parties.made[name]}")], "/things", b"") for name in BY_TOKEN
    }
    assert found == {name: (401, reason) for name, reason in BY_TOKEN.items()}
    assert upstream.received == b""
    assert len(parties.server.seen) == asked, "no key was looked for where the token says"


# ---------------------------------------------------------------------------------------------------------- the fields

BY_FIELDS: dict[str, tuple[list[Field], Refused]] = {
    "no scheme": ([("Authorization", "{ana}")], (401, "unsupported-scheme")),
    "another scheme": ([("Authorization", "Token {ana}")], (401, "unsupported-scheme")),
    "a scheme with a colon": ([("Authorization", "Bearer: {ana}")], (401, "unsupported-scheme")),
    "a scheme with an equals sign": ([("Authorization", "Bearer={ana}")], (401, "unsupported-scheme")),
    "a scheme with a tab": ([("Authorization", "Bearer\t{ana}")], (401, "unsupported-scheme")),
    "a scheme and nothing": ([("Authorization", "Bearer")], (401, "credentials-malformed")),
    "a scheme twice": ([("Authorization", "Bearer Bearer {ana}")], (401, "credentials-malformed")),
    "two schemes, the token last": ([("Authorization", "Basic eA==, Bearer {ana}")], (401, "unsupported-scheme")),
    "two schemes, the token first": ([("Authorization", "Bearer {ana}, Basic eA==")], (401, "credentials-malformed")),
    "two tokens joined by a comma": ([("Authorization", "Bearer {ana},{eve}")], (401, "credentials-malformed")),
    "two tokens joined by a blank": ([("Authorization", "Bearer {ana} {eve}")], (401, "credentials-malformed")),
    "a token in quotes": ([("Authorization", 'Bearer "{ana}"')], (401, "credentials-malformed")),
    "a token by its name": ([("Authorization", "Bearer token={ana}")], (401, "token-encoding")),
    "a token with a byte of 0xFF": ([("Authorization", "Bearer {ana}\xff")], (401, "credentials-malformed")),
    "a token as a password": ([("Authorization", "Basic {basic}")], (401, "unsupported-scheme")),
    "a token in a digest": ([("Authorization", 'Digest username="{ana}"')], (401, "unsupported-scheme")),
    "a token with a proof, where none is asked for": (
        [("Authorization", "DPoP {ana}"), ("DPoP", "{eve}")],
        (401, "unsupported-scheme"),
    ),
    "a token for another proxy": ([("Proxy-Authorization", "Bearer {ana}")], (401, "no-token")),
    "two good tokens": (
        [("Authorization", "Bearer {ana}"), ("Authorization", "Bearer {eve}")],
        (400, "duplicate-header"),
    ),
    "one good token twice": (
        [("Authorization", "Bearer {ana}"), ("authorization", "Bearer {ana}")],
        (400, "duplicate-header"),
    ),
    "a good token after a bad one": (
        [("Authorization", "Bearer {stranger}"), ("Authorization", "Bearer {ana}")],
        (400, "duplicate-header"),
    ),
    "good tokens of two providers": (
        [("Authorization", "Bearer {ana}"), ("Cf-Access-Jwt-Assertion", "{access}")],
        (401, "two-tokens"),
    ),
    "a good token beside a forged cookie": (
        [("Authorization", "Bearer {ana}"), ("Cookie", "CF_Authorization={stranger}")],
        (401, "issuer-unknown"),
    ),
    "the header of a provider, with underscores": ([("Cf_Access_Jwt_Assertion", "{access}")], (400, "aliased-header")),
    "the header of a provider, with dots": ([("Cf.Access.Jwt.Assertion", "{access}")], (400, "aliased-header")),
    "the header of a provider, with other signs": ([("Cf!Access~Jwt'Assertion", "{access}")], (400, "aliased-header")),
    "a header that means nothing, with other signs": (
        [("Authorization", "Bearer {ana}"), ("X*Forwarded+User", "eve")],
        (400, "aliased-header"),
    ),
    "the header of a provider with a scheme": (
        [("Cf-Access-Jwt-Assertion", "Bearer {access}")],
        (401, "credentials-malformed"),
    ),
    "the header of a provider twice": (
        [("Cf-Access-Jwt-Assertion", "{access}"), ("CF-ACCESS-JWT-ASSERTION", "{access}")],
        (400, "duplicate-header"),
    ),
    "the header of a provider that is not there": ([(IAP, "{ana}")], (401, "no-token")),
    "the header of one provider with another's token": ([("Cf-Access-Jwt-Assertion", "{ana}")], (401, "issuer-unknown")),
    "the header of a proxy that is not there": ([("X-Forwarded-Access-Token", "{ana}")], (401, "no-token")),
    "a certificate that nobody saw": ([("X-Forwarded-Client-Cert", "URI=spiffe://corp/ana")], (401, "no-token")),
    "headers that say who calls": (
        [("X-Forwarded-User", "ana"), ("X-Amzn-Oidc-Identity", "ana"), ("Remote-User", "ana")],
        (401, "no-token"),
    ),
    "an assertion of this proxy": ([("X-Headgate-Assertion", "{ana}")], (401, "no-token")),
    "a token in a header of the caller's own": ([("X-Access-Token", "{ana}"), ("Token", "{ana}")], (401, "no-token")),
    "a byte of 0xFF elsewhere": ([("Authorization", "Bearer {ana}"), ("X-A", "b\xff")], (400, "header-not-utf8")),
    "two cookies of one name": (
        [("Cookie", "CF_Authorization={access}; CF_Authorization={other}")],
        (401, "two-tokens"),
    ),
    "two cookies of one name in two fields": (
        [("Cookie", "CF_Authorization={access}"), ("Cookie", "CF_Authorization={other}")],
        (401, "two-tokens"),
    ),
    "a cookie that differs from the header": (
        [("Cookie", "CF_Authorization={access}"), ("Cf-Access-Jwt-Assertion", "{other}")],
        (401, "two-tokens"),
    ),
    "an empty cookie beside a good one": (
        [("Cookie", "CF_Authorization=; CF_Authorization={access}")],
        (401, "credentials-malformed"),
    ),
    "a cookie in quotes": ([("Cookie", 'CF_Authorization="{access}"')], (401, "credentials-malformed")),
    "a cookie with an escape": ([("Cookie", "CF_Authorization={access}%20")], (401, "credentials-malformed")),
    "a cookie with a byte of 0xFF": ([("Cookie", "CF_Authorization={access}\xff")], (401, "credentials-malformed")),
    "a cookie in small letters": ([("Cookie", "cf_authorization={access}")], (401, "no-token")),
    "a cookie with a prefix": ([("Cookie", "__Host-CF_Authorization={access}")], (401, "no-token")),
    "a cookie with an index": ([("Cookie", "CF_Authorization[0]={access}")], (401, "no-token")),
    "a cookie whose name is an escape": ([("Cookie", "CF%5FAuthorization={access}")], (401, "no-token")),
    "a cookie with a dollar sign": ([("Cookie", "$CF_Authorization={access}")], (401, "no-token")),
    "a cookie after a comma": ([("Cookie", "a=1,CF_Authorization={access}")], (401, "no-token")),
    "a cookie within a cookie": ([("Cookie", "a=CF_Authorization={access}")], (401, "no-token")),
    "a cookie of another version": ([("Cookie2", "CF_Authorization={access}")], (401, "no-token")),
    "a cookie that an answer would set": ([("Set-Cookie", "CF_Authorization={access}")], (401, "no-token")),
}


def filled(fields: list[Field], parties: Parties) -> list[Field]:
    encoded = base64.b64encode(f"token:{parties.made['ana']}".encode()).decode()
    return [(name, value.format(**parties.made, basic=encoded)) for name, value in fields]


@pytest.mark.parametrize("way", WAYS)
def test_a_proof_stands_in_one_place_in_one_form(
    guard: Proxy, upstream: Upstream, parties: Parties, way: str
) -> None:
    found = {name: WAYS[way](guard, filled(fields, parties), "/things", b"") for name, (fields, _) in BY_FIELDS.items()}
    assert found == {name: expected for name, (_, expected) in BY_FIELDS.items()}
    assert upstream.received == b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["access_token", "token", "jwt", "id_token", "authorization", "CF_Authorization"])
def test_a_token_in_query_or_body_is_no_proof(
    guard: Proxy, upstream: Upstream, parties: Parties, way: str, name: str
) -> None:
    token = parties.made["ana"]
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    for fields, path, body in (
        ([], f"/things?{name}={token}", b""),
        (form, "/things", f"{name}={token}".encode()),
        ([("Content-Type", "application/json")], "/things", json.dumps({name: token}).encode()),
    ):
        assert WAYS[way](guard, fields, path, body) == (401, "no-token")
    assert upstream.received == b""


ONLY_HTTP1 = {
    "a folded token": ("Authorization: Bearer\r\n {ana}", "control-character"),
    "a token folded after a tab": ("Authorization: Bearer\r\n\t{ana}", "control-character"),
    "a field hidden in a folded line": ("X-A: b\r\n Authorization: Bearer {ana}", "control-character"),
    "a field ended by a bare carriage return": ("X-A: b\rAuthorization: Bearer {ana}", "control-character"),
    "a blank before the colon": ("Authorization : Bearer {ana}", None),
    "a NUL in the name": ("Authorization\0: Bearer {ana}", None),
    "a byte of 0xFF in the name": ("Authorization\xff: Bearer {ana}", None),
    "a NUL in the token": ("Authorization: Bearer {ana}\0", "control-character"),
    "a token named for removal": ("Authorization: Bearer {ana}\r\nConnection: Authorization", "connection-header"),
    "a header of the proxy named for removal": (
        "Authorization: Bearer {ana}\r\nConnection: close, X-Headgate-Assertion",
        "connection-header",
    ),
    "a cookie named for removal": ("Cookie: CF_Authorization={access}\r\nConnection: cookie", "connection-header"),
    "two lists for removal": (
        "Authorization: Bearer {ana}\r\nConnection: close\r\nConnection: authorization",
        "duplicate-header",
    ),
}


@pytest.mark.parametrize("what", ONLY_HTTP1)
def test_what_only_http1_can_say_does_not_help(
    guard: Proxy, upstream: Upstream, parties: Parties, what: str
) -> None:
    lines, reason = ONLY_HTTP1[what]
    sent = guard.written("GET", "/things", lines.format(**parties.made), "Connection: close", token=None)
    if "Connection" in lines:
        sent = sent.replace(b"\r\nConnection: close\r\nHost", b"\r\nHost")
    with guard.connect() as connection:
        connection.sendall(sent)
        answer = answer_on(connection)
    assert answer.status in ((400, 401) if reason is None else (400,)), answer
    assert reason is None or reason_of(answer.body) == reason
    assert upstream.received == b""


ONLY_HTTP2: dict[str, list[Field]] = {
    "a token after a line break": [("x-a", "b\r\nauthorization: Bearer {ana}")],
    "a token after a bare line feed": [("x-a", "b\nauthorization: Bearer {ana}")],
    "a name with a line break": [("x-a: b\r\nauthorization", "Bearer {ana}")],
    "a name with a colon": [("authorization: x", "Bearer {ana}")],
    "a name in capitals": [("Authorization", "Bearer {ana}")],
    "a name with a blank": [("authorization ", "Bearer {ana}")],
    "a token with a NUL": [("authorization", "Bearer {ana}\0")],
    "a pseudo header": [(":authorization", "Bearer {ana}")],
    "a header named for removal": [("authorization", "Bearer {ana}"), ("connection", "authorization")],
    "a good token and a line break": [("authorization", "Bearer {ana}"), ("x-a", "b\r\nx-forwarded-user: eve")],
    "blanks before a token": [("authorization", " Bearer {ana}")],
}


@pytest.mark.parametrize("what", ONLY_HTTP2)
def test_what_only_http2_can_say_does_not_help(
    guard: Proxy, upstream: Upstream, parties: Parties, what: str
) -> None:
    line = [(":method", "GET"), (":scheme", "https"), (":authority", f"127.0.0.1:{guard.port}"), (":path", "/things")]
    given = [*line, *filled(ONLY_HTTP2[what], parties)]
    with Client(guard.port) as connection:
        status, _ = connection.request([(name.encode(), value.encode("latin-1")) for name, value in given])
    assert status in (400, 401, "stream reset", "connection terminated", "connection closed")
    assert upstream.received == b""


def test_a_token_in_trailers_comes_too_late(guard: Proxy, upstream: Upstream, parties: Parties) -> None:
    line = [(":method", "POST"), (":scheme", "https"), (":authority", f"127.0.0.1:{guard.port}"), (":path", "/things")]
    trailers = [(b"authorization", f"Bearer {parties.made['ana']}".encode())]
    with Client(guard.port) as connection:
        status, body = connection.request([(name.encode(), value.encode()) for name, value in line], b"x", trailers)
    assert (status, reason_of(body)) in ((401, "no-token"), ("stream reset", ""))
    assert upstream.received == b""


def test_a_connection_that_was_good_once_gives_nothing_to_the_next(
    guard: Proxy, upstream: Upstream, parties: Parties
) -> None:
    """Nor one stream to another: what was verified counts for the request that shows it."""
    good = f"Authorization: Bearer {parties.made['ana']}"
    requests = [[good], [], [f"Authorization: Bearer {parties.made['stranger']}"], [good, "Connection: close"]]
    with guard.connect() as connection:
        connection.sendall(b"".join(guard.written("GET", "/things", *fields, token=None) for fields in requests))
        answers = received(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"401", b"401", b"200"]
    line = [(":method", "GET"), (":scheme", "https"), (":authority", f"127.0.0.1:{guard.port}"), (":path", "/things")]
    plain = [(name.encode(), value.encode()) for name, value in line]
    with Client(guard.port) as connection2:
        assert connection2.request([*plain, (b"authorization", good.partition(": ")[2].encode())])[0] == 200
        assert connection2.request(plain)[0] == 401
    assert len(upstream.seen) == 3


def test_a_reverse_proxy_opens_no_tunnel(guard: Proxy, upstream: Upstream, parties: Parties) -> None:
    target = f"127.0.0.1:{upstream.port}"
    for fields in ([basic(parties.made["ana"])], [f"Authorization: Bearer {parties.made['ana']}"]):
        with guard.connect() as connection:
            connection.sendall(guard.written("CONNECT", target, f"Host: {target}", *fields, token=None))
            assert answer_on(connection, "CONNECT").status in (0, 400)
    assert upstream.received == b""


# --------------------------------------------------------------------------------------------------- keys that are late


def late_token(parties: Parties, key: Key, **claims: Any) -> str:
    return parties.token(key, iss=LATE, **claims)


@pytest.fixture
def rotated(parties: Parties) -> Iterator[Key]:
    """A key that the endpoint of the late provider tells only when the test sets `release`."""
    made, server = Key("rotated"), parties.server
    server.arrived.clear()
    told = jwks(parties.late, made)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told)
    server.replies["/late.json"] = Reply(raw=b"", then="hold", late=head + told)
    yield made
    server.release.set()


def test_who_leaves_while_a_key_is_awaited_leaves_nothing(
    guard: Proxy, upstream: Upstream, parties: Parties, rotated: Key
) -> None:
    """Others are served meanwhile, and who waits is served when the key comes."""
    token = late_token(parties, rotated)
    waiting = guard.written("GET", "/late", f"Authorization: Bearer {token}", token=None)
    with guard.connect() as patient:
        leaving = [guard.connect() for _ in range(3)]
        for connection in (patient, *leaving):
            connection.sendall(waiting)
        assert parties.server.arrived.wait(PATIENCE)
        assert over_http1(guard, [("Authorization", f"Bearer {parties.made['ana']}")], "/things", b"") == (200, "")
        for connection in leaving:
            guard.hang_up(connection)
        parties.server.release.set()
        assert answer_on(patient).status == 200
    guard.settle()
    assert upstream.paths() == ["GET /things", "GET /late"]


# --------------------------------------------------------------------------------------------------------- a forward proxy


@pytest.fixture(scope="module")
def forward(proxies: Start, parties: Parties, tmp_path_factory: pytest.TempPathFactory, certificates: Any) -> Proxy:
    rules = rules_in(tmp_path_factory.mktemp("forward") / "rules", parties, trusted_proxies=["127.0.0.1"])
    trust = f"ssl_verify_upstream_trusted_ca={certificates.authority}"
    return proxies(
        "--set", trust, mode="regular", rules=rules, door="mitmweb", admin="127.0.0.1:0"
    ).ready()


def place(upstream: Upstream) -> str:
    return f"127.0.0.1:{upstream.port}"


def through(proxy: Proxy, token: str, target: str, *inner: bytes) -> bytes:
    """All that comes back for requests sent at once through a tunnel, until the proxy closes."""
    with proxy.connect() as connection:
        connection.sendall(proxy.written("CONNECT", target, f"Host: {target}", basic(token), token=None))
        assert answer_on(connection, "CONNECT").status == 200
        connection.sendall(b"".join(inner))
        return received(connection)


FOR_PROXY: dict[str, tuple[str, Refused]] = {
    "nothing": ("X-A: b", (407, "no-token")),
    "a token for the upstream": ("Authorization: Bearer {ana}", (407, "no-token")),
    "a cookie": ("Cookie: Proxy-Authorization={ana}; CF_Authorization={access}", (407, "no-token")),
    "the header of a provider": ("Cf-Access-Jwt-Assertion: {access}", (407, "no-token")),
    "a token of a provider with a header of its own": ("Proxy-Authorization: Bearer {access}", (407, "issuer-unknown")),
    "no scheme": ("Proxy-Authorization: {ana}", (407, "unsupported-scheme")),
    "another scheme": ("Proxy-Authorization: Digest {ana}", (407, "unsupported-scheme")),
    "a scheme with a proof": ("Proxy-Authorization: DPoP {ana}", (407, "unsupported-scheme")),
    "a token that is not encoded": ("Proxy-Authorization: Basic token:{ana}", (407, "credentials-malformed")),
    "another user": ("Proxy-Authorization: Basic {user}", (407, "credentials-malformed")),
    "a token as the user": ("Proxy-Authorization: Basic {swapped}", (407, "credentials-malformed")),
    "a password with more in it": ("Proxy-Authorization: Basic {more}", (407, "credentials-malformed")),
    "a password with a line break": ("Proxy-Authorization: Basic {broken}", (407, "credentials-malformed")),
    "two in one field": ("Proxy-Authorization: Bearer {ana}, Bearer {eve}", (407, "credentials-malformed")),
    "two fields": (
        "Proxy-Authorization: Bearer {ana}\r\nProxy-Authorization: Bearer {eve}",
        (400, "duplicate-header"),
    ),
    "an underscore": ("Proxy_Authorization: Bearer {ana}", (400, "aliased-header")),
    "another sign": ("Proxy~Authorization: Bearer {ana}", (400, "aliased-header")),
    "a folded line": ("Proxy-Authorization: Bearer\r\n {ana}", (400, "control-character")),
    "a byte of 0xFF": ("Proxy-Authorization: Bearer {ana}\xff", (407, "credentials-malformed")),
    "named for removal": (
        "Proxy-Authorization: Bearer {ana}\r\nConnection: Proxy-Authorization",
        (400, "connection-header"),
    ),
    "a forged token": ("Proxy-Authorization: Bearer {stranger}", (407, "signature-invalid")),
    "a token without an algorithm": ("Proxy-Authorization: Bearer {none}", (407, "algorithm-refused")),
    "an expired token": ("Proxy-Authorization: Bearer {expired}", (407, "expired")),
}


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_a_forward_proxy_takes_one_token_in_one_place(
    forward: Proxy, upstream: Upstream, parties: Parties, method: str
) -> None:
    ana, target = parties.made["ana"], place(upstream)
    texts = {"user": f"ana:{ana}", "swapped": f"{ana}:token", "more": f"token:{ana}:x", "broken": f"token:{ana}\r\n"}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    found = {}
    for name, (line, _) in FOR_PROXY.items():
        written = line.format(**parties.made, **encoded)
        line_target = target if method == "CONNECT" else f"http://{target}/things"
        with forward.connect() as connection:
            connection.sendall(forward.written(method, line_target, f"Host: {target}", written, token=None))
            answer = answer_on(connection, method)
        found[name] = answer.status, reason_of(answer.body)
    assert found == {name: expected for name, (_, expected) in FOR_PROXY.items()}
    assert upstream.received == b""


def test_a_tunnel_belongs_to_who_opened_it(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    """Pipelined in one tunnel: its own token again counts, another's or a bad one spoils the request."""
    target, ana = place(upstream), parties.made["ana"]

    def inner(*fields: str, host: str = target, line: str = "GET") -> bytes:
        return forward.written(line, "/things", f"Host: {host}", *fields, token=None)

    answers = through(
        forward,
        ana,
        target,
        inner(),
        inner(basic(parties.made["eve"])),
        inner(f"Proxy-Authorization: Bearer {parties.made['stranger']}"),
        inner("Proxy-Authorization: Basic x"),
        inner("Proxy_Authorization: Bearer x"),
        inner(host="127.0.0.1:1"),
        inner("X-Forwarded-User: eve", "Authorization: Bearer of-the-upstream"),
        inner(basic(ana), "Connection: close"),
    )
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"407", b"407", b"407", b"400", b"400", b"200", b"200"]
    reasons = re.findall(rb'"reason": "([a-z-]+)"', answers)
    malformed = [b"credentials-malformed", b"aliased-header", b"authority-mismatch"]
    assert reasons == [b"other-token", b"other-token", *malformed]
    assert len(upstream.seen) == 3
    assert b"eve" not in upstream.received
    assert ana.encode() not in upstream.received


def test_a_tunnel_does_not_outlive_its_token(forward: Proxy, tls_upstream: Upstream, parties: Parties) -> None:
    token = parties.token(exp=time.time() + 1.5)
    with client(forward, token) as agent:
        assert agent.get(tls_upstream.url + "/things").status_code == 200
        deadline = time.monotonic() + PATIENCE
        while (answer := agent.get(tls_upstream.url + "/things")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (answer.status_code, answer.json()["reason"]) == (407, "expired")
        reached = len(tls_upstream.seen)
        assert agent.get(tls_upstream.url + "/things").status_code == 407
    assert len(tls_upstream.seen) == reached


def test_a_tunnel_within_a_tunnel_is_none(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    target = place(upstream)
    nested = forward.written("CONNECT", target, f"Host: {target}", basic(parties.made["eve"]), token=None)
    after = forward.written("GET", "/things", f"Host: {target}", "Connection: close", token=None)
    answers = through(forward, parties.made["ana"], target, nested, after)
    assert b"HTTP/1.1 200" not in answers
    assert upstream.received == b""


def test_where_a_caller_is_cannot_be_said_inside_a_tunnel(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    """A listed peer is believed about a request of its own; what comes through a tunnel is the caller's own word."""
    target, ana, far = place(upstream), parties.made["ana"], "X-Forwarded-For: 10.1.2.3"
    certified = 'X-Forwarded-Client-Cert: Subject="CN=eve";URI=spiffe://corp/eve'
    inner = forward.written("GET", "/things", f"Host: {target}", far, certified, "Connection: close", token=None)
    assert through(forward, ana, target, inner).startswith(b"HTTP/1.1 200 ")
    assert b"eve" not in upstream.received
    assert source_of_the_last(forward) == "127.0.0.1"
    with forward.connect() as connection:
        connection.sendall(
            forward.written("GET", f"http://{target}/things", f"Host: {target}", far, basic(ana), token=None)
        )
        assert answer_on(connection).status == 200
    assert source_of_the_last(forward) == "10.1.2.3"


def source_of_the_last(proxy: Proxy) -> str:
    return str(proxy.flows("show", proxy.flows("list")[0]["decision_id"])["source"])


OWN = ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]", "0.0.0.0", "127.0.0.2", "proxy.localhost"]


@pytest.mark.parametrize("host", OWN)
def test_a_proxy_is_no_way_to_its_own_listeners(forward: Proxy, parties: Parties, host: str) -> None:
    (admin,) = forward.output.wait_for(r"public keys on http://127\.0\.0\.1:(\d+)")
    for port in (forward.port, forward.web_port, int(admin)):
        answer = opened(forward, f"{host}:{port}", token=parties.made["ana"])
        assert (answer.status, reason_of(answer.body)) == (400, "proxy-loop"), port
        with forward.connect() as connection:
            target = f"{host}:{port}"
            connection.sendall(
                forward.written("GET", f"http://{target}/", f"Host: {target}", basic(parties.made["ana"]), token=None)
            )
            plain = answer_on(connection)
        assert (plain.status, reason_of(plain.body)) == (400, "proxy-loop"), port


def test_no_tunnel_is_opened_over_http2(forward: Proxy, upstream: Upstream, parties: Parties) -> None:
    """One connection could carry several, each with a token of its own; mitmproxy speaks it with who offers it alone."""
    target = place(upstream).encode()
    line = [(b":method", b"CONNECT"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", target)]
    for name in ("ana", "eve"):
        with Client(forward.port) as connection:
            status, body = connection.request(
                [*line, (b"proxy-authorization", f"Bearer {parties.made[name]}".encode())]
            )
            assert (status, reason_of(body)) == (400, "http-version")
    assert upstream.received == b""
